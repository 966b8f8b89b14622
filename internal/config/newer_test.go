package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
)

// A database of a later version of the program is refused by every party that has one, and stays as it is: an older
// program would read it wrongly, and write it so that the newer one reads it wrongly.
func TestEveryPartyRefusesANewerDatabase(t *testing.T) {
	dir := folder(t)
	for kind, d := range map[string]schema.Database{"hub": schema.Hub, "desk": schema.Desk, "inbox": schema.Inbox} {
		t.Run(kind, func(t *testing.T) {
			p, err := loaders[kind](filepath.Join(dir, kind+".yaml"))
			check(t, err)
			s, err := p.Build(t.Context(), runtime()) // it has one of its own version first
			check(t, err)
			check(t, s.Close())
			path := filepath.Join(dir, kind, "data", d.Name+".db")
			later := d
			later.Version++
			later.Keyspaces = append([]store.Keyspace{}, d.Keyspaces...)
			newer, err := bolt.Open(t.Context(), bolt.Config{Path: path, Schema: later})
			check(t, err)
			check(t, newer.Close())
			before, err := os.ReadFile(path)
			check(t, err)
			if _, err := p.Build(t.Context(), runtime()); fault.From(err).Reason != "STORE_NEWER" {
				t.Errorf("built on it: %v", err)
			}
			after, err := os.ReadFile(path)
			check(t, err)
			if string(before) != string(after) {
				t.Error("it was changed")
			}
		})
	}
}
