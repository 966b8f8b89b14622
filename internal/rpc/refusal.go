package rpc

import (
	"context"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
)

// told tells of a refusal, and holds back one that says "not there" until its time tells nothing. Between parties
// only: on a control socket there is nobody to tell and nothing to hide.
func (c *call) told(ctx context.Context, f *fault.Error, err error) {
	s := c.server
	switch {
	case s.front == nil || !refusal(f.Kind):
		return
	case c.who.party == identity.Party{}:
		s.turnedAway(f.Reason)
		return
	case s.refused != nil: // also when the caller has gone: who cuts a call off is not forgotten for that
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTime)
		s.refused(within, c.who.party, c.method, err)
		cancel()
	}
	if f.Kind == fault.NotFound {
		pause(ctx, rest(time.Since(c.began), absentBucket))
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// refusal reports whether a fault says no to who calls or to what is asked. The others say that it could not be done.
func refusal(k fault.Kind) bool {
	switch k {
	case fault.Internal, fault.Unavailable, fault.Exhausted, fault.Deadline:
		return false
	}
	return true
}

// rest is how long it is from a moment of a call to the next whole bucket.
func rest(since, bucket time.Duration) time.Duration { return bucket - since%bucket }
