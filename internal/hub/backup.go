package hub

import (
	"context"
	"errors"
	"path/filepath"

	"postern/internal/fault"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
)

// copier is a store whose engine can copy itself while it is used.
type copier interface {
	Backup(ctx context.Context, path string) (store.Report, error)
	Scrub(ctx context.Context) (store.Report, error)
}

func (h *Hub) copier() (copier, error) {
	c, ok := h.cfg.Store.(copier)
	if !ok {
		return nil, fault.New(fault.Unimplemented, "NO_COPIES", "This hub's kind of database is backed up with its own tools.")
	}
	return c, nil
}

// Backup makes a verified copy of the database while it is used. It holds no keys: neither the vault's nor the log's.
func (h *Hub) Backup(ctx context.Context, req *localv1.BackupRequest) (*localv1.BackupResponse, error) {
	c, err := h.copier()
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(req.GetPath()) {
		return nil, fault.InvalidFields("BAD_PATH", "The backup has no place.", []fault.Field{
			{Path: "path", Reason: "Not an absolute path.", Fix: "Name the file from the root on: the server's folder is not the caller's."}})
	}
	report, err := c.Backup(ctx, req.GetPath())
	if err != nil {
		return nil, err
	}
	return &localv1.BackupResponse{Records: report.Records, Bytes: uint64(report.Bytes)}, nil
}

// Check reads every record of a hot copy of the database, and then recomputes both logs in place. What it finds is its
// answer, not its error.
func (h *Hub) Check(ctx context.Context, _ *localv1.CheckRequest) (*localv1.CheckResponse, error) {
	c, err := h.copier()
	if err != nil {
		return nil, err
	}
	report, err := c.Scrub(ctx)
	if err == nil {
		err = h.cfg.Ledger.CheckAll(ctx)
	}
	out := &localv1.CheckResponse{Records: report.Records, Bytes: uint64(report.Bytes)}
	if errors.Is(err, store.ErrCorrupt) || fault.KindOf(err) == fault.Unverified {
		out.Fault, err = err.Error(), nil
	}
	return out, err
}
