package inbox_test

import (
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/ledger"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// A team that is asked later than the person withdrew judges the desk's certificate at the withdrawal that the request
// follows, as its receipt says, and at no other event that a hub may show.
func TestWhichEventDatesAStopRequest(t *testing.T) {
	for name, c := range map[string]struct {
		kind    logv1.Kind
		follows func(id []byte) []byte
		shown   bool
		want    posternv1.RefusalReason
	}{
		"the withdrawal it follows": {logv1.Kind_KIND_WITHDRAWN, func(id []byte) []byte { return id }, true, 0},
		"not shown":                 {logv1.Kind_KIND_WITHDRAWN, func(id []byte) []byte { return id }, false, refusedStop},
		"another withdrawal":        {logv1.Kind_KIND_WITHDRAWN, func([]byte) []byte { return make([]byte, 16) }, true, refusedStop},
		"it follows none":           {logv1.Kind_KIND_WITHDRAWN, func([]byte) []byte { return nil }, true, refusedStop},
		"no withdrawal":             {logv1.Kind_KIND_DECIDED, func(id []byte) []byte { return id }, true, refusedStop},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStopper(t, true)
			payload := must(proto.Marshal(&posternv1.StopRequest{ManifestSha256: s.manifest, NotificationId: s.id}))(t)
			signed := must(envelope.SignStatement(s.Issue(bli, testkit.Now.AddDate(0, 0, -29), 30), envelope.TypeStopRequest, payload))(t)
			first := s.delivery(signed, func(e *ledger.Event) { e.Kind = c.kind }).GetReceipt()
			s.Clock.Advance(48 * time.Hour) // the certificate has ended
			d := s.delivery(signed, func(e *ledger.Event) { e.Core.FollowsEvent = c.follows(first.GetLeaf()[1:17]) })
			if c.shown {
				d.FirstReceipt = first
			}
			if got := s.deliver(d); got != c.want {
				t.Errorf("answered %v, want %v", got, c.want)
			}
			if stopped := len(s.sees().GetSections()) == 0; stopped != (c.want == 0) {
				t.Errorf("stopped %v", stopped)
			}
		})
	}
}

// What the team answers to the request it sees reaches the hub, once however often it is pressed, and each other answer too.
func TestTheAnswerToAStopRequestReachesTheHub(t *testing.T) {
	x, in, id := received(t)
	must(x.Desk(testkit.HMPBristol).Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
	x.Settle()
	for _, answer := range []string{"RETAINED_DUTY", "STOPPED"} {
		if n := events(t, x, logv1.Kind_KIND_STOP_ANSWERED, answer); n > 0 {
			t.Errorf("before anybody answered the hub has %s", answer)
		}
	}
	seen := item(t, in, id).GetStop().GetDeliveryId()
	for _, code := range []posternv1.StopAnswerCode{posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_DUTY, posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED} {
		for range 2 {
			out := must(in.AnswerStop(as(t, "LEE"), &localv1.AnswerStopRequest{Id: id, Answer: code, StopDeliveryId: seen}))(t)
			if out.GetItem().GetStop().GetAnswer() != code {
				t.Errorf("the page shows %v", out.GetItem().GetStop())
			}
			x.Settle()
		}
	}
	for _, answer := range []string{"RETAINED_DUTY", "STOPPED"} {
		if n := events(t, x, logv1.Kind_KIND_STOP_ANSWERED, answer); n != 1 {
			t.Errorf("the hub has %s %d times", answer, n)
		}
	}
}

// Two who press at once are one answer: one deed in the history, and one report.
func TestOneAnswerOfManyAtOnce(t *testing.T) {
	s := newStopper(t, true)
	for _, paths := range [][]string{{"child/1/phone"}, {"parent/birth"}, {"child/1/home"}, nil} {
		s.deliver(s.good(paths...))
		before := len(s.sees().GetItem().GetWork().GetDeeds())
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if _, err := s.in.AnswerStop(as(t, "LEE"), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if deeds := s.sees().GetItem().GetWork().GetDeeds(); len(deeds) != before+1 {
			t.Errorf("there are %d deeds more", len(deeds)-before)
		}
	}
}

// The same request in other words, by another prison or by the id, does not ask a team again that has answered.
func TestTheSameStopRequestInOtherWordsForgetsNoAnswer(t *testing.T) {
	s := newStopper(t, true)
	by := func(name string) *posternv1.Delivery {
		return s.delivery(s.request("/prison/PRI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{NotificationId: name}), nil)
	}
	if s.deliver(by(envelope.Reference(s.id))) != 0 {
		t.Fatal("not acknowledged")
	}
	must(s.in.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}))(t)
	before := s.sees()
	for _, again := range []*posternv1.Delivery{by(s.id), s.good(), by(envelope.Reference(s.id))} {
		s.Clock.Advance(time.Hour)
		if s.deliver(again) != 0 {
			t.Fatal("not acknowledged again")
		}
		if after := s.sees(); !proto.Equal(before, after) {
			t.Errorf("the team saw %v, and sees %v", before.GetItem().GetStop(), after.GetItem().GetStop())
		}
	}
}
