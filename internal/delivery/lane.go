package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"postern/internal/fault"
	"postern/internal/queue"
)

// lane is what is remembered of one inbox while the process lives: nothing here must survive a crash.
type lane struct {
	busy    bool // an attempt is under way
	breaker breaker
	tokens  *rate.Limiter
	stop    bool   // the last try was of a stop request
	out     flight // the collected delivery whose answer is awaited
}

// flight is a delivery that was handed to a collecting inbox.
type flight struct {
	id    string
	until time.Time // after that it is not awaited any more
}

// breaker keeps sends from an inbox that does not answer. While it is closed each delivery waits for its own backoff
// only; after enough failures in a row it opens, and when its time is over the next send is the probe: it closes the
// breaker or opens it again for longer.
type breaker struct {
	failures uint32    // in a row
	until    time.Time // while it is open
}

// Breaker is the state of a breaker.
type Breaker int

// The states of a breaker.
const (
	Closed Breaker = iota
	HalfOpen
	Open
)

// String names the state.
func (b Breaker) String() string { return [...]string{"CLOSED", "HALF_OPEN", "OPEN"}[b] }

// lane returns the lane of a destination; the caller holds mu.
func (d *Delivery) lane(dest string) *lane {
	l := d.lanes[dest]
	if l == nil {
		l = &lane{tokens: rate.NewLimiter(d.cfg.Rate, d.cfg.Burst)}
		d.lanes[dest] = l
	}
	return l
}

// claim takes a lane for one attempt, unless it is taken or as many are under way as may be; free gives it back.
func (d *Delivery) claim(dest string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lane(dest)
	if l.busy || d.busy >= d.cfg.MaxInFlight {
		return false
	}
	l.busy = true
	d.busy++
	return true
}

func (d *Delivery) free(dest string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lane(dest).busy = false
	d.busy--
}

// blocked returns until when no send to an inbox may begin; the zero time when one may now.
func (d *Delivery) blocked(dest string, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lane(dest)
	if queue.Still(l.breaker.until, now, d.cfg.Backoff.Max) {
		return l.breaker.until
	}
	if l.out.id != "" && queue.Still(l.out.until, now, d.cfg.SendTimeout) {
		return l.out.until
	}
	if missing := 1 - l.tokens.TokensAt(now); missing > 0 {
		return now.Add(time.Duration(missing / float64(d.cfg.Rate) * float64(time.Second)))
	}
	return time.Time{}
}

// turn is what goes next of what is due: a stop request before anything else. While an inbox is only tried now and then,
// stop requests and notifications take turns, so that one kind that it does not take keeps it from none of the other.
func (d *Delivery) turn(dest string, due []pending) pending {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.lane(dest); len(due) > 1 && l.stop && l.breaker.failures >= d.cfg.BreakAfter {
		return due[1]
	}
	return due[0]
}

// spend takes the token of a send.
func (d *Delivery) spend(dest string, now time.Time, p pending) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lane(dest)
	l.tokens.AllowN(now, 1)
	l.stop = p.about.Stop != nil
}

// answered closes the breaker: whatever the inbox said, it is there.
func (d *Delivery) answered(dest string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lane(dest).breaker = breaker{}
}

// broke counts a failure of the inbox. An open time is at least half of its longest, or it would not be one.
func (d *Delivery) broke(dest string, now time.Time) error {
	r, err := d.random()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &d.lane(dest).breaker
	if b.failures++; b.failures >= d.cfg.BreakAfter {
		b.until = now.Add(d.cfg.Backoff.After(b.failures, (1+r)/2))
	}
	return nil
}

// breaker is the state of an inbox's breaker now.
func (d *Delivery) breaker(dest string) Breaker {
	now := d.cfg.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch b := d.lane(dest).breaker; {
	case queue.Still(b.until, now, d.cfg.Backoff.Max):
		return Open
	case b.failures >= d.cfg.BreakAfter:
		return HalfOpen
	}
	return Closed
}

// byItself reports whether a delivery failed by itself, and not by the way to its inbox: trying again will hardly help.
// An inbox that is broken for everything answers so to everything; then its breaker opens, and few are tried at all.
func byItself(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Deadline, fault.Exhausted, fault.Unauthenticated, fault.Denied: // Denied: it does not take us for its hub
		return false
	}
	reason := fault.From(err).Reason
	return reason != "PEER_IDENTITY" && reason != "ADDRESS_NOT_ALLOWED" // somebody else has the address, or it leads astray
}

// atFault reports whether a send could not begin by the delivery itself. What of ours all of them lack, such as a key of
// the vault, an anchor or its list, may come back: none is parked for that.
func atFault(err error) bool {
	switch fault.From(err).Reason {
	case "CERTIFICATE_ANCHOR", "CERTIFICATE_LIST":
		return false
	}
	return byItself(err) && fault.KindOf(err) != fault.Precondition
}

// random draws the jitter: evenly from 0 up to but not 1.
func (d *Delivery) random() (float64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b [8]byte
	if _, err := d.cfg.Rand.Read(b[:]); err != nil {
		return 0, fault.From(err)
	}
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53), nil
}
