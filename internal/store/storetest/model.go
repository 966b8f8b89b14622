package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/store"
)

// describe is a record in one word. Length and beginning tell the values of the suite apart, and printing is most of
// its time.
func describe(key, value string) string { return fmt.Sprintf("%q=%d:%.8q ", key, len(value), value) }

// scan describes the records in bounds.
func scan(s store.Snapshot, ks store.Keyspace, from, to []byte, reverse bool) (string, error) {
	var got strings.Builder
	walk := s.Scan
	if reverse {
		walk = s.ScanReverse
	}
	err := walk(ks, from, to, func(k, v []byte) (bool, error) {
		got.WriteString(describe(string(k), string(v)))
		return true, nil
	})
	return got.String(), err
}

// expect is what scan returns for a map.
func expect(records map[string]string, from, to []byte, reverse bool) string {
	keys := slices.Sorted(maps.Keys(records))
	if reverse {
		slices.Reverse(keys)
	}
	var want strings.Builder
	for _, k := range keys {
		if k >= string(from) && (len(to) == 0 || k < string(to)) {
			want.WriteString(describe(k, records[k]))
		}
	}
	return want.String()
}

func testScan(t testing.TB, open Open) {
	f := start(t, open)
	records := map[string]string{"a": "1", "b": "2", "b\x00": "3", "ba": "4", "c": "5", "\xff": "6", "\xff\xff": "7"}
	for k, v := range records {
		f.put(left, k, v)
	}
	bounds := [][]byte{nil, {}, {0}, []byte("a"), []byte("aa"), []byte("b"), []byte("b\x00"), []byte("bb"), []byte("c"), {0xff}, {0xff, 0xff}, {0xff, 0xff, 0xff}}
	err := f.View(t.Context(), func(s store.Snapshot) error {
		for _, from := range bounds {
			for _, to := range bounds {
				for _, reverse := range []bool{false, true} {
					got, err := scan(s, left, from, to, reverse)
					if err != nil {
						return err
					}
					if want := expect(records, from, to, reverse); got != want {
						t.Errorf("[%x, %x) reverse %t: %s, want %s", from, to, reverse, got, want)
					}
				}
			}
		}
		for _, reverse := range []bool{false, true} {
			if got, err := scan(s, right, nil, nil, reverse); err != nil || got != "" {
				t.Errorf("an empty keyspace: %s, %v", got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testScanStops(t testing.TB, open Open) {
	f := start(t, open)
	f.put(left, "a", "1", "b", "2", "c", "3")
	mine := errors.New("mine")
	err := f.View(t.Context(), func(s store.Snapshot) error {
		for _, walk := range []func(store.Keyspace, []byte, []byte, func(k, v []byte) (bool, error)) error{s.Scan, s.ScanReverse} {
			seen := 0
			if err := walk(left, nil, nil, func(k, _ []byte) (bool, error) { seen++; return string(k) != "b", nil }); err != nil || seen != 2 {
				t.Errorf("stopped after %d records: %v", seen, err)
			}
			if err := walk(left, nil, nil, func([]byte, []byte) (bool, error) { return true, mine }); err != mine {
				t.Errorf("the function's error is changed to %v", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// write is one step of a transaction in the model test.
type write struct {
	ks     store.Keyspace
	key    string
	value  string // empty: delete
	repeat int    // of value, so that records span pages
}

// testModel compares the store with maps: random transactions, some of them given up, some larger than a page, with
// the store closed and opened again between them.
func testModel(t testing.TB, open Open) {
	dir := t.TempDir()
	s := open(t, dir)
	t.Cleanup(func() { _ = s.Close() })
	ctx := context.Background()
	keys := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 'b', 0xff}), 1, 4)
	keyspaces := rapid.SampledFrom([]store.Keyspace{left, right, appended})
	writes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) write {
		return write{ks: keyspaces.Draw(t, "keyspace"), key: string(keys.Draw(t, "key")),
			value: rapid.SampledFrom([]string{"", "", "x", "yz"}).Draw(t, "value"), repeat: rapid.SampledFrom([]int{1, 1, 7, 3000}).Draw(t, "repeat")}
	}), 0, 40)

	model := map[store.Keyspace]map[string]string{}
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		// Each check goes on where the last one ended, so that the tree grows; the model always is what the store holds.
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			batch, keep := writes.Draw(t, "writes"), rapid.IntRange(0, 3).Draw(t, "keep") > 0
			next := map[store.Keyspace]map[string]string{left: {}, right: {}, appended: {}}
			for ks := range model {
				next[ks] = maps.Clone(model[ks])
			}
			giveUp := errors.New("give up")
			err := s.Update(ctx, func(tx store.Tx) error {
				for _, w := range batch {
					if err := apply(tx, next[w.ks], w); err != nil {
						return err
					}
				}
				if !keep {
					return giveUp
				}
				return nil
			})
			if keep {
				model = next
			}
			if keep && err != nil || !keep && err != giveUp {
				t.Fatalf("update: %v", err)
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "reopen") == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(outer, dir)
		}
		from, to := keys.Draw(t, "from"), keys.Draw(t, "to")
		if err := s.View(ctx, func(snapshot store.Snapshot) error { return compare(snapshot, model, from, to) }); err != nil {
			t.Fatal(err)
		}
	})
}

// apply makes one write in the transaction and in the model, and reads it back.
func apply(tx store.Tx, model map[string]string, w write) error {
	value := bytes.Repeat([]byte(w.value), w.repeat)
	var err error
	if len(value) == 0 {
		delete(model, w.key)
		err = tx.Delete(w.ks, []byte(w.key))
	} else {
		model[w.key] = string(value)
		err = tx.Put(w.ks, []byte(w.key), value)
	}
	if err != nil {
		return err
	}
	if got, err := tx.Get(w.ks, []byte(w.key)); err != nil || !bytes.Equal(got, value) {
		return fmt.Errorf("read back %d bytes of %d: %w", len(got), len(value), err)
	}
	return nil
}

func compare(s store.Snapshot, model map[store.Keyspace]map[string]string, from, to []byte) error {
	for _, ks := range Schema.Keyspaces {
		for _, bounds := range [][2][]byte{{nil, nil}, {from, to}, {from, nil}, {nil, to}} {
			for _, reverse := range []bool{false, true} {
				got, err := scan(s, ks, bounds[0], bounds[1], reverse)
				if err != nil {
					return err
				}
				if got != expect(model[ks], bounds[0], bounds[1], reverse) {
					return fmt.Errorf("scan of %s [%x, %x) reverse %t differs from the model", ks, bounds[0], bounds[1], reverse)
				}
			}
		}
		for _, key := range [][]byte{from, to} {
			if got, err := s.Get(ks, key); err != nil || string(got) != model[ks][string(key)] {
				return fmt.Errorf("get %x in %s differs from the model: %w", key, ks, err)
			}
		}
	}
	return nil
}
