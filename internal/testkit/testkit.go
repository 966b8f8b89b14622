// Package testkit is a whole exchange in one test: a hub, desks, inboxes and auditors with real certificates,
// databases, vaults, ledger, policy and sealing, joined by links that a test can cut, hold, double and tamper with.
//
// It guarantees that the parties share no memory: every call crosses as bytes, and an error crosses as its public part
// only. Nothing runs by itself: each Step is the test's, the clock stands still until it is moved, and at the end the
// hub's ledger is checked from the first leaf. It has no sockets, no TLS and none of rpc's limits and access rules:
// the tests of package rpc and the demo have. It is for tests only; no command imports it.
package testkit

import (
	"crypto/rand"
	"os"
	"sync"
	"testing"
	"time"
)

// N is how many rounds a test makes: ci in an ordinary run, soak when POSTERN_SOAK=1.
func N(ci, soak int) int {
	if os.Getenv("POSTERN_SOAK") == "1" {
		return soak
	}
	return ci
}

// Clock is a clock that stands still until it is moved. It may be used from any goroutine.
type Clock struct {
	mu  sync.Mutex // owns now
	now time.Time
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, also backwards.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// must ends the test when there is an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value is the first of two results, when the second is nil.
func value[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// random is the process's random values as they are at each reading: a test may begin them anew while parties run.
type random struct{}

// Read implements io.Reader.
func (random) Read(b []byte) (int, error) { return rand.Read(b) }
