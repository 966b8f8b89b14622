package desk_test

import (
	"slices"
	"testing"
	"time"

	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What waited for the check when the hub was lost, and was withdrawn elsewhere, waits at the next hub for the prison that took
// it, though the check is done meanwhile and the desk makes another manifest of it.
func TestWhatWaitedForTheCheckWaitsForThePrisonsToo(t *testing.T) {
	x, d := opened(t)
	in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
	f := family()
	f.Gate = posternv1.Gate_GATE_NOT_DONE
	id := d.Take(f)[0]
	x.Settle()
	if s := d.State(id); s != localv1.State_STATE_WAITING {
		t.Fatalf("state %v", s)
	}
	d.Link.Down(true)
	must(other.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE,
		SlipCode: d.Get(id).GetNotification().GetSlipCode()}, testkit.Staff))(t)
	x.Settle()
	other.Link.Down(true)
	sent := watch(in)
	x.Clock.Advance(time.Minute)
	x.LoseHub()
	d.Link.Down(false)
	wait(x)
	setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD)
	wait(x)
	if slices.Contains(sent(), id) {
		t.Errorf("what a person had taken back is sent; state %v", d.State(id))
	}
	other.Link.Down(false)
	wait(x)
	if slices.Contains(sent(), id) || d.State(id) != localv1.State_STATE_WITHDRAWN {
		t.Errorf("state %v", d.State(id))
	}
}

// What had been tried before the copy was made waits as well as what had not.
func TestWhatACopyHadTriedWaitsToo(t *testing.T) {
	x, d := opened(t)
	in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
	in.Link.Down(true)
	id := d.Take(family())[0]
	must(d.StepSpool(t.Context()))(t)
	must(x.Hub.StepDelivery(t.Context()))(t)
	copied := x.CopyHub()
	d.Link.Down(true)
	other.Link.Down(true)
	x.RestoreHub(copied)
	x.NewGeneration(seen(t, d, other)...)
	in.Link.Down(false)
	sent := watch(in)
	wait(x)
	if slices.Contains(sent(), id) {
		t.Error("it goes before any prison has told what was withdrawn")
	}
	d.Link.Down(false)
	other.Link.Down(false)
	wait(x)
	if d.State(id) != delivered {
		t.Errorf("state %v", d.State(id))
	}
}
