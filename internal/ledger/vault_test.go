package ledger

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/vault"
)

// Under the keys of another vault nothing is signed: the new events would have wrong ids, and would not open once the
// right keys are back.
func TestAnotherVaultIsRefused(t *testing.T) {
	h := newHub(t)
	h.add(Received, 3)
	before := h.contents()
	open := func(dir string, months int) *vault.Vault {
		t.Helper()
		v, err := vault.Open(vault.Config{Dir: dir, Clock: func() time.Time { return start.AddDate(0, months, 0) }})
		check(t, err)
		return v
	}
	late, both := t.TempDir(), t.TempDir()
	cases := map[string]*vault.Vault{
		"a key of the same month":    open(t.TempDir(), 0),
		"a key of an earlier month":  open(t.TempDir(), -1),
		"a key of a later month":     open(late, 1),
		"a later one beside its own": nil,
	}
	for _, dir := range []string{filepath.Join(h.dir, "keys"), late} {
		files, err := os.ReadDir(dir)
		check(t, err)
		for _, f := range files {
			check(t, os.Link(filepath.Join(dir, f.Name()), filepath.Join(both, f.Name())))
		}
	}
	cases["a later one beside its own"] = open(both, 0)
	for name, v := range cases {
		t.Run(name, func(t *testing.T) {
			other := h.Config
			other.Vault = v
			_, err := Open(t.Context(), other)
			wantFault(t, err, fault.Unverified, "LEDGER_WRONG_VAULT")
			other.Keys = nextGeneration(t, 2)
			_, err = OpenGeneration(t.Context(), Generation{Config: other, Before: h.verifierKeys()})
			wantFault(t, err, fault.Unverified, "LEDGER_WRONG_VAULT")
			h.unchanged(before)
		})
	}
	h.reopen()
}
