package delivery

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/store"
)

// DeadLetter is a delivery that was given up.
type DeadLetter struct {
	DeliveryID     string
	NotificationID string
	Authority      string
	Stop           bool      // a stop request, and not the notification itself
	Why            string    // in one word
	Attempts       uint32    // how often it was tried
	EnqueueTime    time.Time // since when it waited
	ParkTime       time.Time // when it was given up
	EraseTime      time.Time // when its content goes

	item queue.Item
}

// DeadLetters lists what was given up and whose content is still there, by authority and age.
func (d *Delivery) DeadLetters(ctx context.Context) (all []DeadLetter, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		items, err := d.parked.List(s)
		if err != nil {
			return err
		}
		for _, it := range items {
			w, err := readWaiting(it)
			if err != nil {
				return err
			}
			all = append(all, DeadLetter{DeliveryID: it.ID, NotificationID: w.NotificationID, Authority: it.Destination, Stop: w.Stop != nil,
				Why: w.Why, Attempts: it.Attempts, EnqueueTime: it.EnqueueTime, ParkTime: w.ParkTime, EraseTime: w.EraseTime, item: it})
		}
		return nil
	})
	return all, err
}

var errNotParked = fault.New(fault.NotFound, "NO_DEAD_LETTER", "Nothing that was given up has this id or reference. `postern hub dead-letters` lists all.")

// Requeue sends again what was given up, named by the id or reference of the notification or by the id of the delivery.
// The authority's time begins anew; what has gone stale meanwhile is decided again before it goes. The desk was told
// UNDELIVERED, and hears DELIVERED if it is.
func (d *Delivery) Requeue(ctx context.Context, name string) ([]DeadLetter, error) {
	all, err := d.DeadLetters(ctx)
	if err != nil {
		return nil, err
	}
	reference, _ := envelope.ParseReference(name) // a name that is none matches no reference
	all = slices.DeleteFunc(all, func(l DeadLetter) bool {
		return name != l.DeliveryID && name != l.NotificationID && (reference == "" || reference != envelope.Reference(l.NotificationID))
	})
	for _, l := range all {
		if l.NotificationID != all[0].NotificationID {
			return nil, fault.New(fault.Precondition, "AMBIGUOUS", "More than one notification has this reference. Use the id.")
		}
	}
	if len(all) == 0 {
		return nil, errNotParked
	}
	err = d.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		moved := 0
		for _, l := range all {
			it, err := d.parked.Get(tx, l.item)
			if err == queue.ErrGone {
				continue // withdrawn, erased or sent again meanwhile
			}
			if err != nil {
				return err
			}
			if err := d.parked.Remove(tx, it); err != nil {
				return err
			}
			if err := d.enter(tx, it); err != nil {
				return err
			}
			moved++
		}
		if moved == 0 {
			return errNotParked
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		d.cfg.Log.WarnContext(ctx, "sent again by the operator", slog.String("authority", l.Authority), slog.String("delivery", l.DeliveryID))
	}
	d.Wake()
	return all, nil
}
