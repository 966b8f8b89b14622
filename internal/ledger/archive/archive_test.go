package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// TestExportsThatGrow exports logs again and again as they grow, and holds each folder against the ledger. A folder
// that grew in steps has the same files as one made at once, and every earlier checkpoint continues.
func TestExportsThatGrow(t *testing.T) {
	trust, growth := newTrust(t), []int{0, 1, 5, 100, 255, 256, 257, 600}
	for round := range testkit.N(8, 200) {
		r := rand.New(rand.NewPCG(3, uint64(round)))
		w := newWorld(t, trust, fmt.Sprint("growing ", round))
		dir, seen := t.TempDir(), []verify.Head(nil)
		absent := func(i uint64) bool { return i%11 == 3 }
		for range 1 + r.IntN(4) {
			for _, g := range bothLogs {
				if n := growth[r.IntN(len(growth))]; n > 0 {
					w.add(g, n)
				}
			}
			before := load(t, dir)
			report, err := w.export(dir, absent)
			check(t, err)
			for _, g := range bothLogs {
				seen = append(seen, w.head(g))
			}
			c := w.config()
			c.Known = seen
			verified, err := archive.Verify(t.Context(), os.DirFS(dir), c)
			check(t, err)
			if !slices.Equal(verified.Logs, report.Logs) || verified.By != w.auditor.Party() || !verified.Time.Equal(now) {
				t.Fatalf("round %d: written %+v, verified %+v", round, report, verified)
			}
			for _, l := range verified.Logs {
				g, _ := w.LogOf(l.Origin)
				if l.Head != w.head(g) || l.Absent != (l.Size+7)/11 || l.Folder != g.String() {
					t.Fatalf("round %d: %+v is not %+v", round, l, w.head(g))
				}
			}
			for name, f := range load(t, dir) { // all but checkpoint and manifest is immutable
				if old, ok := before[name]; ok && strings.Contains(name, "/tile/") && !bytes.Equal(old.Data, f.Data) {
					t.Fatalf("round %d: %s was changed", round, name)
				}
			}
		}
		grown, atOnce := load(t, dir), w.exported(absent)
		if !maps.EqualFunc(grown, atOnce, func(a, b *fstest.MapFile) bool { return bytes.Equal(a.Data, b.Data) }) {
			t.Fatalf("round %d: the folder that grew differs from the one made at once", round)
		}
	}
}

func TestNothingNewChangesNothing(t *testing.T) {
	w := newWorld(t, newTrust(t), "still")
	w.add(ledger.Sent, 3)
	dir := t.TempDir()
	_, err := w.export(dir, nil)
	check(t, err)
	before, err := os.Stat(filepath.Join(dir, "manifest.json"))
	check(t, err)
	r, err := w.export(dir, nil)
	check(t, err)
	after, err := os.Stat(filepath.Join(dir, "manifest.json"))
	check(t, err)
	if !os.SameFile(before, after) || len(r.Logs) != 2 || r.Logs[1].Size != 3 || r.Logs[0].Root != verify.EmptyRoot {
		t.Errorf("%+v", r)
	}
}

// TestEveryCrashIsMended builds the states that a crash can leave between an old export and a new one: some of the new
// files, perhaps cut off, the old manifest or the new, and of the old partial files and checkpoints any. Each is told
// by Verify, and the next export gives the folder of an export that did not crash.
func TestEveryCrashIsMended(t *testing.T) {
	w := newWorld(t, newTrust(t), "crashing")
	w.add(ledger.Sent, 250)
	w.add(ledger.Received, 10)
	older := w.exported(nil)
	w.add(ledger.Sent, 30)
	w.add(ledger.Received, 1)
	newer := w.exported(nil)
	r := rand.New(rand.NewPCG(1, 2))
	for round := range testkit.N(24, 600) {
		dir, files := t.TempDir(), fstest.MapFS{"incomplete": {Data: []byte("x")}}
		committed, first := round%3 == 0, round%3 == 1
		if committed {
			maps.Copy(files, newer)
		} else if !first {
			maps.Copy(files, older)
		}
		for name, f := range older {
			if replaced := strings.HasSuffix(name, "checkpoint"); committed && (newer[name] == nil || replaced) && r.IntN(2) == 0 {
				files[name] = f
			}
		}
		for name, f := range newer {
			switch {
			case committed || older[name] != nil || name == "manifest.json" || strings.HasSuffix(name, "checkpoint"):
			case r.IntN(2) == 0:
				files[name] = f
			case r.IntN(4) == 0:
				files[name+".new"] = &fstest.MapFile{Data: f.Data[:r.IntN(len(f.Data))]}
			}
		}
		check(t, os.CopyFS(dir, files))
		_, err := archive.Verify(t.Context(), os.DirFS(dir), w.config())
		refused(t, err, "EXPORT_INCOMPLETE")
		_, err = w.export(dir, nil)
		check(t, err)
		mended := load(t, dir)
		if !maps.EqualFunc(mended, newer, func(a, b *fstest.MapFile) bool { return bytes.Equal(a.Data, b.Data) }) {
			t.Fatalf("round %d: the mended folder has %v", round, slices.Sorted(maps.Keys(mended)))
		}
	}
}

// TestAWriterThatFailsLeavesTheOldExport stops at every part of an export, in order and by being killed.
func TestAWriterThatFailsLeavesTheOldExport(t *testing.T) {
	w := newWorld(t, newTrust(t), "failing")
	w.add(ledger.Sent, 300)
	dir := t.TempDir()
	_, err := w.export(dir, nil)
	check(t, err)
	before := load(t, dir)
	w.add(ledger.Sent, 600)
	for _, killed := range []bool{false, true} {
		for _, to := range []uint64{300, 301, 512, 700, 900} {
			a, err := archive.Open(t.Context(), dir, w.config())
			check(t, err)
			l, err := w.begin(a, ledger.Sent)
			check(t, err)
			check(t, w.feed(l, ledger.Sent, to, nil))
			if to < 900 {
				_, err = a.Commit(w.auditor, now)
				refused(t, err, "LOG_SHORTER")
			}
			if _, err := archive.Open(t.Context(), dir, w.config()); fault.From(err).Reason != "EXPORT_BUSY" {
				t.Fatalf("two writers at once: %v", err)
			}
			if killed {
				check(t, a.Abandon())
				_, err = archive.Verify(t.Context(), os.DirFS(dir), w.config())
				refused(t, err, "EXPORT_INCOMPLETE")
				a, err = archive.Open(t.Context(), dir, w.config())
				check(t, err)
			}
			check(t, a.Close())
			if after := load(t, dir); !maps.EqualFunc(before, after, func(a, b *fstest.MapFile) bool { return bytes.Equal(a.Data, b.Data) }) {
				t.Fatalf("killed %v at %d: the folder has %v", killed, to, slices.Sorted(maps.Keys(after)))
			}
		}
	}
	// A new folder whose first export failed is new again.
	fresh := t.TempDir()
	a, err := archive.Open(t.Context(), fresh, w.config())
	check(t, err)
	l, err := w.begin(a, ledger.Sent)
	check(t, err)
	check(t, w.feed(l, ledger.Sent, 300, nil))
	check(t, a.Close())
	_, err = w.export(fresh, nil)
	check(t, err)
}

// TestAHubThatLies shows an exporting auditor another log than it signed, or than it showed before.
func TestAHubThatLies(t *testing.T) {
	trust := newTrust(t)
	w, lie := newWorld(t, trust, "true"), newWorld(t, trust, "lie")
	w.add(ledger.Sent, 10)
	lie.add(ledger.Sent, 10)
	dir := t.TempDir()
	_, err := w.export(dir, nil)
	check(t, err)
	_, _, sameSize, err := lie.HeadSince(t.Context(), lie.Origin(ledger.Sent), 10)
	check(t, err)
	_, _, other := lie.Head(ledger.Sent)
	begin := func(checkpoint string, p *posternv1.ConsistencyProof) error {
		a, err := archive.Open(t.Context(), dir, w.config())
		check(t, err)
		_, err = a.Begin(checkpoint, p)
		return errors.Join(err, a.Close())
	}
	refused(t, begin(other, sameSize), "CONSISTENCY_WRONG")
	lie.add(ledger.Sent, 5)
	_, longer, p, err := lie.HeadSince(t.Context(), lie.Origin(ledger.Sent), 10)
	check(t, err)
	refused(t, begin(longer, p), "CONSISTENCY_WRONG")
	shorter := newWorld(t, trust, "true")
	shorter.add(ledger.Sent, 4)
	_, _, older := shorter.Head(ledger.Sent)
	refused(t, begin(older, &posternv1.ConsistencyProof{Origin: "hub.example/sent", OldSize: 10, NewSize: 4}), "LOG_SHORTER")

	// A checkpoint of the one with the entries of the other, bodies that do not open, and entries out of order.
	a, err := archive.Open(t.Context(), t.TempDir(), w.config())
	check(t, err)
	l, err := w.begin(a, ledger.Sent)
	check(t, err)
	refused(t, l.AddExported(&posternv1.ExportedEntry{Index: 1}), "ENTRY_MISSING")
	refused(t, l.Add([]byte("no leaf"), nil), "LEAF_MALFORMED")
	check(t, w.Range(t.Context(), w.Origin(ledger.Sent), 0, 1, func(e ledger.Logged) (bool, error) {
		body := &archive.Body{Opening: e.Record.Opening, Core: e.Record.Core, Details: append(bytes.Clone(e.Record.Details), 0)}
		refused(t, l.Add(e.Record.Leaf, body), "COMMITMENT_WRONG")
		body.Opening = nil
		refused(t, l.Add(e.Record.Leaf, body), "OPENING_MALFORMED")
		return true, nil
	}))
	check(t, lie.feed(l, ledger.Sent, 10, nil))
	refused(t, l.Add(make([]byte, verify.LeafSize), nil), "ENTRY_UNKNOWN")
	_, err = a.Commit(w.auditor, now)
	refused(t, err, "ROOT_WRONG")
	check(t, a.Close())
}

// TestAFolderThatIsNotOurs is left alone.
func TestAFolderThatIsNotOurs(t *testing.T) {
	w := newWorld(t, newTrust(t), "folders")
	w.add(ledger.Sent, 1)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("mine"), 0o600))
	if _, err := w.export(dir, nil); fault.From(err).Reason != "NOT_AN_EXPORT" {
		t.Fatal(err)
	}
	if _, err := w.export(filepath.Join(dir, "letter.txt"), nil); fault.From(err).Reason != "EXPORT_FOLDER" {
		t.Fatal(err)
	}
	if files := load(t, dir); len(files) != 1 {
		t.Fatalf("%v", files)
	}
	// A damaged export is not continued, and a letter put into one stays.
	dir = filepath.Join(t.TempDir(), "new", "folder")
	_, err := w.export(dir, nil)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "letter"), []byte("mine"), 0o600))
	_, err = w.export(dir, nil)
	refused(t, err, "FILE_UNKNOWN")
	check(t, os.WriteFile(filepath.Join(dir, "incomplete"), nil, 0o600))
	_, err = w.export(dir, nil)
	refused(t, err, "FILE_UNKNOWN")
	check(t, os.Remove(filepath.Join(dir, "letter")))
	_, err = w.export(dir, nil)
	check(t, err)
	check(t, os.Symlink("checkpoint", filepath.Join(dir, "sent", "link")))
	_, err = archive.Verify(t.Context(), os.DirFS(dir), w.config())
	refused(t, err, "FILE_UNKNOWN")
}

// Whoever opens a named pipe waits for its writer, and no context ends that.
func TestNoPipeIsOpened(t *testing.T) {
	w := newWorld(t, newTrust(t), "pipes")
	w.add(ledger.Sent, 3)
	dir := t.TempDir()
	_, err := w.export(dir, nil)
	check(t, err)
	soon := func(what string, fn func() error) error {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- fn() }()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			t.Fatalf("%s waits for a pipe", what)
			return nil
		}
	}
	verified := func() error {
		_, err := archive.Verify(t.Context(), os.DirFS(dir), w.config())
		return err
	}
	exported := func() error {
		_, err := w.export(dir, nil)
		return err
	}
	for _, name := range []string{"manifest.json", "sent/checkpoint", "sent/tile/entries/000.p/3", "sent/bodies/000.p/3", "sent/link"} {
		file, away := filepath.Join(dir, name), filepath.Join(t.TempDir(), "away")
		if err := os.Rename(file, away); name != "sent/link" {
			check(t, err)
		}
		check(t, syscall.Mkfifo(file, 0o600))
		refused(t, soon("the check of "+name, verified), "FILE_UNKNOWN")
		refused(t, soon("the export over "+name, exported), "FILE_UNKNOWN")
		check(t, os.Remove(file))
		check(t, os.Symlink(away, file)) // nor anything outside the folder
		refused(t, soon("the check of "+name, verified), "FILE_UNKNOWN")
		check(t, os.Remove(file))
		if name != "sent/link" {
			check(t, os.Rename(away, file))
		}
	}
	check(t, verified())
	// What a stopped export may have left is not opened either, but replaced.
	check(t, os.WriteFile(filepath.Join(dir, "incomplete"), nil, 0o600))
	check(t, syscall.Mkfifo(filepath.Join(dir, "sent/checkpoint.new"), 0o600))
	check(t, soon("the next export", exported))
	check(t, verified())
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	w := newWorld(t, newTrust(t), "context")
	w.add(ledger.Sent, 3)
	files := w.exported(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Verify(ctx, files, w.config()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestOnlyAnAuditorSigns gives the Writer an identity whose manifest nobody would accept.
func TestOnlyAnAuditorSigns(t *testing.T) {
	w := newWorld(t, newTrust(t), "signing")
	w.auditor = w.hub
	dir := t.TempDir()
	_, err := w.export(dir, nil)
	refused(t, err, "MANIFEST_SIGNATURE")
	if files := load(t, dir); len(files) != 0 {
		t.Fatalf("%v", files)
	}
}

func TestNames(t *testing.T) {
	none := func(string) bool { return false }
	for origin, want := range map[string]string{"hub.example/sent": "sent", "hub.example/a/received": "received", "log": "log",
		"hub.example/..": "log", "hub.example/Sent": "log", "hub.example/": "log", "x/incomplete": "log"} {
		if got := archive.FolderOf(origin, none); got != want {
			t.Errorf("%s goes to %s, want %s", origin, got, want)
		}
	}
	taken := map[string]bool{"sent": true, "sent-2": true}
	if got := archive.FolderOf("other.example/sent", func(s string) bool { return taken[s] }); got != "sent-3" {
		t.Error(got)
	}
	for n, want := range map[uint64]string{0: "l/tile/0/000", 255: "l/tile/0/255", 1000: "l/tile/0/x001/000", 1234067: "l/tile/0/x001/x234/067"} {
		if got := archive.TileName("l", "tile/0", n, 256); got != want {
			t.Errorf("tile %d is %s, want %s", n, got, want)
		}
	}
	if got := archive.TileName("l", "tile/entries", 1067, 7); got != "l/tile/entries/x001/067.p/7" {
		t.Error(got)
	}
}
