package hub

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// logged opens an event.
func (h *Hub) logged(ctx context.Context, id [verify.EventIDSize]byte) (ledger.Logged, error) {
	rec, log, index, err := h.cfg.Ledger.Record(ctx, id)
	if err != nil {
		return ledger.Logged{}, err
	}
	leaf, err := verify.ParseLeaf(rec.GetLeaf())
	if err != nil {
		return ledger.Logged{}, err
	}
	at := ledger.Logged{Log: log, Index: index, Leaf: leaf, Record: rec, Core: &logv1.Core{}, Details: &logv1.Details{}}
	err = errors.Join(proto.Unmarshal(rec.GetCore(), at.Core), proto.Unmarshal(rec.GetDetails(), at.Details))
	if err != nil {
		return ledger.Logged{}, fault.New(fault.Internal, "BAD_RECORD", "A record cannot be read.").Because(err)
	}
	return at, nil
}

// consistency proves that each log the caller knows continues to the newest checkpoint. Logs that the caller may not
// see, and logs of another origin, are passed over.
func (h *Hub) consistency(ctx context.Context, known []*posternv1.KnownLog, visible ...ledger.Log) ([]*posternv1.ConsistencyProof, error) {
	var out []*posternv1.ConsistencyProof
	for _, log := range visible {
		for _, k := range known {
			if k.GetOrigin() != h.cfg.Ledger.Origin(log) || k.GetSize() == 0 {
				continue
			}
			p, err := h.cfg.Ledger.Consistency(ctx, log, k.GetSize())
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// now is the time of an event: whole seconds, since nobody needs to know more of when a person acted.
func (h *Hub) now() time.Time { return h.cfg.Clock().Truncate(time.Second) }
