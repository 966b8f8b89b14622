package desk_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	stateWithdrawn = localv1.State_STATE_WITHDRAWN
	stateStopAsked = localv1.State_STATE_STOP_ASKED

	byPhone = posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE
)

// withdraws takes a withdrawal as the command does, with one attempt.
func withdraws(t *testing.T, d *testkit.Desk, id, code string, paths ...string) *localv1.Notification {
	t.Helper()
	out, err := d.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: paths, Method: byPhone, SlipCode: code})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetNotification()
}

func TestAWithdrawalIsAnsweredAtOnce(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	if _, err := d.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := withdraws(t, d, envelope.Reference(id), "")
	if n.GetState() != stateWithdrawn || len(n.GetWithdrawals()) != 1 || n.GetWithdrawals()[0].GetAnswer() == nil || n.GetWithdrawals()[0].GetMethod() != byPhone {
		t.Fatalf("the desk shows %v", n)
	}
	if again := withdraws(t, d, id, "", "child/1/phone"); !proto.Equal(again, n) {
		t.Errorf("a part of it again: %v", again)
	}
	x.Settle()
	if d.State(id) != stateWithdrawn || len(x.Inbox(testkit.Bristol).Items()) != 0 {
		t.Errorf("it ended as %v", d.State(id))
	}
}

// A withdrawal that the log does not have is not answered, whatever the hub says of it, and goes on being sent.
func TestAWithdrawalThatItsReceiptDoesNotProveIsNotAnswered(t *testing.T) {
	x, d := opened(t)
	earlier, id := d.Take(family())[0], d.Take(family())[0]
	x.Settle()
	kept := withdraws(t, d, earlier, "").GetWithdrawals()[0].GetAnswer()
	other := &posternv1.SubmitResponse{}
	d.Link.Answers(rewrite(t, "Submit", other, func(r *posternv1.SubmitResponse) { proto.Merge(other, r) }))
	withdraws(t, d, d.Take(family())[0], "") // of the same second as what follows
	d.Link.Down(true)
	withdraws(t, d, id, "")
	d.Link.Down(false)
	if other.GetReceipt() == nil || kept == nil {
		t.Fatal("the hub has answered no other withdrawal")
	}
	for name, edit := range map[string]func(*posternv1.SubmitResponse){
		"no receipt":  func(r *posternv1.SubmitResponse) { r.Receipt = nil },
		"no decision": func(r *posternv1.SubmitResponse) { r.Decision = nil },
		"of another":  func(r *posternv1.SubmitResponse) { r.Receipt, r.Decision = other.GetReceipt(), other.GetDecision() },
		"outcome":     func(r *posternv1.SubmitResponse) { r.Decision.Outcome = posternv1.Outcome_OUTCOME_SHARE },
		"time":        func(r *posternv1.SubmitResponse) { r.Decision.DecideTime.Seconds++ },
	} {
		d.Link.Answers(rewrite(t, "Submit", &posternv1.SubmitResponse{}, edit))
		x.Clock.Advance(testkit.MaxWait)
		if _, err := d.StepSpool(t.Context()); fault.KindOf(err) != fault.Unverified {
			t.Errorf("%s: %v", name, err)
		}
		if w := d.Get(id).GetNotification().GetWithdrawals(); len(w) != 1 || w[0].GetAnswer() != nil {
			t.Errorf("%s: the desk shows %v", name, w)
		}
	}
	d.Link.Answers(nil)
	wait(x)
	if w := d.Get(id).GetNotification().GetWithdrawals(); w[0].GetAnswer().GetOutcome() != posternv1.Outcome_OUTCOME_WITHHOLD || len(teamHas(t, x.Inbox(testkit.Bristol), id)) > 0 {
		t.Errorf("it ended as %v", w)
	}
}

func TestAWithdrawalOutlivesTheHubBeingDown(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	d.Link.Down(true)
	n := withdraws(t, d, id, "")
	if n.GetState() != localv1.State_STATE_QUEUED || n.GetWithdrawals()[0].GetAnswer() != nil {
		t.Fatalf("the desk shows %v", n)
	}
	d.Restart()
	d.Link.Down(false)
	submitted := 0
	d.Link.Requests(func(method string, b []byte) []byte {
		if strings.HasSuffix(method, "/Submit") {
			submitted++
		}
		return b
	})
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if d.State(id) != stateWithdrawn || submitted != 1 {
		t.Errorf("it ended as %v after %d submissions; the notification was not to be sent for the first time", d.State(id), submitted)
	}
}

// A notification whose answer never holds stays at the head of its line; a withdrawal does not wait behind it.
func TestAWithdrawalGoesFirst(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	first := d.Take(formtest.New(testkit.Bristol))[0]
	if _, err := d.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Take(formtest.New(testkit.Bristol, testkit.Bristol))
	if _, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: first, Method: byPhone}, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	if _, err := d.StepSpool(t.Context()); err != nil || d.State(first) != stateWithdrawn {
		t.Errorf("%v, %v", d.State(first), err)
	}
}

func TestPartsAreWithdrawnOneByOne(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	if _, err := d.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := withdraws(t, d, id, "", "child/1/phone", "child/1/phone")
	if n.GetState() != localv1.State_STATE_ACCEPTED || !slices.Equal(n.GetWithdrawals()[0].GetPaths(), []string{"child/1/phone"}) {
		t.Fatalf("the desk shows %v", n)
	}
	x.Settle()
	got := d.Get(id)
	if n := got.GetNotification(); n.GetState() != localv1.State_STATE_DELIVERED || slices.Contains(n.GetDecision().GetPaths(), "child/1/phone") || len(n.GetDecision().GetPaths()) != 14 {
		t.Errorf("after the narrower decision the desk shows %v", n)
	}
	if n := withdraws(t, d, id, "", "parent/birth"); n.GetState() != localv1.State_STATE_DELIVERED || len(n.GetWithdrawals()) != 2 {
		t.Errorf("the desk shows %v", n)
	}
	x.Settle()
	if n := withdraws(t, d, id, ""); n.GetState() != stateStopAsked || len(n.GetWithdrawals()) != 3 {
		t.Errorf("the desk shows %v", n)
	}
	x.Settle()
	if d.State(id) != stateStopAsked {
		t.Errorf("it ended as %v", d.State(id))
	}
}

func TestAnotherPrisonTakesItWithTheSlip(t *testing.T) {
	x := testkit.NewExchange(t)
	bristol, parc := x.Desk(testkit.HMPBristol), x.Desk(testkit.HMPParc)
	ids := bristol.Take(formtest.New(testkit.Bristol, testkit.Lancashire))
	sent := bristol.Get(ids[0]).GetNotification()
	if other := bristol.Get(ids[1]).GetNotification(); sent.GetSlipCode() == "" || other.GetSlipCode() == sent.GetSlipCode() {
		t.Fatalf("codes %q and %q", sent.GetSlipCode(), other.GetSlipCode())
	}
	listed, err := bristol.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{})
	if err != nil || listed.GetNotifications()[0].GetSlipCode() != "" || listed.GetNotifications()[1].GetSlipCode() != "" {
		t.Errorf("a list shows codes (%v)", err)
	}
	if _, err := bristol.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrong, err := envelope.NewSlipCode(strings.NewReader("nine chars"))
	if err != nil {
		t.Fatal(err)
	}
	if n := withdraws(t, parc, sent.GetReference(), wrong); n.GetState() != localv1.State_STATE_REFERRED || !n.GetElsewhere() {
		t.Errorf("with a wrong code Parc shows %v", n)
	}
	typed := strings.ToLower(strings.ReplaceAll(sent.GetSlipCode(), "-", " "))
	if n := withdraws(t, parc, sent.GetReference(), typed); n.GetState() != stateWithdrawn || n.GetReference() != sent.GetReference() || len(n.GetWithdrawals()) != 2 {
		t.Errorf("with the right one Parc shows %v", n)
	}
	x.Settle()
	if got := bristol.State(ids[0]); got != stateWithdrawn {
		t.Errorf("Bristol, which sent it, shows %v", got)
	}
	if got := parc.State(sent.GetReference()); got != stateWithdrawn {
		t.Errorf("Parc shows %v", got)
	}
}

// What came of a part says nothing of the rest, of which another prison knows nothing: only all of it is withdrawn.
func TestAPartTakenAtAnotherPrisonIsNotAllOfIt(t *testing.T) {
	x := testkit.NewExchange(t)
	bristol, parc := x.Desk(testkit.HMPBristol), x.Desk(testkit.HMPParc)
	f := formtest.New(testkit.Bristol)
	f.Consent.Sections = slices.DeleteFunc(f.GetConsent().GetSections(), func(p string) bool { return p == "child/1/phone" })
	id := bristol.Take(f)[0]
	x.Settle()
	sent := bristol.Get(id).GetNotification()
	for _, path := range []string{"child/1/phone", "parent/birth"} { // the first was never agreed to, the second was sent
		if n := withdraws(t, parc, sent.GetReference(), sent.GetSlipCode(), path); n.GetState() != localv1.State_STATE_PART_WITHDRAWN || n.GetWithdrawals()[len(n.GetWithdrawals())-1].GetAnswer() == nil {
			t.Errorf("after %s Parc shows %v", path, n)
		}
	}
	x.Settle()
	if bristol.State(id) != localv1.State_STATE_DELIVERED || parc.State(sent.GetReference()) != localv1.State_STATE_PART_WITHDRAWN {
		t.Errorf("Bristol shows %v, Parc %v", bristol.State(id), parc.State(sent.GetReference()))
	}
	if n := withdraws(t, parc, sent.GetReference(), sent.GetSlipCode()); n.GetState() != stateStopAsked {
		t.Errorf("after all of it Parc shows %v", n)
	}
}

func TestWhatCannotBeWithdrawnIsSaidPlainly(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	id, enquiry := d.Take(formtest.New(testkit.Bristol))[0], d.Take(formtest.Declined())[0]
	cases := map[string]struct {
		req    *localv1.WithdrawNotificationRequest
		reason string
	}{
		"no method":              {&localv1.WithdrawNotificationRequest{Id: id}, "BAD_WITHDRAWAL"},
		"no such section":        {&localv1.WithdrawNotificationRequest{Id: id, Method: byPhone, Paths: []string{"child/1/offence"}}, "BAD_WITHDRAWAL"},
		"an enquiry":             {&localv1.WithdrawNotificationRequest{Id: enquiry, Method: byPhone}, "NOTHING_TO_WITHDRAW"},
		"not here, without code": {&localv1.WithdrawNotificationRequest{Id: "7b0f4c1e-93a5-4d28-8e61-2f5d9c0ab374", Method: byPhone}, "NOT_FOUND"},
		"not a name":             {&localv1.WithdrawNotificationRequest{Id: "PN-0000-0000", Method: byPhone}, "BAD_REFERENCE"},
		"not a code":             {&localv1.WithdrawNotificationRequest{Id: "7b0f4c1e-93a5-4d28-8e61-2f5d9c0ab374", Method: byPhone, SlipCode: "22222-22222"}, "BAD_SLIP_CODE"},
	}
	for name, c := range cases {
		_, err := d.Withdraw(t.Context(), c.req, testkit.Staff)
		if f := fault.From(err); err == nil || f.Reason != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
	if n := d.Get(id).GetNotification(); len(n.GetWithdrawals()) != 0 {
		t.Errorf("something was taken: %v", n)
	}
}

// Children are numbered by their notification: what has another number there, or goes to another team, is no child of it,
// and nobody hears that she was taken back.
func TestAChildWhoIsNotInItIsNotWithdrawn(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	ids := d.Take(formtest.New(testkit.Bristol, testkit.Lancashire))
	for _, path := range []string{"child/2", "child/2/phone", "child/99"} {
		_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: ids[1], Method: byPhone, Paths: []string{"parent/birth", path}}, testkit.Staff)
		wantFault(t, err, fault.Invalid, "NO_CHILD")
	}
	if n := d.Get(ids[1]).GetNotification(); len(n.GetWithdrawals()) != 0 {
		t.Errorf("something was taken: %v", n)
	}
	if n := withdraws(t, d, ids[1], "", "child/1"); len(n.GetWithdrawals()) != 1 || len(n.GetWithdrawals()[0].GetPaths()) != 0 {
		t.Errorf("its one child: %v", n.GetWithdrawals())
	}
	if names := d.Get(ids[0]).GetChildren(); len(names) != 1 || names[0] == "" {
		t.Errorf("its children are called %q", names)
	}
}

// What the hub says of a withdrawal, or of a decision made again, counts with its receipt only.
func TestTheHubsWordAloneWithdrawsNothing(t *testing.T) {
	edits := map[string]func(*posternv1.Update){
		"no receipt":      func(u *posternv1.Update) { u.Receipt = nil },
		"another outcome": func(u *posternv1.Update) { u.GetDecision().Outcome = posternv1.Outcome_OUTCOME_REFER_TO_PERSON },
		"another proof":   func(u *posternv1.Update) { u.GetReceipt().Opening[0] ^= 1 },
	}
	for name, edit := range edits {
		x := testkit.NewExchange(t)
		d := x.Desk(testkit.HMPBristol)
		id := d.Take(formtest.New(testkit.Bristol))[0]
		if _, err := d.StepSpool(t.Context()); err != nil {
			t.Fatal(err)
		}
		withdraws(t, d, id, "", "child/1/phone")
		d.Link.Answers(func(method string, b []byte) []byte {
			if !strings.HasSuffix(method, "/ListUpdates") {
				return b
			}
			page := &posternv1.ListUpdatesResponse{}
			if err := proto.Unmarshal(b, page); err != nil {
				t.Error(err)
			}
			for _, u := range page.GetUpdates() {
				edit(u)
			}
			b, err := proto.Marshal(page)
			if err != nil {
				t.Error(err)
			}
			return b
		})
		if worked, err := d.StepUpdates(t.Context()); err != nil || !worked {
			t.Fatalf("worked %v: %v", worked, err)
		}
		if n := d.Get(id).GetNotification(); len(n.GetDecision().GetPaths()) != 15 || n.GetState() != localv1.State_STATE_ACCEPTED {
			t.Errorf("%s: believed: %v", name, n.GetState())
		}
	}
}

// Urgent sharing is not undone: a withdrawal that is taken while the form still waits for the hub comes after it, and is
// recorded as an objection. The form goes.
func TestAnUrgentFormIsNotTakenBackWhileItWaits(t *testing.T) {
	x, d := opened(t)
	d.Link.Down(true)
	id := d.Take(formtest.Urgent(testkit.Bristol, 1))[0]
	withdraw(t, d, id)
	d.Link.Down(false)
	wait(x)
	n := d.Get(id).GetNotification()
	if n.GetState() != delivered || len(x.Inbox(testkit.Bristol).Items()) != 1 {
		t.Errorf("it ends as %v", n.GetState())
	}
	if reasons := n.GetWithdrawals()[0].GetAnswer().GetReasons(); len(reasons) != 1 || reasons[0].GetRuleId() != "objection_recorded" {
		t.Errorf("the withdrawal was answered %v", reasons)
	}
}

// An objection to what does not go by permission undoes nothing: what waits for a call still goes when somebody has
// called, with the sections that were objected to, and what could not be delivered goes again to a new key.
func TestAnObjectionStopsNothingThatWaits(t *testing.T) {
	for name, paths := range map[string][]string{"to all of it": nil, "to a section": {"child/1/phone"}} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			f := formtest.Urgent(testkit.Bristol, 1)
			f.Urgency.Calls = nil
			id := d.Take(f)[0]
			x.Settle()
			if d.State(id) != localv1.State_STATE_WAITING {
				t.Fatalf("without a call it is %v", d.State(id))
			}
			if n := withdraws(t, d, id, "", paths...); n.GetState() != localv1.State_STATE_WAITING || !n.GetWithdrawals()[0].GetObjection() {
				t.Fatalf("after an objection it is %v", n)
			}
			call := &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_NO_ANSWER}
			if _, err := d.Cases.RecordCall(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			x.Settle()
			n := d.Get(id).GetNotification()
			if n.GetState() != delivered || !slices.Contains(n.GetDecision().GetPaths(), "child/1/phone") {
				t.Errorf("it ends as %v with %v", n.GetState(), n.GetDecision().GetPaths())
			}
		})
	}
}

// A notification is about children: with the last of them all is taken back, and no page about the parent alone is left
// at the team or to be printed.
func TestTheLastChildTakesAllBack(t *testing.T) {
	x, d := opened(t)
	sent, byHand := d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0], d.Take(formtest.New(testkit.Lancashire, testkit.Lancashire))[0]
	x.Settle()
	if n := withdraws(t, d, sent, "", "child/2"); n.GetState() != localv1.State_STATE_DELIVERED {
		t.Fatalf("after one child of two it is %v", n.GetState())
	}
	if n := withdraws(t, d, sent, "", "child/1", "parent/birth"); n.GetState() != stateStopAsked {
		t.Errorf("after the other child it is %v", n.GetState())
	}
	x.Settle()
	if items := x.Inbox(testkit.Bristol).Items(); len(items) != 1 || items[0].GetStop() == nil || len(items[0].GetStop().GetPaths()) != 0 {
		t.Errorf("the team still sees %v", items)
	}
	d.Link.Down(true)
	for _, child := range []string{"child/1", "child/2"} {
		if _, err := d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: byHand}); err != nil {
			t.Fatalf("before %s was taken back: %v", child, err)
		}
		withdraws(t, d, byHand, "", child)
	}
	_, err := d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: byHand})
	wantFault(t, err, fault.Precondition, "NO_MANUAL_ROUTE")
	d.Link.Down(false)
	wait(x)
	if d.State(byHand) != stateWithdrawn {
		t.Errorf("what went by hand ends as %v", d.State(byHand))
	}
}
