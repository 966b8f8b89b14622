package delivery

import (
	"context"
	"errors"
	"time"

	"postern/internal/ledger"
	"postern/internal/queue"
)

// What is due later than anything is ever put off was put off by a clock that was ahead, and is due now (queue.Still). Which
// of two clocks was wrong nobody knows: so the time at which something was put stays, and until then it has waited since it
// was found.

// longestWait is the longest from one attempt to the next.
func (d *Delivery) longestWait() time.Duration {
	return max(d.cfg.Backoff.Max+d.cfg.SendTimeout, queue.MaxAsked)
}

// mayBeTried is when an item may be tried: when it is due, or now, where a clock that was ahead says when.
func (d *Delivery) mayBeTried(it queue.Item, now time.Time) time.Time {
	late := it.DueTime.After(now) && it.Ready(now, d.longestWait())
	if !late && !it.EnqueueTime.After(now) {
		return it.DueTime
	}
	w, err := readWaiting(it)
	if err != nil || w.Held && it.Attempts == 0 || !late && !(pending{item: it, about: w}).ahead(now) {
		return it.DueTime
	}
	return now
}

// ahead reports whether a delivery was put by a clock that was ahead, and nobody has found that yet.
func (p pending) ahead(now time.Time) bool {
	seen := p.about.SeenTime
	return p.item.EnqueueTime.After(now) && (seen.IsZero() || seen.After(now))
}

// since is from when on a delivery has waited.
func (p pending) since(now time.Time) time.Time {
	if p.item.EnqueueTime.After(now) && !p.about.SeenTime.IsZero() {
		return p.about.SeenTime
	}
	return p.item.EnqueueTime
}

// setRight makes an item due now that mayBeTried found to be so.
func (d *Delivery) setRight(ctx context.Context, it queue.Item) error {
	err := d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
		now := d.cfg.Clock()
		it, w, err := readItem(tx, d.outbox, it)
		if err != nil {
			return err
		}
		if (pending{item: it, about: w}).ahead(now) {
			w.SeenTime = now
		}
		if it.Body, err = w.bytes(); err != nil {
			return err
		}
		it.DueTime = now
		return d.outbox.Retry(tx, it)
	})
	if errors.Is(err, queue.ErrGone) {
		return nil // settled or withdrawn meanwhile
	}
	return err
}
