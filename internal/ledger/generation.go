package ledger

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// newestGeneration finds the base of the newest generation in the store: 0 for the first, in a new store too.
func newestGeneration(r store.Reader) (base tree, err error) {
	for {
		next := base + tree(len(logs))
		row, err := r.Get(schema.HubLog, []byte{byte(next + tree(Sent))})
		if err != nil || row == nil || next > 250 {
			return base, err
		}
		base = next
	}
}

// Origins are the names that the logs of a database have in their newest generation, as it says itself: nothing is
// verified. They are empty in a new one.
func Origins(ctx context.Context, s store.Store) (sent, received string, err error) {
	err = s.View(ctx, func(r store.Snapshot) error {
		base, err := newestGeneration(r)
		if err != nil {
			return err
		}
		for g, origin := range map[Log]*string{Sent: &sent, Received: &received} {
			row, err := r.Get(schema.HubLog, []byte{byte(base + tree(g))})
			if err != nil || row == nil {
				return err
			}
			h, err := verify.ReadHead(string(row))
			if err != nil {
				return corrupt(g, "its newest checkpoint is malformed").Because(err)
			}
			*origin = h.Origin
		}
		return nil
	})
	return sent, received, err
}

// loadClosed reads the last checkpoint of each tree of an older generation. No key of ours need be one that signed it:
// the first leaf of the generation after it commits to it, under a key that we have.
func (l *Ledger) loadClosed(s store.Snapshot, heads *perLog[published]) error {
	l.closed = make([]published, l.base)
	for t := tree(1); t <= l.base; t++ {
		checkpoint, err := s.Get(schema.HubLog, []byte{byte(t)})
		if err != nil {
			return err
		}
		p := &l.closed[t-1]
		p.checkpoint = string(checkpoint)
		if p.Head, err = verify.ReadHead(p.checkpoint); err != nil {
			return corrupt(t.log(), "the last checkpoint of an older generation is missing or malformed")
		}
		if _, err := loadTree(s, t, p); err != nil {
			return err
		}
	}
	r := reading{Cut{l, heads}, s}
	for t := tree(1); t <= l.base; t++ {
		first, err := r.at(t+tree(len(logs)), 0)
		if err != nil {
			return err
		}
		if first.Leaf.Kind != logv1.Kind_KIND_GENERATION_OPENED || !slices.Contains(first.Core.GetFollowsCheckpoints(), l.closed[t-1].checkpoint) {
			return corrupt(t.log(), "the generation after it does not begin with its last checkpoint")
		}
	}
	return nil
}

// Generation says how a new generation is opened.
type Generation struct {
	Config             // of the new one: Keys are its own, of new origins
	Before verify.Keys // verify the checkpoints of the generation that ends, and those in Known
	Known  []string    // signed checkpoints that others know of the logs, beside what the database and the checkpoint file hold
}

// OpenGeneration closes both logs of a database as they are and opens new ones, of new origins, whose first leaves
// commit to the newest checkpoints that are known of the old: those of Known and of the checkpoint file that the old
// trees do not contain, and the last of the old trees themselves. It is how a hub goes on whose newest events are lost.
// It may be called again after a crash, with the same keys.
//
// It is Precondition LEDGER_GENERATION when there is nothing to close, or when the new origins are not later
// generations of the old ones (verify.Generation).
func OpenGeneration(ctx context.Context, c Generation) (*Ledger, error) {
	l, err := newLedger(c.Config)
	if err != nil {
		return nil, err
	}
	ends, opened, err := l.ending(ctx, c)
	if err != nil {
		return nil, err
	}
	if !opened {
		var heads perLog[published]
		for _, g := range logs {
			origin := (*l.signers.of(g)).Name()
			if *heads.of(g), err = l.sign(g, verify.Head{Origin: origin, Root: verify.EmptyRoot}); err != nil {
				return nil, err
			}
		}
		l.committed = heads
		l.heads.Store(&heads)
		err := l.AppendReserved(ctx, func(tx *Tx) error { // a full disk is no reason not to go on
			for _, g := range logs {
				_, err := tx.Record(g, Event{Kind: logv1.Kind_KIND_GENERATION_OPENED,
					Core: &logv1.Core{FollowsCheckpoints: *ends.of(g)}, Details: &logv1.Details{}})
				if err != nil {
					return err
				}
			}
			return nil
		})
		// A crash after the commit leaves the checkpoint file with the old logs, and the next call writes it.
		if err != nil {
			return nil, err
		}
	} else if err := l.levelFile(ctx); err != nil {
		return nil, err
	}
	return Open(ctx, c.Config)
}

// ending reads what the old logs end with: for each log the checkpoints that the new one commits to. It sets where the
// new trees go. opened says that an earlier call has opened the generation already.
func (l *Ledger) ending(ctx context.Context, c Generation) (ends perLog[[]string], opened bool, err error) {
	err = l.store.View(ctx, func(s store.Snapshot) error {
		base, err := newestGeneration(s)
		if err != nil {
			return err
		}
		row, err := s.Get(schema.HubLog, []byte{byte(base + tree(Sent))})
		if err != nil {
			return err
		}
		if now, err := verify.ReadHead(string(row)); err == nil && now.Origin == (*l.signers.of(Sent)).Name() {
			opened = true
			return nil
		}
		known, err := c.known()
		if err != nil {
			return err
		}
		for _, g := range logs {
			if *ends.of(g), err = l.endOf(s, base+tree(g), known, c.Before); err != nil {
				return err
			}
		}
		if len(*ends.of(Sent))+len(*ends.of(Received)) == 0 {
			return fault.New(fault.Precondition, "LEDGER_GENERATION", "This database has no log, and no checkpoint of one is known, so there is nothing to open a new generation of. Start the hub, or name what parties have seen.")
		}
		if row != nil {
			base += tree(len(logs))
		}
		l.base = base
		return nil
	})
	return ends, opened, err
}

// known are the checkpoints that others know, and our own file's.
func (c Generation) known() ([]string, error) {
	file := checkpointFile{path: c.CheckpointFile}
	ours, err := file.notes(c.Before)
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(c.Known), ours...), nil
}

// endOf is what a new generation of one tree commits to, newest first and the tree's own checkpoint last.
func (l *Ledger) endOf(s store.Snapshot, t tree, known []string, keys verify.Keys) ([]string, error) {
	row, err := s.Get(schema.HubLog, []byte{byte(t)})
	if err != nil {
		return nil, err
	}
	type end struct {
		verify.Head
		checkpoint string
	}
	var ends []end
	own := published{checkpoint: string(row)}
	if row != nil {
		if own.Head, err = verify.Checkpoint(own.checkpoint, keys); err != nil {
			return nil, err
		}
		if _, err := loadTree(s, t, &own); err != nil {
			return nil, err
		}
		if err := l.opens(s, t, own); err != nil {
			return nil, err
		}
		ends = []end{{own.Head, own.checkpoint}}
	}
	held := len(ends)
	next := (*l.signers.of(t.log())).Name()
	for _, checkpoint := range known {
		h, err := verify.Checkpoint(checkpoint, keys)
		if err != nil {
			return nil, err
		}
		if !verify.SameLog(h.Origin, next) {
			continue // the other log's
		}
		contained, err := contains(s, t, own.Head, h)
		if err != nil {
			return nil, err
		}
		if !contained {
			ends = append(ends, end{h, checkpoint})
		}
	}
	for _, e := range ends {
		if !verify.Succeeds(e.Origin, next) {
			return nil, fault.Newf(fault.Precondition, "LEDGER_GENERATION", "%s cannot follow %s: the number at the end of its name must be the larger one.", next, e.Origin)
		}
	}
	slices.SortStableFunc(ends[held:], func(a, b end) int { // the newest first, and the same one once
		_, x := verify.Generation(a.Origin)
		_, y := verify.Generation(b.Origin)
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(b.Size, a.Size), bytes.Compare(a.Root[:], b.Root[:]))
	})
	others := slices.CompactFunc(ends[held:], func(a, b end) bool { return a.Head == b.Head })
	if len(others) > maxKnown {
		return nil, fault.Newf(fault.Precondition, "LEDGER_GENERATION", "More than %d different checkpoints are known. Name the newest ones only.", maxKnown)
	}
	var all []string
	for _, e := range append(slices.Clone(others), ends[:held]...) {
		all = append(all, e.checkpoint)
	}
	return all, nil
}

// contains reports whether a stored tree, of head own, begins with the tree of h.
func contains(s store.Snapshot, t tree, own, h verify.Head) (bool, error) {
	if h.Origin != own.Origin || h.Size > own.Size {
		return false, nil
	}
	root := tlog.Hash(verify.EmptyRoot)
	if h.Size > 0 {
		var err error
		if root, err = tlog.TreeHash(int64(h.Size), stored(s, t, nil)); err != nil {
			return false, err
		}
	}
	return root == tlog.Hash(h.Root), nil
}

// levelFile brings the checkpoint file to what the database holds of a generation that was opened.
func (l *Ledger) levelFile(ctx context.Context) error {
	var heads perLog[published]
	err := l.store.View(ctx, func(s store.Snapshot) (err error) {
		if l.base, err = newestGeneration(s); err != nil {
			return err
		}
		for _, g := range logs {
			if *heads.of(g), _, err = l.load(s, g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if held, err := l.file.read(l.keys); err == nil && held != nil {
		return nil // Open compares
	}
	return l.file.create(heads)
}

// Opening returns the receipt of the first event of the log with an origin, when that log is a later generation: what
// the generation before it ended with. It is nil for a log that follows none.
func (c Cut) Opening(ctx context.Context, origin string) (receipt *posternv1.Receipt, err error) {
	t, ok := c.ledger.treeOf(origin)
	if !ok {
		return nil, noLog()
	}
	err = c.view(ctx, func(r reading) error {
		if r.head(t).Size == 0 {
			return nil
		}
		first, err := r.at(t, 0)
		if err != nil || first.Leaf.Kind != logv1.Kind_KIND_GENERATION_OPENED {
			return err
		}
		receipt, err = c.ledger.cut(ctx, c.head(t), t, 0, first.receipt(), r.snap)
		return err
	})
	return receipt, err
}

// Ended proves that the last checkpoint of the generation before the log with an origin continues what somebody knows
// of that generation. Precondition LOG_AHEAD when they know more; NotFound when they speak of another log.
func (c Cut) Ended(ctx context.Context, origin string, known *posternv1.KnownLog) (*posternv1.ConsistencyProof, error) {
	t, ok := c.ledger.treeOf(origin)
	if !ok || t <= tree(len(logs)) {
		return nil, noLog()
	}
	t -= tree(len(logs))
	if c.head(t).Origin != known.GetOrigin() {
		return nil, noLog()
	}
	return prove(single{ctx, c.ledger.store}, t, c.head(t), known.GetSize())
}
