package delivery

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
)

// pending is the head of a line.
type pending struct {
	item   queue.Item
	about  waiting
	sealed []byte    // the vault-sealed Delivery
	paused time.Time // since when no attempt may begin; zero when one may
}

// Run sends what is due until ctx ends, and returns nil then; or an error when the store can no longer be read. Each
// line has a goroutine of its own while it has work, so there are never more of them than destinations.
func (d *Delivery) Run(ctx context.Context) error {
	var lines sync.WaitGroup
	defer lines.Wait()
	for {
		wait, err := d.dispatch(ctx, &lines)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// dispatch starts a goroutine for every line whose head is due and which has none, and returns how long to sleep.
func (d *Delivery) dispatch(ctx context.Context, lines *sync.WaitGroup) (time.Duration, error) {
	wait := d.cfg.IdlePoll
	due := map[string]time.Time{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		destinations, err := d.queue.Destinations(s)
		if err != nil {
			return err
		}
		for _, dest := range destinations {
			it, ok, err := d.queue.Head(s, dest)
			if err != nil {
				return err
			}
			if ok {
				due[dest] = it.DueTime
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	now := d.cfg.Clock()
	for dest, at := range due {
		if at.After(now) {
			wait = min(wait, at.Sub(now))
		} else if d.claim(dest) {
			lines.Go(func() { d.line(ctx, dest) })
		}
	}
	return wait, nil
}

// line works through a claimed line until its head is not due or something of ours fails.
func (d *Delivery) line(ctx context.Context, dest string) {
	defer d.free(dest)
	for {
		worked, err := d.attempt(ctx, dest)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, errPaused) {
				d.cfg.Log.ErrorContext(ctx, "delivery stopped short", slog.String("authority", dest), reason(err))
			}
			return // without Wake: Run comes back after its sleep, not at once
		}
		if !worked {
			d.Wake() // for what came while this line was still claimed
			return
		}
	}
}

// Step makes at most one attempt for each destination, in ascending order, and says whether it made any.
func (d *Delivery) Step(ctx context.Context) (worked bool, err error) {
	var destinations []string
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		destinations, err = d.queue.Destinations(s)
		return err
	})
	if err != nil {
		return false, err
	}
	var errs []error
	for _, dest := range destinations {
		if !d.claim(dest) {
			continue
		}
		did, err := d.attempt(ctx, dest)
		d.free(dest)
		worked = worked || did
		if !errors.Is(err, errPaused) {
			errs = append(errs, err)
		}
	}
	return worked, errors.Join(errs...)
}

// attempt deals with the head of a line if it is due. What goes wrong on the other side is kept for a later attempt
// and is no error; an error is ours: the store, the ledger, or ctx ending.
func (d *Delivery) attempt(ctx context.Context, dest string) (worked bool, err error) {
	p, ok, err := d.head(ctx, dest)
	now := d.cfg.Clock()
	if err != nil || !ok || now.Before(p.item.DueTime) {
		return false, err
	}
	if why, over := d.over(p, now); over {
		return true, d.settle(ctx, p, undelivered(why))
	}
	if !p.paused.IsZero() {
		return false, errPaused
	}
	o, err := d.send(ctx, p)
	if err == nil {
		err = failpoint.Hit(failpoint.DeliveryAnswered)
	}
	if err == nil {
		// A crash just here loses the answer, not the delivery: it is sent again, and the inbox, which knows it by its
		// id, gives the same answer without showing it twice.
		return true, d.settle(ctx, p, o)
	}
	if errors.Is(err, queue.ErrGone) {
		return true, nil // withdrawn or replaced since we looked: nothing was sent
	}
	if ctx.Err() != nil {
		return false, err // we are stopping; that is not the inbox's failure
	}
	return true, d.failed(ctx, p, err)
}

func (d *Delivery) head(ctx context.Context, dest string) (p pending, ok bool, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		p.item, ok, err = d.queue.Head(s, dest)
		if err != nil || !ok {
			return err
		}
		if p.paused, err = pausedSince(s); err != nil {
			return err
		}
		p.sealed, err = s.Get(schema.HubOutboxBody, p.item.Key())
		return err
	})
	if err != nil || !ok {
		return pending{}, false, err
	}
	if err := json.Unmarshal(p.item.Body, &p.about); err != nil {
		return pending{}, false, fault.New(fault.Internal, "OUTBOX_ITEM", "A delivery in the outbox cannot be read.").Because(err)
	}
	return p, true, nil
}

// over says whether it is too late to send, and why.
func (d *Delivery) over(p pending, now time.Time) (why string, over bool) {
	if !now.Before(p.about.ValidUntil) {
		if p.about.Stop != nil {
			return "STOP_NOT_DELIVERED", true
		}
		return "DECISION_EXPIRED", true
	}
	if !now.Before(d.deadline(p)) {
		return "NOT_DELIVERED_IN_TIME", true
	}
	return "", false
}

// deadline is when the delivery is given up: when its decision expires or the authority's patience, whichever is first.
// A stop request waits as long as it may.
func (d *Delivery) deadline(p pending) time.Time {
	end := p.about.ValidUntil
	if p.about.Stop != nil {
		return end
	}
	if dir := d.cfg.Directory(); dir != nil {
		if a, ok := dir.Authority(p.item.Destination); ok {
			patience := p.item.EnqueueTime.Add(time.Duration(a.GetUndeliveredAfterHours()) * time.Hour)
			if patience.Before(end) {
				end = patience
			}
		}
	}
	return end
}

// failed keeps a delivery for a later attempt, or gives it up when the inbox has answered too often in a way that
// proves nothing: it may hold the delivery or not, so the ledger says undelivered and never delivery_refused, which is
// a statement of the inbox's own.
func (d *Delivery) failed(ctx context.Context, p pending, cause error) error {
	if errors.Is(cause, errBadAnswer) {
		if p.about.BadAnswers++; p.about.BadAnswers >= d.cfg.BadAnswers {
			return d.settle(ctx, p, undelivered("ANSWER_NOT_VERIFIED"))
		}
	}
	r, err := d.random()
	if err != nil {
		return err
	}
	body, err := json.Marshal(p.about)
	if err != nil {
		return fault.From(err)
	}
	it := p.item
	it.Body = body
	it.Attempts++
	it.DueTime = d.cfg.Clock().Add(d.cfg.Backoff.After(it.Attempts, r))
	if end := d.deadline(p); end.Before(it.DueTime) {
		it.DueTime = end // so that the desk hears in time that it was not delivered
	}
	level := slog.LevelError // somebody has to look at it
	switch fault.KindOf(cause) {
	case fault.Unavailable, fault.Deadline, fault.Exhausted:
		level = slog.LevelWarn // it may pass by itself
	}
	d.cfg.Log.Log(ctx, level, "delivery failed and will be tried again", append(p.attrs(), reason(cause),
		slog.Uint64("attempts", uint64(it.Attempts)), slog.Time("due", it.DueTime))...)
	if err := failpoint.Hit(failpoint.DeliveryRetry); err != nil {
		return err
	}
	err = d.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error { return d.queue.Retry(tx, it) })
	if errors.Is(err, queue.ErrGone) {
		return nil // settled or withdrawn meanwhile
	}
	return err
}

// random draws the jitter: evenly from 0 up to but not 1.
func (d *Delivery) random() (float64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b [8]byte
	if _, err := d.cfg.Rand.Read(b[:]); err != nil {
		return 0, fault.From(err)
	}
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53), nil
}

// claim takes a line for one goroutine; free gives it back.
func (d *Delivery) claim(dest string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, taken := d.busy[dest]
	if !taken {
		d.busy[dest] = struct{}{}
	}
	return !taken
}

func (d *Delivery) free(dest string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, dest)
}

// attrs names a delivery in a log line: by organisation, ids and numbers, never by content.
func (p pending) attrs() []any {
	return []any{slog.String("authority", p.item.Destination), slog.String("delivery", p.item.ID), slog.Uint64("sequence", p.item.Sequence)}
}

// reason is what a log line may say of an error: its public reason.
func reason(err error) slog.Attr { return slog.String("reason", fault.From(err).Reason) }
