package desk_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// unheard is a notification about two children, the second of whom waits for a call. The hub shares the first, and loses
// its disk before the desk hears so. Then the person takes the first one back, so that the next hub shares nothing of it.
func unheard(t *testing.T, before ...func(*testkit.Exchange)) (x *testkit.Exchange, d *testkit.Desk, in *testkit.Inbox, id string) {
	t.Helper()
	x, d = opened(t)
	for _, f := range before {
		f(x)
	}
	in = x.Inbox(testkit.Bristol)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.Children[1].Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
	d.Link.LoseAnswers(1)
	id = d.Take(f)[0]
	if _, err := d.StepSpool(t.Context()); err == nil {
		t.Fatal("the answer was not lost")
	}
	must(x.Hub.StepDelivery(t.Context()))(t)
	if n := in.Items(); len(n) != 1 || n[0].GetChildren() != 1 || d.State(id) != queued {
		t.Fatalf("items %v, state %v", n, d.State(id))
	}
	x.LoseHub()
	must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: []string{"child/1"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
	wait(x)
	if s := d.State(id); s != localv1.State_STATE_WAITING && s != referred {
		t.Fatalf("after the loss it is %v", s)
	}
	return x, d, in, id
}

// answered is the call that the second child waits for.
func answered(t *testing.T, x *testkit.Exchange, d *testkit.Desk, id string) {
	t.Helper()
	must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED}))(t)
	wait(x)
}

// gone checks that nothing of the one item that the team has is in view.
func gone(t *testing.T, in *testkit.Inbox) {
	t.Helper()
	if items := in.Items(); len(items) != 1 || items[0].GetStop() == nil || len(items[0].GetPaths()) > 0 {
		t.Errorf("the team sees %v", items)
	}
}

// What the next hub shares under the same id takes the place of what the one before had shared, also when a copy of that
// comes late; a withdrawal reaches both.
func TestWhatALostHubSharedIsShownOnce(t *testing.T) {
	x, d, in, id := unheard(t)
	answered(t, x, d, id)
	if items := in.Items(); d.State(id) != delivered || len(items) != 1 || slices.Contains(items[0].GetPaths(), "child/1/identity") || !slices.Contains(items[0].GetPaths(), "child/2/identity") {
		t.Errorf("%v, and the team sees %v", d.State(id), items)
	}
	must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	withdraw(t, d, id)
	wait(x)
	gone(t, in)
	if s := d.State(id); s != localv1.State_STATE_STOP_ASKED {
		t.Errorf("it ends as %v", s)
	}
}

// The network still has a copy of what the lost hub sent, in another delivery: it is late, and changes nothing.
func TestALateCopyOfWhatALostHubSharedIsNotShown(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	var first *posternv1.DeliverRequest
	in.Link.Requests(func(_ string, b []byte) []byte {
		if req := (&posternv1.DeliverRequest{}); first == nil && proto.Unmarshal(b, req) == nil {
			first = req
		}
		return b
	})
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.Children[1].Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
	d.Link.LoseAnswers(1)
	in.Link.Down(true)
	id := d.Take(f)[0]
	_, _ = d.StepSpool(t.Context())
	_, _ = x.Hub.StepDelivery(t.Context())
	in.Link.Down(false)
	x.LoseHub()
	must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: []string{"child/1"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
	wait(x)
	answered(t, x, d, id)
	before := in.Items()
	if first == nil || len(before) != 1 {
		t.Fatalf("nothing was sent, or the team sees %v", before)
	}
	out, err := in.Client().Deliver(t.Context(), first) // the hub that is here may send it with its proofs, or the network without
	if after := in.Items(); len(after) != 1 || !proto.Equal(before[0], after[0]) {
		t.Errorf("the team saw %v and sees %v after %v %v", before, after, out, err)
	}
}

// Before the newer one has arrived a withdrawal finds it on its way; what the lost hub had shared is stopped all the same,
// whichever prison takes it and however often the hub is lost.
func TestAWithdrawalReachesWhatALostHubShared(t *testing.T) {
	for _, by := range []string{testkit.HMPBristol, testkit.HMPParc} {
		for _, losses := range []int{1, 2} {
			x, d, in, id := unheard(t)
			in.Link.Down(true)
			answered(t, x, d, id)
			for range losses - 1 {
				x.LoseHub()
				wait(x)
			}
			req := &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}
			if by != testkit.HMPBristol {
				req.SlipCode = d.Get(id).GetNotification().GetSlipCode()
			}
			must(x.Desk(by).Withdraw(t.Context(), req, testkit.Staff))(t)
			wait(x)
			in.Link.Down(false)
			wait(x)
			gone(t, in)
			if s := d.State(id); s != localv1.State_STATE_STOP_ASKED {
				t.Errorf("it ends as %v", s)
			}
		}
	}
}

// The person took back a part while the notification waited, in a request that names the manifest of then; what was shared
// under the same id was made without that part. The next hub is told of both, and does not ask the team to stop: the
// request is not about what it has, so its inbox would refuse it for ever.
func TestAStopRequestAboutAnEarlierManifestStopsNothingElse(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	f := family()
	f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
	id := d.Take(f)[0]
	x.Settle()
	if s := d.State(id); s != localv1.State_STATE_WAITING {
		t.Fatalf("it is %v", s)
	}
	must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: []string{"child/1/phone"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
	wait(x)
	answered(t, x, d, id)
	seen := func() *localv1.Item {
		t.Helper()
		items := in.Items()
		if len(items) != 1 || slices.Contains(items[0].GetPaths(), "child/1/phone") {
			t.Fatalf("the team sees %v", items)
		}
		return items[0]
	}
	before := proto.CloneOf(seen())
	for range 2 { // told again by each hub that replaces a lost one
		x.LoseHub()
		wait(x)
		if after := seen(); !proto.Equal(before, after) || d.State(id) != delivered {
			t.Errorf("the team saw %v and sees %v; the desk %v", before, after, d.State(id))
		}
		if asked, refused := len(events(t, x, logv1.Kind_KIND_STOP_ASKED)), len(events(t, x, logv1.Kind_KIND_DELIVERY_REFUSED)); asked > 0 || refused > 0 {
			t.Errorf("the team was asked to stop %d times, and refused %d deliveries", asked, refused)
		}
	}
	withdraw(t, d, id)
	wait(x)
	gone(t, in)
}

// One of two children goes on under another id, since the other was shared; the hub is lost before that one arrived, and
// the next hub lets nothing of it go. It cannot be made again under its id, so it ends as undelivered, and a person
// telephones; the team that may have it is asked to stop when it is withdrawn.
func TestWhatCannotBeMadeAgainUnderItsIDEndsAsUndelivered(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	in.Link.Down(true)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.Children[1].Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
	id := d.Take(f)[0]
	x.Settle()
	must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED}))(t)
	x.Settle()
	n := d.Get(id).GetNotification()
	if n.GetState() != accepted || len(n.GetFollowups()) != 1 {
		t.Fatalf("it is %v, and %d go on under another id", n.GetState(), len(n.GetFollowups()))
	}
	other := n.GetFollowups()[0].GetId()
	x.LoseHubDisk()
	x.LoadDirectory(1, testkit.Register{Without: []string{testkit.Bristol}})
	wait(x)
	if s := d.State(id); s != localv1.State_STATE_UNDELIVERED {
		t.Errorf("it is %v", s)
	}
	in.Link.Down(false)
	wait(x)
	if items := in.Items(); len(items) > 0 || d.State(id) != localv1.State_STATE_UNDELIVERED || d.State(other) == delivered {
		t.Errorf("the team sees %v, and the desk %v and %v", items, d.State(id), d.State(other))
	}
	withdraw(t, d, id)
	wait(x)
	if s := d.State(id); s != localv1.State_STATE_STOP_ASKED || len(events(t, x, logv1.Kind_KIND_STOP_ASKED)) == 0 {
		t.Errorf("withdrawn, it is %v", s)
	}
}
