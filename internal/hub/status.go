package hub

import (
	"context"
	"encoding/base64"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/ledger"
	"postern/internal/plain"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
)

// GetStatus says how the hub is: its logs, what is in force, which queues wait.
func (h *Hub) GetStatus(ctx context.Context, _ *localv1.GetStatusRequest) (*localv1.GetStatusResponse, error) {
	out := &localv1.GetStatusResponse{DirectoryRevision: h.directory.Load().Number(), DirectoryRevisionAtDesks: h.atDesk().number, PolicyRevision: h.policy.Load().Revision()}
	for _, log := range []ledger.Log{ledger.Sent, ledger.Received} {
		size, root, checkpoint := h.cfg.Ledger.Head(log)
		out.Logs = append(out.Logs, &localv1.LogStatus{
			Origin: h.cfg.Ledger.Origin(log), Size: size, Root: base64.StdEncoding.EncodeToString(root[:]), Checkpoint: checkpoint})
	}
	paused, err := h.delivery.PausedSince(ctx)
	if err != nil {
		return nil, err
	}
	out.PauseTime = moment(paused)
	if out.Hold, err = h.holding(ctx); err != nil {
		return nil, err
	}
	queues, err := h.delivery.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		out.Queues = append(out.Queues, &localv1.QueueStatus{Authority: q.Authority, Waiting: uint32(q.Waiting), OldestTime: timestamppb.New(q.Oldest), Breaker: q.Breaker.String()})
	}
	return out, nil
}

// get reads one row.
func (h *Hub) get(ctx context.Context, ks store.Keyspace, key []byte) (row []byte, err error) {
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		row, err = s.Get(ks, key)
		return err
	})
	return row, err
}

// kindName is a kind as the log's readers know it, such as `decided`.
func kindName(k logv1.Kind) string { return strings.ToLower(plain.Enum(k)) }
