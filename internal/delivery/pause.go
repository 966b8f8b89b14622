package delivery

import (
	"context"
	"time"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
)

// pauseKey is the row of schema.HubMeta that is there while deliveries are paused: since when, RFC 3339.
var pauseKey = []byte("deliveries paused since")

// errPaused is why an attempt was not begun.
var errPaused = fault.New(fault.Unavailable, "PAUSED", "Deliveries are paused.")

// SetPause pauses deliveries or lets them go on, until it is called again: a restart changes nothing. After it returns,
// no attempt begins; one that is under way ends and is recorded. What runs out of time while paused is settled as
// undelivered all the same, so that the desk hears and a person telephones. It returns since when they are paused, the
// zero time when they are not. It is done on a full disk too, where deliveries go on from what is kept back.
func (d *Delivery) SetPause(ctx context.Context, pause bool) (since time.Time, err error) {
	now := d.cfg.Clock().UTC().Truncate(time.Second)
	err = d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
		var err error
		switch since, err = pausedSince(tx); {
		case err != nil || pause != since.IsZero():
			return err // as it is already
		case pause:
			since = now
			return tx.Put(schema.HubMeta, pauseKey, []byte(now.Format(time.RFC3339)))
		}
		since = time.Time{}
		return tx.Delete(schema.HubMeta, pauseKey)
	})
	d.Wake()
	if err != nil {
		return time.Time{}, err // since belongs to the sequencer still, when the time ran out
	}
	return since, nil
}

// PausedSince returns since when deliveries are paused, the zero time when they are not.
func (d *Delivery) PausedSince(ctx context.Context) (since time.Time, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		since, err = pausedSince(s)
		return err
	})
	return since, err
}

func pausedSince(r store.Reader) (time.Time, error) {
	row, err := r.Get(schema.HubMeta, pauseKey)
	if err != nil || row == nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, string(row))
}
