package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
)

// signatures counts the signature lines of a log's newest checkpoint.
func (h *hub) signatures(g Log) int {
	_, _, checkpoint := h.Head(g)
	return strings.Count(checkpoint, "\n— ")
}

// TestALogChangesItsKey goes the whole way: one key, both, the next one alone. Whoever trusts the old key can follow
// until the end of the middle part, whoever trusts the next one from its beginning, and whoever trusts both always.
func TestALogChangesItsKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "newest")
	h := newHub(t, func(c *Config) { c.CheckpointFile = file })
	old := h.Config.Keys
	var next Keys
	var vkeys []string
	for _, g := range logs {
		skey, vkey, err := GenerateKey(chacha("next "+g.String()), h.Origin(g))
		check(t, err)
		*map[Log]*string{Sent: &next.Sent, Received: &next.Received}[g] = skey
		vkeys = append(vkeys, vkey)
	}
	before := h.verifierKeys()
	after, err := verify.NewKeys(vkeys...)
	check(t, err)
	both, err := verify.NewKeys(append(vkeys, h.VerifierKey(Sent), h.VerifierKey(Received))...)
	check(t, err)

	ids := h.add(Sent, 3)
	first, err := h.Receipt(t.Context(), ids[0])
	check(t, err)
	follows := func(stage string, oldKey, newKey bool) {
		t.Helper()
		r, err := h.Receipt(t.Context(), ids[0])
		check(t, err)
		for name, c := range map[string]struct {
			keys verify.Keys
			want bool
		}{"the old key": {before, oldKey}, "the next key": {after, newKey}, "both keys": {both, true}} {
			if _, err := verify.Receipt(r, c.keys); (err == nil) != c.want {
				t.Errorf("%s: with %s a receipt gives %v", stage, name, err)
			}
			if _, err := verify.Receipt(first, both); err != nil {
				t.Errorf("%s: a receipt from before gives %v", stage, err)
			}
			kept, err := os.ReadFile(file)
			check(t, err)
			if _, _, checkpoint := h.Head(Sent); !strings.Contains(string(kept), checkpoint) {
				t.Errorf("%s: the checkpoint file is behind", stage)
			}
		}
	}
	follows("one key", true, false)

	// Both sign from the start on, although nothing has happened yet.
	h.Config.Keys.NextSent, h.Config.Keys.NextReceived = next.Sent, next.Received
	size, root, _ := h.Head(Sent)
	h.reopen()
	if s, r, _ := h.Head(Sent); s != size || r != root || h.signatures(Sent) != 2 || h.signatures(Received) != 2 {
		t.Fatalf("opened with both keys, the head is %d with %d signatures", s, h.signatures(Sent))
	}
	follows("both, nothing new", true, true)
	ids = append(ids, h.add(Sent, 2)...)
	h.add(Received, 1)
	follows("both", true, true)
	_, _, checkpoint := h.Head(Sent)
	h.reopen() // again changes nothing
	if _, _, again := h.Head(Sent); again != checkpoint {
		t.Error("a checkpoint with all its signatures was signed again")
	}

	// The next alone: the newest checkpoint carries its signature already, and the next one no other.
	h.Config.Keys = next
	h.reopen()
	follows("the next alone, nothing new", true, true)
	h.add(Sent, 1)
	follows("the next alone", false, true)
	h.reopen()
	if h.signatures(Sent) != 1 {
		t.Errorf("%d signatures", h.signatures(Sent))
	}

	// There is no way back but the same one: the old key alone has not signed the newest checkpoint.
	check(t, h.store.Close())
	h.openStore()
	c := h.Config
	c.Keys = old
	if _, err := Open(t.Context(), c); err == nil {
		t.Error("opened with a key that has not signed")
	}
	h.reopen()
}

func TestTheNextKeyIsOfTheSameLog(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 1)
	c := h.Config
	for name, bad := range map[string]Keys{
		"of the other log": {Sent: c.Keys.Sent, Received: c.Keys.Received, NextSent: c.Keys.Received},
		"the same again":   {Sent: c.Keys.Sent, Received: c.Keys.Received, NextSent: c.Keys.Sent},
		"garbled":          {Sent: c.Keys.Sent, Received: c.Keys.Received, NextReceived: "PRIVATE+KEY+garbled"},
	} {
		c.Keys = bad
		if _, err := Open(t.Context(), c); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "garbled") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h.signatures(Sent) != 1 {
		t.Error("a key that was refused has signed")
	}
}

// A witness that has seen nothing since the next key began to sign still keeps the hub from an old copy, and from nothing
// else, when that key is the only one.
func TestAWitnessOfBeforeALogChangedItsKey(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 2)
	copied := h.copyFile()
	h.add(Sent, 1)
	_, _, seen := h.Head(Sent)
	file := filepath.Join(t.TempDir(), "seen")
	check(t, os.WriteFile(file, []byte(seen), 0o600))
	h.Config.WitnessFiles = []string{file}
	next, _, err := GenerateKey(chacha("next"), h.Origin(Sent))
	check(t, err)
	old := h.VerifierKey(Sent)
	h.Config.Keys.NextSent = next
	h.reopen()
	h.Config.Keys.Sent, h.Config.Keys.NextSent = next, ""
	_, err = Open(t.Context(), h.Config)
	wantFault(t, err, fault.Unverified, "LEDGER_CHECKPOINT_FILE")
	if !strings.Contains(err.Error(), "log_key.earlier") {
		t.Errorf("it does not say what to do: %v", err)
	}
	h.Config.EarlierKeys = []string{old, h.VerifierKey(Received)} // the second is in use
	h.reopen()
	h.add(Sent, 1)
	h.reopen()

	h.restore(copied)
	h.Config.Keys.Sent, h.Config.Keys.NextSent = testKeys(t).Sent, next // as the copy is signed
	_, err = Open(t.Context(), h.Config)
	wantFault(t, err, fault.Precondition, "LEDGER_SHORTER")
	h.Ledger = nil
}
