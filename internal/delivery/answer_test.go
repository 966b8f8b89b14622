package delivery_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/identity"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	bristolInbox = "spiffe://postern.test/authority/E06000023/inbox"
	lancsInbox   = "spiffe://postern.test/authority/E10000017/inbox"
)

// unknown is a field that no message of ours has: where a wordy inbox could hide something for the desk.
var unknown = protowire.AppendString(protowire.AppendTag(nil, 999, protowire.BytesType), "canary")

// answers are answers that prove nothing, each made for the delivery at hand.
func (h *hub) badAnswers() map[string]func(*posternv1.Delivery) *posternv1.DeliverResponse {
	plain := func(d *posternv1.Delivery) *posternv1.Acknowledgement {
		return &posternv1.Acknowledgement{ManifestSha256: manifestOf(d)}
	}
	good := func(d *posternv1.Delivery) *posternv1.Signed {
		return h.sign(bristolInbox, envelope.TypeAcknowledgement, plain(d))
	}
	refusal := func(d *posternv1.Delivery) *posternv1.Report {
		return &posternv1.Report{DeliveryId: d.GetDeliveryId(), ManifestSha256: manifestOf(d),
			Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: posternv1.RefusalReason_REFUSAL_REASON_BAD_SECTION}}}
	}
	changedReport := func(change func(*posternv1.Report)) func(*posternv1.Delivery) *posternv1.DeliverResponse {
		return func(d *posternv1.Delivery) *posternv1.DeliverResponse {
			r := refusal(d)
			change(r)
			return report(h.sign(bristolInbox, envelope.TypeReport, r))
		}
	}
	changedAck := func(change func(*posternv1.Signed)) func(*posternv1.Delivery) *posternv1.DeliverResponse {
		return func(d *posternv1.Delivery) *posternv1.DeliverResponse {
			s := good(d)
			change(s)
			return ack(s)
		}
	}
	return map[string]func(*posternv1.Delivery) *posternv1.DeliverResponse{
		"no answer":          func(*posternv1.Delivery) *posternv1.DeliverResponse { return nil },
		"an empty answer":    func(*posternv1.Delivery) *posternv1.DeliverResponse { return &posternv1.DeliverResponse{} },
		"an unsigned answer": changedAck(func(s *posternv1.Signed) { s.Signatures = nil }),
		"a flipped bit":      changedAck(func(s *posternv1.Signed) { s.Payload[5] ^= 1 }),
		"two signatures":     changedAck(func(s *posternv1.Signed) { s.Signatures = append(s.Signatures, s.Signatures[0]) }),
		"a field beside the signature": changedAck(func(s *posternv1.Signed) {
			s.Signatures[0].ProtoReflect().SetUnknown(unknown)
		}),
		"a field beside the payload": changedAck(func(s *posternv1.Signed) { s.ProtoReflect().SetUnknown(unknown) }),
		"another inbox": func(d *posternv1.Delivery) *posternv1.DeliverResponse {
			return ack(h.sign(lancsInbox, envelope.TypeAcknowledgement, plain(d)))
		},
		"a desk": func(d *posternv1.Delivery) *posternv1.DeliverResponse {
			return ack(h.sign(desk, envelope.TypeAcknowledgement, plain(d)))
		},
		"another manifest": func(*posternv1.Delivery) *posternv1.DeliverResponse {
			return ack(h.sign(bristolInbox, envelope.TypeAcknowledgement, &posternv1.Acknowledgement{ManifestSha256: make([]byte, 32)}))
		},
		"an acknowledgement with a field more": func(d *posternv1.Delivery) *posternv1.DeliverResponse {
			a := plain(d)
			a.ProtoReflect().SetUnknown(unknown)
			return ack(h.sign(bristolInbox, envelope.TypeAcknowledgement, a))
		},
		"an acknowledgement signed as a report": func(d *posternv1.Delivery) *posternv1.DeliverResponse {
			return ack(h.sign(bristolInbox, envelope.TypeReport, plain(d)))
		},
		"another inbox's refusal": func(d *posternv1.Delivery) *posternv1.DeliverResponse {
			return report(h.sign(lancsInbox, envelope.TypeReport, refusal(d)))
		},
		"a refusal of another delivery": changedReport(func(r *posternv1.Report) { r.DeliveryId = "another" }),
		"a refusal of another manifest": changedReport(func(r *posternv1.Report) { r.ManifestSha256[0] ^= 1 }),
		"a refusal without a reason":    changedReport(func(r *posternv1.Report) { r.GetRefusal().Reason = 0 }),
		"a refusal for a reason unknown": changedReport(func(r *posternv1.Report) {
			r.GetRefusal().Reason = 99
		}),
		"a reply for a refusal": changedReport(func(r *posternv1.Report) {
			r.Report = &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA}}
		}),
		"a report that is none": func(*posternv1.Delivery) *posternv1.DeliverResponse {
			s := h.sign(bristolInbox, envelope.TypeReport, &posternv1.Report{})
			s.Payload = []byte{0xff}
			return report(s)
		},
	}
}

func TestAnAnswerThatDoesNotVerifySettlesNothing(t *testing.T) {
	h := newHub(t)
	for name, answer := range h.badAnswers() {
		t.Run(name, func(t *testing.T) {
			sends := 0
			h.listen("bristol.test:1", func(_ context.Context, _ identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
				sends++
				return answer(d), nil
			})
			before, told := len(h.received()), len(h.updates())
			h.share(bristol)
			h.step()
			if it, ok := h.head(bristol); !ok || it.Attempts != 1 || len(h.received()) != before || len(h.updates()) != told || sends != 1 {
				t.Errorf("item %v, %d sends: a bad answer counted for something", it, sends)
			}
			h.listen("bristol.test:1", h.honest(func(*posternv1.Delivery) {}))
			h.pass(time.Minute)
			h.step()
			if _, ok := h.head(bristol); ok || len(h.received()) != before+1 || len(h.updates()) != told+1 {
				t.Error("a good answer after a bad one was not taken")
			}
		})
	}
	if strings.Contains(h.log.String(), "canary") {
		t.Error("the log quotes an answer")
	}
	for _, u := range h.updates() {
		if strings.Contains(u.String(), "canary") {
			t.Error("something beside the acknowledgement reached the desk")
		}
	}
}

func TestAfterEightBadAnswersItIsGivenUp(t *testing.T) {
	h := newHub(t)
	sends := 0
	h.listen("bristol.test:1", func(_ context.Context, _ identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		if sends++; sends == 3 {
			return nil, context.DeadlineExceeded // silence is not a bad answer and is not counted
		}
		return &posternv1.DeliverResponse{}, nil
	})
	h.share(bristol)
	h.share(bristol)
	first, _ := h.head(bristol)
	for range 9 {
		if len(h.received()) != 0 {
			t.Fatalf("given up after %d sends", sends)
		}
		h.step()
		h.restart(nil) // the count is kept
		h.pass(5 * time.Minute)
	}
	events := h.received()
	if len(events) != 1 || events[0].Leaf.Kind != logv1.Kind_KIND_UNDELIVERED || events[0].Details.GetRefusal() != "ANSWER_NOT_VERIFIED" || sends != 9 {
		t.Fatalf("%d events after %d sends, want undelivered after 9", len(events), sends)
	}
	if it, ok := h.head(bristol); !ok || it.Sequence != first.Sequence+1 || it.Attempts != 0 {
		t.Errorf("item %v: the next one is not at the head of the line", it)
	}
}

// To a desk a refusal, a hopeless answer and silence are the same bytes.
func TestADeskCannotTellARefusalFromSilence(t *testing.T) {
	worlds := map[string]inbox{
		"silence": func(context.Context, identity.Party, *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
			return nil, context.DeadlineExceeded
		},
	}
	h := newHub(t)
	for reason := range posternv1.RefusalReason_name {
		if reason == 0 {
			continue
		}
		worlds[posternv1.RefusalReason(reason).String()] = func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
			return report(h.sign(to.URI(), envelope.TypeReport, &posternv1.Report{DeliveryId: d.GetDeliveryId(), ManifestSha256: manifestOf(d),
				Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: posternv1.RefusalReason(reason)}}})), nil
		}
	}
	var transcripts []string
	for name, in := range worlds {
		h.listen("bristol.test:1", in)
		h.share(bristol)
		h.step()
		if name == "silence" {
			h.pass(12 * time.Hour)
			h.step()
			h.pass(-12 * time.Hour)
		}
		events, updates := h.received(), h.updates()
		last, u := events[len(events)-1], updates[len(updates)-1]
		want := logv1.Kind_KIND_DELIVERY_REFUSED
		if name == "silence" {
			want = logv1.Kind_KIND_UNDELIVERED
			u.UpdateTime.Seconds -= 12 * 3600
		} else if last.Details.GetRefusal() != strings.TrimPrefix(name, "REFUSAL_REASON_") || last.Details.GetCaller() != bristolInbox {
			t.Errorf("%s was recorded as %v", name, last.Details)
		}
		if last.Leaf.Kind != want {
			t.Errorf("%s was recorded as %v", name, last.Leaf.Kind)
		}
		u.NotificationId = ""
		transcripts = append(transcripts, string(value(proto.Marshal(u))(t)))
	}
	for _, tr := range transcripts {
		if tr != transcripts[0] {
			t.Errorf("updates %q and %q differ", tr, transcripts[0])
		}
	}
	if h.records(schema.HubOutbox) != 0 || h.records(schema.HubParked) != len(worlds) || h.records(schema.HubOutboxBody) != len(worlds) {
		t.Error("a refused delivery is still in the outbox, or was not parked with its content")
	}
}

// Certificates that lead to no anchor are the signer's own to write: none of them goes on to the desk.
func TestOnlyCertificatesThatVouchReachADesk(t *testing.T) {
	h := newHub(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "they moved to 12 Canary Row"}, NotAfter: h.clock().AddDate(1, 0, 0)}
	junk := value(x509.CreateCertificate(rand.Reader, template, template, public, private))(t)
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		a := h.acknowledge(to, d)
		sig := a.GetAcknowledgement().GetSignatures()[0]
		sig.Certificates = append(sig.Certificates, junk, junk)
		return a, nil
	})
	h.share(bristol)
	h.step()
	told := h.updates()
	if len(told) != 1 || told[0].GetAcknowledgement() == nil {
		t.Fatalf("told %v", told)
	}
	if b := value(proto.Marshal(told[0]))(t); bytes.Contains(b, []byte("Canary Row")) {
		t.Error("a certificate that nobody vouches for reached the desk")
	}
	if _, err := envelope.VerifyStatement(told[0].GetAcknowledgement(), envelope.TypeAcknowledgement, h.anchors, h.clock()); err != nil {
		t.Errorf("what is left of it does not verify: %v", err)
	}
}
