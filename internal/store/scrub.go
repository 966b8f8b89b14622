package store

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// ScrubConfig is what a Scrub is made of.
type ScrubConfig struct {
	Store Store            // one whose engine has Scrub(ctx) (Report, error); others have nothing to scrub
	Every time.Duration    // 24 hours when 0
	Clock func() time.Time // time.Now when nil
	Log   *slog.Logger     // slog.Default when nil
}

// Scrub reads a whole database at the start and then once in a while, so that damage is found while a backup from
// before it still exists. Damage ends it with ErrCorrupt, and must end the process: what is damaged is not served. A
// scrub that could not be made, for want of space or time, is logged and tried again sooner. One goroutine uses a Scrub.
type Scrub struct {
	ScrubConfig
	due time.Time
}

// NewScrub makes a Scrub that is due at once.
func NewScrub(c ScrubConfig) *Scrub {
	if c.Every == 0 {
		c.Every = 24 * time.Hour
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Scrub{ScrubConfig: c}
}

// Step scrubs if it is due. Its error is ErrCorrupt, or that of a context that has ended.
func (s *Scrub) Step(ctx context.Context) (worked bool, err error) {
	engine, ok := s.Store.(interface {
		Scrub(ctx context.Context) (Report, error)
	})
	if !ok || s.Clock().Before(s.due) {
		return false, nil
	}
	start := s.Clock()
	report, err := engine.Scrub(ctx)
	s.due = start.Add(s.Every)
	switch {
	case err == nil:
		s.Log.InfoContext(ctx, "the database was read whole", "records", report.Records, "bytes", report.Bytes,
			"revision", report.Revision, "duration", s.Clock().Sub(start))
	case errors.Is(err, ErrCorrupt):
		s.Log.ErrorContext(ctx, "the database is damaged", "error", err)
		return true, err
	case ctx.Err() != nil:
		return true, ctx.Err()
	default:
		s.due = start.Add(s.Every / 24)
		s.Log.WarnContext(ctx, "the database could not be read whole", "error", err)
	}
	return true, nil
}

// Run steps whenever it is due, until ctx ends, which is no error, or the database is found damaged.
func (s *Scrub) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if _, err := s.Step(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		wait := time.NewTimer(max(s.due.Sub(s.Clock()), time.Minute))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
	return nil
}
