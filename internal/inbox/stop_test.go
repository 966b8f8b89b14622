package inbox_test

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	refusedWithdrawn = posternv1.RefusalReason_REFUSAL_REASON_WITHDRAWN
	refusedStop      = posternv1.RefusalReason_REFUSAL_REASON_BAD_STOP_REQUEST
)

// stopper makes stop requests as a hub delivers them, good ones and others.
type stopper struct {
	*testkit.Exchange
	t        *testing.T
	in       *testkit.Inbox
	id       string
	manifest []byte
	first    *posternv1.Delivery // the notification as it was sent
}

// newStopper shares a notification with Bristol; came says whether it arrived or is still on its way.
func newStopper(t *testing.T, came bool) *stopper {
	t.Helper()
	x := testkit.NewExchange(t)
	s := &stopper{Exchange: x, t: t, in: x.Inbox(testkit.Bristol)}
	n := x.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol))[0]
	sum := sha256.Sum256(n.GetManifest().GetPayload())
	s.manifest = sum[:]
	if _, err := x.Submission(testkit.HMPBristol).Submit(t.Context(), &posternv1.SubmitRequest{Notification: n}); err != nil {
		t.Fatal(err)
	}
	s.in.Link.Requests(func(_ string, b []byte) []byte {
		req := &posternv1.DeliverRequest{}
		if err := proto.Unmarshal(b, req); err != nil {
			t.Error(err)
		}
		if s.first == nil {
			s.first = req.GetDelivery()
		}
		return b
	})
	s.in.Link.Down(!came)
	if _, err := x.Hub.StepDelivery(t.Context()); err != nil || s.first == nil {
		t.Fatalf("not sent: %v", err)
	}
	s.in.Link.Down(false)
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(n.GetManifest().GetPayload(), m); err != nil {
		t.Fatal(err)
	}
	s.id = m.GetNotificationId()
	return s
}

// request signs a stop request.
func (s *stopper) request(signer, payloadType string, r *posternv1.StopRequest) *posternv1.Signed {
	s.t.Helper()
	b, err := proto.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := envelope.SignStatement(s.Identity(signer), payloadType, b)
	if err != nil {
		s.t.Fatal(err)
	}
	return signed
}

// delivery records a stop request and makes its delivery; edit changes what a hub gone wrong records.
func (s *stopper) delivery(request *posternv1.Signed, edit func(*ledger.Event)) *posternv1.Delivery {
	s.t.Helper()
	sum := sha256.Sum256(request.GetPayload())
	ev := ledger.Event{Kind: logv1.Kind_KIND_STOP_ASKED, Core: &logv1.Core{ManifestSha256: s.manifest, SubjectSha256: sum[:]}, Details: &logv1.Details{}}
	if edit != nil {
		edit(&ev)
	}
	var id [16]byte
	if err := s.Ledger.Append(s.t.Context(), func(tx *ledger.Tx) error {
		e, err := tx.Record(ledger.Sent, ev)
		id = e.EventID()
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	receipt, err := s.Ledger.Receipt(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return &posternv1.Delivery{DeliveryId: s.newID(), Sequence: 2, Receipt: receipt, Content: &posternv1.Delivery_StopRequest{StopRequest: request}}
}

func (s *stopper) newID() string {
	s.t.Helper()
	id, err := envelope.NewID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// good is a stop request of the sender, for all or for some paths.
func (s *stopper) good(paths ...string) *posternv1.Delivery {
	s.t.Helper()
	return s.delivery(s.request("/prison/BLI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{ManifestSha256: s.manifest, NotificationId: s.id, Paths: paths}), nil)
}

// deliver delivers as the hub and returns why it was refused; 0 when it was acknowledged.
func (s *stopper) deliver(d *posternv1.Delivery) posternv1.RefusalReason {
	s.t.Helper()
	answer, err := s.in.Client().Deliver(s.t.Context(), &posternv1.DeliverRequest{Delivery: d})
	if err != nil {
		s.t.Fatal(err)
	}
	digest := sha256.Sum256(d.GetNotification().GetManifest().GetPayload())
	if d.GetStopRequest() != nil {
		digest = sha256.Sum256(d.GetStopRequest().GetPayload())
	}
	if answer.GetReport() != nil {
		r := &posternv1.Report{}
		if err := proto.Unmarshal(answer.GetReport().GetPayload(), r); err != nil || string(r.GetManifestSha256()) != string(digest[:]) {
			s.t.Errorf("the refusal is about something else: %v", err)
		}
		return r.GetRefusal().GetReason()
	}
	ack := &posternv1.Acknowledgement{}
	if err := proto.Unmarshal(answer.GetAcknowledgement().GetPayload(), ack); err != nil || string(ack.GetManifestSha256()) != string(digest[:]) {
		s.t.Errorf("the acknowledgement is of something else: %v", err)
	}
	return 0
}

// sees is what the team sees; nil when there is nothing.
func (s *stopper) sees() *localv1.GetItemResponse {
	s.t.Helper()
	item, err := s.in.GetItem(s.t.Context(), &localv1.GetItemRequest{Id: s.id})
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return item
}

func TestAStopTakesAllFromViewAndRefusesALateCopy(t *testing.T) {
	s := newStopper(t, true)
	stop := s.good()
	for _, time := range []string{"once", "twice"} {
		if got := s.deliver(stop); got != 0 {
			t.Fatalf("delivered %s: %v", time, got)
		}
	}
	item := s.sees()
	if len(item.GetSections()) != 0 || item.GetDecision() != nil || item.GetItem().GetStop().GetDeliveryId() != stop.GetDeliveryId() ||
		item.GetSender().GetReplyTo() != nil && item.GetItem().GetPrisonId() != "BLI" {
		t.Errorf("the team sees %v", item)
	}
	late := proto.CloneOf(s.first)
	if s.deliver(late) != 0 { // the same delivery again gets the answer it got
		t.Error("the answer to the first delivery changed")
	}
	late.DeliveryId = s.newID()
	s.in.Restart()
	if got := s.deliver(late); got != refusedWithdrawn {
		t.Errorf("a late copy: %v", got)
	}
	if len(s.sees().GetSections()) != 0 {
		t.Error("the late copy is shown")
	}
}

func TestAStopMayComeBeforeWhatItStops(t *testing.T) {
	s := newStopper(t, false)
	if s.deliver(s.good()) != 0 {
		t.Fatal("not acknowledged")
	}
	if s.sees() != nil {
		t.Error("the team sees what never came")
	}
	if got := s.deliver(s.first); got != refusedWithdrawn {
		t.Errorf("the notification itself: %v", got)
	}
	if worked, err := s.in.StepReports(t.Context()); !worked || err != nil {
		t.Errorf("no answer that there is nothing to stop: worked %v, %v", worked, err)
	}
	if s.sees() != nil {
		t.Error("it is shown")
	}
}

func TestAPartIsTakenFromView(t *testing.T) {
	for name, came := range map[string]bool{"after it came": true, "before it came": false} {
		t.Run(name, func(t *testing.T) {
			s := newStopper(t, came)
			for _, path := range []string{"child/1/phone", "parent/birth"} {
				if s.deliver(s.good(path)) != 0 {
					t.Fatal("not acknowledged")
				}
			}
			if got := s.deliver(s.first); got != 0 {
				t.Fatalf("the notification: %v", got)
			}
			item := s.sees()
			var seen []string
			for _, sec := range item.GetSections() {
				seen = append(seen, sec.GetPath())
			}
			if len(seen) != 13 || slices.Contains(seen, "child/1/phone") || slices.Contains(seen, "parent/birth") || !slices.Equal(seen, item.GetItem().GetPaths()) {
				t.Errorf("the team sees %v", seen)
			}
			if came && !slices.Equal(item.GetItem().GetStop().GetPaths(), []string{"child/1/phone", "parent/birth"}) {
				t.Errorf("it is told of %v", item.GetItem().GetStop())
			}
			if !came && !slices.Contains(item.GetNotShared(), "child/1/phone") {
				t.Errorf("not shared: %v", item.GetNotShared())
			}
			if s.deliver(s.good()) != 0 || len(s.sees().GetSections()) != 0 {
				t.Error("the rest stays in view")
			}
		})
	}
}

func TestAnotherPrisonMayAskWhenTheHubRecordedIt(t *testing.T) {
	s := newStopper(t, true)
	other := s.request("/prison/PRI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{NotificationId: envelope.Reference(s.id)})
	if s.deliver(s.delivery(other, nil)) != 0 || len(s.sees().GetSections()) != 0 {
		t.Error("it was refused")
	}
}

func TestWhatIsNoStopRequestStopsNothing(t *testing.T) {
	s := newStopper(t, true)
	whole := &posternv1.StopRequest{ManifestSha256: s.manifest, NotificationId: s.id}
	good := s.request("/prison/BLI/desk", envelope.TypeStopRequest, whole)
	earlier := sha256.Sum256([]byte("the manifest that was withdrawn while it waited"))
	cases := map[string]*posternv1.Delivery{
		"no receipt":   {Content: &posternv1.Delivery_StopRequest{StopRequest: good}},
		"another kind": s.delivery(good, func(e *ledger.Event) { e.Kind = logv1.Kind_KIND_WITHDRAWN }),
		"recorded about another request": s.delivery(good, func(e *ledger.Event) {
			e.Core.SubjectSha256 = make([]byte, 32)
		}),
		"recorded about another manifest":       s.delivery(good, func(e *ledger.Event) { e.Core.ManifestSha256 = make([]byte, 32) }),
		"about an earlier manifest":             s.delivery(s.request("/prison/BLI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{ManifestSha256: earlier[:], NotificationId: s.id}), nil),
		"recorded about no manifest":            s.delivery(good, func(e *ledger.Event) { e.Core.ManifestSha256 = nil }),
		"by its id, recorded about no manifest": s.delivery(s.request("/prison/BLI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{NotificationId: s.id}), func(e *ledger.Event) { e.Core.ManifestSha256 = nil }),
		"signed by a hub":                       s.delivery(s.request("/hub/main", envelope.TypeStopRequest, whole), nil),
		"signed by an inbox":                    s.delivery(s.request("/authority/E06000023/inbox", envelope.TypeStopRequest, whole), nil),
		"another statement":                     s.delivery(s.request("/prison/BLI/desk", envelope.TypeManifest, whole), nil),
		"about nothing":                         s.delivery(s.request("/prison/BLI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{ManifestSha256: s.manifest}), nil),
		"about no such section":                 s.delivery(s.request("/prison/BLI/desk", envelope.TypeStopRequest, &posternv1.StopRequest{NotificationId: s.id, Paths: []string{"child/1/offence"}}), nil),
		"signed by nobody":                      s.delivery(&posternv1.Signed{Payload: good.Payload, PayloadType: good.PayloadType}, nil),
	}
	for name, d := range cases {
		d.DeliveryId = s.newID()
		if got := s.deliver(d); got != refusedStop {
			t.Errorf("%s: %v", name, got)
		}
	}
	if len(s.sees().GetSections()) != 15 || s.sees().GetItem().GetStop() != nil {
		t.Error("it was stopped")
	}
}

func TestAnAnswerIsForWhatWasAsked(t *testing.T) {
	s := newStopper(t, true)
	answer := func(code posternv1.StopAnswerCode) (*localv1.Item, error) {
		out, err := s.in.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: s.id, Answer: code})
		return out.GetItem(), err
	}
	for code, reason := range map[posternv1.StopAnswerCode]string{0: "STOP_ANSWER", 99: "STOP_ANSWER", 1: "NOT_WITHDRAWN"} {
		if _, err := answer(code); fault.From(err).Reason != reason {
			t.Errorf("%v: %v", code, err)
		}
	}
	s.deliver(s.good("child/1/phone"))
	item, err := answer(posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_SAFEGUARDING)
	if err != nil || item.GetStop().GetAnswer() != posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_SAFEGUARDING {
		t.Fatalf("%v %v", item, err)
	}
	if got := s.sees(); slices.Contains(got.GetItem().GetPaths(), "child/1/phone") {
		t.Error("keeping it in their own records brought it back here")
	}
	s.deliver(s.good())
	if got := s.sees().GetItem().GetStop(); got.GetAnswer() != 0 || len(got.GetPaths()) != 0 {
		t.Errorf("more was withdrawn, and the answer is still %v", got)
	}
}

// The same stop request under another delivery's id, as after a hub lost its disk, does not ask a team again that has
// answered.
func TestAStopThatComesAgainForgetsNoAnswer(t *testing.T) {
	for name, paths := range map[string][]string{"all": nil, "a part": {"child/1/phone"}} {
		t.Run(name, func(t *testing.T) {
			s := newStopper(t, true)
			stop := s.good(paths...)
			if s.deliver(stop) != 0 {
				t.Fatal("not acknowledged")
			}
			must(s.in.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}))(t)
			before := s.sees()
			s.Clock.Advance(time.Hour)
			again := proto.CloneOf(stop)
			again.DeliveryId = s.newID()
			if s.deliver(again) != 0 {
				t.Fatal("not acknowledged again")
			}
			if after := s.sees(); !proto.Equal(before, after) {
				t.Errorf("the team saw %v, and sees %v", before.GetItem().GetStop(), after.GetItem().GetStop())
			}
		})
	}
}
