package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
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

// spooled is a report that waits, as it is read.
type spooled struct {
	queue.Item
	payload []byte
	report  *posternv1.Report
	kind    string // of what is reported
}

func readReport(it queue.Item) (spooled, error) {
	signed, r := &posternv1.Signed{}, &posternv1.Report{}
	if err := errors.Join(proto.Unmarshal(it.Body, signed), proto.Unmarshal(signed.GetPayload(), r)); err != nil {
		return spooled{}, fault.New(fault.Internal, "BAD_RECORD", "A report of this inbox cannot be read.").Because(err)
	}
	m := r.ProtoReflect()
	kind := m.WhichOneof(m.Descriptor().Oneofs().ByName("report"))
	if kind == nil {
		return spooled{}, fault.New(fault.Internal, "BAD_RECORD", "A report of this inbox says nothing.")
	}
	return spooled{it, signed.GetPayload(), r, string(kind.Name())}, nil
}

// nextReport is the oldest report that may go now. One that waits holds up only those of its kind about the same manifest,
// so that the hub hears in their order what a team answered first and what instead.
func (in *Inbox) nextReport(s store.Snapshot) (next spooled, ok bool, err error) {
	now, held := in.cfg.Clock(), map[string]bool{}
	for from := uint64(0); ; {
		line, err := in.reports.Line(s, hubDestination, from, 64)
		if err != nil || len(line) == 0 {
			return next, false, err
		}
		for _, it := range line {
			if next, err = readReport(it); err != nil {
				return next, false, err
			}
			about := next.kind + string(next.report.GetManifestSha256())
			if it.Ready(now, max(in.cfg.Backoff.Longest(), refusedBackoff.Longest())) && !held[about] {
				return next, true, nil
			}
			held[about] = true
		}
		from = line[len(line)-1].Sequence + 1
	}
}

// A hub that lost its disk refuses a report until the desk has told it what it is about, so one refusal is not the last
// word: it is tried for about four days of a hub that answers, the longest row of holidays. A hub that cannot be reached
// is waited for as long as that takes.
const maxRefusals = 200

var refusedBackoff = queue.Backoff{Base: time.Minute, Max: time.Hour}

// refused reports whether the hub said no to a report, and not that it cannot take any. What is wrong with the log or the
// certificate of the hub itself is Unverified, and no answer to the report.
func refused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Denied, fault.NotFound, fault.Unimplemented:
		return err != nil
	}
	return false
}

// StepReports sends the oldest report that may go now, and reports whether there was one. It is signed anew at each attempt,
// for the hub judges our certificate by its own clock: what it knows again is the payload, so nothing counts twice.
func (in *Inbox) StepReports(ctx context.Context) (bool, error) {
	var next spooled
	var ok bool
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		next, ok, err = in.nextReport(s)
		return err
	})
	if err != nil || !ok {
		return false, err
	}
	signed, err := envelope.SignStatement(in.cfg.Identity, envelope.TypeReport, next.payload)
	if err != nil {
		return false, err
	}
	if err := failpoint.Hit(failpoint.InboxReport); err != nil {
		return false, err
	}
	sendErr := in.report(ctx, &posternv1.ReportRequest{Signed: signed})
	if err := failpoint.Hit(failpoint.InboxReported); err != nil {
		return false, err
	}
	err = in.settleReport(ctx, next, sendErr)
	if refused(sendErr) {
		sendErr = nil // the hub answers, and others need not wait
	}
	return true, errors.Join(sendErr, err)
}

// settleReport removes a report that went or that is given up, and keeps any other for another attempt.
func (in *Inbox) settleReport(ctx context.Context, sent spooled, sendErr error) error {
	jitter, err := queue.Jitter(in.cfg.Rand)
	if err != nil {
		return err
	}
	retry, over := sent.Item, false
	retry.Attempts++
	wait := in.cfg.Backoff.Asked(sent.Attempts, jitter, fault.From(sendErr).RetryAfter)
	if refused(sendErr) {
		retry.Refusals++
		over, wait = retry.Refusals >= maxRefusals, refusedBackoff.Asked(retry.Refusals, jitter, fault.From(sendErr).RetryAfter)
		level, what := in.cfg.Log.WarnContext, "the hub refused a report, trying again"
		if over {
			level, what = in.cfg.Log.ErrorContext, "the hub refused a report for days, and it is given up"
		}
		level(ctx, what, "report", sent.kind, "about", sent.ID, "reason", fault.From(sendErr).Reason, "refusals", retry.Refusals)
	}
	return store.Reserved(in.cfg.Store).Update(context.WithoutCancel(ctx), func(tx store.Tx) error { // it was promised
		switch {
		case over:
			return errors.Join(in.unheard(tx, sent.report), in.reports.Remove(tx, sent.Item))
		case sendErr == nil:
			return in.reports.Remove(tx, sent.Item)
		}
		retry.DueTime = in.cfg.Clock().Add(wait)
		return in.reports.Retry(tx, retry)
	})
}

// unheard notes, when a reply is given up, that the prison does not hear it, so that somebody telephones: unless the team
// has answered anew since, or has it from another team, of which no prison hears. No prison hears of any other report.
func (in *Inbox) unheard(tx store.Tx, r *posternv1.Report) error {
	if r.GetReply() == nil {
		return nil
	}
	item, _, err := in.withWork(tx, r.GetManifestSha256())
	if err != nil || item == nil || item.GetPassedOnBy() != "" {
		return err
	}
	w := item.GetWork()
	for _, d := range slices.Backward(w.GetDeeds()) {
		if d.GetReplied() == nil {
			continue
		}
		if !proto.Equal(d.GetTime(), r.GetReportTime()) {
			return nil
		}
		w.UnheardTime = in.now()
		return in.keepWork(tx, r.GetManifestSha256(), w)
	}
	return nil
}
