package hub

import (
	"context"
	"time"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

// logged opens an event.
func (h *Hub) logged(ctx context.Context, id [verify.EventIDSize]byte) (ledger.Logged, error) {
	return h.cfg.Ledger.Event(ctx, id)
}

// ahead refuses a caller who knows more of a log than there is of it: then this hub runs on an old copy, and whatever it
// did for the caller would be a second history. It is asked before anything is done.
func (h *Hub) ahead(ctx context.Context, known []*posternv1.KnownLog, visible ...ledger.Log) error {
	err := h.cfg.Ledger.Ahead(known, visible...)
	if fault.From(err).Reason == "LOG_AHEAD" {
		caller, _ := rpc.Party(ctx)
		h.cfg.Measures.ahead(caller.Role.String())
		h.cfg.Log.ErrorContext(ctx, "a party knows more of our log than we hold: this may be an old copy of the database", "party", caller)
	}
	return err
}

// now is the time of an event: whole seconds, since nobody needs to know more of when a person acted.
func (h *Hub) now() time.Time { return h.cfg.Clock().Truncate(time.Second) }
