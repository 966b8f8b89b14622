package testkit_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

func collecting(c *testkit.Config) { c.Register.Collect = []string{testkit.Bristol} }

// ways are an inbox that is sent to and one that collects: everything below holds for both.
var ways = map[string]func(*testkit.Config){"push": func(*testkit.Config) {}, "collect": collecting}

// kinds counts the events of a kind.
func kinds(t *testing.T, x *testkit.Exchange, kind logv1.Kind) (n int) {
	t.Helper()
	_, err := x.Ledger.Events(t.Context(), "", 1<<30, func(e ledger.Logged) (bool, error) {
		if e.Leaf.Kind == kind {
			n++
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rows counts what a keyspace of the hub holds.
func rows(t *testing.T, x *testkit.Exchange, ks store.Keyspace) (n int) {
	t.Helper()
	err := x.Store.View(t.Context(), func(s store.Snapshot) error {
		return s.Scan(ks, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// settle lets everything come to rest, also what waits for its backoff.
func settle(x *testkit.Exchange) {
	for range 3 {
		x.Clock.Advance(2 * testkit.MaxWait)
		x.Settle()
	}
}

func TestACollectingInboxGetsWhatIsItsOwn(t *testing.T) {
	x := testkit.NewExchange(t, collecting)
	in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
	var ids []string
	for range 3 {
		ids = append(ids, d.Take(formtest.New(testkit.Bristol))...)
	}
	x.Settle()
	for _, id := range ids {
		if s := d.State(id); s != localv1.State_STATE_DELIVERED {
			t.Errorf("state %v", s)
		}
	}
	if n := len(in.Items()); n != 3 || kinds(t, x, logv1.Kind_KIND_DELIVERED) != 3 || rows(t, x, schema.HubOutbox) != 0 {
		t.Errorf("%d items, %d events", n, kinds(t, x, logv1.Kind_KIND_DELIVERED))
	}
	// A stop request goes the same way, and what is withdrawn before it was collected never goes.
	late := d.Take(formtest.New(testkit.Bristol))[0]
	if _, err := d.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{ids[0], late} {
		if _, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff); err != nil {
			t.Fatal(err)
		}
	}
	x.Settle()
	stopped := 0
	for _, it := range in.Items() {
		if it.GetStop() != nil {
			stopped++
		}
	}
	if len(in.Items()) != 3 || stopped != 1 || d.State(ids[0]) != localv1.State_STATE_STOP_ASKED || d.State(late) != localv1.State_STATE_WITHDRAWN {
		t.Errorf("%d items, %d stopped; states %v and %v", len(in.Items()), stopped, d.State(ids[0]), d.State(late))
	}
}

func TestAnInboxIsSentToOrCollectsAndNeverBoth(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	if _, err := in.StepCollect(t.Context()); fault.From(err).Reason != "NOT_COLLECTING" {
		t.Errorf("an inbox that is sent to collects: %v", err)
	}
	x = testkit.NewExchange(t, collecting)
	x.Inbox(testkit.Bristol).Link.Requests(func(_ string, b []byte) []byte {
		t.Error("an inbox that collects was sent to")
		return b
	})
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	settle(x)
	if len(x.Inbox(testkit.Bristol).Items()) != 1 {
		t.Error("it did not collect either")
	}
}

// A stream that waits hands over what comes, and ends when it is cut.
func TestAStreamWaitsForWhatComes(t *testing.T) {
	x := testkit.NewExchange(t, collecting)
	in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
	stream, err := posternv1.NewMailboxServiceClient(in.ToHub).Collect(t.Context(), &posternv1.CollectRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(2) {
		d.Take(formtest.New(testkit.Bristol))
		if _, err := d.StepSpool(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || got.GetDelivery().GetSequence() != n+1 || got.GetDelivery().GetReceipt() == nil {
			t.Fatalf("got %v, %v", got, err)
		}
		answer, err := in.Client().Deliver(t.Context(), &posternv1.DeliverRequest{Delivery: got.GetDelivery()})
		if err != nil {
			t.Fatal(err)
		}
		report := &posternv1.ReportRequest{Signed: answer.GetAcknowledgement(), DeliveryId: got.GetDelivery().GetDeliveryId(), Held: answer.GetHeld()}
		var first *posternv1.ReportResponse
		for range 2 { // the same again changes nothing and proves the same event
			said, err := posternv1.NewMailboxServiceClient(in.ToHub).Report(t.Context(), report)
			if err != nil || first != nil && string(said.GetReceipt().GetLeaf()) != string(first.GetReceipt().GetLeaf()) {
				t.Fatalf("said %v, %v", said, err)
			}
			first = said
		}
	}
	in.ToHub.Down(true)
	if _, err := stream.Recv(); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a stream that was cut ended with %v", err)
	}
	if n := kinds(t, x, logv1.Kind_KIND_DELIVERED); n != 2 {
		t.Errorf("%d deliveries recorded, want 2", n)
	}
}

// Whatever breaks and whenever: each is shown once, acknowledged, and recorded as delivered once; and what was
// withdrawn is never in view at the end.
func TestCollectingOverEveryBreak(t *testing.T) {
	for seed := range uint64(testkit.N(12, 300)) {
		r := rand.New(rand.NewPCG(seed, 7))
		x := testkit.NewExchange(t, collecting)
		in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
		var ids []string
		withdrawn := map[string]bool{}
		for range 12 {
			switch r.IntN(8) {
			case 0, 1:
				ids = append(ids, d.Take(formtest.New(testkit.Bristol))...)
			case 2:
				in.ToHub.LoseAnswers(1 + r.IntN(2))
			case 3:
				in.Restart()
			case 4:
				x.RestartHub()
			case 5:
				x.Clock.Advance(time.Duration(r.IntN(40)) * time.Second)
			case 6:
				in.ToHub.Down(true)
				_, err := in.StepCollect(t.Context())
				in.ToHub.Down(false)
				if err == nil {
					t.Fatal("it collected over a link that is cut")
				}
			case 7:
				if len(ids) > 0 {
					id := ids[r.IntN(len(ids))]
					withdrawn[id] = true
					if _, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff); err != nil {
						t.Fatal(err)
					}
				}
			}
			_, err := d.StepSpool(t.Context())
			_, err2 := in.StepCollect(t.Context())
			_, _ = err, errors.Join(err2) // what is cut off fails, and is tried again
		}
		in.ToHub.LoseAnswers(0)
		settle(x)
		shown := map[string]int{}
		for _, it := range in.Items() {
			if shown[it.GetId()]++; withdrawn[it.GetId()] && it.GetStop() == nil {
				t.Errorf("seed %d: what was withdrawn is in view", seed)
			}
		}
		want := 0
		for _, id := range ids {
			if shown[id] > 1 || shown[id] == 0 && !withdrawn[id] {
				t.Errorf("seed %d: shown %d times", seed, shown[id])
			}
			if !withdrawn[id] {
				want++
				if s := d.State(id); s != localv1.State_STATE_DELIVERED {
					t.Errorf("seed %d: state %v", seed, s)
				}
			}
		}
		if n := kinds(t, x, logv1.Kind_KIND_DELIVERED); n < want || rows(t, x, schema.HubOutbox) != 0 {
			t.Errorf("seed %d: %d delivered, want at least %d; %d still wait", seed, n, want, rows(t, x, schema.HubOutbox))
		}
		if t.Failed() {
			return
		}
	}
}

// An inbox is restored from a copy that is older than what it acknowledged: it gets that again and shows each once. No
// desk hears of it, and nothing is decided again, not even when the decisions have ended.
func TestARestoredInboxGetsAgainWhatItLost(t *testing.T) {
	for way, edit := range ways {
		for _, later := range []time.Duration{0, 13 * 24 * time.Hour} {
			t.Run(way+" "+later.String(), func(t *testing.T) {
				x := testkit.NewExchange(t, edit)
				in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
				take := func() string {
					id := d.Take(formtest.New(testkit.Bristol))[0]
					x.Settle()
					return id
				}
				take()
				copied := in.Backup()
				ids := []string{take(), take(), take()}
				if _, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: ids[1], Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff); err != nil {
					t.Fatal(err)
				}
				x.Settle()
				told := rows(t, x, schema.HubUpdate)
				decided := kinds(t, x, logv1.Kind_KIND_DECIDED)
				x.Clock.Advance(later)

				in.Restore(copied)
				if n := len(in.Items()); n != 1 {
					t.Fatalf("the copy has %d items", n)
				}
				settle(x)
				items := in.Items()
				if len(items) != 3 || slices.ContainsFunc(items, func(i *localv1.Item) bool { return i.GetId() == ids[1] }) {
					t.Errorf("%d items, want the one of the copy and the two that were not withdrawn", len(items))
				}
				if rows(t, x, schema.HubUpdate) != told || kinds(t, x, logv1.Kind_KIND_DECIDED) != decided {
					t.Error("a desk heard of it, or it was decided again")
				}
				// What comes next is counted again, and nothing comes twice any more.
				settle(x)
				delivered := kinds(t, x, logv1.Kind_KIND_DELIVERED)
				take()
				settle(x)
				if n := kinds(t, x, logv1.Kind_KIND_DELIVERED); n != delivered+1 || len(in.Items()) != 4 || rows(t, x, schema.HubOutbox) != 0 {
					t.Errorf("%d deliveries more, %d items", n-delivered, len(in.Items()))
				}
			})
		}
	}
}

// What was withdrawn of a notification that the team has does not come again to an inbox that has lost it; the rest does,
// and the desk hears of nothing but the withdrawal.
func TestARestoredInboxDoesNotGetAgainWhatWasWithdrawn(t *testing.T) {
	for way, edit := range ways {
		for _, when := range []string{"before it was lost", "while it comes again"} {
			t.Run(way+" "+when, func(t *testing.T) {
				x := testkit.NewExchange(t, edit)
				in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
				copied := in.Backup()
				id := d.Take(formtest.New(testkit.Bristol))[0]
				x.Settle()
				before := in.Items()[0].GetPaths()
				withdraw := func() {
					req := &localv1.WithdrawNotificationRequest{Id: id, Paths: []string{"child/1/school"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}
					if _, err := d.Withdraw(t.Context(), req, testkit.Staff); err != nil {
						t.Fatal(err)
					}
				}
				told := rows(t, x, schema.HubUpdate)
				if when == "before it was lost" {
					withdraw()
					x.Settle()
					in.Restore(copied)
				} else {
					in.Restore(copied)
					if _, err := in.StepResume(t.Context()); err != nil { // it is in the outbox once more
						t.Fatal(err)
					}
					withdraw()
					if _, err := d.StepSpool(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				look := func(d *posternv1.Delivery) {
					for _, s := range d.GetNotification().GetSections() {
						if s.GetPath() == "child/1/school" {
							t.Error("what was withdrawn is sent again")
						}
					}
				}
				in.Link.Requests(func(_ string, b []byte) []byte {
					m := &posternv1.DeliverRequest{}
					if err := proto.Unmarshal(b, m); err != nil {
						t.Error(err)
					}
					look(m.GetDelivery())
					return b
				})
				in.ToHub.CarryStreams(func(_ string, _ []byte, open func() (func() ([]byte, error), func())) (func() ([]byte, error), func(), error) {
					next, stop := open()
					return func() ([]byte, error) {
						b, err := next()
						m := &posternv1.CollectResponse{}
						if err := proto.Unmarshal(b, m); err != nil {
							t.Error(err)
						}
						look(m.GetDelivery())
						return b, err
					}, stop, nil
				})
				settle(x)
				items := in.Items()
				if len(items) != 1 || len(items[0].GetPaths()) != len(before)-1 || slices.Contains(items[0].GetPaths(), "child/1/school") {
					t.Errorf("the inbox has %v", items)
				}
				if n := rows(t, x, schema.HubUpdate); n != told+1 {
					t.Errorf("the desk heard %d things, want that its team was asked to stop", n-told)
				}
			})
		}
	}
}

// Content goes on schedule, with a leaf for each; what an inbox loses after that is lost, and it counts on all the same.
func TestContentGoesOnSchedule(t *testing.T) {
	x := testkit.NewExchange(t)
	in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
	copied := in.Backup()
	for range 3 {
		d.Take(formtest.New(testkit.Bristol))
		x.Settle()
	}
	retain := func() (n int) {
		for {
			worked, err := x.Hub.StepRetention(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !worked {
				return n
			}
			n++
		}
	}
	x.Clock.Advance(14*24*time.Hour - time.Second)
	if retain() != 0 || rows(t, x, schema.HubOutboxBody) != 3 {
		t.Fatalf("%d contents are left before their time", rows(t, x, schema.HubOutboxBody))
	}
	x.Clock.Advance(time.Second)
	if retain() == 0 || rows(t, x, schema.HubOutboxBody)+rows(t, x, schema.HubKept) != 0 || kinds(t, x, logv1.Kind_KIND_ERASED) != 3 {
		t.Errorf("%d contents are left, %d leaves", rows(t, x, schema.HubOutboxBody), kinds(t, x, logv1.Kind_KIND_ERASED))
	}
	in.Restore(copied)
	settle(x)
	d.Take(formtest.New(testkit.Bristol))
	settle(x)
	if n := len(in.Items()); n != 1 || rows(t, x, schema.HubOutbox) != 0 || kinds(t, x, logv1.Kind_KIND_DELIVERED) != 4 {
		t.Errorf("%d items, %d delivered", n, kinds(t, x, logv1.Kind_KIND_DELIVERED))
	}
}

// An inbox that has everything and says, for ever, that it has nothing must not be sent the same for ever.
func TestAnInboxThatNeverCountsIsNotSentToForEver(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	in.Link.Answers(func(_ string, b []byte) []byte {
		answer := &posternv1.DeliverResponse{}
		if err := proto.Unmarshal(b, answer); err != nil {
			t.Fatal(err)
		}
		answer.Held = &posternv1.Held{}
		b, err := proto.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	settle(x) // fails when the exchange does not come to rest
	if n := kinds(t, x, logv1.Kind_KIND_DELIVERED); n < 2 || n > 10 || len(in.Items()) != 1 {
		t.Errorf("delivered %d times, %d items", n, len(in.Items()))
	}
}

// An inbox that is put back weeks later, from a copy that still shows what was withdrawn since, is asked to stop once more:
// a stop request is kept longer than any content.
func TestAnInboxPutBackWeeksLaterIsAskedToStopAgain(t *testing.T) {
	for way, edit := range ways {
		t.Run(way, func(t *testing.T) {
			x := testkit.NewExchange(t, edit)
			in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
			id := d.Take(formtest.New(testkit.Bristol))[0]
			x.Settle()
			copied := in.Backup()
			_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
			if err != nil {
				t.Fatal(err)
			}
			x.Settle()
			for range 20 {
				x.Clock.Advance(24 * time.Hour)
				x.Settle()
				for worked := true; worked; {
					if worked, err = x.Hub.StepRetention(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			in.Restore(copied)
			x.Clock.Advance(testkit.MaxWait)
			x.Settle()
			if items := in.Items(); len(items) != 1 || items[0].GetStop() == nil {
				t.Errorf("the team sees %v", items)
			}
		})
	}
}
