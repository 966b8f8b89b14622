// Package lapse is the time by which a party destroys what cannot be had again.
//
// A clock that is years ahead, at a start or by a leap, would take everything for over. So this time goes on only as the party
// saw its clock go on. Of a stretch in which nobody looked one day counts at once, since that may be a leap; the rest is
// caught up at double pace. It guarantees that n days after a leap, however far, it is at most n+1 days ahead of where it would
// be without, that it is never ahead of the clock, and that a clock that was ahead and is set right leaves nothing behind. A
// party that was off for a month destroys what it should a month later than it might, and one whose clock was years behind,
// years later. It says nothing of what is put off or tried again: there a later time is judged by how long anything is ever
// put off (queue.Still).
package lapse

import (
	"context"
	"encoding/binary"
	"time"

	"postern/internal/store"
)

const (
	believed = int64(24 * time.Hour / time.Second) // of a stretch, at once
	often    = int64(time.Hour / time.Second)      // how often what was seen is written down
)

// Config says what a Clock goes by.
type Config struct {
	Store    store.Store
	Keyspace store.Keyspace // a party's settings; one row of it is the clock's
	Clock    func() time.Time
	Before   time.Time // a moment that has been, by what there is, for the first look of all; the zero time to believe that look
}

// Clock is the time of one party. It may be used from any goroutine, and wants to be asked at least once a day.
type Clock struct{ cfg Config }

// New makes a Clock.
func New(c Config) *Clock { return &Clock{c} }

// row is the name of the row: when the clock was looked at last, and how far this time is behind it; seconds, BE.
var row = []byte("time seen to pass")

// Now is the time by which what is over is over.
func (c *Clock) Now(ctx context.Context) (time.Time, error) {
	now := c.cfg.Clock().Unix()
	var behind int64
	var write bool
	look := func(r store.Reader) error {
		b, err := r.Get(c.cfg.Keyspace, row)
		if err != nil {
			return err
		}
		last := now
		if behind, write = 0, len(b) != 16; !write {
			last, behind = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
		} else if !c.cfg.Before.IsZero() {
			last = min(now, c.cfg.Before.Unix())
		}
		switch gap := now - last; {
		case gap < 0: // it was set back, and is ahead by so much less
			behind, write = max(0, behind+gap), true
		case gap > believed:
			behind, write = behind+gap-believed, true
		case gap >= often || write:
			behind, write = max(0, behind-gap), true
		}
		return nil
	}
	err := c.cfg.Store.View(ctx, func(s store.Snapshot) error { return look(s) })
	if err == nil && write {
		err = store.Reserved(c.cfg.Store).Update(ctx, func(tx store.Tx) error { // it decides on what makes room
			if err := look(tx); err != nil || !write {
				return err
			}
			b := binary.BigEndian.AppendUint64(nil, uint64(now))
			return tx.Put(c.cfg.Keyspace, row, binary.BigEndian.AppendUint64(b, uint64(behind)))
		})
	}
	return time.Unix(now-behind, 0).UTC(), err
}
