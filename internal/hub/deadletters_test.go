package hub_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/schema"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// parked is a world in which one notification for Bristol was given up: its inbox did not answer in time.
func parked(t *testing.T, f *posternv1.Form) (*world, *posternv1.SealedNotification) {
	t.Helper()
	w := newWorld(t)
	n := w.one(f)
	w.decided(n)
	w.try()
	w.Clock.Advance(24 * time.Hour)
	if worked, err := w.Hub.StepDelivery(t.Context()); err != nil || !worked {
		t.Fatalf("worked %v: %v", worked, err)
	}
	letters := must(w.Hub.ListDeadLetters(t.Context(), &localv1.ListDeadLettersRequest{}))(t).GetDeadLetters()
	if len(letters) != 1 || letters[0].GetReason() != "NOT_DELIVERED_IN_TIME" || letters[0].GetNotificationId() != idOf(t, n) {
		t.Fatalf("dead letters %v", letters)
	}
	return w, n
}

func (w *world) requeue(name string) error {
	w.t.Helper()
	_, err := w.Hub.Requeue(w.t.Context(), &localv1.RequeueRequest{Id: name})
	return err
}

// What was given up in time is sent again by its reference, once, and the team shows it.
func TestADeadLetterIsSentAgain(t *testing.T) {
	w, n := parked(t, formtest.New(testkit.Bristol))
	reference := envelope.Reference(idOf(t, n))
	w.Clock.Advance(time.Hour)
	if told := w.updates(testkit.HMPBristol); len(told) != 1 || told[0].GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_UNDELIVERED {
		t.Errorf("the desk is told %v", told)
	}
	if err := w.requeue(reference); err != nil {
		t.Fatal(err)
	}
	wantFault(t, w.requeue(reference), fault.NotFound, "NO_DEAD_LETTER")
	w.settle()
	if items := w.Inbox(testkit.Bristol).Items(); len(items) != 1 || items[0].GetReference() != reference {
		t.Errorf("the team sees %v", items)
	}
	updates := w.updates(testkit.HMPBristol)
	if len(updates) != 2 || updates[0].GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_UNDELIVERED || updates[1].GetAcknowledgement() == nil {
		t.Errorf("the desk is told %v", updates)
	}
}

// One whose permission has ended meanwhile is decided again, and does not go.
func TestADeadLetterIsDecidedAgain(t *testing.T) {
	f := formtest.New(testkit.Bristol)
	f.Consent.ExpireTime = timestamppb.New(testkit.Now.Add(30 * time.Hour))
	w, n := parked(t, f)
	w.Clock.Advance(24 * time.Hour)
	if err := w.requeue(idOf(t, n)); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if len(w.Inbox(testkit.Bristol).Items()) != 0 || w.waiting() != 0 || w.rows(schema.HubParked)+w.rows(schema.HubOutboxBody) != 0 {
		t.Error("it went, or is still there")
	}
}

// A withdrawal deletes what was given up, and what is kept of what was delivered.
func TestAWithdrawalDeletesWhatIsParkedOrKept(t *testing.T) {
	w, n := parked(t, formtest.New(testkit.Bristol))
	w.withdraw(testkit.HMPBristol, idOf(t, n))
	wantFault(t, w.requeue(idOf(t, n)), fault.NotFound, "NO_DEAD_LETTER")
	if w.rows(schema.HubParked) != 0 || w.rows(schema.HubOutboxBody) != 1 { // the stop request's
		t.Errorf("%d parked, %d contents", w.rows(schema.HubParked), w.rows(schema.HubOutboxBody))
	}

	w = newWorld(t)
	n = w.shareable()
	w.decided(n)
	w.settle()
	if w.rows(schema.HubKept) != 1 {
		t.Fatalf("%d kept", w.rows(schema.HubKept))
	}
	w.withdraw(testkit.HMPBristol, idOf(t, n))
	if w.rows(schema.HubKept) != 0 || w.rows(schema.HubOutboxBody) != 1 {
		t.Errorf("%d kept, %d contents", w.rows(schema.HubKept), w.rows(schema.HubOutboxBody))
	}
	w.settle()
	if w.rows(schema.HubKept) != 1 { // the stop request
		t.Errorf("%d kept after the stop request was taken", w.rows(schema.HubKept))
	}
}
