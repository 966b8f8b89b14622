package engine

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"postern/policy"
)

// TestBuiltInBundle runs what `postern policy test` runs on the built-in bundle: its checks, its Rego tests with full
// coverage, its cases.
func TestBuiltInBundle(t *testing.T) {
	report, err := Test(t.Context(), policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Error(report)
	}
}

// TestTheSuiteCanFail breaks the built-in bundle, its tests and its cases one at a time: a suite that cannot fail
// proves nothing.
func TestTheSuiteCanFail(t *testing.T) {
	const (
		sharing = "postern/sharing/"
		minimal = "cases/mother_alone_with_two_children_consents_to_the_minimum.yaml"
		start   = "cases/start/mother_with_two_children.yaml"
	)
	check := func(_ *Report, b fstest.MapFS) error { return Check(t.Context(), b) }
	rules := func(r *Report, b fstest.MapFS) error {
		read, err := readBundle(b)
		if err != nil {
			return err
		}
		few := []string{"family_test.rego", "gate_test.rego", "consent_test.rego"}
		read.tests = slices.DeleteFunc(read.tests, func(f file) bool { return !slices.Contains(few, path.Base(f.path)) })
		return r.runRules(t.Context(), read)
	}
	cases := func(r *Report, b fstest.MapFS) error { return r.runCases(t.Context(), b) }
	for name, c := range map[string]struct {
		run            func(*Report, fstest.MapFS) error
		path, old, new string
		want           string
	}{
		"a rule without words":      {check, sharing + "minimum.rego", "#   rule_id: minimum\n", "", "has no custom.rule_id"},
		"a rule without law":        {check, sharing + "gate.rego", "", lawless, "has no custom.law"},
		"a rule for another route":  {check, sharing + "minimum.rego", "routes: [STANDARD]", "routes: [FAST]", "has no custom.routes"},
		"a rule with a further key": {check, sharing + "minimum.rego", "#   routes", "#   rutes: 1\n#   routes", "nobody reads"},
		"a rule without metadata":   {check, sharing + "enquiry.rego", "# METADATA", "# No metadata", "has no title"},
		"a file not formatted":      {check, sharing + "gate.rego", "gate_open if", "gate_open  if", "opa fmt"},
		"a rule that changed":       {rules, sharing + "gate.rego", `"NO_HOLD"`, `"HOLD"`, "FAILED sharing_test."},
		"a rule without a test":     {rules, sharing + "gate.rego", "", "\n\nnew if input.gate == \"HOLD\"\n", "NOT TESTED postern/sharing/gate.rego:"},
		"a case that expects more":  {cases, minimal, "    - parent/name\n", "    - parent/name\n    - parent/birth\n", "paths: expected"},
		"a case that expects worse": {cases, minimal, "1: {outcome: SHARE", "1: {outcome: WAIT", "child 1: expected"},
		"a case with a slip":        {cases, minimal, "outcome: SHARE", "outcom: SHARE", "outcom"},
		"a case with a new fact":    {cases, minimal, "expect:", "change: {weather: fine}\nexpect:", "weather"},
		"a case without a start":    {cases, minimal, "mother_with_two_children", "nobody", "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			b := copyOf(t)
			for _, name := range []string{minimal, start} {
				data, err := fs.ReadFile(policy.Bundle, name)
				if err != nil {
					t.Fatal(err)
				}
				b[name] = &fstest.MapFile{Data: data}
			}
			broken := strings.Replace(string(b[c.path].Data), c.old, c.new, 1)
			if c.old == "" { // added at the end
				broken = string(b[c.path].Data) + c.new
			}
			if broken == string(b[c.path].Data) {
				t.Fatalf("%q is not in %s", c.old, c.path)
			}
			b[c.path] = &fstest.MapFile{Data: []byte(broken)}
			report := &Report{}
			if said := fmt.Sprint(c.run(report, b), report); report.OK() || !strings.Contains(said, c.want) {
				t.Errorf("want %q in:\n%s", c.want, said)
			}
		})
	}
}

const lawless = `
# METADATA
# title: A title
# description: Words.
# custom:
#   rule_id: lawless
#   routes: [STANDARD]
lawless := rego.metadata.rule()
`

// TestEveryRuleHasItsCases: a story for every rule, so that nobody has to read Rego to see what it does.
func TestEveryRuleHasItsCases(t *testing.T) {
	parsed, err := modulesOf(policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]int{}
	for _, m := range parsed {
		for _, rule := range m.Rules {
			if speaks(rule) {
				rules[rule.Annotations[0].Custom["rule_id"].(string)] = 0
			}
		}
	}
	names, err := fs.Glob(policy.Bundle, "cases/*.yaml")
	if err != nil || len(names) < 14 {
		t.Fatalf("%d cases, %v", len(names), err)
	}
	e := patient(t)
	for _, name := range names {
		in, _, err := readCase(policy.Bundle, name)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := e.Decide(t.Context(), in)
		seen := ruleIDs(d.GetReasons())
		for _, c := range d.GetChildren() {
			seen = append(seen, ruleIDs(c.GetReasons())...)
		}
		for _, id := range seen {
			if _, ok := rules[id]; !ok {
				t.Errorf("%s: %s is no rule", name, id)
			}
			rules[id]++
		}
	}
	for id, n := range rules {
		if n == 0 {
			t.Errorf("no case shows %s", id)
		}
	}
}
