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
	for _, next := range f.laterThan(s.Head.Origin) {
		ends, _, err := f.opening(ctx, next)
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
// Of what is named as known beside, of the generation before it, the answer proves that its end continues it.
func (f *Follower) opening(ctx context.Context, origin string, beside ...*posternv1.KnownLog) ([]string, *posternv1.GetCheckpointResponse, error) {
	asked, err := f.Ask()
	if err != nil {
		return nil, nil, err
	}
	answer, err := f.cfg.Hub.GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: origin, KnownLogs: append(asked.Known(), beside...)})
	if err != nil {
		return nil, nil, f.Failed(ctx, asked, err)
	}
	newest, err := f.Verify(answer.GetCheckpoint())
	if err == nil {
		err = f.Take(ctx, asked, answer.GetProofs(), newest)
	}
	if err != nil {
		return nil, nil, err
	}
	if newest.Head.Origin != origin {
		return nil, nil, another(origin)
	}
	ends, err := f.opens(newest.Head, answer)
	if err != nil {
		return nil, nil, f.stop(ctx, origin, err, newest.Checkpoint)
	}
	return ends, answer, nil
}

func another(origin string) error {
	return fault.Newf(fault.Unverified, "LOG_OF_ANOTHER", "Asked for the log %s, the hub answered with another.", origin)
}

// Compare holds a checkpoint that another party has seen against the logs, as Given does. Of a generation that has ended
// they need not have seen the end: what the end continues holds too, and alarms nobody.
func (f *Follower) Compare(ctx context.Context, s Seen) error {
	if f.cfg.Hub != nil && f.Over(s.Head.Origin) {
		if within, err := f.within(ctx, s); within || err != nil {
			return err
		}
	}
	return f.Given(ctx, nil, s)
}

// within reports whether an end of an ended generation, which a later one names, continues a checkpoint. It is Precondition
// LOG_LOST when an end is larger, and the hub has nothing left to prove it from.
func (f *Follower) within(ctx context.Context, s Seen) (bool, error) {
	larger := false
	for _, next := range f.laterThan(s.Head.Origin) {
		ends, answer, err := f.opening(ctx, next, &posternv1.KnownLog{Origin: s.Head.Origin, Size: s.Head.Size})
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return false, err
		}
		for _, checkpoint := range ends {
			end, err := verify.ReadHead(checkpoint)
			if err != nil || end.Origin != s.Head.Origin {
				continue
			}
			if proved(answer.GetEnded(), s.Head, end) == nil {
				return true, nil
			}
			larger = larger || end.Size > s.Head.Size
		}
	}
	if !larger {
		return false, nil
	}
	_, err := f.cfg.Hub.GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: s.Head.Origin})
	if fault.KindOf(err) == fault.NotFound {
		err = fault.Newf(fault.Precondition, "LOG_LOST",
			"The hub has nothing left of the log %s, so nobody can prove that it went on from this. Hold it against an export of it: postern audit verify DIR --checkpoint FILE.", s.Head.Origin)
	}
	return false, err
}

// laterThan are the origins of the later generations of a log for which we have keys, the nearest first.
func (f *Follower) laterThan(origin string) []string {
	later := f.newestFirst(origin)
	slices.Reverse(later)
	return slices.DeleteFunc(later, func(o string) bool { return !verify.Succeeds(origin, o) })
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

// succeeds checks that a new generation begins with what is known of one before: its first event names that checkpoint, or
// a later one that the hub proves to continue it, or the end of a generation in between that succeeds in turn. It returns
// the checkpoints that the event names.
func (f *Follower) succeeds(ctx context.Context, before, newest verify.Head, answer *posternv1.GetCheckpointResponse) ([]string, error) {
	ends, err := f.opens(newest, answer)
	if err != nil {
		return nil, err
	}
	for _, checkpoint := range ends {
		end, err := verify.Checkpoint(checkpoint, f.cfg.Keys)
		if err != nil {
			continue // by a key that we were not given: it proves nothing to us
		}
		if end.Origin == before.Origin && proved(answer.GetEnded(), before, end) == nil {
			return ends, nil
		}
		if verify.Succeeds(before.Origin, end.Origin) && verify.Succeeds(end.Origin, newest.Origin) {
			if err := f.between(ctx, before, end); fault.KindOf(err) != fault.Unverified {
				return ends, err
			}
		}
	}
	return nil, fault.Newf(fault.Unverified, "GENERATION_UNPROVEN",
		"The log %s does not begin with what this party knows of %s.", newest.Origin, before.Origin)
}

// between asks whether a generation that came and went while this party was away, and ended so, begins with what is known
// of one before it.
func (f *Follower) between(ctx context.Context, before, end verify.Head) error {
	answer, err := f.cfg.Hub.GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: end.Origin, KnownLogs: []*posternv1.KnownLog{{Origin: before.Origin, Size: before.Size}}})
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return another(end.Origin) // lost
	case err != nil:
		return err
	}
	if shown, err := verify.Checkpoint(answer.GetCheckpoint(), f.cfg.Keys); err != nil || shown != end {
		return another(end.Origin)
	}
	_, err = f.succeeds(ctx, before, end, answer)
	return err
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
