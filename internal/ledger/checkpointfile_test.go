package ledger

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"postern/internal/fault"
)

// filePlaces are the two places of the checkpoint file.
func (h *hub) filePlaces() []string {
	h.tb.Helper()
	text, err := os.ReadFile(h.CheckpointFile)
	check(h.tb, err)
	if len(text) != 2*placeSize {
		h.tb.Fatalf("the checkpoint file has %d bytes", len(text))
	}
	return []string{string(text[:placeSize]), string(text[placeSize:])}
}

// TestATornCheckpointFile: whatever a crash leaves of the place that was being written, the other one is enough, and
// shows a rollback of all that was shown. With both damaged nothing is signed.
func TestATornCheckpointFile(t *testing.T) {
	h := newHubWithFile(t)
	h.add(Sent, 3)
	old := h.copyFile()
	h.add(Sent, 2)
	h.add(Received, 1)
	h.add(Sent, 1) // not shown when the crash came
	places, newest := h.filePlaces(), 0
	if strings.Contains(places[1], "\n6\n") {
		newest = 1
	}
	whole, db := places[newest], h.copyFile()
	torn := []string{strings.Repeat("\x00", placeSize), strings.Repeat("\n", placeSize)}
	for range 12 { // sectors of the batch before that one, of another time, and of nothing
		cut := rand.IntN(placeSize)
		torn = append(torn, whole[:cut]+strings.Repeat("\x00", placeSize-cut), places[1-newest][:cut]+whole[cut:])
		b := []byte(whole)
		b[rand.IntN(strings.LastIndex(whole, "—"))] ^= 1 << rand.IntN(8)
		torn = append(torn, string(b))
	}
	for _, place := range torn {
		places[newest] = place
		h.restore(db)
		check(t, os.WriteFile(h.CheckpointFile, []byte(places[0]+places[1]), 0o600))
		h.openLedger()
		if now := h.filePlaces(); now[0] != whole || now[1] != whole {
			t.Fatalf("the file was not brought level:\n%s\n%s", now[0], now[1])
		}
		h.restore(old)
		check(t, os.WriteFile(h.CheckpointFile, []byte(places[0]+places[1]), 0o600))
		_, err := Open(t.Context(), h.Config)
		wantFault(t, err, fault.Precondition, "LEDGER_SHORTER")
	}
	check(t, os.WriteFile(h.CheckpointFile, []byte(torn[0]+torn[1]), 0o600))
	_, err := Open(t.Context(), h.Config)
	wantFault(t, err, fault.Unverified, "LEDGER_CHECKPOINT_FILE")
	check(t, os.Remove(h.CheckpointFile))
	h.restore(db)
	h.openLedger()
}

// TestAGenerationAfterATornCheckpointFile: the power cut that took the database left one place of the file torn. The other
// one is enough to open a new generation by; a file of which no place holds is refused for what is wrong with it.
func TestAGenerationAfterATornCheckpointFile(t *testing.T) {
	h := newHubWithFile(t)
	h.add(Sent, 3)
	old := h.copyFile()
	h.add(Sent, 2)
	_, _, shown := h.Head(Sent)
	h.add(Sent, 1)
	keys, c, places, newest := h.verifierKeys(), h.Config, h.filePlaces(), 0
	c.Keys = nextGeneration(t, 2)
	open := func(first, second string) (*Ledger, error) {
		h.restore(old)
		c.Store = h.store
		check(t, os.WriteFile(h.CheckpointFile, []byte(first+second), 0o600))
		return OpenGeneration(t.Context(), Generation{Config: c, Before: keys})
	}
	if strings.Contains(places[1], "\n6\n") {
		newest = 1
	}
	signed := strings.Index(places[newest], "— hub.example/sent ")
	for name, change := range map[string]func(string) string{
		"a signature": func(s string) string { b := []byte(s); b[signed+40] ^= 1; return string(b) },
		"a size":      func(s string) string { return strings.Replace(s, "\n6\n", "\n7\n", 1) },
		"a name":      func(s string) string { return strings.Replace(s, "hub.example", "hub.exbmple", 1) },
		"words":       func(string) string { return "nothing\n" + strings.Repeat("\n", placeSize-8) },
	} {
		torn := slices.Clone(places)
		torn[newest] = change(places[newest])
		l, err := open(torn[0], torn[1])
		if err != nil {
			t.Fatalf("%s is torn: %v", name, err)
		}
		h.Ledger = l
		if ends := h.opening(Sent).Core.GetFollowsCheckpoints(); len(ends) != 2 || ends[0] != shown {
			t.Errorf("%s is torn: it follows\n%s", name, strings.Join(ends, "\n"))
		}
	}
	forged := strings.Replace(places[0], "\n3\n", "\n9\n", 1)
	forged = strings.Replace(strings.Replace(forged, "\n5\n", "\n9\n", 1), "\n6\n", "\n9\n", 1)
	if _, err := open(forged, forged); fault.From(err).Reason != "SIGNATURE_WRONG" {
		t.Errorf("of a file that nobody signed: %v", err)
	}
	h.Ledger = nil
}
