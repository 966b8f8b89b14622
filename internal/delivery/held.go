package delivery

import (
	"context"
	"errors"
	"time"

	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/store"
)

// HoldBack keeps back what waits, as far as the Decider says. It is called before anything is sent. A crash in the middle
// has sent nothing, and the next start does the rest.
func (d *Delivery) HoldBack(ctx context.Context) error {
	var all []queue.Item
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		all, err = d.outbox.List(s)
		return err
	})
	for len(all) > 0 && err == nil {
		some := all[:min(len(all), chunk)]
		all = all[len(some):]
		err = d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
			for _, it := range some {
				if err := d.holdBack(tx, it); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return err
}

func (d *Delivery) holdBack(tx *ledger.Tx, it queue.Item) error {
	it, w, err := readItem(tx, d.outbox, it)
	if errors.Is(err, queue.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	until, err := d.heldUntil(tx, it, w)
	if err != nil || !it.DueTime.Before(until) {
		return err // it goes as ever, or is kept back already
	}
	w.Held, it.DueTime, it.Attempts = true, until, 0 // what is kept back is as if it had not been tried: see mayBeTried
	if it.Body, err = w.bytes(); err != nil {
		return err
	}
	return d.outbox.Retry(tx, it)
}

// heldUntil is until when an item is kept back; the zero time for not at all. Its deadline comes first, so that the desk
// hears in time that it was not delivered.
func (d *Delivery) heldUntil(r store.Reader, it queue.Item, w waiting) (time.Time, error) {
	if w.Stop != nil || d.cfg.Decider == nil {
		return time.Time{}, nil
	}
	until, err := d.cfg.Decider.HeldUntil(r, w.NotificationID, w.EventID)
	if end := d.deadline(pending{item: it, about: w}); end.Before(until) {
		until = end
	}
	return until, err
}

// LetGo makes everything due that is kept back (Outgoing.Held, HoldBack). A crash in the middle leaves the rest until it is due by
// itself, or until it is called again.
func (d *Delivery) LetGo(ctx context.Context) error {
	// What is appended now returns after whatever was released before, so that is seen below.
	if err := d.cfg.Ledger.Append(ctx, func(*ledger.Tx) error { return nil }); err != nil {
		return err
	}
	held, err := d.heldBack(ctx)
	for len(held) > 0 && err == nil {
		some := held[:min(len(held), chunk)]
		held = held[len(some):]
		err = d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
			for _, it := range some {
				if err := d.letGo(tx, it); err != nil {
					return err
				}
			}
			return nil
		})
	}
	d.Wake()
	return err
}

// HeldBack is how many deliveries are kept back.
func (d *Delivery) HeldBack(ctx context.Context) (int, error) {
	held, err := d.heldBack(ctx)
	return len(held), err
}

func (d *Delivery) heldBack(ctx context.Context) (held []queue.Item, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		held = nil
		all, err := d.outbox.List(s)
		for _, it := range all {
			if w, err := readWaiting(it); err == nil && w.Held {
				held = append(held, it)
			}
		}
		return err
	})
	return held, err
}

func (d *Delivery) letGo(tx *ledger.Tx, it queue.Item) error {
	it, w, err := readItem(tx, d.outbox, it)
	if errors.Is(err, queue.ErrGone) {
		return nil // withdrawn, or decided again, since we looked
	}
	if err != nil || !w.Held {
		return err
	}
	w.Held, it.DueTime = false, d.cfg.Clock()
	if it.Body, err = w.bytes(); err != nil {
		return err
	}
	return d.outbox.Retry(tx, it)
}
