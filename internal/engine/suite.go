package engine

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
)

// Report is what the tests and cases of a bundle showed.
type Report struct {
	Rules     []Outcome // the Rego tests, by name
	Cases     []Outcome // the cases, by name
	Uncovered []string  // the places in rules that no Rego test reaches, as file:line
}

// Outcome is how one test or case ended.
type Outcome struct {
	Name   string   `json:"id"`     // such as consent_test.test_given, or the name of the case's file without .yaml
	Faults []string `json:"faults"` // what went wrong; none when it passed
}

// OK reports whether everything passed and every expression of every rule was reached.
func (r *Report) OK() bool {
	failed := func(o Outcome) bool { return len(o.Faults) > 0 }
	return len(r.Rules) > 0 && len(r.Cases) > 0 && len(r.Uncovered) == 0 &&
		!slices.ContainsFunc(r.Rules, failed) && !slices.ContainsFunc(r.Cases, failed)
}

// String lists what failed and counts what passed.
func (r *Report) String() string {
	var b strings.Builder
	passed := func(all []Outcome) int {
		n := 0
		for _, o := range all {
			if len(o.Faults) == 0 {
				n++
				continue
			}
			fmt.Fprintf(&b, "FAILED %s\n", o.Name)
			for _, f := range o.Faults {
				fmt.Fprintf(&b, "  %s\n", f)
			}
		}
		return n
	}
	rules, cases := passed(r.Rules), passed(r.Cases)
	for _, place := range r.Uncovered {
		fmt.Fprintf(&b, "NOT TESTED %s\n", place)
	}
	fmt.Fprintf(&b, "%d of %d rule tests and %d of %d cases passed\n", rules, len(r.Rules), cases, len(r.Cases))
	return b.String()
}

// Test checks the bundle in source, then runs its Rego tests, with coverage, and its cases. An error means that they
// could not be run; that they failed is in the Report.
func Test(ctx context.Context, source fs.FS) (*Report, error) {
	if err := Check(ctx, source); err != nil {
		return nil, err
	}
	b, err := readBundle(source)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := r.runRules(ctx, b); err != nil {
		return nil, err
	}
	return r, r.runCases(ctx, source)
}

func (r *Report) runRules(ctx context.Context, b *bundle) error {
	parsed, err := modules(slices.Concat(b.files, b.tests))
	if err != nil {
		return err
	}
	c, err := compiler()
	if err != nil {
		return err
	}
	store, err := b.store()
	if err != nil {
		return err
	}
	reached := cover.New()
	run := tester.NewRunner().SetCompiler(c).SetStore(store).SetModules(parsed).RaiseBuiltinErrors(true).
		SetTimeout(sampleTimeout).SetCoverageQueryTracer(reached).SetCoverageRuns(nil)
	err = storage.Txn(ctx, store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		results, err := run.RunTests(ctx, txn)
		if err != nil {
			return faulty(err.Error()).Because(err)
		}
		for result := range results {
			o := Outcome{Name: strings.TrimPrefix(result.Package, "data.postern.") + "." + result.Name}
			if !result.Pass() {
				o.Faults = []string{strings.TrimSpace(result.String())}
			}
			r.Rules = append(r.Rules, o)
		}
		return nil
	})
	slices.SortFunc(r.Rules, func(a, b Outcome) int { return strings.Compare(a.Name, b.Name) })
	rules := maps.Clone(parsed)
	maps.DeleteFunc(rules, func(path string, _ *ast.Module) bool { return file{path: path}.test() })
	for path, report := range reached.Report(rules).Files {
		if rules[path] == nil {
			continue
		}
		for _, gap := range report.NotCovered {
			r.Uncovered = append(r.Uncovered, fmt.Sprintf("%s:%d", path, gap.Start.Row))
		}
	}
	slices.Sort(r.Uncovered)
	return err
}
