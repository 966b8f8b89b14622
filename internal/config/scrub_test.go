package config_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
)

// A bit that turned in a record nobody asks for is found while the party serves, at its start and then every day, and ends
// it.
func TestWhoServesReadsAllThatItHas(t *testing.T) {
	dir := folder(t)
	for kind, c := range map[string]struct {
		d    schema.Database
		kept store.Keyspace // whose rows no start reads
	}{"hub": {schema.Hub, schema.HubWithdrawal}, "desk": {schema.Desk, schema.DeskReceipt}, "inbox": {schema.Inbox, schema.InboxDelivery}} {
		t.Run(kind, func(t *testing.T) {
			p, err := loaders[kind](filepath.Join(dir, kind+".yaml"))
			check(t, err)
			s, err := p.Build(t.Context(), runtime())
			check(t, err)
			check(t, s.Close())
			path := filepath.Join(dir, kind, "data", c.d.Name+".db")
			row := bytes.Repeat([]byte("nobody asks for this row. "), 4)
			db, err := bolt.Open(t.Context(), bolt.Config{Path: path, Schema: c.d})
			check(t, err)
			check(t, db.Update(t.Context(), func(tx store.Tx) error { return tx.Put(c.kept, []byte("here"), row) }))
			check(t, db.Close())
			s, err = p.Build(t.Context(), runtime()) // what a start reads is whole
			check(t, err)
			turn(t, path, row)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // never reached
			defer cancel()
			if err := s.Serve(ctx); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// turn changes one bit of a row in every copy of it in a database that is in use.
func turn(t *testing.T, path string, row []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	check(t, err)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	turned := 0
	for at := bytes.Index(content, row); at >= 0; turned++ {
		_, err := file.WriteAt([]byte{row[len(row)/2] ^ 4}, int64(at+len(row)/2))
		check(t, err)
		content[at] = 0 // the next one
		at = bytes.Index(content, row)
	}
	check(t, file.Close())
	if turned == 0 {
		t.Fatal("the row is not in the file")
	}
}
