package auditor

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// exportWait is how long one call to the hub may last. A connection lives for minutes only; the next call goes on where
// this one ended.
const exportWait = time.Minute

// GetProof cuts the receipt of an event again, to the newest checkpoint, and checks that it holds and is of the event
// that was asked for. A notification, by its id or reference, means its decision.
func (a *Auditor) GetProof(ctx context.Context, req *localv1.GetProofRequest) (*localv1.GetProofResponse, error) {
	id := strings.ToLower(req.GetId())
	if b, err := hex.DecodeString(id); err != nil || len(b) != verify.EventIDSize {
		out, err := a.getEvent(ctx, req.GetId())
		if err == nil {
			err = a.check(req.GetId(), out)
		}
		if err != nil {
			return nil, err
		}
		return &localv1.GetProofResponse{Receipt: out.GetReceipt()}, nil
	}
	asked, err := a.follow.Ask()
	if err != nil {
		return nil, err
	}
	out, err := a.cfg.Hub.GetProof(ctx, &posternv1.GetProofRequest{EventId: id, KnownLogs: asked.Known()})
	if err != nil {
		return nil, a.follow.Failed(ctx, asked, err)
	}
	if err := a.takeReceipt(ctx, asked, out.GetConsistency(), out.GetReceipt()); err != nil {
		return nil, err
	}
	event, err := verify.Receipt(out.GetReceipt(), a.cfg.LogKeys)
	if err != nil {
		return nil, err
	}
	if hex.EncodeToString(event.EventID[:]) != id {
		return nil, fault.New(fault.Unverified, "EVENT_OF_ANOTHER", "The hub answered with another event than the one that was asked for.")
	}
	return &localv1.GetProofResponse{Receipt: out.GetReceipt()}, nil
}

// Export brings a folder up to date with every log that the auditor has a key for. What the folder holds is checked
// first, and what comes from the hub before it is written; the manifest is signed when all of it holds. Of a log that a
// later generation has followed the hub may have lost the end, or all: then what the folder holds of it stays.
func (a *Auditor) Export(req *localv1.ExportRequest, stream grpc.ServerStreamingServer[localv1.ExportResponse]) (err error) {
	if !filepath.IsAbs(req.GetDirectory()) {
		return fault.New(fault.Invalid, "BAD_FOLDER", "Name the folder by its whole path.")
	}
	if a.cfg.Identity == nil || a.cfg.Anchors == nil || a.cfg.Clock == nil {
		return fault.New(fault.Precondition, "NO_IDENTITY", "This auditor has no certificate to sign an export with.")
	}
	ctx := stream.Context()
	w, err := archive.Open(ctx, req.GetDirectory(), archive.Config{Keys: a.cfg.LogKeys, Anchors: a.cfg.Anchors})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	progress := &localv1.ExportResponse{}
	if err := a.fetch(ctx, w, progress, func() error { return stream.Send(progress) }); err != nil {
		return err
	}
	report, err := w.Commit(a.cfg.Identity, a.cfg.Clock())
	if err != nil {
		return err
	}
	for _, l := range report.Logs {
		for _, now := range progress.Logs {
			if now.Origin == l.Origin {
				now.Folder, now.Absent, now.Root = l.Folder, l.Absent, base64.StdEncoding.EncodeToString(l.Root[:])
			}
		}
	}
	progress.Done = true
	return stream.Send(progress)
}

// fetch brings a Writer up to date with every log that the auditor has a key for, and tells of each step.
func (a *Auditor) fetch(ctx context.Context, w *archive.Writer, progress *localv1.ExportResponse, tell func() error) error {
	for _, origin := range newestFirst(a.cfg.LogKeys) {
		now := &localv1.ExportedLog{Origin: origin}
		progress.Logs = append(progress.Logs, now)
		if err := a.exportLog(ctx, w, now, tell); err != nil {
			return err
		}
	}
	return nil
}

// exportLog fetches what a folder lacks of one log, in as many calls as it takes. A call that fails on the way counts
// for what it brought; one that brings nothing ends the export.
func (a *Auditor) exportLog(ctx context.Context, w *archive.Writer, now *localv1.ExportedLog, tell func() error) error {
	known, _ := w.Head(now.Origin)
	asked, err := a.follow.Ask()
	if err != nil {
		return err
	}
	req := &posternv1.ExportLogRequest{Origin: now.Origin, StartIndex: known.Size, KnownSize: known.Size, KnownLogs: asked.Known()}
	var log *archive.Log
	var broken error // on our side, where another call is of no use
	for {
		before := now.Written
		err := a.exportCall(ctx, req, func(part *posternv1.ExportLogResponse) (err error) {
			defer func() { broken = err }()
			if log == nil {
				if err := a.take(ctx, asked, part.GetProofs(), part.GetCheckpoint()); err != nil {
					return err
				}
				if log, err = w.Begin(part.GetCheckpoint(), part.GetConsistency()); err != nil {
					return err
				}
				now.Folder, now.OldSize, now.Size = log.Folder, log.OldSize(), log.Size
			}
			for _, e := range part.GetEntries() {
				if err := log.AddExported(e); err != nil {
					return err
				}
			}
			now.Written = log.Next()
			return tell()
		})
		switch {
		case broken != nil:
			return broken
		case log != nil && now.Written == now.Size:
			return nil
		case log == nil && err != nil && a.follow.Over(now.Origin):
			return a.lost(ctx, w, now, err)
		case fault.From(err).Reason == "LOG_AHEAD":
			return a.follow.Failed(ctx, asked, err)
		case err != nil && (!passes(err) || now.Written == before):
			return err
		case now.Written == before:
			return fault.New(fault.Unavailable, "EXPORT_ENDED", "The hub ended the export early. Try again later; what is there stays.")
		}
		req.StartIndex, req.EndIndex, req.KnownSize = now.Written, now.Size, 0
	}
}

// lost accepts that the hub exports nothing of a log that has ended, when it has nothing of it, or shows an end that the
// later log names and that is within what the folder holds. Any other error is returned.
func (a *Auditor) lost(ctx context.Context, w *archive.Writer, now *localv1.ExportedLog, why error) error {
	nothing := fault.KindOf(why) == fault.NotFound
	if !nothing && fault.From(why).Reason != "LOG_AHEAD" {
		return why
	}
	asked, err := a.follow.Ask()
	if err != nil {
		return err
	}
	// Asked of the end alone, LOG_AHEAD is about a log that goes on, and stops the auditor.
	out, err := a.cfg.Hub.GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: now.Origin, KnownLogs: asked.Known()})
	held, _ := w.Head(now.Origin)
	switch {
	case nothing && fault.KindOf(err) == fault.NotFound:
	case err != nil:
		return a.follow.Failed(ctx, asked, err)
	default:
		if err := a.take(ctx, asked, out.GetProofs(), out.GetCheckpoint()); err != nil {
			return err
		}
		if end, err := verify.Checkpoint(out.GetCheckpoint(), a.cfg.LogKeys); err != nil || nothing || end.Origin != now.Origin || end.Size >= held.Size {
			return fault.Newf(fault.Unverified, "EXPORT_WITHHELD", "The hub says that it has lost events of the log %s, and shows that it has not. Telephone its operator.", now.Origin)
		}
	}
	now.Lost, now.OldSize, now.Size, now.Written = true, held.Size, held.Size, held.Size
	return nil
}

// newestFirst are the origins of the logs, the later generations first: they tell how the earlier ones ended.
func newestFirst(keys verify.Keys) []string {
	all := keys.Origins()
	slices.SortStableFunc(all, func(a, b string) int {
		_, x := verify.Generation(a)
		_, y := verify.Generation(b)
		return cmp.Compare(y, x)
	})
	return all
}

// exportCall makes one call and hands each of its messages to take.
func (a *Auditor) exportCall(ctx context.Context, req *posternv1.ExportLogRequest, take func(*posternv1.ExportLogResponse) error) error {
	ctx, cancel := context.WithTimeout(ctx, exportWait)
	defer cancel()
	stream, err := a.cfg.Hub.ExportLog(ctx, req)
	if err != nil {
		return err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(part); err != nil {
			return err
		}
	}
}

// passes reports whether another call may succeed where this one failed.
func passes(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Deadline, fault.Exhausted:
		return true
	}
	return false
}
