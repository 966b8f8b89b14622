package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/delivery"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Two inboxes, one of which does not answer until the other has got everything: if one line waited for the other, this
// test would never end.
func TestASlowInboxDelaysNoOther(t *testing.T) {
	h := newHub(t)
	const each = 3
	release, started := make(chan struct{}), make(chan struct{}, each)
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		started <- struct{}{}
		<-release
		return h.acknowledge(to, d), nil
	})
	quick := make(chan uint64, each)
	h.listen("lancs.test:1", h.honest(func(d *posternv1.Delivery) { quick <- d.GetSequence() }))
	h.share(bristol)
	h.share(bristol)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() { stop(); running.Wait() }()

	<-started // the slow line is under way, and stays so
	for n := range uint64(each) {
		h.share(lancs)
		h.Wake()
		if got := <-quick; got != n+1 {
			t.Errorf("delivery %d came as number %d", n+1, got)
		}
	}
	if len(started) != 0 {
		t.Error("a line had two sends under way")
	}
	close(release)
	<-started // its second delivery follows the first
}

func TestRunEndsWithItsContextAndCutsSendsOff(t *testing.T) {
	h := newHub(t)
	started := make(chan struct{})
	h.listen("bristol.test:1", func(ctx context.Context, _ identity.Party, _ *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	h.share(bristol)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	<-started
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if it, ok := h.head(bristol); !ok || it.Attempts != 0 {
		t.Errorf("item %v: stopping is not the inbox's failure", it)
	}
}

func TestAFailureIsKeptWithItsBackoffAcrossARestart(t *testing.T) {
	h := newHub(t)
	h.share(bristol)
	for attempts := uint32(1); attempts <= 12; attempts++ {
		if !h.step() {
			t.Fatalf("attempt %d was not made when due", attempts)
		}
		it, ok := h.head(bristol)
		longest := min(time.Second<<(attempts-1), 5*time.Minute)
		wait := it.DueTime.Sub(h.clock())
		if !ok || it.Attempts != attempts || wait < 0 || wait > longest {
			t.Fatalf("after %d attempts the item has %d and waits %v, want at most %v", attempts, it.Attempts, wait, longest)
		}
		h.restart(nil)
		if wait > 0 {
			h.pass(wait - 1)
			if h.step() {
				t.Fatalf("attempt %d was made before it was due", attempts+1)
			}
			h.pass(1)
		}
	}
	if strings.Contains(h.log.String(), "canary") {
		t.Error("the log quotes a cause")
	}
	if n := len(h.received()) + len(h.updates()); n != 0 {
		t.Errorf("%d events or updates for a delivery that is still on its way", n)
	}
}

// Whatever fails and however often, each line arrives whole, in order, and is recorded once.
func TestEveryLineArrivesOnceAndInOrder(t *testing.T) {
	h := newHub(t)
	rapid.Check(t, func(t *rapid.T) {
		before, _, _ := h.ledger.Head(ledger.Received)
		script := rapid.SliceOfN(rapid.SampledFrom([]string{"ok", "refused connection", "lost answer"}), 0, 8).Draw(t, "script")
		arrived := map[string][]string{}
		for _, address := range []string{"bristol.test:1", "lancs.test:1"} {
			h.listen(address, func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
				next := "ok"
				if len(script) > 0 {
					next, script = script[0], script[1:]
				}
				if next == "refused connection" {
					return nil, errors.New("refused")
				}
				if id := d.GetDeliveryId(); !slices.Contains(arrived[to.ID], id) { // what an inbox does with a second copy
					arrived[to.ID] = append(arrived[to.ID], id)
				}
				if next == "lost answer" {
					return nil, errors.New("reset")
				}
				return h.acknowledge(to, d), nil
			})
		}
		want := map[string][]string{}
		authorities := rapid.SliceOfN(rapid.SampledFrom([]string{bristol, lancs}), 1, 4).Draw(t, "authorities")
		for i, event := range h.shareAll(authorities) {
			want[authorities[i]] = append(want[authorities[i]], fmt.Sprintf("%x", event[:4]))
		}
		for rounds := 0; h.records(schema.HubOutbox) > 0; rounds++ {
			if rounds > 50 {
				t.Fatal("the outbox does not empty")
			}
			h.step()
			h.pass(5 * time.Minute)
		}
		for authority, ids := range arrived {
			for i, id := range ids {
				ids[i] = id[:8]
			}
			if !slices.Equal(ids, want[authority]) {
				t.Fatalf("%s got %v, want %v", authority, ids, want[authority])
			}
		}
		if after, _, _ := h.ledger.Head(ledger.Received); len(arrived) != len(want) || after != before+uint64(len(authorities)) {
			t.Fatalf("%d lines and %d new events, want %d and %d", len(arrived), after-before, len(want), len(authorities))
		}
	})
}

// The hub dies after the inbox has answered and before the answer is recorded.
func TestACrashBeforeTheAnswerIsRecordedSendsAgain(t *testing.T) {
	h := newHub(t)
	var ids []string
	ctx, crash := context.WithCancel(t.Context())
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		ids = append(ids, d.GetDeliveryId())
		crash()
		return h.acknowledge(to, d), nil
	})
	h.share(bristol)
	if _, err := h.Step(ctx); err == nil {
		t.Fatal("the answer was recorded by a dead hub")
	}
	if n := len(h.received()) + len(h.updates()); n != 0 {
		t.Fatalf("%d events or updates without the transaction", n)
	}
	h.restart(nil)
	h.step()
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("sent as %v, want the same delivery twice", ids)
	}
	if h.step() || len(h.received()) != 1 || len(h.updates()) != 1 {
		t.Errorf("%d events and %d updates, want one of each", len(h.received()), len(h.updates()))
	}
}

func TestWhatIsTooLateIsNotSentAndTheDeskHears(t *testing.T) {
	for _, c := range []struct {
		name   string
		expire time.Duration // of the decision
		pass   time.Duration
		why    string // empty: it is sent
	}{
		{"the decision has expired", time.Hour, time.Hour, "DECISION_EXPIRED"},
		{"the last moment of the decision", time.Hour, time.Hour - 1, ""},
		{"the authority's patience is over", 72 * time.Hour, 12 * time.Hour, "NOT_DELIVERED_IN_TIME"},
		{"the last moment of patience", 72 * time.Hour, 12*time.Hour - 1, ""},
		{"both are over", time.Hour, 13 * time.Hour, "DECISION_EXPIRED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHub(t)
			sends := 0
			h.listen("bristol.test:1", h.honest(func(*posternv1.Delivery) { sends++ }))
			out, ev := h.outgoing(bristol)
			ev.Core.ValidUntilTime.Seconds = morning.Add(c.expire).Unix()
			ev.Core.ValidUntilTime.Nanos = int32(morning.Nanosecond())
			event := value(h.enqueue(out, ev))(t)
			h.pass(c.pass)
			if !h.step() {
				t.Fatal("nothing was due")
			}
			events := h.received()
			if len(events) != 1 || h.records(schema.HubOutbox) != 0 || h.records(schema.HubOutboxBody) != 1 {
				t.Fatalf("%d events, want 1 and an empty outbox", len(events))
			}
			if c.why == "" {
				if sends != 1 {
					t.Error("it was not sent")
				}
				return
			}
			if sends != 0 {
				t.Error("it was sent")
			}
			e := events[0]
			if e.Leaf.Kind != logv1.Kind_KIND_UNDELIVERED || e.Details.GetRefusal() != c.why || string(e.Core.GetFollowsEvent()) != string(event[:]) {
				t.Errorf("event %v %v", e.Leaf.Kind, e.Details)
			}
			if u := h.updates(); len(u) != 1 || u[0].GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_UNDELIVERED {
				t.Errorf("updates %v", u)
			}
		})
	}
}

func TestTheDeskHearsAtTheDeadlineAndNotAfterABackoff(t *testing.T) {
	h := newHub(t)
	h.restart(func(c *delivery.Config) { c.Backoff = queue.Backoff{Base: 1000 * time.Hour, Max: 1000 * time.Hour} })
	h.share(bristol)
	h.step()
	if it, _ := h.head(bristol); it.DueTime.After(morning.Add(12 * time.Hour)) {
		t.Errorf("next due %v, after the deadline", it.DueTime)
	}
	h.pass(12 * time.Hour)
	h.step()
	if len(h.received()) != 1 || len(h.updates()) != 1 {
		t.Error("the deadline passed in silence")
	}
}

func TestWithoutARouteItIsKeptAndTheDirectoryOfTheMomentCounts(t *testing.T) {
	h := newHub(t)
	var at []string
	for _, address := range []string{"bristol.test:1", "moved.test:2"} {
		h.listen(address, h.honest(func(*posternv1.Delivery) { at = append(at, address) }))
	}
	h.share(bristol)
	old := h.directory
	onlyLancs := twoAuthorities("", "")
	onlyLancs = "authorities:\n" + onlyLancs[strings.Index(onlyLancs, "  - code: "+lancs):]
	h.directory = nil
	h.step()
	for number, yaml := range []string{onlyLancs, twoAuthorities("", ""), collecting} {
		h.directory = h.newDirectory(uint64(number)+2, yaml)
		h.pass(5 * time.Minute)
		if tried := h.step(); tried == (yaml == collecting) {
			t.Fatalf("an attempt was counted: %v", tried)
		}
	}
	if it, ok := h.head(bristol); !ok || it.Attempts != 3 || len(at) != 0 || len(h.received()) != 0 {
		t.Fatalf("item %v, sent to %v", it, at)
	}
	if h.directory = old; strings.Count(h.log.String(), "NO_ENDPOINT") != 2 || strings.Count(h.log.String(), "NO_DIRECTORY") != 1 {
		t.Error("a delivery without a route is kept silently")
	}
	h.directory = h.newDirectory(5, twoAuthorities("moved.test:2", ""))
	h.pass(5 * time.Minute)
	h.step()
	if !slices.Equal(at, []string{"moved.test:2"}) {
		t.Errorf("sent to %v, want the new address only", at)
	}
}

// Whoever can write the outbox but not the ledger can release nothing.
func TestNoReceiptNoSend(t *testing.T) {
	h := newHub(t)
	sends := 0
	for _, address := range []string{"bristol.test:1", "lancs.test:1"} {
		h.listen(address, h.honest(func(*posternv1.Delivery) { sends++ }))
	}
	h.share(bristol)
	it, _ := h.head(bristol)
	q := queue.New(queue.Config{Keyspace: schema.HubOutbox})
	body := func(d *posternv1.Delivery) []byte {
		return value(h.vault.Seal(string(schema.HubOutboxBody), it.Key(), value(proto.Marshal(d))(t)))(t)
	}
	var real *posternv1.Delivery
	must(t, h.store.View(t.Context(), func(s store.Snapshot) error {
		sealed := value(s.Get(schema.HubOutboxBody, it.Key()))(t)
		real = &posternv1.Delivery{}
		return proto.Unmarshal(value(h.vault.Open(string(schema.HubOutboxBody), it.Key(), sealed))(t), real)
	}))
	more := proto.CloneOf(real)
	more.GetNotification().Sections = append(more.GetNotification().Sections, &posternv1.SealedSection{Path: "child/1/phone", Ciphertext: []byte("x")})
	other, _ := h.outgoing(bristol)
	exchanged := proto.CloneOf(real)
	exchanged.Content = &posternv1.Delivery_Notification{Notification: other.Notification}
	for _, c := range []struct {
		name   string
		change func(tx store.Tx, it queue.Item) error
	}{
		{"an event the ledger does not know", func(tx store.Tx, it queue.Item) error {
			it.Body = []byte(strings.Replace(string(it.Body), `"event_id":[`, `"event_id":[1,`, 1)) // all bytes move by one
			return q.Retry(tx, it)
		}},
		{"content that lost its seal", func(tx store.Tx, _ queue.Item) error { return tx.Put(schema.HubOutboxBody, it.Key(), []byte("x")) }},
		{"content that is gone", func(tx store.Tx, _ queue.Item) error { return tx.Delete(schema.HubOutboxBody, it.Key()) }},
		{"a section more", func(tx store.Tx, _ queue.Item) error { return tx.Put(schema.HubOutboxBody, it.Key(), body(more)) }},
		{"another notification", func(tx store.Tx, _ queue.Item) error {
			return tx.Put(schema.HubOutboxBody, it.Key(), body(exchanged))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, h.store.Update(t.Context(), func(tx store.Tx) error {
				return errors.Join(q.Retry(tx, it), tx.Put(schema.HubOutboxBody, it.Key(), body(real)), c.change(tx, it))
			}))
			h.pass(5 * time.Minute)
			if !h.step() || sends != 0 {
				t.Errorf("%d sends, want none and an attempt counted", sends)
			}
			if now, ok := h.head(bristol); !ok || now.Attempts != 1 {
				t.Errorf("item %v is not kept", now)
			}
		})
	}
	must(t, h.store.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(q.Retry(tx, it), tx.Put(schema.HubOutboxBody, it.Key(), body(real)))
	}))
	if h.step(); sends != 1 {
		t.Error("the control was not sent: the cases above prove nothing")
	}
}
