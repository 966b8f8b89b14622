package desk_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A late copy of what a lost hub sent is checked in every respect and holds: the team got another one of the same log, and so
// knows its checkpoint. It is acknowledged, and changes nothing of what the next hub shared under the same id.
func TestALateCopyThatHoldsIsNotShown(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.Children[1].Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
	d.Link.LoseAnswers(1)
	id := d.Take(f)[0]
	if _, err := d.StepSpool(t.Context()); err == nil {
		t.Fatal("the answer was not lost")
	}
	other := x.Desk(testkit.HMPParc)
	other.Take(formtest.New(testkit.Bristol))
	must(other.StepSpool(t.Context()))(t)
	var late *posternv1.DeliverRequest
	in.Link.Requests(func(_ string, b []byte) []byte {
		req, m := &posternv1.DeliverRequest{}, &posternv1.Manifest{}
		if proto.Unmarshal(b, req) != nil || proto.Unmarshal(req.GetDelivery().GetNotification().GetManifest().GetPayload(), m) != nil || m.GetNotificationId() != id {
			return b
		}
		late = req
		return nil // it is lost on its way
	})
	for range 4 {
		_, _ = x.Hub.StepDelivery(t.Context())
	}
	if n := len(in.Items()); late == nil || n != 1 {
		t.Fatalf("of two notifications %d came", n)
	}
	in.Link.Requests(nil)
	x.LoseHub()
	must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: []string{"child/1"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
	wait(x)
	answered(t, x, d, id)
	before := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	out, err := in.Client().Deliver(t.Context(), late)
	if err != nil || out.GetAcknowledgement() == nil {
		t.Fatalf("it is answered %v, %v", out, err)
	}
	if after := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t); !proto.Equal(before, after) {
		t.Errorf("the team saw %v and sees %v", before.GetItem(), after.GetItem())
	}
}

// What the next hub shares takes the place of what the one before had shared also where its log has fewer events yet.
func TestALaterLogIsLaterHoweverShort(t *testing.T) {
	x, d, in, id := unheard(t, func(x *testkit.Exchange) {
		parc := x.Desk(testkit.HMPParc)
		for n := range 40 {
			f := formtest.Declined()
			f.PrisonNumber = fmt.Sprintf("A%04dZZ", 100+n)
			parc.Take(f)
		}
		x.Settle()
	})
	first := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	answered(t, x, d, id)
	next := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	if paths := next.GetItem().GetPaths(); len(in.Items()) != 1 || !slices.Contains(paths, "child/2/identity") || slices.Contains(paths, "child/1/identity") {
		t.Errorf("the team sees %v", paths)
	}
	if a, b := index(t, first), index(t, next); a <= b {
		t.Errorf("the test says nothing: the events are number %d and %d", a, b)
	}
}

func index(t *testing.T, item *localv1.GetItemResponse) uint64 {
	t.Helper()
	return must(verify.ParseProof(item.GetReceipt().GetTlogProof()))(t).Index
}
