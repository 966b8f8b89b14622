package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
)

// errSelfCheck matches every selfCheck.
var errSelfCheck = fault.New(fault.Internal, "LEDGER_SELF_CHECK", "The log failed its own check.")

// selfCheck is the fault of a batch that would have signed something other than what it wrote.
func selfCheck(g Log, what string) error {
	return fault.Newf(fault.Internal, errSelfCheck.Reason, "The %s log failed its own check: %s.", g, what)
}

// batch is some ops that were run one after the other, and are then written in one transaction: what they wrote, the leaves
// they recorded, and the trees over those.
type batch struct {
	ledger *Ledger
	after  *batch    // the batch before, whose writes the ops of this one see while the store may not have them; nil: it has
	start  time.Time // of its transaction
	ops    []*pending
	errs   []error // of each op
	failed error   // the store could not be read: no op counts
	next   perLog[uint64]
	writes overlay // of the ops that succeeded, and of the one that runs
	leaves []leaf

	// What write makes, from nothing each time.
	tx       store.Tx
	edges    perLog[edge]
	heads    perLog[published]
	tiles    perLog[edgeTiles] // what this batch wrote
	events   []Appended        // what it recorded
	appended bool              // some log has grown
}

// newBatch begins a batch behind another one, which may still be on its way to the disk, or behind what is committed.
func (l *Ledger) newBatch(after *batch) *batch {
	b := &batch{ledger: l, after: after}
	if after != nil {
		b.next, b.writes = after.next, newOverlay(len(after.writes.list))
		return b
	}
	b.writes = newOverlay(0)
	for _, g := range logs {
		*b.next.of(g) = l.edges.of(g).size
	}
	return b
}

// add runs ops on top of those of the batch.
func (b *batch) add(ctx context.Context, ops []*pending) {
	if len(ops) == 0 {
		return
	}
	b.ops = append(b.ops, ops...)
	err := b.ledger.store.View(ctx, func(s store.Snapshot) error {
		for _, p := range ops {
			was := len(b.writes.list)
			if b.ledger.rehearse {
				_ = b.call(&Tx{ledger: b.ledger, batch: b, store: s, p: p, next: b.next}, p.op)
				b.writes.undo(was)
			}
			tx := &Tx{ledger: b.ledger, batch: b, store: s, p: p, next: b.next}
			err := b.call(tx, p.op)
			if b.errs = append(b.errs, err); err != nil {
				b.writes.undo(was)
				continue
			}
			b.leaves, b.next = append(b.leaves, tx.leaves...), tx.next
		}
		return nil
	})
	b.failed = errors.Join(b.failed, err)
}

// write puts the batch into a transaction: the writes, then the leaves into the trees, then the trees. Meanwhile the batch
// before is shown: this one is not committed sooner, so that the checkpoint file is never more than one behind. It may run
// again.
func (b *batch) write(tx store.Tx) error {
	b.tx, b.heads, b.events, b.appended = tx, b.ledger.committed, nil, false
	for i := range b.edges {
		b.edges[i] = b.ledger.edges[i].copy()
		b.tiles[i] = edgeTiles{}
	}
	var key []byte // one for all: the store does not keep it
	for w := range b.writes.effective() {
		var err error
		key = append(key[:0], w.key...)
		if w.value == nil {
			err = tx.Delete(w.keyspace, key)
		} else {
			err = tx.PutOwn(w.keyspace, key, w.value)
		}
		if err != nil {
			return err
		}
	}
	for _, leaf := range b.leaves {
		if err := b.edges.of(leaf.log).add(tlog.RecordHash(leaf.bytes), b.putTile(leaf.log)); err != nil {
			return err
		}
		b.events = append(b.events, Appended{leaf.log, logv1.Kind(leaf.bytes[17])})
	}
	for _, g := range logs {
		if err := b.close(g); err != nil {
			return err
		}
	}
	return b.ledger.shown()
}

// call runs an op; a panic becomes the op's error. The value of the panic may quote anything, so only its type is
// logged.
func (b *batch) call(tx *Tx, op func(*Tx) error) (err error) {
	defer func() {
		tx.closed = true // its entries end here
		if v := recover(); v != nil {
			b.ledger.log.Error("an op of the ledger panicked", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "LEDGER_PANIC", "Something went wrong on our side. Nothing was done.")
		}
	}()
	return op(tx)
}

func (b *batch) putTile(g Log) func(level int, n uint64, row []tlog.Hash) error {
	return func(level int, n uint64, row []tlog.Hash) error {
		(*b.tiles.of(g))[tileAt{level, int64(n)}] = newPyramid(row)
		return b.tx.Put(schema.HubTile, tileKey(b.ledger.tree(g), level, n), joinTile(row))
	}
}

// close writes the partial tiles and the checkpoint of a log that has grown. The signature exists in memory only until
// the commit, and is shown only after it.
func (b *batch) close(g Log) error {
	e, h := b.edges.of(g), b.heads.of(g)
	old := h.Size
	if e.size == old {
		return nil
	}
	if err := e.partial(old, b.putTile(g)); err != nil {
		return err
	}
	grown := h.Head
	grown.Size, grown.Root = e.size, e.root()
	if err := b.readBack(g, old, grown.Size, grown.Root); err != nil {
		return err
	}
	tiles := h.tiles.replaced(*b.tiles.of(g))
	var err error
	if *h, err = b.ledger.sign(g, grown); err != nil {
		return err
	}
	h.tiles = tiles
	b.appended = true
	return b.tx.Put(schema.HubLog, []byte{byte(b.ledger.tree(g))}, []byte(h.checkpoint))
}

// readBack computes the root a second time, by other code and from the leaves and tiles as the transaction holds them.
// One flipped bit between hashing a leaf and storing it has ended a public log; here it ends the batch.
func (b *batch) readBack(g Log, from, size uint64, root tlog.Hash) error {
	t := b.ledger.tree(g)
	tiles := stored(b.tx, t, nil)
	if again, err := tlog.TreeHash(int64(size), tiles); err != nil {
		return err
	} else if again != root {
		return selfCheck(g, "the stored tiles have another root")
	}
	indexes := make([]int64, 0, size-from)
	for i := from; i < size; i++ {
		indexes = append(indexes, tlog.StoredHashIndex(0, int64(i)))
	}
	hashes, err := tiles.ReadHashes(indexes)
	if err != nil {
		return err
	}
	for i, h := range hashes {
		bytes, err := b.tx.Get(schema.HubLeaf, leafKey(t, from+uint64(i)))
		if err != nil {
			return err
		}
		if tlog.RecordHash(bytes) != h {
			return selfCheck(g, "a stored leaf is not the one in the tree")
		}
	}
	return nil
}
