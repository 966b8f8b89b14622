package inbox_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
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
}
