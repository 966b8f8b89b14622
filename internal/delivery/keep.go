package delivery

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"postern/internal/form"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// contentDays is how long content stays where no agreement says so any more.
const contentDays = 14

// maxReturns is how often a delivery is brought back: an inbox that never counts it, although it has it, must not have
// it sent for ever.
const maxReturns = 8

// chunk is how many deliveries one transaction moves: enough to be quick, and far below any store's limit.
const chunk = 32

// contentLife is how long released content is kept after it was acknowledged or given up.
func (d *Delivery) contentLife(sender, authority string, now time.Time) time.Duration {
	days := uint32(contentDays)
	if dir := d.cfg.Directory(); dir != nil {
		if p, err := identity.ParseURI(sender); err == nil {
			if a, ok := dir.Agreement(p.ID, authority, form.Today(now)); ok {
				days = a.GetContentDays()
			}
		}
	}
	return time.Duration(days) * 24 * time.Hour
}

// keep moves an acknowledged delivery to where a restored inbox gets it from.
func (d *Delivery) keep(tx *ledger.Tx, it queue.Item, w waiting) error {
	n, err := readNumbers(tx, it.Destination)
	if err != nil {
		return err
	}
	if w.Number > n.acknowledged {
		n.acknowledged = w.Number
		if err := n.write(tx, it.Destination); err != nil {
			return err
		}
	}
	if err := d.moved(tx, it, w, func(rel *Release) { rel.Number = w.Number }); err != nil {
		return err
	}
	if it.Body, err = w.bytes(); err != nil {
		return err
	}
	it.Sequence = w.Number
	return d.kept.Put(tx, it)
}

// park moves a delivery that was given up to where an operator finds it.
func (d *Delivery) park(tx *ledger.Tx, it queue.Item, w waiting) (err error) {
	if it.Body, err = w.bytes(); err != nil {
		return err
	}
	return d.parked.Put(tx, it)
}

// moved changes where a notification stands, if this is still its newest delivery.
func (d *Delivery) moved(tx *ledger.Tx, it queue.Item, w waiting, change func(*Release)) error {
	if w.Stop != nil {
		return nil
	}
	name := w.releaseName(it.Destination)
	rel, ok, err := d.Release(tx, name)
	if err != nil || !ok || rel.DeliveryID != it.ID {
		return err
	}
	change(&rel)
	return putRelease(tx, name, rel)
}

// Claim takes what an inbox says of how far it holds all that it has acknowledged. What it has lost since, being
// restored from an older copy, is put into the outbox again while its content is kept. Nothing of this reaches a desk.
func (d *Delivery) Claim(ctx context.Context, authority string, held *posternv1.Held) error {
	if held == nil {
		return nil
	}
	highest := held.GetHighestSequence()
	if held.GetOrigin() != d.cfg.Ledger.Origin(ledger.Sent) {
		highest = 0 // it counts the deliveries of another hub, or of this one's earlier life
	}
	var lost []queue.Item
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		if lost, err = d.kept.Line(s, authority, highest+1, 1<<20); err != nil {
			return err
		}
		lost = slices.DeleteFunc(lost, func(it queue.Item) bool {
			w, err := readWaiting(it)
			return err != nil || w.Returned >= maxReturns
		})
		return nil
	})
	if err != nil {
		return err
	}
	if len(lost) == 0 {
		return d.forgo(ctx, authority, highest)
	}
	d.cfg.Log.WarnContext(ctx, "an inbox has lost what it had acknowledged, so that is sent again", "authority", authority, "deliveries", len(lost))
	// The newest first, and only with the oldest does the count go back: after a crash in between the inbox still says
	// that it lacks the others.
	for len(lost) > 0 {
		from := max(0, len(lost)-chunk)
		if err := d.bringBack(ctx, authority, lost[from:], from == 0, highest); err != nil {
			return err
		}
		lost = lost[:from]
	}
	d.Wake()
	return nil
}

// forgo lets an inbox count on from where it is, when what it lost is not kept any more: withdrawn, or erased on schedule.
func (d *Delivery) forgo(ctx context.Context, authority string, highest uint64) error {
	behind := false
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		n, err := readNumbers(s, authority)
		behind = n.acknowledged > highest
		return err
	})
	if err != nil || !behind {
		return err
	}
	d.cfg.Log.ErrorContext(ctx, "an inbox has lost what it had acknowledged, and its content is not kept any more", "authority", authority)
	return d.bringBack(ctx, authority, nil, true, highest)
}

func (d *Delivery) bringBack(ctx context.Context, authority string, lost []queue.Item, last bool, highest uint64) error {
	return d.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		for _, it := range lost {
			it, err := d.kept.Get(tx, it)
			if err == queue.ErrGone {
				continue // withdrawn, erased, or brought back already
			}
			if err != nil {
				return err
			}
			if err := d.kept.Remove(tx, it); err != nil {
				return err
			}
			w, err := readWaiting(it)
			if err != nil {
				return err
			}
			w.Returned++
			if it.Body, err = w.bytes(); err != nil {
				return err
			}
			if err := d.enter(tx, it); err != nil {
				return err
			}
		}
		n, err := readNumbers(tx, authority)
		if err != nil || !last || n.acknowledged <= highest {
			return err
		}
		n.acknowledged = highest
		return n.write(tx, authority)
	})
}

// enter puts an item from another queue at the end of its line, to be sent as if for the first time.
func (d *Delivery) enter(tx *ledger.Tx, it queue.Item) error {
	w, err := readWaiting(it)
	if err != nil {
		return err
	}
	place, err := next(tx, schema.HubSequence, it.Destination)
	if err != nil {
		return err
	}
	now := d.cfg.Clock()
	w.SeenTime = time.Time{}
	if w.Stop == nil {
		place |= afterStops
	} else {
		w.ValidUntil = now.Add(StopLife)
	}
	if err := d.moved(tx, it, w, func(rel *Release) { rel.Sequence = place }); err != nil {
		return err
	}
	it.Sequence, it.Attempts, it.EnqueueTime, it.DueTime = place, 0, now, now
	until, err := d.heldUntil(tx, it, w)
	if err != nil {
		return err
	}
	w.Failures, w.Why, w.Held = 0, "", until.After(now)
	if w.Held {
		it.DueTime = until
	}
	if it.Body, err = w.bytes(); err != nil {
		return err
	}
	return d.outbox.Put(tx, it)
}

// StepRetention deletes the content of some deliveries whose time is over at now, a leaf for each, and reports whether there
// were any.
func (d *Delivery) StepRetention(ctx context.Context, now time.Time) (worked bool, err error) {
	for _, q := range []*queue.Queue{d.kept, d.parked} {
		var over []queue.Item
		err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
			all, err := q.List(s)
			over = slices.DeleteFunc(all, func(it queue.Item) bool {
				w, err := readWaiting(it)
				return err != nil || now.Before(w.EraseTime)
			})
			return err
		})
		if err != nil {
			return worked, err
		}
		if over = over[:min(len(over), chunk)]; len(over) == 0 {
			continue
		}
		worked = true
		if err := d.erase(ctx, q, over); err != nil {
			return worked, err
		}
		d.cfg.Log.InfoContext(ctx, "content of deliveries deleted on schedule", slog.Int("deliveries", len(over)))
	}
	return worked, nil
}

func (d *Delivery) erase(ctx context.Context, q *queue.Queue, over []queue.Item) error {
	return d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error { // it makes room
		for _, it := range over {
			was, err := d.drop(tx, q, it)
			if err != nil {
				return err
			}
			if !was {
				continue // withdrawn, or on its way again
			}
			w, err := readWaiting(it)
			if err != nil {
				return err
			}
			// In the received log: when it goes depends on when the inbox took it.
			_, err = tx.Record(ledger.Received, ledger.Event{
				Kind:    logv1.Kind_KIND_ERASED,
				Time:    d.cfg.Clock(),
				Core:    &logv1.Core{ManifestSha256: w.ManifestSHA256, FollowsEvent: w.Settled[:], SubjectSha256: w.Stop},
				Details: &logv1.Details{NotificationId: w.NotificationID, Sender: senderOf(w.Sender), Authority: it.Destination, DeliveryId: it.ID},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
