package desk_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/plain"
	"postern/internal/rpc"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// Whoever does the public-protection check is shown every form that waits for it, and none that goes without it, is cleared
// or is over: those that nobody has looked at first, then those held, each the oldest first.
func TestWhatIsAtTheGate(t *testing.T) {
	x, d := opened(t)
	names, forms := map[string]string{}, map[string]*posternv1.Form{}
	take := func(name string, f *posternv1.Form, found posternv1.Gate) string {
		t.Helper()
		x.Clock.Advance(time.Minute)
		ids := d.Take(f)
		forms[name] = f
		x.Settle()
		for _, id := range ids {
			names[id] = name
		}
		if found != posternv1.Gate_GATE_UNSPECIFIED {
			setGate(t, d, ids[0], found)
			x.Settle()
		}
		return ids[0]
	}
	const unset, noHold, hold = posternv1.Gate_GATE_UNSPECIFIED, posternv1.Gate_GATE_NO_HOLD, posternv1.Gate_GATE_HOLD
	unsaid := unchecked(testkit.Bristol)
	unsaid.Gate = unset
	undone := unchecked(testkit.Bristol, testkit.Lancashire)

	take("held 1", unchecked(testkit.Bristol), hold)
	take("cleared", unchecked(testkit.Bristol), noHold)
	take("not done, two teams", undone, unset)
	take("found nothing before", formtest.New(testkit.Bristol), unset)
	take("held 2", unchecked(testkit.Bristol, testkit.Lancashire), hold)
	take("not said", unsaid, unset)
	take("urgent", formtest.Urgent(testkit.Bristol, 1), unset)
	duty := formtest.Duty(testkit.Bristol, 1)
	duty.Gate = posternv1.Gate_GATE_NOT_DONE
	take("duty", duty, unset)
	take("an enquiry", formtest.Declined(), unset)
	withdraw(t, d, take("taken back", unchecked(testkit.Bristol), unset))
	take("held 3", unchecked(testkit.Bristol), hold)

	// While the hub is away all that is not over waits.
	d.Link.Down(true)
	heldInForm := formtest.New(testkit.Bristol)
	heldInForm.Gate = hold
	take("held in the form", heldInForm, unset)
	take("found nothing before, waits", formtest.New(testkit.Bristol), unset)
	take("cleared, waits", unchecked(testkit.Bristol), noHold)
	take("held after all", formtest.New(testkit.Bristol), hold)
	take("urgent, waits", formtest.Urgent(testkit.Bristol, 1), unset)
	duty = formtest.Duty(testkit.Bristol, 1)
	duty.Gate = posternv1.Gate_GATE_NOT_DONE
	take("duty, waits", duty, unset)
	take("an enquiry, waits", formtest.Declined(), unset)

	person := func(role string) context.Context {
		return rpc.WithPerson(t.Context(), rpc.Person{ID: "ONE01", Roles: []string{role}})
	}
	if _, err := d.ListAtGate(person("RECEPTION_OFFICER")); fault.From(err).Reason != "WRONG_ROLE" {
		t.Errorf("reception is answered %v", err)
	}
	var got []string
	for _, at := range must(d.ListAtGate(person("PUBLIC_PROTECTION")))(t) {
		got = append(got, fmt.Sprintf("%s: %d %s", names[at.Notifications[0].GetId()], len(at.Notifications), plain.Enum(at.Gate)))
		if at.Person.Number != forms[names[at.Notifications[0].GetId()]].GetPrisonNumber() {
			t.Errorf("%s is about another person", got[len(got)-1])
		}
	}
	want := []string{"not done, two teams: 2 NOT_DONE", "not said: 1 NOT_DONE", "held 1: 1 HOLD", "held 2: 2 HOLD", "held 3: 1 HOLD",
		"held in the form: 1 HOLD", "held after all: 1 HOLD"}
	if !slices.Equal(got, want) {
		t.Errorf("at the gate are\n%q, want\n%q", got, want)
	}
}
