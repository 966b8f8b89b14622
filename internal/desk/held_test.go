package desk_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// atNight is a hub that lost its disk while one prison is cut off, which took a withdrawal of what the other one sent; and
// that one has not heard so. Nothing of it has arrived, nor has another notification, of which nobody took anything back.
func atNight(t *testing.T) (x *testkit.Exchange, d, other *testkit.Desk, sent func() []string, withdrawn, wanted string) {
	t.Helper()
	x, d = opened(t)
	in := x.Inbox(testkit.Bristol)
	other = x.Desk(testkit.HMPParc)
	in.Link.Down(true)
	withdrawn, wanted = d.Take(family())[0], d.Take(family())[0]
	x.Settle()
	d.Link.Down(true)
	must(other.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: withdrawn, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE,
		SlipCode: d.Get(withdrawn).GetNotification().GetSlipCode()}, testkit.Staff))(t)
	x.Settle()
	if n := other.Get(withdrawn).GetNotification().GetWithdrawals(); len(n) != 1 || n[0].GetAnswer() == nil || d.State(withdrawn) != accepted {
		t.Fatalf("withdrawn %v, and its own desk has it as %v", n, d.State(withdrawn))
	}
	other.Link.Down(true)
	var ids []string
	in.Link.Requests(func(_ string, b []byte) []byte {
		req, m := &posternv1.DeliverRequest{}, &posternv1.Manifest{}
		if proto.Unmarshal(b, req) == nil && proto.Unmarshal(req.GetDelivery().GetNotification().GetManifest().GetPayload(), m) == nil && m.GetNotificationId() != "" {
			ids = append(ids, m.GetNotificationId())
		}
		return b
	})
	x.LoseHub()
	d.Link.Down(false)
	in.Link.Down(false)
	wait(x)
	return x, d, other, func() []string { return ids }, withdrawn, wanted
}

// What a lost hub had waits at the next one until every prison has told what was withdrawn; then what nobody withdrew goes
// at once, and of what one did nothing is ever sent. What is new, and what is urgent, does not wait for it.
func TestTheNextHubWaitsForWhatWasWithdrawnElsewhere(t *testing.T) {
	x, d, other, sent, withdrawn, wanted := atNight(t)
	if ids := sent(); len(ids) > 0 {
		t.Fatalf("sent before the other prison has told: %v", ids)
	}
	fresh, urgent := d.Take(family())[0], d.Take(formtest.Urgent(testkit.Bristol, 1))[0]
	x.RestartHub() // it waits over a restart too
	wait(x)
	if ids := sent(); slices.Contains(ids, withdrawn) || slices.Contains(ids, wanted) || !slices.Contains(ids, fresh) || !slices.Contains(ids, urgent) {
		t.Fatalf("sent %v; new %s, urgent %s", ids, fresh, urgent)
	}
	must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: wanted, Paths: []string{"child/1/school"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
	wait(x) // decided again, on what is left of it, and it waits on
	if slices.Contains(sent(), wanted) {
		t.Fatal("what was withdrawn in part goes before the other prison has told")
	}
	shown(t, x, 2, testkit.HMPParc)
	other.Link.Down(false)
	wait(x)
	shown(t, x, 0)
	if ids := sent(); slices.Contains(ids, withdrawn) || !slices.Contains(ids, wanted) {
		t.Errorf("sent %v; withdrawn %s, wanted %s", ids, withdrawn, wanted)
	}
	if d.State(withdrawn) != localv1.State_STATE_STOP_ASKED || d.State(wanted) != delivered {
		t.Errorf("they end as %v and %v", d.State(withdrawn), d.State(wanted))
	}
}

// A prison that stays silent keeps no other family waiting for longer than that.
func TestTheNextHubDoesNotWaitForEver(t *testing.T) {
	x, d, _, sent, _, wanted := atNight(t)
	shown(t, x, 2, testkit.HMPParc)
	x.Clock.Advance(4 * time.Hour) // as docs/operations.md says
	shown(t, x, 0)
	wait(x)
	if !slices.Contains(sent(), wanted) || d.State(wanted) != delivered {
		t.Errorf("sent %v, and it is %v", sent(), d.State(wanted))
	}
}

// shown checks what status and doctor say of what is kept back and for whom; nothing once nobody is waited for.
func shown(t *testing.T, x *testkit.Exchange, deliveries uint32, prisons ...string) {
	t.Helper()
	hold := must(x.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetHold()
	if !slices.Equal(hold.GetPrisons(), prisons) || hold.GetWaiting() != deliveries || (hold != nil) != (len(prisons) > 0) || hold != nil && !hold.GetEndTime().AsTime().After(x.Clock.Now()) {
		t.Errorf("status shows %v, want %d for %v", hold, deliveries, prisons)
	}
	found := must(x.Hub.Examine(t.Context(), &localv1.ExamineRequest{}))(t).GetFindings()
	i := slices.IndexFunc(found, func(f *localv1.Finding) bool { return f.GetCheck() == "hold after a loss" })
	if (i >= 0) != (len(prisons) > 0) || i >= 0 && (!strings.Contains(found[i].GetWords(), prisons[0]) || !strings.Contains(found[i].GetFix(), "postern hub pause")) {
		t.Errorf("the doctor finds %v", found)
	}
}
