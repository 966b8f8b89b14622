package engine

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

const permissive = `package postern.sharing

import rego.v2

# METADATA
# title: Everything
# description: Share everything.
# custom: {rule_id: policy_error, law: None, routes: [STANDARD]}
finding := {"rule": rego.metadata.rule(), "outcome": "SHARE", "paths": [], "needs": [], "due": 0}

decision := {
	"outcome": "SHARE", "findings": [], "obligations": [], "valid_until": 4102444800000000000,
	"sections": {name | some name, _ in input.parent.known},
	"children": [{"number": c.number, "outcome": "SHARE", "findings": [finding], "sections": {name | some name, _ in c.known}} | some c in input.children],
}
`

// throwing are policies that cannot answer, each in its own way.
var throwing = map[string]string{
	"a built-in that errs": `decision := {"outcome": time.parse_rfc3339_ns(input.caller.prison_id)}`,
	"a loop":               `decision := count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i + j < 0])`,
	"undefined":            `decision := {} if input.now == "never"`,
	"malformed":            `decision := {"outcome": "SHARE"}`,
}

// TestALockHoldsWhateverThePolicySays runs a policy that shares every section of everybody.
func TestALockHoldsWhateverThePolicySays(t *testing.T) {
	e := loose(t, permissive)
	e.timeout = time.Minute
	held, passed := 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		d, _ := e.Decide(t.Context(), in)
		free := freePaths(in)
		now, _ := time.Parse(time.RFC3339, in.Now)
		until, err := time.Parse(time.RFC3339, in.Consent.ExpireTime)
		ends := in.Route == "STANDARD"
		for _, path := range d.GetPaths() {
			if n, of := section.ChildOf(path); !free[path] || in.Statement != "OFFER" || ends && (err != nil || !now.Before(until)) {
				t.Fatalf("%s goes", path)
			} else if of && d.GetChildren()[n-1].GetOutcome() != share {
				t.Fatalf("%s goes, the child is not shared", path)
			}
			passed[in.Route]++
		}
		if d.GetOutcome() == share && ends && d.GetValidUntilTime().AsTime().After(until) {
			t.Fatal("valid longer than the permission")
		}
		if (d.GetOutcome() == share) != (len(d.GetPaths()) > 0) {
			t.Fatalf("%v with %d paths", d.GetOutcome(), len(d.GetPaths()))
		}
		for _, c := range d.GetChildren() {
			if c.GetOutcome() != share && (ruleIDs(c.GetReasons())[0] != "policy_error" || d.GetDueTime() == nil) {
				t.Fatalf("child %v", c)
			}
		}
		phoned(t, in, d)
		if slices.ContainsFunc(d.GetReasons(), func(r *posternv1.Reason) bool { return r.GetText() == lockedText }) {
			held++
		}
	})
	if held == 0 || passed["STANDARD"] == 0 || passed["URGENT"] == 0 || passed["DUTY"] == 0 || len(passed) > 3 {
		t.Errorf("held back %d times, let pass %v sections: the inputs prove nothing", held, passed)
	}
}

// phoned fails unless every child who may be alone is to be telephoned about.
func phoned(t *rapid.T, in *Input, d *posternv1.Decision) (must int) {
	for _, c := range in.Children {
		if !mustBePhoned(in, c) {
			continue
		}
		must++
		if !slices.ContainsFunc(d.GetObligations(), func(o *posternv1.Obligation) bool {
			return o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR && int(o.GetChildNumber()) == c.Number &&
				o.GetDueTime() != nil && o.GetPhoneNumber() != ""
		}) {
			t.Fatalf("nobody is to telephone about child %d: %v", c.Number, d)
		}
	}
	return must
}

// TestCarerRulesAlwaysRun: whatever else holds, and whatever the policy does, the call about a child who may be alone
// is an obligation, and nothing about the child goes before it by the built-in rules.
func TestCarerRulesAlwaysRun(t *testing.T) {
	engines := map[string]*Engine{"the built-in policy": patient(t)}
	for name, module := range throwing {
		engines[name] = loose(t, "package postern.sharing\n\nimport rego.v2\n\n"+module)
	}
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			must := 0
			rapid.Check(t, func(t *rapid.T) {
				in := inputs().Draw(t, "input")
				d, _ := e.Decide(t.Context(), in)
				must += phoned(t, in, d)
				for i, c := range d.GetChildren() {
					if mustBePhoned(in, in.Children[i]) && (c.GetOutcome() == share || c.GetOutcome() == posternv1.Outcome_OUTCOME_WITHHOLD) {
						t.Fatalf("child %d, who may be alone: %v", c.GetNumber(), c)
					}
				}
			})
			if must == 0 {
				t.Error("nobody had to telephone: the inputs prove nothing")
			}
		})
	}
}

// TestAddingConsentNeverRemovesAChildFromSight: permission for everything leaves each child with an outcome that
// somebody sees, and with its telephone call; it is left out only where it was before.
func TestAddingConsentNeverRemovesAChildFromSight(t *testing.T) {
	e := patient(t)
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		in.Consent.State = rapid.SampledFrom([]string{"NOT_ASKED", "DECLINED", "WITHDRAWN", "GIVEN", ""}).Draw(t, "before")
		before, _ := e.Decide(t.Context(), in)
		given := *in
		given.Consent = family().Consent
		given.Consent.Children, given.Consent.Authorities = []int{1, 2, 3, 4}, []string{in.Recipient.Authority}
		given.Parent.Permitted = given.Parent.Offered
		given.Children = slices.Clone(in.Children)
		for i := range given.Children {
			given.Children[i].Permitted = given.Children[i].Offered
		}
		after, _ := e.Decide(t.Context(), &given)
		for i, c := range after.GetChildren() {
			b := before.GetChildren()[i]
			if slices.Contains(ruleIDs(b.GetReasons()), "policy_error") {
				continue // what was drawn could not be decided, as when a permission ends on no day: nothing is known of before
			}
			if b.GetOutcome() == share && c.GetOutcome() != share {
				t.Fatalf("shared before, now %v", c)
			}
			if c.GetOutcome() == posternv1.Outcome_OUTCOME_WITHHOLD {
				for _, rule := range ruleIDs(c.GetReasons()) {
					if (rule == "too_old" || rule == "already_notified") && !slices.Contains(ruleIDs(b.GetReasons()), rule) {
						t.Fatalf("%s leaves out the child only with permission\nbefore %v\nafter %v", rule, b, c)
					}
				}
			}
		}
		phoned(t, &given, after)
	})
}

// TestRemovingAnAgreementNeverSharesMore, and changes nothing on the routes that ask for none.
func TestRemovingAnAgreementNeverSharesMore(t *testing.T) {
	e := patient(t)
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		with, _ := e.Decide(t.Context(), in)
		bare := *in
		bare.Agreement = Agreement{}
		without, _ := e.Decide(t.Context(), &bare)
		if in.Route == "STANDARD" && len(without.GetPaths()) > 0 || in.Route != "STANDARD" && !slices.Equal(without.GetPaths(), with.GetPaths()) {
			t.Fatalf("with %v\nwithout %v", with.GetPaths(), without.GetPaths())
		}
	})
}

// TestEveryOutcomeHasAReason, in words, with a law, and whatever waits or needs a person is due.
func TestEveryOutcomeHasAReason(t *testing.T) {
	e := patient(t)
	seen := map[posternv1.Outcome]int{}
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		if rapid.IntRange(0, 3).Draw(t, "plain") == 0 { // or nothing is ever withheld: so much is in the way of that
			in = family()
			in.AlreadyNotified = rapid.Bool().Draw(t, "again")
		}
		d, _ := e.Decide(t.Context(), in)
		reasons := d.GetReasons()
		for _, c := range d.GetChildren() {
			seen[c.GetOutcome()]++
			if len(c.GetReasons()) == 0 || acts(&posternv1.Decision{Children: []*posternv1.ChildDecision{c}}) && c.GetDueTime() == nil {
				t.Fatalf("child %v", c)
			}
			if c.GetOutcome() == posternv1.Outcome_OUTCOME_WAIT && len(c.GetNeeds()) == 0 {
				t.Fatalf("child %v waits for nothing", c)
			}
			reasons = append(slices.Clone(reasons), c.GetReasons()...)
		}
		if len(reasons) == 0 {
			t.Fatalf("no reason: %v", d)
		}
		for _, r := range reasons {
			if r.GetRuleId() == "" || r.GetText() == "" || r.GetLaw() == "" {
				t.Fatalf("reason %v", r)
			}
		}
		for _, o := range d.GetObligations() {
			if o.GetDueTime() == nil {
				t.Fatalf("obligation %v is never due", o)
			}
		}
	})
	if len(seen) != 4 {
		t.Errorf("outcomes %v: the inputs prove nothing", seen)
	}
}
