package ledger

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
)

func TestReopenAfterEveryBatch(t *testing.T) {
	h := newHub(t)
	keys := h.verifierKeys()
	var ids [][16]byte
	// Up to, exactly to, and over the edges of tiles; one log stays behind the other.
	for i, n := range []int{1, 2, 5, 100, 147, 1, 0, 255, 1, 256, 3} {
		older, oldRoot, _ := h.Head(Sent)
		if n > 0 {
			ids = append(ids, h.add(Sent, n)...)
		}
		if i%3 == 0 {
			h.add(Received, 1)
		}
		size, root, checkpoint := h.Head(Sent)
		h.reopen()
		if s, r, c := h.Head(Sent); s != size || r != root || c != checkpoint || s != uint64(len(ids)) {
			t.Fatalf("%d leaves were %d before the restart", s, size)
		}
		p, err := h.Consistency(t.Context(), Sent, older)
		check(t, err)
		check(t, verify.Consistency(p, oldRoot, root))
		for _, id := range [][16]byte{ids[0], ids[len(ids)/2], ids[len(ids)-1]} {
			r, err := h.Receipt(t.Context(), id)
			check(t, err)
			ev, err := verify.Receipt(r, keys)
			check(t, err)
			if ev.Checkpoint != checkpoint {
				t.Fatal("a receipt is not cut to the newest checkpoint")
			}
		}
	}
	check(t, h.CheckAll(t.Context()))
}

func TestANewLedgerIsTwoEmptySignedLogs(t *testing.T) {
	h := newHub(t)
	for _, g := range logs {
		size, root, checkpoint := h.Head(g)
		head, err := verify.Checkpoint(checkpoint, h.verifierKeys())
		check(t, err)
		if size != 0 || root != verify.EmptyRoot || head.Size != 0 || head.Origin != "hub.example/"+g.String() {
			t.Fatalf("%v: %+v", g, head)
		}
		if got, ok := h.LogOf(head.Origin); got != g || !ok {
			t.Fatalf("%s is log %v", head.Origin, got)
		}
	}
	before := h.contents()
	h.reopen()
	h.unchanged(before)
}

// set writes a record past the ledger, with a right checksum: what an attacker with the file could do.
func (h *hub) set(ks store.Keyspace, key []byte, change func(value []byte) []byte) {
	h.tb.Helper()
	check(h.tb, h.store.Update(context.Background(), func(tx store.Tx) error {
		v, err := tx.Get(ks, key)
		if err != nil {
			return err
		}
		if v = change(v); v == nil {
			return tx.Delete(ks, key)
		}
		return tx.Put(ks, key, v)
	}))
}

func flip(v []byte) []byte    { v[len(v)/2] ^= 1; return v }
func remove([]byte) []byte    { return nil }
func shorten(v []byte) []byte { return v[:len(v)-32] }

func TestADamagedStoreIsRefused(t *testing.T) {
	const size = 600 // two full tiles of leaves, one partial, and a second level
	h := newHub(t, func(c *Config) { c.MaxBatch = size })
	h.add(Sent, size)
	before := h.contents()
	for name, c := range map[string]struct {
		ks     store.Keyspace
		key    []byte
		change func([]byte) []byte
		open   string // the reason of Open; empty: only CheckAll can see it
	}{
		"checkpoint flipped":        {schema.HubLog, []byte{1}, flip, "LEDGER_WRONG_KEY"},
		"checkpoint removed":        {schema.HubLog, []byte{1}, remove, "LEDGER_CORRUPT"},
		"empty checkpoint removed":  {schema.HubLog, []byte{2}, remove, "LEDGER_CORRUPT"},
		"right edge flipped":        {schema.HubTile, tileKey(tree(Sent), 0, 2), flip, "LEDGER_CORRUPT"},
		"right edge removed":        {schema.HubTile, tileKey(tree(Sent), 0, 2), remove, "LEDGER_CORRUPT"},
		"right edge shortened":      {schema.HubTile, tileKey(tree(Sent), 0, 2), shorten, "LEDGER_CORRUPT"},
		"second level flipped":      {schema.HubTile, tileKey(tree(Sent), 1, 0), flip, "LEDGER_CORRUPT"},
		"last full tile flipped":    {schema.HubTile, tileKey(tree(Sent), 0, 1), flip, "LEDGER_CORRUPT"},
		"last full tile removed":    {schema.HubTile, tileKey(tree(Sent), 0, 1), remove, "LEDGER_CORRUPT"},
		"old tile flipped":          {schema.HubTile, tileKey(tree(Sent), 0, 0), flip, ""},
		"stray tile":                {schema.HubTile, tileKey(tree(Sent), 0, 9), func([]byte) []byte { return []byte("x") }, ""},
		"last leaf flipped":         {schema.HubLeaf, leafKey(tree(Sent), size-1), flip, "LEDGER_CORRUPT"},
		"last leaf removed":         {schema.HubLeaf, leafKey(tree(Sent), size-1), remove, "LEDGER_CORRUPT"},
		"leaf of the tile before":   {schema.HubLeaf, leafKey(tree(Sent), 256), flip, "LEDGER_CORRUPT"},
		"old leaf flipped":          {schema.HubLeaf, leafKey(tree(Sent), 255), flip, ""},
		"old leaf removed":          {schema.HubLeaf, leafKey(tree(Sent), 3), remove, ""},
		"leaf beyond the end":       {schema.HubLeaf, leafKey(tree(Sent), size), func([]byte) []byte { return make([]byte, 54) }, "LEDGER_CORRUPT"},
		"leaf far beyond the end":   {schema.HubLeaf, leafKey(tree(Sent), size+5), func([]byte) []byte { return make([]byte, 54) }, ""},
		"leaf in the empty log":     {schema.HubLeaf, leafKey(tree(Received), 0), func([]byte) []byte { return make([]byte, 54) }, "LEDGER_CORRUPT"},
		"record of nothing":         {schema.HubRecord, leafKey(tree(Sent), size), func([]byte) []byte { return []byte("x") }, ""},
		"checkpoint of another log": {schema.HubLog, []byte{1}, nil, "LEDGER_CORRUPT"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change == nil {
				_, _, other := h.Head(Received)
				c.change = func([]byte) []byte { return []byte(other) }
			}
			was, ok := before[string(c.ks)+"/"+string(c.key)]
			h.set(c.ks, c.key, c.change)
			if c.open == "" {
				h.openLedger()
				wantFault(t, h.CheckAll(t.Context()), fault.Unverified, "LEDGER_CORRUPT")
			} else {
				_, err := Open(t.Context(), h.Config)
				wantFault(t, err, fault.Unverified, c.open)
			}
			h.set(c.ks, c.key, func([]byte) []byte { // and it is the change alone that is refused
				if !ok {
					return nil
				}
				return []byte(was)
			})
			h.openLedger()
		})
	}
}

func TestADamagedRecordIsFound(t *testing.T) {
	h := newHub(t)
	ids := h.add(Sent, 4)
	good := h.contents()
	value := func(index uint64) []byte {
		return []byte(good[string(schema.HubRecord)+"/"+string(leafKey(tree(Sent), index))])
	}
	for name, change := range map[string]func([]byte) []byte{
		"flipped": flip, "removed": remove, "swapped": func([]byte) []byte { return value(1) },
	} {
		h.set(schema.HubRecord, leafKey(tree(Sent), 0), change)
		if _, err := h.Receipt(t.Context(), ids[0]); err == nil || fault.KindOf(err) == fault.NotFound {
			t.Errorf("%s: the receipt gives %v", name, err)
		}
		if err := h.CheckAll(t.Context()); err == nil {
			t.Errorf("%s: CheckAll passes", name)
		}
		h.set(schema.HubRecord, leafKey(tree(Sent), 0), func([]byte) []byte { return value(0) })
	}
	// A whole event in the place of another is not where its id says: it gives nobody that event.
	leaf := []byte(good[string(schema.HubLeaf)+"/"+string(leafKey(tree(Sent), 1))])
	h.set(schema.HubLeaf, leafKey(tree(Sent), 0), func([]byte) []byte { return leaf })
	h.set(schema.HubRecord, leafKey(tree(Sent), 0), func([]byte) []byte { return value(1) })
	if _, err := h.Receipt(t.Context(), ids[0]); err == nil {
		t.Error("an event is found in the place of another")
	}
	wantFault(t, h.CheckAll(t.Context()), fault.Unverified, "VAULT_SEAL_BROKEN")
	h.set(schema.HubLeaf, leafKey(tree(Sent), 0), func([]byte) []byte {
		return []byte(good[string(schema.HubLeaf)+"/"+string(leafKey(tree(Sent), 0))])
	})
	h.set(schema.HubRecord, leafKey(tree(Sent), 0), func([]byte) []byte { return value(0) })
}

func TestConfigIsChecked(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 2)
	other, _, err := GenerateKey(chacha("other"), "hub.example/sent")
	check(t, err)
	renamed, _, err := GenerateKey(chacha("other"), "hub.example/elsewhere")
	check(t, err)
	for name, c := range map[string]struct {
		change func(*Config)
		kind   fault.Kind
		reason string
	}{
		"another key":     {func(c *Config) { c.Keys.Sent = other }, fault.Unverified, "LEDGER_WRONG_KEY"},
		"another origin":  {func(c *Config) { c.Keys.Sent = renamed }, fault.Unverified, "LEDGER_WRONG_KEY"},
		"keys exchanged":  {func(c *Config) { c.Keys.Sent, c.Keys.Received = c.Keys.Received, c.Keys.Sent }, fault.Unverified, "LEDGER_CORRUPT"},
		"one key twice":   {func(c *Config) { c.Keys.Sent = c.Keys.Received }, fault.Invalid, "LEDGER_ORIGIN"},
		"no key":          {func(c *Config) { c.Keys.Sent = "" }, fault.Invalid, "LEDGER_KEY_MALFORMED"},
		"a public key":    {func(c *Config) { c.Keys.Sent = h.VerifierKey(Sent) }, fault.Invalid, "LEDGER_KEY_MALFORMED"},
		"no store":        {func(c *Config) { c.Store = nil }, fault.Invalid, "LEDGER_CONFIG"},
		"no vault":        {func(c *Config) { c.Vault = nil }, fault.Invalid, "LEDGER_CONFIG"},
		"a negative size": {func(c *Config) { c.MaxBatch = -1 }, fault.Invalid, "LEDGER_CONFIG"},
	} {
		t.Run(name, func(t *testing.T) {
			config := h.Config
			c.change(&config)
			_, err := Open(t.Context(), config)
			wantFault(t, err, c.kind, c.reason)
			if strings.Contains(err.Error(), "PRIVATE+KEY+hub") {
				t.Fatal("a fault quotes a key")
			}
		})
	}
	for _, origin := range []string{"", "a b", "a+b"} {
		_, _, err := GenerateKey(chacha("x"), origin)
		wantFault(t, err, fault.Invalid, "LEDGER_ORIGIN")
	}
}

func withFile(c *Config) func(dir string) {
	return func(dir string) { c.CheckpointFile = filepath.Join(dir, "checkpoints") }
}

func newHubWithFile(t *testing.T) *hub {
	h := newHub(t)
	withFile(&h.Config)(t.TempDir())
	h.openLedger()
	return h
}

func TestTheCheckpointFileShowsARollback(t *testing.T) {
	h := newHubWithFile(t)
	fresh := h.copyFile()
	h.add(Sent, 3)
	old := h.copyFile()
	oldCheckpoints, err := os.ReadFile(h.CheckpointFile)
	check(t, err)
	h.add(Sent, 2)
	h.add(Received, 1)
	newest := h.copyFile()
	text, err := os.ReadFile(h.CheckpointFile)
	check(t, err)
	for _, g := range logs {
		if _, _, checkpoint := h.Head(g); !strings.Contains(string(text), checkpoint) {
			t.Fatalf("the file lacks the newest checkpoint of %v:\n%s", g, text)
		}
	}
	h.reopen() // level

	refuses := func(db []byte, kind fault.Kind, reason string) {
		t.Helper()
		h.restore(db)
		_, err := Open(t.Context(), h.Config)
		wantFault(t, err, kind, reason)
	}
	refuses(old, fault.Precondition, "LEDGER_SHORTER")
	refuses(fresh, fault.Precondition, "LEDGER_SHORTER")

	// An old copy that went on without the file has another history.
	h.restore(old)
	h.Config.CheckpointFile = ""
	h.openLedger()
	h.add(Sent, 5)
	h.add(Received, 2)
	forked := h.copyFile()
	h.Config.CheckpointFile = filepath.Join(filepath.Dir(h.dir), "none", "checkpoints")
	if _, err := Open(t.Context(), h.Config); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("a file that cannot be written: %v", err)
	}
	withFile(&h.Config)(t.TempDir())
	check(t, os.WriteFile(h.CheckpointFile, text, 0o600))
	refuses(forked, fault.Precondition, "LEDGER_FORKED")

	// A file that is behind is what a crash between commit and file leaves; one that is gone is written anew.
	h.restore(newest)
	check(t, os.WriteFile(h.CheckpointFile, oldCheckpoints, 0o600))
	h.openLedger()
	for _, place := range h.filePlaces() {
		if place != h.filePlaces()[0] || !strings.Contains(place, "\n5\n") {
			t.Fatalf("the file was not brought level:\n%s", place)
		}
	}
	check(t, os.Remove(h.CheckpointFile))
	h.openLedger()

	level := strings.TrimRight(h.filePlaces()[0], "\n") + "\n" // as a list, which a person may put there
	for name, content := range map[string]string{
		"empty": "", "half": string(text[:len(text)/2]), "long": string(text) + "\n", "twice": level + "\n" + level,
		"edited": strings.Replace(level, "\n5\n", "\n4\n", 1), "half a list": level[:len(level)/2],
		"edited twice": strings.ReplaceAll(strings.ReplaceAll(string(text), "\n5\n", "\n4\n"), "\n3\n", "\n2\n"),
	} {
		check(t, os.WriteFile(h.CheckpointFile, []byte(content), 0o600))
		if _, err := Open(t.Context(), h.Config); err == nil {
			t.Errorf("a file that is %s is accepted", name)
		} else {
			wantFault(t, err, fault.Unverified, "LEDGER_CHECKPOINT_FILE")
		}
	}
}

// copyFile returns the bytes of the database at rest.
func (h *hub) copyFile() []byte {
	h.tb.Helper()
	check(h.tb, h.store.Close())
	b, err := os.ReadFile(filepath.Join(h.dir, "hub.db"))
	check(h.tb, err)
	h.openStore()
	h.openLedger()
	return b
}

// restore puts another database in the place of this one.
func (h *hub) restore(b []byte) {
	h.tb.Helper()
	check(h.tb, h.store.Close())
	check(h.tb, os.WriteFile(filepath.Join(h.dir, "hub.db"), b, 0o600))
	h.openStore()
}

// TestFailedCommits is every way in which a commit can go wrong, each with and without a checkpoint file, at the size
// where a tile becomes full and elsewhere, and what a retry then finds.
func TestFailedCommits(t *testing.T) {
	for _, mode := range []string{"rolled back", "unknown, not persisted", "unknown, persisted"} {
		for _, file := range []bool{false, true} {
			for _, size := range []int{0, 255} {
				t.Run(mode, func(t *testing.T) {
					t.Parallel()
					h := newHub(t)
					if file {
						withFile(&h.Config)(t.TempDir())
					}
					f := &failing{}
					h.wrap(f.update)
					if size > 0 {
						h.add(Sent, size)
					}
					head, _, _ := h.Head(Sent)
					f.mode = mode
					errs := h.batch(put(Sent, 1), func(*Tx) error { return errOp }, put(Received, 2))
					if mode == "rolled back" {
						for _, err := range errs {
							wantFault(t, err, fault.Unavailable, "LEDGER_COMMIT")
						}
						check(t, h.CheckAll(t.Context()))
						h.retry(uint64(size))
						h.reopen()
						return
					}
					for _, err := range errs {
						wantFault(t, err, fault.Unavailable, "LEDGER_STOPPED")
					}
					wantFault(t, h.Append(t.Context(), put(Sent, 3)), fault.Unavailable, "LEDGER_STOPPED")
					if _, err := h.Step(t.Context()); fault.KindOf(err) != fault.Unavailable {
						t.Fatalf("Step goes on: %v", err)
					}
					wantFault(t, h.Run(t.Context()), fault.Unavailable, "LEDGER_STOPPED")
					if now, _, _ := h.Head(Sent); now != head {
						t.Fatal("a batch is shown whose outcome is unknown")
					}
					// Nor does the snapshot of the store leak it.
					if _, err := h.Events(t.Context(), "", 1, func(e Logged) (bool, error) {
						if e.Index >= head {
							t.Error("an event is shown whose outcome is unknown")
						}
						return true, nil
					}); err != nil {
						t.Fatal(err)
					}
					h.reopen()
					h.retry(uint64(size))
				})
			}
		}
	}
}

// put is an op as callers write them: the idempotency row first.
func put(g Log, i int) func(*Tx) error {
	return func(tx *Tx) error {
		key := []byte{byte(i)}
		done, err := tx.Get(schema.HubIdempotency, key)
		if err != nil || done != nil {
			return err
		}
		e, err := tx.Record(g, event(i))
		if err != nil {
			return err
		}
		id := e.EventID()
		return tx.Put(schema.HubIdempotency, key, id[:])
	}
}

// retry does again what failed: each event is in its log once, whether or not the first try was persisted.
func (h *hub) retry(size uint64) {
	h.tb.Helper()
	for _, err := range h.batch(put(Sent, 1), put(Received, 2), put(Sent, 1)) {
		check(h.tb, err)
	}
	sent, _, _ := h.Head(Sent)
	received, _, _ := h.Head(Received)
	if sent != size+1 || received != 1 {
		h.tb.Fatalf("%d and %d leaves, want %d and 1", sent, received, size+1)
	}
}

func TestACheckpointFileThatCannotBeWrittenStops(t *testing.T) {
	h := newHubWithFile(t)
	h.add(Sent, 1)
	path := h.CheckpointFile
	check(t, os.Remove(path))
	check(t, os.Mkdir(path, 0o700)) // in the way of the next write
	errs := h.batch(put(Sent, 1), put(Received, 2))
	for _, err := range errs {
		wantFault(t, err, fault.Unavailable, "LEDGER_STOPPED")
	}
	if size, _, _ := h.Head(Sent); size != 1 {
		t.Fatal("what the file does not cover is shown")
	}
	check(t, os.Remove(path))
	h.reopen()
	h.retry(1)
}

// TestABitFlippedOnTheWayToTheStoreIsNotSigned is the fault that ended a public log in 2021.
func TestABitFlippedOnTheWayToTheStoreIsNotSigned(t *testing.T) {
	for _, ks := range []store.Keyspace{schema.HubLeaf, schema.HubTile} {
		h := newHub(t)
		h.add(Sent, 2)
		before := h.contents()
		h.wrap(func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
			return next.Update(ctx, func(tx store.Tx) error { return fn(flipping{tx, ks}) })
		})
		for _, err := range h.batch(put(Sent, 1)) {
			wantFault(t, err, fault.Unavailable, "LEDGER_STOPPED")
		}
		h.unchanged(before)
		h.reopen()
		h.retry(2)
	}
}

type flipping struct {
	store.Tx
	ks store.Keyspace
}

func (f flipping) Put(ks store.Keyspace, key, value []byte) error {
	if ks == f.ks {
		value = flip(bytes.Clone(value))
	}
	return f.Tx.Put(ks, key, value)
}

func (f flipping) PutOwn(ks store.Keyspace, key, value []byte) error { return f.Put(ks, key, value) }
