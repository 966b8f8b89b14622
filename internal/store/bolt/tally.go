package bolt

import (
	"encoding/binary"
	"maps"
	"slices"

	"postern/internal/store"
)

// tally is how many records a keyspace has and the sum of their checksums, modulo 2^64. Each Update writes those of the
// keyspaces it changed in its own transaction. A page that lost its records, or an old page in the place of a new one,
// is well-formed and every record on it is whole; only the tally tells that the rest is gone. It is no defence against a
// forger, who can add up too: that is the ledger's tree.
type tally struct{ records, sum uint64 }

// add counts a stored record.
func (t *tally) add(record []byte) {
	t.records++
	t.sum += binary.BigEndian.Uint64(record[len(record)-checksumSize:])
}

// bytes is the tally as stored: both numbers, big endian.
func (t tally) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, t.records), t.sum)
}

// settle adds to the stored tallies what the transaction changed.
func (tx *transaction) settle() error {
	for _, ks := range slices.Sorted(maps.Keys(tx.spaces)) {
		change := tx.spaces[ks].change
		if internal(ks) || change == (tally{}) {
			continue
		}
		old, err := tx.get(tallySpace, []byte(ks))
		if err != nil {
			return err
		}
		if len(old) != 16 {
			return store.Corrupt(tallySpace, []byte(ks))
		}
		now := tally{binary.BigEndian.Uint64(old) + change.records, binary.BigEndian.Uint64(old[8:]) + change.sum}
		if err := tx.put(tallySpace, []byte(ks), now.bytes()); err != nil {
			return err
		}
	}
	return nil
}
