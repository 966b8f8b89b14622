package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"postern/internal/fault"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestConformance(t *testing.T) { storetest.Run(t, openVerified) }

func TestTheSuiteFindsFaults(t *testing.T) { storetest.Control(t, openVerified) }

// verified is a database whose file is verified after every Close, so that each test of the suite is one of Verify too.
type verified struct {
	store.Store
	t      testing.TB
	config Config
}

func openVerified(t testing.TB, dir string) store.Store {
	c := Config{Path: filepath.Join(dir, "data", "store.db"), Schema: storetest.Schema}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return verified{s, t, c}
}

func (v verified) Close() error {
	err := v.Store.Close()
	if _, damage := Verify(context.Background(), v.config); damage != nil {
		v.t.Errorf("the closed file: %v", damage)
	}
	return err
}

var testSchema = store.Schema{Name: "desk", Version: 2, Keyspaces: []store.Keyspace{"form", "spool"}, Appended: []store.Keyspace{"spool"}}

func mustOpen(t *testing.T, path string, schema store.Schema) *database {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: path, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*database)
}

func put(t *testing.T, s store.Store, ks store.Keyspace, key, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(ks, []byte(key), []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func get(s store.Store, ks store.Keyspace, key string) (value []byte, err error) {
	err = s.View(context.Background(), func(snapshot store.Snapshot) (err error) {
		value, err = snapshot.Get(ks, []byte(key))
		return err
	})
	return value, err
}

func wantFault(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	if !errors.Is(err, fault.New(kind, reason, "")) {
		t.Errorf("got %v, want %s", err, reason)
	}
}

func TestTheFileIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "desk.db")
	mustOpen(t, path, testSchema)
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("the folder holds %v", names)
	}
}

func TestASecondProcessIsToldThatTheFirstHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	first := mustOpen(t, path, testSchema)
	_, err := Open(t.Context(), Config{Path: path, Schema: testSchema})
	wantFault(t, err, fault.Unavailable, "STORE_LOCKED")
	put(t, first, "form", "k", "v")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, testSchema)
}

func TestFirstStartsAtOnceMakeOneDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	var all sync.WaitGroup
	var mu sync.Mutex // guards opened
	var opened []store.Store
	for range 4 {
		all.Go(func() {
			s, err := Open(context.Background(), Config{Path: path, Schema: testSchema})
			if err != nil {
				wantFault(t, err, fault.Unavailable, "STORE_LOCKED")
				return
			}
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, s)
		})
	}
	all.Wait()
	if len(opened) != 1 {
		t.Fatalf("%d have it open", len(opened))
	}
	put(t, opened[0], "form", "k", "v")
	if err := opened[0].Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := get(mustOpen(t, path, testSchema), "form", "k"); string(v) != "v" || err != nil {
		t.Errorf("the winner's record is %q, %v", v, err)
	}
}

func TestATornFirstStartLeavesNothingInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	stray := path + ".new-123"
	if err := os.WriteFile(stray, []byte("half a page"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, testSchema)
	if _, err := os.Stat(stray); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stray file is still there: %v", err)
	}
}

func TestOtherFilesAreRefusedAndLeftAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{write("empty", nil), write("text", []byte("not a database")), write("zeros", make([]byte, 1<<16)), foreign} {
		before, _ := os.ReadFile(path)
		_, err := Open(t.Context(), Config{Path: path, Schema: testSchema})
		wantFault(t, err, fault.Precondition, "STORE_NOT_A_DATABASE")
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was changed", path)
		}
	}
	_, err = Open(t.Context(), Config{Path: dir, Schema: testSchema})
	wantFault(t, err, fault.Unavailable, "STORE_UNUSABLE")
}

// A file of the layout before is refused by name, and not called damaged.
func TestAnOlderLayoutIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	record := append([]byte("8 bytes."), "desk"...) // under a checksum that nobody reckons any more
	err = errors.Join(db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(beforeSpace))
		return errors.Join(err, b.Put(nameKey, record))
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Path: path, Schema: testSchema})
	wantFault(t, err, fault.Precondition, "STORE_OLDER")
	_, err = Verify(t.Context(), Config{Path: path, Schema: testSchema})
	wantFault(t, err, fault.Precondition, "STORE_OLDER")
}

func TestAnotherKindIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	s := mustOpen(t, path, testSchema)
	put(t, s, "form", "k", "v")
	_ = s.Close()
	_, err := Open(t.Context(), Config{Path: path, Schema: store.Schema{Name: "hub", Version: 9, Keyspaces: []store.Keyspace{"leaf"}}})
	wantFault(t, err, fault.Precondition, "STORE_OTHER_KIND")
	if v, err := get(mustOpen(t, path, testSchema), "form", "k"); string(v) != "v" || err != nil {
		t.Errorf("after the refusal: %q, %v", v, err)
	}
}

func TestVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	s := mustOpen(t, path, testSchema)
	put(t, s, "form", "k", "v")
	_ = s.Close()

	older := testSchema
	older.Version = 1
	_, err := Open(t.Context(), Config{Path: path, Schema: older})
	wantFault(t, err, fault.Precondition, "STORE_NEWER")

	newer := testSchema
	newer.Version, newer.Keyspaces = 3, append([]store.Keyspace{"pin"}, testSchema.Keyspaces...)
	s = mustOpen(t, path, newer)
	put(t, s, "pin", "k", "w")
	if v, err := get(s, "form", "k"); string(v) != "v" || err != nil {
		t.Errorf("the old record is %q, %v", v, err)
	}
	_ = s.Close()
	_, err = Open(t.Context(), Config{Path: path, Schema: testSchema})
	wantFault(t, err, fault.Precondition, "STORE_NEWER")

	newer.Version, newer.Oldest = 4, 3
	_ = mustOpen(t, path, newer).Close()
	newer.Version, newer.Oldest = 5, 5
	_, err = Open(t.Context(), Config{Path: path, Schema: newer})
	wantFault(t, err, fault.Precondition, "STORE_OLDER")
}

func TestAFailedCommitEndsTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.db")
	s := mustOpen(t, path, testSchema)
	put(t, s, "form", "k", "before")
	if err := s.file.Close(); err != nil { // the next write fails as it would on a disk that is gone
		t.Fatal(err)
	}
	for range 2 {
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("form", []byte("k"), []byte("after")) })
		if !errors.Is(err, store.ErrOutcomeUnknown) {
			t.Fatalf("update: %v", err)
		}
	}
	if _, err := get(s, "form", "k"); !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Fatalf("view: %v", err)
	}
	_ = s.Close()
	if v, err := get(mustOpen(t, path, testSchema), "form", "k"); string(v) != "before" || err != nil {
		t.Errorf("opened again: %q, %v", v, err)
	}
}

func TestAnUpdateThatWritesNothingSyncsNothing(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "desk.db"), testSchema)
	_ = s.file.Close() // so that any commit would fail
	err := s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.Get("form", []byte("k"))
		return errors.Join(err, tx.Delete("form", []byte("k")))
	})
	if err != nil {
		t.Errorf("a read in an Update committed: %v", err)
	}
}

func TestWaitingToWriteEndsWithTheContext(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "desk.db"), testSchema)
	err := s.Update(t.Context(), func(store.Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error)
		go func() { waiting <- s.Update(ctx, func(store.Tx) error { return nil }) }()
		cancel()
		return <-waiting
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the second writer: %v", err)
	}
}

// A reader that takes long, such as a backup to a slow disk, keeps no writer waiting however far the file grows meanwhile,
// and no other reader.
func TestAWriterDoesNotWaitForAReader(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "store.db"), testSchema)
	put(t, s, "form", "key", "value")
	reads, read := make(chan struct{}), make(chan error, 1)
	goOn := make(chan struct{})
	go func() {
		read <- s.View(t.Context(), func(snapshot store.Snapshot) error {
			close(reads)
			<-goOn
			value, err := snapshot.Get("form", []byte("key"))
			if err == nil && string(value) != "value" {
				t.Errorf("the long reader sees %q", value)
			}
			return err
		})
	}()
	<-reads
	written := make(chan error, 1)
	go func() {
		page := make([]byte, store.MaxValueSize)
		var err error
		for i := 0; i < 300<<20 && err == nil; i += len(page) { // past the sizes at which bbolt would map it anew
			err = s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("form", binary.BigEndian.AppendUint64(nil, uint64(i)), page) })
		}
		if err == nil {
			err = s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("form", []byte("key"), []byte("another")) })
		}
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the writer waits for the reader")
	}
	close(goOn)
	if err := <-read; err != nil {
		t.Error(err)
	}
}

func TestAFileHasRoomToGrow(t *testing.T) {
	for file, want := range map[int64]int{0: leastMap, 1 << 30: leastMap, 19 << 30: 76 << 30} {
		if got := mapSize(file); got != want {
			t.Errorf("a file of %d bytes is mapped into %d, want %d", file, got, want)
		}
	}
}
