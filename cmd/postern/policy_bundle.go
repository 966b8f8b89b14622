package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/plain"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
)

func (a *app) policySignCommand() *cobra.Command {
	c := &cobra.Command{Use: "sign DIR", Short: "Add an operator's signature to a policy bundle", Args: exactly(1)}
	certificate := c.Flags().String("certificate", "", "the operator's certificate")
	key := c.Flags().String("key", "", "the operator's private key")
	c.RunE = func(_ *cobra.Command, args []string) error { return a.policySign(args[0], *certificate, *key) }
	return c
}

func (a *app) policySign(dir, certificate, key string) error {
	b, err := bundle(dir)
	if err != nil {
		return err
	}
	if certificate == "" || key == "" {
		return fault.New(fault.Invalid, "NO_OPERATOR", "Name the operator's certificate and key: --certificate F --key F.")
	}
	operator, err := identity.Load(certificate, key)
	if err != nil {
		return err
	}
	signatures, err := engine.Sign(b, operator, time.Now())
	if err != nil {
		return err
	}
	// Written under another name first: a crash leaves the old signatures or the new ones.
	file := filepath.Join(dir, engine.SignatureFile)
	if err = os.WriteFile(file+".new", signatures, 0o644); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fault.Newf(fault.Precondition, "POLICY_FOLDER", "The signatures cannot be written to %s.", dir).Because(err)
	}
	revision, err := engine.Revision(b)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"policy_revision": revision, "signed_by": operator.Party().URI()})
	}
	a.line("Revision %s is signed by %s.", revision, operator.Party().URI())
	return nil
}

func (a *app) policyCatalogue(c *cobra.Command, args []string) error {
	var source fs.FS = policy.Bundle
	if len(args) > 0 {
		var err error
		if source, err = bundle(args[0]); err != nil {
			return err
		}
	}
	rules, err := engine.Catalogue(c.Context(), source)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(rules)
	}
	for i, r := range rules {
		if i > 0 {
			a.line("")
		}
		a.line("%s: %s", r.ID, r.Title)
		a.line("  %s", r.Text)
		routes := make([]string, len(r.Routes))
		for i, route := range r.Routes {
			routes[i] = plain.Words(route)
		}
		a.line("  Routes: %s", strings.Join(routes, ", "))
		a.line("  Law: %s", r.Law)
		if r.Basis != "" {
			a.line("  Lawful basis: %s", plain.Words(r.Basis))
		}
		a.line("  Tests: %s", names(r.Tests))
		a.line("  Cases: %s", names(r.Cases))
	}
	return nil
}

func names(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d\n    %s", len(list), strings.ReplaceAll(strings.Join(list, "\n    "), "_", " "))
}

func (a *app) policyDiff(c *cobra.Command, args []string) error {
	old, err := bundle(args[0])
	if err != nil {
		return err
	}
	changed, err := bundle(args[1])
	if err != nil {
		return err
	}
	d, err := engine.Diff(c.Context(), old, changed)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(d)
	}
	_, err = fmt.Fprint(a.out, d.String())
	return err
}

func (a *app) hubPolicyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Which rules decide"}
	c.AddCommand(&cobra.Command{Use: "activate DIR", Short: "Bring a signed policy bundle into force, when it compiles and its tests pass", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return a.hubPolicyActivate(c.Context(), args[0]) }})
	return c
}

func (a *app) hubPolicyActivate(ctx context.Context, dir string) error {
	b, err := bundle(dir)
	if err != nil {
		return err
	}
	archive, err := engine.Pack(b)
	if err != nil {
		return err
	}
	return with(ctx, a, config.LoadHub, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewPolicyServiceClient(conn).ActivatePolicy(ctx, &localv1.ActivatePolicyRequest{Bundle: archive})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(map[string]any{
				"policy_revision": out.GetRevision(), "signed_by": out.GetSignedBy(), "rule_tests": out.GetRuleTests(), "cases": out.GetCases()})
		}
		a.line("Policy %s is in force, recorded in the log.", out.GetRevision())
		a.line("Signed by %s; %d rule tests and %d cases passed.", strings.Join(out.GetSignedBy(), ", "), out.GetRuleTests(), out.GetCases())
		return nil
	})
}

// policyExport writes the built-in bundle to a new folder, for somebody who wants to change it.
func (a *app) policyExport(_ *cobra.Command, args []string) error {
	if err := os.Mkdir(args[0], 0o755); err != nil {
		return fault.Newf(fault.Precondition, "POLICY_FOLDER", "The folder %s cannot be made. Name a folder that is not there yet.", args[0]).Because(err)
	}
	if err := os.CopyFS(args[0], policy.Bundle); err != nil {
		return fault.Newf(fault.Precondition, "POLICY_FOLDER", "The policy cannot be written to %s.", args[0]).Because(err)
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"folder": args[0]})
	}
	a.line("The built-in policy is in %s. Change it, then: postern policy test %s", args[0], args[0])
	return nil
}
