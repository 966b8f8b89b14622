package vault_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/vault"
)

func november() time.Time { return time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC) }

func open(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(vault.Config{Dir: dir, Clock: november})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t *testing.T, v *vault.Vault, plaintext string) []byte {
	t.Helper()
	sealed, err := v.Seal("desk_form", []byte("id-1"), []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Reason
}

func TestASealedRecordOpensAlsoAfterAStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, second := open(t, dir), open(t, dir)
	rapid.Check(t, func(t *rapid.T) {
		kind, id, plaintext := rapid.String().Draw(t, "kind"), rapid.SliceOf(rapid.Byte()).Draw(t, "id"), rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		sealed, err := first.Seal(kind, id, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != len(plaintext)+vault.Overhead {
			t.Fatalf("%d bytes became %d", len(plaintext), len(sealed))
		}
		if got, err := second.Open(kind, id, sealed); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("opened %x: %v", got, err)
		}
	})
}

func TestAChangedByteIsRefused(t *testing.T) {
	v := open(t, filepath.Join(t.TempDir(), "keys"))
	sealed := seal(t, v, "invented content")
	for i := range sealed {
		for bit := range 8 {
			sealed[i] ^= 1 << bit
			if got, err := v.Open("desk_form", []byte("id-1"), sealed); err == nil {
				t.Fatalf("byte %d bit %d changed: opened %q", i, bit, got)
			} else if r := reason(err); r != "VAULT_SEAL_BROKEN" && (r != "VAULT_EPOCH_MISSING" || i < 1 || i > 10) {
				t.Errorf("byte %d: %v", i, err)
			}
			sealed[i] ^= 1 << bit
		}
	}
	for n := range sealed {
		if _, err := v.Open("desk_form", []byte("id-1"), sealed[:n]); reason(err) != "VAULT_SEAL_BROKEN" {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := v.Open("desk_form", []byte("id-1"), append(sealed, 0)); reason(err) != "VAULT_SEAL_BROKEN" {
		t.Errorf("a byte more: %v", err)
	}
}

func TestAnotherPlaceIsRefused(t *testing.T) {
	v := open(t, filepath.Join(t.TempDir(), "keys"))
	a, b := seal(t, v, "one"), seal(t, v, "two")
	const body = vault.Overhead - 16
	for name, c := range map[string]struct {
		kind, id string
		sealed   []byte
	}{
		"another kind":               {"desk_message", "id-1", a},
		"another id":                 {"desk_form", "id-2", a},
		"kind and id run together":   {"desk_formi", "d-1", a},
		"another record's plaintext": {"desk_form", "id-1", append(bytes.Clone(a[:body]), b[body:]...)},
	} {
		if _, err := v.Open(c.kind, []byte(c.id), c.sealed); reason(err) != "VAULT_SEAL_BROKEN" {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := open(t, filepath.Join(t.TempDir(), "keys"))
	if _, err := other.Open("desk_form", []byte("id-1"), a); reason(err) != "VAULT_SEAL_BROKEN" {
		t.Errorf("another vault's key of the same name: %v", err)
	}
}

func TestTwoSealsDifferAndShowNoKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	v := open(t, dir)
	a, b := seal(t, v, "invented content"), seal(t, v, "invented content")
	if bytes.Equal(a[11:], b[11:]) || bytes.Equal(a[vault.Overhead-16:], b[vault.Overhead-16:]) {
		t.Error("two seals of one plaintext are alike")
	}
	if bytes.Contains(a, []byte("invented")) || bytes.Contains(a, []byte("id-1")) || bytes.Contains(a, []byte("desk_form")) {
		t.Error("the sealed record shows its plaintext, id or kind")
	}
	// With a source whose bytes are known, neither they nor the epoch key may be found in what comes out.
	seed := bytes.Repeat([]byte{0xa5, 0x5a}, 16)
	sealed, err := v.SealIn(append(vault.Room(16), "invented content"...), (*vault.Seed)(seed), "desk_form", []byte("id-1"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "2026-11.01.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{seed[:8], file[len(file)-40 : len(file)-20]} {
		if bytes.Contains(sealed, secret) || bytes.Contains(v.Term("k", seed), secret) {
			t.Error("a secret is in the output")
		}
	}
}

func TestARepeatedSeedSealsUnderAnotherKey(t *testing.T) {
	v := open(t, filepath.Join(t.TempDir(), "keys"))
	with := func(id, plaintext string) []byte {
		sealed, err := v.SealIn(append(vault.Room(len(plaintext)), plaintext...), new(vault.Seed), "desk_form", []byte(id))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	a := with("id-1", "aaaa")
	if !bytes.Equal(a, with("id-1", "aaaa")) {
		t.Error("one seed and one record give two seals: a transaction that runs again would differ")
	}
	for _, b := range [][]byte{with("id-1", "aaab"), with("id-2", "aaaa")} {
		body := vault.Overhead - 16
		if bytes.Equal(a[11:71], b[11:71]) || bytes.Equal(a[body:body+3], b[body:body+3]) {
			t.Error("two records share a nonce or key stream")
		}
	}
	poor, err := vault.Open(vault.Config{Dir: filepath.Join(t.TempDir(), "keys"), Clock: november, Rand: strings.NewReader(strings.Repeat("x", 32) + "short")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := poor.Seal("k", nil, nil); reason(err) != "VAULT_RANDOM" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too few random bytes: %v", err)
	}
}

func TestTermsAreStableAndApart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	v, again, other := open(t, dir), open(t, dir), open(t, filepath.Join(t.TempDir(), "keys"))
	rapid.Check(t, func(t *rapid.T) {
		kinds, terms := rapid.StringN(0, 4, 8), rapid.SliceOfN(rapid.Byte(), 0, 4)
		k1, k2, t1, t2 := kinds.Draw(t, "k1"), kinds.Draw(t, "k2"), terms.Draw(t, "t1"), terms.Draw(t, "t2")
		a, b := v.Term(k1, t1), again.Term(k2, t2)
		if len(a) != 32 {
			t.Fatalf("%d bytes", len(a))
		}
		if same := k1 == k2 && bytes.Equal(t1, t2); bytes.Equal(a, b) != same {
			t.Fatalf("(%q, %x) and (%q, %x): equal terms %t", k1, t1, k2, t2, !same)
		}
		if bytes.Equal(a, other.Term(k1, t1)) {
			t.Fatal("another vault gives the same term")
		}
	})
}

func TestKeyFilesAreForTheirOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "keys")
	open(t, dir)
	path := filepath.Join(dir, "2026-11.01.key")
	for name, want := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
	}
	for _, c := range []struct {
		path       string
		bad, right os.FileMode
	}{{path, 0o640, 0o600}, {path, 0o604, 0o600}, {dir, 0o720, 0o700}, {dir, 0o702, 0o700}} {
		if err := os.Chmod(c.path, c.bad); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(vault.Config{Dir: dir}); reason(err) != "VAULT_KEY_EXPOSED" {
			t.Errorf("%s with mode %v: %v", c.path, c.bad, err)
		}
		if err := os.Chmod(c.path, c.right); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
}

func TestADamagedKeyFileIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	open(t, dir)
	path := filepath.Join(dir, "2026-11.01.key")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := [][]byte{nil, good[:len(good)-1], append(bytes.Clone(good), '\n')}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1
		damaged = append(damaged, b)
	}
	for i, content := range damaged {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(vault.Config{Dir: dir}); reason(err) != "VAULT_KEY_DAMAGED" || !strings.Contains(err.Error(), path) {
			t.Errorf("damage %d: %v", i, err)
		}
	}
}

func TestAMissingEpochIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	sealed := seal(t, open(t, dir), "invented content")
	if err := os.Remove(filepath.Join(dir, "2026-11.01.key")); err != nil {
		t.Fatal(err)
	}
	later, err := vault.Open(vault.Config{Dir: dir, Clock: func() time.Time { return november().AddDate(0, 1, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = later.Open("desk_form", []byte("id-1"), sealed)
	if reason(err) != "VAULT_EPOCH_MISSING" || !strings.Contains(err.Error(), "2026-11.01") {
		t.Errorf("got %v", err)
	}
}

func TestNoFirstKeyForWhatExists(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	existing := vault.Config{Dir: dir, Clock: november, Existing: true}
	if _, err := vault.Open(existing); reason(err) != "NO_VAULT" || !strings.Contains(err.Error(), dir) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(existing); reason(err) != "NO_VAULT" {
		t.Errorf("with an empty folder: %v", err)
	}
	if made, _ := os.ReadDir(dir); len(made) > 0 {
		t.Errorf("made %v", made)
	}
	sealed := seal(t, open(t, dir), "invented content")
	v, err := vault.Open(existing)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Open("desk_form", []byte("id-1"), sealed); err != nil || string(got) != "invented content" {
		t.Errorf("with its key: %q, %v", got, err)
	}
}

func TestTheEpochOfTheFirstStartStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	v := open(t, dir)
	later, err := vault.Open(vault.Config{Dir: dir, Clock: func() time.Time { return november().AddDate(1, 0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(v.Term("k", []byte("t")), later.Term("k", []byte("t"))) {
		t.Error("terms change with the month: indexes would lose their rows")
	}
	if got, err := v.Open("desk_form", []byte("id-1"), seal(t, later, "x")); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestANewerEpochSealsAndOlderOnesStillOpen(t *testing.T) {
	dir, december := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "keys")
	old := seal(t, open(t, dir), "old")
	if _, err := vault.Open(vault.Config{Dir: december, Clock: func() time.Time { return november().AddDate(0, 0, 5) }}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(december, "2026-12.01.key"), filepath.Join(dir, "2026-12.01.key")); err != nil {
		t.Fatal(err)
	}
	v := open(t, dir)
	if got, err := v.Open("desk_form", []byte("id-1"), old); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if fresh := seal(t, v, "new"); string(fresh[1:11]) != "2026-12.01" {
		t.Errorf("sealed under %q", fresh[1:11])
	}
}

func TestFirstStartsAtOnceShareOneKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	vaults := make([]*vault.Vault, 8)
	var all sync.WaitGroup
	for i := range vaults {
		all.Go(func() {
			v, err := vault.Open(vault.Config{Dir: dir, Clock: november})
			if err != nil {
				t.Error(err)
			}
			vaults[i] = v
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for _, v := range vaults[1:] {
		if !bytes.Equal(v.Term("k", nil), vaults[0].Term("k", nil)) {
			t.Fatal("two processes made two keys")
		}
	}
}

// BenchmarkSeal is a record as large as a notification, in the place where it is sealed.
func BenchmarkSeal(b *testing.B) {
	v, err := vault.Open(vault.Config{Dir: filepath.Join(b.TempDir(), "keys"), Clock: november})
	if err != nil {
		b.Fatal(err)
	}
	id, room := make([]byte, 18), vault.Room(12<<10)
	plaintext := append(room, make([]byte, 12<<10)...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.SealIn(plaintext, nil, "hub_outbox_content", id); err != nil {
			b.Fatal(err)
		}
	}
}
