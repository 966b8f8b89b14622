package desk_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/plain"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// as opens the desk again for a user who holds this role and no other.
func as(d *testkit.Desk, role posternv1.StaffRole) {
	d.Restart(func(c *desk.Config) { c.Staff = map[uint32]desk.Staff{uint32(os.Getuid()): {ID: "ONE01", Role: role}} })
}

// counter is everything that the desk shows of a notification to whoever is signed in, with the marks of the one taken out.
func counter(t *testing.T, d *testkit.Desk, id string) string {
	t.Helper()
	var b strings.Builder
	got := d.Get(id)
	write := func(what string, m proto.Message) {
		text, err := plain.JSON(m)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(what + "\n" + string(text))
	}
	write("status", got)
	for what, req := range []*localv1.ListNotificationsRequest{{}, {Waiting: true}, {Referred: true}} {
		for _, n := range must(d.Local.ListNotifications(t.Context(), req))(t).GetNotifications() {
			if n.GetId() == id {
				write(fmt.Sprint("list ", what), n)
			}
		}
	}
	for _, lang := range []string{"en", "cy"} {
		slip := must(d.Counter.GetSlip(t.Context(), &localv1.GetSlipRequest{Id: id, Language: lang}))(t)
		b.Write(slip.GetContent())
	}
	_, err := d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: id})
	b.WriteString(err.Error())
	n := got.GetNotification()
	return strings.NewReplacer(n.GetId(), "ID", n.GetReference(), "REF", n.GetSlipCode(), "CODE", n.GetFormId(), "FORM").Replace(b.String())
}

// Two families who differ in nothing but what public protection found, side by side at one counter: from the form to the
// day after the check was due, and at every withdrawal.
func TestReceptionSeesAHoldAsAnyWait(t *testing.T) {
	unborn := formtest.New(testkit.Bristol, testkit.Bristol)
	unborn.Gate = posternv1.Gate_GATE_NOT_DONE
	byThemselves, later := mayBeAlone(3), unchecked(testkit.Bristol)
	byThemselves.Gate = posternv1.Gate_GATE_NOT_DONE
	later.Consent = &posternv1.Consent{Version: 1, Jurisdiction: "GB-ENG", State: posternv1.ConsentState_CONSENT_STATE_NOT_ASKED}
	for name, f := range map[string]*posternv1.Form{"an ordinary family": unchecked(testkit.Bristol), "two children": unborn, "no agreement": unchecked(testkit.Lancashire),
		"two who may be alone": byThemselves, "not asked yet": later} {
		x, d := opened(t)
		lead := func() { as(d, posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD) }
		reception := func() { as(d, posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER) }
		twin := proto.CloneOf(f)
		twin.PrisonNumber = formtest.New(testkit.Bristol).GetPrisonNumber()
		wait, hold := d.Take(f)[0], d.Take(twin)[0]
		x.Settle()
		as(d, posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION)
		if all := setGate(t, d, hold, posternv1.Gate_GATE_HOLD); all[0].GetState() != referred || all[0].GetGate().GetGate() != posternv1.Gate_GATE_HOLD {
			t.Fatalf("%s: whoever holds it sees %v", name, all[0])
		}
		compare := func(when string) {
			t.Helper()
			reception()
			if a, b := counter(t, d, wait), counter(t, d, hold); a != b {
				t.Errorf("%s, %s: reception sees\n%s\nof what waits and\n%s\nof what is held", name, when, a, b)
			}
			if n := d.Get(hold).GetNotification(); n.GetDecision() == nil || strings.Contains(protojson.Format(n), "gate_hold") {
				t.Errorf("%s, %s: reception sees %v", name, when, n)
			}
		}
		compare("at once")
		x.Clock.Advance(2 * time.Hour)
		x.Settle()
		compare("when nobody has telephoned")
		x.Clock.Advance(32 * time.Hour)
		x.Settle()
		compare("when nobody has asked again")
		x.Clock.Advance(38 * time.Hour) // past the next working day at 17:00
		x.Settle()
		compare("when the check is overdue")
		lead()
		if n := d.Get(hold); n.GetNotification().GetState() != referred || n.GetReceipt() == nil || !strings.Contains(protojson.Format(n.GetNotification()), "gate_hold") {
			t.Errorf("%s: the safeguarding lead sees %v", name, n)
		}
		if out := needPerson(t, d); len(out) != 2 {
			t.Errorf("%s: %d in the lead's queue, not both", name, len(out))
		}
		x.Settle()
		reception()
		for _, id := range []string{wait, hold} {
			out := must(d.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{
				Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}))(t)
			if strings.Contains(protojson.Format(out), "gate_hold") {
				t.Errorf("%s: withdrawn, it reads %v", name, out)
			}
		}
	}
}

// What the safeguarding lead wrote down stays with them.
func TestReceptionDoesNotReadWhyTheLeadDecided(t *testing.T) {
	x, d := opened(t)
	urgent := urgently(x, d)
	must(d.Cases.Review(t.Context(), &localv1.ReviewRequest{Id: urgent, Findings: "It is not for the counter."}))(t)
	id := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	must(d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id, Reasons: "Why is not for the counter.",
		Codes: &posternv1.Consideration{Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES}}))(t)
	as(d, posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER)
	if n := d.Get(id).GetNotification(); len(n.GetConsiderations()) != 1 || strings.Contains(protojson.Format(n), "counter") {
		t.Errorf("reception sees %v", n)
	}
	if n := d.Get(urgent).GetNotification(); n.GetReview() == nil || strings.Contains(protojson.Format(n), "counter") {
		t.Errorf("reception sees of a review %v", n)
	}
}
