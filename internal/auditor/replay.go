package auditor

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/fault"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Replay opens each decision that fits, newest first, verifies it against the log, and decides its Input again: with the
// policy that decided then, whose digest the decision names, or with a draft, to see what it would have changed. Each
// opening is an event of its own at the hub, as always. That no decision is missing from the list is for an export to
// show.
func (a *Auditor) Replay(req *localv1.ReplayRequest, stream grpc.ServerStreamingServer[localv1.ReplayResponse]) error {
	ctx := stream.Context()
	r := replay{a: a}
	if draft := req.GetBundle(); len(draft) > 0 {
		e, err := engine.ForReplay(ctx, draft)
		if err != nil {
			return err
		}
		r.draft = e
	}
	return a.each(ctx, req.GetFilter(), func(e *posternv1.Event) error {
		if e.GetDecision().GetPolicyRevision() == "" { // no decision, or a person's
			return nil
		}
		held, err := a.verified(ctx, e)
		if err != nil {
			return err
		}
		d := &logv1.Details{}
		if err := proto.Unmarshal(held.GetDetails(), d); err != nil {
			return fault.From(err) // it was read before, when it was verified
		}
		out, err := r.again(ctx, held.GetEvent(), d)
		if err != nil {
			return err
		}
		return stream.Send(out)
	})
}

// replay decides again.
type replay struct {
	a     *Auditor
	draft *engine.Engine // decides instead of the policy of then; nil for none
	last  *engine.Engine // of the decision before: policies change seldom
}

// again decides an event again, of verified details.
func (r *replay) again(ctx context.Context, e *posternv1.Event, d *logv1.Details) (*localv1.ReplayResponse, error) {
	out := &localv1.ReplayResponse{Event: e, Replayed: localv1.Replayed_REPLAYED_NO_INPUT}
	if len(d.GetInput()) == 0 {
		return out, nil
	}
	by, err := r.engine(ctx, d.GetDecision().GetPolicyRevision())
	if err != nil {
		return nil, err
	}
	if by == nil {
		out.Replayed = localv1.Replayed_REPLAYED_POLICY_MISSING
		return out, nil
	}
	out.EngineVersion = by.Version()
	if out.Differences, err = by.Replay(ctx, d.GetInput(), d.GetDecision()); err != nil {
		return nil, err
	}
	switch {
	case len(out.GetDifferences()) == 0:
		out.Replayed = localv1.Replayed_REPLAYED_SAME
	case r.draft == nil && engine.Undecided(d.GetDecision()):
		out.Replayed = localv1.Replayed_REPLAYED_UNDECIDED
	default:
		out.Replayed = localv1.Replayed_REPLAYED_DIFFERS
	}
	return out, nil
}

// engine is what decides; nil where the hub does not have the policy. Which policy it is its digest says, whoever sent it.
func (r *replay) engine(ctx context.Context, revision string) (*engine.Engine, error) {
	switch {
	case r.draft != nil:
		return r.draft, nil
	case r.last != nil && r.last.Revision() == revision:
		return r.last, nil
	}
	served, err := r.a.cfg.Directory.GetPolicy(ctx, &posternv1.GetPolicyRequest{Revision: revision})
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := engine.ForReplay(ctx, served.GetBundle())
	if err != nil {
		return nil, err
	}
	if e.Revision() != revision {
		return nil, fault.New(fault.Unverified, "POLICY_OF_ANOTHER", "The hub answered with another policy than the one that decided. Telephone its operator.")
	}
	r.last = e
	return e, nil
}
