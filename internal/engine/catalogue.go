package engine

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	posternv1 "postern/proto/postern/v1"
)

// Rule is one rule of a bundle in plain words, with what shows that it works.
type Rule struct {
	ID     string   `json:"id"` // the rule id that decisions show
	Title  string   `json:"title"`
	Text   string   `json:"text"` // the reason that people read
	Law    string   `json:"law"`
	Routes []string `json:"routes"`
	Basis  string   `json:"basis,omitempty"` // the lawful basis, where the rule decides it
	File   string   `json:"file"`
	Tests  []string `json:"tests"` // the rule tests that name it; those of its file when none does
	Cases  []string `json:"cases"` // the cases in which it is a reason
}

// Catalogue lists the rules of the bundle in source that people may read in a decision, by rule id.
func Catalogue(ctx context.Context, source fs.FS) ([]Rule, error) {
	b, err := readBundle(source)
	if err != nil {
		return nil, err
	}
	parsed, err := modules(slices.Concat(b.files, b.tests))
	if err != nil {
		return nil, err
	}
	var rules []Rule
	for _, f := range b.files {
		if f.rego() {
			rules = append(rules, spoken(parsed[f.path])...)
		}
	}
	slices.SortFunc(rules, func(x, y Rule) int { return cmp.Or(strings.Compare(x.ID, y.ID), strings.Compare(x.Title, y.Title)) })
	used, err := reasonsOfCases(ctx, source)
	if err != nil {
		return nil, err
	}
	for i := range rules {
		rules[i].Cases = used[rules[i].ID]
		rules[i].Tests = testsOf(rules[i], b.tests, parsed)
	}
	return rules, nil
}

// spoken lists the rules of a module that carry words for people.
func spoken(m *ast.Module) (rules []Rule) {
	for _, rule := range m.Rules {
		i := slices.IndexFunc(rule.Annotations, func(a *ast.Annotations) bool { return a.Scope == "rule" })
		if i < 0 || !speaks(rule) {
			continue
		}
		a := rule.Annotations[i]
		word := func(key string) string { s, _ := a.Custom[key].(string); return strings.TrimSpace(s) }
		r := Rule{ID: word("rule_id"), Title: a.Title, Text: strings.TrimSpace(a.Description), Law: word("law"), Basis: word("basis"), File: rule.Location.File}
		list, _ := a.Custom["routes"].([]any)
		for _, route := range list {
			r.Routes = append(r.Routes, fmt.Sprint(route))
		}
		rules = append(rules, r)
	}
	return rules
}

// testsOf lists the tests that name a rule, in their own name or in what they expect; else those of the file beside it.
func testsOf(r Rule, tests []file, parsed map[string]*ast.Module) (names []string) {
	var beside []string
	for _, f := range tests {
		for _, test := range parsed[f.path].Rules {
			name := string(test.Head.Name)
			if !strings.HasPrefix(name, "test_") {
				continue
			}
			full := strings.TrimSuffix(path.Base(f.path), ".rego") + "." + name
			names = append(names, full)
			if f.path == strings.TrimSuffix(r.File, ".rego")+"_test.rego" {
				beside = append(beside, full)
			}
			if !strings.Contains(name, r.ID) && !mentions(test, r.ID) {
				names = names[:len(names)-1]
			}
		}
	}
	if len(names) == 0 {
		return beside
	}
	return names
}

func mentions(rule *ast.Rule, word string) (found bool) {
	ast.WalkTerms(rule, func(t *ast.Term) bool {
		found = found || t.Value.Compare(ast.String(word)) == 0
		return found
	})
	return found
}

// reasonsOfCases decides every case and lists, for each rule id, the cases in which it is a reason.
func reasonsOfCases(ctx context.Context, source fs.FS) (map[string][]string, error) {
	e, err := New(ctx, Config{Bundle: source, Timeout: sampleTimeout, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	inputs, err := caseInputs(source)
	if err != nil {
		return nil, err
	}
	used := map[string][]string{}
	for _, c := range inputs {
		d, _ := e.Decide(ctx, c.input)
		for _, id := range allRules(d) {
			used[id] = append(used[id], c.name)
		}
	}
	return used, nil
}

// named is a case with its input.
type named struct {
	name  string
	input *Input
}

func caseInputs(source fs.FS) ([]named, error) {
	files, err := fs.Glob(source, "cases/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []named
	for _, f := range files {
		in, _, err := readCase(source, f)
		if err != nil {
			return nil, faulty(fmt.Sprintf("%s: %v", f, err)).Because(err)
		}
		out = append(out, named{strings.TrimSuffix(path.Base(f), ".yaml"), in})
	}
	return out, nil
}

// allRules are the ids of all rules that are a reason in a decision, once each.
func allRules(d *posternv1.Decision) []string {
	ids := ruleIDs(d.GetReasons())
	for _, c := range d.GetChildren() {
		ids = append(ids, ruleIDs(c.GetReasons())...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
