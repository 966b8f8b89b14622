package ledger

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/fault"
)

// A receipt from memory is the receipt from the store, at every size of the tree and however many batches have come
// between: over the ends of tiles, and after a restart.
func TestAReceiptFromMemoryIsTheOneFromTheStore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHub(t)
		defer h.close()
		var kept []Entry
		add := func(g Log, n int) {
			entries := make([]Entry, n)
			for _, err := range h.batch(func(tx *Tx) (err error) {
				for i := 0; i < n && err == nil; i++ {
					entries[i], err = tx.Record(g, event(i))
				}
				return err
			}) {
				check(rt, err)
			}
			for range min(n, 3) {
				kept = append(kept, entries[rapid.IntRange(0, n-1).Draw(rt, "kept")])
			}
			kept = append(kept, entries[0], entries[n-1])
		}
		add(Sent, rapid.SampledFrom([]int{1, 200, 255, 256, 257}).Draw(rt, "first"))
		for range rapid.IntRange(1, 3).Draw(rt, "batches") {
			add(rapid.SampledFrom(logs[:]).Draw(rt, "log"), rapid.IntRange(1, 60).Draw(rt, "events"))
			if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				h.reopen()
			}
			for _, e := range kept {
				got, err := h.ReceiptOf(t.Context(), e)
				check(rt, err)
				want, err := h.Receipt(t.Context(), e.EventID())
				check(rt, err)
				if !proto.Equal(got, want) {
					rt.Fatalf("%v is not %v", got, want)
				}
			}
		}
	})
}

// An entry that was not committed has no receipt, also when another event has since taken its place in the log.
func TestAnEntryThatWasNotCommittedHasNoReceipt(t *testing.T) {
	h := newHub(t)
	var lost Entry
	errs := h.batch(func(tx *Tx) (err error) {
		lost, err = tx.Record(Sent, event(1))
		check(t, err)
		return errOp
	})
	if errs[0] != errOp {
		t.Fatal(errs[0])
	}
	for _, e := range []Entry{lost, {}} {
		if _, err := h.ReceiptOf(t.Context(), e); fault.KindOf(err) != fault.NotFound {
			t.Fatalf("an entry that was not committed: %v", err)
		}
	}
	h.add(Sent, 2)
	if r, err := h.ReceiptOf(t.Context(), lost); err == nil {
		t.Fatalf("another event's place gave a receipt: %v", r)
	}
}

// An entry releases once, in the transaction that made it; another run of the op makes another entry.
func TestAnEntryReleasesOnce(t *testing.T) {
	h := newHub(t)
	var kept Entry
	for _, err := range h.batch(func(tx *Tx) (err error) {
		kept, err = tx.Record(Sent, event(1))
		check(t, err)
		copied := kept
		if (Entry{}).Release(tx) || !kept.Release(tx) || kept.Release(tx) || copied.Release(tx) {
			t.Error("an entry releases never, or twice")
		}
		return nil
	}, func(tx *Tx) error {
		if kept.Release(tx) {
			t.Error("an entry releases in another transaction")
		}
		return nil
	}) {
		check(t, err)
	}
}
