package queue_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/queue"
)

func TestBackoffDoublesUpToItsMaximum(t *testing.T) {
	b := queue.Backoff{Base: time.Second, Max: 5 * time.Minute}
	almostOne := 1 - 1e-12
	for attempts, want := range []time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 11: 5 * time.Minute} {
		if want == 0 {
			continue
		}
		if got := b.After(uint32(attempts), almostOne).Round(time.Millisecond); got != want {
			t.Errorf("after %d attempts up to %v, want %v", attempts, got, want)
		}
	}
}

func TestBackoffIsWithinItsBoundsAndGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := queue.Backoff{
			Base: time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "base")),
			Max:  time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "max")),
		}
		attempts, r := rapid.Uint32().Draw(t, "attempts"), rapid.Float64Range(0, 0.999).Draw(t, "r")
		wait := b.After(attempts, r)
		if wait < 0 || wait > b.Max {
			t.Fatalf("%v is not within 0 and %v", wait, b.Max)
		}
		if attempts < 1<<32-1 && b.After(attempts+1, r) < wait {
			t.Fatalf("one more failure waits less")
		}
		if b.After(attempts, 0) != 0 {
			t.Fatalf("full jitter starts at nothing")
		}
	})
}
