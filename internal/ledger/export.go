package ledger

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// Range calls fn for the events of a log from one index up to another, in order, until it wants no more. Indexes
// beyond the newest checkpoint are Precondition LOG_AHEAD. It holds one snapshot of the store: keep fn short, and ask
// for a long log in parts.
func (l *Ledger) Range(ctx context.Context, g Log, from, to uint64, fn func(Logged) (more bool, err error)) error {
	if g != Sent && g != Received {
		return noLog()
	}
	return l.view(ctx, func(r reading) error {
		if head := r.heads.of(g); from > to || to > head.Size {
			return ahead(head.Origin)
		}
		for i := from; i < to; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			e, err := r.at(g, i)
			if err != nil {
				return err
			}
			if more, err := fn(e); err != nil || !more {
				return err
			}
		}
		return nil
	})
}

// HeadSince returns the newest checkpoint of a log and the proof that exactly this one continues the tree of oldSize
// leaves. Head and Consistency, one after the other, may be of two checkpoints.
func (l *Ledger) HeadSince(ctx context.Context, g Log, oldSize uint64) (size uint64, checkpoint string, p *posternv1.ConsistencyProof, err error) {
	if g != Sent && g != Received {
		return 0, "", nil, noLog()
	}
	err = l.view(ctx, func(r reading) error {
		h := r.heads.of(g)
		size, checkpoint = h.Size, h.checkpoint
		p = &posternv1.ConsistencyProof{Origin: h.Origin, OldSize: oldSize, NewSize: h.Size}
		if oldSize > h.Size {
			return ahead(h.Origin)
		}
		if oldSize == 0 {
			return nil // every tree continues the empty one
		}
		path, err := tlog.ProveTree(int64(h.Size), int64(oldSize), stored(r.snap, g, h.tiles))
		for _, hash := range path {
			p.Hashes = append(p.Hashes, hash[:])
		}
		return err
	})
	return size, checkpoint, p, err
}

func noLog() error { return fault.New(fault.NotFound, "LOG_NOT_FOUND", "There is no such log.") }

func ahead(origin string) error {
	return fault.Newf(fault.Precondition, "LOG_AHEAD",
		"You know more of the log %s than this hub does. Stop, keep your checkpoint and telephone the hub.", origin)
}
