package hub

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/delivery"
	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/ops"
	"postern/internal/plain"
	"postern/internal/schema"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Checks are what must hold for the hub to take statements.
func (h *Hub) Checks() []ops.Check {
	return []ops.Check{
		{Name: "database", Holds: func(ctx context.Context) error {
			_, err := h.get(ctx, schema.HubMeta, []byte("ready"))
			return err
		}},
		{Name: "ledger", Holds: func(context.Context) error {
			err := h.cfg.Ledger.Stopped()
			if err == nil {
				return nil
			}
			return fault.New(fault.Unavailable, "LEDGER_STOPPED", "The ledger has stopped and takes nothing. Start the hub again: starting recovers.").Because(err)
		}},
		{Name: "directory", Holds: func(context.Context) error {
			if h.current() == nil {
				return fault.New(fault.Unavailable, "NO_DIRECTORY", "No directory is in force, so every statement is referred to a person. Load one: postern hub directory load FILE.")
			}
			return nil
		}},
	}
}

// SetPause pauses deliveries or lets them go on. Submissions are decided and recorded all the same.
func (h *Hub) SetPause(ctx context.Context, req *localv1.SetPauseRequest) (*localv1.SetPauseResponse, error) {
	since, err := h.delivery.SetPause(ctx, req.GetPause())
	if err != nil {
		return nil, err
	}
	h.cfg.Log.WarnContext(ctx, "deliveries paused or resumed by the operator", "paused", !since.IsZero())
	return &localv1.SetPauseResponse{PauseTime: moment(since)}, nil
}

// moment is a time, or nothing for the zero time.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// How long a delivery may wait before somebody looks at it, and an agreement may have before it ends.
const (
	waitsLong     = time.Hour
	agreementDays = 60
)

// Examine looks at database, ledger, clock, directory, policy and outbox.
func (h *Hub) Examine(ctx context.Context, _ *localv1.ExamineRequest) (*localv1.ExamineResponse, error) {
	now := h.cfg.Clock()
	d := h.directory.Load().At(now)
	out := &localv1.ExamineResponse{Findings: ops.Examine(ctx, h.Checks())}
	add := func(found ...*localv1.Finding) { out.Findings = append(out.Findings, found...) }
	for _, log := range []ledger.Log{ledger.Sent, ledger.Received} {
		add(h.examineLog(ctx, log, now))
	}
	if s := h.selfCheck.State(); !s.Passed.IsZero() {
		add(ops.OK("self-check", fmt.Sprintf("every event of the logs was read and is whole, last at %s", plain.Time(s.Passed.UTC()))))
	} else {
		add(ops.OK("self-check", fmt.Sprintf("under way: %d events read since the start", s.Events)))
	}
	add(h.examinePolicy()...)
	if d.Number() > 0 {
		add(ops.OK("directory", fmt.Sprintf("revision %d: %d authorities, %d prisons, %d agreements", d.Number(), len(d.Authorities()), len(d.Prisons()), len(d.Agreements()))))
	}
	if at := h.atDesk(); at.number > 0 {
		add(ops.Problem("directory at desks", fmt.Sprintf("The desk of %s has directory %d, and takes none that is not above it; %d is in force.", at.prison, at.number, d.Number()),
			"Load the directory again: postern hub directory load FILE takes the next number above. Where no hub was lost, ask the prison how it came by that number."))
	}
	add(keys(d, now)...)
	add(agreements(d, now)...)
	waits, err := h.examineOutbox(ctx, now)
	if err != nil {
		return nil, err
	}
	add(waits...)
	kept, err := h.examineHold(ctx)
	if err != nil {
		return nil, err
	}
	add(kept...)
	for _, a := range d.Authorities() {
		if a.GetEndpoint().GetMode() == posternv1.DeliveryMode_DELIVERY_MODE_PUSH {
			p := identity.Party{Domain: d.Domain(), Role: posternv1.Role_ROLE_INBOX, ID: a.GetCode()}
			out.Peers = append(out.Peers, &localv1.Peer{Uri: p.URI(), Address: a.GetEndpoint().GetAddress()})
		}
	}
	return out, nil
}

// examineLog tells the size of a log, and whether the clock has fallen behind it.
func (h *Hub) examineLog(ctx context.Context, log ledger.Log, now time.Time) *localv1.Finding {
	check := "log " + log.String()
	size, _, _ := h.cfg.Ledger.Head(log)
	newest, err := h.cfg.Ledger.Newest(ctx, log)
	switch {
	case err != nil:
		return ops.Fault(check, err)
	case newest.After(now):
		return ops.Problem(check, fmt.Sprintf("The clock of this machine says %s, and the newest event of the %s log was after %s.", plain.Time(now.UTC()), log, plain.Time(newest)),
			"Set the clock, and find out why it was wrong: what was signed meanwhile bears a wrong time.")
	}
	return ops.OK(check, fmt.Sprintf("%s has %d leaves", h.cfg.Ledger.Origin(log), size))
}

// keys looks at the recipient key of every authority that takes part today.
func keys(d *directory.Directory, now time.Time) []*localv1.Finding {
	var out []*localv1.Finding
	today, apart := form.Today(now), 0
	for _, a := range d.Authorities() {
		if a.GetStartDate() > today || (a.GetEndDate() != "" && a.GetEndDate() < today) {
			continue
		}
		check, fix := "key "+a.GetCode(), a.GetName()+" must make a new recipient key; then load a directory with it."
		key, ok := d.RecipientKey(a.GetCode())
		switch {
		case ok:
			out = append(out, ops.Expiry(check, "The recipient key of "+a.GetName(), key.GetExpireTime().AsTime(), now, fix))
		case a.GetEndpoint() != nil:
			out = append(out, ops.Warning(check, a.GetName()+" has an inbox and no recipient key, so nothing can be sealed to it.", a.GetName()+" makes its first one (postern inbox new-key); then load a directory with it."))
		default:
			apart++
		}
	}
	if apart > 0 {
		out = append(out, ops.OK("not connected", fmt.Sprintf("%d authorities have no inbox: everything for them takes the manual route", apart)))
	}
	return out
}

// agreements looks for those that end soon with nothing after them, and those that lack signatures.
func agreements(d *directory.Directory, now time.Time) []*localv1.Finding {
	var out []*localv1.Finding
	for _, e := range d.Ending(now, agreementDays) {
		out = append(out, ops.Warning("agreement "+e.GetId(),
			fmt.Sprintf("The agreement ends on %s, and nothing goes on between %s and %s.", e.GetEndDate(), e.Prison, e.Authority),
			"Its parties must sign the next one; then load a directory with it. Without it every notification is withheld or referred."))
	}
	for _, u := range d.Unsigned() {
		out = append(out, ops.Warning("agreement "+u.GetId(), u.Words(), u.Fix()))
	}
	return out
}

// examineOutbox looks for deliveries that are paused or wait too long.
func (h *Hub) examineOutbox(ctx context.Context, now time.Time) ([]*localv1.Finding, error) {
	var out []*localv1.Finding
	paused, err := h.delivery.PausedSince(ctx)
	if err != nil {
		return nil, err
	}
	if !paused.IsZero() {
		out = append(out, ops.Warning("deliveries", "Deliveries are paused since "+plain.Time(paused)+".", "When the reason is gone: postern hub pause --resume."))
	}
	queues, err := h.delivery.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		check, words := "queue "+q.Authority, fmt.Sprintf("%d wait, the oldest since %s", q.Waiting, plain.Time(q.Oldest))
		if now.Sub(q.Oldest) > waitsLong {
			fix := "Telephone the authority: its inbox has not taken anything for so long."
			if q.Breaker != delivery.Closed {
				fix = "Telephone the authority: its inbox does not answer, and is tried only now and then."
			}
			out = append(out, ops.Warning(check, words, fix))
		} else {
			out = append(out, ops.OK(check, words))
		}
		if !q.OldestStop.IsZero() && now.Sub(q.OldestStop) > waitsLong {
			out = append(out, ops.Problem("stop requests "+q.Authority, "A stop request waits since "+plain.Time(q.OldestStop)+": the team may still see what was withdrawn.",
				"Telephone the authority and ask it to stop. The hub's log says why its inbox does not take it; it is tried all the while."))
		}
	}
	letters, err := h.delivery.DeadLetters(ctx)
	if err != nil {
		return nil, err
	}
	if len(letters) > 0 {
		out = append(out, ops.Warning("dead letters", fmt.Sprintf("%d deliveries were given up, the first on %s.", len(letters), plain.Time(letters[0].ParkTime)),
			"See postern hub dead-letters; when the reason is gone, postern hub requeue ID sends one again."))
	}
	return out, nil
}
