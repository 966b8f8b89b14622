package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/policy"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "The sharing rules"}
	c.AddCommand(
		&cobra.Command{Use: "check DIR", Short: "Check that a policy bundle is fit for use", Args: exactly(1), RunE: a.policyCheck},
		&cobra.Command{Use: "test DIR", Short: "Run a bundle's rule tests and cases, with coverage", Args: exactly(1), RunE: a.policyTest},
		&cobra.Command{Use: "explain INPUT.json|CASE", Short: "Decide an input, or a case by its name or file, with the built-in policy and say why", Args: exactly(1), RunE: a.policyExplain},
		a.policySignCommand(),
		&cobra.Command{Use: "export DIR", Short: "Write the built-in bundle to a new folder, to change it", Args: exactly(1), RunE: a.policyExport},
		&cobra.Command{Use: "catalogue [DIR]", Short: "Print every rule in plain words, with its law, tests and cases", Args: cobra.MaximumNArgs(1), RunE: a.policyCatalogue},
		&cobra.Command{Use: "diff A B", Short: "Say what changes from one bundle to another, and which cases are decided differently", Args: exactly(2), RunE: a.policyDiff},
		&cobra.Command{Use: "sections", Short: "List the sections of the form: the data dictionary", Args: exactly(0), RunE: a.policySections})
	return c
}

// bundle opens a folder with a policy bundle.
func bundle(dir string) (fs.FS, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fault.Newf(fault.NotFound, "NO_FOLDER", "There is no folder %s. Name the folder that holds data.json.", dir)
	}
	return os.DirFS(dir), nil
}

func (a *app) policyCheck(c *cobra.Command, args []string) error {
	b, err := bundle(args[0])
	if err != nil {
		return err
	}
	if err := engine.Check(c.Context(), b); err != nil {
		return err
	}
	revision, err := engine.Revision(b)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"ok": true, "policy_revision": revision})
	}
	a.line("Fit for use. Revision %s", revision)
	return nil
}

func (a *app) policyTest(c *cobra.Command, args []string) error {
	b, err := bundle(args[0])
	if err != nil {
		return err
	}
	report, err := engine.Test(c.Context(), b)
	if err != nil {
		return err
	}
	if a.output == "json" {
		err = a.printJSON(map[string]any{"ok": report.OK(), "rules": report.Rules, "cases": report.Cases, "uncovered": report.Uncovered})
	} else {
		_, err = fmt.Fprint(a.out, report.String())
	}
	if err == nil && !report.OK() {
		return exitCode(1)
	}
	return err
}

// toExplain is the input that is meant: the file of a case, a file with an input, or a case of the built-in policy by its
// name.
func (a *app) toExplain(name string) ([]byte, error) {
	if filepath.Ext(name) == ".yaml" {
		dir, file := filepath.Split(filepath.Clean(name))
		return engine.CaseInput(os.DirFS(filepath.Join(dir, "..")), file)
	}
	data, err := a.readInput(name)
	if err != nil && name != "-" {
		if of, no := engine.CaseInput(policy.Bundle, name); no == nil {
			return of, nil
		}
	}
	return data, err
}

// policyExplain decides one input, such as the one that `audit show -o json` prints, and says what and why.
func (a *app) policyExplain(c *cobra.Command, args []string) error {
	data, err := a.toExplain(args[0])
	if err != nil {
		return err
	}
	in, err := engine.ParseInput(data)
	if err != nil {
		return err
	}
	e, err := engine.New(c.Context(), engine.Config{Log: a.log()})
	if err != nil {
		return err
	}
	if a.output == "json" {
		d, _ := e.Decide(c.Context(), in)
		return a.printJSON(plain.Map(d))
	}
	text, err := engine.Explain(c.Context(), e, data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.out, text)
	return err
}

func (a *app) policySections(*cobra.Command, []string) error {
	if a.output == "json" {
		rows := []map[string]any{}
		for _, s := range section.All() {
			rows = append(rows, map[string]any{"id": s.Pattern, "class": plain.Enum(s.Class), "padded_size": s.PaddedSize})
		}
		return a.printJSON(rows)
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SECTION\tCLASS\tBYTES WHEN SEALED")
	for _, s := range section.All() {
		fmt.Fprintf(w, "%s\t%s\t%d\n", s.Pattern, plain.Words(plain.Enum(s.Class)), s.PaddedSize)
	}
	return w.Flush()
}
