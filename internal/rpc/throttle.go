package rpc

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/tap"

	"postern/internal/fault"
	"postern/internal/identity"
)

// throttle holds back parties that ask too much. It is asked before anything of a call is read, and never waits.
// Parties are few: each has a certificate of ours.
type throttle struct {
	limits Limits
	clock  clock

	mu      sync.Mutex // guards parties
	parties map[identity.Party]*asking
}

// asking is what one party asks, over all its connections.
type asking struct {
	rate     *rate.Limiter
	calls    int // that run now
	connects *rate.Limiter
	bytes    *rate.Limiter
}

func newThrottle(l Limits, c clock) *throttle {
	return &throttle{limits: l.orDefaults(), clock: c, parties: map[identity.Party]*asking{}}
}

// take admits a call of p, to be given back when it ends, or says when to try again.
func (t *throttle) take(p identity.Party) *fault.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.of(p)
	if a.calls >= t.limits.CallsAtOnce {
		return tooMuch("CALLS_AT_ONCE", "Too many of your calls are running at once. Wait for some of them.", time.Second)
	}
	now := t.clock()
	r := a.rate.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return tooMuch("RATE", "You are calling too often. Wait a moment.", time.Duration(math.Ceil(wait.Seconds()))*time.Second)
	}
	a.calls++
	return nil
}

// of is what a party asks; t.mu is held.
func (t *throttle) of(p identity.Party) *asking {
	a, ok := t.parties[p]
	if !ok {
		a = &asking{rate: rate.NewLimiter(rate.Limit(t.limits.CallsPerSecond), t.limits.CallsBurst), connects: rate.NewLimiter(newPerSecond, newBurst),
			bytes: rate.NewLimiter(rate.Limit(t.limits.BytesPerSecond), t.limits.BytesBurst)}
		t.parties[p] = a
	}
	return a
}

// connects reports whether a party may connect once more.
func (t *throttle) connects(p identity.Party) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of(p).connects.AllowN(t.clock(), 1)
}

// read takes down that n bytes of a party were read, and returns how long to wait before the next.
func (t *throttle) read(p identity.Party, n int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, now := t.of(p), t.clock()
	r := a.bytes.ReserveN(now, min(n, a.bytes.Burst()))
	return r.DelayFrom(now)
}

func (t *throttle) give(p identity.Party) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parties[p].calls--
}

// admit is the throttle and then the gate.
func (c *call) admit(ctx context.Context, m method) (context.Context, error) {
	if p, ok := connectedParty(ctx); ok && c.server.throttle != nil {
		if f := c.server.throttle.take(p); f != nil {
			c.held = true
			return ctx, f
		}
		c.place = p
	}
	ctx, caller, err := c.server.gate.admit(ctx, m)
	c.who = caller
	return ctx, err
}

// leave gives the place back.
func (c *call) leave() {
	if c.place != (identity.Party{}) {
		c.server.throttle.give(c.place)
	}
}

func tooMuch(reason, message string, after time.Duration) *fault.Error {
	f := fault.New(fault.Exhausted, reason, message)
	f.RetryAfter = after
	return f
}

// knock sees a path that gRPC itself refuses, past the guard: one without a slash before the service or before the
// method. It lets gRPC do so. An error of its own would cost more: gRPC then keeps the context of the call for as long
// as the connection lasts.
func (s *Server) knock(ctx context.Context, info *tap.Info) (context.Context, error) {
	path, ok := strings.CutPrefix(info.FullMethodName, "/")
	if ok && strings.Contains(path, "/") {
		return ctx, nil
	}
	if tell := s.passed(ctx, errUnknownMethod()); tell != nil {
		go tell() // gRPC reads the connection from here; this ends within refusalTime, and few run at once
	}
	return ctx, nil
}

// passed is for a call that gRPC itself refuses, past the guard. It takes the party's rate like any other, and returns
// what tells of the refusal; nil for one that was held back.
func (s *Server) passed(ctx context.Context, f *fault.Error) (tell func()) {
	c := &call{server: s, method: unknownMethod, id: s.requestID(ctx), start: s.clock(), began: time.Now()}
	party, ok := connectedParty(ctx)
	if !ok {
		s.turnedAway(f.Reason)
		return nil
	}
	if held := s.throttle.take(party); held != nil {
		s.turnedAway(held.Reason)
		return nil
	}
	c.who = who{party, slog.String("party", party.URI())}
	return func() {
		defer s.throttle.give(party)
		c.told(ctx, f, f)
	}
}

// packing sees a call whose messages are packed: gRPC refuses it before the guard, since it knows no way to unpack. It is
// a stats.Handler for the one thing that only a stats.Handler is shown.
type packing struct{ server *Server }

// errPacked is what gRPC says in words of its own.
func errPacked() *fault.Error {
	return fault.New(fault.Unimplemented, "PACKED", "Messages are not compressed here.")
}

// HandleRPC tells of the refusal of a packed call.
func (p packing) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if begun, ok := event.(*stats.InHeader); ok && begun.Compression != "" && begun.Compression != encoding.Identity {
		if tell := p.server.passed(ctx, errPacked()); tell != nil {
			tell()
		}
	}
}

func (packing) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (packing) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (packing) HandleConn(context.Context, stats.ConnStats)                       {}

// turnedAway counts what was refused without a look at who asks for what: a word of this package, and never the
// caller's.
func (s *Server) turnedAway(what string) {
	if s.count != nil {
		s.count(what)
	}
}
