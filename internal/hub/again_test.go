package hub_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// The same form as a second notification is withheld, and the answer points to the first. After a withdrawal of the
// first it goes again.
func TestTheSameContentTwiceIsWithheld(t *testing.T) {
	w := newWorld(t)
	f := formtest.New(testkit.Bristol)
	first := w.one(f)
	if d, _ := w.decided(first); d.GetDecision().GetOutcome() != share {
		t.Fatalf("first: %v", d.GetDecision())
	}
	for range 2 {
		d, _ := w.decided(w.one(proto.CloneOf(f)))
		if got := d.GetDecision(); got.GetOutcome() != withhold || got.GetFirstNotificationId() != idOf(t, first) || !slices.Contains(rules(got), "already_notified") {
			t.Fatalf("again: %v", got)
		}
	}
	if n := w.waiting(); n != 1 {
		t.Errorf("%d deliveries wait", n)
	}
	w.withdraw(testkit.HMPBristol, idOf(t, first))
	if d, _ := w.decided(w.one(proto.CloneOf(f))); d.GetDecision().GetOutcome() != share {
		t.Errorf("after the withdrawal: %v", d.GetDecision())
	}
}

// Another child, another day of reception or another prison is other content.
func TestOtherContentGoes(t *testing.T) {
	w := newWorld(t)
	f := formtest.New(testkit.Bristol)
	w.decided(w.one(f))
	for name, edit := range map[string]func(*posternv1.Form){
		"another child":     func(f *posternv1.Form) { f.Children[0].Identity.GivenName = "Another-Peregrine" },
		"another reception": func(f *posternv1.Form) { f.Reception.ReceiveDate = "2026-11-20" },
		"another parent":    func(f *posternv1.Form) { f.PrisonNumber = "Z9999ZZ" },
	} {
		other := proto.CloneOf(f)
		edit(other)
		if d, _ := w.decided(w.one(other)); d.GetDecision().GetOutcome() != share {
			t.Errorf("%s: %v", name, d.GetDecision())
		}
	}
}
