package auditor

import (
	"context"
	"encoding/base64"
	"slices"

	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/ledger/verify"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Continued is that a log goes on from what somebody saw of it last, as it was computed just now.
type Continued struct {
	Origin string
	Before Visit       // zero on the first visit
	Then   verify.Head // of Before
	Now    verify.Head
	Signed string   // the newest checkpoint
	Hashes []string // the proof, in base64: with them the root of Then and that of Now can be computed
	Fault  string   // why it does not; empty when it does
}

// Integrity asks the hub for the newest checkpoint of every log that the auditor follows, and verifies that it goes on
// from what the caller saw on their last visit, which it then remembers.
func (a *Auditor) Integrity(ctx context.Context) ([]Continued, error) {
	n, err := a.record.look()
	if err != nil {
		return nil, err
	}
	known, err := a.follow.GetLogs(ctx, nil)
	if err != nil {
		return nil, err
	}
	who, now := whoever(ctx), a.cfg.Clock()
	var all []Continued
	seen := map[string]Visit{}
	for _, l := range known.GetLogs() {
		if l.GetEnded() {
			continue
		}
		c, err := a.since(ctx, l, n.Visits[who][l.GetOrigin()])
		if err != nil {
			return nil, err
		}
		if c.Fault == "" {
			seen[c.Origin] = Visit{Time: now, Checkpoint: c.Signed}
		}
		all = append(all, c)
	}
	if a.record.path == "" {
		return all, nil
	}
	return all, a.record.change(func(n *notes) error {
		if n.Visits == nil {
			n.Visits = map[string]map[string]Visit{}
		}
		if n.Visits[who] == nil {
			n.Visits[who] = map[string]Visit{}
		}
		for origin, v := range seen {
			n.Visits[who][origin] = v
		}
		return nil
	})
}

// Witness asks the hub for the newest checkpoint of every log that goes on, and verifies that each continues what this
// auditor has seen. What it returns can be held against a hub that was put back: its `witness_files`.
func (a *Auditor) Witness(ctx context.Context, _ *localv1.WitnessRequest) (*localv1.WitnessResponse, error) {
	for _, origin := range newestFirst(a.cfg.LogKeys) {
		if a.follow.Over(origin) {
			continue
		}
		if _, err := a.since(ctx, &localv1.FollowedLog{Origin: origin}, Visit{}); fault.KindOf(err) == fault.NotFound {
			continue // the key is of a generation to come
		} else if err != nil {
			return nil, err
		}
	}
	known, err := a.follow.GetLogs(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &localv1.WitnessResponse{Logs: slices.DeleteFunc(known.GetLogs(), (*localv1.FollowedLog).GetEnded)}, a.follow.Stopped()
}

// since asks for one log that is followed, and verifies that it goes on from a visit.
func (a *Auditor) since(ctx context.Context, l *localv1.FollowedLog, before Visit) (c Continued, err error) {
	origin := l.GetOrigin()
	c = Continued{Origin: origin, Before: before, Then: verify.Head{Origin: origin, Root: verify.EmptyRoot}}
	if before.Checkpoint != "" {
		if c.Then, err = verify.Checkpoint(before.Checkpoint, a.cfg.LogKeys); err != nil {
			return c, errNotes(err)
		}
	}
	if c.Then.Size > l.GetSize() { // an operator has named a smaller one since; to claim more to the hub would stop us again
		c.Signed, c.Fault = l.GetCheckpoint(), unproved
		c.Now, err = verify.Checkpoint(c.Signed, a.cfg.LogKeys)
		return c, err
	}
	asked, err := a.follow.Ask()
	if err != nil {
		return c, err
	}
	req := &posternv1.GetCheckpointRequest{Origin: origin, KnownLogs: asked.Known()}
	if c.Then.Size > 0 {
		req.KnownLogs = append(req.KnownLogs, &posternv1.KnownLog{Origin: origin, Size: c.Then.Size})
	}
	out, err := a.cfg.Hub.GetCheckpoint(ctx, req)
	if err != nil {
		return c, a.follow.Failed(ctx, asked, err)
	}
	if err := a.take(ctx, asked, out.GetProofs(), out.GetCheckpoint()); err != nil {
		return c, err
	}
	if c.Now, err = verify.Checkpoint(out.GetCheckpoint(), a.cfg.LogKeys); err != nil {
		return c, err
	}
	c.Signed = out.GetCheckpoint()
	c.prove(out.GetProofs())
	return c, nil
}

// prove computes that Now goes on from Then.
func (c *Continued) prove(proofs []*posternv1.ConsistencyProof) {
	if c.Then == c.Now || c.Then.Size == 0 {
		return
	}
	for _, p := range proofs {
		if p.GetOrigin() != c.Origin || p.GetOldSize() != c.Then.Size || p.GetNewSize() != c.Now.Size {
			continue
		}
		if err := verify.Continues(c.Then, c.Now, p); err != nil {
			c.Fault = fault.From(err).Message
			return
		}
		for _, h := range p.GetHashes() {
			c.Hashes = append(c.Hashes, base64.StdEncoding.EncodeToString(h))
		}
		return
	}
	c.Fault = unproved
}

const unproved = "The hub did not prove that its log goes on from what you saw last."

// Compare holds checkpoints that another party has seen against the logs, as known-log prints them. One that the log's own
// key has signed and whose tree the log does not continue shows that the hub tells people different things, and stops the
// auditor like any other such sight: it is then the last that was compared. What came of each is remembered.
func (a *Auditor) Compare(ctx context.Context, with, checkpoints string) (all []Comparison, err error) {
	seen, err := a.signed(checkpoints)
	if err != nil {
		return nil, fault.InvalidFields("NOT_A_CHECKPOINT", "This is no checkpoint of these logs.", []fault.Field{{Path: "checkpoint",
			Reason: "This is not a checkpoint that the hub has signed.", Fix: "Paste all of it, from the name of the log to the last line, as “known-log” prints it."}})
	}
	for _, s := range seen {
		err := a.follow.Compare(ctx, s)
		if err != nil && a.follow.Stopped() == nil {
			return all, err // it could not be found out, such as when the hub does not answer
		}
		c := Comparison{Time: a.cfg.Clock(), Who: whoever(ctx), With: with, Origin: s.Head.Origin, Size: s.Head.Size, Holds: err == nil}
		all = append(all, c)
		if err := a.compared(c); err != nil {
			return all, err
		}
		if !c.Holds {
			break
		}
	}
	return all, nil
}

// signed takes a file of checkpoints apart, each of which a key of ours must have signed.
func (a *Auditor) signed(checkpoints string) (seen []follow.Seen, err error) {
	notes, err := verify.SplitCheckpoints(checkpoints)
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		s, err := a.follow.Verify(n)
		if err != nil {
			return nil, err
		}
		seen = append(seen, s)
	}
	return seen, nil
}

// compared remembers a comparison, where anything is.
func (a *Auditor) compared(c Comparison) error {
	if a.record.path == "" {
		return nil
	}
	return a.record.change(func(n *notes) error {
		n.Compared = append([]Comparison{c}, n.Compared[:min(len(n.Compared), maxCompared-1)]...)
		return nil
	})
}

// Compared are the comparisons that auditors of this site have made, the newest first.
func (a *Auditor) Compared(context.Context) ([]Comparison, error) {
	n, err := a.record.look()
	return n.Compared, err
}
