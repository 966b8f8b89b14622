package verify_test

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/ledger/verify"
	posternv1 "postern/proto/postern/v1"
)

// The way that is drawn ends at the root, from every leaf of every tree; and at no other hash when any part of it is
// another.
func TestTheWayDrawnEndsAtTheRoot(t *testing.T) {
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for size := int64(1); size <= 70; size++ {
		added, err := tlog.StoredHashes(size-1, fmt.Appendf(nil, "leaf %d", size-1), read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, added...)
		root, err := tlog.TreeHash(size, read)
		if err != nil {
			t.Fatal(err)
		}
		for n := range size {
			path, err := tlog.ProveRecord(size, n, read)
			if err != nil {
				t.Fatal(err)
			}
			p := verify.Proof{Index: uint64(n), Checkpoint: "any\n"}
			for _, h := range path {
				p.Hashes = append(p.Hashes, h)
			}
			r := &posternv1.Receipt{Leaf: fmt.Appendf(nil, "leaf %d", n), TlogProof: p.Text()}
			if end := ends(t, r, uint64(size)); end != root {
				t.Fatalf("leaf %d of %d ends at another hash than the root", n, size)
			}
			r.Leaf = append(r.Leaf, '!')
			if end := ends(t, r, uint64(size)); end == root {
				t.Fatalf("another leaf than %d of %d ends at the root", n, size)
			}
		}
	}
	if _, _, err := verify.Steps(&posternv1.Receipt{TlogProof: verify.Proof{Index: 3, Checkpoint: "any\n"}.Text()}, 3); err == nil {
		t.Error("a leaf beyond the end has a way")
	}
}

func ends(t *testing.T, r *posternv1.Receipt, size uint64) tlog.Hash {
	t.Helper()
	end, steps, err := verify.Steps(r, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		end = s.Parent
	}
	return end
}
