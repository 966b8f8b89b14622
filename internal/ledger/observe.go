package ledger

import (
	"context"
	"time"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
)

// Commit is what a batch that has become durable looks like from outside, for measuring.
type Commit struct {
	Time   time.Time     // when it was durable
	Took   time.Duration // from the start of its transaction until its checkpoint was kept outside the database too
	Ops    int           // how many ops it held, those that erred too
	Events []Appended    // what it recorded, in order
}

// Appended is one event as its log and kind.
type Appended struct {
	Log  Log
	Kind logv1.Kind
}

// observed tells Config.Observe of a batch.
func (l *Ledger) observed(b *batch) {
	if l.observe == nil {
		return
	}
	now := l.clock()
	l.observe(Commit{Time: now, Took: now.Sub(b.start), Ops: len(b.ops), Events: b.events})
}

// Stopped returns why nothing can be appended any more, and nil while the ledger works.
func (l *Ledger) Stopped() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// Newest returns the hour of a log's newest event, the zero time for an empty log.
func (l *Ledger) Newest(ctx context.Context, g Log) (hour time.Time, err error) {
	if g != Sent && g != Received {
		return hour, fault.New(fault.NotFound, "LOG_NOT_FOUND", "There is no such log.")
	}
	err = l.view(ctx, func(r reading) error {
		size := r.heads.of(g).Size
		if size == 0 {
			return nil
		}
		b, err := r.snap.Get(schema.HubLeaf, leafKey(l.tree(g), size-1))
		if err != nil {
			return err
		}
		leaf, err := verify.ParseLeaf(b)
		hour = leaf.Time()
		return err
	})
	return hour, err
}
