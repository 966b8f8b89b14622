package follow

import (
	"context"
	"slices"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Over reports whether this party follows a later generation of a log, so that the hub may have less of it than there was,
// or nothing.
func (f *Follower) Over(origin string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.laterThan(origin)
}

// succeed follows the generation after a log that is known, if we have its key and the hub has begun it: what there is of
// a log that has ended only the next one can tell, and it may be less than we saw. Without one it does nothing.
func (f *Follower) succeed(ctx context.Context, origin string) error {
	f.mu.Lock()
	k := f.state.Logs[origin]
	f.mu.Unlock()
	if k == nil || k.Ended != nil || f.cfg.Hub == nil {
		return nil
	}
	for _, o := range f.newestFirst(origin) {
		if !verify.Succeeds(origin, o) {
			break
		}
		if err := f.inquire(ctx, Seen{verify.Head{Origin: o, Root: verify.EmptyRoot}, ""}); fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	return nil
}

// newestFirst are the origins of a log for which we have keys, in all generations.
func (f *Follower) newestFirst(origin string) []string {
	all := slices.DeleteFunc(f.cfg.Keys.Origins(), func(o string) bool { return !verify.SameLog(o, origin) })
	slices.SortFunc(all, func(a, b string) int {
		if verify.Succeeds(b, a) {
			return -1
		}
		return 1
	})
	return all
}

// ended takes a checkpoint of a generation that a later one has followed: one that the first event of a later one names,
// the nearest first. The party may not know yet what that event says, having come later or forgotten, or gone on from
// what its operator named. The log that says it is one that is followed, or ends in turn with what such a one names; so
// whoever would pass off another end must have written it down there, for everybody to see.
func (f *Follower) ended(ctx context.Context, s Seen) error {
	later := f.newestFirst(s.Head.Origin)
	slices.Reverse(later)
	for _, next := range later {
		if !verify.Succeeds(s.Head.Origin, next) {
			continue
		}
		ends, err := f.opening(ctx, next)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			continue // lost, or not begun
		case err != nil:
			return err
		case names(ends, s.Head):
			return f.end(ctx, s, ends)
		}
	}
	return f.stop(ctx, s.Head.Origin, fault.New(fault.Unverified, "LOG_OLD_GENERATION", "The hub showed a checkpoint of an ended generation that no later one names."), s.Checkpoint)
}

// opening asks which checkpoints the first event of a later generation names, and takes its newest checkpoint as any other.
func (f *Follower) opening(ctx context.Context, origin string) ([]string, error) {
	asked, err := f.Ask()
	if err != nil {
		return nil, err
	}
	answer, err := f.cfg.Hub.GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: origin, KnownLogs: asked.Known()})
	if err != nil {
		return nil, f.Failed(ctx, asked, err)
	}
	newest, err := f.Verify(answer.GetCheckpoint())
	if err == nil {
		err = f.Take(ctx, asked, answer.GetProofs(), newest)
	}
	if err != nil {
		return nil, err
	}
	if newest.Head.Origin != origin {
		return nil, fault.Newf(fault.Unverified, "LOG_OF_ANOTHER", "Asked for the log %s, the hub answered with another.", origin)
	}
	ends, err := f.opens(newest.Head, answer)
	if err != nil {
		return nil, f.stop(ctx, origin, err, newest.Checkpoint)
	}
	return ends, nil
}

// end remembers which checkpoints a generation ended with.
func (f *Follower) end(ctx context.Context, s Seen, ends []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stopped(); err != nil {
		return err
	}
	next := f.state.clone()
	k := next.Logs[s.Head.Origin]
	if k == nil {
		k = &known{Checkpoint: s.Checkpoint, head: s.Head}
		next.Logs[s.Head.Origin] = k
	}
	k.Ended = slices.Concat(k.Ended, ends)
	return f.save(ctx, next)
}

// names reports whether one of some checkpoints is of this very tree.
func names(checkpoints []string, head verify.Head) bool {
	return slices.ContainsFunc(checkpoints, func(c string) bool {
		h, err := verify.ReadHead(c)
		return err == nil && h == head
	})
}

// succeeds checks that a new generation begins with what is known of the one before: its first event names that
// checkpoint, or a later one that the hub proves to continue it. It returns the checkpoints that the event names.
func (f *Follower) succeeds(before, newest verify.Head, answer *posternv1.GetCheckpointResponse) ([]string, error) {
	ends, err := f.opens(newest, answer)
	if err != nil {
		return nil, err
	}
	for _, checkpoint := range ends {
		end, err := verify.Checkpoint(checkpoint, f.cfg.Keys)
		if err != nil || end.Origin != before.Origin {
			continue // of another generation, or by a key that we were not given: it proves nothing to us
		}
		if proved(answer.GetEnded(), before, end) == nil {
			return ends, nil
		}
	}
	return nil, fault.Newf(fault.Unverified, "GENERATION_UNPROVEN",
		"The log %s does not begin with what this party knows of %s.", newest.Origin, before.Origin)
}

// opens returns the checkpoints that the first event of a later generation names, under its newest checkpoint.
func (f *Follower) opens(newest verify.Head, answer *posternv1.GetCheckpointResponse) ([]string, error) {
	opening, err := verify.Receipt(answer.GetOpening(), f.cfg.Keys)
	if err != nil {
		return nil, err
	}
	if opening.Head != newest || opening.Index != 0 || opening.Kind != logv1.Kind_KIND_GENERATION_OPENED {
		return nil, fault.Newf(fault.Unverified, "GENERATION_UNPROVEN", "The log %s does not begin with how the one before it ended.", newest.Origin)
	}
	return opening.Core.GetFollowsCheckpoints(), nil
}

// begin remembers that a generation has followed another.
func (f *Follower) begin(ctx context.Context, before string, ends []string, newest Seen) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stopped(); err != nil {
		return err
	}
	next := f.state.clone()
	for origin, k := range next.Logs {
		if verify.Succeeds(origin, newest.Head.Origin) && k.Ended == nil {
			k.Ended = ends
		}
	}
	next.Logs[newest.Head.Origin] = &known{Checkpoint: newest.Checkpoint, head: newest.Head}
	f.cfg.Log.WarnContext(ctx, "following a new generation of the hub's log", "log", newest.Head.Origin, "before", before)
	return f.save(ctx, next)
}
