package desk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A desk keeps every signed message until its business is finished, so that a hub that lost its disk loses nothing. It
// notices by the hub's log: another origin, as when an operator opened a new generation, or a log that became shorter.
var hubLogKey = []byte("hub log") // the size of the sent log when we last heard, BE ‖ its origin

// The bodies of spool items that an earlier hub had, and of those that it may have had: nobody answered yet, and an
// attempt may have arrived.
var (
	lostAnswer = []byte("again")
	maybeHad   = []byte("maybe")
)

func resubmitted(it queue.Item) bool { return bytes.Equal(it.Body, lostAnswer) }

// errLost says that what a hub answered rests on less than it knew: once it was told again it is asked again.
var errLost = fault.New(fault.Unavailable, "HUB_LOST", "The hub has lost what it knew, and is told again. Try again in a moment.")

// toldAll is the origin of the log that was told every withdrawal that this desk took; empty while one waits. What a loss
// has put into the spool again is there before that origin is.
func (d *Desk) toldAll(s store.Snapshot) (origin string, err error) {
	_, waits, err := d.spool.Head(s, withdrawals)
	if err != nil || waits {
		return "", err
	}
	row, err := s.Get(schema.DeskMeta, hubLogKey)
	if err != nil || len(row) <= 8 {
		return "", err
	}
	return string(row[8:]), nil
}

// heardIn is heard for the receipt of an answer, before anything is made of that.
func (d *Desk) heardIn(ctx context.Context, event *verify.Event) error {
	lost, err := d.heardNew(ctx, event.Origin, event.Checkpoint)
	if err == nil && lost {
		err = errLost
	}
	return err
}

// heardNew is heard for checkpoints that come in any order: of those only a new log tells of a loss. The first one of all
// counts, since a hub may be lost before it was ever asked for updates.
func (d *Desk) heardNew(ctx context.Context, origin, checkpoint string) (lost bool, err error) {
	var before []byte
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		before, err = s.Get(schema.DeskMeta, hubLogKey)
		return err
	})
	if err != nil || len(before) > 8 && !verify.Succeeds(string(before[8:]), origin) {
		return false, err
	}
	return d.heard(ctx, checkpoint)
}

// heard takes a signed checkpoint of the hub, and reports whether the hub has lost what it knew: then everything that it
// must know is in the spool again, and the list of updates is read from its beginning.
func (d *Desk) heard(ctx context.Context, checkpoint string) (lost bool, err error) {
	head, err := verify.Checkpoint(checkpoint, d.cfg.LogKeys)
	if err != nil {
		return false, err
	}
	now := append(binary.BigEndian.AppendUint64(nil, head.Size), head.Origin...)
	var before []byte
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		before, err = s.Get(schema.DeskMeta, hubLogKey)
		return err
	})
	if err != nil || bytes.Equal(before, now) {
		return false, err
	}
	if len(before) > 8 && (string(before[8:]) != head.Origin || binary.BigEndian.Uint64(before) > head.Size) {
		d.cfg.Log.WarnContext(ctx, "the hub has lost what it knew, so that is submitted again", "origin", head.Origin)
		if err := failpoint.Hit(failpoint.DeskLost); err != nil {
			return false, err
		}
		if err := d.resubmit(ctx); err != nil {
			return false, err
		}
		lost = true
	}
	if lost {
		if err := failpoint.Hit(failpoint.DeskTellAgain); err != nil {
			return false, err
		}
	}
	// A crash before this line notices again, and what is in the spool already is not put there twice.
	return lost, d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if lost {
			if err := tx.Delete(schema.DeskCursor, updatesKey); err != nil {
				return err
			}
		}
		return tx.Put(schema.DeskMeta, hubLogKey, now)
	})
}

// unfinished are the states in which the hub has something to do or to answer for. What was refused or withheld is
// finished: nothing of it went, and a person has it; that the safeguarding lead decided so is told again by itself. What
// was delivered is not: the person may still withdraw it, and then the hub must know whom to ask to stop. What waits is
// submitted as ever when what it waited for comes. So is what was withdrawn before anybody answered: the hub that is gone
// may have had it.
var unfinished = []localv1.State{stateAccepted, stateDelivered, stateUndelivered, stateStopAsked}

// resubmit puts every unfinished notification into the spool again, all withdrawals, and what was decided not to be
// shared. What was withdrawn goes to the hub before what it was withdrawn of: stepSpool sees to that, or the hub would
// begin to send it once more.
func (d *Desk) resubmit(ctx context.Context) error {
	var all []*localv1.Notification
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		return s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
			n := &localv1.Notification{}
			err := d.unseal(schema.DeskNotification, string(key), sealed, n)
			all = append(all, n)
			return true, err
		})
	})
	if err != nil {
		return err
	}
	waiting, err := d.waiting(ctx)
	if err != nil {
		return err
	}
	queued := func(id string) bool {
		return slices.ContainsFunc(waiting, func(it queue.Item) bool { return it.ID == id })
	}
	for _, n := range all {
		if err := d.withdrawElsewhere(ctx, n); err != nil {
			return err
		}
		err := d.cfg.Store.Update(ctx, func(tx store.Tx) error {
			if err := d.withdrawAgain(tx, n, queued); err != nil || n.GetElsewhere() {
				return err
			}
			now := &localv1.Notification{}
			if err := d.load(tx, schema.DeskNotification, n.GetId(), now); err != nil || now.GetErasure() != nil {
				return err // what was erased, also since the look, cannot be told again; that it was taken back can
			}
			if err := d.considerAgain(tx, n, queued); err != nil {
				return err
			}
			if i := slices.IndexFunc(waiting, func(it queue.Item) bool { return it.ID == n.GetId() }); i >= 0 {
				return d.maybeHad(tx, waiting[i])
			}
			if slices.Contains(unfinished, n.GetState()) || n.GetState() == stateQueued && slices.ContainsFunc(n.GetWithdrawals(), pendingWithdrawal) {
				return d.spoolAgain(tx, hubDestination, n.GetId(), lostAnswer)
			}
			if n.GetState() == stateWaiting {
				return d.startAgain(tx, n.GetId())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// maybeHad marks what waits for its first answer: an attempt may have reached the hub that is gone.
func (d *Desk) maybeHad(tx store.Tx, it queue.Item) error {
	it, err := d.spool.Get(tx, it)
	if err == nil && !resubmitted(it) {
		it.Body = maybeHad
		err = d.spool.Retry(tx, it)
	}
	if errors.Is(err, queue.ErrGone) {
		return nil // it was answered meanwhile, by the hub that is here
	}
	return err
}

// withdrawElsewhere takes at this desk what another prison took back of a notification of ours: the hub that knew it is
// gone, and that prison cannot tell the next one before we have told it what it is about.
func (d *Desk) withdrawElsewhere(ctx context.Context, n *localv1.Notification) error {
	var paths []string
	switch n.GetState() {
	case stateStopAsked, stateWithdrawn:
	default:
		if paths = n.GetLeftOutPaths(); len(paths) == 0 || n.GetRoute() == posternv1.Route_ROUTE_DUTY {
			return nil
		}
	}
	if n.GetElsewhere() || withdrawnBefore(n, paths) {
		return nil
	}
	_, err := d.Withdraw(ctx, &localv1.WithdrawNotificationRequest{Id: n.GetId(), Paths: paths, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_OTHER}, d.itself())
	return err
}

// startAgain puts a notification of which nothing has gone yet into the spool as one that is submitted again, unless it has
// come to its end here meanwhile.
func (d *Desk) startAgain(tx store.Tx, id string) error {
	before := &localv1.Notification{}
	if err := d.load(tx, schema.DeskNotification, id, before); err != nil {
		return err
	}
	if !open(before) {
		return nil
	}
	n := proto.CloneOf(before)
	n.State, n.Resubmitting = after(n.GetState(), submittedAgain), true
	return errors.Join(d.put(tx, before, n), d.spoolAgain(tx, hubDestination, id, []byte(id)))
}

// considerAgain puts the records of what the safeguarding lead decided not to share into the spool again: nothing goes by
// them, and that somebody looked must stand in the log all the same.
func (d *Desk) considerAgain(tx store.Tx, n *localv1.Notification, queued func(id string) bool) error {
	for _, r := range n.GetConsiderations() {
		if r.GetShare() || r.GetAnswer() == nil || queued(r.GetId()) {
			continue // it is part of the notification, or waits for its first answer still
		}
		if err := d.spoolAgain(tx, considerations, r.GetId(), []byte(n.GetId())); err != nil {
			return err
		}
	}
	return nil
}

// withdrawAgain puts the withdrawals of a notification into the spool again, in the order in which they were taken. One
// that the hub refused is none.
func (d *Desk) withdrawAgain(tx store.Tx, n *localv1.Notification, queued func(id string) bool) error {
	for _, w := range n.GetWithdrawals() {
		if w.GetAnswer() == nil || queued(w.GetId()) || says(w.GetAnswer(), ruleRefused) {
			continue // it waits for its first answer still
		}
		if err := d.spoolAgain(tx, withdrawals, w.GetId(), []byte(n.GetId())); err != nil {
			return err
		}
	}
	return nil
}

func (d *Desk) spoolAgain(tx store.Tx, line, id string, body []byte) error {
	next, err := nextSequence(tx)
	if err != nil {
		return err
	}
	now := d.cfg.Clock()
	err = d.spool.Put(tx, queue.Item{Destination: line, Sequence: next, ID: id, Body: body, EnqueueTime: now, DueTime: now})
	return errors.Join(err, putSequence(tx, next+1))
}

// notSharedNow takes what the hub decides of a manifest that a hub before it may have shared. Where this one does not, the
// notification is not shared by any hub that is here, so what comes in makes it again under its own id; and the next
// manifest says that the team may have this one. What a team has of one id it shows once.
func (d *Desk) notSharedNow(tx store.Tx, n *localv1.Notification, decision *posternv1.Decision) error {
	if decision.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
		return nil
	}
	message := &posternv1.SealedNotification{}
	if err := d.load(tx, schema.DeskMessage, n.GetId(), message); err != nil {
		return err
	}
	sum := sha256.Sum256(message.GetManifest().GetPayload())
	if !slices.ContainsFunc(n.GetMaybeSentSha256(), func(b []byte) bool { return bytes.Equal(b, sum[:]) }) && len(message.GetSections()) > 0 {
		n.MaybeSentSha256 = append(n.MaybeSentSha256, sum[:])
	}
	n.Shared = false
	return nil
}

// settleAgain keeps what a hub that had lost a notification says of it now; the decision is nil when it refuses it for good.
// What the team or a person has done since stands.
func (d *Desk) settleAgain(ctx context.Context, item queue.Item, decision *posternv1.Decision, receipt *posternv1.Receipt) error {
	return d.change(ctx, item.ID, func(tx store.Tx, n *localv1.Notification) error {
		refused := decision == nil
		split := !refused && decision.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE && len(n.GetFollowups()) > 0
		if n.GetState() == stateAccepted && (refused || split) {
			// Refused: the hub takes it no more, such as when it has expired. Split: some of its children go on under another id
			// already, so that it cannot be made again under its own. In both cases nobody knows whether the hub that is gone had
			// sent it.
			n.State, decision = after(n.GetState(), undelivered), nil
			d.resealing.Store(true)
			n.UpdateTime = timestamppb.New(d.cfg.Clock().Truncate(time.Second))
		}
		if n.GetState() == stateAccepted && decision != nil {
			if err := d.notSharedNow(tx, n, decision); err != nil {
				return err
			}
			b, err := proto.Marshal(receipt)
			if err != nil {
				return fault.From(err)
			}
			if err := tx.Put(schema.DeskReceipt, []byte(item.ID), b); err != nil {
				return err
			}
			n.Decision, n.State = decision, after(n.GetState(), again(decision.GetOutcome()))
			n.UpdateTime = timestamppb.New(d.cfg.Clock().Truncate(time.Second))
			d.settled(n)
		}
		if err := d.spool.Remove(tx, item); !errors.Is(err, queue.ErrGone) {
			return err
		}
		return nil
	})
}
