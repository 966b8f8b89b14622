package ledger

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// Cut is the newest durable checkpoints of both logs at one moment. Whatever is asked of one Cut is of these two, so
// that an answer never mixes two states of a log: receipts, checkpoint and consistency proofs fit together.
type Cut struct {
	ledger *Ledger
	heads  *perLog[published]
}

// Cut returns the newest.
func (l *Ledger) Cut() Cut { return Cut{l, l.heads.Load()} }

// Head returns the checkpoint of a log as its size, root and signed note. A log that does not exist has none: all are
// zero.
func (c Cut) Head(g Log) (size uint64, root [32]byte, checkpoint string) {
	if g != Sent && g != Received {
		return 0, root, ""
	}
	h := c.heads.of(g)
	return h.Size, h.Root, h.checkpoint
}

// view reads the store as far as the cut.
func (c Cut) view(ctx context.Context, fn func(reading) error) error {
	return c.ledger.store.View(ctx, func(s store.Snapshot) error { return fn(reading{c, s}) })
}

// head is the newest checkpoint of a tree: the cut's own, or the last that a closed one will ever have.
func (c Cut) head(t tree) *published {
	if t > c.ledger.base {
		return c.heads.of(t.log())
	}
	return &c.ledger.closed[t-1]
}

// trees are all trees, the oldest generation first.
func (c Cut) trees() []tree {
	var all []tree
	for t := tree(1); t <= c.ledger.base+tree(len(logs)); t++ {
		all = append(all, t)
	}
	return all
}

// Receipt cuts the receipt of an event and verifies it as its reader will. That of an event of an older generation is
// cut to the last checkpoint of that one. NotFound EVENT_NOT_FOUND when no durable event has the id.
func (c Cut) Receipt(ctx context.Context, id [verify.EventIDSize]byte) (*posternv1.Receipt, error) {
	var receipt *posternv1.Receipt
	err := c.view(ctx, func(r reading) error {
		e, err := r.byID(id)
		if err != nil {
			return err
		}
		receipt, err = c.ledger.cut(ctx, c.head(e.tree), e.tree, e.Index, e.receipt(), r.snap)
		return err
	})
	if err != nil {
		return nil, err
	}
	return receipt, nil
}

// ReceiptOf is Receipt for an event whose Append has returned nil a moment ago. What the receipt states is what Record
// hashed, the tiles of the newest batch are in memory, and the check at the end is the same, so that nothing is read
// from the store but the tiles of an older batch. NotFound EVENT_NOT_FOUND for an entry that was not committed.
func (c Cut) ReceiptOf(ctx context.Context, e Entry) (*posternv1.Receipt, error) {
	if e.receipt == nil {
		return nil, notFound()
	}
	head := c.heads.of(e.log)
	if e.index >= head.Size {
		return nil, notFound()
	}
	r := e.receipt
	return c.ledger.cut(ctx, head, c.ledger.tree(e.log), e.index,
		&posternv1.Receipt{Leaf: r.Leaf, Core: r.Core, DetailsSha256: r.DetailsSha256, Opening: r.Opening}, single{ctx, c.ledger.store})
}

// maxKnown bounds how many proofs one call may ask for.
const maxKnown = 64

// Proofs proves that each log which a caller says to know continues to the cut's checkpoint. Logs that are not among
// the visible ones, and such as are not ours, are passed over. Precondition LOG_AHEAD when the caller knows more.
func (c Cut) Proofs(ctx context.Context, known []*posternv1.KnownLog, visible ...Log) ([]*posternv1.ConsistencyProof, error) {
	if err := c.ledger.Ahead(known, visible...); err != nil {
		return nil, err
	}
	var out []*posternv1.ConsistencyProof
	for _, g := range visible {
		h := c.heads.of(g)
		for _, k := range known {
			if k.GetOrigin() != h.Origin || k.GetSize() == 0 || k.GetSize() > h.Size {
				continue // the last: of a checkpoint that came after the cut
			}
			p, err := prove(single{ctx, c.ledger.store}, c.ledger.tree(g), h, k.GetSize())
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// Ahead is Precondition LOG_AHEAD when somebody says to know more of a log than there is of it: then this is an old
// copy, and it is not to take anything from the one who knows better.
func (l *Ledger) Ahead(known []*posternv1.KnownLog, visible ...Log) error {
	if len(known) > maxKnown {
		return fault.Newf(fault.Invalid, "TOO_MANY_KNOWN", "A call may name %d known checkpoints. Name the newest of each log.", maxKnown)
	}
	heads := l.heads.Load()
	for _, g := range visible {
		for _, k := range known {
			if h := heads.of(g); k.GetOrigin() == h.Origin && k.GetSize() > h.Size {
				return ahead(h.Origin)
			}
		}
	}
	return nil
}

// prove proves that a head continues the tree of oldSize leaves.
func prove(r store.Reader, t tree, h *published, oldSize uint64) (*posternv1.ConsistencyProof, error) {
	p := &posternv1.ConsistencyProof{Origin: h.Origin, OldSize: oldSize, NewSize: h.Size}
	if oldSize > h.Size {
		return nil, ahead(h.Origin)
	}
	if oldSize == 0 || oldSize == h.Size {
		return p, nil // every tree continues the empty one, and itself
	}
	path, err := tlog.ProveTree(int64(h.Size), int64(oldSize), stored(r, t, h.tiles))
	for _, hash := range path {
		p.Hashes = append(p.Hashes, hash[:])
	}
	return p, err
}
