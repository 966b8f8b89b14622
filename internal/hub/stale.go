package hub

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"postern/internal/consent"
	"postern/internal/delivery"
	"postern/internal/directory"
	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// policyKey is the row of schema.HubMeta with the revision of the policy in force. Whoever brings a policy into force
// writes it in the transaction of the policy_changed leaf; while there is none, it is the policy that the hub began with.
var policyKey = []byte("policy in force")

// Basis reads what every decision rests on now.
func (h *Hub) Basis(r store.Reader) (b delivery.Basis, err error) {
	row, err := r.Get(schema.HubMeta, policyKey)
	if err != nil {
		return b, err
	}
	if b.Policy = string(row); row == nil {
		b.Policy = h.cfg.Engine.Revision()
	}
	b.Directory, err = directory.StoredNumber(r, schema.HubDirectory)
	return b, err
}

// again is a decision made again on what waits: on the facts of then, with what is in force now. It is never wider.
type again struct {
	decision
	released *posternv1.SealedNotification
	digests  [][]byte
	until    time.Time // no send may begin on it from then on
}

// standing is a notification that was shared, and where it stands.
type standing struct {
	id   string
	last notification
	rel  delivery.Release
	had  bool // the inbox has acknowledged it
}

// decideAgain decides again on what of a release waits in the outbox or is kept, when these paths were withdrawn; errStale
// when it is not there any more.
func (h *Hub) decideAgain(ctx context.Context, id string, rel delivery.Release, withdrawn []string, now time.Time) (*again, error) {
	at, err := h.logged(ctx, rel.EventID)
	if err != nil {
		return nil, err
	}
	var content *posternv1.Delivery
	var decided decidedRow
	known := false
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		if decided, known, err = readDecided(s, id, rel.Manifest); err != nil {
			return err
		}
		content, err = h.delivery.Content(s, rel)
		return err
	})
	if err != nil {
		return nil, err
	}
	first := at // whose time is that of the desk's signature: its certificate may have ended since
	if known && decided.first != rel.EventID {
		if first, err = h.logged(ctx, decided.first); err != nil {
			return nil, err
		}
	}
	if content == nil {
		return nil, errStale // it was settled since we looked
	}
	v, err := envelope.Verify(content.GetNotification(), envelope.VerifyConfig{
		Audience: h.cfg.Identity.Party().Domain, Anchors: h.cfg.Anchors, At: first.Core.GetEventTime().AsTime()})
	if err != nil {
		return nil, err
	}
	in, err := engine.ParseInput(at.Details.GetInput())
	if err != nil {
		return nil, err
	}
	before, d := at.Details.GetDecision(), h.directory.Load().At(now)
	in.Renew(h.input(v, d, now))
	in.OfferOnly(before.GetPaths())
	if len(withdrawn) > 0 {
		in.Withdraw(withdrawn)
	}
	out, verbatim := h.policy.Load().Decide(ctx, in)
	if !narrower(before, out) {
		// The engine saw nothing else offered, so this is a fault of a bundle or of ours, and a person must decide.
		h.cfg.Log.ErrorContext(ctx, "a decision made again was wider, and is referred to a person", "policy_revision", out.GetPolicyRevision())
		out = widened(out)
	}
	a := &again{decision: decision{Decision: out, input: verbatim, basis: delivery.Basis{Policy: out.GetPolicyRevision(), Directory: d.Number()}}}
	a.released, a.digests = h.disclose(v, a.decision)
	if a.until = out.GetValidUntilTime().AsTime(); !permissionEnds(v.Manifest().GetOffer()).IsZero() && permissionEnds(v.Manifest().GetOffer()).Before(a.until) {
		a.until = permissionEnds(v.Manifest().GetOffer())
	}
	return a, nil
}

// narrower reports whether a decision shares no section and no child that the one before did not.
func narrower(before, after *posternv1.Decision) bool {
	return !slices.ContainsFunc(after.GetPaths(), func(p string) bool { return !slices.Contains(before.GetPaths(), p) }) &&
		!slices.ContainsFunc(after.GetChildren(), func(c *posternv1.ChildDecision) bool {
			return c.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && !slices.ContainsFunc(before.GetChildren(), func(b *posternv1.ChildDecision) bool {
				return b.GetNumber() == c.GetNumber() && b.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
			})
		})
}

// widened is what is decided in the place of a decision that would share more than the one before.
func widened(d *posternv1.Decision) *posternv1.Decision {
	out := &posternv1.Decision{
		Outcome: posternv1.Outcome_OUTCOME_REFER_TO_PERSON, PolicyRevision: d.GetPolicyRevision(), EngineVersion: d.GetEngineVersion(), DecideTime: d.GetDecideTime(),
		Reasons: []*posternv1.Reason{{RuleId: "policy_error", Text: "Deciding again would have shared more than before. A person must decide."}},
	}
	for _, c := range d.GetChildren() {
		out.Children = append(out.Children, &posternv1.ChildDecision{Number: c.GetNumber(), Outcome: out.GetOutcome(), Reasons: out.GetReasons()})
	}
	return out
}

// undecided is what is decided again on an event's notification when that cannot be done: nothing goes, and a person
// decides about every child. It rests on no Input, so that nobody takes it for an answer of the policy.
func (h *Hub) undecided(ctx context.Context, at ledger.Logged, now time.Time) *again {
	in, err := engine.ParseInput(at.Details.GetInput())
	if err != nil {
		in = &engine.Input{}
		for _, c := range at.Details.GetDecision().GetChildren() {
			in.Children = append(in.Children, engine.Child{Number: int(c.GetNumber())})
		}
	}
	d := h.directory.Load().At(now)
	facts := engine.Facts{CallerPrison: prisonOf(at.Details), Now: now}
	facts.Consult(d, at.Details.GetAuthority())
	in.Renew(engine.NewInput(facts)) // whom to telephone at this hour
	p := h.policy.Load()
	out, _ := p.Refusing(p.Revision()).Decide(ctx, in)
	reasons := out.GetReasons()
	for _, c := range out.GetChildren() {
		reasons = append(reasons, c.GetReasons()...)
	}
	for _, r := range reasons {
		r.Text = "What is left of this could not be decided again, so no more of it is sent. A person must decide."
	}
	return &again{decision: decision{Decision: out, basis: delivery.Basis{Policy: out.GetPolicyRevision(), Directory: d.Number()}}}
}

// permissionEnds is when the permission ends that a notification rests on; zero when it rests on none.
func permissionEnds(o *posternv1.Offer) time.Time {
	if o.GetRoute() != posternv1.Route_ROUTE_STANDARD {
		return time.Time{}
	}
	return consent.Expiry(o.GetConsent())
}

// DecideAgain decides once more on a notification whose send would begin on a stale decision: policy or directory
// changed since, or its time is over. What may still go takes the place of what waited; otherwise that is deleted, and
// the desk hears which. Where a send had begun and nothing may go any more, the desk hears UNDELIVERED too, first: the
// team may have it or not, and "not sent" would be more than anybody knows.
func (h *Hub) DecideAgain(ctx context.Context, notificationID string) error {
	for range 5 {
		err := h.decideStale(ctx, notificationID)
		if errors.Is(err, errStale) {
			if err := h.catchUp(ctx); err != nil {
				return err
			}
			continue // it changed since we looked
		}
		if err == nil {
			h.cfg.Log.InfoContext(ctx, "decided again before sending", "notification", notificationID)
		}
		return err
	}
	return fault.New(fault.Unavailable, "BUSY", "What is to be sent is just changing.")
}

func (h *Hub) decideStale(ctx context.Context, id string) error {
	now := h.now()
	s := standing{id: id}
	var tomb *tombstone
	waits := false
	read := func(r store.Reader, s *standing) (tomb *tombstone, waits bool, err error) {
		var found bool
		if s.rel, found, err = h.delivery.Release(r, id); err != nil || !found {
			return nil, false, err
		}
		if s.last, found, err = readNotification(r, id); err != nil || !found {
			return nil, false, err
		}
		if tomb, err = readTombstone(r, s.last.sender, id); err != nil {
			return nil, false, err
		}
		waits, err = h.delivery.Waits(r, s.rel)
		return tomb, waits, err
	}
	err := h.cfg.Store.View(ctx, func(r store.Snapshot) (err error) {
		tomb, waits, err = read(r, &s)
		return err
	})
	if err != nil || !waits {
		return err
	}
	var withdrawn []string
	if tomb != nil {
		withdrawn = tomb.Paths
	}
	a, err := h.decideAgain(ctx, id, s.rel, withdrawn, now)
	if err != nil {
		return err
	}
	return h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		fresh := standing{id: id}
		freshTomb, waits, err := read(tx, &fresh)
		if err != nil || !waits {
			return err // settled or withdrawn: there is nothing to decide any more
		}
		basis, err := h.Basis(tx)
		if err != nil {
			return err
		}
		if fresh.rel.DeliveryID != s.rel.DeliveryID || fresh.rel.Begun != s.rel.Begun || basis != a.basis || !bytes.Equal(freshTomb.raw(), tomb.raw()) {
			return errStale
		}
		if a.released != nil && h.cfg.Clock().Before(a.until) {
			return h.recordAgain(tx, s, a, s.rel.EventID)
		}
		if s.rel.Begun || a.released != nil {
			if err := h.delivery.GiveUp(tx, s.rel); err != nil {
				return err
			}
		}
		nothing := *a // the op may run again, and must find what it found
		nothing.released = nil
		return h.recordAgain(tx, s, &nothing, s.rel.EventID)
	})
}

// recordAgain records a decision made again, as one that follows another event, tells the desk, and puts what is left
// to send in the place of what waited, or takes that out. Where the team has it, nothing changes for the desk, and it is
// told nothing: what it would be told depends on what its team's inbox did.
func (h *Hub) recordAgain(tx *ledger.Tx, s standing, a *again, follows [16]byte) error {
	entry, err := tx.Record(ledger.Sent, ledger.Event{
		Kind: logv1.Kind_KIND_DECIDED,
		Time: a.GetDecideTime().AsTime(),
		Core: &logv1.Core{
			ManifestSha256: s.rel.Manifest, Outcome: a.GetOutcome(), SectionsSha256: a.digests, PolicyRevision: a.GetPolicyRevision(),
			ValidUntilTime: a.GetValidUntilTime(), FollowsEvent: follows[:],
		},
		Details: &logv1.Details{
			Caller: s.last.sender, NotificationId: s.id, Authority: s.rel.Authority, Input: a.input, Decision: a.Decision,
			DirectoryRevision: a.basis.Directory,
		},
	})
	if err != nil {
		return err
	}
	event := entry.EventID()
	row := s.last
	row.event, row.outcome = event, a.GetOutcome()
	if s.rel.Begun {
		// Something of this manifest may be with the team, so the id stays taken and the team's reports stay good.
		row.outcome = posternv1.Outcome_OUTCOME_SHARE
	}
	if err := row.put(tx, s.id); err != nil {
		return err
	}
	if !s.had {
		u := &posternv1.Update{NotificationId: s.id, EventId: event[:], Update: &posternv1.Update_Decision{Decision: a.Decision}}
		if err := h.delivery.Tell(tx, delivery.ByHub, s.last.sender, u, a.GetDecideTime().AsTime()); err != nil {
			return err
		}
	}
	if a.released == nil {
		if _, err := h.delivery.Cancel(tx, s.rel); err != nil {
			return err
		}
		return h.delivery.Forget(tx, s.rel)
	}
	decided, known, err := readDecided(tx, s.id, s.rel.Manifest)
	if err != nil {
		return err
	}
	if decided.newest = event; !known {
		decided.first = event
	}
	if err := decided.put(tx, s.id, s.rel.Manifest); err != nil {
		return err
	}
	sender, err := identity.ParseURI(s.last.sender)
	if err != nil {
		return err
	}
	return h.delivery.Replace(tx, entry, s.rel, delivery.Outgoing{
		Authority: s.rel.Authority, NotificationID: s.id, ManifestSHA256: s.rel.Manifest, Sender: sender,
		Decision: cutDecision(a.Decision), Notification: a.released, Basis: a.basis, Until: a.until, First: decided.first,
	})
}
