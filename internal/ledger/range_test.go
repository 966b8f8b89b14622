package ledger

import (
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
)

func TestRange(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 7)
	list := func(from, to uint64, limit int) (got []uint64, err error) {
		err = h.Range(t.Context(), h.Origin(Sent), from, to, func(e Logged) (bool, error) {
			if e.Record == nil || e.Leaf.Hour == 0 {
				t.Error("an event without its record")
			}
			got = append(got, e.Index)
			return len(got) < limit, nil
		})
		return got, err
	}
	for _, c := range []struct {
		from, to uint64
		limit    int
		want     []uint64
	}{{0, 7, 9, []uint64{0, 1, 2, 3, 4, 5, 6}}, {2, 5, 9, []uint64{2, 3, 4}}, {2, 7, 2, []uint64{2, 3}}, {7, 7, 9, nil}, {0, 0, 9, nil}} {
		got, err := list(c.from, c.to, c.limit)
		check(t, err)
		if !slices.Equal(got, c.want) {
			t.Errorf("%d to %d, at most %d: %v", c.from, c.to, c.limit, got)
		}
	}
	_, err := list(0, 8, 9)
	wantFault(t, err, fault.Precondition, "LOG_AHEAD")
	_, err = list(5, 4, 9)
	wantFault(t, err, fault.Precondition, "LOG_AHEAD")
	wantFault(t, h.Range(t.Context(), "hub.example/other", 0, 0, nil), fault.NotFound, "LOG_NOT_FOUND")
	if err := h.Range(t.Context(), h.Origin(Sent), 0, 1, func(Logged) (bool, error) { return false, errOp }); err != errOp {
		t.Error(err)
	}
}

func TestHeadSince(t *testing.T) {
	h := newHub(t)
	var known []verify.Head
	for range 4 {
		size, root, _ := h.Head(Sent)
		known = append(known, verify.Head{Origin: h.Origin(Sent), Size: size, Root: root})
		h.add(Sent, 3)
	}
	for _, k := range known {
		size, checkpoint, p, err := h.HeadSince(t.Context(), h.Origin(Sent), k.Size)
		check(t, err)
		head, err := verify.Checkpoint(checkpoint, h.verifierKeys())
		check(t, err)
		check(t, verify.Continues(k, head, p))
		check(t, proof.VerifyConsistency(rfc6962.DefaultHasher, k.Size, size, p.Hashes, k.Root[:], head.Root[:]))
	}
	_, _, _, err := h.HeadSince(t.Context(), h.Origin(Sent), 13)
	wantFault(t, err, fault.Precondition, "LOG_AHEAD")
	_, _, _, err = h.HeadSince(t.Context(), "", 0)
	wantFault(t, err, fault.NotFound, "LOG_NOT_FOUND")
}
