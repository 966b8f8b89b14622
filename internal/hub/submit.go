package hub

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/delivery"
	"postern/internal/directory"
	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/rpc"
	"postern/internal/section"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Submit is the line: verify, decide, disclose, record, answer. A refusal of the statement itself is recorded too and
// then answered as an error; a decision not to share is an ordinary answer.
func (h *Hub) Submit(ctx context.Context, req *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
	caller, _ := rpc.Party(ctx)
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent); err != nil {
		return nil, err
	}
	if err := h.followed(req.GetKnownLogs()); err != nil {
		return nil, err
	}
	for range 3 {
		v, err := h.verify(caller, req.GetNotification())
		if err != nil {
			return nil, h.refuse(ctx, caller, req.GetNotification(), err)
		}
		if v.Manifest().GetWithdrawal() != nil {
			return h.withdraw(ctx, v, req.GetResubmitted(), req.GetKnownLogs())
		}
		if v.Manifest().GetReceptions() != nil {
			return h.countReceptions(ctx, v, req.GetKnownLogs())
		}
		if v.Manifest().GetConsidered() != nil {
			return h.consider(ctx, v, req.GetKnownLogs())
		}
		if err := failpoint.Hit(failpoint.HubVerified); err != nil {
			return nil, err
		}
		decided, err := h.decide(ctx, v)
		if err != nil {
			return nil, err
		}
		if err := failpoint.Hit(failpoint.HubDecided); err != nil {
			return nil, err
		}
		released, digests := h.disclose(v, decided)
		recorded, err := h.record(ctx, v, decided, released, digests, req.GetResubmitted())
		if errors.Is(err, errStale) {
			if err := h.catchUp(ctx); err != nil {
				return nil, err
			}
			continue // policy, directory or a tombstone changed between decide and record: decide again
		}
		if err != nil {
			return nil, h.refuse(ctx, caller, req.GetNotification(), err)
		}
		h.delivery.Wake()
		// A crash here: it is recorded, and on its way, and the desk heard nothing. The same manifest gets the same answer.
		if err := failpoint.Hit(failpoint.HubRecorded); err != nil {
			return nil, err
		}
		return h.answer(ctx, recorded, decided, req.GetKnownLogs())
	}
	return nil, fault.New(fault.Unavailable, "BUSY", "The policy or the directory is changing. Try again in a moment.")
}

// errNotFollowed is for a desk that knows an earlier generation of the log, and not this one: it believes that the hub
// knows what only the hub before it was told, such as what was withdrawn. It hears of the new log with its updates.
var errNotFollowed = fault.New(fault.Unavailable, "LOG_NOT_FOLLOWED", "This hub has begun a new log. Fetch your updates first, and then try again.")

func (h *Hub) followed(known []*posternv1.KnownLog) error {
	now, before := h.cfg.Ledger.Origin(ledger.Sent), false
	for _, k := range known {
		if k.GetOrigin() == now {
			return nil
		}
		before = before || verify.Succeeds(k.GetOrigin(), now)
	}
	if before {
		return errNotFollowed
	}
	return nil
}

// verify checks the statement and that its sender is the caller: a desk speaks for itself only.
func (h *Hub) verify(caller identity.Party, n *posternv1.SealedNotification) (*envelope.Verified, error) {
	v, err := envelope.Verify(n, envelope.VerifyConfig{
		Audience: h.cfg.Identity.Party().Domain, Anchors: h.cfg.Anchors, At: h.cfg.Clock(), Whole: true})
	if err != nil {
		return nil, err
	}
	if v.Sender() != caller {
		return nil, fault.New(fault.Denied, "SENDER_IS_NOT_CALLER", "The notification was signed by another desk than the one that sends it.")
	}
	if e := v.Manifest().GetEnquiry(); e != nil {
		return v, soundEnquiry(e)
	}
	return v, nil
}

// soundEnquiry checks that an enquiry says what came of asking, and why nobody asked exactly when nobody did.
func soundEnquiry(e *posternv1.Enquiry) error {
	notAsked := e.GetOutcome() == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED
	why := e.GetNotAskedReason() != posternv1.NotAskedReason_NOT_ASKED_REASON_UNSPECIFIED
	if e.GetOutcome() == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED || notAsked != why {
		return fault.New(fault.Invalid, "BAD_ENQUIRY", "The enquiry lacks its outcome, or does not say why nobody asked.")
	}
	return nil
}

// decision is what decide found, with all that record needs to make replay exact.
type decision struct {
	*posternv1.Decision
	input     []byte
	basis     delivery.Basis
	tombstone []byte // what was withdrawn of it when it was decided
	content   []byte // the notification by which the same content was shared, as it was read
	first     string // its id, where it counts (sentBefore)
}

// decide asks the engine, which never errs: what it cannot decide is referred to a person. What was withdrawn before it
// came, on the route of permission, is not permitted any more.
func (h *Hub) decide(ctx context.Context, v *envelope.Verified) (decision, error) {
	now := h.cfg.Clock()
	d := h.directory.Load().At(now)
	var tomb *tombstone
	var content []byte
	var first string
	read := func(s store.Snapshot) (err error) {
		if tomb, _, err = tombstoneOf(s, v); err != nil {
			return err
		}
		content, first, err = h.sentBefore(s, v)
		return err
	}
	err := h.cfg.Store.View(ctx, read)
	if err == nil && first != "" {
		// The hour may be over in which the first was given up: what its desk is due to hear, it has been told.
		if err = h.delivery.TellGathered(ctx, v.Sender().URI()); err == nil {
			err = h.cfg.Store.View(ctx, read)
		}
	}
	if err != nil {
		return decision{}, err
	}
	in := h.input(v, d, now)
	if tomb != nil && v.Manifest().GetOffer().GetRoute() == posternv1.Route_ROUTE_STANDARD {
		if tomb.whole() {
			out := h.withheld(v, now)
			return decision{out, nil, delivery.Basis{Policy: out.GetPolicyRevision(), Directory: d.Number()}, tomb.raw(), content, first}, nil
		}
		in.Withdraw(tomb.Paths)
	}
	in.SentBefore(first)
	out, verbatim := h.policy.Load().Decide(ctx, in)
	return decision{out, verbatim, delivery.Basis{Policy: out.GetPolicyRevision(), Directory: d.Number()}, tomb.raw(), content, first}, nil
}

// input gathers the facts: the statement's own, and what the directory says of caller, recipient and agreement today.
func (h *Hub) input(v *envelope.Verified, d *directory.Directory, now time.Time) *engine.Input {
	return engine.Offered(d, engine.Facts{
		Manifest: v.Manifest(), Children: v.Children(), Hub: v.Hub(), OfferedPaths: v.Paths(), CallerPrison: v.Sender().ID, Now: now,
	})
}

// disclose copies the released sections into a fresh envelope, unread; nil when nothing goes.
func (h *Hub) disclose(v *envelope.Verified, d decision) (*posternv1.SealedNotification, [][]byte) {
	if d.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		return nil, nil
	}
	return v.Disclose(d.GetPaths())
}

// errStale says that what was decided or planned rests on something that has changed since.
var errStale = errors.New("hub: what this rests on has changed")

// recorded is the event of a decision: an entry made just now, or the id of an earlier one.
type recorded struct {
	entry   ledger.Entry
	earlier [16]byte
}

// record writes the decision and, when something goes, its outbox rows, in one transaction with the leaf. What it
// returns names an earlier event, when this very manifest was decided before.
func (h *Hub) record(ctx context.Context, v *envelope.Verified, d decision, released *posternv1.SealedNotification, digests [][]byte, resubmitted bool) (recorded, error) {
	var made recorded
	m, sender, id := v.Manifest(), v.Sender().URI(), v.Manifest().GetNotificationId()
	err := h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		made = recorded{} // the transaction may run again
		earlier, known, err := readDecided(tx, id, v.ManifestSHA256())
		if err != nil {
			return err
		}
		if known {
			made.earlier = earlier.first
			if resubmitted {
				return h.maybeSent(tx, v, made.earlier, h.now())
			}
			return nil
		}
		tomb, waited, err := h.mayDecide(tx, v, d)
		if err != nil {
			return err
		}
		entry, err := tx.Record(ledger.Sent, ledger.Event{
			Kind: logv1.Kind_KIND_DECIDED,
			Time: d.GetDecideTime().AsTime(),
			Core: &logv1.Core{
				ManifestSha256: v.ManifestSHA256(), Outcome: d.GetOutcome(), SectionsSha256: digests, PolicyRevision: d.GetPolicyRevision(),
				ValidUntilTime: d.GetValidUntilTime(),
			},
			Details: &logv1.Details{
				Caller: sender, NotificationId: id, Sender: m.GetSender(), Authority: m.GetOffer().GetAuthority(), Input: d.input,
				Decision: d.Decision, OfferedPaths: v.Paths(), DirectoryRevision: d.basis.Directory,
			},
		})
		if err != nil {
			return err
		}
		made.entry = entry
		if err := indexDecision(tx, v, d.GetOutcome(), entry); err != nil {
			return err
		}
		if err := adoptTombstone(tx, v, tomb, waited); err != nil {
			return err
		}
		if resubmitted || len(v.Hub().GetMaybeSentSha256()) > 0 {
			if err := h.maybeSent(tx, v, entry.EventID(), d.GetDecideTime().AsTime()); err != nil {
				return err
			}
		}
		if err := indexContent(tx, v, d.GetOutcome()); err != nil || released == nil {
			return err
		}
		if err := h.retire(tx, v); err != nil {
			return err
		}
		return h.delivery.Enqueue(tx, entry, delivery.Outgoing{
			Authority: m.GetOffer().GetAuthority(), NotificationID: id, ManifestSHA256: v.ManifestSHA256(), Sender: v.Sender(),
			Decision: cutDecision(d.Decision), Notification: released, Basis: d.basis, Until: permissionEnds(m.GetOffer()),
			Begun: resubmitted, // a hub before this one may have sent it
			Held:  h.heldUntil(m.GetOffer().GetRoute(), resubmitted || h.firstAtAnother(v), h.cfg.Clock()),
		})
	})
	if err != nil {
		return recorded{}, err // made belongs to the sequencer still, when the time ran out
	}
	if made.earlier == [16]byte{} {
		h.cfg.Measures.decided(d.Decision)
	}
	return made, nil
}

// mayDecide re-reads, inside the transaction, what the decision rests on: policy and directory in force, what was
// withdrawn, whether the same was shared before, and that this notification is this sender's and nothing of it was
// shared under another manifest. It returns what was withdrawn, as tombstoneOf does.
func (h *Hub) mayDecide(tx *ledger.Tx, v *envelope.Verified, d decision) (tomb *tombstone, waited [][]byte, err error) {
	id, sender := v.Manifest().GetNotificationId(), v.Sender().URI()
	basis, err := h.Basis(tx)
	if err != nil {
		return nil, nil, err
	}
	tomb, waited, err = tombstoneOf(tx, v)
	if err != nil {
		return nil, nil, err
	}
	content, first, err := h.sentBefore(tx, v)
	if err != nil {
		return nil, nil, err
	}
	if basis != d.basis || !bytes.Equal(tomb.raw(), d.tombstone) || !bytes.Equal(content, d.content) || first != d.first {
		return nil, nil, errStale
	}
	known, ok, err := readNotification(tx, id)
	if err != nil || !ok {
		return tomb, waited, err
	}
	if known.sender != sender || known.outcome == posternv1.Outcome_OUTCOME_SHARE {
		return nil, nil, fault.New(fault.Exists, "ID_TAKEN", "This notification id is already in use. Send what is new as a new notification.")
	}
	return tomb, waited, nil
}

// answer says what was decided and cuts the receipt to the newest checkpoint; the ledger verifies it before it leaves.
// What was recorded just now is in memory. An earlier decision is read back, with the words it was made in.
func (h *Hub) answer(ctx context.Context, made recorded, d decision, known []*posternv1.KnownLog) (*posternv1.SubmitResponse, error) {
	out := &posternv1.SubmitResponse{Decision: d.Decision}
	cut := h.cfg.Ledger.Cut() // after the commit: it covers what was recorded
	var err error
	if made.earlier == ([16]byte{}) {
		out.Receipt, err = cut.ReceiptOf(ctx, made.entry)
	} else {
		var at ledger.Logged
		if at, err = h.logged(ctx, made.earlier); err != nil {
			return nil, err
		}
		out.Decision = at.Details.GetDecision()
		out.Receipt, err = cut.Receipt(ctx, made.earlier)
	}
	if err != nil {
		return nil, err
	}
	out.Consistency, err = cut.Proofs(ctx, known, ledger.Sent)
	return out, err
}

// cutDecision is the decision as an inbox may see it: released children, their reasons and obligations only. When the
// prison must act is not among it, or it would say that there is a child who waits.
func cutDecision(d *posternv1.Decision) *posternv1.Decision {
	cut := proto.CloneOf(d)
	cut.Children, cut.Obligations, cut.DueTime = nil, nil, nil
	shared := map[uint32]bool{0: true}
	for _, c := range d.GetChildren() {
		if c.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
			cut.Children = append(cut.Children, c)
			shared[c.GetNumber()] = true
		}
	}
	for _, o := range d.GetObligations() {
		if shared[o.GetChildNumber()] {
			cut.Obligations = append(cut.Obligations, o)
		}
	}
	cut.Reasons = slices.DeleteFunc(cut.Reasons, func(r *posternv1.Reason) bool {
		return slices.ContainsFunc(r.GetPaths(), func(path string) bool {
			n, ok := section.ChildOf(path)
			return ok && !shared[uint32(n)]
		})
	})
	return cut
}

// indexDecision writes the rows by which a decision is found again.
func indexDecision(tx *ledger.Tx, v *envelope.Verified, o posternv1.Outcome, e ledger.Entry) error {
	id, event := v.Manifest().GetNotificationId(), e.EventID()
	if err := (decidedRow{event, event}).put(tx, id, v.ManifestSHA256()); err != nil {
		return err
	}
	if err := noteAsked(tx, v, e); err != nil {
		return err
	}
	return decidedNotification(v, o, event).put(tx, id)
}

// join makes a key of parts that hold no zero byte.
func join(parts ...string) []byte { return []byte(strings.Join(parts, "\x00")) }

func idempotencyKey(sender, id string, manifest []byte) []byte {
	return append(join(sender, id, ""), manifest...)
}
