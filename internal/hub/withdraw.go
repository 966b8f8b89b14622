package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/delivery"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// withdrawal is one withdrawal and all that it finds, read in one snapshot; record sees whether any of it changed.
type withdrawal struct {
	v     *envelope.Verified
	paths []string

	owner, id string       // the notification, by its sender
	known     bool         // whether the hub ever decided on it
	last      notification // what was decided of it last
	manifest  []byte       // the SHA-256 of the manifest that was decided on last
	tomb      *tombstone   // what was withdrawn before
	objection bool         // it did not go by permission, so withdrawing that does not undo it

	rel      delivery.Release // where its newest delivery stands
	released bool             // whether there is one
	first    decidedRow       // what was decided on its manifest
	waits    bool             // whether it is still in the outbox
	had      bool             // whether its inbox has acknowledged it, and it is there for an inbox that loses it
	touched  bool             // whether anything that was released is withdrawn now
	sent     bool             // that, or whether a send that began before it was decided again may have held anything of it
	narrow   *again           // what may still go of what waits or is kept, when a part is withdrawn

	elsewhere    []passedOn // the authorities that its team passed it on to
	elsewhereRow []byte     // as it was read
}

// withdraw takes a withdrawal: verify, record, answer. It is never decided on: a right is not blocked by policy.
func (h *Hub) withdraw(ctx context.Context, v *envelope.Verified, told bool, known []*posternv1.KnownLog) (*posternv1.SubmitResponse, error) {
	for range 5 {
		now := h.cfg.Clock()
		w, err := h.findWithdrawn(ctx, v, told)
		if err == nil {
			err = h.narrow(ctx, w, now)
		}
		if err == nil {
			err = failpoint.Hit(failpoint.HubWithdrawal)
		}
		var event [16]byte
		if err == nil {
			event, err = h.recordWithdrawal(ctx, w, now)
		}
		if errors.Is(err, errStale) {
			if err := h.catchUp(ctx); err != nil {
				return nil, err
			}
			continue // a send began, or it was decided or withdrawn, since we looked
		}
		if err != nil {
			return nil, h.refuse(ctx, v.Sender(), v.Signed(), err)
		}
		h.delivery.Wake()
		// A crash here: what was withdrawn goes nowhere any more, and the desk, which heard nothing, asks again.
		if err := failpoint.Hit(failpoint.HubWithdrawn); err != nil {
			return nil, err
		}
		return h.answer(ctx, recorded{earlier: event}, decision{}, known)
	}
	return nil, fault.New(fault.Unavailable, "BUSY", "What is to be withdrawn is just changing. Try again in a moment.")
}

// findWithdrawn finds what a desk may withdraw: what it sent itself, and with the code on the slip what any desk sent.
// A notification that the hub does not know, or that is another's and comes without a code, is withdrawn in the desk's
// own name: should it come from this desk, nothing of it will go. So "not yours" and "not there" answer alike.
//
// told says that a hub before this one took it, by the desk's word. Then one with a code waits for what comes with that.
func (h *Hub) findWithdrawn(ctx context.Context, v *envelope.Verified, told bool) (*withdrawal, error) {
	stated := v.Manifest().GetWithdrawal()
	w := &withdrawal{v: v, paths: stated.GetPaths(), owner: v.Sender().URI(), id: stated.GetWithdraws()}
	ids, err := h.notificationIDs(ctx, stated.GetWithdraws())
	if err != nil {
		return nil, err
	}
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		matches := 0
		for _, id := range ids {
			n, ok, err := readNotification(s, id)
			if err != nil {
				return err
			}
			if !ok || (n.sender != v.Sender().URI() && !codeFits(stated.GetSlipCode(), n.slip)) {
				continue
			}
			matches++
			w.owner, w.id, w.known, w.last, w.objection = n.sender, id, true, n, n.route > posternv1.Route_ROUTE_STANDARD
		}
		switch {
		case matches > 1:
			return fault.New(fault.Precondition, "AMBIGUOUS", "More than one notification has this reference and code. Use the id.")
		case matches == 0 && stated.GetSlipCode() != "" && !told:
			return notYours
		case matches == 0 && stated.GetSlipCode() != "":
			sum := sha256.Sum256([]byte(stated.GetSlipCode()))
			w.owner = slipOwner(sum[:])
		}
		return h.readState(s, w)
	})
	return w, err
}

// codeFits compares in constant time, so that the time of an answer does not tell how much of a guess was right.
func codeFits(code string, slip []byte) bool {
	sum := sha256.Sum256([]byte(code))
	return code != "" && subtle.ConstantTimeCompare(sum[:], slip) == 1
}

// readState reads what a withdrawal acts on.
func (h *Hub) readState(r store.Reader, w *withdrawal) (err error) {
	if w.tomb, err = readTombstone(r, w.owner, w.id); err != nil {
		return err
	}
	if !w.known {
		return nil
	}
	if w.elsewhere, w.elsewhereRow, err = readPassedOn(r, w.id); err != nil {
		return err
	}
	if w.rel, w.released, err = h.delivery.Release(r, w.id); err != nil || !w.released {
		return err
	}
	if w.first, _, err = readDecided(r, w.id, w.rel.Manifest); err != nil {
		return err
	}
	if w.waits, err = h.delivery.Waits(r, w.rel); err == nil {
		w.had, err = h.delivery.Had(r, w.rel)
	}
	return err
}

// whole reports whether nothing is to be left.
func (w *withdrawal) whole() bool { return len(w.paths) == 0 }

// again reports whether this says nothing that was not withdrawn before.
func (w *withdrawal) again() bool { return w.tomb.holds(w.paths) }

// narrow finds out whether a partial withdrawal touches what was released, and decides again on what is left of it: on
// the facts of then, with the directory of now. The new decision can only be narrower. What it refers to a person, such
// as a child of whom too little is left to find the way, does not go; the withdrawal itself does not wait for it. Neither
// does it where nothing can be decided, such as when nobody vouches for the desk's certificate any more: then all is taken out.
func (h *Hub) narrow(ctx context.Context, w *withdrawal, now time.Time) error {
	if w.known {
		last, err := h.logged(ctx, w.last.event)
		if err != nil {
			return err
		}
		w.manifest = last.Core.GetManifestSha256()
	}
	if !w.released || w.objection || w.again() {
		return nil
	}
	at, err := h.logged(ctx, w.rel.EventID)
	if err != nil {
		return err
	}
	before := at.Details.GetDecision().GetPaths()
	w.touched = w.touches(before) || len(before) == 0 && w.rel.Begun // by a hub before this one, and nobody knows what
	if w.sent = w.touched; w.rel.Begun && !w.sent {
		if w.sent, err = h.sentAtFirst(ctx, w); err != nil {
			return err
		}
	}
	if w.whole() || !w.touched || !w.waits && !w.had {
		return nil
	}
	w.narrow, err = h.decideAgain(ctx, w.id, w.rel, w.tomb.with(w.paths, now).Paths, now)
	if err == nil || errors.Is(err, errStale) || ctx.Err() != nil {
		return err
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Deadline, fault.Exhausted:
		return err // ours, and it may pass by itself: the desk tries again in a moment
	}
	h.cfg.Log.ErrorContext(ctx, "what is left after a withdrawal cannot be decided again, and is referred to a person", "notification", w.id, "reason", fault.From(err).Reason)
	w.narrow = h.undecided(ctx, at, now)
	return nil
}

// sentAtFirst reports whether anything is withdrawn of what the manifest's first decision shared. Decisions made again are
// only ever narrower, so no send of it held more than that, and one that began before the newest may have held as much.
func (h *Hub) sentAtFirst(ctx context.Context, w *withdrawal) (bool, error) {
	if w.first == (decidedRow{}) { // a hub before this one decided
		return false, nil
	}
	at, err := h.logged(ctx, w.first.first)
	if err != nil {
		return false, err
	}
	return w.touches(at.Details.GetDecision().GetPaths()), nil
}

// touches reports whether anything of these paths is withdrawn.
func (w *withdrawal) touches(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return consent.Withdrawn(w.paths, p) })
}

// recordWithdrawal does all of a withdrawal in one transaction: the leaf, the tombstone, what waits deleted or made
// narrower, and a stop request where a send ever began. After it no send of what was withdrawn can begin.
//
// The stop request is a leaf of the sent log: its cause is the withdrawal, and its desk hears of it.
func (h *Hub) recordWithdrawal(ctx context.Context, w *withdrawal, now time.Time) (event [16]byte, err error) {
	same := idempotencyKey(w.v.Sender().URI(), w.v.Manifest().GetNotificationId(), w.v.ManifestSHA256())
	err = h.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error { // a right is not refused for want of room
		if earlier, err := tx.Get(schema.HubIdempotency, same); err != nil || earlier != nil {
			copy(event[:], earlier)
			return err
		}
		if err := h.unchanged(tx, w); err != nil {
			return err
		}
		stops := w.stops()
		d := w.answer(len(stops) > 0, now)
		entry, err := tx.Record(ledger.Sent, ledger.Event{
			Kind: logv1.Kind_KIND_WITHDRAWN,
			Time: now,
			Core: &logv1.Core{ManifestSha256: w.v.ManifestSHA256(), Outcome: d.GetOutcome(), FollowsEvent: w.follows(), SubjectSha256: w.manifest},
			Details: &logv1.Details{
				Caller: w.v.Sender().URI(), NotificationId: w.id, Sender: w.v.Manifest().GetSender(), Authority: w.rel.Authority, Decision: d},
		})
		if err != nil {
			return err
		}
		event = entry.EventID()
		if err := tx.Put(schema.HubIdempotency, same, event[:]); err != nil || w.again() {
			return err
		}
		if w.objection {
			return h.tellSender(tx, w, event, d, now)
		}
		tomb := w.tomb.with(w.paths, now)
		if err := w.remember(tomb, event, len(stops) > 0); err != nil {
			return err
		}
		if err := h.takeOut(tx, w, event); err != nil {
			return err
		}
		if len(stops) > 0 {
			if tomb.Stop, err = h.recordStops(tx, stops, event, w.paths, w.v.Sender().URI(), w.owner, now); err != nil {
				return err
			}
		} else if err := h.tellSender(tx, w, event, d, now); err != nil {
			return err
		}
		// Last, after all that the desk hears of: nothing that it gets depends on whether there is anybody else.
		if err := h.stopElsewhere(tx, w, event, now); err != nil {
			return err
		}
		return tomb.write(tx, w.owner, w.id)
	})
	if err != nil {
		return [16]byte{}, err // the event belongs to the sequencer still, when the time ran out
	}
	return event, nil
}

// tellSender tells the prison that sent it what another one took: that nothing of it went and nothing will, or that the person
// objects, which its safeguarding lead is to read.
func (h *Hub) tellSender(tx *ledger.Tx, w *withdrawal, event [16]byte, d *posternv1.Decision, now time.Time) error {
	if !w.known || w.owner == w.v.Sender().URI() {
		return nil
	}
	return h.delivery.Tell(tx, delivery.ByHub, w.owner, &posternv1.Update{NotificationId: w.id, EventId: event[:], Update: &posternv1.Update_Decision{Decision: d}}, now)
}

// remember keeps the stop request of a withdrawal, whether its team is asked now or not: a desk may say later that a hub
// before this one had sent what this one does not know, or knows as it was in an older copy.
func (w *withdrawal) remember(tomb *tombstone, event [16]byte, asks bool) error {
	if w.v.StopRequest() == nil {
		return nil
	}
	request, err := proto.Marshal(w.v.StopRequest())
	if e := (early{event, w.paths, request}); asks {
		tomb.Asked = append(tomb.Asked, e)
	} else {
		tomb.Early = append(tomb.Early, e)
	}
	return err
}

// unchanged re-reads inside the transaction what the withdrawal was planned on; any change is errStale.
func (h *Hub) unchanged(tx *ledger.Tx, w *withdrawal) error {
	fresh := &withdrawal{owner: w.owner, id: w.id, known: w.known}
	if err := h.readState(tx, fresh); err != nil {
		return err
	}
	last, ok, err := readNotification(tx, w.id)
	if err != nil {
		return err
	}
	if !w.known && last.sender != w.owner {
		ok = false // another desk's, which is not there for this one
	}
	same := ok == w.known && (!ok || last.event == w.last.event) && bytes.Equal(fresh.tomb.raw(), w.tomb.raw()) && bytes.Equal(fresh.elsewhereRow, w.elsewhereRow) && fresh.released == w.released &&
		fresh.waits == w.waits && fresh.had == w.had && fresh.rel.DeliveryID == w.rel.DeliveryID && fresh.rel.Begun == w.rel.Begun && slices.EqualFunc(fresh.rel.Earlier, w.rel.Earlier, bytes.Equal)
	if same && w.narrow != nil {
		basis, err := h.Basis(tx)
		if err != nil {
			return err
		}
		same = basis == w.narrow.basis
	}
	if !same {
		return errStale
	}
	return nil
}

// follows is the event of the decision that is withdrawn, if there is one.
func (w *withdrawal) follows() []byte {
	if !w.known {
		return nil
	}
	return w.last.event[:]
}

// takeOut deletes what was withdrawn of what waits, was given up or is kept, and leaves what may still go.
func (h *Hub) takeOut(tx *ledger.Tx, w *withdrawal, withdrawn [16]byte) error {
	if !w.touched {
		return nil
	}
	if w.narrow != nil {
		return h.recordAgain(tx, standing{w.id, w.last, w.rel, w.had}, w.narrow, withdrawn)
	}
	if _, err := h.delivery.Cancel(tx, w.rel); err != nil || !w.whole() {
		return err
	}
	return h.delivery.Forget(tx, w.rel)
}

// stops are the stop requests of a withdrawal: for what was released, once a send of it began and anything of it is
// withdrawn, and for each earlier manifest that may be with the team, of which nobody knows what was shared.
func (w *withdrawal) stops() (all []delivery.Stop) {
	if !w.released || !w.rel.Begun {
		return nil
	}
	for _, manifest := range w.rel.Manifests() {
		s := w.stopOf(w.rel)
		s.ManifestSHA256 = manifest
		if (w.sent || !bytes.Equal(manifest, w.rel.Manifest)) && names(s.Request, manifest) {
			all = append(all, s)
		}
	}
	return all
}

// names reports whether a stop request is about a manifest: one that names none is about all of its notification.
func names(request *posternv1.Signed, manifest []byte) bool {
	r := &posternv1.StopRequest{}
	err := proto.Unmarshal(request.GetPayload(), r) // it was verified when it came
	return err == nil && (len(r.GetManifestSha256()) == 0 || bytes.Equal(r.GetManifestSha256(), manifest))
}

// recordStops records that the team is asked to stop, puts the desk's stop requests into the outbox and tells the owner of
// the notification. withdrawn is the event of the withdrawal of these paths, and caller the URI of who took it. It returns
// the event of the first, which is about the newest of the manifests that are named.
func (h *Hub) recordStops(tx *ledger.Tx, stops []delivery.Stop, withdrawn [16]byte, paths []string, caller, owner string, now time.Time) ([]byte, error) {
	var first []byte
	for _, s := range stops {
		asked, err := h.askToStop(tx, ledger.Sent, s, caller, withdrawn, now)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = asked[:]
		}
	}
	reply := &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_STOP_ASKED, Paths: paths}
	u := &posternv1.Update{NotificationId: stops[0].NotificationID, Update: &posternv1.Update_Reply{Reply: reply}}
	return first, h.delivery.Tell(tx, delivery.ByHub, owner, u, now)
}

// askToStop records that a team is asked to stop and puts the desk's stop request into the outbox.
func (h *Hub) askToStop(tx *ledger.Tx, log ledger.Log, s delivery.Stop, caller string, withdrawn [16]byte, now time.Time) ([16]byte, error) {
	subject := sha256.Sum256(s.Request.GetPayload())
	entry, err := tx.Record(log, ledger.Event{
		Kind:    logv1.Kind_KIND_STOP_ASKED,
		Time:    now,
		Core:    &logv1.Core{ManifestSha256: s.ManifestSHA256, SubjectSha256: subject[:], FollowsEvent: withdrawn[:]},
		Details: &logv1.Details{Caller: caller, NotificationId: s.NotificationID, Authority: s.Authority},
	})
	if err != nil {
		return [16]byte{}, err
	}
	s.Withdrawn = withdrawn
	return entry.EventID(), h.delivery.EnqueueStop(tx, entry, s)
}

// stopOf is the stop request of a withdrawal for whoever has a release.
func (w *withdrawal) stopOf(rel delivery.Release) delivery.Stop {
	return delivery.Stop{Authority: rel.Authority, NotificationID: w.id, ManifestSHA256: rel.Manifest, Sender: w.owner, Request: w.v.StopRequest()}
}

// adoptTombstone makes the withdrawals that waited for a code those of the notification that comes with it.
// All are as mayDecide found them in the same transaction.
func adoptTombstone(tx *ledger.Tx, v *envelope.Verified, tomb *tombstone, waited [][]byte) error {
	if len(waited) == 0 {
		return nil
	}
	for _, key := range waited {
		if err := tx.Delete(schema.HubWithdrawal, key); err != nil {
			return err
		}
	}
	return tomb.write(tx, v.Sender().URI(), v.Manifest().GetNotificationId())
}

// maybeSent takes a desk's word that a hub before this one had a notification and may have sent it: what is released of it
// counts as begun, and for each withdrawal that came before it the team is asked to stop. Told in that order, nothing that
// was withdrawn is sent again.
func (h *Hub) maybeSent(tx *ledger.Tx, v *envelope.Verified, event [16]byte, now time.Time) error {
	owner, id, offer := v.Sender().URI(), v.Manifest().GetNotificationId(), v.Manifest().GetOffer()
	if len(v.Paths()) == 0 {
		return nil // with nothing sealed nothing went
	}
	rel, err := h.delivery.MaybeSent(tx, id, delivery.Release{Authority: offer.GetAuthority(), EventID: event, Manifest: v.ManifestSHA256(), Earlier: v.Hub().GetMaybeSentSha256()})
	if err != nil {
		return err
	}
	tomb, err := readTombstone(tx, owner, id)
	if err != nil || tomb == nil || offer.GetRoute() != posternv1.Route_ROUTE_STANDARD {
		return err
	}
	for _, e := range tomb.Early {
		request := &posternv1.Signed{}
		if err := proto.Unmarshal(e.Request, request); err != nil {
			return fault.New(fault.Internal, "TOMBSTONE", "A tombstone cannot be read.").Because(err)
		}
		var stops []delivery.Stop
		for _, manifest := range rel.Manifests() {
			if names(request, manifest) {
				stops = append(stops, delivery.Stop{Authority: offer.GetAuthority(), NotificationID: id, ManifestSHA256: manifest, Sender: owner, Request: request})
			}
		}
		if len(stops) == 0 {
			continue // it was taken of a manifest that waited, and nothing of it is in what came after
		}
		if tomb.Stop, err = h.recordStops(tx, stops, e.Event, e.Paths, owner, owner, now); err != nil {
			return err
		}
	}
	tomb.Early, tomb.Asked = nil, append(tomb.Asked, tomb.Early...)
	return tomb.write(tx, owner, id)
}

// answer is what the desk that withdrew is told.
func (w *withdrawal) answer(stop bool, now time.Time) *posternv1.Decision {
	d := &posternv1.Decision{Outcome: posternv1.Outcome_OUTCOME_WITHHOLD, DecideTime: timestamppb.New(now)}
	r := &posternv1.Reason{RuleId: ruleWithdrawn, Law: lawPermission, Paths: w.paths}
	switch {
	case w.objection:
		d.Outcome, r.RuleId, r.Law = posternv1.Outcome_OUTCOME_REFER_TO_PERSON, ruleObjection, lawObjection
		r.Text = "This was not sent because the person gave permission, so withdrawing permission does not undo it. The objection is recorded, and the safeguarding lead considers it."
	case stop || w.again() && w.tomb.Stop != nil:
		r.RuleId = ruleStopAsked
		r.Text = "The person withdrew. It had begun to be sent, so the team is asked to stop and its inbox takes it from view. What somebody has read or written down cannot be undone from here."
	case !w.known:
		r.Text = "The person withdrew before this came to the hub. If it comes, nothing of it goes."
	default:
		r.Text = "The person withdrew. Nothing of it had begun to be sent, and nothing of it will be; what waited at the hub is deleted."
	}
	d.Reasons = []*posternv1.Reason{r}
	return d
}
