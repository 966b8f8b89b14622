package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"postern/internal/delivery"
	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// A team that finds a child in another area passes the notification on. It is decided anew, for the new recipient, by the
// rule `redirected`; and all of it is in the received log and between the two teams: its cause is an inbox, so nothing
// that a desk can see may depend on it.

// passedOn is one authority that a notification was passed on to, by the newest decision about that.
type passedOn struct {
	Authority string   `json:"authority"`
	Event     [16]byte `json:"event"`
	Shared    bool     `json:"shared,omitempty"`
	Before    bool     `json:"before,omitempty"` // a hub before this one may have sent it, and nobody knows of which sections
	Paths     []string `json:"paths,omitempty"`  // the sections that ever went, also by an earlier decision
	Stop      []byte   `json:"stop,omitempty"`   // the event of the latest stop request, once there is one
}

// readPassedOn reads to whom a notification was passed on, and the row.
func readPassedOn(r store.Reader, id string) (all []passedOn, row []byte, err error) {
	if row, err = r.Get(schema.HubPassedOn, []byte(id)); err != nil || row == nil {
		return nil, row, err
	}
	if err := json.Unmarshal(row, &all); err != nil {
		return nil, nil, fault.New(fault.Internal, "PASSED_ON_ROW", "To whom a notification was passed on cannot be read.").Because(err)
	}
	return all, row, nil
}

func writePassedOn(tx store.Tx, id string, all []passedOn) error {
	row, err := json.Marshal(all)
	if err != nil {
		return fault.From(err)
	}
	return tx.Put(schema.HubPassedOn, []byte(id), row)
}

func passedOnTo(all []passedOn, authority string) int {
	return slices.IndexFunc(all, func(p passedOn) bool { return p.Authority == authority })
}

// redirect is one redirect and all that it rests on, read in one snapshot; record sees whether any of it changed.
type redirect struct {
	caller  identity.Party
	report  *posternv1.Report
	told    bool              // that a hub before this one was told of it
	digest  [sha256.Size]byte // of the report
	v       *envelope.Verified
	about   shared
	desk    identity.Party
	to      string
	row     []byte // to whom it was passed on before, as it was read
	tomb    *tombstone
	decided decision
	goes    *posternv1.SealedNotification
	digests [][]byte
}

// redirect takes a report that the child was found elsewhere: verify, decide anew, record. The same again is the same
// event.
func (h *Hub) redirect(ctx context.Context, caller identity.Party, req *posternv1.ReportRequest, r *posternv1.Report) (event [16]byte, err error) {
	for range 5 {
		plan, err := h.planRedirect(ctx, caller, req, r)
		if err != nil {
			return event, err
		}
		event, err = h.recordRedirect(ctx, plan)
		if errors.Is(err, errStale) {
			if err := h.catchUp(ctx); err != nil {
				return event, err
			}
			continue // policy, directory or a withdrawal came between
		}
		if err != nil {
			return event, err
		}
		h.delivery.Wake()
		return event, nil
	}
	return event, fault.New(fault.Unavailable, "BUSY", "The policy or the directory is changing. Try again in a moment.")
}

// planRedirect verifies that the caller passes on what it was sent, in the desk's own bytes, and decides.
func (h *Hub) planRedirect(ctx context.Context, caller identity.Party, req *posternv1.ReportRequest, r *posternv1.Report) (*redirect, error) {
	p := &redirect{caller: caller, report: r, told: req.GetResubmitted(), digest: sha256.Sum256(req.GetSigned().GetPayload()), to: r.GetRedirect().GetAuthority()}
	var err error
	if p.about, err = h.sharedWith(ctx, caller.ID, r.GetNotificationId(), r.GetManifestSha256()); err != nil {
		return nil, err
	}
	if p.about.passedOn {
		return nil, fault.New(fault.Precondition, "PASSED_ON", "Another team passed this on to you, and a notification is passed on once. Telephone the team where the child is.")
	}
	now := h.cfg.Clock()
	if p.told && req.GetRedirected() != nil {
		return nil, fault.InvalidFields("TOLD_WITH_CONTENT", "A hub is told of what was passed on before, and nothing goes with that.", []fault.Field{{
			Path: "redirected", Reason: "It is passed on anew, or told of, and not both.", Fix: "Leave it out, or leave `resubmitted` out."}})
	}
	if p.told {
		return p, h.toldOfRedirect(ctx, p, now)
	}
	stands, err := h.logged(ctx, p.about.event)
	if err != nil {
		return nil, err
	}
	first, err := h.logged(ctx, p.about.first)
	if err != nil {
		return nil, err
	}
	p.v, err = envelope.Verify(req.GetRedirected(), envelope.VerifyConfig{
		Audience: h.cfg.Identity.Party().Domain, Anchors: h.cfg.Anchors, At: first.Core.GetEventTime().AsTime(), Redirected: now})
	if err != nil {
		return nil, err
	}
	p.desk = p.v.Sender()
	by, _ := p.v.Redirector()
	to, key := p.v.Recipient()
	switch {
	case by != caller || !bytes.Equal(p.v.ManifestSHA256(), r.GetManifestSha256()) || to != p.to || key != r.GetRedirect().GetRecipientKeyId() ||
		!bytes.Equal(r.GetRedirect().GetManifestSha256(), r.GetManifestSha256()):
		return nil, fault.New(fault.Unverified, "REDIRECT_DIFFERS", "The report and what is passed on with it do not belong together.")
	case len(p.v.Digests()) == 0 || slices.ContainsFunc(p.v.Digests(), func(d []byte) bool {
		return !slices.ContainsFunc(stands.Core.GetSectionsSha256(), func(s []byte) bool { return bytes.Equal(s, d) })
	}):
		return nil, fault.New(fault.Denied, "NOT_RELEASED", "Only sections that a team was sent may be passed on.")
	}
	if err := h.readRedirect(ctx, p); err != nil {
		return nil, err
	}
	return p, h.decideRedirect(ctx, p, stands, now)
}

// readRedirect reads what a redirect rests on that may change until it is recorded.
func (h *Hub) readRedirect(ctx context.Context, p *redirect) error {
	return h.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		if _, p.row, err = readPassedOn(s, p.about.GetNotificationId()); err != nil {
			return err
		}
		p.tomb, err = readTombstone(s, p.about.desk, p.about.GetNotificationId())
		return err
	})
}

// decideRedirect decides on the facts of then, with the other authority as the directory has it today. Nothing goes that
// the first decision kept back, and nothing that was withdrawn since.
func (h *Hub) decideRedirect(ctx context.Context, p *redirect, first ledger.Logged, now time.Time) error {
	in, err := engine.ParseInput(first.Details.GetInput())
	if err != nil {
		return err
	}
	d := h.directory.Load().At(now)
	facts := engine.Facts{Manifest: p.v.Manifest(), Children: p.v.Children(), Hub: p.v.Hub(), OfferedPaths: p.v.Paths(), CallerPrison: p.desk.ID, Now: now,
		Recipient: engine.Recipient{Authority: p.to}} // also where the directory does not know it
	facts.Consult(d, p.to)
	in.Renew(engine.NewInput(facts))
	in.PassedOn()
	in.OfferOnly(p.v.Paths())
	var there []int
	for _, c := range p.v.Children() {
		there = append(there, int(c.GetNumber()))
	}
	in.OnlyChildren(there)
	basis := delivery.Basis{Directory: d.Number()}
	if p.tomb.whole() && p.v.Manifest().GetOffer().GetRoute() == posternv1.Route_ROUTE_STANDARD {
		out := h.withheld(p.v, now)
		basis.Policy = out.GetPolicyRevision()
		p.decided = decision{Decision: out, basis: basis}
		return nil
	}
	if p.tomb != nil && p.v.Manifest().GetOffer().GetRoute() == posternv1.Route_ROUTE_STANDARD {
		in.Withdraw(p.tomb.Paths)
	}
	out, verbatim := h.policy.Load().Decide(ctx, in)
	if !narrower(first.Details.GetDecision(), out) {
		h.cfg.Log.ErrorContext(ctx, "a redirect was decided wider than the first decision, and is referred to a person", "policy_revision", out.GetPolicyRevision())
		out = widened(out)
	}
	basis.Policy = out.GetPolicyRevision()
	p.decided = decision{Decision: out, input: verbatim, basis: basis}
	p.goes, p.digests = h.disclose(p.v, p.decided)
	return nil
}

// recordRedirect writes the decision and, when something goes, its outbox rows, in one transaction with the leaf. What is
// on its way to that authority already, or there, is not passed on again: that event is returned.
func (h *Hub) recordRedirect(ctx context.Context, p *redirect) (event [16]byte, err error) {
	id := p.about.GetNotificationId()
	same := idempotencyKey(p.caller.URI(), "report", p.digest[:])
	err = h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		if earlier, err := tx.Get(schema.HubIdempotency, same); err != nil || earlier != nil {
			copy(event[:], earlier)
			return err
		}
		all, err := h.mayRedirect(tx, p)
		if err != nil {
			return err
		}
		i := passedOnTo(all, p.to)
		if i >= 0 {
			state, err := h.redirectState(tx, id, all[i])
			if err != nil {
				return err
			}
			there := state == sent || state == arrived
			if there && !p.told && !sameChildren(all[i].Paths, p.decided.GetPaths()) {
				return thereAlready
			}
			if there || p.told && all[i].Before {
				event = all[i].Event
				return h.maybePassedOn(tx, p, all, i)
			}
		}
		entry, err := tx.Record(ledger.Received, ledger.Event{
			Kind: logv1.Kind_KIND_REDIRECTED,
			Time: p.decided.GetDecideTime().AsTime(),
			Core: &logv1.Core{
				ManifestSha256: p.report.GetManifestSha256(), Outcome: p.decided.GetOutcome(), SectionsSha256: p.digests, PolicyRevision: p.decided.GetPolicyRevision(),
				ValidUntilTime: p.decided.GetValidUntilTime(), FollowsEvent: p.about.first[:], SubjectSha256: p.digest[:],
			},
			Details: &logv1.Details{
				Caller: p.caller.URI(), NotificationId: id, Sender: &posternv1.Sender{PrisonId: prisonOf(p.about.Details)}, Authority: p.to, Input: p.decided.input,
				Decision: p.decided.Decision, OfferedPaths: p.offered(), DirectoryRevision: p.decided.basis.Directory, DeliveryId: p.report.GetDeliveryId(),
			},
		})
		if err != nil {
			return err
		}
		event = entry.EventID()
		if err := tx.Put(schema.HubIdempotency, same, event[:]); err != nil {
			return err
		}
		next := passedOn{Authority: p.to, Event: event, Shared: p.goes != nil, Paths: p.decided.GetPaths()}
		if i >= 0 {
			// What was given up may have arrived all the same, so a withdrawal goes there, whatever is decided now.
			next.Stop, next.Before, next.Paths = all[i].Stop, all[i].Before, slices.Compact(slices.Sorted(slices.Values(slices.Concat(all[i].Paths, next.Paths))))
			all[i] = next
		} else {
			all, i = append(all, next), len(all)
		}
		if err := writePassedOn(tx, id, all); err != nil {
			return err
		}
		if p.goes == nil {
			return h.maybePassedOn(tx, p, all, i)
		}
		if err := h.dropGivenUp(tx, id, p.to); err != nil {
			return err
		}
		err = h.delivery.Enqueue(tx, entry, delivery.Outgoing{
			Authority: p.to, NotificationID: id, ManifestSHA256: p.v.ManifestSHA256(), Sender: p.desk, Decision: cutDecision(p.decided.Decision),
			Notification: p.goes, Basis: p.decided.basis, Until: permissionEnds(p.v.Manifest().GetOffer()), PassedOn: p.about.first,
			Held: h.heldUntil(p.v.Manifest().GetOffer().GetRoute(), true, h.cfg.Clock()), // after a loss another prison may have heard of a withdrawal
		})
		if err != nil {
			return err
		}
		return h.maybePassedOn(tx, p, all, i)
	})
	if err != nil {
		return [16]byte{}, err // the event belongs to the sequencer still, when the time ran out
	}
	return event, nil
}

// thereAlready is the fault of passing on children to a team that was passed others: the hub would say of these that they are
// there.
var thereAlready = fault.New(fault.Precondition, "THERE_ALREADY",
	"Other children of this were passed on to that team, and it goes to one team once. Telephone the team about the others.")

// sameChildren reports whether all children that paths are of are among those that other paths are of.
func sameChildren(there, now []string) bool {
	of := func(paths []string) map[int]bool {
		all := map[int]bool{}
		for _, path := range paths {
			if n, ok := section.ChildOf(path); ok {
				all[n] = true
			}
		}
		return all
	}
	known := of(there)
	for n := range of(now) {
		if !known[n] {
			return false
		}
	}
	return true
}

// dropGivenUp takes what was passed on before and given up out from among the dead letters: what is passed on now takes its
// place, and a withdrawal finds the newest only.
func (h *Hub) dropGivenUp(tx *ledger.Tx, id, authority string) error {
	rel, ok, err := h.delivery.Release(tx, delivery.PassedOnName(id, authority))
	if err != nil || !ok {
		return err
	}
	_, err = h.delivery.Cancel(tx, rel)
	return err
}

// mayRedirect re-reads, inside the transaction, what the decision rests on.
func (h *Hub) mayRedirect(tx *ledger.Tx, p *redirect) ([]passedOn, error) {
	id := p.about.GetNotificationId()
	basis, err := h.Basis(tx)
	if err != nil {
		return nil, err
	}
	tomb, err := tx.Get(schema.HubWithdrawal, tombstoneKey(p.about.desk, id))
	if err != nil {
		return nil, err
	}
	all, row, err := readPassedOn(tx, id)
	if err == nil && (basis != p.decided.basis || !bytes.Equal(tomb, p.tomb.raw()) || !bytes.Equal(row, p.row)) {
		err = errStale
	}
	return all, err
}

const (
	sent        = posternv1.RedirectState_REDIRECT_STATE_SENT
	arrived     = posternv1.RedirectState_REDIRECT_STATE_DELIVERED
	undelivered = posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED
	notShared   = posternv1.RedirectState_REDIRECT_STATE_NOT_SHARED
)

// redirectState is where something stands that was passed on.
func (h *Hub) redirectState(r store.Reader, id string, p passedOn) (posternv1.RedirectState, error) {
	if !p.Shared && !p.Before {
		return notShared, nil
	}
	rel, ok, err := h.delivery.Release(r, delivery.PassedOnName(id, p.Authority))
	if err != nil || !ok {
		return undelivered, err
	}
	waits, err := h.delivery.Waits(r, rel)
	switch {
	case rel.Number > 0:
		return arrived, err
	case waits:
		return sent, err
	}
	return undelivered, err
}

// GetRedirect tells the team that passed a notification on what became of it.
func (h *Hub) GetRedirect(ctx context.Context, req *posternv1.GetRedirectRequest) (out *posternv1.GetRedirectResponse, err error) {
	caller, _ := rpc.Party(ctx)
	about, err := h.sharedWith(ctx, caller.ID, req.GetNotificationId(), req.GetManifestSha256())
	if err != nil {
		return nil, err
	}
	out = &posternv1.GetRedirectResponse{}
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		all, _, err := readPassedOn(s, about.GetNotificationId())
		if err != nil {
			return err
		}
		i := passedOnTo(all, req.GetAuthority())
		if i < 0 || about.passedOn {
			return notYours
		}
		out.State, err = h.redirectState(s, about.GetNotificationId(), all[i])
		return err
	})
	return out, err
}
