package engine_test

import (
	"reflect"
	"slices"
	"testing"

	"postern/internal/engine"
)

// twoChildren is an Input in which everything is offered and permitted.
func twoChildren() *engine.Input {
	all := func(names ...string) engine.Sections {
		return engine.Sections{Offered: slices.Clone(names), Permitted: slices.Clone(names)}
	}
	return &engine.Input{Now: "then", Gate: "NO_HOLD", Parent: all("name", "birth"), Children: []engine.Child{
		{Number: 1, Sections: all("identity", "phone")}, {Number: 2, Sections: all("identity", "phone")}}}
}

func TestWithdrawTakesFromThePermission(t *testing.T) {
	for name, c := range map[string]struct {
		paths       []string
		parent      []string
		first, next []string
	}{
		"nothing that is there": {[]string{"child/1/school", "child/3"}, []string{"name", "birth"}, []string{"identity", "phone"}, []string{"identity", "phone"}},
		"a section":             {[]string{"child/2/phone", "parent/birth"}, []string{"name"}, []string{"identity", "phone"}, []string{"identity"}},
		"a child":               {[]string{"child/1"}, []string{"name", "birth"}, nil, []string{"identity", "phone"}},
		"all":                   {nil, nil, nil, nil},
	} {
		in := twoChildren()
		in.Withdraw(c.paths)
		if !slices.Equal(in.Parent.Permitted, c.parent) || !slices.Equal(in.Children[0].Permitted, c.first) || !slices.Equal(in.Children[1].Permitted, c.next) {
			t.Errorf("%s: %v %v %v", name, in.Parent.Permitted, in.Children[0].Permitted, in.Children[1].Permitted)
		}
		if len(in.Parent.Offered) != 2 || len(in.Children[1].Offered) != 2 {
			t.Errorf("%s: what was offered changed", name)
		}
	}
}

func TestOfferOnlyNarrows(t *testing.T) {
	in := twoChildren()
	in.OfferOnly([]string{"parent/name", "child/2/phone", "child/2/home"})
	if !slices.Equal(in.Parent.Offered, []string{"name"}) || len(in.Children[0].Offered) != 0 || !slices.Equal(in.Children[1].Offered, []string{"phone"}) {
		t.Errorf("offered %v %v %v", in.Parent.Offered, in.Children[0].Offered, in.Children[1].Offered)
	}
}

// TestRenewKeepsTheFacts: of every field, only what changes with the hour is taken from the newer Input.
func TestRenewKeepsTheFacts(t *testing.T) {
	in, now := twoChildren(), &engine.Input{Now: "now", Today: "today", Gate: "HOLD", Caller: engine.Caller{Known: true},
		Recipient: engine.Recipient{Known: true}, Agreement: engine.Agreement{InForce: true}}
	want := twoChildren()
	want.Now, want.Today, want.Caller, want.Recipient, want.Agreement = "now", "today", now.Caller, now.Recipient, now.Agreement
	if in.Renew(now); !reflect.DeepEqual(in, want) {
		t.Errorf("%+v", in)
	}
}
