package desk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/ledger/verify"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// StepSpool submits the oldest statement that is due, and reports whether it came to an answer. Withdrawals go first, and
// while one waits nothing of its notification is submitted.
func (d *Desk) StepSpool(ctx context.Context) (bool, error) { return d.stepSpool(ctx, d.cfg.Clock()) }

// stepSpool takes an item due by the given time; a person waiting at the counter does not wait for a backoff.
func (d *Desk) stepSpool(ctx context.Context, dueBy time.Time) (bool, error) {
	d.send.Lock()
	defer d.send.Unlock()
	for _, line := range []struct {
		name   string
		submit func(context.Context, queue.Item) error
	}{{withdrawals, d.submitWithdrawal}, {hubDestination, d.submitItem}, {considerations, d.submitConsidered}} {
		var item queue.Item
		var ok bool
		err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
			if item, ok, err = d.spool.Head(s, line.name); err != nil || !ok || line.name != hubDestination {
				return err
			}
			waiting, err := d.spool.Line(s, withdrawals, 0, math.MaxInt)
			ok = !slices.ContainsFunc(waiting, func(w queue.Item) bool { return string(w.Body) == item.ID })
			return err
		})
		if err != nil {
			return false, err
		}
		if ok && item.Ready(dueBy, d.cfg.Backoff.Longest()) {
			err := line.submit(ctx, item)
			if fault.From(err).Reason == "LOG_NOT_FOLLOWED" { // not at the next poll: a person may stand at the counter
				_, again := d.StepUpdates(ctx)
				err = errors.Join(err, again)
			}
			return true, err
		}
	}
	return false, nil
}

// submitItem submits one notification and keeps the answer. A crash before the answer is kept submits the same
// manifest again, and the hub answers the same.
func (d *Desk) submitItem(ctx context.Context, item queue.Item) error {
	message, err := d.message(ctx, item.ID)
	if err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.DeskSubmit); err != nil {
		return err
	}
	answer, err := d.ask(ctx, message, resubmitted(item) || bytes.Equal(item.Body, maybeHad), d.checkReceipt)
	if fault.From(err).Reason == stoppedReason {
		return err // nothing was sent, or what came back is not believed: it stays in the spool as it is
	}
	if err == nil {
		err = failpoint.Hit(failpoint.DeskAnswered)
	}
	if err == nil && resubmitted(item) {
		// A crash here tells it once more, and the hub answers the same.
		if err := failpoint.Hit(failpoint.DeskToldAgain); err != nil {
			return err
		}
		return d.settleAgain(ctx, item, answer.GetDecision(), answer.GetReceipt())
	}
	if err == nil {
		if err = d.settle(ctx, item, answer.GetDecision(), answer.GetReceipt()); err == nil {
			err = failpoint.Hit(failpoint.DeskSettled)
		}
		return err
	}
	if f := fault.From(err); forGood(f) {
		if resubmitted(item) {
			return d.settleAgain(ctx, item, nil, nil) // such as when it has expired
		}
		// The hub has recorded it. Nobody else will act on this family now: a person must.
		refused := d.refusedByHub(f)
		if bytes.Equal(item.Body, maybeHad) && len(message.GetSections()) > 0 {
			refused.Reasons[0].Text += " A hub before it, which is lost, may have sent it: ask the front door whether the team has it."
		}
		return d.settle(ctx, item, refused, nil)
	}
	return d.postpone(ctx, item, err)
}

// message reads what is to be submitted, signed with the certificate of now: what waited while the certificate was
// renewed would be refused under the old one, once that has ended or was revoked. The bytes that are signed stay the
// same, and by them the hub knows it.
func (d *Desk) message(ctx context.Context, id string) (*posternv1.SealedNotification, error) {
	m := &posternv1.SealedNotification{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error { return d.load(s, schema.DeskMessage, id, m) })
	if err != nil {
		return nil, err
	}
	for _, statement := range []*posternv1.Signed{m.GetManifest(), m.GetStopRequest()} {
		if statement == nil || signedWith(statement, d.cfg.Identity.Leaf().Raw) {
			continue
		}
		statement.Signatures = nil
		if err := envelope.AddSignature(statement, d.cfg.Identity); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// signedWith reports whether a statement has one signature, of this certificate.
func signedWith(s *posternv1.Signed, leaf []byte) bool {
	return len(s.GetSignatures()) == 1 && len(s.GetSignatures()[0].GetCertificates()) > 0 && bytes.Equal(s.GetSignatures()[0].GetCertificates()[0], leaf)
}

// ask submits a statement and returns the hub's answer when all of it holds: what the given check finds in its receipt,
// that the log it is in continues what the desk knows, and that the hub has lost nothing since it last answered.
func (d *Desk) ask(ctx context.Context, message *posternv1.SealedNotification, again bool,
	check func(*posternv1.SealedNotification, *posternv1.SubmitResponse) (*verify.Event, error)) (*posternv1.SubmitResponse, error) {
	asked, err := d.follow.Ask()
	if err != nil {
		return nil, err
	}
	answer, err := d.cfg.Hub.Submit(ctx, &posternv1.SubmitRequest{Notification: message, Resubmitted: again, KnownLogs: asked.Known()})
	if err != nil {
		return nil, d.follow.Failed(ctx, asked, err)
	}
	event, err := check(message, answer)
	if err != nil {
		return nil, err
	}
	if err := d.follow.Take(ctx, asked, answer.GetConsistency(), follow.SeenIn(event)); err != nil {
		return nil, err
	}
	d.answered.Store(d.cfg.Clock().UnixNano())
	return answer, d.heardIn(ctx, event)
}

// stoppedReason is the reason of the fault of a desk that has stopped.
const stoppedReason = "LOG_STOPPED"

// forGood reports whether the hub has refused a statement for good. One that comes from the future by the hub's clock is
// taken once that moment has come, whichever of the two clocks is wrong.
func forGood(f *fault.Error) bool {
	switch f.Kind {
	case fault.Invalid, fault.Denied, fault.Exists, fault.NotFound, fault.Unimplemented, fault.Precondition:
		return f.Reason != "FROM_THE_FUTURE"
	}
	return false
}

// postpone keeps the item and tries again later.
func (d *Desk) postpone(ctx context.Context, item queue.Item, cause error) error {
	jitter, err := queue.Jitter(d.cfg.Rand)
	if err != nil {
		return errors.Join(err, cause)
	}
	due := d.cfg.Clock().Add(d.cfg.Backoff.Asked(item.Attempts, jitter, fault.From(cause).RetryAfter))
	if err := failpoint.Hit(failpoint.DeskPostpone); err != nil {
		return errors.Join(err, cause)
	}
	err = d.promised().Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		now, err := d.spool.Get(tx, item) // its body may say meanwhile that the hub was lost
		if err != nil {
			return err
		}
		now.Attempts, now.DueTime = item.Attempts+1, due
		return d.spool.Retry(tx, now)
	})
	if errors.Is(err, queue.ErrGone) {
		return nil // withdrawn meanwhile
	}
	return errors.Join(err, cause)
}

// checkReceipt verifies that the decision is in the sent log and is about this manifest. A decision without a receipt
// that holds is no decision: the hub, or something between, is not to be trusted, and the notification stays queued.
func (d *Desk) checkReceipt(message *posternv1.SealedNotification, answer *posternv1.SubmitResponse) (*verify.Event, error) {
	event, err := verify.Receipt(answer.GetReceipt(), d.cfg.LogKeys)
	if err != nil {
		return nil, err
	}
	manifest := sha256.Sum256(message.GetManifest().GetPayload())
	if event.Kind != logv1.Kind_KIND_DECIDED || !bytes.Equal(event.Core.GetManifestSha256(), manifest[:]) ||
		!proves(event.Core, answer.GetDecision(), message) {
		return nil, fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The hub's receipt is not about this notification. Stop using this hub and telephone its operator.")
	}
	return event, nil
}

// proves reports whether the core is that of the decision: all of it that a core holds. The reasons are the hub's word.
func proves(core *logv1.Core, d *posternv1.Decision, message *posternv1.SealedNotification) bool {
	var released [][]byte
	for _, s := range message.GetSections() {
		if slices.Contains(d.GetPaths(), s.GetPath()) {
			released = append(released, envelope.SectionDigest(s))
		}
	}
	slices.SortFunc(released, bytes.Compare)
	return core.GetOutcome() == d.GetOutcome() && len(released) == len(d.GetPaths()) &&
		slices.EqualFunc(core.GetSectionsSha256(), released, bytes.Equal) && core.GetPolicyRevision() == d.GetPolicyRevision() &&
		proto.Equal(core.GetEventTime(), d.GetDecideTime()) && proto.Equal(core.GetValidUntilTime(), d.GetValidUntilTime())
}

// settle keeps a decision with its receipt, sets the state, and takes the item off the spool, in one transaction. The
// team may have acknowledged before we heard the hub's answer: then the state has gone on, and stays.
func (d *Desk) settle(ctx context.Context, item queue.Item, decision *posternv1.Decision, receipt *posternv1.Receipt) error {
	now := timestamppb.New(d.cfg.Clock().Truncate(time.Second))
	return d.change(ctx, item.ID, func(tx store.Tx, n *localv1.Notification) error {
		heard := n.GetState() != stateQueued // something came of this manifest already; what was decided of another is over
		n.State, n.UpdateTime = after(n.GetState(), decided(decision.GetOutcome())), now
		n.Resubmitting = false
		if bytes.Equal(item.Body, maybeHad) {
			if err := d.notSharedNow(tx, n, decision); err != nil {
				return err
			}
		}
		if heard && n.GetDecision().GetDecideTime().AsTime().After(decision.GetDecideTime().AsTime()) {
			receipt = nil // it was decided again meanwhile, narrower, and that came first
		} else {
			n.Decision = decision
			d.settled(n)
		}
		if receipt != nil {
			b, err := proto.Marshal(receipt)
			if err != nil {
				return fault.From(err)
			}
			if err := tx.Put(schema.DeskReceipt, []byte(item.ID), b); err != nil {
				return err
			}
		}
		if err := d.spool.Remove(tx, item); !errors.Is(err, queue.ErrGone) {
			return err
		}
		return nil // withdrawn while it was on its way: the withdrawal comes after it
	})
}

// refusedByHub is the desk's own decision for a statement that the hub refused for good.
func (d *Desk) refusedByHub(f *fault.Error) *posternv1.Decision {
	return &posternv1.Decision{
		Outcome:    posternv1.Outcome_OUTCOME_REFER_TO_PERSON,
		Reasons:    []*posternv1.Reason{{RuleId: "hub_refused", Text: "The hub did not accept this notification, so it sent nothing. " + f.Message + " Telephone the front door if a child needs help now."}},
		DecideTime: timestamppb.New(d.cfg.Clock().Truncate(time.Second)),
	}
}
