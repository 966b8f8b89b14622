package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

const (
	share = posternv1.Outcome_OUTCOME_SHARE
	refer = posternv1.Outcome_OUTCOME_REFER_TO_PERSON
)

// patient is an engine with the built-in bundle and time enough for a busy machine.
func patient(t testing.TB) *Engine {
	t.Helper()
	e, err := New(t.Context(), Config{Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// bundleOf is a bundle of one module, which may be as bad as it likes.
func bundleOf(module string) fstest.MapFS {
	return fstest.MapFS{"data.json": {Data: []byte("{}")}, "postern/sharing/sharing.rego": {Data: []byte(module)}}
}

// loose is an engine with a bundle that New might refuse, tried on nothing.
func loose(t testing.TB, module string) *Engine {
	t.Helper()
	e, err := load(t.Context(), Config{Bundle: bundleOf(module), Timeout: 2 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("%v\n%s", err, module)
	}
	return e
}

func TestDecideSaysWhoDecidedAndWhen(t *testing.T) {
	e, in := patient(t), family()
	d, _ := e.Decide(t.Context(), in)
	if d.GetOutcome() != share || len(d.GetPaths()) != 25 {
		t.Errorf("outcome %v with %d paths, want everything shared", d.GetOutcome(), len(d.GetPaths()))
	}
	if d.GetPolicyRevision() != e.Revision() || d.GetEngineVersion() != e.Version() || moment(d.GetDecideTime().AsTime()) != in.Now {
		t.Errorf("decided by %s and %s at %v", d.GetPolicyRevision(), d.GetEngineVersion(), d.GetDecideTime())
	}
}

// TestACallerWhoHangsUpChangesNothing: a REFER_TO_PERSON must not be made of a closed connection.
func TestACallerWhoHangsUpChangesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, _ := patient(t).Decide(ctx, family()); d.GetOutcome() != share {
		t.Errorf("outcome %v", d.GetOutcome())
	}
}

// The answer of a sound policy for family(), to be broken in one place at a time.
const answer = `package postern.sharing

import rego.v2

# METADATA
# title: A title
# description: Words.
# custom: {rule_id: some_rule, law: Some law, routes: [STANDARD]}
finding := {"rule": rego.metadata.rule(), "outcome": "SHARE", "paths": [], "needs": [], "due": 0}

decision := {
	"outcome": "SHARE", "findings": [], "sections": {"name"}, "obligations": [], "valid_until": 1795500000000000000,
	"children": [
		{"number": 1, "outcome": "SHARE", "findings": [finding], "sections": {"home"}},
		{"number": 2, "outcome": "SHARE", "findings": [finding], "sections": {"home"}},
	],
}
`

func TestASoundAnswerIsTaken(t *testing.T) {
	d, _ := loose(t, answer).Decide(t.Context(), family())
	if want := []string{"child/1/home", "child/2/home", "parent/name"}; d.GetOutcome() != share || !slices.Equal(d.GetPaths(), want) {
		t.Errorf("%v %v, want %v", d.GetOutcome(), d.GetPaths(), want)
	}
}

// TestNothingButASoundAnswerIsTaken breaks the answer in every way, and the policy in all the ways in which one can
// fail to answer. Each is a policy_error for every child.
func TestNothingButASoundAnswerIsTaken(t *testing.T) {
	head := "package postern.sharing\n\nimport rego.v2\n\n"
	broken := func(old, new string) string {
		module := strings.Replace(answer, old, new, 1)
		if module == answer {
			t.Fatalf("%q is not in the answer", old)
		}
		return module
	}
	modules := map[string]string{
		"undefined":             head + `decision := {} if input.now == "never"`,
		"empty":                 head + `decision := {}`,
		"a string":              head + `decision := "SHARE"`,
		"null":                  head + `decision := null`,
		"a built-in that errs":  head + `decision := {"outcome": time.parse_rfc3339_ns(input.caller.prison_id)}`,
		"two answers":           head + "decision := 1 if input.route == \"STANDARD\"\n\ndecision := 2 if input.statement == \"OFFER\"\n",
		"a loop":                head + `decision := count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i + j < 0])`,
		"a huge range":          head + `decision := count(numbers.range(1, 100000000))`,
		"a missing key":         broken(`"obligations": [],`, ``),
		"a further key":         broken(`"obligations": [],`, `"obligations": [], "more": 1,`),
		"a misspelt key":        broken(`"sections": {"name"}`, `"section": {"name"}`),
		"an unknown outcome":    broken(`"outcome": "SHARE", "findings": []`, `"outcome": "ALLOW", "findings": []`),
		"no outcome":            broken(`"outcome": "SHARE", "findings": []`, `"outcome": "", "findings": []`),
		"a weaker overall":      broken(`"outcome": "SHARE", "findings": []`, `"outcome": "WITHHOLD", "findings": []`),
		"a child too few":       broken(`{"number": 2, "outcome": "SHARE", "findings": [finding], "sections": {"home"}},`, ``),
		"a child twice":         broken(`"number": 2`, `"number": 1`),
		"a stranger's child":    broken(`"number": 2`, `"number": 7`),
		"children out of order": strings.NewReplacer(`"number": 1`, `"number": 2`, `"number": 2`, `"number": 1`).Replace(answer),
		"a child without why":   broken(`"findings": [finding]`, `"findings": []`),
		"a wait for nothing":    broken(`{"number": 2, "outcome": "SHARE"`, `{"number": 2, "outcome": "WAIT"`),
		"a referral for never":  broken(`{"number": 2, "outcome": "SHARE"`, `{"number": 2, "outcome": "REFER_TO_PERSON"`),
		"a section of nobody":   broken(`"sections": {"name"}`, `"sections": {"name", "offence"}`),
		"a child's of a parent": broken(`"sections": {"name"}`, `"sections": {"home"}`),
		"nothing that goes":     strings.NewReplacer(`{"home"}`, `set()`, `{"name"}`, `set()`).Replace(answer),
		"valid for ever":        broken(`"valid_until": 1795500000000000000`, `"valid_until": 0`),
		"valid in the past":     broken(`"valid_until": 1795500000000000000`, `"valid_until": 1795400000000000000`),
		"valid in words":        broken(`"valid_until": 1795500000000000000`, `"valid_until": "tomorrow"`),
		"valid by a fraction":   broken(`"valid_until": 1795500000000000000`, `"valid_until": 1795500000000000000.5`),
		"an unknown duty":       broken(`"obligations": []`, `"obligations": [{"kind": "PRAY", "phone": "", "due": 0, "child": 0}]`),
		"half a duty":           broken(`"obligations": []`, `"obligations": [{"kind": "REVIEW"}]`),
		"a rule without words":  broken(`# description: Words.`, `# related_resources: [{ref: "https://example.org"}]`),
		"a rule without law":    broken(`law: Some law, `, ``),
		"an unknown finding":    broken(`"outcome": "SHARE", "paths"`, `"outcome": "MAYBE", "paths"`),
		"an empty path":         broken(`"paths": []`, `"paths": [""]`),
	}
	for name, module := range modules {
		t.Run(name, func(t *testing.T) {
			in := family()
			d, verbatim := loose(t, module).Decide(t.Context(), in)
			if d.GetOutcome() != refer || len(d.GetPaths()) > 0 || d.GetValidUntilTime() != nil || d.GetDueTime() == nil ||
				len(d.GetChildren()) != len(in.Children) || len(verbatim) == 0 {
				t.Fatalf("decided %v", d)
			}
			for _, c := range d.GetChildren() {
				if c.GetOutcome() != refer || !slices.Equal(ruleIDs(c.GetReasons()), []string{"policy_error"}) {
					t.Errorf("child %v", c)
				}
			}
			if !slices.Equal(ruleIDs(d.GetReasons()), []string{"policy_error"}) {
				t.Errorf("reasons %v", d.GetReasons())
			}
		})
	}
}

// TestNewRefusesABundleThatErrs: what cannot decide the samples never decides anybody.
func TestNewRefusesABundleThatErrs(t *testing.T) {
	for _, module := range []string{"package postern.sharing\n\nimport rego.v2\n\ndecision := {}\n", answer, "package postern.other\n", "package"} {
		if _, err := New(t.Context(), Config{Bundle: bundleOf(module)}); err == nil {
			t.Errorf("accepted:\n%s", module)
		}
	}
	if _, err := New(t.Context(), Config{Bundle: fstest.MapFS{}}); err == nil {
		t.Error("accepted an empty folder")
	}
	withoutSettings := copyOf(t)
	withoutSettings["data.json"] = &fstest.MapFile{Data: []byte(`{"law": {}}`)}
	if _, err := New(t.Context(), Config{Bundle: withoutSettings}); err == nil {
		t.Error("accepted a bundle without its settings")
	}
}

// TestAPanicIsAPolicyError: a value that no evaluator expects must not take the process with it.
func TestAPanicIsAPolicyError(t *testing.T) {
	e := patient(t)
	if _, err := e.evaluate(family(), nil, time.Minute); err == nil {
		t.Error("an input of nil was decided")
	}
	(&Engine{log: slog.New(slog.DiscardHandler), timeout: time.Minute}).mustRefer(t)
}

func (e *Engine) mustRefer(t *testing.T) {
	t.Helper()
	if d, _ := e.Decide(t.Context(), family()); d.GetOutcome() != refer || ruleIDs(d.GetChildren()[0].GetReasons())[0] != "policy_error" {
		t.Errorf("decided %v", d)
	}
}

func TestAPolicyErrorIsToldInTheLog(t *testing.T) {
	var out strings.Builder
	e, err := load(t.Context(), Config{Bundle: bundleOf("package postern.sharing\n\ndecision := {}\n"), Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	e.mustRefer(t)
	if !strings.Contains(out.String(), "policy error") || !strings.Contains(out.String(), e.Revision()) {
		t.Errorf("log: %s", out.String())
	}
}

// TestTheWordsOfAPolicyErrorAreOne: the rule and the engine say the same, and the rule is the one people can look up.
func TestTheWordsOfAPolicyErrorAreOne(t *testing.T) {
	in := family()
	in.Route = "NEW"
	d, _ := patient(t).Decide(t.Context(), in)
	if got, want := d.GetChildren()[0].GetReasons()[0], policyError(undecidedText); !proto.Equal(got, want) {
		t.Errorf("the rule says %v, the engine %v", got, want)
	}
}

func TestVersionIsThatOfTheModule(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`open-policy-agent/opa v(\S+)`).FindSubmatch(mod)
	if pinned == nil || !strings.HasPrefix(patient(t).Version(), fmt.Sprintf("opa/%s postern/", pinned[1])) {
		t.Errorf("version %q, go.mod has %q", patient(t).Version(), pinned)
	}
}

// copyOf is the built-in bundle as a folder that a test may change.
func copyOf(t testing.TB) fstest.MapFS {
	t.Helper()
	b, err := readBundle(policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{}
	for _, f := range slices.Concat(b.files, b.tests) {
		out[f.path] = &fstest.MapFile{Data: slices.Clone(f.data)}
	}
	return out
}

func BenchmarkDecide(b *testing.B) {
	e, in := patient(b), family()
	b.ReportAllocs()
	for b.Loop() {
		e.Decide(b.Context(), in)
	}
}

// BenchmarkRemembered is what a hub does for an offer whose answer is remembered, from its facts on.
func BenchmarkRemembered(b *testing.B) {
	e, f := mindful(b), facts()
	f.Hub.Consideration = nil
	b.ReportAllocs()
	for b.Loop() {
		e.Decide(b.Context(), NewInput(f))
	}
}

// BenchmarkQuery is the prepared query alone over a built input: what Decide adds to it is the rest.
func BenchmarkQuery(b *testing.B) {
	e, in := patient(b), family()
	value := in.value()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.evaluate(in, value, time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}
