package engine

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/section"
	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// mayShare says, without the policy and without the locks, whether a child may be shared at all.
func mayShare(in *Input, c Child) bool {
	now, _ := time.Parse(time.RFC3339, in.Now)
	until, err := time.Parse(time.RFC3339, in.Consent.ExpireTime)
	ends, err2 := time.Parse(time.RFC3339, in.Agreement.EndTime)
	if err != nil || err2 != nil || !now.Before(until) || !now.Before(ends) {
		return false
	}
	has := func(s Sections, agreed []string, name string) bool {
		return slices.Contains(s.Offered, name) && slices.Contains(s.Permitted, name) && slices.Contains(agreed, name)
	}
	elsewhere := c.PrimaryCarerBefore == "NO" && c.LivedWithBefore == "NO" && c.CarerIsAdult != "NO"
	return in.Statement == "OFFER" && in.Route == "STANDARD" && in.Gate == "NO_HOLD" && !in.AlreadyNotified && in.Caller.Known &&
		in.Consent.State == "GIVEN" && in.Consent.Understood == "YES" && !in.Consent.CapacityConcern && !in.Consent.GrantorUnder18 &&
		(in.Consent.FollowsChild || slices.Contains(in.Consent.Authorities, in.Recipient.Authority)) &&
		in.Recipient.Known && in.Recipient.Enrolled && in.Recipient.Jurisdiction != "GB-SCT" && in.Agreement.InForce &&
		slices.Contains(in.Consent.Children, c.Number) && !c.InCare && !c.AddressConfidential &&
		(c.AgeYears == nil || *c.AgeYears < 18) && (c.CarerIsAdult == "YES" || elsewhere || c.Unborn) &&
		in.Parent.Known["name"] == "KNOWN" && has(in.Parent, in.Agreement.Parent, "name") &&
		c.Known["identity"] == "KNOWN" && has(c.Sections, in.Agreement.Child, "identity") &&
		c.Known["home"] == "KNOWN" && has(c.Sections, in.Agreement.Child, "home") &&
		(c.Known["safety"] != "KNOWN" || has(c.Sections, in.Agreement.Child, "safety"))
}

// permittedPaths is what permission, agreement and offer have in common, read off the input line by line.
func permittedPaths(in *Input) map[string]bool {
	out := map[string]bool{}
	for _, s := range section.All() {
		for n := 0; n <= len(in.Children); n++ {
			if s.PerChild != (n > 0) {
				continue
			}
			of, agreed := in.Parent, in.Agreement.Parent
			if n > 0 {
				of, agreed = in.Children[n-1].Sections, in.Agreement.Child
			}
			out[s.Path(n)] = slices.Contains(of.Offered, s.Name) && slices.Contains(of.Permitted, s.Name) && slices.Contains(agreed, s.Name)
		}
	}
	return out
}

// TestSharesExactlyWhatMayBeShared compares the policy with a second telling of its rules in Go, for every child.
func TestSharesExactlyWhatMayBeShared(t *testing.T) {
	e := patient(t)
	shared, children := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		d, _ := e.Decide(t.Context(), in)
		free := permittedPaths(in)
		var want []string
		for i, c := range d.GetChildren() {
			children++
			if may := mayShare(in, in.Children[i]); may != (c.GetOutcome() == share) {
				t.Fatalf("child %d: %v, may be shared: %v", c.GetNumber(), c, may)
			}
			if len(c.GetReasons()) == 0 {
				t.Fatalf("child %d has no reason", c.GetNumber())
			}
			if c.GetOutcome() == share {
				shared++
				for path, ok := range free {
					if n, of := section.ChildOf(path); of && n == int(c.GetNumber()) && ok {
						want = append(want, path)
					}
				}
			}
		}
		if d.GetOutcome() == share {
			for path, ok := range free {
				if _, of := section.ChildOf(path); !of && ok {
					want = append(want, path)
				}
			}
		}
		slices.Sort(want)
		if !slices.Equal(d.GetPaths(), want) {
			t.Fatalf("paths %v, want %v", d.GetPaths(), want)
		}
		if (d.GetOutcome() == share) != (len(want) > 0) || len(in.Children) == 0 && len(d.GetReasons()) == 0 {
			t.Fatalf("decided %v", d)
		}
	})
	if shared == 0 || shared == children {
		t.Errorf("%d of %d children shared: the inputs prove nothing", shared, children)
	}
}

// TestOneChildNeverChangesAnother: what is decided for a child is decided the same without its brothers and sisters.
func TestOneChildNeverChangesAnother(t *testing.T) {
	e := patient(t)
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Filter(func(in *Input) bool { return len(in.Children) > 1 }).Draw(t, "input")
		all, _ := e.Decide(t.Context(), in)
		i := rapid.IntRange(0, len(in.Children)-1).Draw(t, "child")
		alone := *in
		alone.Children = in.Children[i : i+1]
		one, _ := e.Decide(t.Context(), &alone)
		if !proto.Equal(all.GetChildren()[i], one.GetChildren()[0]) {
			t.Fatalf("together %v\nalone %v", all.GetChildren()[i], one.GetChildren()[0])
		}
	})
}

// TestLessPermissionNeverSharesMore takes one section from the permission, the agreement or the offer.
func TestLessPermissionNeverSharesMore(t *testing.T) {
	e := patient(t)
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Filter(func(in *Input) bool { return len(in.Children) > 0 }).Draw(t, "input")
		before, _ := e.Decide(t.Context(), in)
		c := &in.Children[rapid.IntRange(0, len(in.Children)-1).Draw(t, "child")]
		list := rapid.SampledFrom([]*[]string{
			&c.Offered, &c.Permitted, &in.Parent.Offered, &in.Parent.Permitted, &in.Agreement.Child, &in.Agreement.Parent}).Draw(t, "list")
		if len(*list) > 0 {
			i := rapid.IntRange(0, len(*list)-1).Draw(t, "section")
			*list = slices.Delete(slices.Clone(*list), i, i+1)
		}
		after, _ := e.Decide(t.Context(), in)
		for _, path := range after.GetPaths() {
			if !slices.Contains(before.GetPaths(), path) {
				t.Fatalf("%s goes only with less permission", path)
			}
		}
	})
}

// TestReplayIsExact: the JSON that was stored is the input that was evaluated, and decides the same.
func TestReplayIsExact(t *testing.T) {
	e := patient(t)
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		first, verbatim := e.Decide(t.Context(), in)
		read, err := ParseInput(verbatim)
		if err != nil {
			t.Fatal(err)
		}
		again, same := e.Decide(t.Context(), read)
		if !bytes.Equal(verbatim, same) || !proto.Equal(first, again) {
			t.Fatalf("first %v\nagain %v\n%s\n%s", first, again, verbatim, same)
		}
		if in.value().Compare(read.value()) != 0 {
			t.Fatal("what was read is not what was evaluated")
		}
	})
}

// TestTheJSONIsTheInput compares the hand-made value with what encoding/json makes of the same struct.
func TestTheJSONIsTheInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		in.Recipient.EarlyHelp.Name = rapid.String().Draw(t, "name")
		if rapid.Bool().Draw(t, "considered") {
			in.Consideration = &Consideration{Law: "DUTY_S16LA", NotMoreDetrimental: []int{1}, Paths: []string{"child/1/home"}}
			in.Calls = []Call{{Time: in.Now, Result: "ANSWERED", Child: 1}}
		}
		reference, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := comparable(t, marshal(in.value())), comparable(t, reference); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

// comparable reads JSON with lists of names sorted, and no difference between no list and an empty one.
func comparable(t *rapid.T, data []byte) any {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	var tidy func(v any) any
	tidy = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				v[k] = tidy(v[k])
			}
		case []any:
			if len(v) == 0 {
				return nil
			}
			for i := range v {
				v[i] = tidy(v[i])
			}
			slices.SortFunc(v, func(a, b any) int {
				x, xok := a.(string)
				y, yok := b.(string)
				if !xok || !yok || x == y {
					return 0
				}
				return map[bool]int{true: -1, false: 1}[x < y]
			})
		}
		return v
	}
	return tidy(v)
}

// TestNoOptimisationOfTheEvaluatorDecides decides with rule indexing and early exit on and off: releases of OPA have
// shipped faults in both.
func TestNoOptimisationOfTheEvaluatorDecides(t *testing.T) {
	b, err := readBundle(policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	query, err := b.prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		value := inputs().Draw(t, "input").value()
		var first ast.Value
		for _, on := range [][2]bool{{true, true}, {false, true}, {true, false}, {false, false}} {
			results, err := query.Eval(t.Context(), rego.EvalParsedInput(value), rego.EvalRuleIndexing(on[0]), rego.EvalEarlyExit(on[1]),
				rego.EvalGenerateJSON(func(term *ast.Term, _ *rego.EvalContext) (any, error) { return term.Value, nil }))
			var answer ast.Value = ast.Null{}
			if err == nil {
				answer = results[0].Expressions[0].Value.(ast.Value)
			}
			if first == nil {
				first = answer
			}
			if first.Compare(answer) != 0 {
				t.Fatalf("indexing %v, early exit %v: %v, otherwise %v", on[0], on[1], answer, first)
			}
		}
	})
}

// TestALockHoldsWhateverThePolicySays runs a policy that shares every section of everybody.
func TestALockHoldsWhateverThePolicySays(t *testing.T) {
	e := loose(t, permissive)
	e.timeout = time.Minute
	held, passed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		d, _ := e.Decide(t.Context(), in)
		free := permittedPaths(in)
		now, _ := time.Parse(time.RFC3339, in.Now)
		until, err := time.Parse(time.RFC3339, in.Consent.ExpireTime)
		authority := err == nil && now.Before(until) && in.Statement == "OFFER" && in.Route == "STANDARD" &&
			in.Consent.State == "GIVEN" && in.Agreement.InForce
		for _, path := range d.GetPaths() {
			n, of := section.ChildOf(path)
			if !free[path] || !authority || of && !slices.Contains(in.Consent.Children, n) {
				t.Fatalf("%s goes", path)
			}
			if of && d.GetChildren()[n-1].GetOutcome() != share {
				t.Fatalf("%s goes, the child is not shared", path)
			}
			passed++
		}
		if d.GetOutcome() == share && d.GetValidUntilTime().AsTime().After(until) {
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
		if slices.ContainsFunc(d.GetReasons(), func(r *posternv1.Reason) bool { return r.GetText() == lockedText }) {
			held++
		}
	})
	if held == 0 || passed == 0 {
		t.Errorf("held back %d times, let pass %d sections: the inputs prove nothing", held, passed)
	}
}

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
