package delivery_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"postern/internal/delivery"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// breaker is what Status says of an authority.
func (h *hub) breaker(authority string) delivery.Breaker {
	h.t.Helper()
	for _, d := range value(h.Status(h.t.Context()))(h.t) {
		if d.Authority == authority {
			return d.Breaker
		}
	}
	return delivery.Closed
}

// A dead inbox is tried with every delivery that is due, and after three failures in a row with one at a time, more and
// more seldom; the first that arrives lets all of them go.
func TestADeadInboxIsLeftAlone(t *testing.T) {
	h := newHub(t)
	for range 20 {
		h.share(bristol)
	}
	tries := 0
	down := true
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		tries++
		if down {
			return nil, fault.New(fault.Unavailable, "UNREACHABLE", "It does not answer.")
		}
		return h.acknowledge(to, d), nil
	})
	for h.step() {
	}
	if tries != 3 || h.breaker(bristol) != delivery.Open {
		t.Fatalf("%d tries at one moment, want 3; breaker %v", tries, h.breaker(bristol))
	}
	for range 40 { // ten hours
		h.pass(15 * time.Minute)
		if got := h.breaker(bristol); got != delivery.HalfOpen {
			t.Fatalf("breaker %v when its time is over", got)
		}
		before := tries
		for h.step() {
		}
		if tries != before+1 {
			t.Fatalf("%d probes at one moment, want 1", tries-before)
		}
	}
	down = false
	h.pass(5 * time.Minute)
	for h.step() {
	}
	if n := h.records(schema.HubOutbox); n != 0 || h.breaker(bristol) != delivery.Closed || len(h.received()) != 20 {
		t.Errorf("%d still wait; %d settled; breaker %v", n, len(h.received()), h.breaker(bristol))
	}
}

// While the breaker of one inbox is open, nobody else waits, and its own desks hear in time.
func TestAnOpenBreakerDelaysNoOtherAndNoNews(t *testing.T) {
	h := newHub(t)
	h.listen("lancs.test:1", h.honest(func(*posternv1.Delivery) {}))
	for range 5 {
		h.share(bristol)
	}
	for h.step() {
	}
	h.restart(func(c *delivery.Config) {
		c.Backoff = queue.Backoff{Base: 1000 * time.Hour, Max: 1000 * time.Hour}
		c.BreakAfter = 1
	})
	h.pass(11 * time.Hour)
	h.step() // opens for longer than anything lives
	h.share(lancs)
	if h.step(); h.breaker(bristol) != delivery.Open || len(h.received()) != 1 {
		t.Fatalf("breaker %v, %d settled", h.breaker(bristol), len(h.received()))
	}
	h.pass(time.Hour)
	for h.step() {
	}
	if all := h.received(); len(all) != 6 || all[5].Leaf.Kind != logv1.Kind_KIND_UNDELIVERED || len(h.updates()) != 6 {
		t.Errorf("%d events, %d updates, want 6 of each", len(all), len(h.updates()))
	}
}

func TestAnInboxGetsNoMoreAtOnceThanItsTokens(t *testing.T) {
	h := newHub(t)
	h.restart(func(c *delivery.Config) { c.Rate, c.Burst = rate.Limit(2), 5 })
	sent := map[string]int{}
	for _, address := range []string{"bristol.test:1", "lancs.test:1"} {
		h.listen(address, h.honest(func(*posternv1.Delivery) { sent[address]++ }))
	}
	for range 20 {
		h.share(bristol)
	}
	h.share(lancs)
	for h.step() {
	}
	if sent["bristol.test:1"] != 5 || sent["lancs.test:1"] != 1 {
		t.Fatalf("at once: %v, want a burst of 5", sent)
	}
	for second := 1; second <= 7; second++ {
		h.pass(time.Second)
		for h.step() {
		}
		if got := sent["bristol.test:1"]; got != 5+2*second {
			t.Fatalf("after %d seconds %d were sent", second, got)
		}
	}
}

// One line more than may be under way waits until another has ended, and no longer.
func TestSendsUnderWayAreBounded(t *testing.T) {
	h := newHub(t)
	h.restart(func(c *delivery.Config) { c.MaxInFlight = 1; c.IdlePoll = time.Millisecond })
	started, release := make(chan string, 2), make(chan struct{})
	for _, address := range []string{"bristol.test:1", "lancs.test:1"} {
		h.listen(address, func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
			started <- address
			<-release
			return h.acknowledge(to, d), nil
		})
	}
	h.share(bristol)
	h.share(lancs)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	first := <-started
	h.Wake()
	if worked := h.step(); worked || len(started) != 0 {
		t.Error("a second send began while one may be under way")
	}
	release <- struct{}{}
	if second := <-started; second == first {
		t.Errorf("%s twice", first)
	}
	release <- struct{}{}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// told is the last that the desk is told of a notification.
func (h *hub) told(id string) (last *posternv1.Update) {
	h.t.Helper()
	for _, u := range h.updates() {
		if u.GetNotificationId() == id {
			last = u
		}
	}
	return last
}

// Poison: a delivery that its inbox never takes, or that makes the sender panic, holds up no other of its line, is
// parked after eight tries, and is sent again when somebody says so.
func TestPoisonIsParkedAndSentAgain(t *testing.T) {
	for name, poison := range map[string]struct {
		answer func() (*posternv1.DeliverResponse, error)
		why    string
	}{
		"an error each time": {func() (*posternv1.DeliverResponse, error) {
			return nil, fault.New(fault.Internal, "INTERNAL", "Something went wrong on the other side.")
		}, "FAILS_EACH_TIME"},
		"too large": {func() (*posternv1.DeliverResponse, error) {
			return nil, fault.New(fault.Invalid, "MESSAGE_TOO_LARGE", "Too large.")
		}, "FAILS_EACH_TIME"},
		"a bad answer": {func() (*posternv1.DeliverResponse, error) { return &posternv1.DeliverResponse{}, nil }, "ANSWER_NOT_VERIFIED"},
		"a panic":      {func() (*posternv1.DeliverResponse, error) { panic("canary") }, "SEND_PANICKED"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			bad, _ := h.share(bristol)
			tries, healed, others := 0, false, 0
			h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
				if m := manifestOf(d); !healed && string(m) == string(h.release(bad).Manifest) {
					tries++
					return poison.answer()
				}
				others++
				return h.acknowledge(to, d), nil
			})
			for i := range 8 {
				if len(value(h.DeadLetters(t.Context()))(t)) != 0 {
					t.Fatalf("parked after %d tries", i)
				}
				h.share(bristol)
				for h.step() {
				}
				if others != i+1 {
					t.Fatalf("round %d: %d others came", i, others)
				}
				h.restart(nil) // the count is kept
				h.pass(5 * time.Minute)
			}
			letters := value(h.DeadLetters(t.Context()))(t)
			if len(letters) != 1 || letters[0].NotificationID != bad || letters[0].Why != poison.why || tries != 8 {
				t.Fatalf("after %d tries: %+v", tries, letters)
			}
			if got := h.told(bad); got.GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_UNDELIVERED {
				t.Errorf("the desk is told %v", got.GetUpdate())
			}
			healed = true
			if _, err := h.Requeue(t.Context(), "PN-2222-2222"); fault.KindOf(err) != fault.NotFound {
				t.Errorf("something else was sent again: %v", err)
			}
			if got := value(h.Requeue(t.Context(), bad))(t); len(got) != 1 {
				t.Errorf("sent again: %v", got)
			}
			for h.step() {
			}
			if others != 9 || len(value(h.DeadLetters(t.Context()))(t)) != 0 {
				t.Errorf("%d came after it was sent again", others)
			}
			if got := h.told(bad); got.GetAcknowledgement() == nil {
				t.Errorf("the desk is told %v", got.GetUpdate())
			}
			if strings.Contains(h.log.String(), "canary") {
				t.Error("the log quotes what panicked")
			}
		})
	}
}

// A stop request goes before all notifications that wait, however many.
func TestAStopRequestGoesFirst(t *testing.T) {
	h := newHub(t)
	for range 3 {
		h.share(bristol)
	}
	_, err := h.stop("some id", make([]byte, 32), nil)
	must(t, err)
	var came []bool
	h.listen("bristol.test:1", func(_ context.Context, _ identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		came = append(came, d.GetStopRequest() != nil)
		return nil, fault.New(fault.Unavailable, "UNREACHABLE", "It does not answer.")
	})
	h.step()
	if len(came) != 1 || !came[0] {
		t.Errorf("came: stop requests %v", came)
	}
}

// A hub that is an old copy, as an inbox knows, sends nothing; and it gives up nothing for that, however often it tries.
// What all deliveries lack is not the fault of one.
func TestWhatTheHubLacksParksNothing(t *testing.T) {
	h := newHub(t)
	id, _ := h.share(bristol)
	came := 0
	h.listen("bristol.test:1", h.honest(func(*posternv1.Delivery) { came++ }))
	h.Heard(bristol, []*posternv1.KnownLog{{Origin: h.ledger.Origin(ledger.Sent), Size: 1 << 40}})
	for range 20 {
		h.step()
		h.pass(5 * time.Minute)
	}
	if n := len(value(h.DeadLetters(t.Context()))(t)); n != 0 || came != 0 || h.told(id) != nil {
		t.Fatalf("%d given up, %d came, told %v", n, came, h.told(id))
	}
	h.restart(nil) // on the right copy
	for h.step() {
	}
	if came != 1 {
		t.Errorf("%d came", came)
	}
}
