package testkit_test

import (
	"testing"

	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/schema"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// An inbox is set up for another hub. That is nothing against what it is sent, and nothing is given up for it before its time.
func TestAnInboxOfAnotherHubGivesNothingUp(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	in.Restart(func(c *inbox.Config) { c.HubParty = x.Identity(bristolInbox).Party() })
	id := d.Take(formtest.New(testkit.Bristol))[0]
	for range 10 {
		settle(x)
	}
	if rows(t, x, schema.HubParked) != 0 {
		t.Error("it is given up within the hour")
	}
	in.Restart()
	settle(x)
	if s := d.State(id); s != localv1.State_STATE_DELIVERED {
		t.Errorf("the desk shows %v", s)
	}
}

// An inbox that could not be reached collects from now on: it is there, so it does not wait for a breaker, and its line is not
// called broken any more.
func TestAnInboxThatCollectsClosesItsBreaker(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	in.Link.Down(true)
	d.Take(formtest.New(testkit.Bristol))
	for range 10 {
		x.Clock.Advance(testkit.MaxWait)
		x.Settle()
	}
	x.LoadDirectory(2, testkit.Register{Collect: []string{testkit.Bristol}})
	d.Take(formtest.New(testkit.Bristol))
	if _, err := d.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := in.StepCollect(t.Context()); err != nil || len(in.Items()) == 0 {
		t.Errorf("%d items, %v", len(in.Items()), err)
	}
	d.Take(formtest.New(testkit.Bristol))
	if _, err := d.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := x.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{})
	if err != nil || len(status.GetQueues()) != 1 || status.GetQueues()[0].GetBreaker() != "CLOSED" {
		t.Errorf("%v, %v", status.GetQueues(), err)
	}
}
