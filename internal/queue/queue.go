// Package queue is durable retry: items that wait in a keyspace, one line for each destination, in the order of their
// sequence numbers.
//
// A queue holds no state of its own and starts nothing; it reads and writes in the caller's transactions, so putting
// an item commits with whatever caused it and removing one with whatever settled it. It guarantees that the head of a
// line is its lowest sequence number and that a line never shows another's items. It does not look into a body, does
// not wait and does not say when to give up: its owner does.
package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/store"
)

// Item is one piece of work that waits for its destination.
type Item struct {
	Destination string    // whose line it stands in; not empty and without a zero byte
	Sequence    uint64    // its place in the line
	ID          string    // the owner's name for it
	Body        []byte    // the owner's; opaque here, and not sealed: no personal value
	Attempts    uint32    // how often it was tried
	Refusals    uint32    // how often its destination said no to it; the owner's to count
	EnqueueTime time.Time // when it was put
	DueTime     time.Time // when it may be tried next
}

// Key is the item's place as bytes, in the order of its line: for what the owner keeps beside it in a keyspace of its own.
func (it Item) Key() []byte { return key(it.Destination, it.Sequence) }

// Ready reports whether an item may be tried at now.
func (it Item) Ready(now time.Time, longest time.Duration) bool {
	return !Still(it.DueTime, now, longest)
}

// Config says where a queue keeps its items.
type Config struct {
	Keyspace store.Keyspace // the queue's alone
}

// Queue is a queue in one keyspace. It may be used from any goroutine.
type Queue struct{ ks store.Keyspace }

// New makes a queue.
func New(c Config) *Queue { return &Queue{c.Keyspace} }

// Faults of a queue; compare with errors.Is.
var (
	// ErrTaken: another item stands in this place of the line.
	ErrTaken = fault.New(fault.Exists, "QUEUE_TAKEN", "Another item is already in this place of the queue.")
	// ErrGone: the item is no longer in the queue; somebody else settled it.
	ErrGone = fault.New(fault.NotFound, "QUEUE_GONE", "The item is no longer in the queue.")
	// ErrBadItem: the destination cannot be part of a key. A mistake in the program.
	ErrBadItem = fault.New(fault.Internal, "QUEUE_BAD_ITEM", "The program tried to queue an item without a proper destination.")
)

// row is the stored form of an item; destination and sequence are its key. New fields are added, none change.
type row struct {
	ID          string    `json:"id"`
	Body        []byte    `json:"body,omitempty"`
	Attempts    uint32    `json:"attempts,omitempty"`
	Refusals    uint32    `json:"refusals,omitempty"`
	EnqueueTime time.Time `json:"enqueue_time"`
	DueTime     time.Time `json:"due_time"`
}

// Put adds an item to the line of its destination, or returns ErrTaken.
func (q *Queue) Put(tx store.Tx, it Item) error {
	if it.Destination == "" || strings.IndexByte(it.Destination, 0) >= 0 {
		return ErrBadItem
	}
	old, err := tx.Get(q.ks, key(it.Destination, it.Sequence))
	if err != nil {
		return err
	}
	if old != nil {
		return ErrTaken
	}
	return q.write(tx, it)
}

// Remove takes an item out of its line, or returns ErrGone.
func (q *Queue) Remove(tx store.Tx, it Item) error {
	if err := q.present(tx, it); err != nil {
		return err
	}
	return tx.Delete(q.ks, key(it.Destination, it.Sequence))
}

// Retry keeps an item in its place with what changed: attempts, refusals, due time, body. It returns ErrGone rather than bring
// back an item that was removed while it was being tried.
func (q *Queue) Retry(tx store.Tx, it Item) error {
	if err := q.present(tx, it); err != nil {
		return err
	}
	return q.write(tx, it)
}

// Holds reports whether this very item is in the queue; only destination, sequence and id are looked at.
func (q *Queue) Holds(r store.Reader, it Item) (bool, error) {
	switch err := q.present(r, it); err {
	case nil:
		return true, nil
	case ErrGone:
		return false, nil
	default:
		return false, err
	}
}

// Get returns this very item as it is now, or ErrGone; only destination, sequence and id are looked at.
func (q *Queue) Get(r store.Reader, it Item) (Item, error) {
	b, err := r.Get(q.ks, key(it.Destination, it.Sequence))
	if err != nil {
		return Item{}, err
	}
	if b == nil {
		return Item{}, ErrGone
	}
	now, err := decode(key(it.Destination, it.Sequence), b)
	if err != nil {
		return Item{}, err
	}
	if now.ID != it.ID {
		return Item{}, ErrGone
	}
	return now, nil
}

func (q *Queue) present(r store.Reader, it Item) error {
	_, err := q.Get(r, it)
	return err
}

func (q *Queue) write(tx store.Tx, it Item) error {
	b, err := json.Marshal(row{it.ID, it.Body, it.Attempts, it.Refusals, it.EnqueueTime.UTC(), it.DueTime.UTC()})
	if err != nil {
		return fault.From(err)
	}
	return tx.PutOwn(q.ks, key(it.Destination, it.Sequence), b)
}

// Destinations lists the destinations for which something waits, in ascending order. It looks at one item a line, so
// a long line costs no more than a short one.
func (q *Queue) Destinations(s store.Snapshot) ([]string, error) {
	var all []string
	for from := []byte(nil); ; {
		var found string
		err := s.Scan(q.ks, from, nil, func(k, _ []byte) (bool, error) {
			found, _ = split(k)
			return false, nil
		})
		if err != nil || found == "" {
			return all, err
		}
		all = append(all, found)
		from = store.PrefixEnd(line(found))
	}
}

// Head returns the first item of a destination's line, and whether there is one.
func (q *Queue) Head(s store.Snapshot, dest string) (it Item, ok bool, err error) {
	err = s.Scan(q.ks, line(dest), store.PrefixEnd(line(dest)), func(k, v []byte) (bool, error) {
		it, err = decode(k, v)
		ok = err == nil
		return false, err
	})
	return it, ok, err
}

// DueBy returns the first item of a line, from one sequence number up to but not another, that may be tried at now, where
// its owner says from when on each may. When there is none, soonest says when the next one may be; zero when nothing waits
// there. It passes over what waits for a later moment, so one that fails holds up no other.
func (q *Queue) DueBy(s store.Snapshot, dest string, from, to uint64, now time.Time, at func(Item) time.Time) (it Item, ok bool, soonest time.Time, err error) {
	err = s.Scan(q.ks, key(dest, from), key(dest, to), func(k, v []byte) (bool, error) {
		next, err := decode(k, v)
		if err != nil {
			return false, err
		}
		due := at(next)
		if !due.After(now) {
			it, ok = next, true
			return false, nil
		}
		if soonest.IsZero() || due.Before(soonest) {
			soonest = due
		}
		return true, nil
	})
	return it, ok, soonest, err
}

// Find returns the item of a line that has an id, and whether there is one.
func (q *Queue) Find(s store.Snapshot, dest, id string) (it Item, ok bool, err error) {
	err = s.Scan(q.ks, line(dest), store.PrefixEnd(line(dest)), func(k, v []byte) (bool, error) {
		next, err := decode(k, v)
		if err == nil && next.ID == id {
			it, ok = next, true
		}
		return !ok, err
	})
	return it, ok, err
}

// Line returns at most limit items of a line from a sequence number on, in order.
func (q *Queue) Line(s store.Snapshot, dest string, from uint64, limit int) (items []Item, err error) {
	err = s.Scan(q.ks, key(dest, from), store.PrefixEnd(line(dest)), func(k, v []byte) (bool, error) {
		if len(items) >= limit {
			return false, nil
		}
		it, err := decode(k, v)
		items = append(items, it)
		return true, err
	})
	return items, err
}

// List returns every item, by destination and then in the order of its line.
func (q *Queue) List(s store.Snapshot) ([]Item, error) {
	var all []Item
	err := s.Scan(q.ks, nil, nil, func(k, v []byte) (bool, error) {
		it, err := decode(k, v)
		all = append(all, it)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// line is the prefix of a destination's keys: the zero byte keeps E06 apart from E0600.
func line(dest string) []byte { return append([]byte(dest), 0) }

func key(dest string, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(line(dest), sequence)
}

// split undoes key. The first zero byte ends the destination: a sequence may hold others.
func split(k []byte) (dest string, sequence uint64) {
	d, n, ok := bytes.Cut(k, []byte{0})
	if !ok || len(n) != 8 {
		return "", 0
	}
	return string(d), binary.BigEndian.Uint64(n)
}

func decode(k, v []byte) (Item, error) {
	var r row
	dest, sequence := split(k)
	if err := json.Unmarshal(v, &r); err != nil || dest == "" {
		return Item{}, fault.New(fault.Internal, "QUEUE_ITEM", "A queued item cannot be read.").Because(err)
	}
	return Item{dest, sequence, r.ID, r.Body, r.Attempts, r.Refusals, r.EnqueueTime, r.DueTime}, nil
}
