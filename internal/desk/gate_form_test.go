package desk_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What the public-protection check found is set by whoever does it, also where it stands in a form: reception cannot write that
// nothing was found, and least of all over a hold.
func TestReceptionDoesNotWriteThatTheCheckFoundNothing(t *testing.T) {
	x, d := opened(t)
	held := unchecked(testkit.Bristol)
	id := d.Take(held)[0]
	x.Settle()
	setGate(t, d, id, posternv1.Gate_GATE_HOLD)
	x.Settle()
	as(d, posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER)
	again := proto.CloneOf(formtest.New(testkit.Bristol))
	again.PrisonNumber, again.Supersedes, again.Gate = held.GetPrisonNumber(), d.Get(id).GetNotification().GetReference(), posternv1.Gate_GATE_NO_HOLD
	typed, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(again)
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: typed})
	if err != nil {
		return // refused
	}
	x.Settle()
	if s := d.State(out.GetNotifications()[0].GetId()); s == accepted || s == delivered {
		t.Errorf("what public protection holds went, for reception wrote that nothing was found: %s", s)
	}
}
