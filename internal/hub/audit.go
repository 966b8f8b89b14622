package hub

import (
	"context"
	"encoding/hex"
	"slices"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// event is an event as an auditor sees it: no opening, no Input.
func (h *Hub) event(at ledger.Logged) *posternv1.Event {
	d := at.Details
	e := &posternv1.Event{
		EventId: hex.EncodeToString(at.Leaf.EventID[:]), Origin: at.Origin, Index: at.Index, Kind: kindName(at.Leaf.Kind),
		RecordTime: at.Core.GetEventTime(), NotificationId: d.GetNotificationId(), PrisonId: prisonOf(d),
		Authority: d.GetAuthority(), Decision: d.GetDecision(), OfferedPaths: d.GetOfferedPaths(),
	}
	if e.GetNotificationId() != "" {
		e.Reference = envelope.Reference(e.GetNotificationId())
	}
	return e
}

// GetEvent opens one event, by its id or as the newest decision of a notification.
func (h *Hub) GetEvent(ctx context.Context, req *posternv1.GetEventRequest) (*posternv1.GetEventResponse, error) {
	who, err := h.auditor(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received); err != nil {
		return nil, err
	}
	id, err := h.findEvent(ctx, who, req.GetId())
	if err != nil {
		return nil, err
	}
	at, err := h.logged(ctx, id)
	if fault.KindOf(err) == fault.NotFound || err == nil && !who.sees(at) {
		return nil, notYours
	}
	if err != nil {
		return nil, err
	}
	if err := h.disclosed(ctx, who, opening(id)); err != nil {
		return nil, err
	}
	cut := h.cfg.Ledger.Cut()
	receipt, err := cut.Receipt(ctx, id)
	if err != nil {
		return nil, err
	}
	consistency, err := cut.Proofs(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received)
	return &posternv1.GetEventResponse{Event: h.event(at), Receipt: receipt, Details: at.Record.GetDetails(), Consistency: consistency}, err
}

// findEvent resolves an event id (32 hex digits), a notification id or a reference. Of notifications that share a
// reference only those that the auditor sees are there.
func (h *Hub) findEvent(ctx context.Context, who auditing, id string) ([16]byte, error) {
	var event [16]byte
	if b, err := hex.DecodeString(id); err == nil && len(b) == len(event) {
		return [16]byte(b), nil
	}
	ids, err := h.notificationIDs(ctx, id)
	if err != nil {
		return event, fault.New(fault.Invalid, "BAD_EVENT_NAME", "Name an event by its 32 hex digits, or a notification by its id or reference such as PN-7K3F-9Q2M.").Because(err)
	}
	found := 0
	for _, id := range ids {
		n, ok, err := h.notification(ctx, id)
		if err != nil {
			return event, err
		}
		if !ok {
			continue
		}
		at, err := h.logged(ctx, n.event)
		if err != nil {
			return event, err
		}
		if who.sees(at) {
			event = n.event
			found++
		}
	}
	switch {
	case found > 1:
		return event, fault.New(fault.Precondition, "AMBIGUOUS", "More than one notification has this reference. Use the id.")
	case found == 0:
		return event, notYours
	}
	return event, nil
}

// notification reads what is kept of a notification.
func (h *Hub) notification(ctx context.Context, id string) (n notification, ok bool, err error) {
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		n, ok, err = readNotification(s, id)
		return err
	})
	return n, ok, err
}

// visible are the logs whose checkpoints a party may see. Not the received one for a desk: its size would tell what
// happened next.
func (h *Hub) visible(p identity.Party) []ledger.Log {
	if p.Role == posternv1.Role_ROLE_DESK {
		return []ledger.Log{ledger.Sent}
	}
	return []ledger.Log{ledger.Sent, ledger.Received}
}

// GetCheckpoint returns the newest checkpoint of a log, the proof that it continues what the caller knows, and of a later
// generation how it began. A desk asking for the received log hears what it would hear of any unknown log.
func (h *Hub) GetCheckpoint(ctx context.Context, req *posternv1.GetCheckpointRequest) (*posternv1.GetCheckpointResponse, error) {
	caller, _ := rpc.Party(ctx)
	origin, visible := req.GetOrigin(), h.visible(caller)
	if log, ok := h.cfg.Ledger.LogOf(origin); !ok || !slices.Contains(visible, log) {
		return nil, notYours
	}
	if err := h.ahead(ctx, req.GetKnownLogs(), visible...); err != nil {
		return nil, err
	}
	cut, out := h.cfg.Ledger.Cut(), &posternv1.GetCheckpointResponse{}
	var err error
	if out.Checkpoint, out.Consistency, err = cut.HeadSince(ctx, origin, req.GetKnownSize()); err != nil {
		return nil, err
	}
	if req.GetKnownSize() == 0 {
		out.Consistency = nil
	}
	if out.Proofs, err = cut.Proofs(ctx, req.GetKnownLogs(), visible...); err != nil {
		return nil, err
	}
	if out.Opening, err = cut.Opening(ctx, origin); err != nil || out.Opening == nil {
		return out, err
	}
	for _, k := range req.GetKnownLogs() {
		if p, err := cut.Ended(ctx, origin, k); err == nil { // what was lost cannot be proved
			out.Ended = append(out.Ended, p)
		}
	}
	return out, nil
}

// GetProof cuts a receipt again. A desk gets those of its own statements, an inbox those of what was shared with it.
func (h *Hub) GetProof(ctx context.Context, req *posternv1.GetProofRequest) (*posternv1.GetProofResponse, error) {
	caller, _ := rpc.Party(ctx)
	var who auditing
	var err error
	if caller.Role == posternv1.Role_ROLE_AUDITOR { // before anything is looked for: one whom nobody named hears nothing of it
		if who, err = h.auditor(ctx); err != nil {
			return nil, err
		}
	}
	b, err := hex.DecodeString(req.GetEventId())
	if err != nil || len(b) != 16 {
		return nil, notYours
	}
	if err := h.ahead(ctx, req.GetKnownLogs(), h.visible(caller)...); err != nil {
		return nil, err
	}
	event := [16]byte(b)
	at, err := h.logged(ctx, event)
	if fault.KindOf(err) == fault.NotFound {
		return nil, notYours
	}
	if err != nil {
		return nil, err
	}
	d := at.Details
	switch caller.Role {
	case posternv1.Role_ROLE_DESK:
		if at.Log != ledger.Sent || d.GetCaller() != caller.URI() {
			return nil, notYours
		}
	case posternv1.Role_ROLE_INBOX:
		if at.Leaf.Kind != logv1.Kind_KIND_DECIDED || d.GetAuthority() != caller.ID || d.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
			return nil, notYours
		}
	case posternv1.Role_ROLE_AUDITOR:
		if !who.sees(at) {
			return nil, notYours
		}
		if err := h.disclosed(ctx, who, opening(event)); err != nil {
			return nil, err
		}
	}
	cut, out := h.cfg.Ledger.Cut(), &posternv1.GetProofResponse{}
	if out.Receipt, err = cut.Receipt(ctx, event); err != nil {
		return nil, err
	}
	out.Consistency, err = cut.Proofs(ctx, req.GetKnownLogs(), h.visible(caller)...)
	return out, err
}
