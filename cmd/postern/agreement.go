package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

func (a *app) agreementCommand() *cobra.Command {
	c := a.configFlag(&cobra.Command{Use: "agreement", Short: "The data-sharing agreement between prisons and authorities"})
	c.AddCommand(
		&cobra.Command{Use: "sign AGREEMENT.yaml", Short: "Add the signature of a desk or an inbox, in the file beside it that ends in .signed", Args: exactly(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.agreementSign(args[0]) }},
		&cobra.Command{Use: "check AGREEMENT.yaml", Short: "Check the terms, and who has signed them; exit 0 only when everybody has", Args: exactly(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.agreementCheck(args[0]) }})
	return c
}

// anyParty reads the configuration of a party of any kind.
func (a *app) anyParty() (config.Party, error) {
	path, err := a.configPath()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Newf(fault.NotFound, "NO_FILE", "The file %s cannot be read. Check its name.", path).Because(err)
	}
	return config.Load(path, data)
}

func (a *app) agreementSign(file string) error {
	p, err := a.anyParty()
	if err != nil {
		return err
	}
	terms, signed, err := directory.ReadAgreement(file)
	if err != nil {
		return err
	}
	now := time.Now()
	i, anchors, err := config.VerifiedIdentity(p, now)
	if err != nil {
		return err
	}
	if err := directory.SignAgreement(signed, i); err != nil {
		return err
	}
	if err := directory.WriteAgreement(file, signed); err != nil {
		return err
	}
	return a.printSignings(file, terms, directory.Signings(signed, anchors, now))
}

func (a *app) agreementCheck(file string) error {
	p, err := a.anyParty()
	if err != nil {
		return err
	}
	terms, signed, err := directory.ReadAgreement(file)
	if err != nil {
		return err
	}
	anchors, err := p.LoadAnchors()
	if err != nil {
		return err
	}
	signings := directory.Signings(signed, anchors, time.Now())
	if err := a.printSignings(file, terms, signings); err != nil {
		return err
	}
	for _, s := range signings {
		if s.Fault != "" {
			return exitCode(3)
		}
	}
	return nil
}

// printSignings prints the terms as they were read, since the YAML is what a person has looked at, and each party.
func (a *app) printSignings(file string, terms *posternv1.DataSharingAgreement, signings []directory.Signing) error {
	if a.output == "json" {
		list := make([]map[string]any, len(signings))
		for i, s := range signings {
			list[i] = map[string]any{"id": s.Party, "signed": s.Fault == "", "fault": s.Fault}
		}
		return a.printJSON(map[string]any{"id": terms.GetId(), "version": terms.GetVersion(), "file": directory.SignedFile(file), "signatures": list})
	}
	a.line("Agreement %s, version %d, from %s to %s: %d sections between %s and %s.", visible(terms.GetId()), terms.GetVersion(), terms.GetStartDate(), terms.GetEndDate(),
		len(terms.GetSections()), strings.Join(terms.GetPrisons(), ", "), strings.Join(terms.GetAuthorities(), ", "))
	for _, s := range signings {
		if s.Fault == "" {
			a.line("  signed    %s", s.Party)
		} else {
			a.line("  MISSING   %s: %s", visible(s.Party), s.Fault)
		}
	}
	a.line("The signatures are in %s.", directory.SignedFile(file))
	return nil
}
