package delivery_test

import (
	"context"
	"testing"
	"time"

	"postern/internal/delivery"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// rest steps until there is nothing to do.
func (h *hub) rest() {
	h.t.Helper()
	for h.step() {
	}
}

// What is put into the outbox while the clock is ahead goes when the clock is right, a stop request too; and so does what
// was tried meanwhile.
func TestWhatWasPutWhileTheClockWasAheadGoes(t *testing.T) {
	h := newHub(t)
	h.share(bristol)
	h.rest() // nobody listens
	for _, ahead := range []time.Duration{12 * time.Hour, 10 * 365 * 24 * time.Hour} {
		h.pass(ahead)
		h.share(lancs)
		_, err := h.stop("some id", make([]byte, 32), nil)
		must(t, err)
		h.pass(-ahead)
	}
	h.pass(11 * time.Hour)
	h.rest()
	h.pass(-11 * time.Hour)
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		if d.GetStopRequest() != nil {
			return h.stopped(to, d), nil
		}
		return h.acknowledge(to, d), nil
	})
	h.listen("lancs.test:1", h.honest(func(*posternv1.Delivery) {}))
	h.pass(5 * time.Minute)
	h.rest()
	if all := h.received(); len(all) != 5 || h.records(schema.HubOutbox) != 0 || h.records(schema.HubKept) != 5 {
		t.Errorf("%d of 5 have arrived; %d wait", h.records(schema.HubKept), h.records(schema.HubOutbox))
	}
}

// It waits for its backoff as anything does, and its desk hears in time that it was not delivered: the patience of its
// authority is counted from when it was found.
func TestWhatWasPutWhileTheClockWasAheadIsGivenUpInTime(t *testing.T) {
	h := newHub(t)
	tries := 0
	h.listen("bristol.test:1", func(context.Context, identity.Party, *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		tries++
		return nil, fault.New(fault.Unavailable, "UNREACHABLE", "It does not answer.")
	})
	h.pass(60 * 24 * time.Hour)
	h.share(bristol)
	h.pass(-60 * 24 * time.Hour)
	for range 12 * 60 {
		h.rest()
		if len(h.received()) != 0 {
			t.Fatalf("given up at %v", h.clock())
		}
		h.pass(time.Minute)
	}
	h.rest()
	if all := h.received(); len(all) != 1 || all[0].Leaf.Kind != logv1.Kind_KIND_UNDELIVERED || tries < 100 || tries > 400 {
		t.Errorf("%v after %d tries in twelve hours", all, tries)
	}
}

// A clock that is behind for a moment makes nothing older than it is.
func TestAClockThatWasBehindGivesNothingUp(t *testing.T) {
	h := newHub(t)
	h.share(bristol)
	h.rest()
	h.pass(-20 * 365 * 24 * time.Hour)
	h.rest()
	h.pass(20*365*24*time.Hour + 5*time.Minute)
	h.rest()
	if it, ok := h.head(bristol); !ok || len(h.received()) != 0 {
		t.Fatalf("%v, and %v", it, h.received())
	}
	h.pass(12*time.Hour - 5*time.Minute)
	h.rest()
	if len(h.received()) != 1 {
		t.Error("its desk does not hear in time")
	}
}

// An inbox that did not answer while the clock was ahead is tried when the clock is right.
func TestABreakerOfAClockThatWasAheadCloses(t *testing.T) {
	h := newHub(t)
	h.pass(12 * time.Hour)
	for range 4 {
		h.share(bristol)
	}
	h.rest()
	if h.breaker(bristol) != delivery.Open {
		t.Fatal("it is not open")
	}
	h.pass(-12 * time.Hour)
	if got := h.breaker(bristol); got != delivery.HalfOpen {
		t.Errorf("breaker %v", got)
	}
	h.listen("bristol.test:1", h.honest(func(*posternv1.Delivery) {}))
	h.rest()
	if n := h.records(schema.HubKept); n != 4 {
		t.Errorf("%d of 4 have arrived", n)
	}
}

// An answer that is awaited from an inbox that collects is not awaited for as long as the clock was ahead.
func TestAnAnswerOfAClockThatWasAheadIsNotAwaited(t *testing.T) {
	h := newHub(t)
	h.directory = h.newDirectory(2, collecting)
	h.share(bristol)
	h.share(bristol)
	h.pass(12*time.Hour - time.Minute)
	first := value(h.Next(t.Context(), bristol))(t)
	h.pass(time.Minute - 12*time.Hour)
	if h.Awaits(bristol) {
		t.Error("its answer is awaited")
	}
	if next := value(h.Next(t.Context(), bristol))(t); first == nil || next == nil {
		t.Errorf("first %v, then %v", first, next)
	}
}

// However long an inbox says that it wants to be left alone, it is tried again within the hour.
func TestAnInboxPutsNothingOffForLongerThanAnHour(t *testing.T) {
	h := newHub(t)
	_, err := h.stop("some id", make([]byte, 32), nil)
	must(t, err)
	tries := 0
	h.listen("bristol.test:1", func(context.Context, identity.Party, *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		tries++
		f := fault.New(fault.Exhausted, "FULL", "Come again in three months.")
		f.RetryAfter = 90 * 24 * time.Hour
		return nil, f
	})
	for range 12 {
		h.rest()
		h.pass(time.Hour)
	}
	if tries != 12 {
		t.Errorf("%d tries in twelve hours", tries)
	}
}
