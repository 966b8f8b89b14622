package desk_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// A hub refuses what comes from the future by its clock. That passes, so a desk whose clock is ahead keeps its
// notification and its withdrawal, and gets both answers once their moment has come.
func TestWhatComesFromTheFutureWaits(t *testing.T) {
	x, d := opened(t)
	ahead := func(c *desk.Config) { c.Clock = func() time.Time { return x.Clock.Now().Add(time.Hour) } }
	d.Restart(ahead)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	if _, err := d.StepSpool(t.Context()); err == nil || d.State(id) != queued {
		t.Fatalf("from the future: %v, %v", d.State(id), err)
	}
	x.Clock.Advance(time.Hour)
	x.Settle()
	if d.State(id) != delivered {
		t.Fatalf("an hour later: %v", d.State(id))
	}

	req := &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}
	if _, err := d.Withdraw(t.Context(), req, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	if _, err := d.StepSpool(t.Context()); err == nil || d.Get(id).GetNotification().GetWithdrawals()[0].GetAnswer() != nil {
		t.Fatalf("a withdrawal from the future: %v, %v", d.Get(id), err)
	}
	x.Clock.Advance(time.Hour)
	x.Settle()
	if d.State(id) != localv1.State_STATE_STOP_ASKED {
		t.Fatalf("an hour later: %v", d.State(id))
	}
}

// The clock of the hub was ahead when it decided, and is right when what came in meanwhile is submitted: the newer
// decision stands, though its time is earlier, or the notification would wait for ever.
func TestTheDecisionOfAClockThatWasAheadIsOver(t *testing.T) {
	var x *testkit.Exchange
	var ahead time.Duration
	x, d := opened(t, func(c *testkit.Config) {
		c.ClockOf = func(party string) func() time.Time {
			return func() time.Time {
				switch {
				case x == nil:
					return testkit.Now
				case party == "hub":
					return x.Clock.Now().Add(ahead)
				}
				return x.Clock.Now()
			}
		}
	})
	f := family()
	f.Gate, f.Children[0].Carer.IsAdult = posternv1.Gate_GATE_NOT_DONE, posternv1.Answer_ANSWER_NO
	id := d.Take(f)[0]
	ahead = 4 * 24 * time.Hour
	if _, err := d.StepSpool(t.Context()); err != nil || d.State(id) != referred {
		t.Fatalf("by the clock that is ahead: %v (%v)", d.State(id), err)
	}
	ahead = 0
	n := must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED}))(t).GetNotifications()[0]
	if n.GetState() != waiting || n.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_WAIT || n.GetResubmitTime() == nil {
		t.Errorf("by the clock that is right: %v", n)
	}
}

// So does a decision not to share: the hub would have had no record of it for ever.
func TestAConsiderationFromTheFutureWaits(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.Declined())[0]
	x.Settle()
	d.Restart(func(c *desk.Config) { c.Clock = func() time.Time { return x.Clock.Now().Add(time.Hour) } })
	n := must(d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id, Reasons: "The family is known and helped.", Codes: &posternv1.Consideration{
		Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES}}))(t).GetNotifications()[0]
	if n.GetConsiderations()[0].GetAnswer() != nil {
		t.Fatalf("a consideration from the future: %v", n)
	}
	x.Clock.Advance(time.Hour)
	x.Settle()
	if n := d.Get(id).GetNotification(); n.GetState() != withheld || len(events(t, x, logv1.Kind_KIND_CONSIDERED)) != 1 {
		t.Errorf("an hour later: %v", n)
	}
}

// A desk that was off while the team's certificate ended hears all the same that the team has it.
func TestAnAcknowledgementOutlivesItsCertificate(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	for _, step := range []func(context.Context) (bool, error){d.StepSpool, x.Hub.StepDelivery} {
		if _, err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	x.Clock.Advance(500 * 24 * time.Hour)
	if _, err := d.StepUpdates(t.Context()); err != nil || d.State(id) != delivered {
		t.Errorf("the desk has it as %v (%v)", d.State(id), err)
	}
}

// A hub whose clock is a minute behind hears the team in the hour before the notification was made. That is no reason to
// lose what it said.
func TestAnAcknowledgementOutlivesItsCertificateThoughAClockIsBehind(t *testing.T) {
	x, d := opened(t)
	d.Link.Answers(rewrite(t, "ListUpdates", &posternv1.ListUpdatesResponse{}, func(r *posternv1.ListUpdatesResponse) {
		for _, u := range r.GetUpdates() {
			u.UpdateTime = timestamppb.New(u.GetUpdateTime().AsTime().Add(-2 * time.Hour))
		}
	}))
	id := d.Take(formtest.New(testkit.Bristol))[0]
	for _, step := range []func(context.Context) (bool, error){d.StepSpool, x.Hub.StepDelivery} {
		if _, err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	x.Clock.Advance(500 * 24 * time.Hour)
	if _, err := d.StepUpdates(t.Context()); err != nil || d.State(id) != delivered {
		t.Errorf("the desk has it as %v (%v)", d.State(id), err)
	}
}

// However long the line was cut, a withdrawal is taken; the notification itself is too old by then.
func TestAWithdrawalDoesNotRunOut(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	req := &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}
	if _, err := d.Withdraw(t.Context(), req, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	x.Clock.Advance(100 * 24 * time.Hour)
	x.Settle()
	if d.State(id) != localv1.State_STATE_WITHDRAWN {
		t.Errorf("after a hundred days: %v", d.State(id))
	}
}

// What a desk tried in vain while its clock was a month ahead goes as soon as the clock is right.
func TestWhatADeskPutOffWhileItsClockWasAheadGoes(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	d.Restart(func(c *desk.Config) { c.Clock = func() time.Time { return x.Clock.Now().Add(30 * 24 * time.Hour) } })
	d.Link.Down(true)
	if _, err := d.StepSpool(t.Context()); err == nil {
		t.Fatal("the hub is down")
	}
	d.Link.Down(false)
	d.Restart()
	if worked, err := d.StepSpool(t.Context()); !worked || err != nil || d.State(id) != localv1.State_STATE_ACCEPTED {
		t.Errorf("with the clock right: %v, %v, %v", worked, err, d.State(id))
	}
}
