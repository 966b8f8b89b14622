package house

import (
	"go/ast"
	"regexp"
	"strings"
)

// What a clause of docs/agreements looks like, and what it says holds it.
var (
	clause   = regexp.MustCompile(`(?m)^[0-9]+\.[0-9]+ `)
	holds    = regexp.MustCompile(`\[holds: ([^\]]*)\]`)
	held     = regexp.MustCompile(`^(people|rule ([a-z_0-9]+)|test (Test[A-Za-z0-9_]+))$`)
	ruleName = regexp.MustCompile(`(?m)^#\s+rule_id: ([a-z_0-9]+)$`)
)

func clausesAreHeld() rule {
	const paper = "docs/agreements/a.md"
	return rule{
		name:  "every clause of the paperwork names what holds it",
		why:   "a promise on paper that no rule and no test keeps is found out by the family",
		check: unheld,
		broken: map[string]controlled{
			"nothing":          {map[string]string{paper: "1.1 We promise.\n"}, "clause 1.1 does not say what holds it"},
			"no such rule":     {map[string]string{paper: "1.1 We promise. [holds: rule gate_hold]\n"}, "no rule gate_hold"},
			"no such test":     {map[string]string{paper: "1.1 We promise. [holds: test TestX]\n"}, "no test TestX"},
			"another word":     {map[string]string{paper: "1.1 We promise. [holds: hope]\n"}, `"hope" is neither`},
			"the second only":  {map[string]string{paper: "1.1 We promise.\n\n1.2 We do. [holds: people]\n"}, "clause 1.1 does not say"},
			"a test elsewhere": {map[string]string{paper: "1.1 We. [holds: test TestX]\n", "a/a.go": "package a\n\nfunc TestX() {}"}, "no test TestX"},
		},
		fine: []map[string]string{{
			paper:                              "# A\n\nWords.\n\n1.1 We promise\nmore. [holds: rule gate_hold] [holds: test TestX]\n\n1.10 You. [holds: people]\n",
			"policy/postern/sharing/gate.rego": "# METADATA\n# custom:\n#   rule_id: gate_hold\n",
			"a/a_test.go":                      "package a\n\nfunc TestX() {}",
		}, {"docs/other.md": "1.1 Nothing holds this.\n"}},
	}
}

// unheld reports clauses without anything that holds them, and names of rules and tests that do not exist.
func unheld(t tree) []string {
	rules, tests := map[string]bool{}, map[string]bool{}
	for _, f := range t {
		if strings.HasSuffix(f.path, ".rego") {
			for _, m := range ruleName.FindAllStringSubmatch(f.text, -1) {
				rules[m[1]] = true
			}
		}
		if f.syntax == nil || !f.test() {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	var findings []string
	for _, f := range t.where(func(f *file) bool { return strings.HasPrefix(f.path, "docs/agreements/") }) {
		starts := clause.FindAllStringIndex(f.text, -1)
		for i, at := range starts {
			end := len(f.text)
			if i+1 < len(starts) {
				end = starts[i+1][0]
			}
			text, line := f.text[at[0]:end], 1+strings.Count(f.text[:at[0]], "\n")
			names := holds.FindAllStringSubmatch(text, -1)
			if len(names) == 0 {
				findings = append(findings, f.line(line, "clause %sdoes not say what holds it", f.text[at[0]:at[1]]))
			}
			for _, n := range names {
				m := held.FindStringSubmatch(n[1])
				switch {
				case m == nil:
					findings = append(findings, f.line(line, "%q is neither people, nor a rule, nor a test", n[1]))
				case m[2] != "" && !rules[m[2]]:
					findings = append(findings, f.line(line, "there is no rule %s", m[2]))
				case m[3] != "" && !tests[m[3]]:
					findings = append(findings, f.line(line, "there is no test %s", m[3]))
				}
			}
		}
	}
	return findings
}
