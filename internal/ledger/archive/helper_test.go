package archive_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

var now = time.Date(2026, 3, 2, 9, 15, 0, 0, time.UTC)

// trust is who may sign what: one domain with an auditor and, for those who try, a hub.
type trust struct {
	anchors      *identity.Anchors
	auditor, hub *identity.Identity
}

func newTrust(tb testing.TB) trust {
	tb.Helper()
	const domain = "postern.example"
	dir := tb.TempDir()
	check(tb, ca.Init(dir, ca.Config{Domain: domain, Now: now.Add(-time.Hour)}))
	pem := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name, "ca.pem"))
		check(tb, err)
		return b
	}
	t := trust{}
	var err error
	t.anchors, err = identity.NewAnchors(identity.AnchorConfig{Domain: domain,
		Prison: pem("prison"), Authority: pem("authority"), Hub: pem("hub"), Auditor: pem("auditor")})
	check(tb, err)
	issue := func(uri string) *identity.Identity {
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		check(tb, ca.Issue(dir, "spiffe://"+domain+uri, ca.IssueConfig{OutCert: cert, OutKey: key, Now: now.Add(-time.Hour)}))
		i, err := identity.Load(cert, key)
		check(tb, err)
		check(tb, errors.Join(os.Remove(cert), os.Remove(key)))
		return i
	}
	t.auditor, t.hub = issue("/auditor/inspectorate"), issue("/hub/one")
	return t
}

// world is a hub's ledger over a real store, and an auditor who exports it.
type world struct {
	tb testing.TB
	trust
	*ledger.Ledger
	keys verify.Keys
}

var bothLogs = []ledger.Log{ledger.Sent, ledger.Received}

// newWorld makes a ledger whose keys and random values come from a seed: another seed is another log of the same
// origins and keys.
func newWorld(tb testing.TB, t trust, seed string) *world {
	tb.Helper()
	return newWorldWithKeys(tb, t, seed, "")
}

// newWorldWithKeys is newWorld with other keys of the same names.
func newWorldWithKeys(tb testing.TB, t trust, seed, keys string) *world {
	tb.Helper()
	w := &world{tb: tb, trust: t}
	dir := tb.TempDir()
	v, err := vault.Open(vault.Config{Dir: filepath.Join(dir, "keys"), Clock: func() time.Time { return now }})
	check(tb, err)
	s, err := bolt.Open(tb.Context(), bolt.Config{Path: filepath.Join(dir, "hub.db"), Schema: schema.Hub})
	check(tb, err)
	tb.Cleanup(func() { check(tb, s.Close()) })
	sent, _, err := ledger.GenerateKey(chacha("sent key"+keys), "hub.example/sent")
	check(tb, err)
	received, _, err := ledger.GenerateKey(chacha("received key"+keys), "hub.example/received")
	check(tb, err)
	w.Ledger, err = ledger.Open(tb.Context(), ledger.Config{Store: s, Vault: v, Keys: ledger.Keys{Sent: sent, Received: received},
		Clock: func() time.Time { return now }, Rand: chacha(seed), Log: slog.New(slog.DiscardHandler)})
	check(tb, err)
	w.keys, err = verify.NewKeys(w.VerifierKey(ledger.Sent), w.VerifierKey(ledger.Received))
	check(tb, err)
	return w
}

// add appends n events to a log in one transaction.
func (w *world) add(g ledger.Log, n int) { w.addSized(g, n, func(i int) int { return i % 50 }) }

// addSized is add with Inputs of these sizes.
func (w *world) addSized(g ledger.Log, n int, size func(int) int) {
	w.tb.Helper()
	check(w.tb, w.Append(w.tb.Context(), func(tx *ledger.Tx) error {
		for i := range n {
			subject := sha256.Sum256(fmt.Append(nil, i))
			ev := ledger.Event{Kind: logv1.Kind_KIND_DECIDED, Time: now.Add(time.Duration(i) * time.Minute),
				Core:    &logv1.Core{ManifestSha256: subject[:], Outcome: posternv1.Outcome_OUTCOME_SHARE, PolicyRevision: "rev-1"},
				Details: &logv1.Details{Caller: "spiffe://example/prison/BLI/desk", Authority: "E06000023", Input: make([]byte, size(i))}}
			if _, err := tx.Record(g, ev); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (w *world) config() archive.Config { return archive.Config{Keys: w.keys, Anchors: w.anchors} }

// head is the newest checkpoint of a log.
func (w *world) head(g ledger.Log) verify.Head {
	size, root, _ := w.Head(g)
	return verify.Head{Origin: w.Origin(g), Size: size, Root: root}
}

// begin begins a log of a Writer as an auditor does, with what the hub answers.
func (w *world) begin(a *archive.Writer, g ledger.Log) (*archive.Log, error) {
	old, _ := a.Head(w.Origin(g))
	_, checkpoint, p, err := w.HeadSince(w.tb.Context(), w.Origin(g), old.Size)
	if err != nil {
		return nil, err
	}
	return a.Begin(checkpoint, p)
}

// feed adds what a log lacks, up to an index; absent says which bodies the hub keeps back.
func (w *world) feed(l *archive.Log, g ledger.Log, to uint64, absent func(uint64) bool) error {
	return w.Range(w.tb.Context(), w.Origin(g), l.Next(), to, func(e ledger.Logged) (bool, error) {
		b := &archive.Body{Opening: e.Record.GetOpening(), Core: e.Record.GetCore(), Details: e.Record.GetDetails()}
		if absent != nil && absent(e.Index) {
			b = nil
		}
		return true, l.Add(e.Record.GetLeaf(), b)
	})
}

// export brings a folder up to date with both logs.
func (w *world) export(dir string, absent func(uint64) bool) (*archive.Report, error) {
	a, err := archive.Open(w.tb.Context(), dir, w.config())
	if err != nil {
		return nil, err
	}
	defer func() { check(w.tb, a.Close()) }()
	for _, g := range bothLogs {
		l, err := w.begin(a, g)
		if err != nil {
			return nil, err
		}
		if err := w.feed(l, g, l.Size, absent); err != nil {
			return nil, err
		}
	}
	return a.Commit(w.auditor, now)
}

// exported is a fresh export in memory.
func (w *world) exported(absent func(uint64) bool) fstest.MapFS {
	w.tb.Helper()
	dir := w.tb.TempDir()
	_, err := w.export(dir, absent)
	check(w.tb, err)
	return load(w.tb, dir)
}

// load reads a folder into memory.
func load(tb testing.TB, dir string) fstest.MapFS {
	tb.Helper()
	files := fstest.MapFS{}
	check(tb, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = &fstest.MapFile{Data: data}
		return err
	}))
	return files
}

// chacha is a deterministic source.
func chacha(name string) *rand.ChaCha8 { return rand.NewChaCha8(sha256.Sum256([]byte(name))) }

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// refused fails the test unless err is a fault of kind Unverified with one of these reasons.
func refused(tb testing.TB, err error, reasons ...string) {
	tb.Helper()
	f := fault.From(err)
	if err == nil || f.Kind != fault.Unverified {
		tb.Fatalf("want one of %v, got %v", reasons, err)
	}
	for _, r := range reasons {
		if f.Reason == r {
			return
		}
	}
	tb.Fatalf("want one of %v, got %s: %s", reasons, f.Reason, f.Message)
}
