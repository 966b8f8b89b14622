package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"postern/internal/failpoint"
	"postern/internal/store"
)

// database implements store.Store.
type database struct {
	db       *bbolt.DB
	file     *os.File // db's own; the tests close it to make a commit fail
	path     string
	pageSize int64
	schema   store.Schema
	known    map[store.Keyspace]bool // true: appended
	writer   chan struct{}           // holds one token while an Update runs, so that waiting for it ends with the context
	room     room                    // the writer's
	unknown  atomic.Pointer[error]   // set once, by the commit that failed
	finished atomic.Bool             // Close was called
}

func newDatabase(db *bbolt.DB, file *os.File, c Config) *database {
	s := &database{db: db, file: file, path: c.Path, pageSize: int64(db.Info().PageSize), schema: c.Schema, known: map[store.Keyspace]bool{},
		writer: make(chan struct{}, 1), room: room{path: c.Path + ".reserve", reserve: c.Reserve, maxSize: c.MaxSize}}
	for _, ks := range c.Schema.Keyspaces {
		s.known[ks] = slices.Contains(c.Schema.Appended, ks)
	}
	return s
}

// ready says whether a call may start.
func (s *database) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.finished.Load() {
		return store.ErrClosed
	}
	if cause := s.unknown.Load(); cause != nil {
		return store.ErrOutcomeUnknown.Because(*cause)
	}
	return nil
}

// begin starts a bbolt transaction.
func (s *database) begin(ctx context.Context, writable bool) (*transaction, error) {
	var btx *bbolt.Tx
	var err error
	if damage := guarded(func() { btx, err = s.db.Begin(writable) }); damage != nil {
		return nil, store.ErrCorrupt.Because(damage)
	}
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return nil, store.ErrClosed
	}
	if err != nil {
		return nil, unusable(s.path, err)
	}
	return &transaction{ctx: ctx, btx: btx, known: s.known, spaces: map[store.Keyspace]*space{}}, nil
}

// View implements store.Store.
func (s *database) View(ctx context.Context, fn func(store.Snapshot) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	tx, err := s.begin(ctx, false)
	if err != nil {
		return err
	}
	defer tx.end()
	return fn(tx)
}

// Update implements store.Store.
func (s *database) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.write(ctx, false, func(tx *transaction) error { return fn(tx) })
}

// reserved is a database whose Updates may use what is kept back.
type reserved struct{ *database }

// Reserved is for store.Reserved.
func (s *database) Reserved() store.Store { return reserved{s} }

// Update implements store.Store.
func (r reserved) Update(ctx context.Context, fn func(store.Tx) error) error {
	return r.write(ctx, true, func(tx *transaction) error { return fn(tx) })
}

// write runs one transaction; an essential one may use what is kept back.
func (s *database) write(ctx context.Context, essential bool, fn func(*transaction) error) error {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	err := s.attempt(ctx, essential, fn)
	if essential && errors.Is(err, store.ErrFull) && s.room.release() {
		// A crash here leaves the space free and nothing written: who asked asks again.
		if err := failpoint.Hit(failpoint.StoreRelease); err != nil {
			return store.Full(err)
		}
		err = s.attempt(ctx, essential, fn)
	}
	return err
}

func (s *database) attempt(ctx context.Context, essential bool, fn func(*transaction) error) error {
	tx, err := s.begin(ctx, true)
	if err != nil {
		return err
	}
	defer tx.end() // rolls back whatever is not committed, also when fn panics
	if err := fn(tx); err != nil {
		return err
	}
	if tx.spoiled != nil {
		return tx.spoiled
	}
	if !tx.dirty {
		return nil // nothing to make durable: spare the two syncs
	}
	if !essential {
		stats := s.db.Stats() // pages that are still pending will be free in a transaction or two
		used := tx.btx.Size() - int64(stats.FreePageN+stats.PendingPageN)*s.pageSize
		if err := s.room.admit(used); err != nil {
			return err
		}
	}
	if err := tx.settle(); err != nil {
		return err
	}
	s.db.AllocSize = int(growth(tx.btx.Size())) // the writer's alone
	if err := ctx.Err(); err != nil {
		return err
	}
	revision := uint64(tx.btx.ID())
	var failed error
	if damage := guarded(func() { failed = commit(tx.btx) }); damage != nil {
		failed = damage
	}
	switch {
	case failed == nil:
		return nil
	case s.ranOut(failed, revision):
		return store.Full(failed)
	}
	// After a failed write or sync the kernel may show pages that the disk does not have: nothing read from here on
	// proves anything.
	s.unknown.CompareAndSwap(nil, &failed)
	return store.ErrOutcomeUnknown.Because(failed)
}

// commit makes a transaction durable. A crash before it leaves nothing, and one after it everything.
func commit(btx *bbolt.Tx) error {
	if err := failpoint.Hit(failpoint.StoreCommit); err != nil {
		return err
	}
	if err := btx.Commit(); err != nil {
		return err
	}
	return failpoint.Hit(failpoint.StoreCommitted)
}

// Close implements store.Store.
func (s *database) Close() error {
	if s.finished.Swap(true) {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return unusable(s.path, err)
	}
	return nil
}

// guarded runs a piece of bbolt and returns its panic, if any, as an error: on a damaged file bbolt panics, or reads
// outside the mapped file, which without SetPanicOnFault would end the process. No caller's function runs inside.
func guarded(piece func()) (damage error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			damage = fmt.Errorf("reading the file: %v", r)
		}
	}()
	piece()
	return nil
}
