package inbox_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A page that shows a stop request for one part is answered after all was withdrawn.
func TestAnAnswerIsToTheRequestThatWasSeen(t *testing.T) {
	s := newStopper(t, true)
	s.deliver(s.good("child/1/phone"))
	page := s.sees().GetItem() // as it is open
	s.deliver(s.good())        // and then all of it
	_, err := s.in.AnswerStop(as(t, "LEE"), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED,
		SeenDeeds: proto.Uint32(uint32(len(page.GetWork().GetDeeds()))), StopDeliveryId: page.GetStop().GetDeliveryId()})
	if stop := s.sees().GetItem().GetStop(); err == nil || fault.From(err).Reason != "WITHDRAWN_FURTHER" || stop.GetAnswer() != 0 {
		t.Errorf("the answer about a telephone number counts for all of it: %v, %v", err, stop)
	}
}

// Two stop requests answered alike by one person are two deeds in the history; a second press is none.
func TestEachAnswerToAStopRequestIsADeed(t *testing.T) {
	s := newStopper(t, true)
	for n, paths := range [][]string{{"child/1/phone"}, {}} {
		s.deliver(s.good(paths...))
		for range 2 {
			must(s.in.AnswerStop(as(t, "LEE"), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}))(t)
		}
		if deeds := s.sees().GetItem().GetWork().GetDeeds(); len(deeds) != n+1 {
			t.Errorf("after %d requests the history has %v", n+1, deeds)
		}
	}
}

// A stop request that a desk signed about another notification stops nothing here, whatever the hub records of it.
func TestAStopRequestAboutAnotherNotificationStopsNothing(t *testing.T) {
	s := newStopper(t, true)
	for name, r := range map[string]*posternv1.StopRequest{
		"by its id":        {NotificationId: s.newID()},
		"by its reference": {NotificationId: envelope.Reference(s.newID())},
	} {
		if got := s.deliver(s.delivery(s.request("/prison/PRI/desk", envelope.TypeStopRequest, r), nil)); got != refusedStop {
			t.Errorf("%s: answered %v, and the team sees %d sections", name, got, len(s.sees().GetSections()))
		}
	}
	if len(s.sees().GetSections()) != 15 {
		t.Error("a child whose parent withdrew nothing is gone from the team's page")
	}
}

// Also not after a part was taken back: what the desks named before says nothing of the next request.
func TestAStopRequestAboutAnotherNotificationAfterARightOne(t *testing.T) {
	for name, first := range map[string]func(*stopper) *posternv1.Delivery{
		"by its manifest": func(s *stopper) *posternv1.Delivery { return s.good("child/1/phone") },
		"by its reference": func(s *stopper) *posternv1.Delivery {
			r := &posternv1.StopRequest{NotificationId: envelope.Reference(s.id), Paths: []string{"child/1/phone"}}
			return s.delivery(s.request("/prison/PRI/desk", envelope.TypeStopRequest, r), nil)
		},
	} {
		s := newStopper(t, true)
		s.deliver(first(s))
		r := &posternv1.StopRequest{NotificationId: s.newID()}
		if got := s.deliver(s.delivery(s.request("/prison/PRI/desk", envelope.TypeStopRequest, r), nil)); got != refusedStop || len(s.sees().GetSections()) != 14 {
			t.Errorf("%s: answered %v, and the team sees %d sections", name, got, len(s.sees().GetSections()))
		}
	}
}

// One that came before the notification stops nothing either, and hides no request about the notification itself.
func TestAStopRequestAboutAnotherNotificationThatCameFirst(t *testing.T) {
	about := func(s *stopper, name string) *posternv1.Delivery {
		return s.delivery(s.request("/prison/PRI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{NotificationId: name}), nil)
	}
	s := newStopper(t, false)
	s.deliver(about(s, s.newID()))
	s.deliver(s.first)
	if n := len(s.sees().GetSections()); n != 15 {
		t.Errorf("the team sees %d sections", n)
	}
	for _, name := range []func(*stopper) string{func(s *stopper) string { return s.id }, func(s *stopper) string { return envelope.Reference(s.id) }} {
		s := newStopper(t, false)
		s.deliver(about(s, s.newID()))
		s.deliver(about(s, name(s)))
		if got := s.deliver(s.first); got != refusedWithdrawn {
			t.Errorf("a late copy of what was withdrawn is answered %v", got)
		}
	}
	for name, order := range map[string]func(*stopper){
		"before": func(s *stopper) { s.deliver(about(s, s.newID())); s.deliver(s.good()) },
		"after":  func(s *stopper) { s.deliver(s.good()); s.deliver(about(s, s.newID())) },
	} {
		s := newStopper(t, false)
		order(s)
		if got := s.deliver(s.first); got != refusedWithdrawn {
			t.Errorf("a late copy is answered %v where a request about another one came %s the one that names its manifest", got, name)
		}
	}
}

// The hub did not hear the answer, and the certificate that it was signed under has ended when it sends again.
func TestAnAcknowledgementOutlivesItsCertificate(t *testing.T) {
	x, in, id := received(t)
	own := x.Issue(bristolInbox, testkit.Now.AddDate(0, 0, -29), 30)
	in.Restart(func(c *inbox.Config) { c.Identity = own })
	in.Link.LoseAnswers(1 << 20)
	if _, err := x.Desk(testkit.HMPBristol).Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	if item(t, in, id).GetStop() == nil {
		t.Fatal("the request has not come")
	}
	x.Clock.Advance(48 * time.Hour)
	if err := own.Replace(x.Issue(bristolInbox, x.Clock.Now().AddDate(0, 0, -3), 30)); err != nil {
		t.Fatal(err)
	}
	in.Link.LoseAnswers(0)
	x.Settle()
	for _, q := range must(x.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetQueues() {
		if q.GetWaiting() > 0 {
			t.Errorf("%d wait at the hub still", q.GetWaiting())
		}
	}
}
