package vault_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/fault"
	"postern/internal/vault"
)

// FuzzOpen: any bytes as a record, for any kind and id, are refused; only what was sealed opens, where it belongs. The key
// of the vault is fixed, so that what a fuzzer finds stays a finding.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	const key = "postern vault key 1 2026-11.01\n000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 957ae5538c95a302\n"
	write := func(text string) error {
		return os.WriteFile(filepath.Join(dir, "2026-11.01.key"), []byte(text), 0o600)
	}
	if err := write(key); err != nil {
		f.Fatal(err)
	}
	v, err := vault.Open(vault.Config{Dir: dir, Clock: november, Rand: rand.NewChaCha8([32]byte{})})
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := v.Seal("desk_form", []byte("id-1"), []byte("a form"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("desk_form", []byte("id-1"), sealed)
	f.Add("desk_form", []byte("id-2"), sealed)
	f.Add("hub_body", []byte("id-1"), sealed)
	f.Add("", []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, kind string, id, record []byte) {
		got, err := v.Open(kind, id, record)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Unverified && k != fault.Precondition {
				t.Fatal(err)
			}
			return
		}
		if kind != "desk_form" || string(id) != "id-1" || !bytes.Equal(record, sealed) || string(got) != "a form" {
			t.Fatalf("%x opens as %q", record, got)
		}
	})
}

// FuzzKeyFile: any text as a key file is refused, or is the file that is written for its key.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte("postern vault key 1 2026-11.01\n" + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 0000000000000000\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "2026-11.01.key"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := vault.Open(vault.Config{Dir: dir, Clock: november})
		if err != nil && fault.From(err).Reason != "VAULT_KEY_DAMAGED" {
			t.Fatal(err)
		}
		if err == nil && !bytes.HasPrefix(text, []byte("postern vault key 1 2026-11.01\n")) {
			t.Fatalf("%q is taken for a key", text)
		}
	})
}
