package archive_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/testkit"
)

const (
	sentSize     = 300 // two bundles, and so two levels of tiles
	receivedSize = 40
	olderSent    = 200
	olderReceive = 25
)

// scene is what tampering starts from: an export, and what an attacker may have got hold of.
type scene struct {
	trust
	good   fstest.MapFS   // the export
	older  fstest.MapFS   // the same logs, exported earlier
	forked fstest.MapFS   // other logs of the same size, signed by the same keys: what a hub shows that lies
	forger fstest.MapFS   // other logs of the same size and origins, signed by other keys
	config archive.Config // of whoever verifies
	known  archive.Config // the same, knowing the newest checkpoints of good
	files  []string       // of good, without the manifest
}

func newScene(tb testing.TB) *scene {
	t := newTrust(tb)
	absent := func(i uint64) bool { return i%37 == 5 }
	w := newWorld(tb, t, "true")
	s := &scene{trust: t}
	w.add(ledger.Sent, olderSent)
	w.add(ledger.Received, olderReceive)
	s.older = w.exported(absent)
	w.add(ledger.Sent, sentSize-olderSent)
	w.add(ledger.Received, receivedSize-olderReceive)
	s.good = w.exported(absent)
	s.config, s.known = w.config(), w.config()
	for _, g := range bothLogs {
		s.known.Known = append(s.known.Known, w.head(g))
	}
	other := func(seed, keys string) fstest.MapFS {
		o := newWorldWithKeys(tb, t, seed, keys)
		o.add(ledger.Sent, sentSize)
		o.add(ledger.Received, receivedSize)
		return o.exported(absent)
	}
	s.forked, s.forger = other("lie", ""), other("forgery", "stolen")
	s.files = slices.Sorted(maps.Keys(s.good))
	s.files = slices.DeleteFunc(s.files, func(name string) bool { return name == "manifest.json" })
	return s
}

// attempt is one tampering under way.
type attempt struct {
	*scene
	*rand.Rand
	files fstest.MapFS // being changed
	entry int          // the entry that the fault must name; -1 for any
	log   string       // its log
}

// tampering is a kind of it. Apply changes the files and says what it did.
type tampering struct {
	name  string
	apply func(*attempt) string
	// insider says whether it is still a tampering when an auditor who lies signs the manifest anew.
	insider bool
	// known says that only a checkpoint seen elsewhere can tell.
	known bool
	// control are the parts of the check without which some of it passes, in the hands of that insider if there is one.
	control archive.Part
}

const most = archive.Digests | archive.Listing | archive.Roots | archive.Tiles | archive.Bodies

var tamperings = []tampering{
	{"flip a bit", (*attempt).flipBit, true, false, most},
	{"change a byte", (*attempt).changeByte, true, false, most},
	{"swap two entries", (*attempt).swapEntries, true, false, archive.Roots | archive.Tiles | archive.Bodies},
	{"swap two bodies", (*attempt).swapBodies, true, false, archive.Bodies},
	{"swap two hashes", (*attempt).swapHashes, true, false, archive.Tiles},
	{"swap two files", (*attempt).swapFiles, true, false, most},
	{"drop an entry", (*attempt).dropEntry, true, false, 0},
	{"drop a body", (*attempt).dropBody, false, false, archive.Digests},
	{"drop a file", (*attempt).dropFile, true, false, 0},
	{"drop a log", (*attempt).dropLog, true, false, 0},
	{"truncate a file", (*attempt).truncate, true, false, archive.Tiles | archive.Digests},
	{"insert bytes", (*attempt).insertBytes, true, false, archive.Tiles | archive.Digests},
	{"insert an entry", (*attempt).insertEntry, true, false, 0},
	{"insert a file", (*attempt).insertFile, true, false, archive.Listing},
	{"duplicate an entry", (*attempt).duplicateEntry, true, false, archive.Roots | archive.Tiles | archive.Bodies},
	{"duplicate a file", (*attempt).duplicateFile, true, false, archive.Listing},
	{"forge a checkpoint", (*attempt).forgeCheckpoint, true, false, 0},
	{"roll a checkpoint back", (*attempt).rollBack, true, false, 0},
	{"roll everything back", (*attempt).rollAllBack, true, true, archive.Known},
	{"a body of another event", (*attempt).foreignBody, true, false, archive.Bodies},
	{"change a body", (*attempt).changeBody, true, false, archive.Bodies},
	{"rewrite an event", (*attempt).rewrite, true, false, archive.Roots},
	{"split view, one checkpoint", (*attempt).splitCheckpoint, true, false, archive.Roots},
	{"split view, everything", (*attempt).splitAll, true, true, archive.Known},
	{"change the manifest", (*attempt).changeManifest, false, false, 0},
	{"sign as another", (*attempt).signAsAnother, false, false, 0},
}

// TestTamperings makes seeded tamperings of an export, each by an outsider, who leaves the manifest, and by an auditor
// who lies and signs it anew. Every one must be found; where it is known which entry was touched, the fault must name it.
// The negative control leaves out the part of the check that finds a kind: then some of that kind pass.
func TestTamperings(t *testing.T) {
	s := newScene(t)
	for _, files := range []fstest.MapFS{s.good, s.resigned(t, maps.Clone(s.good))} {
		_, err := archive.Verify(t.Context(), files, s.known)
		check(t, err)
	}
	rounds, seed := testkit.N(10_000, 1_000_000), uint64(20260302)
	if raced { // the check has a stage of its own for this test
		rounds = 10 * len(tamperings)
	}
	type row struct{ tried, found, passed int }
	table := make([]row, len(tamperings))
	reasons := map[string]int{}
	for i := range rounds {
		kind := tamperings[i%len(tamperings)]
		a := &attempt{scene: s, Rand: rand.New(rand.NewPCG(seed, uint64(i))), files: maps.Clone(s.good), entry: -1}
		what := kind.apply(a)
		insider := kind.insider && a.IntN(2) == 0
		if insider {
			s.resigned(t, a.files)
		}
		r := &table[i%len(tamperings)]
		r.tried++
		config := s.config
		if kind.known {
			config = s.known
		}
		_, err := archive.Verify(t.Context(), a.files, config)
		f := fault.From(err)
		if err == nil || f.Kind != fault.Unverified {
			t.Fatalf("seed %d, round %d: %s (insider %v): %s: not found: %v", seed, i, kind.name, insider, what, err)
		}
		r.found++
		reasons[f.Reason]++
		if a.entry >= 0 && !strings.Contains(f.Message, fmt.Sprintf("hub.example/%s, entry %d:", a.log, a.entry)) {
			t.Fatalf("seed %d, round %d: %s (insider %v): %s: the fault names another place: %s", seed, i, kind.name, insider, what, f.Message)
		}
		if kind.control == 0 || !insider && kind.insider {
			continue
		}
		if _, err := archive.Verify(t.Context(), a.files, config.Without(kind.control)); err == nil {
			r.passed++
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d tamperings, seed %d\n%-28s %7s %7s %s\n", rounds, seed, "kind", "tried", "found", "passed with the check off")
	for i, r := range table {
		kind := tamperings[i]
		control := "-"
		if kind.control != 0 {
			control = fmt.Sprint(r.passed)
			if r.passed == 0 && !raced {
				t.Errorf("%s: found even with the check off that should find it: the control proves nothing", kind.name)
			}
		}
		fmt.Fprintf(&text, "%-28s %7d %7d %s\n", kind.name, r.tried, r.found, control)
	}
	fmt.Fprintf(&text, "first faults: %v\n", reasons)
	t.Log(text.String())
}

// TestForgedCheckpointControl is the control of the signature check: whoever trusts the forger's key believes the forger.
func TestForgedCheckpointControl(t *testing.T) {
	s := newScene(t)
	theirs := newWorldWithKeys(t, s.trust, "any", "stolen")
	_, err := archive.Verify(t.Context(), s.forger, theirs.config())
	check(t, err)
	_, err = archive.Verify(t.Context(), s.forger, s.config)
	refused(t, err, "SIGNATURE_MISSING")
}

func (s *scene) resigned(tb testing.TB, files fstest.MapFS) fstest.MapFS {
	check(tb, archive.Resign(files, s.auditor, now))
	return files
}
