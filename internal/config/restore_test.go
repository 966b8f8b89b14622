package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
)

// A restore, and a check, of a copy that is behind what a witness has seen say so: the checkpoint file may have been put back
// with the machine.
func TestARestoreSaysWhatAWitnessHasSeen(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "hub.yaml")
	p, err := config.LoadHub(file)
	check(t, err)
	s, err := p.Build(t.Context(), runtime())
	check(t, err)
	check(t, s.Close())
	copied := filepath.Join(dir, "copy.db")
	content, err := os.ReadFile(p.Database())
	check(t, err)
	check(t, os.WriteFile(copied, content, 0o600))

	// The hub goes on, and a witness sees it.
	key := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, "hub", name+".key"))
		check(t, err)
		return strings.TrimSpace(string(b))
	}
	db, err := bolt.Open(t.Context(), bolt.Config{Path: p.Database(), Schema: schema.Hub})
	check(t, err)
	v, err := vault.Open(vault.Config{Dir: filepath.Join(filepath.Dir(p.Database()), "vault"), Existing: true})
	check(t, err)
	l, err := ledger.Open(t.Context(), ledger.Config{Store: db, Vault: v, Keys: ledger.Keys{Sent: key("sent"), Received: key("received")}})
	check(t, err)
	check(t, l.Append(t.Context(), func(tx *ledger.Tx) error {
		_, err := tx.Record(ledger.Sent, ledger.Event{Kind: logv1.Kind_KIND_HUB_STARTED, Core: &logv1.Core{}, Details: &logv1.Details{}})
		return err
	}))
	_, _, seen := l.Head(ledger.Sent)
	check(t, db.Close())
	check(t, os.WriteFile(filepath.Join(dir, "seen"), []byte(seen), 0o600))
	edit(t, file, "log_key:", "witness_files: [seen]\nlog_key:")
	p, err = config.LoadHub(file)
	check(t, err)
	_, err = p.CheckDatabase(t.Context(), runtime())
	check(t, err)

	r, err := p.RestoreDatabase(t.Context(), runtime(), copied, true)
	check(t, err)
	if !strings.Contains(r.Behind, "seen by a witness") {
		t.Errorf("a restore of a copy on which the hub does not start says %q", r.Behind)
	}
	if _, err := p.CheckDatabase(t.Context(), runtime()); fault.From(err).Reason != "LEDGER_SHORTER" {
		t.Errorf("a check of it: %v", err)
	}
	if _, err := p.Build(t.Context(), runtime()); fault.From(err).Reason != "LEDGER_SHORTER" {
		t.Errorf("a start on it: %v", err)
	}
}
