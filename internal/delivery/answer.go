package delivery

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/queue"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// outcome is what became of a delivery, ready to be recorded.
type outcome struct {
	kind   logv1.Kind
	caller string            // the inbox that caused it; empty when the hub itself gave up
	why    string            // the reason of a refusal or of giving up
	signed []byte            // the acknowledgement, serialized
	update *posternv1.Update // what the desk is told, without id and time
}

// ranOut reports whether the inbox refused because the decision had run out on the way.
func (o outcome) ranOut() bool {
	return o.kind == logv1.Kind_KIND_DELIVERY_REFUSED && o.why == strings.TrimPrefix(posternv1.RefusalReason_REFUSAL_REASON_STALE_DECISION.String(), "REFUSAL_REASON_")
}

// errBadAnswer: the inbox answered, and the answer proves nothing.
var errBadAnswer = fault.New(fault.Unverified, "ANSWER_NOT_VERIFIED", "The inbox's answer does not verify.")

// verify turns an inbox's answer into an outcome, or returns errBadAnswer. It must be signed by exactly the inbox the
// delivery went to and be about exactly this subject: the manifest, or the payload of a stop request. now is when the certificate is judged: an answer is new.
func verify(r *posternv1.DeliverResponse, to identity.Party, deliveryID string, subject []byte, anchors *identity.Anchors, now time.Time) (outcome, error) {
	switch a := r.GetAnswer().(type) {
	case *posternv1.DeliverResponse_Acknowledgement:
		if err := signedBy(a.Acknowledgement, envelope.TypeAcknowledgement, to, anchors, now); err != nil {
			return outcome{}, err
		}
		// The acknowledgement goes to the desk verbatim, so it must have no room for anything but itself: these exact
		// bytes, and no unknown field beside them.
		want, err := proto.Marshal(&posternv1.Acknowledgement{ManifestSha256: subject})
		if err != nil {
			return outcome{}, fault.From(err)
		}
		if !bytes.Equal(a.Acknowledgement.GetPayload(), want) || hasUnknown(a.Acknowledgement) {
			return outcome{}, errBadAnswer
		}
		// Its certificates go too: only those that an anchor needs, since anything could stand in another one.
		s := a.Acknowledgement.GetSignatures()[0]
		certs, err := anchors.Needed(s.GetCertificates(), now)
		if err != nil {
			return outcome{}, errBadAnswer.Because(err)
		}
		told := &posternv1.Signed{Payload: want, PayloadType: envelope.TypeAcknowledgement,
			Signatures: []*posternv1.Signature{{Signature: s.GetSignature(), Certificates: certs}}}
		signed, err := proto.Marshal(told)
		if err != nil {
			return outcome{}, fault.From(err)
		}
		return outcome{kind: logv1.Kind_KIND_DELIVERED, caller: to.URI(), signed: signed,
			update: &posternv1.Update{Update: &posternv1.Update_Acknowledgement{Acknowledgement: told}}}, nil
	case *posternv1.DeliverResponse_Report:
		if err := signedBy(a.Report, envelope.TypeReport, to, anchors, now); err != nil {
			return outcome{}, err
		}
		report := &posternv1.Report{}
		if err := proto.Unmarshal(a.Report.GetPayload(), report); err != nil {
			return outcome{}, errBadAnswer.Because(err)
		}
		reason := report.GetRefusal().GetReason()
		_, known := posternv1.RefusalReason_name[int32(reason)]
		if reason == posternv1.RefusalReason_REFUSAL_REASON_UNSPECIFIED || !known ||
			report.GetDeliveryId() != deliveryID || !bytes.Equal(report.GetManifestSha256(), subject) {
			return outcome{}, errBadAnswer
		}
		return outcome{kind: logv1.Kind_KIND_DELIVERY_REFUSED, caller: to.URI(), why: strings.TrimPrefix(reason.String(), "REFUSAL_REASON_"), update: replyUndelivered()}, nil
	}
	return outcome{}, errBadAnswer
}

func signedBy(s *posternv1.Signed, payloadType string, want identity.Party, anchors *identity.Anchors, at time.Time) error {
	party, err := envelope.VerifyStatement(s, payloadType, anchors, at)
	if err != nil {
		return errBadAnswer.Because(err)
	}
	if party != want {
		return errBadAnswer
	}
	return nil
}

func hasUnknown(s *posternv1.Signed) bool {
	n := len(s.ProtoReflect().GetUnknown())
	for _, sig := range s.GetSignatures() {
		n += len(sig.ProtoReflect().GetUnknown())
	}
	return n > 0
}

// senderOf names the prison whose notification it was, for the auditors who may see that prison's.
func senderOf(desk string) *posternv1.Sender {
	party, err := identity.ParseURI(desk)
	if err != nil {
		return nil
	}
	return &posternv1.Sender{PrisonId: party.ID}
}

// undelivered is the outcome when the hub gives up: nothing is dropped silently, the ledger and the desk both hear.
func undelivered(why string) outcome {
	return outcome{kind: logv1.Kind_KIND_UNDELIVERED, why: why, update: replyUndelivered()}
}

// replyUndelivered is the same whether the inbox refused or never answered: a desk cannot tell the two apart.
func replyUndelivered() *posternv1.Update {
	return &posternv1.Update{Update: &posternv1.Update_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_UNDELIVERED}}}
}

// settle takes a delivery out of the outbox in the transaction that records what became of it and tells the desk: what
// was acknowledged is kept for a while, and anything else is parked. An acknowledgement may also come for one that was
// given up. It returns the event; of what is not there any more, none and no error: that was recorded, and this is a
// late echo.
func (d *Delivery) settle(ctx context.Context, p pending, o outcome) (event [16]byte, err error) {
	now := d.cfg.Clock()
	err = d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
		from := d.outbox
		it, w, err := readItem(tx, from, p.item)
		if errors.Is(err, queue.ErrGone) && o.kind == logv1.Kind_KIND_DELIVERED {
			from = d.parked
			it, w, err = readItem(tx, from, p.item)
		}
		if err != nil {
			return err
		}
		// In the received log even when the hub gave up: when that happens depends on the inbox.
		entry, err := tx.Record(ledger.Received, ledger.Event{
			Kind: o.kind,
			Time: now,
			Core: &logv1.Core{ManifestSha256: w.ManifestSHA256, EventTime: timestamppb.New(now), FollowsEvent: w.EventID[:], SubjectSha256: w.Stop},
			Details: &logv1.Details{
				Caller: o.caller, NotificationId: w.NotificationID, Sender: senderOf(w.Sender), Authority: it.Destination, DeliveryId: it.ID, Refusal: o.why,
			},
		})
		if err != nil {
			return err
		}
		event = entry.EventID()
		if !w.silent() {
			u := proto.CloneOf(o.update)
			u.NotificationId = w.NotificationID
			if err := d.Tell(tx, ByInbox, w.Sender, u, now); err != nil {
				return err
			}
		}
		if err := from.Remove(tx, it); err != nil {
			return err
		}
		life := d.contentLife(w.Sender, it.Destination, now)
		if len(w.Stop) > 0 {
			life = max(life, StopLife) // an inbox that is put back must not show again what it was asked to stop
		}
		w.Settled, w.EraseTime = event, now.Add(life)
		if o.kind == logv1.Kind_KIND_DELIVERED {
			w.Acknowledged, w.Why = o.signed, ""
			return d.keep(tx, it, w)
		}
		w.Why, w.ParkTime = o.why, now
		return d.park(tx, it, w)
	})
	if errors.Is(err, queue.ErrGone) {
		return [16]byte{}, nil
	}
	if err != nil {
		return [16]byte{}, err
	}
	level := slog.LevelInfo
	if o.kind != logv1.Kind_KIND_DELIVERED {
		level = slog.LevelError
	}
	d.cfg.Log.Log(ctx, level, "delivery settled", append(p.attrs(), slog.String("kind", o.kind.String()), slog.String("reason", o.why))...)
	return event, failpoint.Hit(failpoint.DeliverySettled)
}
