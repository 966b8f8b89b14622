package verify

import (
	"golang.org/x/mod/sumdb/tlog"

	posternv1 "postern/proto/postern/v1"
)

// Step is one level of the way from a leaf to the root: the hash on the other side, and the hash of both.
type Step struct {
	Sibling tlog.Hash
	Left    bool // the sibling is on the left
	Parent  tlog.Hash
}

// Steps is the way that the proof of a receipt goes, for somebody to look at: from the hash of its leaf, which it
// returns, to the root of a tree of this size (RFC 9162 section 2.1.3.2). It judges nothing: Receipt does, and only of a
// receipt that Receipt passes is the last Parent the signed root.
func Steps(r *posternv1.Receipt, size uint64) (leaf tlog.Hash, steps []Step, err error) {
	p, err := ParseProof(r.GetTlogProof())
	if err != nil {
		return leaf, nil, err
	}
	if p.Index >= size {
		return leaf, nil, refuse("INCLUSION_WRONG", "The leaf is not in the log at this place.")
	}
	leaf = tlog.RecordHash(r.GetLeaf())
	at, last, under := p.Index, size-1, leaf
	for _, h := range p.Hashes {
		step := Step{Sibling: h, Left: at&1 == 1 || at == last} // where it is the last it stays the last: levels without a sibling need no count
		if step.Left {
			step.Parent = tlog.NodeHash(h, under)
		} else {
			step.Parent = tlog.NodeHash(under, h)
		}
		at, last, under = at>>1, last>>1, step.Parent
		steps = append(steps, step)
	}
	return leaf, steps, nil
}
