package ledger

import (
	"context"
	"sync"
	"time"
)

// SelfCheck reads both logs again and again while the ledger works: every record opens its leaf, every leaf is filed
// under its event, the tiles are the tiles of the leaves, and the roots are the signed ones. It is for what no start and
// no receipt looks at: a bit that fell in an old event long ago. What it finds is terminal: the ledger stops and signs
// nothing more.
type SelfCheck struct {
	ledger *Ledger
	pause  time.Duration
	rest   time.Duration

	mu    sync.Mutex // owns the fields below
	trees []tree     // still to walk in this pass, the one under way first
	walk  *walk      // nil between two trees
	state CheckState
}

// CheckState is how far the self-check is.
type CheckState struct {
	Events uint64    // checked since the start
	Passed time.Time // when everything had last been checked; zero before the first time
}

// checkStep is how many events one Step reads: it bounds how long its snapshot is held.
const checkStep = 256

// NewSelfCheck makes the self-check of a ledger. Run pauses after each Step, and rests after each pass; 0 means a
// second and an hour.
func NewSelfCheck(l *Ledger, pause, rest time.Duration) *SelfCheck {
	if pause == 0 {
		pause = time.Second
	}
	if rest == 0 {
		rest = time.Hour
	}
	return &SelfCheck{ledger: l, pause: pause, rest: rest}
}

// State returns how far it is.
func (s *SelfCheck) State() CheckState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Step checks the next events, and reports false when a pass has come to its end. An error stops the ledger.
func (s *SelfCheck) Step(ctx context.Context) (worked bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.ledger.view(ctx, func(r reading) error {
		if s.trees == nil {
			s.trees = r.trees()
		}
		if s.walk == nil {
			s.walk = r.walk(s.trees[0])
		}
		from := s.walk.edge.size
		done, err := s.walk.step(ctx, r, checkStep)
		s.state.Events += s.walk.edge.size - from
		if done {
			s.trees, s.walk = s.trees[1:], nil
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		s.ledger.log.ErrorContext(ctx, "the self-check found a damaged log; nothing is signed any more", "error", err)
		s.ledger.stop(err)
		return false, err
	case len(s.trees) == 0:
		s.trees, s.state.Passed = nil, s.ledger.clock()
		return false, nil
	}
	return true, nil
}

// Run steps until ctx ends, and returns nil then, or until something is damaged.
func (s *SelfCheck) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		worked, err := s.Step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		wait := s.pause
		if !worked {
			wait = s.rest
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}
