package ledger

import (
	"context"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// Range calls fn for the events of the log with an origin, of any generation, from one index up to another, in order, until it wants no more. Indexes
// beyond the newest checkpoint are Precondition LOG_AHEAD. It holds one snapshot of the store: keep fn short, and ask
// for a long log in parts.
func (l *Ledger) Range(ctx context.Context, origin string, from, to uint64, fn func(Logged) (more bool, err error)) error {
	t, ok := l.treeOf(origin)
	if !ok {
		return noLog()
	}
	return l.view(ctx, func(r reading) error {
		if head := r.head(t); from > to || to > head.Size {
			return ahead(head.Origin)
		}
		for i := from; i < to; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			e, err := r.at(t, i)
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

// HeadSince returns the newest checkpoint of the log with an origin, of any generation, and the proof that exactly this
// one continues the tree of oldSize leaves.
func (l *Ledger) HeadSince(ctx context.Context, origin string, oldSize uint64) (size uint64, checkpoint string, p *posternv1.ConsistencyProof, err error) {
	checkpoint, p, err = l.Cut().HeadSince(ctx, origin, oldSize)
	return p.GetNewSize(), checkpoint, p, err
}

// HeadSince is Ledger.HeadSince for the cut's checkpoint.
func (c Cut) HeadSince(ctx context.Context, origin string, oldSize uint64) (checkpoint string, p *posternv1.ConsistencyProof, err error) {
	t, ok := c.ledger.treeOf(origin)
	if !ok {
		return "", nil, noLog()
	}
	p, err = prove(single{ctx, c.ledger.store}, t, c.head(t), oldSize)
	return c.head(t).checkpoint, p, err
}

func noLog() error { return fault.New(fault.NotFound, "LOG_NOT_FOUND", "There is no such log.") }

func ahead(origin string) error {
	return fault.Newf(fault.Precondition, "LOG_AHEAD",
		"You know more of the log %s than this hub does. Stop, keep your checkpoint and telephone the hub.", origin)
}
