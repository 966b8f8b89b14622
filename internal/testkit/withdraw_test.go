package testkit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// story is one notification and its withdrawal, with whatever may come between.
type story struct {
	*testkit.Exchange
	t    *testing.T
	desk *testkit.Desk
	id   string

	taken   bool
	copies  []*posternv1.DeliverRequest // every send of the notification, as on the wire
	began   bool                        // a send began before the withdrawal was in the hub's database
	replays bool                        // a late copy is on its way, which the hub does not send
	after   int                         // sends that began after it
}

func newStory(t *testing.T) *story {
	x := testkit.NewExchange(t)
	s := &story{Exchange: x, t: t, desk: x.Desk(testkit.HMPBristol)}
	s.id = s.desk.Take(formtest.New(testkit.Bristol))[0]
	x.Inbox(testkit.Bristol).Link.Requests(func(_ string, b []byte) []byte {
		req := &posternv1.DeliverRequest{}
		if err := proto.Unmarshal(b, req); err != nil {
			t.Error(err)
		}
		if req.GetDelivery().GetNotification() != nil && !s.replays {
			s.copies = append(s.copies, req)
			if s.withdrawn() {
				s.after++
			} else {
				s.began = true
			}
		}
		return b
	})
	return s
}

// withdrawn reports whether the hub has committed a withdrawal: from then on it may answer OK.
func (s *story) withdrawn() (yes bool) {
	err := s.Store.View(s.t.Context(), func(r store.Snapshot) error {
		return r.Scan(schema.HubWithdrawal, nil, nil, func(_, _ []byte) (bool, error) { yes = true; return false, nil })
	})
	if err != nil {
		s.t.Error(err)
	}
	return yes
}

func (s *story) take() {
	req := &localv1.WithdrawNotificationRequest{Id: s.id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}
	if id, err := s.desk.Withdraw(s.t.Context(), req, testkit.Staff); err != nil || id != s.id {
		s.t.Errorf("%s: %v", id, err)
	}
	s.taken = true
}

// late delivers a copy that was on the wire all the time.
func (s *story) late() {
	s.replays = true
	defer func() { s.replays = false }()
	for _, c := range s.copies {
		if _, err := s.Inbox(testkit.Bristol).Client().Deliver(s.t.Context(), c); err != nil {
			s.t.Error(err)
		}
	}
}

// acts are what can happen. What a step returns does not matter: a fault is part of the story.
func (s *story) acts() map[string]func() {
	ctx := s.t.Context()
	inbox := s.Inbox(testkit.Bristol)
	with := func(on, off func(), step func()) func() { return func() { on(); step(); off() } }
	submit := func() { _, _ = s.desk.StepSpool(ctx) }
	send := func() { _, _ = s.Hub.StepDelivery(ctx) }
	toHub := s.desk.Link
	return map[string]func(){
		"take":          s.take,
		"submit":        submit,
		"submit lost":   with(func() { toHub.LoseAnswers(1) }, func() { toHub.LoseAnswers(0) }, submit),
		"submit down":   with(func() { toHub.Down(true) }, func() { toHub.Down(false) }, submit),
		"submit twice":  with(func() { toHub.Duplicate(true) }, func() { toHub.Duplicate(false) }, submit),
		"send":          send,
		"send lost":     with(func() { inbox.Link.LoseAnswers(1) }, func() { inbox.Link.LoseAnswers(0) }, send),
		"send down":     with(func() { inbox.Link.Down(true) }, func() { inbox.Link.Down(false) }, send),
		"send twice":    with(func() { inbox.Link.Duplicate(true) }, func() { inbox.Link.Duplicate(false) }, send),
		"updates":       func() { _, _ = s.desk.StepUpdates(ctx) },
		"reports":       func() { _, _ = inbox.StepReports(ctx) },
		"time":          func() { s.Clock.Advance(testkit.MaxWait) },
		"late":          s.late,
		"hub crashes":   s.RestartHub,
		"desk crashes":  func() { s.desk.Restart() },
		"inbox crashes": func() { inbox.Restart() },
	}
}

func (s *story) play(names []string) {
	acts := s.acts()
	for _, name := range names {
		acts[name]()
	}
	if !s.taken {
		s.take()
	}
	for range 3 {
		s.Clock.Advance(2 * testkit.MaxWait)
		s.Settle()
	}
	s.late()
}

// check is the promise: once the withdrawal is in, no send starts; and whatever had begun, the team does not see it.
func (s *story) check() error {
	if s.after != 0 {
		return fmt.Errorf("%d sends began after the withdrawal", s.after)
	}
	want := localv1.State_STATE_WITHDRAWN
	if s.began {
		want = localv1.State_STATE_STOP_ASKED
	}
	n := s.desk.Get(s.id).GetNotification()
	if n.GetState() != want || len(n.GetWithdrawals()) != 1 || n.GetWithdrawals()[0].GetAnswer() == nil {
		return fmt.Errorf("the desk shows %v with %v, want %v", n.GetState(), n.GetWithdrawals(), want)
	}
	in := s.Inbox(testkit.Bristol)
	for _, i := range in.Items() {
		item, err := in.GetItem(s.t.Context(), &localv1.GetItemRequest{Id: i.GetId()})
		if err != nil || len(item.GetSections()) != 0 || i.GetStop() == nil {
			return fmt.Errorf("the team still sees %v (%v)", item, err)
		}
	}
	if status, err := s.Hub.GetStatus(s.t.Context(), &localv1.GetStatusRequest{}); err != nil || len(status.GetQueues()) != 0 {
		return fmt.Errorf("something still waits: %v (%v)", status.GetQueues(), err)
	}
	return nil
}

// Every order of the steps that matter, each two steps apart at most.
func TestWithdrawalAndSendInEveryOrder(t *testing.T) {
	steps := []string{"submit", "take", "submit", "send"}
	var orders [][]string
	var permute func(done, left []string)
	permute = func(done, left []string) {
		if len(left) == 0 {
			orders = append(orders, slices.Clone(done))
		}
		for i := range left {
			permute(append(done, left[i]), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	permute(nil, steps)
	slices.SortFunc(orders, slices.Compare)
	orders = slices.CompactFunc(orders, slices.Equal)
	states := map[bool]int{}
	for _, order := range orders {
		s := newStory(t)
		s.play(order)
		if err := s.check(); err != nil {
			t.Errorf("%v: %v", order, err)
		}
		states[s.began]++
	}
	if states[true] == 0 || states[false] == 0 {
		t.Errorf("only one side of the race was seen: %v", states)
	}
}

// A crash of each party between every two steps of a withdrawal that finds a send begun.
func TestWithdrawalOverCrashes(t *testing.T) {
	line := []string{"submit", "send lost", "take", "submit lost", "time", "submit", "updates", "time", "send lost", "time", "send", "reports", "updates"}
	for _, who := range []string{"hub crashes", "desk crashes", "inbox crashes"} {
		for i := range testkit.N(1, len(line)+1) {
			at := i
			s := newStory(t)
			var names []string
			for n, step := range line {
				if testkit.N(1, 0) == 1 || n == at { // ordinarily between all of them at once
					names = append(names, who)
				}
				names = append(names, step)
			}
			s.play(append(names, who))
			if err := s.check(); err != nil || !s.began {
				t.Errorf("%s before step %d: began %v, %v", who, at, s.began, err)
			}
		}
	}
}

// An inbox does not have the newest key of the log for an hour, as after a new generation, and refuses a stop request
// meanwhile. Then it has the key, and the team is asked to stop.
func TestAStopThatWasRefusedOnceComesAgain(t *testing.T) {
	s := newStory(t)
	s.Settle()
	in := s.Inbox(testkit.Bristol)
	all, sent := must(verify.NewKeys(s.Papers("/hub/main").Received...))(t), must(verify.NewKeys())(t)
	in.Restart(func(c *inbox.Config) { c.AllLogs, c.LogKeys = all, sent })
	s.take()
	s.Settle()
	s.Clock.Advance(time.Hour)
	s.Settle()
	if items := in.Items(); len(items) != 1 || items[0].GetStop() != nil {
		t.Fatalf("without the key the team sees %v", items)
	}
	in.Restart()
	s.Clock.Advance(testkit.MaxWait)
	s.Settle()
	if items := in.Items(); len(items) != 1 || items[0].GetStop() == nil || s.desk.State(s.id) != localv1.State_STATE_STOP_ASKED {
		t.Errorf("the desk shows %v, and the team sees %v", s.desk.State(s.id), items)
	}
}

func TestWithdrawalWhateverHappens(t *testing.T) {
	began := map[bool]int{}
	for range testkit.N(20, 2000) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		s := newStory(t)
		names := slices.Sorted(func(yield func(string) bool) {
			for name := range s.acts() {
				if !yield(name) {
					return
				}
			}
		})
		var played []string
		for range 14 {
			played = append(played, names[r.IntN(len(names))])
		}
		s.play(played)
		if err := s.check(); err != nil {
			t.Fatalf("seed %d, %v: %v", seed, played, err)
		}
		began[s.began]++
	}
	t.Logf("a send had begun in %d of %d", began[true], began[true]+began[false])
}
