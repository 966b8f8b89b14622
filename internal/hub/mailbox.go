package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/delivery"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/plain"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Report records what an inbox says of a notification it was sent, in the received log, and lets through to the desk
// what may flow back. The same report again changes nothing.
func (h *Hub) Report(ctx context.Context, req *posternv1.ReportRequest) (*posternv1.ReportResponse, error) {
	caller, _ := rpc.Party(ctx)
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received); err != nil {
		return nil, err
	}
	if answer := answerOf(req, nil); answer != nil {
		return h.collected(ctx, caller, req, answer)
	}
	now := h.now()
	signer, err := envelope.VerifyStatement(req.GetSigned(), envelope.TypeReport, h.cfg.Anchors, now)
	if err != nil {
		return nil, err
	}
	if signer != caller {
		return nil, fault.New(fault.Denied, "SENDER_IS_NOT_CALLER", "The report was signed by another inbox than the one that sends it.")
	}
	r := &posternv1.Report{}
	if err := proto.Unmarshal(req.GetSigned().GetPayload(), r); err != nil {
		return nil, fault.New(fault.Invalid, "MALFORMED", "The report cannot be read.").Because(err)
	}
	if answer := answerOf(req, r); answer != nil && req.GetDeliveryId() != "" {
		return h.collected(ctx, caller, req, answer)
	}
	event, err := h.heed(ctx, caller, req, r, now)
	if err != nil {
		return nil, err
	}
	// A crash here: the report is a leaf, and the inbox, which heard nothing, sends it again to no effect.
	if err := failpoint.Hit(failpoint.HubReported); err != nil {
		return nil, err
	}
	return h.reported(ctx, req, event)
}

// heed records a report, and does what follows from it.
func (h *Hub) heed(ctx context.Context, caller identity.Party, req *posternv1.ReportRequest, r *posternv1.Report, now time.Time) ([16]byte, error) {
	if r.GetRedirect() != nil {
		return h.redirect(ctx, caller, req, r)
	}
	back, err := said(r)
	if err != nil {
		return [16]byte{}, err
	}
	return h.recordReport(ctx, caller.ID, caller.URI(), req.GetSigned().GetPayload(), r, back, now)
}

// reported proves that a report was recorded, and that the log it is in continues what the caller knows.
func (h *Hub) reported(ctx context.Context, req *posternv1.ReportRequest, event [16]byte) (out *posternv1.ReportResponse, err error) {
	cut := h.cfg.Ledger.Cut()
	out = &posternv1.ReportResponse{}
	if out.Receipt, err = cut.Receipt(ctx, event); err != nil {
		return nil, err
	}
	if req.GetRedirected() != nil || req.GetResubmitted() {
		at, err := h.logged(ctx, event)
		if err != nil {
			return nil, err
		}
		out.Decision = at.Details.GetDecision()
	}
	out.Consistency, err = cut.Proofs(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received)
	return out, err
}

// recordReport writes the leaf and, when something flows back, the desk's update, in one transaction.
func (h *Hub) recordReport(ctx context.Context, authority, uri string, payload []byte, r *posternv1.Report, back *posternv1.Update, now time.Time) ([16]byte, error) {
	var event [16]byte
	digest := sha256.Sum256(payload)
	same := idempotencyKey(uri, "report", digest[:])
	about, err := h.sharedWith(ctx, authority, r.GetNotificationId(), r.GetManifestSha256())
	if err != nil {
		return event, err
	}
	err = h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		if earlier, err := tx.Get(schema.HubIdempotency, same); err != nil || earlier != nil {
			copy(event[:], earlier)
			return err
		}
		kind, follows, err := answers(tx, r, about)
		if err != nil {
			return err
		}
		entry, err := tx.Record(ledger.Received, ledger.Event{
			Kind:    kind,
			Time:    now,
			Core:    &logv1.Core{ManifestSha256: r.GetManifestSha256(), FollowsEvent: follows, SubjectSha256: digest[:]},
			Details: &logv1.Details{Caller: uri, NotificationId: about.GetNotificationId(), Sender: &posternv1.Sender{PrisonId: prisonOf(about.Details)}, Authority: authority, DeliveryId: r.GetDeliveryId(), Refusal: reportName(r)},
		})
		if err != nil {
			return err
		}
		event = entry.EventID()
		// What another team says, to whom it was passed on, no prison hears: it does not know that there is one.
		if err := tx.Put(schema.HubIdempotency, same, event[:]); err != nil || back == nil || about.passedOn {
			return err
		}
		back.NotificationId = about.GetNotificationId()
		return h.delivery.Tell(tx, delivery.ByTeam, about.desk, back, now)
	})
	if err != nil {
		return [16]byte{}, err // the event belongs to the sequencer still, when the time ran out
	}
	return event, nil
}

// answers says what kind of event a report is and what it follows: the decision, or of an answer to a stop request the
// event that asked. A team cannot answer what it was not asked.
func answers(r store.Reader, report *posternv1.Report, about shared) (logv1.Kind, []byte, error) {
	if report.GetStopAnswer() == nil {
		return logv1.Kind_KIND_REPLIED, about.event[:], nil
	}
	asked, err := about.asked(r)
	if err == nil && asked == nil {
		err = notYours
	}
	return logv1.Kind_KIND_STOP_ANSWERED, asked, err
}

// shared is a decision that shared something with an authority.
type shared struct {
	*logv1.Details
	event    [16]byte
	first    [16]byte // the first decision on its manifest
	desk     string   // the URI of its desk
	passedOn bool     // whether another team passed it on to that authority
}

// asked is the event by which the authority was last asked to stop; nil for none.
func (s shared) asked(r store.Reader) ([]byte, error) {
	if s.passedOn {
		all, _, err := readPassedOn(r, s.GetNotificationId())
		if i := passedOnTo(all, s.GetAuthority()); err == nil && i >= 0 {
			return all[i].Stop, nil
		}
		return nil, err
	}
	t, err := readTombstone(r, s.desk, s.GetNotificationId())
	if err != nil || t == nil {
		return nil, err
	}
	return t.Stop, nil
}

// standsBy are the events by which a manifest of a notification was decided first and stands. The notification is named by its id, or by its
// reference: an inbox that is asked to stop what never came may know no more. Names that do not belong together are those
// of nothing.
func (h *Hub) standsBy(ctx context.Context, name string, manifest []byte) (by decidedRow, err error) {
	ids, err := h.notificationIDs(ctx, name)
	if len(manifest) != sha256.Size || err != nil && fault.KindOf(err) == fault.Invalid {
		return by, notYours
	}
	if err != nil {
		return by, err
	}
	err = h.cfg.Store.View(ctx, func(r store.Snapshot) error {
		for _, id := range ids {
			row, ok, err := readDecided(r, id, manifest)
			if by = row; err != nil || ok {
				return err
			}
		}
		return notYours
	})
	return by, err
}

// sharedWith finds the decision of a manifest that was shared with the authority: by this hub, or by one before it and
// withdrawn since, so that the authority was asked to stop.
func (h *Hub) sharedWith(ctx context.Context, authority, name string, manifest []byte) (s shared, err error) {
	by, err := h.standsBy(ctx, name, manifest)
	if err != nil {
		return s, err
	}
	s.event, s.first = by.newest, by.first
	at, err := h.logged(ctx, s.event)
	if err != nil {
		return s, err
	}
	s.Details, s.desk = at.Details, at.Details.GetCaller()
	if s.GetAuthority() != authority {
		return h.passedOnWith(ctx, authority, s)
	}
	if s.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
		return s, nil
	}
	err = h.cfg.Store.View(ctx, func(r store.Snapshot) error {
		asked, err := s.asked(r)
		if err == nil && asked == nil {
			err = notYours
		}
		return err
	})
	return s, err
}

// passedOnWith finds the decision by which what was shared with another authority was passed on to this one.
func (h *Hub) passedOnWith(ctx context.Context, authority string, first shared) (shared, error) {
	err := h.cfg.Store.View(ctx, func(r store.Snapshot) error {
		all, _, err := readPassedOn(r, first.GetNotificationId())
		i := passedOnTo(all, authority)
		if err != nil || i < 0 || len(all[i].Paths) == 0 && !all[i].Before {
			return errors.Join(err, notYours)
		}
		first.event, first.passedOn = all[i].Event, true
		return nil
	})
	if err != nil {
		return shared{}, err
	}
	at, err := h.logged(ctx, first.event)
	first.Details = at.Details
	return first, err
}

// said is what a report says that a desk may have to hear; nil for what ends here. The valve (delivery.Valve) is closed
// to it unless it is a reply that a team can give, and so the report is refused before it is recorded.
func said(r *posternv1.Report) (*posternv1.Update, error) {
	switch report := r.GetReport().(type) {
	case *posternv1.Report_Reply:
		u := &posternv1.Update{Update: &posternv1.Update_Reply{Reply: report.Reply}}
		_, err := delivery.Valve(delivery.ByTeam, u)
		return u, err
	case *posternv1.Report_FactsMismatch, *posternv1.Report_FamilyOutcome:
		return nil, nil
	case *posternv1.Report_StopAnswer:
		code := report.StopAnswer.GetCode()
		if _, known := posternv1.StopAnswerCode_name[int32(code)]; !known || code == posternv1.StopAnswerCode_STOP_ANSWER_CODE_UNSPECIFIED {
			return nil, fault.New(fault.Invalid, "STOP_ANSWER", "That is not an answer to a stop request.")
		}
		return nil, nil // the prison hears only that the team was asked
	}
	return nil, fault.New(fault.Unimplemented, "REPORT_KIND", "This hub cannot take this kind of report yet. Telephone the prison's team.")
}

// reportName names a report for auditors, without its content.
func reportName(r *posternv1.Report) string {
	switch report := r.GetReport().(type) {
	case *posternv1.Report_Reply:
		return plain.Enum(report.Reply.GetCode())
	case *posternv1.Report_FamilyOutcome:
		return plain.Enum(report.FamilyOutcome.GetCode())
	case *posternv1.Report_StopAnswer:
		return plain.Enum(report.StopAnswer.GetCode())
	case *posternv1.Report_FactsMismatch:
		return "FACTS_MISMATCH"
	}
	return ""
}
