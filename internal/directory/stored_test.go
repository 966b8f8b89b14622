package directory_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	posternv1 "postern/proto/postern/v1"
)

func TestADirectoryIsStoredExactlyAsItCame(t *testing.T) {
	w := newWorld(t)
	db := value(bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Schema: schema.Hub}))(t)
	defer db.Close()
	if _, _, ok := load(t, db); ok {
		t.Error("there is a directory in an empty database")
	}
	long, longEntries := w.build(1)
	short := &posternv1.DirectoryRevision{Audience: domain, Number: 2, CreateTime: long.GetCreateTime(), EntriesSha256: long.GetEntriesSha256()[:3]}
	for _, c := range []struct {
		revision *posternv1.DirectoryRevision
		entries  [][]byte
	}{{long, longEntries}, {short, longEntries[:3]}} {
		signed := value(directory.Sign(w.id(operator), c.revision))(t)
		must(t, db.Update(t.Context(), func(tx store.Tx) error { return directory.Save(tx, schema.HubDirectory, signed, c.entries) }))
		got, entries, ok := load(t, db)
		if !ok || !proto.Equal(got, signed) || !slices.EqualFunc(entries, c.entries, slices.Equal) {
			t.Fatal("what was stored is not what was saved")
		}
		if _, err := directory.Open(got, entries, w.anchors, morning); err != nil {
			t.Error(err)
		}
	}
	// The shorter revision left nothing of the longer one behind.
	records := 0
	must(t, db.View(t.Context(), func(s store.Snapshot) error {
		return s.Scan(schema.HubDirectory, nil, nil, func(_, _ []byte) (bool, error) { records++; return true, nil })
	}))
	if records != 4 {
		t.Errorf("%d records, want the revision and 3 entries", records)
	}
}

func load(t *testing.T, db store.Store) (signed *posternv1.Signed, entries [][]byte, ok bool) {
	t.Helper()
	must(t, db.View(context.Background(), func(s store.Snapshot) (err error) {
		signed, entries, ok, err = directory.Load(s, schema.HubDirectory)
		return err
	}))
	return signed, entries, ok
}

func TestThereIsADirectoryBeforeTheFirst(t *testing.T) {
	none := directory.Empty()
	_, authority := none.Authority(bristol)
	_, key := none.RecipientKey(bristol)
	_, agreed := none.Agreement("BLI", bristol, "2026-10-05")
	_, phone, _ := none.PhoneNow(bristol, earlyHelp, morning)
	if none.Number() != 0 || authority || key || agreed || phone != "" || none.Enrolled(bristol, morning) || len(none.Authorities()) != 0 {
		t.Error("somebody takes part in an empty directory")
	}
}

func TestTheStoredNumberIsThatOfTheRevision(t *testing.T) {
	w := newWorld(t)
	db := value(bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Schema: schema.Hub}))(t)
	defer db.Close()
	for _, number := range []uint64{1, 3} {
		r, entries := w.build(number)
		signed := value(directory.Sign(w.id(operator), r))(t)
		must(t, db.Update(t.Context(), func(tx store.Tx) error {
			before := value(directory.StoredNumber(tx, schema.HubDirectory))(t)
			must(t, directory.Save(tx, schema.HubDirectory, signed, entries))
			after := value(directory.StoredNumber(tx, schema.HubDirectory))(t)
			if before >= number || after != number {
				t.Errorf("number %d before and %d after saving revision %d", before, after, number)
			}
			return nil
		}))
	}
}
