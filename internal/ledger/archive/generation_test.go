package archive_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
)

// named is a world whose logs have the origins of a generation. They begin with what a generation begins with when they
// name an end of the log before.
func named(tb testing.TB, t trust, generation uint64, ends ...string) *world {
	tb.Helper()
	w, dir := &world{tb: tb, trust: t}, tb.TempDir()
	v, err := vault.Open(vault.Config{Dir: filepath.Join(dir, "keys"), Clock: func() time.Time { return now }})
	check(tb, err)
	s, err := bolt.Open(tb.Context(), bolt.Config{Path: filepath.Join(dir, "hub.db"), Schema: schema.Hub})
	check(tb, err)
	tb.Cleanup(func() { check(tb, s.Close()) })
	c := ledger.Config{Store: s, Vault: v, Clock: func() time.Time { return now }, Rand: chacha("named"), Log: slog.New(slog.DiscardHandler)}
	c.Keys.Sent, _, err = ledger.GenerateKey(chacha("sent key"), verify.OriginOf("hub.example/sent", generation))
	check(tb, err)
	c.Keys.Received, _, err = ledger.GenerateKey(chacha("received key"), verify.OriginOf("hub.example/received", generation))
	check(tb, err)
	if len(ends) == 0 { // the hub's program is another one: ours does not begin so
		check(tb, s.Update(tb.Context(), func(tx store.Tx) error {
			return errors.Join(tx.Put(schema.HubLog, []byte{byte(ledger.Sent)}, emptyLog(tb, c.Keys.Sent)),
				tx.Put(schema.HubLog, []byte{byte(ledger.Received)}, emptyLog(tb, c.Keys.Received)))
		}))
		w.Ledger, err = ledger.Open(tb.Context(), c)
	} else {
		var before verify.Keys
		before, err = verify.NewKeys(vkeys(tb, newWorld(tb, t, "before"))...)
		check(tb, err)
		w.Ledger, err = ledger.OpenGeneration(tb.Context(), ledger.Generation{Config: c, Before: before, Known: ends})
	}
	check(tb, err)
	w.keys, err = verify.NewKeys(vkeys(tb, w)...)
	check(tb, err)
	return w
}

// emptyLog is the checkpoint of a log without entries.
func emptyLog(tb testing.TB, skey string) []byte {
	tb.Helper()
	signer, err := note.NewSigner(skey)
	check(tb, err)
	signed, err := note.Sign(&note.Note{Text: verify.Head{Origin: signer.Name(), Root: verify.EmptyRoot}.Text()}, signer)
	check(tb, err)
	return signed
}

func vkeys(tb testing.TB, worlds ...*world) (all []string) {
	tb.Helper()
	for _, w := range worlds {
		all = append(all, w.VerifierKey(ledger.Sent), w.VerifierKey(ledger.Received))
	}
	return all
}

// TestALostLogIsToldByTheNextOne: of a log that a later generation has followed a folder may hold nothing, and says so. A
// checkpoint that the reader knows of it does not go away by that, nor does a later generation.
func TestALostLogIsToldByTheNextOne(t *testing.T) {
	who := newTrust(t)
	before := newWorld(t, who, "before")
	before.add(ledger.Sent, 3)
	before.add(ledger.Received, 2)
	_, _, sent := before.Head(ledger.Sent)
	_, _, received := before.Head(ledger.Received)
	w := named(t, who, 2, sent, received)
	w.add(ledger.Sent, 2)
	files := w.exported(nil)
	both, err := verify.NewKeys(append(vkeys(t, before), vkeys(t, w)...)...)
	check(t, err)
	against := archive.Config{Keys: both, Anchors: who.anchors}
	r, err := archive.Verify(t.Context(), files, against)
	check(t, err)
	if want := []string{"hub.example/received", "hub.example/sent"}; !slices.Equal(r.Lost, want) {
		t.Errorf("lost: %v", r.Lost)
	}
	against.Known = []verify.Head{before.head(ledger.Sent)}
	_, err = archive.Verify(t.Context(), files, against)
	refused(t, err, "LOG_MISSING")
	against.Known = nil
	_, err = archive.Verify(t.Context(), before.exported(nil), against)
	refused(t, err, "LOG_MISSING")
}

// TestALogThatOpensNothingStandsForNone: a log of a later name that does not begin as one, or is empty, hides no other.
func TestALogThatOpensNothingStandsForNone(t *testing.T) {
	who := newTrust(t)
	for name, events := range map[string]int{"another event": 2, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			w := named(t, who, 2)
			w.add(ledger.Sent, events)
			w.add(ledger.Received, events)
			_, err := w.export(t.TempDir(), nil)
			refused(t, err, "GENERATION_WRONG")

			dir := t.TempDir() // by an auditor whose program does not look
			a, err := archive.Open(t.Context(), dir, w.config().Without(archive.Openings))
			check(t, err)
			for _, g := range bothLogs {
				l, err := w.begin(a, g)
				check(t, err)
				check(t, w.feed(l, g, l.Size, nil))
			}
			_, err = a.Commit(w.auditor, now)
			check(t, err)
			check(t, a.Close())
			both, err := verify.NewKeys(append(vkeys(t, newWorld(t, who, "before")), vkeys(t, w)...)...)
			check(t, err)
			_, err = archive.Verify(t.Context(), os.DirFS(dir), archive.Config{Keys: both, Anchors: who.anchors})
			refused(t, err, "GENERATION_WRONG")
		})
	}
}
