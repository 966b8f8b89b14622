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
		for _, g := range logs {
			if err := r.checkLog(ctx, g); err != nil {
				return err
			}
		}
		return r.checkCounts()
	})
}

func (r reading) checkLog(ctx context.Context, g Log) error {
	var tree edge
	compare := func(level int, n uint64, row []tlog.Hash) error {
		data, err := r.snap.Get(schema.HubTile, tileKey(g, level, n))
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(data, joinTile(row)) || len(data) > tileWidth*tlog.HashSize {
			return corrupt(g, "a tile is not the one of its leaves")
		}
		return nil
	}
	head := r.heads.of(g)
	for i := range head.Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := r.at(g, i)
		if err != nil {
			return err
		}
		if at, err := r.snap.Get(schema.HubEventIndex, e.Leaf.EventID[:]); err != nil {
			return err
		} else if !bytes.Equal(at, leafKey(g, i)) {
			return corrupt(g, "an event is not filed under its id")
		}
		if err := tree.add(tlog.RecordHash(e.Record.Leaf), compare); err != nil {
			return err
		}
	}
	if err := tree.partial(0, compare); err != nil {
		return err
	}
	if tree.root() != tlog.Hash(head.Root) {
		return corrupt(g, "its leaves have another root than its checkpoint")
	}
	return nil
}

// checkCounts finds records, leaves and tiles that no tree holds. The snapshot may be newer than the heads; then there
// is nothing to compare with, and the next check will.
func (r reading) checkCounts() error {
	var events, tiles uint64
	for _, g := range logs {
		newest, err := r.snap.Get(schema.HubLog, []byte{byte(g)})
		if err != nil {
			return err
		}
		head := r.heads.of(g)
		if string(newest) != head.checkpoint {
			return nil
		}
		events += head.Size
		for level := 0; width(head.Size, level) > 0; level++ {
			tiles += (width(head.Size, level) + tileWidth - 1) / tileWidth
		}
	}
	want := map[store.Keyspace]uint64{schema.HubLog: uint64(len(logs)), schema.HubTile: tiles,
		schema.HubLeaf: events, schema.HubEventIndex: events, schema.HubRecord: events}
	for _, ks := range own {
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
