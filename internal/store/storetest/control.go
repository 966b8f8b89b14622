package storetest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"runtime"
	"slices"
	"sync"
	"testing"

	"postern/internal/store"
)

// Control is the suite's negative control: for each test it breaks the engine in one way, and requires that the test
// fails. A test that passes then proves nothing about the engine.
func Control(t *testing.T, open Open) {
	for name, value := range map[string]string{"rapid.shrinktime": "0s", "rapid.nofailfile": "true"} { // it is to fail
		was := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, was) })
	}
	for _, c := range suite() {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{TB: t}
			r.run(func() {
				c.test(r, func(t testing.TB, dir string) store.Store { return c.broken(open(t, dir)) })
			})
			if !r.failed {
				t.Error("an engine broken on purpose passes this test")
			}
		})
	}
}

// recorder is a testing.TB that keeps a failure to itself.
type recorder struct {
	testing.TB
	mu     sync.Mutex // owns failed; a test's goroutines report too
	failed bool
}

func (r *recorder) run(test func()) {
	done := make(chan struct{})
	go func() { // ends by itself or in FailNow
		defer close(done)
		defer func() {
			if recover() != nil {
				r.Fail()
			}
		}()
		test()
	}()
	<-done
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Error(...any)          { r.Fail() }
func (r *recorder) Errorf(string, ...any) { r.Fail() }
func (r *recorder) Fatal(...any)          { r.FailNow() }
func (r *recorder) Fatalf(string, ...any) { r.FailNow() }
func (r *recorder) Log(...any)            {}
func (r *recorder) Logf(string, ...any)   {}

// A faulty engine is a good one behind a wrapper that breaks one promise. Each of the following makes one.

// updates changes every Update.
type updates struct {
	store.Store
	update func(ctx context.Context, next store.Store, fn func(store.Tx) error) error
}

func (u updates) Update(ctx context.Context, fn func(store.Tx) error) error {
	return u.update(ctx, u.Store, fn)
}

// views changes every snapshot.
type views struct {
	store.Store
	view func(s store.Snapshot) store.Snapshot
}

func (v views) View(ctx context.Context, fn func(store.Snapshot) error) error {
	return v.Store.View(ctx, func(s store.Snapshot) error { return fn(v.view(s)) })
}

// editing wraps the transaction of every Update.
func editing(s store.Store, edit func(store.Tx) store.Tx) store.Store {
	return updates{s, func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		return next.Update(ctx, func(tx store.Tx) error { return fn(edit(tx)) })
	}}
}

// edited is a transaction with other writes.
type edited struct {
	store.Tx
	put    func(ks store.Keyspace, key, value []byte) error
	remove func(ks store.Keyspace, key []byte) error
}

func (e edited) Put(ks store.Keyspace, key, value []byte) error {
	if e.put == nil {
		return e.Tx.Put(ks, key, value)
	}
	return e.put(ks, key, value)
}

func (e edited) PutOwn(ks store.Keyspace, key, value []byte) error {
	if e.put == nil {
		return e.Tx.PutOwn(ks, key, value)
	}
	return e.put(ks, key, value)
}

func (e edited) Delete(ks store.Keyspace, key []byte) error {
	if e.remove == nil {
		return e.Tx.Delete(ks, key)
	}
	return e.remove(ks, key)
}

func keepsDeleted(s store.Store) store.Store {
	return editing(s, func(tx store.Tx) store.Tx {
		return edited{Tx: tx, remove: func(store.Keyspace, []byte) error { return nil }}
	})
}

func mixesKeyspaces(s store.Store) store.Store {
	return editing(s, func(tx store.Tx) store.Tx {
		return edited{Tx: tx, put: func(_ store.Keyspace, key, value []byte) error { return tx.Put(left, key, value) }}
	})
}

func takesNil(s store.Store) store.Store {
	return editing(s, func(tx store.Tx) store.Tx {
		return edited{Tx: tx, put: func(ks store.Keyspace, key, value []byte) error {
			return tx.Put(ks, key, slices.Concat(value, []byte{0}))
		}}
	})
}

func takesAnyKeyspace(s store.Store) store.Store {
	return editing(s, func(tx store.Tx) store.Tx {
		return edited{Tx: tx, put: func(ks store.Keyspace, key, value []byte) error {
			if !slices.Contains(Schema.Keyspaces, ks) {
				ks = left
			}
			return tx.Put(ks, key, value)
		}}
	})
}

func cutsKeys(s store.Store) store.Store {
	return editing(s, func(tx store.Tx) store.Tx {
		return edited{Tx: tx, put: func(ks store.Keyspace, key, value []byte) error {
			return tx.Put(ks, key[:min(len(key), 3)], value)
		}}
	})
}

func forgetsRefusal(s store.Store) store.Store {
	return editing(s, func(tx store.Tx) store.Tx {
		return edited{Tx: tx, put: func(ks store.Keyspace, key, value []byte) error {
			if err := store.CheckRecord(key, value); err != nil {
				return err
			}
			return tx.Put(ks, key, value)
		}}
	})
}

// late applies the writes of a function after it has run, changed by edit.
func late(s store.Store, edit func([]func(store.Tx) error) []func(store.Tx) error, clone func([]byte) []byte) store.Store {
	return updates{s, func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		return next.Update(ctx, func(tx store.Tx) error {
			var writes []func(store.Tx) error
			err := fn(edited{Tx: tx, put: func(ks store.Keyspace, key, value []byte) error {
				key, value = clone(key), clone(value)
				writes = append(writes, func(tx store.Tx) error { return tx.Put(ks, key, value) })
				return nil
			}})
			for _, w := range edit(writes) {
				err = errors.Join(err, w(tx))
			}
			return err
		})
	}}
}

func all(writes []func(store.Tx) error) []func(store.Tx) error { return writes }

func same(b []byte) []byte { return b }

func writesLate(s store.Store) store.Store { return late(s, all, bytes.Clone) }

func keepsSlices(s store.Store) store.Store { return late(s, all, same) }

func dropsTail(s store.Store) store.Store {
	return late(s, func(writes []func(store.Tx) error) []func(store.Tx) error { return writes[:min(len(writes), 4096)] }, bytes.Clone)
}

func ignoresError(s store.Store) store.Store {
	return updates{s, func(ctx context.Context, next store.Store, fn func(store.Tx) error) (mine error) {
		err := next.Update(ctx, func(tx store.Tx) error { mine = fn(tx); return nil })
		return errors.Join(mine, err)
	}}
}

func commitsPanic(s store.Store) store.Store {
	return updates{s, func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		var panicked any
		err := next.Update(ctx, func(tx store.Tx) error {
			defer func() { panicked = recover() }()
			return fn(tx)
		})
		if panicked != nil {
			panic(panicked)
		}
		return err
	}}
}

// readsBeforeTurn lets two writers read before either writes.
func readsBeforeTurn(s store.Store) store.Store {
	var both sync.WaitGroup
	both.Add(2)
	first := make(chan struct{}, 2)
	return updates{s, func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		var writes []func(store.Tx) error
		err := next.View(ctx, func(s store.Snapshot) error {
			return fn(edited{Tx: readOnly{s}, put: func(ks store.Keyspace, key, value []byte) error {
				key, value = bytes.Clone(key), bytes.Clone(value)
				writes = append(writes, func(tx store.Tx) error { return tx.Put(ks, key, value) })
				return nil
			}})
		})
		select {
		case first <- struct{}{}:
			both.Done()
			both.Wait()
		default:
		}
		return errors.Join(err, next.Update(ctx, func(tx store.Tx) (err error) {
			for _, w := range writes {
				err = errors.Join(err, w(tx))
			}
			return err
		}))
	}}
}

// readOnly is a transaction over a snapshot, for who writes elsewhere.
type readOnly struct{ store.Snapshot }

func (readOnly) Put(store.Keyspace, []byte, []byte) error    { return nil }
func (readOnly) PutOwn(store.Keyspace, []byte, []byte) error { return nil }
func (readOnly) Delete(store.Keyspace, []byte) error         { return nil }

func ignoresContext(s store.Store) store.Store {
	return updates{s, func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		return next.Update(context.WithoutCancel(ctx), fn)
	}}
}

// scanning is a snapshot with other scans.
type scanning struct {
	store.Snapshot
	bounds func(from, to []byte) ([]byte, []byte)
	fn     func(fn func(key, value []byte) (bool, error)) func(key, value []byte) (bool, error)
}

func (s scanning) Scan(ks store.Keyspace, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	from, to = s.bounds(from, to)
	return s.Snapshot.Scan(ks, from, to, s.fn(fn))
}

func ignoresBounds(s store.Store) store.Store {
	return views{s, func(s store.Snapshot) store.Snapshot {
		return scanning{s, func(from, _ []byte) ([]byte, []byte) { return from, nil },
			func(fn func(key, value []byte) (bool, error)) func(key, value []byte) (bool, error) { return fn }}
	}}
}

func scansOn(s store.Store) store.Store {
	return views{s, func(s store.Snapshot) store.Snapshot {
		return scanning{s, func(from, to []byte) ([]byte, []byte) { return from, to },
			func(fn func(key, value []byte) (bool, error)) func(key, value []byte) (bool, error) {
				return func(key, value []byte) (bool, error) {
					_, err := fn(key, value)
					return true, err
				}
			}}
	}}
}

// moving is a snapshot that reads the newest state each time.
type moving struct {
	store store.Store
	store.Snapshot
}

func (m moving) Scan(ks store.Keyspace, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	return m.store.View(context.Background(), func(s store.Snapshot) error { return s.Scan(ks, from, to, fn) })
}

func readsNewest(s store.Store) store.Store {
	return views{s, func(snapshot store.Snapshot) store.Snapshot { return moving{s, snapshot} }}
}

// closing changes what Close does.
type closing struct {
	store.Store
	close func() error
}

func (c closing) Close() error { return c.close() }

func forgetsOnClose(s store.Store) store.Store {
	return closing{s, func() error {
		return errors.Join(s.Update(context.Background(), func(tx store.Tx) error { return tx.Delete(left, []byte("0")) }), s.Close())
	}}
}

func staysOpen(s store.Store) store.Store { return closing{s, func() error { return nil }} }
