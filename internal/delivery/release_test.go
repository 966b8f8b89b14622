package delivery_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/delivery"
	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// release is where a notification stands.
func (h *hub) release(id string) delivery.Release {
	h.t.Helper()
	var rel delivery.Release
	must(h.t, h.ledger.Append(h.t.Context(), func(tx *ledger.Tx) (err error) {
		var ok bool
		if rel, ok, err = h.Release(tx, id); err == nil && !ok {
			err = errors.New("nothing was released")
		}
		return err
	}))
	return rel
}

// cancel takes a notification out of the outbox, as a withdrawal does, and says whether a send had begun.
func (h *hub) cancel(id string) (was, begun bool) {
	h.t.Helper()
	must(h.t, h.ledger.Append(h.t.Context(), func(tx *ledger.Tx) error {
		rel, _, err := h.Release(tx, id)
		if err != nil {
			return err
		}
		begun = rel.Begun
		was, err = h.Cancel(tx, rel)
		return err
	}))
	return was, begun
}

// The courier looks at the outbox, then asks the directory where to send, then begins: a withdrawal that commits
// between looking and beginning leaves nothing to send.
func TestWhatIsCancelledBeforeItBeginsIsNotSent(t *testing.T) {
	h := newHub(t)
	sent := 0
	h.listen("bristol.test:1", h.honest(func(*posternv1.Delivery) { sent++ }))
	id, _ := h.share(bristol)
	asked := 0
	h.restart(func(c *delivery.Config) {
		c.Directory = func() *directory.Directory {
			if asked++; asked == 2 { // once for the deadline, once for the way
				if was, begun := h.cancel(id); !was || begun {
					t.Errorf("was there %v, begun %v", was, begun)
				}
			}
			return h.directory
		}
	})
	for h.step() {
		h.pass(time.Hour)
	}
	if sent != 0 || asked < 2 || h.release(id).Begun || h.records(schema.HubOutbox) != 0 || h.records(schema.HubOutboxBody) != 0 {
		t.Errorf("sent %d times; begun %v; %d items left", sent, h.release(id).Begun, h.records(schema.HubOutbox))
	}
	if got := h.updates(); len(got) != 0 || len(h.received()) != 0 {
		t.Errorf("the desk is told %v, the log %v", got, h.received())
	}
}

func TestASendCountsAsBegunBeforeItsFirstByte(t *testing.T) {
	h := newHub(t)
	id, _ := h.share(bristol)
	during := false
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		during = h.release(id).Begun
		was, begun := h.cancel(id)
		if !was || !begun {
			t.Errorf("was there %v, begun %v", was, begun)
		}
		return h.acknowledge(to, d), nil
	})
	if h.release(id).Begun {
		t.Error("begun before any attempt")
	}
	if !h.step() || !during {
		t.Errorf("begun during the send: %v", during)
	}
	h.restart(nil)
	if h.step() || !h.release(id).Begun || len(h.received()) != 0 {
		t.Errorf("begun %v after a restart; %v", h.release(id).Begun, h.received())
	}
}

func TestAnAttemptThatCannotBeMadeDoesNotBegin(t *testing.T) {
	h := newHub(t)
	h.directory = h.newDirectory(2, twoAuthorities("", ""))
	id, _ := h.share(bristol)
	if !h.step() || h.release(id).Begun {
		t.Error("it began without a place to go to")
	}
}

func TestWhatBeganStaysBegunForTheNextDelivery(t *testing.T) {
	h := newHub(t)
	out, ev := h.outgoing(bristol)
	if _, err := h.enqueue(out, ev); err != nil {
		t.Fatal(err)
	}
	h.step() // nobody listens: begun, not delivered
	h.cancel(out.NotificationID)
	if _, err := h.enqueue(out, ev); err != nil {
		t.Fatal(err)
	}
	if rel := h.release(out.NotificationID); !rel.Begun || rel.Number != 0 {
		t.Errorf("%+v", rel)
	}
}

// stop asks to stop what was shared, as a hub's handler does.
func (h *hub) stop(notificationID string, manifest []byte, edit func(*ledger.Event, *delivery.Stop)) (id event, err error) {
	h.t.Helper()
	request := h.sign(desk, envelope.TypeStopRequest, &posternv1.StopRequest{NotificationId: notificationID})
	sum := sha256.Sum256(request.GetPayload())
	ev := ledger.Event{Kind: logv1.Kind_KIND_STOP_ASKED, Details: &logv1.Details{NotificationId: notificationID},
		Core: &logv1.Core{ManifestSha256: manifest, SubjectSha256: sum[:]}}
	s := delivery.Stop{Authority: bristol, NotificationID: notificationID, ManifestSHA256: manifest, Request: request}
	if edit != nil {
		edit(&ev, &s)
	}
	err = h.ledger.Append(h.t.Context(), func(tx *ledger.Tx) error {
		e, err := tx.Record(ledger.Sent, ev)
		if err != nil {
			return err
		}
		id = e.EventID()
		return h.EnqueueStop(tx, e, s)
	})
	return id, err
}

// A stop request goes with its receipt, is recorded when the team has it, and tells the desk nothing.
func TestAStopRequestIsDeliveredLikeANotification(t *testing.T) {
	h := newHub(t)
	manifest := make([]byte, 32)
	asked, err := h.stop("some id", manifest, nil)
	must(t, err)
	h.pass(30 * 24 * time.Hour) // longer than any notification is tried
	var got *posternv1.Delivery
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		got = d
		return h.stopped(to, d), nil
	})
	if !h.step() || got.GetStopRequest() == nil || got.GetNotification() != nil || got.GetReceipt() == nil || got.GetSequence() != 1 {
		t.Fatalf("sent %v", got)
	}
	all := h.received()
	if len(all) != 1 || all[0].Leaf.Kind != logv1.Kind_KIND_DELIVERED || string(all[0].Core.GetFollowsEvent()) != string(asked[:]) || all[0].Core.GetSubjectSha256() == nil {
		t.Errorf("recorded %v", all)
	}
	if len(h.updates()) != 0 || h.records(schema.HubKept) != 1 {
		t.Errorf("the desk is told %v", h.updates())
	}
}

func TestAnAcknowledgementOfTheNotificationIsNoneOfItsStop(t *testing.T) {
	h := newHub(t)
	manifest := make([]byte, 32)
	_, err := h.stop("some id", manifest, nil)
	must(t, err)
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, _ *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		return ack(h.sign(to.URI(), envelope.TypeAcknowledgement, &posternv1.Acknowledgement{ManifestSha256: manifest})), nil
	})
	h.step()
	if len(h.received()) != 0 || h.records(schema.HubOutbox) != 1 {
		t.Errorf("settled as %v", h.received())
	}
}

// stopped acknowledges a stop request, as an inbox does.
func (h *hub) stopped(to identity.Party, d *posternv1.Delivery) *posternv1.DeliverResponse {
	sum := sha256.Sum256(d.GetStopRequest().GetPayload())
	return ack(h.sign(to.URI(), envelope.TypeAcknowledgement, &posternv1.Acknowledgement{ManifestSha256: sum[:]}))
}

// The desk was told that its team is asked to stop. So whatever an inbox answers, for whatever time it is wrong about
// clocks, keys or itself, it is asked again until it has taken that; and nothing else of its line waits meanwhile.
func TestAStopRequestThatWasRefusedComesAgain(t *testing.T) {
	for name, answer := range map[string]func(*hub, identity.Party, *posternv1.Delivery) (*posternv1.DeliverResponse, error){
		"refused": func(h *hub, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
			sum := sha256.Sum256(d.GetStopRequest().GetPayload())
			return report(h.sign(to.URI(), envelope.TypeReport, &posternv1.Report{DeliveryId: d.GetDeliveryId(), ManifestSha256: sum[:],
				Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: posternv1.RefusalReason_REFUSAL_REASON_BAD_STOP_REQUEST}}})), nil
		},
		"a bad answer": func(*hub, identity.Party, *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
			return &posternv1.DeliverResponse{}, nil
		},
		"an error of its own": func(*hub, identity.Party, *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
			return nil, fault.New(fault.Internal, "INTERNAL", "It went wrong.")
		},
		"it cannot say": func(*hub, identity.Party, *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
			return nil, fault.New(fault.Unavailable, "LOG_KEY_MISSING", "It has no key.")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			well, stops := false, 0
			h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
				switch {
				case d.GetStopRequest() == nil:
					return h.acknowledge(to, d), nil
				case !well:
					stops++
					return answer(h, to, d)
				}
				return h.stopped(to, d), nil
			})
			_, err := h.stop("some id", make([]byte, 32), nil)
			must(t, err)
			tries := func(n int) {
				for range n {
					for h.step() {
					}
					h.pass(5 * time.Minute)
				}
			}
			tries(12) // by now it is tried as seldom as may be
			for n := range 12 {
				h.share(bristol)
				tries(2)
				if got := len(h.received()); got != n+1 || h.records(schema.HubOutbox) != 1 || h.records(schema.HubParked) != 0 {
					t.Fatalf("after %d tries %d of %d notifications have arrived; %d wait, %d were given up", stops, got, n+1, h.records(schema.HubOutbox), h.records(schema.HubParked))
				}
			}
			if s := value(h.Status(t.Context()))(t); stops < 24 || len(s) != 1 || !s[0].OldestStop.Equal(morning) || len(h.updates()) != 12 {
				t.Errorf("%d tries; %+v", stops, s)
			}
			well = true
			tries(1)
			if all := h.received(); len(all) != 13 || all[12].Leaf.Kind != logv1.Kind_KIND_DELIVERED || h.records(schema.HubOutbox) != 0 {
				t.Errorf("it is well, and %d are settled", len(all))
			}
		})
	}
}

// The same of an inbox that collects.
func TestAStopRequestThatACollectingInboxRefusedComesAgain(t *testing.T) {
	h := newHub(t)
	h.directory = h.newDirectory(2, collecting)
	_, err := h.stop("some id", make([]byte, 32), nil)
	must(t, err)
	in := value(identity.ParseURI(bristolInbox))(t)
	for range 10 {
		d := value(h.Next(t.Context(), bristol))(t)
		sum := sha256.Sum256(d.GetStopRequest().GetPayload())
		_, err := h.Answered(t.Context(), in, d.GetDeliveryId(), report(h.sign(bristolInbox, envelope.TypeReport, &posternv1.Report{DeliveryId: d.GetDeliveryId(), ManifestSha256: sum[:],
			Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: posternv1.RefusalReason_REFUSAL_REASON_BAD_STOP_REQUEST}}})))
		if fault.KindOf(err) != fault.NotFound || len(h.received()) != 0 {
			t.Fatalf("recorded %v: %v", h.received(), err)
		}
		h.pass(5 * time.Minute)
	}
	d := value(h.Next(t.Context(), bristol))(t)
	if value(h.Answered(t.Context(), in, d.GetDeliveryId(), h.stopped(in, d)))(t) == (event{}) || len(h.received()) != 1 || strings.Count(h.log.String(), "level=ERROR") != 10 {
		t.Errorf("recorded %v; %s", h.received(), h.log)
	}
}

func TestAStopRequestIsGivenUpAtLast(t *testing.T) {
	h := newHub(t)
	_, err := h.stop("some id", make([]byte, 32), nil)
	must(t, err)
	h.pass(delivery.StopLife)
	h.step()
	if all := h.received(); len(all) != 1 || all[0].Details.GetRefusal() != "STOP_NOT_DELIVERED" || len(h.updates()) != 0 {
		t.Errorf("recorded %v", all)
	}
}

func TestOnlyWhatTheEntryRecordsIsStopped(t *testing.T) {
	h := newHub(t)
	other := h.sign(desk, envelope.TypeStopRequest, &posternv1.StopRequest{NotificationId: "another"})
	cases := map[string]func(*ledger.Event, *delivery.Stop){
		"another kind":     func(e *ledger.Event, _ *delivery.Stop) { e.Kind = logv1.Kind_KIND_WITHDRAWN },
		"another request":  func(_ *ledger.Event, s *delivery.Stop) { s.Request = other },
		"another manifest": func(_ *ledger.Event, s *delivery.Stop) { s.ManifestSHA256 = make([]byte, 31) },
		"no authority":     func(_ *ledger.Event, s *delivery.Stop) { s.Authority = "" },
		"another statement": func(_ *ledger.Event, s *delivery.Stop) {
			s.Request = proto.CloneOf(s.Request)
			s.Request.PayloadType = envelope.TypeManifest
		},
	}
	for name, edit := range cases {
		if _, err := h.stop("some id", make([]byte, 32), edit); fault.From(err).Reason != "NOT_A_STOP" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h.EnqueueStop(nil, ledger.Entry{}, delivery.Stop{}); fault.From(err).Reason != "NO_ENTRY" {
		t.Errorf("without an entry: %v", err)
	}
	if h.records(schema.HubOutbox) != 0 {
		t.Error("something was enqueued")
	}
}
