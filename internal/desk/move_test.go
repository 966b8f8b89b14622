package desk_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const asksAgain = posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN

func move(t *testing.T, d *testkit.Desk, name, prison string) []*localv1.Notification {
	t.Helper()
	return must(d.Cases.RecordMove(t.Context(), &localv1.RecordMoveRequest{Id: name, PrisonId: prison}))(t).GetNotifications()
}

// askedOf is the task to ask the person again; nil for none.
func askedOf(n *localv1.Notification) *localv1.Task {
	for _, task := range n.GetTasks() {
		if task.GetKind() == asksAgain {
			return task
		}
	}
	return nil
}

// Somebody who was not asked and has moved is asked by nobody here: neither the notification nor the list of whom to ask says
// so, and nothing of it is overdue. What the safeguarding lead decides stays.
func TestWhoHasMovedIsNotAskedHere(t *testing.T) {
	x, d := opened(t)
	reception := signedIn(t, "REC1", "RECEPTION_OFFICER")
	known := formtest.Enquiry(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED)
	known.Gate, known.AskAgainDate = 0, ""
	draft := must(d.BeginDraft(reception, &localv1.Draft{Form: known}))(t)
	_, all, err := d.SendDraft(reception, draft.GetId(), draft.GetVersion(), "en")
	if err != nil {
		t.Fatal(err)
	}
	x.Settle()
	id := all[0].GetId()
	x.Clock.Advance(50 * time.Hour)
	x.Settle()
	if n := d.Get(id).GetNotification(); n.GetState() != waiting || askedOf(n) == nil || n.GetDueTime() == nil {
		t.Fatalf("nobody is to ask: %v", n)
	}
	if due := must(d.AskAgain(reception))(t); len(due) != 1 {
		t.Fatalf("to be asked again are %v", due)
	}
	for range 2 {
		n := move(t, d, id, testkit.HMPParc)[0]
		if n.GetState() != waiting || askedOf(n) != nil || n.GetDueTime() != nil || n.GetMove().GetPrisonId() != testkit.HMPParc || n.GetMove().GetPrisonName() == "" {
			t.Fatalf("moved, it is %v", n)
		}
	}
	if due := must(d.AskAgain(reception))(t); len(due) != 0 {
		t.Errorf("to be asked again are %v", due)
	}
	if day := must(d.Arrivals(reception, 3, "en"))(t); len(day.People) != 1 || day.People[0].Stage != "moved" {
		t.Errorf("the arrivals say %v", day.People)
	}
	for range 4 {
		x.Clock.Advance(24 * time.Hour)
		x.Settle()
	}
	if n := d.Get(id).GetNotification(); n.GetState() != referred || n.GetDueTime() == nil || askedOf(n) != nil || len(toDecide(t, d)) != 1 {
		t.Errorf("after the third day it is %v", n)
	}
	if n := move(t, d, id, testkit.HMPBristol)[0]; n.GetMove() != nil || askedOf(n) == nil {
		t.Errorf("back, it is %v", n)
	}
}

// A move holds for all that the desk has of the person, and takes nothing off it that needs nobody to be here.
func TestAMoveTakesOnlyWhatNeedsThePerson(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol)
	f.Gate, f.Children[0].Carer.IsAdult = posternv1.Gate_GATE_NOT_DONE, posternv1.Answer_ANSWER_NO
	byHand := formtest.New(testkit.Lancashire)
	byHand.PrisonNumber = f.GetPrisonNumber()
	one, same, other := d.Take(f)[0], d.Take(byHand)[0], d.Take(family())[0]
	x.Settle()
	before := d.Get(one).GetNotification()
	all := move(t, d, one, "OTHER")
	if len(all) != 2 || all[0].GetId() != one || all[1].GetId() != same {
		t.Fatalf("it is recorded of %v", all)
	}
	after := proto.CloneOf(all[0])
	after.Move = nil
	if before.SlipCode, after.SlipCode = "", ""; !proto.Equal(before, after) {
		t.Errorf("it was\n%v\nand is\n%v", before, after)
	}
	if !hasTask(all[1], posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE) || d.Get(other).GetNotification().GetMove() != nil {
		t.Errorf("what goes by hand is %v, another person's %v", all[1], d.Get(other).GetNotification())
	}
	setGate(t, d, one, posternv1.Gate_GATE_NO_HOLD)
	must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: one, Result: posternv1.CallResult_CALL_RESULT_ANSWERED}))(t)
	x.Settle()
	if n := d.Get(one).GetNotification(); n.GetState() != delivered || n.GetMove() == nil {
		t.Errorf("it goes no further: %v", n)
	}
	back := move(t, d, one, testkit.HMPBristol)[0]
	x.Clock.Advance(time.Hour)
	if again := move(t, d, one, testkit.HMPBristol)[0]; !proto.Equal(back, again) {
		t.Errorf("back once more, it is %v", again)
	}
	_, err := d.Cases.RecordMove(t.Context(), &localv1.RecordMoveRequest{Id: one, PrisonId: "ZZZ"})
	wantFault(t, err, fault.Invalid, "BAD_MOVE")
}

// What puts right a form about somebody who has moved is about them too.
func TestACorrectionKnowsOfTheMove(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol)
	first := d.Take(f)[0]
	x.Settle()
	move(t, d, first, testkit.HMPParc)
	right := proto.CloneOf(f)
	right.FormId, right.Supersedes, right.Children[0].Identity.GivenName = "", first, "Perry"
	if n := d.Get(d.Take(right)[0]).GetNotification(); n.GetMove().GetPrisonId() != testkit.HMPParc {
		t.Errorf("it is %v", n)
	}
}

// Under a hold the hub is not asked once more, and the person is to be asked on the first day and on the third all the same.
func TestAskingAgainUnderAHoldIsDueOnTheLastDay(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol)
	f.Gate, f.Consent.State = posternv1.Gate_GATE_HOLD, posternv1.ConsentState_CONSENT_STATE_NOT_ASKED
	id := d.Take(f)[0]
	x.Settle()
	first := askedOf(d.Get(id).GetNotification())
	if first == nil || first.GetOverdue() || d.State(id) != referred {
		t.Fatalf("it is %v", d.Get(id).GetNotification())
	}
	x.Clock.Advance(time.Until(first.GetDueTime().AsTime()) - time.Until(x.Clock.Now()) + time.Hour)
	x.Settle()
	last := askedOf(d.Get(id).GetNotification())
	if last.GetOverdue() || last.GetDueTime().AsTime().Sub(first.GetDueTime().AsTime()) != 48*time.Hour {
		t.Errorf("once the first day is over it is due %v", last)
	}
	x.Clock.Advance(48 * time.Hour)
	x.Settle()
	if last = askedOf(d.Get(id).GetNotification()); !last.GetOverdue() || last.GetDueTime().AsTime().Sub(first.GetDueTime().AsTime()) != 48*time.Hour {
		t.Errorf("once the last day is over it is due %v", last)
	}
}
