package hub

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/ledger"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// ruleConsidered is the rule id of the answer to a consideration that ended in not sharing. Desks go by it.
const ruleConsidered = "considered"

// consider takes a consideration that ended in not sharing: record, answer. Nothing goes, so there is nothing to decide;
// that a person looked, by which codes, is a leaf of its own. What is considered need not be known here: a desk has
// forms that this hub refused, and "not yours" and "not there" answer alike.
func (h *Hub) consider(ctx context.Context, v *envelope.Verified, known []*posternv1.KnownLog) (*posternv1.SubmitResponse, error) {
	m, sender := v.Manifest(), v.Sender().URI()
	id, now := m.GetConsidered().GetConsiders(), h.now()
	same := idempotencyKey(sender, m.GetNotificationId(), v.ManifestSHA256())
	var event [16]byte
	err := h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		if earlier, err := tx.Get(schema.HubIdempotency, same); err != nil || earlier != nil {
			copy(event[:], earlier)
			return err
		}
		follows, err := h.lastDecision(tx, id, sender)
		if err != nil {
			return err
		}
		entry, err := tx.Record(ledger.Sent, ledger.Event{
			Kind: logv1.Kind_KIND_CONSIDERED,
			Time: now,
			Core: &logv1.Core{ManifestSha256: v.ManifestSHA256(), Outcome: posternv1.Outcome_OUTCOME_WITHHOLD, FollowsEvent: follows},
			Details: &logv1.Details{
				Caller: sender, NotificationId: id, Sender: m.GetSender(), Consideration: m.GetConsidered().GetConsideration(),
				Decision: &posternv1.Decision{Outcome: posternv1.Outcome_OUTCOME_WITHHOLD, DecideTime: timestamppb.New(now), Reasons: []*posternv1.Reason{{
					RuleId: ruleConsidered, Law: "Children Act 2004 s.11, s.16LA (England), s.28 (Wales)",
					Text: "The safeguarding lead considered whether the council must be told, and decided that nothing is sent. Why is written down in the prison.",
				}}},
			},
		})
		if err != nil {
			return err
		}
		event = entry.EventID()
		return tx.Put(schema.HubIdempotency, same, event[:])
	})
	if err != nil {
		return nil, h.refuse(ctx, v.Sender(), v.Signed(), err)
	}
	return h.answer(ctx, recorded{earlier: event}, decision{}, known)
}

// lastDecision is the event of the last decision on a sender's own notification; nil for none.
func (h *Hub) lastDecision(tx *ledger.Tx, id, sender string) ([]byte, error) {
	n, ok, err := readNotification(tx, id)
	if err != nil || !ok || n.sender != sender {
		return nil, err
	}
	return n.event[:], nil
}
