package delivery

import (
	"context"
	"errors"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/queue"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

var (
	// ErrNotCollecting: the directory says that the hub sends to this inbox; then it does not collect too.
	ErrNotCollecting = fault.New(fault.Precondition, "NOT_COLLECTING", "The directory says that this inbox is sent to, so it cannot collect. Ask the hub's operator to change its endpoint to collect.")
	errNotSent       = fault.New(fault.NotFound, "NOT_FOUND", "There is nothing here by that name for you.")
)

// Next begins the next delivery to an inbox that collects, exactly as one that is sent begins; nil when there is none to
// begin now. Its answer is awaited for SendTimeout, and until then no other begins. Whoever could not hand it over says
// so with Lost.
func (d *Delivery) Next(ctx context.Context, authority string) (*posternv1.Delivery, error) {
	_, address, err := d.route(authority)
	if err != nil {
		return nil, err
	}
	if address != "" {
		return nil, ErrNotCollecting
	}
	d.answered(authority) // it is there: what it did not answer when it was sent to keeps nothing from it
	for d.claim(authority) {
		out, again, err := d.next(ctx, authority)
		d.free(authority)
		if !again || err != nil {
			return out, err
		}
	}
	return nil, nil // the courier is just settling what is too late
}

// next is one attempt at Next; again says that something was settled or decided, and that there may be more.
func (d *Delivery) next(ctx context.Context, authority string) (out *posternv1.Delivery, again bool, err error) {
	l, worked, err := d.expire(ctx, authority)
	if err != nil || worked || len(l.due) == 0 || l.paused {
		return nil, worked, err
	}
	p, now := d.turn(authority, l.due), d.cfg.Clock()
	if d.blocked(authority, now).After(now) {
		return nil, false, nil
	}
	r, err := d.random()
	if err != nil {
		return nil, false, err
	}
	until := now.Add(d.cfg.SendTimeout)
	due := until.Add(d.cfg.Backoff.After(p.item.Attempts+1, r))
	if end := d.deadline(p); end.Before(due) {
		due = end
	}
	out, err = d.begin(ctx, p, due)
	if err != nil {
		return nil, true, d.notBegun(ctx, p, err)
	}
	d.spend(authority, now, p)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lane(authority).out = flight{id: out.GetDeliveryId(), until: until}
	return out, false, nil
}

// Lost says that a delivery could not be handed over, or that its inbox has gone away before it answered: the next may
// begin. This one comes again when it is due.
func (d *Delivery) Lost(authority, deliveryID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.lane(authority); l.out.id == deliveryID {
		l.out = flight{}
	}
}

// Gone says that an inbox that collects has gone away: whatever it was handed and did not answer is not awaited.
func (d *Delivery) Gone(authority string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lane(authority).out = flight{}
}

// Awaits reports whether the answer to a collected delivery is awaited still.
func (d *Delivery) Awaits(authority string) bool {
	now := d.cfg.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lane(authority)
	return l.out.id != "" && queue.Still(l.out.until, now, d.cfg.SendTimeout)
}

// Answered takes the answer of an inbox to a delivery that it collected, and returns the event that records it. The same
// answer again changes nothing. A delivery that is not there any more is not found: it was withdrawn or erased.
func (d *Delivery) Answered(ctx context.Context, from identity.Party, deliveryID string, answer *posternv1.DeliverResponse) (event [16]byte, err error) {
	defer d.Wake()
	defer d.Lost(from.ID, deliveryID)
	p, in, err := d.sent(ctx, from.ID, deliveryID)
	if err != nil {
		return event, err
	}
	o, err := verify(answer, from, deliveryID, p.about.subject(), d.cfg.Anchors, d.cfg.Clock())
	switch {
	case err != nil && in == d.outbox:
		return event, errors.Join(err, d.failed(ctx, p, err, true))
	case err != nil:
		return event, err
	case in == d.kept || in == d.parked && o.kind != logv1.Kind_KIND_DELIVERED:
		return p.about.Settled, nil
	}
	if in == d.outbox {
		if was, err := d.unsettled(ctx, p, o); was {
			return event, errors.Join(errNotSent, err)
		}
	}
	if event, err = d.settle(ctx, p, o); err == nil && event == [16]byte{} {
		err = errNotSent
	}
	return event, err
}

// sent finds a delivery to an authority that was begun, and the queue it is in.
func (d *Delivery) sent(ctx context.Context, authority, deliveryID string) (p pending, in *queue.Queue, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		for _, q := range []*queue.Queue{d.outbox, d.parked, d.kept} {
			it, ok, err := q.Find(s, authority, deliveryID)
			if err != nil {
				return err
			}
			if ok {
				p.item, in = it, q
				p.about, err = readWaiting(it)
				return err
			}
		}
		return nil
	})
	if err == nil && p.about.Number == 0 {
		err = errNotSent
	}
	return p, in, err
}
