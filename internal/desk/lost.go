package desk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

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

// lostAnswer is the body of a spool item whose answer the desk had before and whose hub has lost it.
var lostAnswer = []byte("again")

func resubmitted(it queue.Item) bool { return bytes.Equal(it.Body, lostAnswer) }

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
		if err := d.resubmit(ctx); err != nil {
			return false, err
		}
		lost = true
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
// submitted as ever when what it waited for comes.
var unfinished = []localv1.State{stateAccepted, stateDelivered, stateUndelivered, stateStopAsked}

// resubmit puts every unfinished notification into the spool again, the withdrawals of those that were withdrawn before
// anything went, and what was decided not to be shared.
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
		err := d.cfg.Store.Update(ctx, func(tx store.Tx) error {
			if err := d.considerAgain(tx, n, queued); err != nil {
				return err
			}
			if !n.GetElsewhere() && slices.Contains(unfinished, n.GetState()) {
				if queued(n.GetId()) {
					return nil
				}
				return d.spoolAgain(tx, hubDestination, n.GetId(), lostAnswer)
			}
			if n.GetState() == stateWaiting && !n.GetElsewhere() && !queued(n.GetId()) {
				return d.startAgain(tx, n.GetId())
			}
			return d.withdrawAgain(tx, n, queued)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// startAgain puts a notification of which nothing has gone yet into the spool as one that is submitted again.
func (d *Desk) startAgain(tx store.Tx, id string) error {
	before := &localv1.Notification{}
	if err := d.load(tx, schema.DeskNotification, id, before); err != nil {
		return err
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

// withdrawAgain puts the withdrawals of a notification into the spool again, in the order in which they were taken.
func (d *Desk) withdrawAgain(tx store.Tx, n *localv1.Notification, queued func(id string) bool) error {
	for _, w := range n.GetWithdrawals() {
		if w.GetAnswer() == nil || queued(w.GetId()) {
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

// settleAgain keeps what a hub that had lost a notification says of it now; nothing for a final refusal. What the team
// or a person has done since stands. Its withdrawals follow it: only now the hub knows whom to ask to stop.
func (d *Desk) settleAgain(ctx context.Context, item queue.Item, decision *posternv1.Decision, receipt *posternv1.Receipt) error {
	return d.change(ctx, item.ID, func(tx store.Tx, n *localv1.Notification) error {
		if n.GetState() == stateAccepted && decision != nil {
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
		if err := d.withdrawAgain(tx, n, func(string) bool { return false }); err != nil {
			return err
		}
		if err := d.spool.Remove(tx, item); !errors.Is(err, queue.ErrGone) {
			return err
		}
		return nil
	})
}
