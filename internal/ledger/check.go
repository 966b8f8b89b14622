package ledger

import (
	"bytes"
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
)

// CheckAll recomputes both logs from their leaves: each record opens its leaf, each leaf is filed under its event, the
// tiles are the tiles of the leaves, the root is the signed one, and nothing is left over. It reads everything in one
// snapshot; the fault, Unverified LEDGER_CORRUPT, names the first thing that does not hold. It is quiet about the
// batches that come while it runs.
func (l *Ledger) CheckAll(ctx context.Context) error {
	return l.view(ctx, func(r reading) error {
		for _, t := range r.trees() {
			if err := r.checkLog(ctx, t); err != nil {
				return err
			}
		}
		return r.checkCounts()
	})
}

// walk recomputes one tree from its leaves, in order, and holds everything of it against what is stored.
type walk struct {
	tree tree
	size uint64 // how much of it is walked
	root tlog.Hash
	edge edge

	block []Logged // the events of the block under way, for its index
}

func (r reading) walk(t tree) *walk {
	h := r.head(t)
	return &walk{tree: t, size: h.Size, root: tlog.Hash(h.Root)}
}

// compare holds a tile against the stored one, which may have grown since.
func (w *walk) compare(r reading) func(level int, n uint64, row []tlog.Hash) error {
	return func(level int, n uint64, row []tlog.Hash) error {
		data, err := r.snap.Get(schema.HubTile, tileKey(w.tree, level, n))
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(data, joinTile(row)) || len(data) > tileWidth*tlog.HashSize {
			return corrupt(w.tree.log(), "a tile is not the one of its leaves")
		}
		return nil
	}
}

// step checks the next events, at most so many, and reports whether the end has come.
func (w *walk) step(ctx context.Context, r reading, most uint64) (done bool, err error) {
	for range min(most, w.size-w.edge.size) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := w.next(r); err != nil {
			return false, err
		}
	}
	if w.edge.size < w.size {
		return false, nil
	}
	if err := w.edge.partial(0, w.compare(r)); err != nil {
		return false, err
	}
	if w.edge.root() != w.root {
		return false, corrupt(w.tree.log(), "its leaves have another root than its checkpoint")
	}
	return true, nil
}

func (w *walk) next(r reading) error {
	e, err := r.at(w.tree, w.edge.size)
	if err != nil {
		return err
	}
	if t, index := r.ledger.placeOf(e.Leaf.EventID); t != w.tree || index != e.Index {
		return corrupt(w.tree.log(), "an event does not lie where its id says")
	}
	if err := w.edge.add(tlog.RecordHash(e.Record.Leaf), w.compare(r)); err != nil {
		return err
	}
	if w.block = append(w.block, e); len(w.block) < blockEvents {
		return nil
	}
	events := w.block
	w.block = nil
	return r.checkIndex(w.tree, e.Index/blockEvents, events)
}

func (r reading) checkLog(ctx context.Context, t tree) error {
	_, err := r.walk(t).step(ctx, r, 1<<63)
	return err
}

// checkCounts finds records, leaves and tiles that no tree holds. The snapshot may be newer than the heads; then there
// is nothing to compare with, and the next check will.
func (r reading) checkCounts() error {
	var events, tiles, trees uint64
	for _, t := range r.trees() {
		newest, err := r.snap.Get(schema.HubLog, []byte{byte(t)})
		if err != nil {
			return err
		}
		head := r.head(t)
		if string(newest) != head.checkpoint {
			return nil
		}
		trees++
		events += head.Size
		for level := 0; width(head.Size, level) > 0; level++ {
			tiles += (width(head.Size, level) + tileWidth - 1) / tileWidth
		}
	}
	want := map[store.Keyspace]uint64{schema.HubLog: trees, schema.HubTile: tiles,
		schema.HubLeaf: events, schema.HubRecord: events}
	for _, ks := range own {
		if ks == schema.HubTerm {
			continue // no part of the logs
		}
		var n uint64
		err := r.snap.Scan(ks, nil, nil, func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		})
		if err != nil {
			return err
		}
		if n != want[ks] {
			return fault.Newf(errCorrupt.Kind, errCorrupt.Reason, "The ledger is damaged: %s holds %d records, its trees have %d.", ks, n, want[ks])
		}
	}
	return nil
}
