package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// refusedAndRecorded is a refusal that is a leaf already.
type refusedAndRecorded struct{ error }

// Unwrap is the refusal.
func (r refusedAndRecorded) Unwrap() error { return r.error }

// refuse records that an authenticated statement was refused, and why, and returns the refusal. Failures of our own
// side are not refusals: the sender keeps the statement and tries again.
func (h *Hub) refuse(ctx context.Context, caller identity.Party, n *posternv1.SealedNotification, why error) error {
	f := fault.From(why)
	switch f.Kind {
	case fault.Internal, fault.Unavailable, fault.Exhausted, fault.Deadline:
		return why
	}
	subject := sha256.Sum256(n.GetManifest().GetPayload())
	if err := h.recordRefusal(ctx, caller, f, subject[:]); err != nil {
		return err
	}
	// A crash here: the refusal is a leaf, and the desk, which heard nothing, will make another one.
	if err := failpoint.Hit(failpoint.HubRefused); err != nil {
		return err
	}
	return refusedAndRecorded{why}
}

// Refused records every other refusal of a known party's call: a method that is not its, an id that is nothing to it, a
// signature that does not hold. Package rpc tells of it before the caller hears. That it cannot be recorded lets nobody
// in, so it is only counted then.
func (h *Hub) Refused(ctx context.Context, caller identity.Party, method string, why error) {
	f := fault.From(why)
	// A party that knows more of the logs than we do: this may be an old copy, which writes nothing.
	if errors.As(why, &refusedAndRecorded{}) || f.Reason == "LOG_AHEAD" {
		return
	}
	if err := h.recordRefusal(ctx, caller, f, nil); err != nil {
		h.cfg.Measures.unrecorded(f.Reason)
		h.cfg.Log.WarnContext(ctx, "a refusal could not be recorded", "party", caller, "method", method, "reason", f.Reason, "because", fault.From(err).Reason)
	}
}

// recordRefusal makes the leaf of a refusal, within the party's budget. It is of the log that its cause may see: what an
// inbox or an auditor is refused must not show in the size of the log that desks watch.
func (h *Hub) recordRefusal(ctx context.Context, caller identity.Party, f *fault.Error, subject []byte) error {
	h.cfg.Measures.refusals(f.Reason)
	if !h.mayRecordRefusal(caller) {
		h.cfg.Measures.unrecorded(f.Reason)
		h.cfg.Log.WarnContext(ctx, "refusal beyond the budget, not recorded", "party", caller, "reason", f.Reason)
		return nil
	}
	log, now := ledger.Received, h.now()
	if caller.Role == posternv1.Role_ROLE_DESK {
		log = ledger.Sent
	}
	return h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Record(log, ledger.Event{
			Kind:    logv1.Kind_KIND_REFUSED,
			Time:    now,
			Core:    &logv1.Core{SubjectSha256: subject},
			Details: &logv1.Details{Caller: caller.URI(), Refusal: f.Reason},
		})
		return err
	})
}

// mayRecordRefusal reports whether the party still has budget for a leaf about a refusal.
func (h *Hub) mayRecordRefusal(p identity.Party) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.refusals[p.URI()]
	if !ok {
		l = rate.NewLimiter(rate.Every(time.Hour/time.Duration(h.cfg.RefusalBudget)), h.cfg.RefusalBudget)
		h.refusals[p.URI()] = l
	}
	return l.AllowN(h.cfg.Clock(), 1)
}
