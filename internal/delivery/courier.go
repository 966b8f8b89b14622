package delivery

import (
	"context"
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
	logv1 "postern/proto/postern/log/v1"
)

// pending is a delivery that is due.
type pending struct {
	item   queue.Item
	about  waiting
	sealed []byte // the vault-sealed Delivery
}

// look is what a line holds at one moment.
type look struct {
	due     []pending // the first stop request and the first notification that are due, in the order in which they go
	soonest time.Time // when nothing is due: when something will be; zero when nothing waits
	paused  bool
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

// dispatch starts a goroutine for every line that has something due and no goroutine, and returns how long to sleep.
func (d *Delivery) dispatch(ctx context.Context, lines *sync.WaitGroup) (time.Duration, error) {
	now, wait := d.cfg.Clock(), d.cfg.IdlePoll
	due := map[string]bool{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		destinations, err := d.outbox.Destinations(s)
		if err != nil {
			return err
		}
		for _, dest := range destinations {
			l, err := d.look(s, dest, now, false)
			if err != nil {
				return err
			}
			at := l.soonest
			if len(l.due) > 0 && !d.anyOver(l, now) {
				at = d.blocked(dest, now)
			}
			if at.After(now) {
				wait = min(wait, at.Sub(now))
			} else {
				due[dest] = true
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for dest := range due {
		if d.claim(dest) {
			lines.Go(func() { d.line(ctx, dest) })
		}
	}
	return wait, nil
}

// line works through a claimed line until nothing of it can go now or something of ours fails.
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
			return
		}
	}
}

// Step makes at most one attempt for each destination, in ascending order, and says whether it made any.
func (d *Delivery) Step(ctx context.Context) (worked bool, err error) {
	var destinations []string
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		destinations, err = d.outbox.Destinations(s)
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

// attempt deals with what is due in a claimed line. What goes wrong on the other side is kept for a later attempt and
// is no error; an error is ours: the store, the ledger, or ctx ending.
func (d *Delivery) attempt(ctx context.Context, dest string) (worked bool, err error) {
	l, worked, err := d.expire(ctx, dest)
	if err != nil || worked || len(l.due) == 0 {
		return worked, err
	}
	if l.paused {
		return false, errPaused
	}
	p, now := d.turn(dest, l.due), d.cfg.Clock()
	to, address, err := d.route(dest)
	switch {
	case err != nil:
		return true, d.unrouted(ctx, p, err)
	case address == "" || d.blocked(dest, now).After(now):
		return false, nil // it collects, or has to be left alone for a while
	}
	out, err := d.begin(ctx, p, time.Time{})
	if err != nil {
		return true, d.notBegun(ctx, p, err)
	}
	d.spend(dest, now, p)
	o, held, err := d.send(ctx, to, address, p, out)
	if ctx.Err() != nil && err != nil {
		return false, err // we are stopping; that is not the inbox's failure
	}
	if err != nil {
		return true, errors.Join(d.broke(dest, d.cfg.Clock()), d.failed(ctx, p, err, byItself(err)))
	}
	d.answered(dest)
	if was, err := d.unsettled(ctx, p, o); was {
		return true, err
	}
	// A crash just here loses the answer, not the delivery: it is sent again, and the inbox, which knows it by its id,
	// gives the same answer without showing it twice.
	if _, err := d.settle(ctx, p, o); err != nil {
		return true, err
	}
	return true, d.Claim(ctx, dest, held)
}

// expire looks at a line, and settles one delivery of it whose time is over, or puts one right whose times are of a clock
// that was ahead; then it has worked. It does so also when no send may begin: the desk must hear in time.
func (d *Delivery) expire(ctx context.Context, dest string) (l look, worked bool, err error) {
	now := d.cfg.Clock()
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		l, err = d.look(s, dest, now, true)
		return err
	})
	if err != nil {
		return l, false, err
	}
	for _, p := range l.due {
		if p.item.DueTime.After(now) || p.ahead(now) {
			return l, true, d.setRight(ctx, p.item)
		}
		if why, over := d.over(p, now); over {
			_, err := d.settle(ctx, p, undelivered(why))
			return l, true, err
		}
	}
	return l, false, nil
}

// look reads what is due in a line; with content, what would be sent too.
func (d *Delivery) look(s store.Snapshot, dest string, now time.Time, content bool) (l look, err error) {
	for _, class := range [][2]uint64{{0, afterStops}, {afterStops, afterStops << 1}} {
		it, ok, soonest, err := d.outbox.DueBy(s, dest, class[0], class[1], now, func(it queue.Item) time.Time { return d.mayBeTried(it, now) })
		if err != nil {
			return l, err
		}
		if !ok {
			if !soonest.IsZero() && (l.soonest.IsZero() || soonest.Before(l.soonest)) {
				l.soonest = soonest
			}
			continue
		}
		p := pending{item: it}
		if p.about, err = readWaiting(it); err != nil {
			return l, err
		}
		if content {
			if p.sealed, err = s.Get(schema.HubOutboxBody, p.about.contentKey(it)); err != nil {
				return l, err
			}
		}
		l.due = append(l.due, p)
	}
	since, err := pausedSince(s)
	l.paused = !since.IsZero()
	return l, err
}

func (d *Delivery) anyOver(l look, now time.Time) bool {
	for _, p := range l.due {
		if _, over := d.over(p, now); over {
			return true
		}
	}
	return false
}

// over says whether it is too late to send, and why.
func (d *Delivery) over(p pending, now time.Time) (why string, over bool) {
	switch {
	case p.about.Stop != nil:
		return "STOP_NOT_DELIVERED", !now.Before(p.about.ValidUntil)
	case d.cfg.Decider == nil && !now.Before(p.about.ValidUntil):
		return "DECISION_EXPIRED", true
	}
	return "NOT_DELIVERED_IN_TIME", !now.Before(d.deadline(p))
}

// longestPatience is that of an authority which the directory does not know any more: the longest that one can have.
const longestPatience = 240 * time.Hour

// deadline is when the delivery is given up: when the authority's patience ends. A stop request waits as long as it may.
func (d *Delivery) deadline(p pending) time.Time {
	if p.about.Stop != nil {
		return p.about.ValidUntil
	}
	patience := longestPatience
	if dir := d.cfg.Directory(); dir != nil {
		if a, ok := dir.Authority(p.item.Destination); ok {
			patience = time.Duration(a.GetUndeliveredAfterHours()) * time.Hour
		}
	}
	end := p.since(d.cfg.Clock()).Add(patience)
	if d.cfg.Decider == nil && p.about.ValidUntil.Before(end) {
		end = p.about.ValidUntil
	}
	return end
}

// unrouted deals with a delivery to which there is no way. Where its authority has left the directory, what it rests on has
// changed: it is decided again now, and does not wait for a way that will not come.
func (d *Delivery) unrouted(ctx context.Context, p pending, cause error) error {
	stale := false
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		stale, err = d.stale(s, p.about)
		return err
	})
	switch {
	case err != nil:
		return err
	case stale && errors.Is(cause, errNoEndpoint):
		return d.notBegun(ctx, p, errStale)
	}
	return d.failed(ctx, p, cause, false)
}

// notBegun deals with a send that could not begin.
func (d *Delivery) notBegun(ctx context.Context, p pending, cause error) error {
	switch {
	case errors.Is(cause, queue.ErrGone):
		return nil // withdrawn or replaced since we looked: nothing was sent
	case errors.Is(cause, errStale) && p.about.passedOn():
		// Deciding again would be a new leaf for the team that passed it on to read; they pass it on again themselves.
		_, err := d.settle(ctx, p, undelivered("DECISION_STALE"))
		return err
	case errors.Is(cause, errStale):
		err := d.cfg.Decider.DecideAgain(ctx, p.about.NotificationID)
		if err == nil || ctx.Err() != nil {
			return err
		}
		cause = err
	case ctx.Err() != nil:
		return cause
	}
	return d.failed(ctx, p, cause, atFault(cause))
}

// unsettled deals with a refusal that ends nothing, and reports whether it is one: that of a stop request, which is tried
// until its time is over whatever an inbox says, since the desk was told that its team is asked; and that of a decision
// that ran out on the way.
func (d *Delivery) unsettled(ctx context.Context, p pending, o outcome) (was bool, err error) {
	switch {
	case o.kind != logv1.Kind_KIND_DELIVERY_REFUSED:
		return false, nil
	case p.about.Stop != nil:
		return true, d.failed(ctx, p, fault.New(fault.Precondition, o.why, "The inbox refused a stop request."), true)
	case o.ranOut() && d.cfg.Decider != nil && !p.about.again(): // what the inbox has had before is never decided again
		return true, d.ranOut(ctx, p)
	}
	return false, nil
}

// ranOut deals with a delivery whose decision held when its send began, and did not any more when it arrived. The inbox
// was right to refuse it; the family is not given up for that. It is decided again, or, where only the clock of the inbox
// is ahead of ours, tried again.
func (d *Delivery) ranOut(ctx context.Context, p pending) error {
	if d.cfg.Clock().Before(p.about.ValidUntil) {
		return d.failed(ctx, p, errStale, true)
	}
	return d.notBegun(ctx, p, errStale)
}

// failed keeps a delivery for a later attempt. A notification that has failed too often by itself is parked: it may be with
// the team or not, so the ledger says undelivered and never delivery_refused, which is a statement of the inbox's own.
func (d *Delivery) failed(ctx context.Context, p pending, cause error, itself bool) error {
	if itself && p.about.Stop == nil {
		if p.about.Failures++; p.about.Failures >= d.cfg.Tries {
			_, err := d.settle(ctx, p, undelivered(giveUpReason(cause)))
			return err
		}
	}
	r, err := d.random()
	if err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.DeliveryRetry); err != nil {
		return err
	}
	var it queue.Item
	err = d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
		var about waiting
		var err error
		if it, about, err = readItem(tx, d.outbox, p.item); err != nil {
			return err
		}
		about.Failures = p.about.Failures
		if it.Body, err = about.bytes(); err != nil {
			return err
		}
		it.Attempts++
		it.DueTime = d.cfg.Clock().Add(d.cfg.Backoff.Asked(it.Attempts, r, fault.From(cause).RetryAfter))
		if end := d.deadline(p); end.Before(it.DueTime) {
			it.DueTime = end // so that the desk hears in time that it was not delivered
		}
		return d.outbox.Retry(tx, it)
	})
	if errors.Is(err, queue.ErrGone) {
		return nil // settled or withdrawn meanwhile
	}
	if err != nil {
		return err
	}
	level := slog.LevelError // somebody has to look at it
	switch fault.KindOf(cause) {
	case fault.Unavailable, fault.Deadline, fault.Exhausted:
		level = slog.LevelWarn // it may pass by itself
	}
	d.cfg.Log.Log(ctx, level, "delivery failed and will be tried again", append(p.attrs(), reason(cause),
		slog.Uint64("attempts", uint64(it.Attempts)), slog.Time("due", it.DueTime))...)
	return nil
}

// giveUpReason names why a delivery was parked, for auditors and operators; never in the other side's words.
func giveUpReason(cause error) string {
	switch f := fault.From(cause); {
	case errors.Is(f, errBadAnswer), errors.Is(f, errPanicked), errors.Is(f, errNoBody), errors.Is(f, errNotCovered):
		return f.Reason
	}
	return "FAILS_EACH_TIME"
}

// attrs names a delivery in a log line: by organisation, ids and numbers, never by content.
func (p pending) attrs() []any {
	return []any{slog.String("authority", p.item.Destination), slog.String("delivery", p.item.ID), slog.Uint64("sequence", p.about.Number)}
}

// reason is what a log line may say of an error: its public reason.
func reason(err error) slog.Attr { return slog.String("reason", fault.From(err).Reason) }
