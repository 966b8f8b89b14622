package desk_test

import (
	"slices"
	"testing"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Who objects to what was shared without their permission is heard: the safeguarding lead has it to read until they have, also
// while the hub is away, and an objection to a further part anew.
func TestAnObjectionIsRead(t *testing.T) {
	x, d := opened(t)
	urgent, duty := d.Take(formtest.Urgent(testkit.Bristol, 1))[0], d.Take(formtest.Duty(testkit.Bristol, 1))[0]
	x.Settle()
	listed := func(id string) bool {
		return slices.ContainsFunc(toDecide(t, d), func(n *localv1.Notification) bool { return n.GetId() == id })
	}
	if listed(duty) {
		t.Fatal("there is something to decide before anybody objects")
	}
	d.Link.Down(true)
	withdraw(t, d, duty)
	withdraw(t, d, urgent)
	d.Link.Down(false)
	for range 2 {
		if !listed(duty) || !listed(urgent) || !desk.ActionsOf(d.Get(duty).GetNotification()).Read {
			t.Fatal("nobody is to read the objection")
		}
		x.Clock.Advance(testkit.MaxWait)
		x.Settle()
	}
	for range 2 {
		n := must(d.Cases.CloseObjections(t.Context(), &localv1.CloseObjectionsRequest{Id: duty}))(t).GetNotification()
		if w := n.GetWithdrawals()[0]; w.GetReadStaffId() != testkit.Staff.ID || w.GetReadTime() == nil || listed(duty) || !listed(urgent) {
			t.Fatalf("read, it is %v", n)
		}
	}
	if d.State(duty) != delivered {
		t.Errorf("it is %s", d.State(duty))
	}
	other := d.Take(family())[0]
	x.Settle()
	withdraw(t, d, other)
	_, err := d.Cases.CloseObjections(t.Context(), &localv1.CloseObjectionsRequest{Id: other})
	wantFault(t, err, fault.Precondition, "ENDED")
	if listed(other) {
		t.Error("a withdrawal is taken for an objection")
	}
}

func TestAnObjectionIsReadByTheSafeguardingLead(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.Duty(testkit.Bristol, 1))[0]
	x.Settle()
	withdraw(t, d, id)
	d.Restart(func(c *desk.Config) {
		for uid, s := range c.Staff {
			s.Also = nil
			c.Staff[uid] = s
		}
	})
	_, err := d.Cases.CloseObjections(t.Context(), &localv1.CloseObjectionsRequest{Id: id})
	wantFault(t, err, fault.Denied, "WRONG_ROLE")
}

// A team that was asked to stop what it had by permission, before the safeguarding lead had it told by duty, goes on with that.
func TestAStopOfWhatWentBeforeIsNoneOfTheDuty(t *testing.T) {
	x, d := opened(t)
	duty, standard := d.Take(formtest.Duty(testkit.Bristol, 1))[0], d.Take(formtest.New(testkit.Bristol))[0]
	wait(x)
	d.Link.Answers(rewrite(t, "ListUpdates", &posternv1.ListUpdatesResponse{}, func(r *posternv1.ListUpdatesResponse) {
		for _, id := range []string{duty, standard} {
			r.Updates = append(r.Updates, &posternv1.Update{NotificationId: id, Update: &posternv1.Update_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_STOP_ASKED}}})
		}
	}))
	if _, err := d.StepUpdates(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Link.Answers(nil)
	for id, want := range map[string]localv1.State{duty: delivered, standard: localv1.State_STATE_STOP_ASKED} {
		if n := d.Get(id).GetNotification(); n.GetState() != want || n.GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_STOP_ASKED {
			t.Errorf("%v is %v after %v", n.GetRoute(), n.GetState(), n.GetReply())
		}
	}
}
