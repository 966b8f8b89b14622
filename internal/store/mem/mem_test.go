package mem_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/store"
	"postern/internal/store/mem"
	"postern/internal/store/storetest"
)

// opener opens stores for the suite: one disk a folder.
func opener() storetest.Open {
	disks := map[string]*mem.Disk{}
	return func(t testing.TB, dir string) store.Store {
		if disks[dir] == nil {
			disks[dir] = mem.NewDisk()
		}
		return open(t, disks[dir], storetest.Schema)
	}
}

func open(t testing.TB, d *mem.Disk, schema store.Schema) *mem.Store {
	t.Helper()
	s, err := mem.Open(t.Context(), mem.Config{Disk: d, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) { storetest.Run(t, opener()) }

func TestTheSuiteFindsFaults(t *testing.T) { storetest.Control(t, opener()) }

const ks store.Keyspace = "left"

func put(s store.Store, pairs ...string) error {
	return s.Update(context.Background(), func(tx store.Tx) (err error) {
		for i := 0; i < len(pairs); i += 2 {
			err = errors.Join(err, tx.Put(ks, []byte(pairs[i]), []byte(pairs[i+1])))
		}
		return err
	})
}

// content is every record, as in a=1 b=2.
func content(t interface{ Fatal(...any) }, s store.Store) string {
	var all []string
	err := s.View(context.Background(), func(s store.Snapshot) error {
		return s.Scan(ks, nil, nil, func(k, v []byte) (bool, error) {
			all = append(all, string(k)+"="+string(v))
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestWhatAFailedCommitLeaves(t *testing.T) {
	for _, c := range []struct {
		fault mem.Fault
		want  error
		after string // what opening again shows
	}{
		{mem.None, nil, "a=2 b=2 c=2 d=2"},
		{mem.Full, store.ErrFull, "a=1"},
		{mem.Lost, store.ErrOutcomeUnknown, "a=1"},
		{mem.Kept, store.ErrOutcomeUnknown, "a=2 b=2 c=2 d=2"},
		{mem.Torn, store.ErrOutcomeUnknown, "a=2 b=2"},
	} {
		t.Run(fmt.Sprint(c.fault), func(t *testing.T) {
			d := mem.NewDisk()
			s := open(t, d, storetest.Schema)
			if err := put(s, "a", "1"); err != nil {
				t.Fatal(err)
			}
			d.Fail(c.fault)
			if err := put(s, "a", "2", "b", "2", "c", "2", "d", "2"); !errors.Is(err, c.want) {
				t.Errorf("the commit: %v", err)
			}
			if c.want == store.ErrOutcomeUnknown {
				if err := s.View(t.Context(), func(store.Snapshot) error { return nil }); !errors.Is(err, store.ErrOutcomeUnknown) {
					t.Errorf("the store goes on: %v", err)
				}
			} else if content(t, s) != c.after {
				t.Errorf("before the crash: %s", content(t, s))
			}
			d.Crash()
			if got := content(t, open(t, d, storetest.Schema)); got != c.after {
				t.Errorf("opened again: %s, want %s", got, c.after)
			}
		})
	}
}

func TestAFullDiskLetsTheReservedPass(t *testing.T) {
	d := mem.NewDisk()
	s := open(t, d, storetest.Schema)
	d.Fail(mem.Full)
	if err := put(store.Reserved(s), "a", "1"); err != nil {
		t.Errorf("with the right to the reserve: %v", err)
	}
	if err := put(s, "b", "1"); !errors.Is(err, store.ErrFull) || fault.From(err).RetryAfter == 0 {
		t.Errorf("without: %v", err)
	}
	if err := put(s, "c", "1"); err != nil || content(t, s) != "a=1 c=1" {
		t.Errorf("once there is space: %v, %s", err, content(t, s))
	}
}

func TestACrashInTheMiddleOfATransaction(t *testing.T) {
	d := mem.NewDisk()
	s := open(t, d, storetest.Schema)
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.Put(ks, []byte("a"), []byte("2")); err != nil {
			return err
		}
		d.Crash()
		if _, err := tx.Get(ks, []byte("a")); !errors.Is(err, store.ErrClosed) {
			t.Errorf("reading after the crash: %v", err)
		}
		return nil
	})
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("the transaction: %v", err)
	}
	again := open(t, d, storetest.Schema)
	if got := content(t, again); got != "a=1" {
		t.Errorf("opened again: %s", got)
	}
	if err := s.Close(); err != nil { // the dead store must not take the disk from the living one
		t.Fatal(err)
	}
	if err := put(again, "b", "1"); err != nil {
		t.Errorf("the living store: %v", err)
	}
}

func TestOneStoreADisk(t *testing.T) {
	d := mem.NewDisk()
	s := open(t, d, storetest.Schema)
	other, newer := storetest.Schema, storetest.Schema
	other.Name = "other"
	newer.Version++
	try := func(schema store.Schema) error {
		_, err := mem.Open(t.Context(), mem.Config{Disk: d, Schema: schema})
		return err
	}
	want := func(err error, kind fault.Kind, reason string) {
		t.Helper()
		if !errors.Is(err, fault.New(kind, reason, "")) {
			t.Errorf("got %v, want %s", err, reason)
		}
	}
	want(try(storetest.Schema), fault.Unavailable, "STORE_LOCKED")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(try(other), fault.Precondition, "STORE_OTHER_KIND")
	if err := open(t, d, newer).Close(); err != nil {
		t.Fatal(err)
	}
	want(try(storetest.Schema), fault.Precondition, "STORE_NEWER")
	newer.Version, newer.Oldest = newer.Version+1, newer.Version+1
	want(try(newer), fault.Precondition, "STORE_OLDER")
}

// A crash shows the acknowledged writes and nothing else; with the engine's own fault on, the same test must fail.
func TestCrashesLoseWhatIsNotDurable(t *testing.T) {
	lost := func(unsynced bool) (lost int) {
		rapid.Check(t, func(t *rapid.T) {
			d := mem.NewDisk()
			acknowledged := map[string]string{}
			s, err := mem.Open(context.Background(), mem.Config{Disk: d, Schema: storetest.Schema, Unsynced: unsynced})
			if err != nil {
				t.Fatal(err)
			}
			for i := range rapid.IntRange(1, 20).Draw(t, "steps") {
				key, value := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), fmt.Sprint(i)
				d.Fail(rapid.SampledFrom([]mem.Fault{mem.None, mem.None, mem.Full, mem.Lost, mem.Kept}).Draw(t, "fault"))
				switch err := put(s, key, value); {
				case err == nil:
					acknowledged[key] = value
				case errors.Is(err, store.ErrOutcomeUnknown), rapid.IntRange(0, 4).Draw(t, "crash") == 0:
					d.Crash()
					if s, err = mem.Open(context.Background(), mem.Config{Disk: d, Schema: storetest.Schema, Unsynced: unsynced}); err != nil {
						t.Fatal(err)
					}
					now := content(t, s)
					for k, v := range acknowledged {
						if !strings.Contains(now+" ", k+"="+v+" ") && !(k == key && strings.Contains(now+" ", k+"="+value+" ")) {
							lost++
						}
					}
					acknowledged = map[string]string{}
					for pair := range strings.FieldsSeq(now) {
						k, v, _ := strings.Cut(pair, "=")
						acknowledged[k] = v
					}
				}
			}
		})
		return lost
	}
	if n := lost(false); n > 0 {
		t.Errorf("%d acknowledged writes were lost", n)
	}
	if lost(true) == 0 {
		t.Error("the control lost nothing")
	}
}

func TestACopyGoesItsOwnWay(t *testing.T) {
	d := mem.NewDisk()
	s := open(t, d, storetest.Schema)
	if err := put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	old := d.Copy()
	if err := put(s, "b", "1"); err != nil {
		t.Fatal(err)
	}
	restored := open(t, old, storetest.Schema)
	if err := put(restored, "c", "1"); err != nil {
		t.Fatal(err)
	}
	if got, copied := content(t, s), content(t, restored); got != "a=1 b=1" || copied != "a=1 c=1" {
		t.Errorf("the disk has %s, its copy %s", got, copied)
	}
}
