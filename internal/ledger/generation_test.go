package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// nextGeneration are keys for the n-th generation of the test's logs.
func nextGeneration(tb testing.TB, n uint64) Keys {
	var k Keys
	for g, skey := range map[Log]*string{Sent: &k.Sent, Received: &k.Received} {
		origin := verify.OriginOf("hub.example/"+g.String(), n)
		var err error
		*skey, _, err = GenerateKey(chacha(origin), origin)
		check(tb, err)
	}
	return k
}

// generation opens the next generation of a hub's logs, and the hub with it.
func (h *hub) generation(n uint64, known ...string) error {
	h.tb.Helper()
	before := h.verifierKeys()
	c := h.Config
	c.Keys = nextGeneration(h.tb, n)
	l, err := OpenGeneration(h.tb.Context(), Generation{Config: c, Before: before, Known: known})
	if err == nil {
		h.Ledger, h.Config = l, c
	}
	return err
}

// opening is the event with which the newest generation of a log begins, verified.
func (h *hub) opening(g Log) *verify.Event {
	h.tb.Helper()
	r, err := h.Cut().Opening(h.tb.Context(), h.Origin(g))
	check(h.tb, err)
	e, err := verify.Receipt(r, h.verifierKeys())
	check(h.tb, err)
	if e.Kind != logv1.Kind_KIND_GENERATION_OPENED || e.Index != 0 || e.Origin != h.Origin(g) {
		h.tb.Fatalf("the %v log begins with %+v", g, e)
	}
	return e
}

// TestANewGeneration goes the whole way: an old copy is put back, the hub refuses, an operator opens the next
// generation, and everything of the old one still proves.
func TestANewGeneration(t *testing.T) {
	h := newHubWithFile(t)
	oldKeys := h.verifierKeys()
	ids := append(h.add(Sent, 150), h.add(Sent, 150)...)
	h.add(Received, 4)
	copied := h.copyFile()
	_, _, held := h.Head(Sent)
	lost := h.add(Sent, 5)
	_, _, newest := h.Head(Sent)
	lostReceipt, err := h.Receipt(t.Context(), lost[4])
	check(t, err)

	h.restore(copied)
	_, err = Open(t.Context(), h.Config)
	wantFault(t, err, fault.Precondition, "LEDGER_SHORTER")
	check(t, h.generation(2))

	// The first leaf names the newest checkpoint that the file knew, and the last that the copy holds.
	if got := h.opening(Sent).Core.GetFollowsCheckpoints(); !slices.Equal(got, []string{newest, held}) {
		t.Fatalf("the sent log follows\n%s", strings.Join(got, "\n"))
	}
	if got := h.opening(Received).Core.GetFollowsCheckpoints(); len(got) != 1 {
		t.Fatalf("the received log follows\n%s", strings.Join(got, "\n"))
	}
	more := h.add(Sent, 3)
	h.reopen()
	check(t, h.CheckAll(t.Context()))

	both, err := verify.NewKeys(h.VerifierKey(Sent), h.VerifierKey(Received), vkeyOf(t, testKeys(t).Sent), vkeyOf(t, testKeys(t).Received))
	check(t, err)
	for _, id := range [][16]byte{ids[0], ids[299]} {
		r, err := h.Receipt(t.Context(), id)
		check(t, err)
		if e, err := verify.Receipt(r, oldKeys); err != nil || e.Checkpoint != held {
			t.Fatalf("an old event is at %+v, %v", e, err)
		}
	}
	r, err := h.Receipt(t.Context(), more[2])
	check(t, err)
	if e, err := verify.Receipt(r, both); err != nil || e.Index != 3 || e.Origin != "hub.example/sent/2" {
		t.Fatalf("a new event is at %+v, %v", e, err)
	}
	if _, err := verify.Receipt(lostReceipt, both); err != nil {
		t.Fatalf("the receipt of a lost event: %v", err)
	}
	_, err = h.Receipt(t.Context(), lost[0])
	wantFault(t, err, fault.NotFound, "EVENT_NOT_FOUND")

	// Both generations are listed, exported and proved.
	seen := map[string]int{}
	var position Position
	for {
		position, err = h.Events(t.Context(), position, 50, func(e Logged) (bool, error) { seen[e.Origin]++; return true, nil })
		check(t, err)
		if position == "" {
			break
		}
	}
	if seen["hub.example/sent"] != 300 || seen["hub.example/sent/2"] != 4 || seen["hub.example/received"] != 4 || seen["hub.example/received/2"] != 1 {
		t.Fatalf("listed: %v", seen)
	}
	n := 0
	check(t, h.Range(t.Context(), "hub.example/sent", 0, 300, func(e Logged) (bool, error) { n++; return true, nil }))
	old, err := verify.Checkpoint(held, oldKeys)
	check(t, err)
	_, checkpoint, p, err := h.HeadSince(t.Context(), "hub.example/sent", 300)
	check(t, err)
	if check(t, verify.Continues(old, old, p)); n != 300 || checkpoint != held {
		t.Fatalf("%d events, %s", n, checkpoint)
	}

	// Somebody who knew 280 of the old log gets the proof that its end continues what they knew.
	ended, err := h.Cut().Ended(t.Context(), "hub.example/sent/2", knownLog("hub.example/sent", 280))
	check(t, err)
	if ended.GetOldSize() != 280 || ended.GetNewSize() != 300 || len(ended.GetHashes()) == 0 {
		t.Fatalf("ended: %v", ended)
	}
	_, err = h.Cut().Ended(t.Context(), "hub.example/sent/2", knownLog("hub.example/sent", 303))
	wantFault(t, err, fault.Precondition, "LOG_AHEAD")
	_, err = h.Cut().Ended(t.Context(), "hub.example/sent/2", knownLog("hub.example/received", 1))
	wantFault(t, err, fault.NotFound, "LOG_NOT_FOUND")
	if r, err := h.Cut().Opening(t.Context(), "hub.example/sent"); r != nil || err != nil {
		t.Fatalf("the first generation follows %v, %v", r, err)
	}

	// The old keys open nothing any more, and a third generation follows the second.
	wrong := h.Config
	wrong.Keys, wrong.CheckpointFile = testKeys(t), ""
	_, err = Open(t.Context(), wrong)
	wantFault(t, err, fault.Unverified, "LEDGER_WRONG_KEY")
	check(t, h.generation(3))
	h.reopen()
	if got := h.opening(Sent).Core.GetFollowsCheckpoints(); len(got) != 1 || !strings.HasPrefix(got[0], "hub.example/sent/2\n4\n") {
		t.Fatalf("the third generation follows\n%s", strings.Join(got, "\n"))
	}
}

// TestWhatAGenerationCommitsTo: a checkpoint that others know is committed to when the trees do not contain it.
func TestWhatAGenerationCommitsTo(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 10)
	_, _, contained := h.Head(Sent)
	copied := h.copyFile()
	h.add(Sent, 2)
	_, _, ahead := h.Head(Sent)
	h.restore(copied)
	h.openLedger()
	h.add(Sent, 4)
	_, _, own := h.Head(Sent) // another fourteen than those that others saw twelve of
	check(t, h.generation(2, contained, ahead, contained, ahead))
	if got := h.opening(Sent).Core.GetFollowsCheckpoints(); !slices.Equal(got, []string{ahead, own}) {
		t.Fatalf("follows\n%s", strings.Join(got, "\n"))
	}
}

func TestAGenerationIsRefused(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 3)
	before := h.contents()
	other := nextGeneration(t, 2)
	_, foreign, err := GenerateKey(chacha("foreign"), "hub.example/sent")
	check(t, err)
	foreignKeys, err := verify.NewKeys(foreign)
	check(t, err)
	for name, c := range map[string]struct {
		change func(*Generation)
		reason string
	}{
		"the same origin":        {func(g *Generation) { g.Keys = testKeys(t) }, ""},
		"another log's name":     {func(g *Generation) { g.Keys.Sent, _, _ = GenerateKey(chacha("x"), "elsewhere/sent/2") }, "LEDGER_GENERATION"},
		"no later number":        {func(g *Generation) { g.Keys.Sent, _, _ = GenerateKey(chacha("x"), "hub.example/sent/1") }, "LEDGER_GENERATION"},
		"an unknown key":         {func(g *Generation) { g.Before = foreignKeys }, "SIGNATURE_MISSING"},
		"a forged checkpoint":    {func(g *Generation) { g.Known = []string{"hub.example/sent\n9\nAA==\n\nx\n"} }, "CHECKPOINT_MALFORMED"},
		"a file that is no file": {func(g *Generation) { g.CheckpointFile = t.TempDir() }, "LEDGER_CHECKPOINT_FILE"},
	} {
		g := Generation{Config: h.Config, Before: h.verifierKeys()}
		g.Keys = other
		c.change(&g)
		if c.reason == "" {
			l, err := OpenGeneration(t.Context(), g) // that generation is open already
			check(t, err)
			if size, _, _ := l.Head(Sent); size != 3 {
				t.Errorf("%s: %d leaves", name, size)
			}
			continue
		}
		_, err := OpenGeneration(t.Context(), g)
		if fault.From(err).Reason != c.reason {
			t.Errorf("%s: %v", name, err)
		}
		h.unchanged(before)
	}
	empty := newHub(t, func(c *Config) {})
	fresh := Generation{Config: empty.Config, Before: empty.verifierKeys()}
	fresh.Keys = other
	empty.set(schema.HubLog, []byte{1}, remove)
	empty.set(schema.HubLog, []byte{2}, remove)
	_, err = OpenGeneration(t.Context(), fresh)
	wantFault(t, err, fault.Precondition, "LEDGER_GENERATION")
	empty.Ledger = nil
}

// TestACrashWhileAGenerationOpens: the commit is all or nothing, and the same call again goes on from either.
func TestACrashWhileAGenerationOpens(t *testing.T) {
	h := newHubWithFile(t)
	h.add(Sent, 3)
	keys, c := h.verifierKeys(), h.Config
	c.Keys = nextGeneration(t, 2)
	c.CheckpointFile = filepath.Join(t.TempDir(), "no", "such", "folder") // fails after the commit, as a crash there
	text, err := os.ReadFile(h.CheckpointFile)
	check(t, err)
	if _, err := OpenGeneration(t.Context(), Generation{Config: c, Before: keys}); err == nil {
		t.Fatal("a checkpoint file that cannot be written passes")
	}
	c.CheckpointFile = h.CheckpointFile
	if now, err := os.ReadFile(h.CheckpointFile); err != nil || string(now) != string(text) {
		t.Fatalf("the old file: %s, %v", now, err)
	}
	_, err = Open(t.Context(), c)
	wantFault(t, err, fault.Unverified, "LEDGER_CHECKPOINT_FILE")
	h.Ledger, err = OpenGeneration(t.Context(), Generation{Config: c, Before: keys})
	check(t, err)
	h.Config = c
	h.reopen()
	if size, _, _ := h.Head(Sent); size != 1 {
		t.Fatalf("%d leaves", size)
	}

	// A commit that certainly failed leaves the generation that was.
	h2 := newHub(t)
	h2.add(Sent, 3)
	f := &failing{}
	h2.wrap(f.update)
	before := h2.contents()
	f.mode = "rolled back"
	c2 := h2.Config
	c2.Keys = nextGeneration(t, 2)
	if _, err := OpenGeneration(t.Context(), Generation{Config: c2, Before: h2.verifierKeys()}); !errors.Is(err, errDisk) {
		t.Fatalf("a failed commit: %v", err)
	}
	h2.unchanged(before)
}

// TestALaterGenerationIsNotFounded: the disk of a hub whose logs are of a later generation is lost, and the checkpoint file
// with it. On an empty database its keys sign nothing: they signed an event at least.
func TestALaterGenerationIsNotFounded(t *testing.T) {
	h := newHub(t)
	c := newHub(t).Config
	for _, skey := range []string{"sent", "received"} {
		c.Keys = testKeys(t)
		if skey == "sent" {
			c.Keys.Sent = nextGeneration(t, 2).Sent
		} else {
			c.Keys.Received = nextGeneration(t, 2).Received
		}
		empty, err := bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Schema: schema.Hub})
		check(t, err)
		defer empty.Close()
		c.Store = empty
		_, err = Open(t.Context(), c)
		wantFault(t, err, fault.Precondition, "LEDGER_SHORTER")
		if sent, received, err := Origins(t.Context(), c.Store); err != nil || sent+received != "" {
			t.Errorf("it signed %s %s, %v", sent, received, err)
		}
	}
	check(t, h.generation(2))
	h.reopen()
}

// TestADamagedGenerationIsRefused: the end of an old generation is held by the first leaf of the next.
func TestADamagedGenerationIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		ks     store.Keyspace
		key    []byte
		change func([]byte) []byte
	}{
		"old checkpoint changed": {schema.HubLog, []byte{1}, func(v []byte) []byte { return append(v, "— x AAAAAAAA\n"...) }},
		"old checkpoint gone":    {schema.HubLog, []byte{2}, remove},
		"old tile":               {schema.HubTile, tileKey(tree(Sent), 0, 0), flip},
		"first leaf of the next": {schema.HubLeaf, leafKey(3, 0), flip},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.add(Sent, 3)
			check(t, h.generation(2))
			h.set(c.ks, c.key, c.change)
			_, err := Open(t.Context(), h.Config)
			wantFault(t, err, fault.Unverified, "LEDGER_CORRUPT")
			h.Ledger = nil
		})
	}
}

// TestWitnessesShowARollback: a hub does not start below what others have seen.
func TestWitnessesShowARollback(t *testing.T) {
	h := newHub(t)
	copied := h.copyFile()
	h.add(Sent, 3)
	h.add(Received, 1)
	file := filepath.Join(t.TempDir(), "seen")
	write := func(notes ...string) { check(t, os.WriteFile(file, []byte(strings.Join(notes, "\n")), 0o600)) }
	_, _, sent := h.Head(Sent)
	_, _, received := h.Head(Received)
	h.Config.WitnessFiles = []string{file}
	_, err := Open(t.Context(), h.Config)
	wantFault(t, err, fault.Unverified, "LEDGER_CHECKPOINT_FILE")
	write(sent, received)
	h.openLedger()
	write(received)
	h.openLedger()
	write(sent)
	h.restore(copied)
	_, err = Open(t.Context(), h.Config)
	wantFault(t, err, fault.Precondition, "LEDGER_SHORTER")
	forked := h.Config
	forked.WitnessFiles = nil
	h.Ledger, err = Open(t.Context(), forked)
	check(t, err)
	h.batch(record(Sent, 77), record(Sent, 78), record(Sent, 79), record(Sent, 80))
	_, err = Open(t.Context(), h.Config)
	wantFault(t, err, fault.Precondition, "LEDGER_FORKED")
	write("nonsense")
	_, err = Open(t.Context(), h.Config)
	wantFault(t, err, fault.Unverified, "LEDGER_CHECKPOINT_FILE")
}

func vkeyOf(t *testing.T, skey string) string {
	vkey, err := VerifierKey(skey)
	check(t, err)
	return vkey
}

func knownLog(origin string, size uint64) *posternv1.KnownLog {
	return &posternv1.KnownLog{Origin: origin, Size: size}
}
