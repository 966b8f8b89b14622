package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// hubDestination is the one destination of reports.
const hubDestination = "hub"

func (in *Inbox) now() *timestamppb.Timestamp {
	return timestamppb.New(in.cfg.Clock().Truncate(time.Second))
}

// subject is what an answer to a delivery is about: the SHA-256 of the manifest, or of the payload of a stop request.
func subject(d *posternv1.Delivery) []byte {
	signed := d.GetNotification().GetManifest()
	if d.GetStopRequest() != nil {
		signed = d.GetStopRequest()
	}
	sum := sha256.Sum256(signed.GetPayload())
	return sum[:]
}

// acknowledge signs that we have what has this digest.
func (in *Inbox) acknowledge(digest []byte) (*posternv1.DeliverResponse, error) {
	payload, err := proto.Marshal(&posternv1.Acknowledgement{ManifestSha256: digest})
	if err != nil {
		return nil, fault.From(err)
	}
	signed, err := envelope.SignStatement(in.cfg.Identity, envelope.TypeAcknowledgement, payload)
	return &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Acknowledgement{Acknowledgement: signed}}, err
}

func (in *Inbox) sign(r *posternv1.Report) (*posternv1.Signed, error) {
	payload, err := proto.Marshal(r)
	if err != nil {
		return nil, fault.From(err)
	}
	return envelope.SignStatement(in.cfg.Identity, envelope.TypeReport, payload)
}

// mismatchReport is the signed report that facts and values do not agree, serialized; nil when they do.
func (in *Inbox) mismatchReport(d *posternv1.Delivery, v *envelope.Verified, paths []string) ([]byte, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	signed, err := in.sign(&posternv1.Report{
		DeliveryId: d.GetDeliveryId(), NotificationId: v.Manifest().GetNotificationId(), ManifestSha256: v.ManifestSHA256(), ReportTime: in.now(),
		Report: &posternv1.Report_FactsMismatch{FactsMismatch: &posternv1.FactsMismatch{Paths: paths}},
	})
	if err != nil {
		return nil, err
	}
	b, err := proto.Marshal(signed)
	if err != nil {
		return nil, fault.From(err)
	}
	return b, nil
}

var sequenceKey = []byte("report sequence")

func (in *Inbox) spoolReport(tx store.Tx, id string, signed []byte) error {
	next := uint64(1)
	row, err := tx.Get(schema.InboxMeta, sequenceKey)
	if err != nil {
		return err
	}
	if row != nil {
		next = binary.BigEndian.Uint64(row)
	}
	now := in.cfg.Clock()
	item := queue.Item{Destination: hubDestination, Sequence: next, ID: id, Body: signed, EnqueueTime: now, DueTime: now}
	if err := in.reports.Put(tx, item); err != nil {
		return err
	}
	return tx.Put(schema.InboxMeta, sequenceKey, binary.BigEndian.AppendUint64(nil, next+1))
}

func (in *Inbox) wakeUp() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// report sends one report. Where the inbox has the key of the received log, it is sent only when its receipt proves it.
func (in *Inbox) report(ctx context.Context, req *posternv1.ReportRequest) error {
	_, _, err := in.ask(ctx, req)
	return err
}

// StepReports sends the oldest report that is due, and reports whether there was one.
func (in *Inbox) StepReports(ctx context.Context) (bool, error) {
	var item queue.Item
	var ok bool
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		item, ok, err = in.reports.Head(s, hubDestination)
		return err
	})
	if err != nil || !ok || item.DueTime.After(in.cfg.Clock()) {
		return false, err
	}
	signed := &posternv1.Signed{}
	if err := proto.Unmarshal(item.Body, signed); err != nil {
		return false, fault.New(fault.Internal, "BAD_RECORD", "A report of this inbox cannot be read.").Because(err)
	}
	if err := failpoint.Hit(failpoint.InboxReport); err != nil {
		return false, err
	}
	sendErr := in.report(ctx, &posternv1.ReportRequest{Signed: signed})
	if err := failpoint.Hit(failpoint.InboxReported); err != nil {
		return false, err
	}
	switch fault.KindOf(sendErr) {
	case fault.Invalid, fault.Denied, fault.NotFound, fault.Unimplemented:
		in.cfg.Log.ErrorContext(ctx, "the hub refused a report", "delivery", item.ID, "reason", fault.From(sendErr).Reason)
		sendErr = nil // it would refuse it for ever; the mismatch stays on the item the team sees
	}
	r, err := queue.Jitter(in.cfg.Rand)
	if err != nil {
		return true, errors.Join(sendErr, err)
	}
	err = store.Reserved(in.cfg.Store).Update(context.WithoutCancel(ctx), func(tx store.Tx) error { // it was promised
		if sendErr == nil {
			return in.reports.Remove(tx, item)
		}
		retry := item
		retry.DueTime = in.cfg.Clock().Add(max(in.cfg.Backoff.After(item.Attempts, r), fault.From(sendErr).RetryAfter))
		retry.Attempts++
		return in.reports.Retry(tx, retry)
	})
	return true, errors.Join(sendErr, err)
}
