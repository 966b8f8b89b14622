package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/store"
)

// flipped writes a copy of the file with one bit turned and returns its path.
func flipped(t *testing.T, dir string, file []byte, offset int, bit uint) string {
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

// unchecked opens a file without the checks of a start, as a database that was damaged while it was open.
func unchecked(t *testing.T, path string) *database {
	t.Helper()
	s, err := open(Config{Path: path, Schema: testSchema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Every bit of a stored record, its checksum and its key included: reading it, and looking for it, is an error; so is
// starting with it, and verifying it.
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
		path := flipped(t, dir, file, at+offset, uint(offset%8))
		if _, err := Open(t.Context(), Config{Path: path, Schema: testSchema}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("byte %d of the record: open: %v", offset, err)
		}
		if _, err := Verify(t.Context(), Config{Path: path, Schema: testSchema}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("byte %d of the record: verify: %v", offset, err)
		}
		s := unchecked(t, path)
		if v, err := get(s, "form", key); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("byte %d of the record: %q, %v", offset, v, err)
		}
		for _, reverse := range []bool{false, true} {
			if _, err := scanAll(s, reverse); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("byte %d of the record: scan: %v", offset, err)
			}
		}
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("form", []byte(key), []byte("anew")) })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err == nil { // where its key is damaged, the new record lies beside it
			_, err = Verify(t.Context(), Config{Path: path, Schema: testSchema})
		}
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("byte %d of the record: writing over it: %v", offset, err)
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

// Any bit of the file: Verify finds it, or it changes no record and hides none. The whole harness, with real data and
// its controls, is in flip_test.go.
func TestAFlippedBitAnywhereIsFoundOrHarmless(t *testing.T) {
	file, truth := filled(t, 300, 60)
	dir, random := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	outcomes := map[string]int{}
	for range 120 {
		path := flipped(t, dir, file, random.IntN(len(file)), uint(random.IntN(8)))
		if _, err := Verify(t.Context(), Config{Path: path, Schema: testSchema}); err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("verify: %v", err)
			}
			outcomes["found"]++
			continue
		}
		outcomes["harmless"]++
		s := unchecked(t, path)
		for _, reverse := range []bool{false, true} {
			if records, err := scanAll(s, reverse); err != nil || !maps.Equal(records, truth) {
				t.Errorf("a flip that Verify passed: %d of %d records, %v", len(records), len(truth), err)
			}
		}
		_ = s.Close()
	}
	t.Logf("%v", outcomes)
	if outcomes["found"] == 0 || outcomes["harmless"] == 0 {
		t.Errorf("the test reaches too little: %v", outcomes)
	}
}

// Damage that is well-formed, which no checksum of a record can show.
func TestWellFormedDamageIsFound(t *testing.T) {
	const page = 4096
	older, _ := filled(t, 300, 60)
	newer, _ := filled(t, 300, 61)        // the same pages, other values
	count := func(file []byte) (at int) { // of the first full leaf page
		for at = 2 * page; binary.NativeEndian.Uint16(file[at+8:]) != leafPage || binary.NativeEndian.Uint16(file[at+10:]) < 20; at += page {
		}
		return at
	}
	for name, damage := range map[string]func(file []byte) []byte{
		"a page that lost its last record": func(file []byte) []byte {
			file[count(file)+10]--
			return file
		},
		"an old page in the place of a new one": func(file []byte) []byte {
			at := count(file)
			copy(file[at:at+page], older[at:at+page])
			return file
		},
		"the older meta page alone": func(file []byte) []byte {
			newest := page * int(binary.NativeEndian.Uint64(file[page+pageHeader+48:])%2)
			file[newest+pageHeader+60] ^= 1
			return file
		},
		"a keyspace under another name": func(file []byte) []byte {
			root := page * int(binary.NativeEndian.Uint64(file[page*int(binary.NativeEndian.Uint64(file[page+pageHeader+48:])%2)+pageHeader+16:]))
			copy(file[root+bytes.Index(file[root:root+page], []byte("spool")):], "spook")
			return file
		},
		"a file that ends early": func(file []byte) []byte { return file[:len(file)-page] },
	} {
		path := filepath.Join(t.TempDir(), "desk.db")
		if err := os.WriteFile(path, damage(bytes.Clone(newer)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), config(path)); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		// A start reads a sample; of these it must find what would lose more than the records of one page.
		if s, err := Open(t.Context(), config(path)); err == nil {
			_ = s.Close()
			if name != "a page that lost its last record" && name != "an old page in the place of a new one" {
				t.Errorf("%s: a start finds nothing", name)
			}
		}
	}
}
