package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/fault"
	"postern/internal/store"
)

func config(path string) Config { return Config{Path: path, Schema: testSchema} }

// names are the files of a folder.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestABackupIsOneMomentOfADatabaseInUse(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "desk.db"), testSchema)
	put(t, s, "form", "left", "0")
	put(t, s, "form", "right", "0")
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() { // ends with ctx; both records always have one value
		defer close(written)
		for i := 1; ctx.Err() == nil; i++ {
			_ = s.Update(ctx, func(tx store.Tx) error {
				v := fmt.Append(nil, i)
				return errors.Join(tx.Put("form", []byte("left"), v), tx.Put("form", []byte("right"), v), tx.Put("spool", v, bytes.Repeat(v, 200)))
			})
		}
	}()
	var last uint64
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("copy-%d.db", i))
		report, err := s.Backup(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if report.Revision < last || report.Records < 2 || report.Bytes == 0 {
			t.Errorf("%+v after revision %d", report, last)
		}
		last = report.Revision
		if again, err := Verify(t.Context(), config(path)); err != nil || again != report {
			t.Errorf("verified again: %+v, %v", again, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the copy: %v, %v", info.Mode(), err)
		}
		c := mustOpen(t, path, testSchema)
		left, errLeft := get(c, "form", "left")
		right, errRight := get(c, "form", "right")
		if !bytes.Equal(left, right) || left == nil || errLeft != nil || errRight != nil {
			t.Errorf("copy %d: left %s, right %s, %v, %v", i, left, right, errLeft, errRight)
		}
		put(t, c, "form", "left", "a copy is a database like any other")
		_ = c.Close()
		if _, err := Verify(t.Context(), config(path)); err != nil {
			t.Errorf("the copy, written to: %v", err)
		}
	}
	if _, err := s.Scrub(t.Context()); err != nil {
		t.Errorf("scrub: %v", err)
	}
	stop()
	<-written
	if got := names(t, dir); len(got) != 6 {
		t.Errorf("the folder holds %v", got)
	}
}

// What was deleted or replaced lies in the free pages of the database until they are used again, and in none of a backup.
func TestABackupHoldsNothingThatWasDeleted(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "desk.db"), testSchema)
	gone := bytes.Repeat([]byte("what was deleted. "), 40)
	for i := range 100 {
		put(t, s, "form", fmt.Sprint("k", i), string(gone))
	}
	for i := range 100 {
		if i%2 == 0 {
			put(t, s, "form", fmt.Sprint("k", i), "another value")
			continue
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("form", fmt.Append(nil, "k", i)) }); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "copy.db")
	if _, err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{s.path: true, path: false} {
		content, err := os.ReadFile(name)
		if has := bytes.Contains(content, gone[:100]); err != nil || has != want {
			t.Errorf("%s holds what was deleted: %t, %v", filepath.Base(name), has, err)
		}
	}
	copied := mustOpen(t, path, testSchema)
	put(t, copied, "form", "more", "v") // and its free pages are used
	if v, err := get(copied, "form", "k0"); string(v) != "another value" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestABackupNeverReplacesAFile(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "desk.db"), testSchema)
	path := filepath.Join(dir, "precious")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Backup(t.Context(), path)
	wantFault(t, err, fault.Exists, "STORE_BACKUP_EXISTS")
	_, err = s.Backup(t.Context(), filepath.Join(dir, "missing", "copy.db"))
	wantFault(t, err, fault.Unavailable, "STORE_UNUSABLE")
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("the folder holds %v", got)
	}
}

// comes is a context in whose time, while the copy is written, somebody else's copy gets the name.
type comes struct {
	context.Context
	path string
}

func (c comes) Err() error {
	_ = os.WriteFile(c.path, []byte("precious"), 0o600)
	return c.Context.Err()
}

// Of two at once to one file, the second hears the same as one that finds it there.
func TestABackupThatFindsItsNameTakenSaysSo(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "desk.db"), testSchema)
	path := filepath.Join(dir, "precious")
	_, err := s.Backup(comes{t.Context(), path}, path)
	wantFault(t, err, fault.Exists, "STORE_BACKUP_EXISTS")
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" || len(names(t, dir)) != 2 {
		t.Errorf("the file holds %q (%v), the folder %v", b, err, names(t, dir))
	}
}

func TestABackupOfADamagedDatabaseIsNone(t *testing.T) {
	file, _ := filled(t, 300, 60)
	dir := t.TempDir()
	at := bytes.Index(file, []byte("b key 0001"))
	s := unchecked(t, flipped(t, dir, file, at+60, 3))
	if _, err := s.Backup(t.Context(), filepath.Join(dir, "copy.db")); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("backup: %v", err)
	}
	if _, err := s.Scrub(t.Context()); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("scrub: %v", err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the folder holds %v", got)
	}
}

func TestABackupEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "desk.db"), testSchema)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Backup(ctx, filepath.Join(dir, "copy.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the folder holds %v", got)
	}
}

// restorable is a folder with a database, "now", and a copy of it when it was at "then".
func restorable(t *testing.T) (dir string, c RestoreConfig) {
	dir = t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "desk.db"), testSchema)
	put(t, s, "form", "k", "then")
	if _, err := s.Backup(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	put(t, s, "form", "k", "now")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, RestoreConfig{Config: config(s.path), From: filepath.Join(dir, "copy.db")}
}

func wantValue(t *testing.T, path, want string) {
	t.Helper()
	s := mustOpen(t, path, testSchema)
	if v, err := get(s, "form", "k"); string(v) != want || err != nil {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(path), v, err, want)
	}
	_ = s.Close()
}

func TestANewerDatabaseIsNotReplacedUnlessForced(t *testing.T) {
	_, c := restorable(t)
	_, _, err := Restore(t.Context(), c)
	wantFault(t, err, fault.Precondition, "STORE_RESTORE_OLDER")
	wantValue(t, c.Path, "now")
	c.Force = true
	aside, report, err := Restore(t.Context(), c)
	if err != nil || report.Records != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	wantValue(t, c.Path, "then")
	wantValue(t, aside, "now")
	// And back: the kept file is newer, so nothing is forced; both files stay.
	c.From, c.Force = aside, false
	second, _, err := Restore(t.Context(), c)
	if err != nil || second == aside {
		t.Fatalf("%q, %v", second, err)
	}
	wantValue(t, c.Path, "now")
	wantValue(t, second, "then")
}

func TestADamagedDatabaseIsReplacedWhateverItsAge(t *testing.T) {
	_, c := restorable(t)
	f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), 0); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	aside, _, err := Restore(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, c.Path, "then")
	if content, err := os.ReadFile(aside); err != nil || !bytes.HasPrefix(content, []byte("damage")) {
		t.Errorf("the damaged file is not kept: %v", err)
	}
}

func TestARestoreWhereThereIsNoDatabase(t *testing.T) {
	dir, c := restorable(t)
	c.Path = filepath.Join(dir, "new", "desk.db")
	aside, _, err := Restore(t.Context(), c)
	if err != nil || aside != "" {
		t.Fatalf("%q, %v", aside, err)
	}
	wantValue(t, c.Path, "then")
	if got := names(t, filepath.Dir(c.Path)); len(got) != 1 {
		t.Errorf("the folder holds %v", got)
	}
}

func TestARestoreThatIsRefusedChangesNothing(t *testing.T) {
	dir, c := restorable(t)
	c.Force = true
	before := names(t, dir)
	refused := errors.New("not accepted")
	bad := filepath.Join(t.TempDir(), "bad.db")
	content, err := os.ReadFile(c.From)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, content[:len(content)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	other := c
	other.Schema = store.Schema{Name: "hub", Version: testSchema.Version, Keyspaces: []store.Keyspace{"leaf"}}
	damagedCopy, missing, unaccepted := c, c, c
	damagedCopy.From = bad
	missing.From = filepath.Join(dir, "nothing.db")
	unaccepted.Accept = func(ctx context.Context, copied string, _ store.Report) error {
		_, err := Verify(ctx, config(copied))
		return errors.Join(err, refused)
	}
	for name, r := range map[string]struct {
		c    RestoreConfig
		want error
	}{
		"a damaged copy":            {damagedCopy, store.ErrCorrupt},
		"no copy":                   {missing, fault.New(fault.NotFound, "STORE_MISSING", "")},
		"a copy of another kind":    {other, fault.New(fault.Precondition, "STORE_OTHER_KIND", "")},
		"a copy that is unaccepted": {unaccepted, refused},
	} {
		if _, _, err := Restore(t.Context(), r.c); !errors.Is(err, r.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := mustOpen(t, c.Path, testSchema)
	_, _, err = Restore(t.Context(), c)
	wantFault(t, err, fault.Unavailable, "STORE_LOCKED")
	_, err = Verify(t.Context(), c.Config)
	wantFault(t, err, fault.Unavailable, "STORE_LOCKED")
	_ = s.Close()
	wantValue(t, c.Path, "now")
	if after := names(t, dir); len(after) != len(before) {
		t.Errorf("the folder held %v, now %v", before, after)
	}
}
