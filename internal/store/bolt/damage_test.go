package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/fault"
	"postern/internal/store"
)

// damaged writes a copy of the file with one bit turned and returns its path.
func damaged(t *testing.T, dir string, file []byte, offset int, bit uint) string {
	t.Helper()
	path := filepath.Join(dir, "damaged.db")
	file[offset] ^= 1 << bit
	defer func() { file[offset] ^= 1 << bit }()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// filled returns the bytes of a closed database and what is in its keyspace "form".
func filled(t *testing.T, records, size int) ([]byte, map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "desk.db")
	s := mustOpen(t, path, testSchema)
	truth := map[string]string{}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range records {
			key := fmt.Sprintf("%c key %04d", 'a'+i%7, i)
			truth[key] = fmt.Sprintf("<%04d>%s", i, bytes.Repeat([]byte{byte('A' + i%26)}, size))
			if err := tx.Put("form", []byte(key), []byte(truth[key])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	used := len(bytes.TrimRight(file, "\x00"))
	return file[:(used+page-1)/page*page], truth
}

// Every bit of a stored record, its checksum and its key included: reading it, and looking for it, is an error.
func TestAFlippedBitOfARecordIsAnError(t *testing.T) {
	file, truth := filled(t, 3, 8)
	key := "b key 0001"
	stored := key + string(wrap("form", []byte(key), []byte(truth[key])))
	at := bytes.Index(file, []byte(stored))
	if at < 0 || bytes.Contains(file[at+1:], []byte(stored)) {
		t.Fatal("the record is not in the file exactly once")
	}
	dir := t.TempDir()
	for offset := range len(stored) {
		s := mustOpen(t, damaged(t, dir, file, at+offset, uint(offset%8)), testSchema)
		if v, err := get(s, "form", key); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("byte %d of the record: %q, %v", offset, v, err)
		}
		for _, reverse := range []bool{false, true} {
			if _, err := scanAll(s, reverse); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("byte %d of the record: scan: %v", offset, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func scanAll(s store.Store, reverse bool) (map[string]string, error) {
	found := map[string]string{}
	err := s.View(context.Background(), func(snapshot store.Snapshot) error {
		walk := snapshot.Scan
		if reverse {
			walk = snapshot.ScanReverse
		}
		return walk("form", nil, nil, func(k, v []byte) (bool, error) {
			found[string(k)] = string(v)
			return true, nil
		})
	})
	return found, err
}

// Any bit of the file: no read returns a value that was not written there, and nothing ends the process. What a page
// header hides (see the package comment) shows as missing records, and is counted here so that the promise stays honest.
func TestAFlippedBitAnywhereNeverYieldsWrongData(t *testing.T) {
	file, truth := filled(t, 300, 60)
	dir, random := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	const flips = 120
	outcomes := map[string]int{}
	for range flips {
		offset, bit := random.IntN(len(file)), uint(random.IntN(8))
		outcomes[readAll(t, damaged(t, dir, file, offset, bit), truth)]++
	}
	t.Logf("%d flips: %v", flips, outcomes)
	if outcomes["found"] == 0 || outcomes["no effect"] == 0 {
		t.Errorf("the test reaches too little: %v", outcomes)
	}
	if outcomes["missing"] > flips/50 {
		t.Errorf("too many flips hide records: %v", outcomes)
	}
}

func readAll(t *testing.T, path string, truth map[string]string) string {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: path, Schema: testSchema})
	if err != nil {
		if kind := fault.KindOf(err); kind != fault.Internal && kind != fault.Precondition {
			t.Errorf("opening a damaged file: %v", err)
		}
		return "found"
	}
	defer s.Close()
	outcome := "no effect"
	for _, reverse := range []bool{false, true} {
		records, err := scanAll(s, reverse)
		for k, v := range records {
			if truth[k] != v {
				t.Fatalf("a scan returned a wrong value")
			}
		}
		if err != nil {
			outcome = "found"
		} else if !maps.Equal(records, truth) {
			return "missing"
		}
	}
	for k, want := range truth {
		switch got, err := get(s, "form", k); {
		case err != nil:
			outcome = "found"
		case got == nil:
			return "missing"
		case string(got) != want:
			t.Fatalf("a read returned a wrong value")
		}
	}
	return outcome
}
