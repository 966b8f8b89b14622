// Package store is the door to a party's database: ordered keys in named keyspaces, read in a snapshot and written in
// a transaction.
//
// Every engine (store/bolt first) passes the one conformance suite in store/storetest, and callers use only this
// package. It guarantees: a View sees one moment; an Update is written whole and durably, or not at all, or the store
// stops and says that it does not know (ErrOutcomeUnknown); a record that is not the one written is never returned
// (ErrCorrupt); every slice handed out is the caller's own; and when space runs short, ordinary work is refused
// (ErrFull) while there is still some for what must not fail (Reserved).
//
// It does not encrypt (package vault does), does not interpret keys or values, and does not hide that a transaction's
// function may run again: such a function has no effects outside its Tx and draws no random values.
package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"time"

	"postern/internal/fault"
)

// Limits that every engine enforces, so that a record written to one can move to another.
const (
	MaxKeySize   = 1 << 10 // bytes
	MaxValueSize = 4 << 20 // bytes
)

// Keyspace names one ordered set of keys. All keyspaces of a database are named in its Schema.
type Keyspace string

// Schema says what a database is. Package schema holds one for each kind of database.
//
// Evolution: a name never changes its meaning. A new keyspace raises Version; a store opened with a newer Schema makes
// the keyspaces it lacks and records the new Version. A store with a newer Version than the program's is refused, and so
// is one older than Oldest, whose records the program would not find.
type Schema struct {
	Name      string     // the kind of database, such as "hub"; a store of another name is refused
	Version   uint64     // from 1
	Oldest    uint64     // the oldest Version the program reads; 0 for any
	Keyspaces []Keyspace // all of them
	Sealed    []Keyspace // those whose values are sealed by the party's vault, each under the keyspace as kind and the key as id
	Appended  []Keyspace // those written in key order, in one line or one for each of a few prefixes: an engine may pack their pages full
}

// Reader reads single records.
type Reader interface {
	// Get returns the value under key, or nil when there is none. The slice is the caller's own.
	Get(ks Keyspace, key []byte) ([]byte, error)
}

// Snapshot is one moment of the database. It is valid until the function given to View returns, on that goroutine.
type Snapshot interface {
	Reader
	// Scan calls fn for each record with from <= key < to, in ascending order, until fn says there is no more to do
	// or errs. An empty from is the first key; an empty to is past the last one. The slices are fn's own.
	Scan(ks Keyspace, from, to []byte, fn func(key, value []byte) (more bool, err error)) error
	// ScanReverse is Scan in descending order: it starts at the largest key below to.
	ScanReverse(ks Keyspace, from, to []byte, fn func(key, value []byte) (more bool, err error)) error
}

// Tx is a transaction: point reads, which see the transaction's own writes, and point writes. It is valid until the
// function given to Update returns, on that goroutine.
type Tx interface {
	Reader
	// Put writes a record over any that is there. Key and value are not empty, and may be reused after the call.
	Put(ks Keyspace, key, value []byte) error
	// PutOwn is Put with a value that is the transaction's from then on, with what lies behind it up to its capacity:
	// nobody changes it any more, and an engine may use the room. The key may be reused.
	PutOwn(ks Keyspace, key, value []byte) error
	// Delete removes a record; one that is not there is no error.
	Delete(ks Keyspace, key []byte) error
}

// Store is a database. Its methods may be called from any goroutine. The function given to View or Update must not
// call the store again: it could wait for itself.
type Store interface {
	// View calls fn with a snapshot of the newest committed state, and returns fn's error unchanged. A context that
	// has ended stops it before fn and between the records of a scan.
	View(ctx context.Context, fn func(Snapshot) error) error
	// Update calls fn in the one transaction that writes, then commits. nil means that fn's writes are durable. fn's
	// error is returned unchanged and means that nothing was written; so do a context that ends before the commit
	// begins, and ErrFull. ErrOutcomeUnknown means what it says. fn may run again before any of it counts.
	Update(ctx context.Context, fn func(Tx) error) error
	// Close waits for running calls and releases the database. Closing again does nothing.
	Close() error
}

// Reserved returns s with the right to the space that is kept back: its Updates go on where those of s fail with
// ErrFull. It is for what a full disk must not stop: withdrawals, what the ledger and the queues have already promised,
// and erasure, which makes room. Ordinary work that takes it leaves a withdrawal without. A store that keeps nothing
// back is returned as it is.
func Reserved(s Store) Store {
	if r, ok := s.(interface{ Reserved() Store }); ok {
		return r.Reserved()
	}
	return s
}

// Report is what a whole reading of a database found in order.
type Report struct {
	Revision uint64 // how many transactions made it: of two copies of one database the newer has more
	Records  uint64 // in all keyspaces
	Bytes    int64  // of the file that are in use
}

// The failures of a store. Compare with errors.Is; the error returned may carry more.
var (
	// ErrOutcomeUnknown: a commit failed in a way that may or may not have persisted it. It is terminal: every later
	// call of the store fails with it. Only opening the database again shows what it holds.
	ErrOutcomeUnknown = fault.New(fault.Unavailable, "STORE_OUTCOME_UNKNOWN",
		"The database could not confirm its last write, so it has stopped. Check the disk and start again: the start reads what was really written.")
	// ErrCorrupt: what is stored is not what was written.
	ErrCorrupt = fault.New(fault.Internal, "STORE_CORRUPT",
		"The database is damaged. Stop, keep a copy of the file, and restore the newest backup.")
	// ErrFull: only the space kept back is left, and the Update may not use it (see Reserved), or that is used up too.
	// Nothing was written, reading goes on, and the same Update succeeds once there is space.
	ErrFull = fault.New(fault.Exhausted, "STORE_FULL",
		"The disk is nearly full, so nothing new was taken and nothing was lost. Free some space or make the disk larger, then try again.")
	// ErrClosed: the store, or the transaction a Reader came from, is no longer open.
	ErrClosed = fault.New(fault.Unavailable, "STORE_CLOSED", "The database is closed.")
	// ErrUnknownKeyspace: the Schema does not name the keyspace. A mistake in the program.
	ErrUnknownKeyspace = fault.New(fault.Internal, "STORE_UNKNOWN_KEYSPACE", "The program used a keyspace that this database does not have.")
	// ErrBadRecord: an empty key or value, or one over the limits. A mistake in the program.
	ErrBadRecord = fault.New(fault.Internal, "STORE_BAD_RECORD", "The program tried to store an empty or oversized record.")
)

// Full makes the ErrFull with a cause, nil for none, that asks for ten seconds' patience: long enough that asking costs a
// full disk nothing, and no longer, since a child may be waiting when there is room again.
func Full(cause error) error {
	f := ErrFull.Because(cause)
	f.RetryAfter = 10 * time.Second
	return f
}

// Corrupt makes the ErrCorrupt that names a record by its keyspace and a hash of its key, never by its content.
// The hash is the first 8 bytes of SHA-256(key), in hexadecimal.
func Corrupt(ks Keyspace, key []byte) error {
	sum := sha256.Sum256(key)
	return fault.Newf(fault.Internal, ErrCorrupt.Reason,
		"A stored record is damaged (keyspace %s, key hash %x). Stop, keep a copy of the file, and restore the newest backup.", ks, sum[:8])
}

// CheckKey returns ErrBadRecord for a key that no store takes.
func CheckKey(key []byte) error {
	if len(key) == 0 || len(key) > MaxKeySize {
		return ErrBadRecord
	}
	return nil
}

// CheckRecord returns ErrBadRecord for a key or value that no store takes. Engines call it, and whoever buffers writes.
func CheckRecord(key, value []byte) error {
	if len(value) == 0 || len(value) > MaxValueSize {
		return ErrBadRecord
	}
	return CheckKey(key)
}

// PrefixEnd returns the least key above all keys with the prefix: the `to` of a Scan over them. It is nil, past the
// last key, when there is none.
func PrefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
