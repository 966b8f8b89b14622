package store_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/fault"
	"postern/internal/store"
)

// scrubbed is a store of which only Scrub is used: it answers what next says.
type scrubbed struct {
	store.Store
	times []time.Time
	next  func() error
}

func (s *scrubbed) Scrub(context.Context) (store.Report, error) {
	s.times = append(s.times, time.Now())
	return store.Report{Records: 1}, s.next()
}

func TestScrub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		results := []error{nil, fault.New(fault.Unavailable, "STORE_UNUSABLE", "no room"), nil, store.Corrupt("form", []byte("k"))}
		s := &scrubbed{}
		s.next = func() error { return results[len(s.times)-1] }
		scrub := store.NewScrub(store.ScrubConfig{Store: s, Log: slog.New(slog.DiscardHandler)})
		if err := scrub.Run(t.Context()); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("it ends with %v", err)
		}
		for i, want := range []time.Duration{0, 24 * time.Hour, 25 * time.Hour, 49 * time.Hour} {
			if got := s.times[i].Sub(start); got != want {
				t.Errorf("scrub %d after %v, want %v", i, got, want)
			}
		}
	})
}

func TestScrubEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &scrubbed{}
		s.next = func() error { cancel(); return ctx.Err() }
		if err := store.NewScrub(store.ScrubConfig{Store: s, Log: slog.New(slog.DiscardHandler)}).Run(ctx); err != nil || len(s.times) != 1 {
			t.Errorf("%d scrubs, %v", len(s.times), err)
		}
	})
}

func TestAStoreWithNothingToScrub(t *testing.T) {
	if worked, err := store.NewScrub(store.ScrubConfig{}).Step(t.Context()); worked || err != nil {
		t.Errorf("%t, %v", worked, err)
	}
}
