package hub

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// The limits of an export. A part is read in one snapshot and held in memory; a call ends after so many entries, so
// that none outlives its connection, and the auditor asks for the rest.
const (
	exportPart  = 256       // entries in a message
	exportBytes = 512 << 10 // of a message, by and large: it ends with the entry that passes this
	exportCall  = 1 << 12   // entries in a call
)

// ExportLog streams a log from an index on, and what opens the leaves within the caller's scope. That it does is an event, committed before the
// first body goes.
func (h *Hub) ExportLog(req *posternv1.ExportLogRequest, stream grpc.ServerStreamingServer[posternv1.ExportLogResponse]) error {
	ctx := stream.Context()
	who, err := h.auditor(ctx)
	if err != nil {
		return err
	}
	origin := req.GetOrigin()
	if _, ok := h.cfg.Ledger.LogOf(origin); !ok {
		return notYours
	}
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received); err != nil {
		return err
	}
	cut := h.cfg.Ledger.Cut()
	checkpoint, consistency, err := cut.HeadSince(ctx, origin, req.GetKnownSize())
	if err != nil {
		return err
	}
	proofs, err := cut.Proofs(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received)
	if err != nil {
		return err
	}
	size := consistency.GetNewSize()
	next, end := req.GetStartIndex(), req.GetEndIndex()
	if end == 0 {
		end = size
	}
	if next > end {
		return fault.New(fault.Invalid, "BAD_RANGE", "The first entry asked for comes after the last.")
	}
	if err := stream.Send(&posternv1.ExportLogResponse{Checkpoint: checkpoint, Consistency: consistency, Proofs: proofs}); err != nil {
		return err
	}
	stop := min(end, next+exportCall)
	if err := h.disclosing(ctx, who, origin, next, stop); err != nil {
		return err
	}
	for next < stop {
		part, err := h.exportPart(ctx, who, origin, next, min(stop, next+exportPart))
		if err != nil {
			return err
		}
		if err := stream.Send(&posternv1.ExportLogResponse{Entries: part}); err != nil {
			return err
		}
		next += uint64(len(part))
	}
	return nil
}

// exportPart reads what goes into one message; at least one entry.
func (h *Hub) exportPart(ctx context.Context, who auditing, origin string, from, to uint64) ([]*posternv1.ExportedEntry, error) {
	var part []*posternv1.ExportedEntry
	bytes := 0
	err := h.cfg.Ledger.Range(ctx, origin, from, to, func(at ledger.Logged) (bool, error) {
		e := &posternv1.ExportedEntry{Index: at.Index, Leaf: at.Record.GetLeaf()}
		if who.sees(at) {
			e.Body = &posternv1.ExportedBody{Core: at.Record.GetCore(), Details: at.Record.GetDetails(), Opening: at.Record.GetOpening()}
		}
		part = append(part, e)
		bytes += proto.Size(e)
		return bytes < exportBytes, nil
	})
	return part, err
}

// disclosing records that a part of a log is opened to an auditor. Events that only say what the same auditor has seen
// are passed over, or no export would ever be up to date.
func (h *Hub) disclosing(ctx context.Context, who auditing, origin string, from, to uint64) error {
	news := false
	err := h.cfg.Ledger.Range(ctx, origin, from, to, func(at ledger.Logged) (bool, error) {
		news = at.Leaf.Kind != logv1.Kind_KIND_DISCLOSED_TO_AUDITOR || at.Details.GetCaller() != who.party.URI()
		return !news, nil
	})
	if err != nil || !news {
		return err
	}
	return h.disclosed(ctx, who, disclosure{Origin: origin, From: from, To: to})
}
