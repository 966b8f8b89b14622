package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
)

// A database beside the vault of another party, or of another one of that name, is not written to.
func TestADatabaseBesideAnotherVaultIsRefused(t *testing.T) {
	dir := folder(t)
	for _, d := range []schema.Database{schema.Desk, schema.Inbox} {
		p, err := loaders[d.Name](filepath.Join(dir, d.Name+".yaml"))
		check(t, err)
		s, err := p.Build(t.Context(), runtime())
		check(t, err)
		check(t, s.Close())
		data := filepath.Join(dir, d.Name, "data")
		keys, own, other := filepath.Join(data, "vault"), filepath.Join(data, "own"), filepath.Join(data, "other")
		v, err := vault.Open(vault.Config{Dir: keys})
		check(t, err)
		database, err := bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(data, d.Name+".db"), Schema: d})
		check(t, err)
		for _, ks := range d.Sealed {
			sealed, err := v.Seal(string(ks), []byte("settings"), nil)
			check(t, err)
			check(t, database.Update(t.Context(), func(tx store.Tx) error { return tx.Put(ks, []byte("settings"), sealed) }))
		}
		check(t, database.Close())
		for _, month := range []time.Time{time.Now(), time.Now().AddDate(-1, 0, 0)} { // under the same name, and under another
			check(t, os.RemoveAll(other))
			_, err = vault.Open(vault.Config{Dir: other, Clock: func() time.Time { return month }})
			check(t, err)
			check(t, os.Rename(keys, own))
			check(t, os.Rename(other, keys))
			for range 2 { // nothing is left behind that would let it start
				if s, err := p.Build(t.Context(), runtime()); fault.From(err).Reason != "WRONG_VAULT" || !strings.Contains(err.Error(), keys) {
					t.Errorf("%s with the keys of another: %v, %v", d.Name, s, err)
				}
			}
			check(t, os.Rename(keys, other))
			check(t, os.Rename(own, keys))
		}
		s, err = p.Build(t.Context(), runtime())
		check(t, err)
		check(t, s.Close())
	}
}
