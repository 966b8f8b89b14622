package queue

import (
	"encoding/binary"
	"io"
	"time"

	"postern/internal/fault"
)

// Backoff says how long to wait after a failure: exponential with full jitter, so that many who failed together do not
// come back together.
type Backoff struct {
	Base time.Duration // the longest wait after the first failure
	Max  time.Duration // the longest wait ever
}

// MaxAsked is the longest that the other side can put something off.
const MaxAsked = time.Hour

// Longest is the longest from one attempt to the next, whatever the other side asks.
func (b Backoff) Longest() time.Duration { return max(b.Max, MaxAsked) }

// Still reports whether something is put off at now until a time that is to come. A time that is later than longest, the longest that it
// is ever put off, is not believed: a clock that was ahead for a moment, and was set right, leaves such times behind.
func Still(until, now time.Time, longest time.Duration) bool {
	return now.Before(until) && !until.After(now.Add(longest))
}

// Asked returns the wait after a failure of which the other side says how long to wait at least.
func (b Backoff) Asked(attempts uint32, r float64, atLeast time.Duration) time.Duration {
	return max(b.After(attempts, r), min(atLeast, MaxAsked))
}

// After returns the wait after the given number of failed attempts, for a random number r from 0 up to but not 1:
// evenly spread from nothing to Base doubled for each attempt after the first, at most Max.
func (b Backoff) After(attempts uint32, r float64) time.Duration {
	longest := b.Base
	for n := uint32(1); n < attempts && longest < b.Max; n++ {
		longest *= 2
	}
	return time.Duration(r * float64(min(longest, b.Max)))
}

// Jitter draws the random number for After.
func Jitter(r io.Reader) (float64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fault.From(err)
	}
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53), nil
}
