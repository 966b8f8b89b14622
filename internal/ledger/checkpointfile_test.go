package ledger

import (
	"math/rand/v2"
	"os"
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
