package bolt

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/bbolt"

	"postern/internal/store"
)

// fillAppended is how full bbolt packs the pages of keyspaces that grow at few ends; its default of one half is for keys
// that come in any order.
const fillAppended = 0.95

// transaction implements store.Snapshot and store.Tx.
type transaction struct {
	ctx     context.Context // of the View or Update that it lives in
	btx     *bbolt.Tx
	known   map[store.Keyspace]bool
	spaces  map[store.Keyspace]*space // those that were asked for
	dirty   bool                      // something was written
	spoiled error                     // a write failed half-way: the transaction must not be committed, whatever its function says
	over    bool                      // its function has returned
}

// space is a keyspace within a transaction.
type space struct {
	name   store.Keyspace
	bucket *bbolt.Bucket
	cursor *bbolt.Cursor // find's alone
	change tally         // what the transaction has done so far
}

// end makes the transaction unusable and gives up what is not committed.
func (tx *transaction) end() {
	tx.over = true
	_ = guarded(func() { _ = tx.btx.Rollback() })
}

// hasKeyspace says whether the file has a bucket for the keyspace.
func (tx *transaction) hasKeyspace(ks store.Keyspace) (has bool, err error) {
	if damage := guarded(func() { has = tx.btx.Bucket([]byte(ks)) != nil }); damage != nil {
		return false, store.ErrCorrupt.Because(damage)
	}
	return has, nil
}

// makeKeyspace makes the bucket of a keyspace, unless it is there.
func (tx *transaction) makeKeyspace(ks store.Keyspace) (err error) {
	tx.dirty = true
	if damage := guarded(func() { _, err = tx.btx.CreateBucketIfNotExists([]byte(ks)) }); damage != nil {
		return store.ErrCorrupt.Because(damage)
	}
	return err
}

// internal says whether a keyspace is this package's own, which no caller reads or writes.
func internal(ks store.Keyspace) bool { return ks == schemaSpace || ks == tallySpace }

// space returns a keyspace that the schema names.
func (tx *transaction) space(ks store.Keyspace) (*space, error) {
	if tx.over {
		return nil, store.ErrClosed
	}
	if s := tx.spaces[ks]; s != nil {
		return s, nil
	}
	appended, ok := tx.known[ks]
	if !ok && !internal(ks) {
		return nil, store.ErrUnknownKeyspace
	}
	var b *bbolt.Bucket
	if damage := guarded(func() { b = tx.btx.Bucket([]byte(ks)) }); damage != nil {
		return nil, store.ErrCorrupt.Because(damage)
	}
	if b == nil {
		return nil, store.Corrupt(ks, nil)
	}
	if appended {
		b.FillPercent = fillAppended
	}
	s := &space{name: ks, bucket: b, cursor: b.Cursor()}
	tx.spaces[ks] = s
	return s, nil
}

// Get implements store.Reader.
func (tx *transaction) Get(ks store.Keyspace, key []byte) ([]byte, error) {
	if internal(ks) {
		return nil, store.ErrUnknownKeyspace
	}
	return tx.get(ks, key)
}

func (tx *transaction) get(ks store.Keyspace, key []byte) (value []byte, err error) {
	err = tx.find(ks, key, func(record []byte) { value = bytes.Clone(valueOf(record)) })
	return value, err
}

// find calls fn with a record as it is stored, valid during the call, if there is one. That there is none it believes
// only when sure.
func (tx *transaction) find(ks store.Keyspace, key []byte, fn func(record []byte)) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	s, err := tx.space(ks)
	if err != nil {
		return err
	}
	if damage := guarded(func() { err = s.find(key, true, fn) }); damage != nil {
		return store.Corrupt(ks, key)
	}
	return err
}

// find is the transaction's, where it is guarded already; without sure it believes at once that there is none.
func (s *space) find(key []byte, sure bool, fn func(record []byte)) error {
	k, record := s.cursor.Seek(key) // from the root, whatever was written since
	switch found := bytes.Equal(k, key); {
	case found && whole(s.name, k, record):
		fn(record)
	case found:
		return store.Corrupt(s.name, key)
	case sure:
		return between(s.name, s.cursor, key, k, record)
	}
	return nil
}

// between checks a cursor that Seek(key) put on (k, record), not finding key: the records on both sides must be whole
// and lie on their own side. A damaged key misleads the binary search of its page only to one of its own sides, so
// that "not there" is never said because of one.
func between(ks store.Keyspace, c *bbolt.Cursor, key, k, record []byte) error {
	if k != nil && (bytes.Compare(k, key) < 0 || !whole(ks, k, record)) {
		return store.Corrupt(ks, key)
	}
	if p, record := c.Prev(); p != nil && (bytes.Compare(p, key) >= 0 || !whole(ks, p, record)) {
		return store.Corrupt(ks, key)
	}
	return nil
}

// Scan implements store.Snapshot.
func (tx *transaction) Scan(ks store.Keyspace, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	return tx.walk(ks, fn, func(c *bbolt.Cursor) ([]byte, []byte, error) {
		if len(from) == 0 {
			k, record := c.First()
			return k, record, nil
		}
		k, record := c.Seek(from)
		if !bytes.Equal(k, from) {
			if err := between(ks, c, from, k, record); err != nil {
				return nil, nil, err
			}
			k, record = c.Seek(from)
		}
		return k, record, nil
	}, (*bbolt.Cursor).Next, func(key, last []byte) (in, ordered bool) {
		return len(to) == 0 || bytes.Compare(key, to) < 0, last == nil || bytes.Compare(last, key) < 0
	})
}

// ScanReverse implements store.Snapshot.
func (tx *transaction) ScanReverse(ks store.Keyspace, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	return tx.walk(ks, fn, func(c *bbolt.Cursor) ([]byte, []byte, error) {
		if len(to) == 0 {
			k, record := c.Last()
			return k, record, nil
		}
		k, record := c.Seek(to)
		if !bytes.Equal(k, to) {
			if err := between(ks, c, to, k, record); err != nil {
				return nil, nil, err
			}
			k, _ = c.Seek(to)
		}
		if k == nil {
			k, record = c.Last()
			return k, record, nil
		}
		k, record = c.Prev()
		return k, record, nil
	}, (*bbolt.Cursor).Prev, func(key, last []byte) (in, ordered bool) {
		return bytes.Compare(key, from) >= 0, last == nil || bytes.Compare(last, key) > 0
	})
}

// walk calls fn for each record from where start puts the cursor, one step after the other, while the key is in
// bounds. Keys out of order are damage.
func (tx *transaction) walk(ks store.Keyspace, fn func(key, value []byte) (bool, error),
	start func(*bbolt.Cursor) (key, record []byte, err error), step func(*bbolt.Cursor) (key, record []byte),
	place func(key, last []byte) (in, ordered bool)) error {
	if internal(ks) {
		return store.ErrUnknownKeyspace
	}
	s, err := tx.space(ks)
	if err != nil {
		return err
	}
	c := s.bucket.Cursor()
	var last []byte
	for first := true; ; first = false {
		if tx.over {
			return store.ErrClosed
		}
		if err := tx.ctx.Err(); err != nil {
			return err
		}
		var key, value []byte
		damage := guarded(func() {
			var k, record []byte
			if first {
				k, record, err = start(c)
			} else {
				k, record = step(c)
			}
			if err != nil || k == nil {
				return
			}
			key = bytes.Clone(k)
			value, err = unwrap(ks, k, record)
		})
		if damage != nil {
			return store.ErrCorrupt.Because(damage)
		}
		if err != nil || key == nil {
			return err
		}
		in, ordered := place(key, last)
		if !ordered {
			return store.Corrupt(ks, key)
		}
		if !in {
			return nil
		}
		last = bytes.Clone(key) // fn may write into its own
		if more, err := fn(key, value); err != nil || !more {
			return err
		}
	}
}

// Put implements store.Tx.
func (tx *transaction) Put(ks store.Keyspace, key, value []byte) error {
	if internal(ks) {
		return store.ErrUnknownKeyspace
	}
	return tx.put(ks, key, value)
}

// PutOwn implements store.Tx.
func (tx *transaction) PutOwn(ks store.Keyspace, key, value []byte) error {
	if internal(ks) {
		return store.ErrUnknownKeyspace
	}
	return tx.putOwn(ks, key, value)
}

func (tx *transaction) put(ks store.Keyspace, key, value []byte) error {
	return tx.putOwn(ks, key, append(make([]byte, 0, len(value)+checksumSize), value...))
}

// putOwn writes a record where its value lies: bbolt keeps the slice until the commit.
func (tx *transaction) putOwn(ks store.Keyspace, key, value []byte) error {
	if err := store.CheckRecord(key, value); err != nil {
		return tx.spoil(err)
	}
	return tx.replace(ks, key, wrap(ks, key, value))
}

// Delete implements store.Tx.
func (tx *transaction) Delete(ks store.Keyspace, key []byte) error {
	if internal(ks) {
		return store.ErrUnknownKeyspace
	}
	if err := store.CheckKey(key); err != nil {
		return tx.spoil(err)
	}
	return tx.replace(ks, key, nil)
}

// replace puts a stored record in the place of the one under key; nil deletes. The old one is read first: for the tally,
// to spare the commit when there is nothing to delete, and so that damage does not hide what must go. A new record is
// written without the same certainty that there is no old one: two under one key are out of order, which Verify finds.
func (tx *transaction) replace(ks store.Keyspace, key, record []byte) error {
	s, err := tx.space(ks)
	if err != nil {
		return tx.spoil(err)
	}
	var old tally // of the one record, or none
	damage := guarded(func() {
		err = s.find(key, record == nil, func(record []byte) { old.add(record) })
		switch {
		case err != nil:
		case record != nil:
			err = s.bucket.Put(key, record)
		case old.records > 0:
			err = s.bucket.Delete(key)
		}
	})
	if damage != nil {
		err = store.Corrupt(ks, key)
	}
	if err != nil {
		return tx.spoil(err)
	}
	tx.dirty = tx.dirty || record != nil || old.records > 0
	s.change.records -= old.records
	s.change.sum -= old.sum
	if record != nil {
		s.change.add(record)
	}
	return nil
}

func (tx *transaction) spoil(err error) error {
	if tx.spoiled == nil {
		tx.spoiled = err
	}
	return err
}

const checksumSize = 8

// checksum binds a value to its place, so that a record that turns up elsewhere is refused too.
func checksum(ks store.Keyspace, key, value []byte) (sum [checksumSize]byte) {
	place := make([]byte, 0, 256) // on the stack
	place = append(binary.BigEndian.AppendUint32(place, uint32(len(ks))), ks...)
	place = append(binary.BigEndian.AppendUint32(place, uint32(len(key))), key...)
	var h xxhash.Digest
	h.Reset()
	h.Write(place)
	h.Write(value)
	binary.BigEndian.PutUint64(sum[:], h.Sum64())
	return sum
}

// wrap makes the stored record of a value, in the room behind the value if there is any.
func wrap(ks store.Keyspace, key, value []byte) []byte {
	sum := checksum(ks, key, value)
	return append(value, sum[:]...)
}

// valueOf is the value in a stored record that is whole.
func valueOf(record []byte) []byte { return record[:len(record)-checksumSize] }

// whole says whether a stored record is the one that was written in this place.
func whole(ks store.Keyspace, key, record []byte) bool {
	return len(record) > checksumSize && checksum(ks, key, valueOf(record)) == [checksumSize]byte(record[len(record)-checksumSize:])
}

// unwrap returns a copy of the value in a stored record.
func unwrap(ks store.Keyspace, key, record []byte) ([]byte, error) {
	if !whole(ks, key, record) {
		return nil, store.Corrupt(ks, key)
	}
	return bytes.Clone(valueOf(record)), nil
}
