package engine

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/section"
	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// TestSharesExactlyWhatMayBeShared compares the policy with a second telling of its rules in Go, for every child.
func TestSharesExactlyWhatMayBeShared(t *testing.T) {
	e := patient(t)
	shared, children := map[string]int{}, map[string]int{}
	check := func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		d, _ := e.Decide(t.Context(), in)
		free := freePaths(in)
		var want []string
		for i, c := range d.GetChildren() {
			children[in.Route]++
			if may := mayShare(in, in.Children[i]); may != (c.GetOutcome() == share) {
				t.Fatalf("child %d: %v, may be shared: %v", c.GetNumber(), c, may)
			}
			if len(c.GetReasons()) == 0 {
				t.Fatalf("child %d has no reason", c.GetNumber())
			}
			if c.GetOutcome() == share {
				shared[in.Route]++
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
	}
	some := func(route string) bool { return shared[route] > 0 && shared[route] < children[route] }
	routes := []string{"STANDARD", "URGENT", "DUTY"}
	for range 10 { // of what is drawn little goes by permission, and in a few runs of a hundred nothing
		if rapid.Check(t, check); !slices.ContainsFunc(routes, func(r string) bool { return !some(r) }) {
			return
		}
	}
	t.Errorf("of %v children %v were shared: the inputs prove nothing", children, shared)
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
		var spelt bytes.Buffer // otherwise, as an earlier program may have
		if err := json.Indent(&spelt, verbatim, "", " "); err != nil {
			t.Fatal(err)
		}
		other := proto.CloneOf(first)
		other.Outcome = (first.GetOutcome() + 1) % 5
		for _, input := range [][]byte{verbatim, spelt.Bytes()} {
			for was, differs := range map[*posternv1.Decision]bool{first: false, other: true} {
				if lines, err := e.Replay(t.Context(), input, was); err != nil || len(lines) > 0 != differs {
					t.Fatalf("of %v replay says %q, %v: %s", was, lines, err, input)
				}
			}
		}
		if _, err := e.Replay(t.Context(), verbatim[1:], first); fault.KindOf(err) != fault.Unverified {
			t.Fatalf("of an input that is none replay says %v", err)
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
		if written := in.json(); !bytes.Equal(written, marshal(in.value())) {
			t.Fatalf("%s is evaluated as %s", written, marshal(in.value()))
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
