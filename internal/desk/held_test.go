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
	sent = watch(in)
	x.LoseHub()
	d.Link.Down(false)
	in.Link.Down(false)
	wait(x)
	return x, d, other, sent, withdrawn, wanted
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

// A hub is put back from a copy, in which a family waits. What was withdrawn since the copy was made is never sent, and what
// nobody withdrew goes once every prison has told; it makes no difference whether the inbox is sent to or collects. What is
// urgent goes at once.
func TestWhatACopyHadWaitingWaitsForWhatWasWithdrawnSince(t *testing.T) {
	for name, r := range map[string]testkit.Register{"sent to": {}, "collects": {Collect: []string{testkit.Bristol}}} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t, func(c *testkit.Config) { c.Register = r })
			in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
			away := func(down bool) { // in either direction
				in.Link.Down(down)
				in.ToHub.Down(down)
			}
			away(true)
			withdrawn, wanted, urgent := d.Take(family())[0], d.Take(family())[0], d.Take(formtest.Urgent(testkit.Bristol, 1))[0]
			elsewhere := d.Take(family())[0]
			for range 4 {
				must(d.StepSpool(t.Context()))(t)
			}
			copied := x.CopyHub()
			withdraw(t, d, withdrawn)
			must(d.StepSpool(t.Context()))(t)
			must(other.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: elsewhere, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE,
				SlipCode: d.Get(elsewhere).GetNotification().GetSlipCode()}, testkit.Staff))(t)
			must(other.StepSpool(t.Context()))(t)
			if d.State(withdrawn) != localv1.State_STATE_WITHDRAWN || d.State(wanted) != accepted {
				t.Fatalf("states %v %v", d.State(withdrawn), d.State(wanted))
			}

			d.Link.Down(true)
			other.Link.Down(true)
			x.RestoreHub(copied)
			x.NewGeneration(seen(t, d, other)...)
			away(false)
			has := func(id string) bool {
				return slices.ContainsFunc(in.Items(), func(i *localv1.Item) bool { return i.GetId() == id })
			}
			wait(x)
			x.RestartHub() // it waits over a restart too
			wait(x)
			if has(withdrawn) || has(elsewhere) || has(wanted) || !has(urgent) {
				t.Fatalf("before any desk has told, the team has %v", in.Items())
			}
			shown(t, x, 3, testkit.HMPBristol, testkit.HMPParc)
			d.Link.Down(false)
			wait(x)
			if has(withdrawn) || has(elsewhere) || has(wanted) {
				t.Fatalf("before the other prison has told, the team has %v", in.Items())
			}
			other.Link.Down(false)
			wait(x)
			shown(t, x, 0)
			if has(withdrawn) || has(elsewhere) || !has(wanted) || d.State(wanted) != delivered {
				t.Errorf("the team has %v, and what nobody withdrew is %v", in.Items(), d.State(wanted))
			}
		})
	}
}

// What a copy had given up, or had seen acknowledged, does not go before every prison has told either: an operator sends
// the one again, and the inbox says that it lacks the other.
func TestWhatIsBroughtBackAfterACopyWaitsToo(t *testing.T) {
	x, d := opened(t)
	in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
	had := d.Take(family())[0]
	x.Settle()
	in.Link.Down(true)
	givenUp := d.Take(family())[0]
	x.Settle()
	for range 2 { // it is given up, and an hour later the desk hears so
		x.Clock.Advance(24 * time.Hour)
		x.Settle()
	}
	if d.State(had) != delivered || d.State(givenUp) != localv1.State_STATE_UNDELIVERED {
		t.Fatalf("states %v %v", d.State(had), d.State(givenUp))
	}
	d.Link.Down(true)
	other.Link.Down(true)
	x.NewGeneration(seen(t, d, other, in)...)
	in.Link.Down(false)
	in.Restart() // it says how far it holds all, and follows the new log
	sent := watch(in)
	must(x.Hub.Requeue(t.Context(), &localv1.RequeueRequest{Id: givenUp}))(t)
	wait(x)
	if ids := sent(); len(ids) > 0 {
		t.Errorf("sent before any desk has told: %v", ids)
	}
	shown(t, x, 2, testkit.HMPBristol, testkit.HMPParc)
	d.Link.Down(false)
	other.Link.Down(false)
	wait(x)
	if ids := sent(); !slices.Contains(ids, had) || !slices.Contains(ids, givenUp) || d.State(givenUp) != delivered {
		t.Errorf("sent %v; had %s, given up %s, which is %v", ids, had, givenUp, d.State(givenUp))
	}
	shown(t, x, 0)
}

// seen is what parties know of the hub's logs, as they give it to who opens a new generation.
func seen(t *testing.T, parties ...interface {
	Logs() *localv1.GetLogsResponse
}) (all []string) {
	t.Helper()
	for _, p := range parties {
		for _, l := range p.Logs().GetLogs() {
			all = append(all, l.GetCheckpoint())
		}
	}
	return all
}

// watch collects the ids of the notifications that are sent to an inbox from now on.
func watch(in *testkit.Inbox) func() []string {
	var ids []string
	in.Link.Requests(func(_ string, b []byte) []byte {
		req, m := &posternv1.DeliverRequest{}, &posternv1.Manifest{}
		if proto.Unmarshal(b, req) == nil && proto.Unmarshal(req.GetDelivery().GetNotification().GetManifest().GetPayload(), m) == nil && m.GetNotificationId() != "" {
			ids = append(ids, m.GetNotificationId())
		}
		return b
	})
	return func() []string { return ids }
}

// Hours may lie between the command that opens a generation and the first start, in which no prison can tell anything.
func TestAHubThatStartsHoursAfterItsGenerationWaits(t *testing.T) {
	x, _ := opened(t)
	x.LoseHubDisk() // postern hub new-generation
	x.Clock.Advance(5 * time.Hour)
	x.RestartHub() // postern hub serve
	x.LoadDirectory(1, testkit.Register{})
	hold := must(x.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetHold()
	if hold == nil {
		t.Error("no prison has told anything, and nothing that is submitted again is kept back")
	}
}

// The same, to its end: what a person took back at another prison goes to the team.
func TestWhatWasTakenBackElsewhereWaitsAfterALateStart(t *testing.T) {
	x, d := opened(t)
	in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
	in.Link.Down(true)
	id := d.Take(family())[0]
	x.Settle()
	d.Link.Down(true)
	must(other.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE,
		SlipCode: d.Get(id).GetNotification().GetSlipCode()}, testkit.Staff))(t)
	x.Settle()
	other.Link.Down(true)
	x.LoseHubDisk()                // 03:00: postern hub new-generation
	x.Clock.Advance(5 * time.Hour) // the keys are carried to the prisons
	x.RestartHub()                 // 08:00: postern hub serve
	x.LoadDirectory(1, testkit.Register{})
	x.Desk(testkit.HMPBristol)
	d.Link.Down(false) // has its key first
	in.Link.Down(false)
	wait(x)
	if s := d.State(id); s == delivered {
		t.Errorf("what was withdrawn at the other prison, which has not told yet, is %v", s)
	}
}
