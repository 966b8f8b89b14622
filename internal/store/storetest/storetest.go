// Package storetest is the conformance suite of package store: what an engine must pass to be one.
//
// It guarantees that engines differ in nothing that a caller can see through store.Store. It does not test what is
// particular to an engine: locks, files, damage, crashes.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"postern/internal/store"
)

// The keyspaces of the suite. The third is declared as appended and used in order.
const (
	left     store.Keyspace = "left"
	right    store.Keyspace = "right"
	appended store.Keyspace = "appended"
)

// Schema is the database that the suite opens.
var Schema = store.Schema{
	Name:      "storetest",
	Version:   1,
	Keyspaces: []store.Keyspace{left, right, appended},
	Appended:  []store.Keyspace{appended},
}

// Open opens the database in a folder with Schema, making it when there is none. The suite calls it again on the same
// folder after closing what it returned.
type Open func(t testing.TB, dir string) store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range suite() {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// conformance is one test of the suite, with an engine that must fail it.
type conformance struct {
	name   string
	test   func(testing.TB, Open)
	broken func(store.Store) store.Store
}

func suite() []conformance {
	return []conformance{
		{"a record is put, read, overwritten and deleted", testRecord, keepsDeleted},
		{"keyspaces are apart", testKeyspaces, mixesKeyspaces},
		{"a transaction sees its own writes", testOwnWrites, writesLate},
		{"an error of the function writes nothing", testError, ignoresError},
		{"a panic of the function writes nothing", testPanic, commitsPanic},
		{"a refused write spoils the transaction", testSpoiled, forgetsRefusal},
		{"records that no store takes are refused", testBadRecords, takesNil},
		{"an unknown keyspace is refused", testUnknownKeyspace, takesAnyKeyspace},
		{"scans keep to their bounds in both directions", testScan, ignoresBounds},
		{"a scan stops when told and returns the function's error", testScanStops, scansOn},
		{"slices are the caller's own", testOwnSlices, keepsSlices},
		{"a snapshot does not move", testSnapshot, readsNewest},
		{"writers follow one another", testWriters, readsBeforeTurn},
		{"a large batch is one transaction", testLargeBatch, dropsTail},
		{"committed records outlive a close", testReopen, forgetsOnClose},
		{"an ended context stops a call", testContext, ignoresContext},
		{"a closed store and an ended transaction say so", testClosed, staysOpen},
		{"it behaves as a sorted map", testModel, cutsKeys},
	}
}

// fixture is an open store with words for the tests.
type fixture struct {
	store.Store
	t testing.TB
}

func start(t testing.TB, open Open) *fixture {
	t.Helper()
	f := &fixture{Store: open(t, t.TempDir()), t: t}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

func (f *fixture) put(ks store.Keyspace, pairs ...string) {
	f.t.Helper()
	err := f.Update(f.t.Context(), func(tx store.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(ks, []byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatalf("put: %v", err)
	}
}

func (f *fixture) get(ks store.Keyspace, key string) string {
	f.t.Helper()
	var value []byte
	err := f.View(f.t.Context(), func(s store.Snapshot) (err error) {
		value, err = s.Get(ks, []byte(key))
		return err
	})
	if err != nil {
		f.t.Fatalf("get: %v", err)
	}
	return string(value)
}

func (f *fixture) want(ks store.Keyspace, key, value string) {
	f.t.Helper()
	if got := f.get(ks, key); got != value {
		f.t.Errorf("%s[%s] = %q, want %q", ks, key, got, value)
	}
}

func testRecord(t testing.TB, open Open) {
	f := start(t, open)
	f.want(left, "k", "")
	f.put(left, "k", "one")
	f.want(left, "k", "one")
	f.put(left, "k", "two, and longer")
	f.want(left, "k", "two, and longer")
	for range 2 { // deleting what is not there is no error
		if err := f.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(left, []byte("k")) }); err != nil {
			t.Fatal(err)
		}
		f.want(left, "k", "")
	}
}

func testKeyspaces(t testing.TB, open Open) {
	f := start(t, open)
	f.put(left, "k", "l")
	f.put(right, "k", "r")
	f.want(left, "k", "l")
	f.want(right, "k", "r")
	f.want(appended, "k", "")
}

func testOwnWrites(t testing.TB, open Open) {
	f := start(t, open)
	f.put(left, "a", "1", "b", "2")
	err := f.Update(t.Context(), func(tx store.Tx) error {
		steps := []struct{ key, put, want string }{{"a", "", "1"}, {"a", "one", "one"}, {"c", "three", "three"}, {"d", "", ""}}
		for _, s := range steps {
			if s.put != "" {
				if err := tx.Put(left, []byte(s.key), []byte(s.put)); err != nil {
					return err
				}
			}
			if got, err := tx.Get(left, []byte(s.key)); err != nil || string(got) != s.want {
				t.Errorf("%s = %q, %v; want %q", s.key, got, err, s.want)
			}
		}
		if err := tx.Delete(left, []byte("b")); err != nil {
			return err
		}
		if got, err := tx.Get(left, []byte("b")); err != nil || got != nil {
			t.Errorf("deleted b = %q, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.want(left, "a", "one")
	f.want(left, "b", "")
	f.want(left, "c", "three")
}

func testError(t testing.TB, open Open) {
	f := start(t, open)
	f.put(left, "a", "1", "b", "2")
	mine := errors.New("mine")
	err := f.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Put(left, []byte("a"), []byte("x")), tx.Delete(left, []byte("b")), tx.Put(right, []byte("c"), []byte("y")), mine)
	})
	if !errors.Is(err, mine) {
		t.Errorf("Update: %v", err)
	}
	if err := f.Update(t.Context(), func(store.Tx) error { return mine }); err != mine {
		t.Errorf("the function's error is changed to %v", err)
	}
	if err := f.View(t.Context(), func(store.Snapshot) error { return mine }); err != mine {
		t.Errorf("the function's error is changed to %v", err)
	}
	f.want(left, "a", "1")
	f.want(left, "b", "2")
	f.want(right, "c", "")
}

func testPanic(t testing.TB, open Open) {
	f := start(t, open)
	func() {
		defer func() {
			if r := recover(); r != "mine" {
				t.Errorf("the panic became %v", r)
			}
		}()
		_ = f.Update(t.Context(), func(tx store.Tx) error {
			_ = tx.Put(left, []byte("a"), []byte("x"))
			panic("mine")
		})
	}()
	f.want(left, "a", "")
	f.put(left, "a", "1") // the writer's place is free again
	f.want(left, "a", "1")
}

func testSpoiled(t testing.TB, open Open) {
	f := start(t, open)
	err := f.Update(t.Context(), func(tx store.Tx) error {
		_ = tx.Put(left, []byte("a"), []byte("x"))
		_ = tx.Put(left, []byte("b"), nil)
		return nil
	})
	if !errors.Is(err, store.ErrBadRecord) {
		t.Errorf("an ignored refusal: %v", err)
	}
	f.want(left, "a", "")
}

func testBadRecords(t testing.TB, open Open) {
	f := start(t, open)
	big, value := make([]byte, store.MaxKeySize+1), []byte("v")
	for name, op := range map[string]func(store.Tx) error{
		"an empty value":     func(tx store.Tx) error { return tx.Put(left, []byte("k"), []byte{}) },
		"a nil value":        func(tx store.Tx) error { return tx.Put(left, []byte("k"), nil) },
		"an oversized value": func(tx store.Tx) error { return tx.Put(left, []byte("k"), make([]byte, store.MaxValueSize+1)) },
		"an empty key":       func(tx store.Tx) error { return tx.Put(left, nil, value) },
		"an oversized key":   func(tx store.Tx) error { return tx.Put(left, big, value) },
		"reading no key":     func(tx store.Tx) error { _, err := tx.Get(left, nil); return err },
		"deleting no key":    func(tx store.Tx) error { return tx.Delete(left, nil) },
	} {
		if err := f.Update(t.Context(), op); !errors.Is(err, store.ErrBadRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	largest := bytes.Repeat([]byte("v"), store.MaxValueSize)
	key := string(bytes.Repeat([]byte("k"), store.MaxKeySize))
	f.put(left, key, string(largest))
	f.want(left, key, string(largest))
}

func testUnknownKeyspace(t testing.TB, open Open) {
	f := start(t, open)
	more := func([]byte, []byte) (bool, error) { return true, nil }
	for _, ks := range []store.Keyspace{"", "other", "_schema", "_schema2"} {
		for name, op := range map[string]func() error{
			"put": func() error {
				return f.Update(t.Context(), func(tx store.Tx) error { return tx.Put(ks, []byte("k"), []byte("v")) })
			},
			"delete": func() error {
				return f.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(ks, []byte("k")) })
			},
			"get": func() error {
				return f.View(t.Context(), func(s store.Snapshot) error { _, err := s.Get(ks, []byte("k")); return err })
			},
			"scan": func() error {
				return f.View(t.Context(), func(s store.Snapshot) error { return s.Scan(ks, nil, nil, more) })
			},
			"scan reverse": func() error {
				return f.View(t.Context(), func(s store.Snapshot) error { return s.ScanReverse(ks, nil, nil, more) })
			},
		} {
			if err := op(); !errors.Is(err, store.ErrUnknownKeyspace) {
				t.Errorf("%s in %q: %v", name, ks, err)
			}
		}
	}
}

func testOwnSlices(t testing.TB, open Open) {
	f := start(t, open)
	given := []byte("given away, and what is behind it may go")
	err := f.Update(t.Context(), func(tx store.Tx) error {
		key := []byte("own")
		defer copy(key, "xxx") // the key is not given away, and serves for the next
		return tx.PutOwn(right, key, given[:10])
	})
	if string(given[:10]) != "given away" || err != nil {
		t.Errorf("the value that was given away is %q, %v", given[:10], err)
	}
	f.want(right, "own", "given away")
	key, value := []byte("key"), []byte("value")
	err = f.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.Put(left, key, value); err != nil {
			return err
		}
		copy(key, "xxx")
		copy(value, "xxxxx")
		got, err := tx.Get(left, []byte("key"))
		copy(got, "yyyyy")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var kept [][]byte
	err = f.View(t.Context(), func(s store.Snapshot) error {
		got, err := s.Get(left, []byte("key"))
		if err != nil {
			return err
		}
		kept = append(kept, got)
		return s.Scan(left, nil, nil, func(k, v []byte) (bool, error) {
			kept = append(kept, v, bytes.Clone(k))
			copy(k, "zzz")
			return true, nil
		})
	})
	if err != nil || fmt.Sprintf("%s", kept) != "[value value key]" {
		t.Fatalf("%s, %v", kept, err)
	}
	for _, k := range kept {
		copy(k, "zzzzz")
	}
	f.want(left, "key", "value")
}

func testSnapshot(t testing.TB, open Open) {
	f := start(t, open)
	f.put(left, "a", "1", "b", "2")
	reading, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		<-reading
		err := f.Update(context.Background(), func(tx store.Tx) error {
			return errors.Join(tx.Put(left, []byte("a"), []byte("new")), tx.Delete(left, []byte("b")), tx.Put(left, []byte("c"), []byte("3")))
		})
		if err != nil {
			t.Errorf("writing beside a snapshot: %v", err)
		}
	}()
	err := f.View(t.Context(), func(s store.Snapshot) error {
		close(reading)
		<-written
		var got string
		err := s.Scan(left, nil, nil, func(k, v []byte) (bool, error) {
			got += string(k) + string(v)
			return true, nil
		})
		if got != "a1b2" {
			t.Errorf("the snapshot moved to %s", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.want(left, "a", "new")
	f.want(left, "b", "")
}

func testWriters(t testing.TB, open Open) {
	f := start(t, open)
	const writers, each = 4, 5
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				err := f.Update(context.Background(), func(tx store.Tx) error {
					old, err := tx.Get(left, []byte("count"))
					if err != nil {
						return err
					}
					return tx.Put(left, []byte("count"), append(old, '|'))
				})
				if err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	all.Wait()
	if got := f.get(left, "count"); len(got) != writers*each {
		t.Errorf("%d of %d increments", len(got), writers*each)
	}
}

func testLargeBatch(t testing.TB, open Open) {
	f := start(t, open)
	const n = 5000
	err := f.Update(t.Context(), func(tx store.Tx) error {
		for i := range n {
			if err := tx.Put(appended, fmt.Appendf(nil, "%08d", i), fmt.Appendf(nil, "value %d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = f.View(t.Context(), func(s store.Snapshot) error {
		return s.Scan(appended, nil, nil, func(k, v []byte) (bool, error) {
			if string(k) != fmt.Sprintf("%08d", seen) || string(v) != fmt.Sprintf("value %d", seen) {
				return false, fmt.Errorf("record %d is %s = %s", seen, k, v)
			}
			seen++
			return true, nil
		})
	})
	if err != nil || seen != n {
		t.Fatalf("%d of %d records, %v", seen, n, err)
	}
}

func testReopen(t testing.TB, open Open) {
	dir := t.TempDir()
	for i := range 3 {
		f := &fixture{Store: open(t, dir), t: t}
		for old := range i {
			f.want(left, fmt.Sprint(old), "kept")
		}
		f.put(left, fmt.Sprint(i), "kept")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testContext(t testing.TB, open Open) {
	f := start(t, open)
	f.put(left, "a", "1", "b", "2")
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	err := f.View(ctx, func(s store.Snapshot) error {
		return s.Scan(left, nil, nil, func([]byte, []byte) (bool, error) {
			seen++
			cancel()
			return true, nil
		})
	})
	if !errors.Is(err, context.Canceled) || seen != 1 {
		t.Errorf("a scan went on for %d records: %v", seen, err)
	}
	if err := f.View(ctx, func(store.Snapshot) error { t.Error("View ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v", err)
	}
	if err := f.Update(ctx, func(store.Tx) error { t.Error("Update ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	err = f.Update(ctx, func(tx store.Tx) error {
		cancel()
		return tx.Put(left, []byte("a"), []byte("x"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ends before the commit: %v", err)
	}
	f.want(left, "a", "1")
}

func testClosed(t testing.TB, open Open) {
	s := open(t, t.TempDir())
	var snapshot store.Snapshot
	var tx store.Tx
	if err := s.View(t.Context(), func(v store.Snapshot) error { snapshot = v; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(u store.Tx) error { tx = u; return nil }); err != nil {
		t.Fatal(err)
	}
	more := func([]byte, []byte) (bool, error) { return true, nil }
	_, err := snapshot.Get(left, []byte("k"))
	late := []error{err, snapshot.Scan(left, nil, nil, more), tx.Put(left, []byte("k"), []byte("v")), tx.Delete(left, []byte("k"))}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	late = append(late, s.View(t.Context(), func(store.Snapshot) error { return nil }), s.Update(t.Context(), func(store.Tx) error { return nil }))
	for i, err := range late {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("late call %d: %v", i, err)
		}
	}
}
