package follow

import (
	"context"
	"slices"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	posternv1 "postern/proto/postern/v1"
)

// Seen is a signed checkpoint that was verified.
type Seen struct {
	Head       verify.Head
	Checkpoint string
}

// SeenIn is the checkpoint of a verified receipt.
func SeenIn(e *verify.Event) Seen { return Seen{e.Head, e.Checkpoint} }

// Verify verifies a signed checkpoint.
func (f *Follower) Verify(checkpoint string) (Seen, error) {
	h, err := verify.Checkpoint(checkpoint, f.cfg.Keys)
	return Seen{h, checkpoint}, err
}

// Take holds checkpoints that came with the proofs of one answer against what is known, and remembers them. It returns
// nil when each continues it: only then is the rest of the answer to be used. What the proofs leave open it asks the hub
// itself. The fault of Stopped says that the party has stopped; another, that it could not find out, and the caller
// tries again.
func (f *Follower) Take(ctx context.Context, asked Asked, proofs []*posternv1.ConsistencyProof, seen ...Seen) error {
	for _, s := range seen {
		if err := f.take(ctx, asked, proofs, s); err != nil {
			return err
		}
	}
	return nil
}

// Given is Take for what came without being asked for.
func (f *Follower) Given(ctx context.Context, proofs []*posternv1.ConsistencyProof, seen ...Seen) error {
	asked, err := f.Ask()
	if err != nil {
		return err
	}
	return f.Take(ctx, asked, proofs, seen...)
}

// errOpen says that the proofs at hand leave the question open.
var errOpen = fault.New(fault.Unavailable, "LOG_UNPROVEN", "The hub has not proved that its log continues what is known of it. Try again in a moment.")

// tries bounds how often the hub is asked about one checkpoint, while other calls of this party move what is known.
const tries = 3

func (f *Follower) take(ctx context.Context, asked Asked, proofs []*posternv1.ConsistencyProof, s Seen) error {
	err := f.link(ctx, asked, proofs, s)
	for range tries {
		if err != errOpen {
			break
		}
		if err = f.succeed(ctx, s.Head.Origin); err != nil {
			continue
		}
		if err = f.link(ctx, asked, proofs, s); err == errOpen {
			err = f.inquire(ctx, s)
		}
	}
	return err
}

// link remembers a checkpoint when the proofs tie it to what is known.
func (f *Follower) link(ctx context.Context, asked Asked, proofs []*posternv1.ConsistencyProof, s Seen) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stopped(); err != nil {
		return err
	}
	k := f.state.Logs[s.Head.Origin]
	switch {
	case k != nil && k.head == s.Head && k.Ended == nil && verify.AddsSignature(s.Checkpoint, k.Checkpoint, s.Head, f.cfg.Keys):
		return f.remember(ctx, s) // the log changes its key: others may soon trust the next one only
	case k != nil && (k.head == s.Head || names(k.Ended, s.Head)):
		return nil
	case f.state.laterThan(s.Head.Origin):
		return errOpen // of a generation that has ended: see ended
	case k == nil && f.state.before(s.Head.Origin) != nil:
		return errOpen // a generation that is new to us: see inquire
	case k == nil:
		return f.remember(ctx, s) // the first that we see: trusted as enrolment gave us its key
	case k.head.Size == s.Head.Size:
		return f.broken(ctx, s, fault.New(fault.Unverified, "LOG_FORKED", "The hub has signed two different trees of the same size."))
	}
	then, ok := asked.logs[s.Head.Origin]
	if !ok || then != k.head {
		return errOpen // another call has moved what is known
	}
	i := slices.IndexFunc(proofs, func(p *posternv1.ConsistencyProof) bool {
		return p.GetOrigin() == s.Head.Origin && p.GetOldSize() == k.head.Size && p.GetNewSize() == s.Head.Size
	})
	if s.Head.Size < k.head.Size || i < 0 {
		return errOpen
	}
	if err := verify.Continues(k.head, s.Head, proofs[i]); err != nil {
		return f.broken(ctx, s, err)
	}
	return f.remember(ctx, s)
}

// broken stops the party for what it was shown. The caller holds mu.
func (f *Follower) broken(ctx context.Context, s Seen, why error) error {
	return f.halt(ctx, s.Head.Origin, why, s.Checkpoint)
}

// remember takes a checkpoint as the newest. The caller holds mu.
func (f *Follower) remember(ctx context.Context, s Seen) error {
	next := f.state.clone()
	next.Logs[s.Head.Origin] = &known{Checkpoint: s.Checkpoint, head: s.Head}
	return f.save(ctx, next)
}

// inquire asks the hub to prove both what is known and what was shown. What it cannot prove now is not true.
func (f *Follower) inquire(ctx context.Context, s Seen) error {
	if f.cfg.Hub == nil {
		return errOpen
	}
	origin := s.Head.Origin
	f.mu.Lock()
	asked := f.asked()
	before := f.state.before(origin)
	k := f.state.Logs[origin]
	over := f.state.laterThan(origin)
	f.mu.Unlock()
	if over {
		return f.ended(ctx, s)
	}
	req := &posternv1.GetCheckpointRequest{Origin: origin, KnownLogs: append(asked.Known(), &posternv1.KnownLog{Origin: origin, Size: s.Head.Size})}
	answer, err := f.cfg.Hub.GetCheckpoint(ctx, req)
	if err != nil {
		return f.Failed(ctx, Asked{map[string]verify.Head{origin: s.Head}}, err)
	}
	newest, err := f.Verify(answer.GetCheckpoint())
	if err != nil {
		return err
	}
	if newest.Head.Origin != origin { // or what it says of one log would end another
		return f.stop(ctx, origin, another(origin), newest.Checkpoint)
	}
	if err := proved(answer.GetProofs(), s.Head, newest.Head); err != nil {
		return f.stop(ctx, origin, err, newest.Checkpoint)
	}
	switch {
	case k != nil:
		if err := proved(answer.GetProofs(), k.head, newest.Head); err != nil {
			return f.stop(ctx, origin, err, newest.Checkpoint)
		}
	case before != nil:
		ends, err := f.succeeds(ctx, before.head, newest.Head, answer)
		if fault.KindOf(err) == fault.Unverified {
			return f.stop(ctx, origin, err, newest.Checkpoint)
		}
		if err != nil {
			return err
		}
		return f.begin(ctx, before.head.Origin, ends, newest)
	}
	return f.moved(ctx, k, newest)
}

// moved remembers what was proved to continue k; errOpen when another call has moved what is known meanwhile.
func (f *Follower) moved(ctx context.Context, k *known, newest Seen) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stopped(); err != nil {
		return err
	}
	if now := f.state.Logs[newest.Head.Origin]; (now == nil) != (k == nil) || now != nil && now.head != k.head {
		return errOpen
	}
	return f.remember(ctx, newest)
}

// proved checks that one of the proofs shows that newer continues older.
func proved(proofs []*posternv1.ConsistencyProof, older, newer verify.Head) error {
	if older == newer || older.Size == 0 && older.Root == verify.EmptyRoot {
		return nil
	}
	if newer.Size < older.Size {
		return fault.Newf(fault.Unverified, "LOG_SHORTER", "The log %s is shorter than it was.", newer.Origin)
	}
	for _, p := range proofs {
		if p.GetOrigin() == older.Origin && p.GetOldSize() == older.Size && p.GetNewSize() == newer.Size {
			return verify.Continues(older, newer, p)
		}
	}
	return fault.New(fault.Unverified, "LOG_UNPROVEN", "The hub did not prove that its log continues what is known of it.")
}
