package desk_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// unheard is a notification about two children, the second of whom waits for a call. The hub shares the first, and loses
// its disk before the desk hears so. Then the person takes the first one back, so that the next hub shares nothing of it.
func unheard(t *testing.T) (x *testkit.Exchange, d *testkit.Desk, in *testkit.Inbox, id string) {
	t.Helper()
	x, d = opened(t)
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
