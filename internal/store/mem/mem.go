// Package mem is the store in memory, for the simulator: what it keeps, forgets and breaks is said by the test, and
// nothing depends on a file system, a clock or a random value.
//
// It passes the same suite as the engines that keep data for real, so a party cannot tell which one it has. Beyond that
// it guarantees: after Disk.Crash a store opened on the disk holds exactly the durable Updates; a commit can be made to
// fail with or without having arrived (Disk.Fail), as a real one can; the same calls give the same states.
//
// It is for tests only: a process that ends takes the disk with it. It has no files, so nothing to damage, back up or
// fill; those are bolt's.
package mem

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"postern/internal/store"
)

// Config says which database to open.
type Config struct {
	Disk   *Disk        // what it is on
	Schema store.Schema // what it must hold
	// Unsynced is a fault of the whole engine, for a negative control: an Update returns before its writes are durable,
	// and a crash forgets all since the store was opened.
	Unsynced bool
}

// Store is a database in memory.
type Store struct {
	disk     *Disk
	schema   store.Schema
	unsynced bool
	writer   chan struct{} // holds one token while an Update runs
	running  sync.RWMutex  // read-held by each call; Close waits for it
	unknown  atomic.Bool   // a commit failed: only opening again shows what arrived
	closed   atomic.Bool
	crashed  atomic.Bool
}

// Open opens the database on a disk, making it when there is none.
//
// Errors: fault.Unavailable STORE_LOCKED while another store is open on the disk; fault.Precondition STORE_NEWER or
// STORE_OTHER_KIND.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Store{disk: c.Disk, schema: c.Schema, unsynced: c.Unsynced, writer: make(chan struct{}, 1)}
	return s, c.Disk.adopt(s)
}

// ready says whether a call may start.
func (s *Store) ready(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err != nil:
		return err
	case s.closed.Load() || s.crashed.Load():
		return store.ErrClosed
	case s.unknown.Load():
		return store.ErrOutcomeUnknown
	}
	return nil
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Snapshot) error) error {
	s.running.RLock()
	defer s.running.RUnlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	tx := &transaction{ctx: ctx, store: s, state: s.disk.newest()}
	defer tx.end()
	return fn(tx)
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.update(ctx, false, fn)
}

// Reserved is for store.Reserved.
func (s *Store) Reserved() store.Store { return reserved{s} }

// reserved is a store whose Updates may use the space that is kept back.
type reserved struct{ *Store }

// Update implements store.Store.
func (r reserved) Update(ctx context.Context, fn func(store.Tx) error) error {
	return r.update(ctx, true, fn)
}

func (s *Store) update(ctx context.Context, essential bool, fn func(store.Tx) error) error {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.running.RLock()
	defer s.running.RUnlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	tx := &transaction{ctx: ctx, store: s, state: s.disk.newest()}
	defer tx.end()
	if err := fn(tx); err != nil {
		return err
	}
	if tx.spoiled != nil {
		return tx.spoiled
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(tx.writes) == 0 {
		return nil
	}
	err := s.disk.commit(s, tx.writes, essential)
	if errors.Is(err, store.ErrOutcomeUnknown) {
		s.unknown.Store(true)
	}
	return err
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.running.Lock()
	defer s.running.Unlock()
	s.disk.leave(s)
	return nil
}

// transaction implements store.Snapshot and store.Tx.
type transaction struct {
	ctx     context.Context // of the View or Update that it lives in
	store   *Store
	state   state
	writes  []write // in order; also in state
	spoiled error
	over    bool
}

func (tx *transaction) end() { tx.over = true }

// check says whether the transaction may be used for a keyspace.
func (tx *transaction) check(ks store.Keyspace) error {
	if tx.over || tx.store.crashed.Load() {
		return store.ErrClosed
	}
	if !slices.Contains(tx.store.schema.Keyspaces, ks) {
		return store.ErrUnknownKeyspace
	}
	return nil
}

// Get implements store.Reader.
func (tx *transaction) Get(ks store.Keyspace, key []byte) ([]byte, error) {
	if err := store.CheckKey(key); err != nil {
		return nil, err
	}
	if err := tx.check(ks); err != nil {
		return nil, err
	}
	return bytes.Clone(tx.state[ks].get(string(key))), nil
}

// Put implements store.Tx.
func (tx *transaction) Put(ks store.Keyspace, key, value []byte) error {
	return tx.PutOwn(ks, key, bytes.Clone(value))
}

// PutOwn implements store.Tx.
func (tx *transaction) PutOwn(ks store.Keyspace, key, value []byte) error {
	if err := store.CheckRecord(key, value); err != nil {
		return tx.spoil(err)
	}
	return tx.write(write{ks, string(key), value})
}

// Delete implements store.Tx.
func (tx *transaction) Delete(ks store.Keyspace, key []byte) error {
	if err := store.CheckKey(key); err != nil {
		return tx.spoil(err)
	}
	return tx.write(write{ks, string(key), nil})
}

func (tx *transaction) write(w write) error {
	if err := tx.check(w.keyspace); err != nil {
		return tx.spoil(err)
	}
	if w.value == nil && tx.state[w.keyspace].get(w.key) == nil {
		return nil
	}
	tx.writes = append(tx.writes, w)
	tx.state = tx.state.with(tx.writes[len(tx.writes)-1:])
	return nil
}

func (tx *transaction) spoil(err error) error {
	if tx.spoiled == nil {
		tx.spoiled = err
	}
	return err
}

// Scan implements store.Snapshot.
func (tx *transaction) Scan(ks store.Keyspace, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	return tx.scan(ks, from, to, (*node).ascend, fn)
}

// ScanReverse implements store.Snapshot.
func (tx *transaction) ScanReverse(ks store.Keyspace, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	return tx.scan(ks, from, to, (*node).descend, fn)
}

func (tx *transaction) scan(ks store.Keyspace, from, to []byte, walk func(n *node, from, to string, fn func(*node) bool) bool,
	fn func(key, value []byte) (bool, error)) (err error) {
	if err := tx.check(ks); err != nil {
		return err
	}
	walk(tx.state[ks], string(from), string(to), func(n *node) (more bool) {
		if err = tx.ctx.Err(); err == nil {
			err = tx.check(ks)
		}
		if err != nil {
			return false
		}
		more, err = fn([]byte(n.key), bytes.Clone(n.value))
		return more && err == nil
	})
	return err
}
