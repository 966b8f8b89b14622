package desk_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// wait lets everything come to rest, also what waits for its backoff.
func wait(x *testkit.Exchange) {
	for range 3 {
		x.Clock.Advance(2 * testkit.MaxWait)
		x.Settle()
	}
}

func withdraw(t *testing.T, d *testkit.Desk, id string) {
	t.Helper()
	_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
	if err != nil {
		t.Fatal(err)
	}
}

// The hub's disk is replaced by an empty one. What it had accepted arrives, what the team has is shown once, what was
// finished stays finished, and a person can still withdraw what the hub no longer knew; also where the request to stop
// was lost with it.
func TestAHubThatLosesItsDiskLosesNothing(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	take := func(f *posternv1.Form) string {
		id := d.Take(f)[0]
		x.Settle()
		return id
	}
	here, stopping := take(family()), take(family())
	in.Link.Down(true)
	onItsWay := take(family())
	withdraw(t, d, stopping)
	x.Settle()
	unchecked := family()
	unchecked.Gate = posternv1.Gate_GATE_NOT_DONE
	waiting := take(unchecked)
	d.Link.Down(true)
	never := take(family())
	d.Link.Down(false)
	if d.State(here) != delivered || d.State(onItsWay) != accepted || d.State(stopping) != localv1.State_STATE_STOP_ASKED || d.State(never) != queued || d.State(waiting) != localv1.State_STATE_WAITING {
		t.Fatalf("states %v %v %v %v", d.State(here), d.State(onItsWay), d.State(stopping), d.State(never))
	}

	x.LoseHub()
	in.Link.Down(false)
	wait(x)
	for name, id := range map[string]string{"delivered before": here, "on its way": onItsWay, "queued": never} {
		if s := d.State(id); s != delivered {
			t.Errorf("%s: state %v", name, s)
		}
	}
	if s := d.State(waiting); s != localv1.State_STATE_WAITING || decisions(t, x) < 5 {
		t.Errorf("what waited is %v, and this hub has %d decisions", s, decisions(t, x))
	}
	items := in.Items()
	if len(items) != 4 {
		t.Errorf("%d items, want each once", len(items))
	}
	stopped := func(id string) bool {
		return slices.ContainsFunc(in.Items(), func(i *localv1.Item) bool { return i.GetId() == id && i.GetStop() != nil })
	}
	if !stopped(stopping) || d.State(stopping) != localv1.State_STATE_STOP_ASKED {
		t.Errorf("the request to stop was lost with the hub; state %v", d.State(stopping))
	}
	withdraw(t, d, here)
	wait(x)
	if !stopped(here) || d.State(here) != localv1.State_STATE_STOP_ASKED {
		t.Errorf("what the hub had lost cannot be withdrawn: state %v", d.State(here))
	}
	if n := len(spool(t, d)); n != 0 {
		t.Errorf("%d are in the spool still", n)
	}
}

// Nothing is submitted again while the hub's log goes on as it did.
func TestNothingIsSubmittedAgainWithoutALoss(t *testing.T) {
	x, d := opened(t)
	for range 3 {
		d.Take(family())
		wait(x)
	}
	x.RestartHub()
	d.Restart()
	wait(x)
	if n := decisions(t, x); n != 3 {
		t.Errorf("%d decisions, want 3", n)
	}
}

// Answers are lost and the desk dies while it tells the hub again: each is shown once.
func TestSubmittingAgainOverBreaks(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	in.Link.Down(true)
	var ids []string
	for range 3 {
		ids = append(ids, d.Take(family())...)
	}
	x.Settle()
	x.LoseHub()
	lost := 0
	for range 4 { // notices, and submits some of them
		if _, err := d.StepUpdates(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Link.LoseAnswers(1)
		if _, err := d.StepSpool(t.Context()); err != nil {
			lost++
		}
		d.Link.LoseAnswers(0)
		x.Clock.Advance(testkit.MaxWait)
		d.Restart()
	}
	if lost < 2 {
		t.Fatalf("only %d answers were lost", lost)
	}
	in.Link.Down(false)
	wait(x)
	for _, id := range ids {
		if s := d.State(id); s != delivered {
			t.Errorf("state %v", s)
		}
	}
	if n := len(in.Items()); n != 3 {
		t.Errorf("%d items", n)
	}
}

// A desk whose certificate was renewed while a notification was on its way submits the same bytes under its new one, and
// the hub gives the same answer: a statement is its bytes and not its signature.
func TestARenewedCertificateSignsTheSameBytes(t *testing.T) {
	x, d := opened(t)
	var manifests, leaves [][]byte
	d.Link.Requests(func(method string, b []byte) []byte {
		req := &posternv1.SubmitRequest{}
		if method == posternv1.SubmissionService_Submit_FullMethodName && proto.Unmarshal(b, req) == nil {
			signed := req.GetNotification().GetManifest()
			manifests = append(manifests, signed.GetPayload())
			leaves = append(leaves, signed.GetSignatures()[0].GetCertificates()[0])
		}
		return b
	})
	d.Link.LoseAnswers(1)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	if _, err := d.StepSpool(t.Context()); err == nil {
		t.Fatal("the answer was not lost")
	}
	d.Restart(func(c *desk.Config) { c.Identity = x.Renewed() })
	x.Clock.Advance(2 * time.Minute)
	x.Settle()
	if len(manifests) != 2 || !slices.Equal(manifests[0], manifests[1]) || slices.Equal(leaves[0], leaves[1]) {
		t.Fatalf("submitted %d times, or other bytes, or under the old certificate", len(manifests))
	}
	if d.State(id) != delivered || decisions(t, x) != 1 || len(x.Inbox(testkit.Bristol).Items()) != 1 {
		t.Errorf("state %v, %d decisions", d.State(id), decisions(t, x))
	}
}
