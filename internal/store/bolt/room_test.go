package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"postern/internal/fault"
	"postern/internal/store"
)

// volume is a folder on a file system of so many bytes of its own, or "" where this process may not mount one.
func volume(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Logf("no tmpfs can be mounted here (%v)", err)
		return ""
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// form is the n-th record of ordinary work.
func form(n int) (key, value []byte) {
	return fmt.Appendf(nil, "%06d", n), bytes.Repeat([]byte{byte(n), 1}, 64<<10)
}

// fill is ordinary work until it is refused. It returns how many were taken.
func fill(t *testing.T, s store.Store, from int) int {
	t.Helper()
	for n := from; ; n++ {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			key, value := form(n)
			return tx.Put("form", key, value)
		})
		if errors.Is(err, store.ErrFull) {
			if fault.From(err).RetryAfter == 0 {
				t.Error("a full store does not say when to try again")
			}
			return n
		}
		if err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		if n > 10_000 {
			t.Fatal("it never gets full")
		}
	}
}

// wantRecords checks that the first n records of fill are there, and no more, and that the closed file verifies.
func wantRecords(t *testing.T, s *database, n int) {
	t.Helper()
	seen := 0
	err := s.View(t.Context(), func(snapshot store.Snapshot) error {
		return snapshot.Scan("form", nil, nil, func(k, v []byte) (bool, error) {
			if key, value := form(seen); !bytes.Equal(k, key) || !bytes.Equal(v, value) {
				return false, fmt.Errorf("record %d is %s", seen, k)
			}
			seen++
			return true, nil
		})
	})
	if err != nil || seen != n {
		t.Errorf("%d of %d records, %v", seen, n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), Config{Path: s.path, Schema: testSchema}); err != nil {
		t.Errorf("after the full disk: %v", err)
	}
}

// withdraw is essential work.
func withdraw(t *testing.T, s store.Store, n int) error {
	return store.Reserved(s).Update(t.Context(), func(tx store.Tx) error {
		return tx.Put("spool", fmt.Appendf(nil, "%06d", n), bytes.Repeat([]byte{byte(n)}, 1000))
	})
}

func TestAFullDiskRefusesOrdinaryWorkBeforeHarm(t *testing.T) {
	const reserve = 1 << 20
	for name, c := range map[string]struct {
		volume, maxSize int64
	}{
		"the volume":    {volume: 8 << 20},
		"the MaxSize":   {maxSize: 8 << 20},
		"either of two": {volume: 8 << 20, maxSize: 6 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.volume > 0 {
				if dir = volume(t, c.volume); dir == "" { // then the limit is what is tested
					dir, c.maxSize = t.TempDir(), c.volume
				}
			}
			config := Config{Path: filepath.Join(dir, "desk.db"), Schema: testSchema, Reserve: reserve, MaxSize: c.maxSize}
			opened, err := Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			s := opened.(*database)
			n := fill(t, s, 0)
			if free, ok := freeBytes(dir); c.volume > 0 && c.maxSize == 0 && (!ok || free < reserve/2) {
				t.Errorf("only %d bytes of the volume are left", free)
			}
			if m := fill(t, s, n); m > n+1 { // the pages that its last transaction freed may hold one more
				t.Errorf("refused, then taken: %d records", m-n)
			} else {
				n = m
			}
			for i := range 20 {
				if err := withdraw(t, s, i); err != nil {
					t.Fatalf("withdrawal %d: %v", i, err)
				}
			}
			// Erasure makes room: half of the records go, by the right to the reserve, and ordinary work goes on.
			kept := n / 2
			err = store.Reserved(s).Update(t.Context(), func(tx store.Tx) (err error) {
				for i := kept; i < n; i++ {
					key, _ := form(i)
					err = errors.Join(err, tx.Delete("form", key))
				}
				return err
			})
			if err != nil {
				t.Fatalf("erasure: %v", err)
			}
			if c.volume == 0 { // the file does not shrink, so a full volume stays full
				m := fill(t, s, kept)
				if m < kept+(n-kept)/2 {
					t.Errorf("of %d records that would fit, %d were taken", n-kept, m-kept)
				}
				kept = m
			}
			wantRecords(t, s, kept)
		})
	}
}

// Another program fills the disk to the last byte, over the reserve that is only counted.
func TestADiskFilledByOthers(t *testing.T) {
	dir := volume(t, 12<<20)
	if dir == "" {
		return // the log says so; there is no other way to a full disk
	}
	const reserve = 2 << 20
	opened, err := Open(t.Context(), Config{Path: filepath.Join(dir, "desk.db"), Schema: testSchema, Reserve: reserve})
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*database)
	put(t, s, "spool", "before", "1")
	if info, err := os.Stat(s.room.path); err != nil || info.Size() != reserve {
		t.Fatalf("the file that holds space: %v", err)
	}
	others := filepath.Join(dir, "others.log")
	f, err := os.Create(others)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if m := fill(t, s, 0); m != 0 {
		t.Errorf("%d records of ordinary work were taken", m)
	}
	taken := 0
	for err = nil; err == nil && taken < 10_000; taken++ {
		err = withdraw(t, s, taken)
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("the reserve ends with: %v", err)
	}
	t.Logf("%d withdrawals of 1,000 bytes fitted the reserve of %d", taken-1, reserve)
	if taken < 300 {
		t.Errorf("only %d", taken)
	}
	if _, err := os.Stat(s.room.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file that holds space is still there: %v", err)
	}
	// The disk is full to the last byte, and reading goes on.
	if v, err := get(s, "spool", "before"); string(v) != "1" || err != nil {
		t.Errorf("reading: %q, %v", v, err)
	}
	if err := withdraw(t, s, taken); !errors.Is(err, store.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	// Space returns, and with it the reserve, before ordinary work.
	if err := os.Remove(others); err != nil {
		t.Fatal(err)
	}
	f.Close()
	n := fill(t, s, 0)
	if n < 5 {
		t.Errorf("after space returned, %d records were taken", n)
	}
	if info, err := os.Stat(s.room.path); err != nil || info.Size() != reserve {
		t.Errorf("the file that holds space did not return: %v", err)
	}
	for i := range taken - 1 {
		if v, err := get(s, "spool", fmt.Sprintf("%06d", i)); len(v) != 1000 || err != nil {
			t.Fatalf("withdrawal %d: %d bytes, %v", i, len(v), err)
		}
	}
	wantRecords(t, s, n)
}

// Every commit of a disk that fills up, with nothing kept back: it is refused whole, and nothing before it is lost.
func TestNoSpaceAtACommitIsNotTheEnd(t *testing.T) {
	dir := volume(t, 6<<20)
	config := Config{Path: filepath.Join(dir, "desk.db"), Schema: testSchema}
	if dir == "" {
		config.Path, config.MaxSize = filepath.Join(t.TempDir(), "desk.db"), 6<<20
	}
	opened, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*database)
	n := fill(t, s, 0)
	for range 5 {
		n = fill(t, s, n)
	}
	wantRecords(t, s, n)
}

func TestASmallerReserveGivesTheRestBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	for _, reserve := range []int64{4 << 20, 1 << 20, 2 << 20} {
		s, err := Open(t.Context(), Config{Path: path, Schema: testSchema, Reserve: reserve})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path + ".reserve"); err != nil || info.Size() != reserve {
			t.Errorf("with a reserve of %d the file has %v: %v", reserve, info.Size(), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
