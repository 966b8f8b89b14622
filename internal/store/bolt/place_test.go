package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"postern/internal/fault"
	"postern/internal/store"
)

// opens is how many descriptors this process has of a file.
func opens(t *testing.T, path string) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && to == path {
			n++
		}
	}
	return n
}

// A start that waits for the lock while a restore puts another file in the place of the one that it waits for: what it
// serves is the file under the database's name, and not the one that was put aside.
func TestAStartDuringARestoreServesWhatWasRestored(t *testing.T) {
	dir, c := restorable(t)
	c.Force = true
	type started struct {
		store.Store
		err error
	}
	waited := make(chan started, 1)
	c.Accept = func(context.Context, string, store.Report) error {
		before := opens(t, c.Path)
		go func() {
			s, err := Open(context.Background(), config(c.Path))
			waited <- started{s, err}
		}()
		for opens(t, c.Path) == before && len(waited) == 0 {
			runtime.Gosched()
		}
		return nil
	}
	if _, _, err := Restore(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s := <-waited
	if errors.Is(s.err, fault.New(fault.Unavailable, "STORE_LOCKED", "")) {
		return // a start does not wait for long
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	put(t, s, "form", "since", "x")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantValue(t, c.Path, "then")
	if v, err := get(mustOpen(t, c.Path, testSchema), "form", "since"); string(v) != "x" || err != nil {
		t.Errorf("what was written is not in the database: %q, %v; there are %v", v, err, names(t, dir))
	}
}

// What this program cannot read is not damaged: a database of a newer program, or of another kind, is replaced by force only.
func TestADatabaseOfANewerProgramIsNotReplacedUnlessForced(t *testing.T) {
	_, c := restorable(t)
	newer := testSchema
	newer.Version++
	if err := mustOpen(t, c.Path, newer).Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err := Restore(t.Context(), c)
	wantFault(t, err, fault.Precondition, "STORE_NEWER")
	c.Force = true
	if _, _, err = Restore(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	wantValue(t, c.Path, "then")
}
