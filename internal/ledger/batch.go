package ledger

import (
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
)

// errNothing ends a transaction in which no op wrote.
var errNothing = errors.New("ledger: no op wrote")

// errSelfCheck matches every selfCheck.
var errSelfCheck = fault.New(fault.Internal, "LEDGER_SELF_CHECK", "The log failed its own check.")

// selfCheck is the fault of a batch that would have signed something other than what it wrote.
func selfCheck(g Log, what string) error {
	return fault.Newf(fault.Internal, errSelfCheck.Reason, "The %s log failed its own check: %s.", g, what)
}

// batch is one run of one transaction: ops, then the leaves they recorded, then the trees over those.
type batch struct {
	ledger   *Ledger
	tx       store.Tx
	edges    perLog[edge]
	heads    perLog[published]
	tiles    perLog[edgeTiles] // what this batch wrote
	errs     []error           // of each op
	events   []Appended        // what it recorded
	wrote    bool
	appended bool // some log has grown
}

func newBatch(l *Ledger, tx store.Tx) *batch {
	b := &batch{ledger: l, tx: tx, heads: *l.heads.Load()}
	for i := range l.edges {
		b.edges[i] = l.edges[i].copy()
		b.tiles[i] = edgeTiles{}
	}
	return b
}

func (b *batch) run(ops []*pending) error {
	b.errs = make([]error, len(ops))
	for i, p := range ops {
		tx := &Tx{ledger: b.ledger, under: b.tx, p: p, latest: map[place]int{}}
		for _, g := range logs {
			*tx.next.of(g) = b.edges.of(g).size
		}
		if b.errs[i] = b.call(tx, p.op); b.errs[i] != nil {
			continue // its writes are dropped with its Tx
		}
		if err := b.take(tx); err != nil {
			return err
		}
	}
	if !b.wrote {
		return errNothing
	}
	for _, g := range logs {
		if err := b.close(g); err != nil {
			return err
		}
	}
	return nil
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

// take moves what an op wrote into the transaction and its leaves into the trees.
func (b *batch) take(tx *Tx) error {
	b.wrote = b.wrote || len(tx.writes) > 0
	if err := tx.apply(); err != nil {
		return err
	}
	for _, leaf := range tx.leaves {
		err := b.edges.of(leaf.log).add(tlog.RecordHash(leaf.bytes), b.putTile(leaf.log))
		if err != nil {
			return err
		}
		b.events = append(b.events, Appended{leaf.log, logv1.Kind(leaf.bytes[17])})
	}
	return nil
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
