//go:build crash

package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/examples/forms"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// driver is the people of a world: clerks at the desks and workers at the inboxes, and the ledger.
type driver struct {
	*world
	*ledger
	random *rand.Rand // of the driver's own goroutine; a burst draws all it needs before it begins
	kinds  []string   // the example forms it may hand in
}

// newDriver starts the ledger of a world that serves, in which nothing has happened yet, when both desks can take forms:
// a new one needs its first directory.
func newDriver(w *world, seed uint64) *driver {
	d := &driver{world: w, ledger: newLedger(), random: rand.New(rand.NewPCG(seed, 1)), kinds: []string{"shared_in_full"}}
	for _, desk := range desks {
		id := d.anotherForm()
		d.forms[id].desk = desk
		end := time.Now().Add(patience)
		for d.submits(id)(context.Background()); d.forms[id].ids == nil; d.submits(id)(context.Background()) {
			if time.Now().After(end) {
				w.t.Fatalf("%s takes no form\n%s", desk, w.tail(desk))
			}
		}
	}
	d.kinds = kinds()
	return d
}

// action is one thing that a person does, such that nothing in it is left to chance.
type action func(context.Context)

// burst is n actions drawn at random.
func (d *driver) burst(n int) []action {
	var actions []action
	for range n {
		switch draw := d.random.IntN(10); {
		case draw < 6:
			actions = append(actions, d.submits(d.anotherForm()))
		case draw < 7:
			actions = append(actions, d.submits(d.anyForm()))
		case draw < 9:
			actions = append(actions, d.withdraws())
		default:
			actions = append(actions, d.answers())
		}
	}
	return actions
}

// do does the actions, a few at once as at several counters, and calls each after every one of them.
func (d *driver) do(ctx context.Context, actions []action, each func()) {
	var counters sync.WaitGroup
	next := make(chan action, len(actions))
	for _, a := range actions {
		next <- a
	}
	close(next)
	for range 3 {
		counters.Go(func() {
			for a := range next {
				a(ctx)
				each()
			}
		})
	}
	counters.Wait()
}

// doUntil begins the actions and returns when so many have an answer: how many have by now, and what closes when all have.
func (d *driver) doUntil(ctx context.Context, actions []action, answers int64) (*atomic.Int64, <-chan struct{}) {
	var done atomic.Int64
	reached, ended := make(chan struct{}), make(chan struct{})
	if answers == 0 {
		close(reached)
	}
	go func() {
		defer close(ended)
		d.do(ctx, actions, func() {
			if done.Add(1) == answers {
				close(reached)
			}
		})
	}()
	<-reached
	return &done, ended
}

// anotherForm notes a new form in the ledger and returns its id.
func (d *driver) anotherForm() string {
	id := d.uuid()
	fields := map[string]any{}
	b := must(forms.Files.ReadFile(d.kinds[d.random.IntN(len(d.kinds))] + ".json"))(d.t)
	if err := json.Unmarshal(b, &fields); err != nil {
		d.t.Fatal(err)
	}
	fields["form_id"] = id
	// Another person every time: the same content about the same person is not sent twice.
	fields["prison_number"] = fmt.Sprintf("%c%04d%cZ", 'A'+d.random.IntN(26), d.random.IntN(10000), 'A'+d.random.IntN(26))
	d.handIn(id, desks[d.random.IntN(len(desks))], must(json.Marshal(fields))(d.t))
	return id
}

// uuid is a random UUIDv4 of the driver's seed.
func (d *driver) uuid() string {
	a, b := d.random.Uint64(), d.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

// anyForm is a form that was handed in before, whether or not it was acknowledged.
func (d *driver) anyForm() string {
	return d.order[d.random.IntN(len(d.order))]
}

// submits hands a form in. An error is no finding: a clerk whose desk does not answer knows that nothing is promised.
func (d *driver) submits(id string) action {
	f := d.forms[id]
	desk := d.parties[f.desk]
	return func(ctx context.Context) {
		out, err := localv1.NewDeskServiceClient(desk.conn).SubmitForm(ctx, &localv1.SubmitFormRequest{FormJson: f.json})
		if err != nil {
			return
		}
		var ids []string
		for _, n := range out.GetNotifications() {
			ids = append(ids, n.GetId())
		}
		for _, finding := range d.acknowledged(id, ids) {
			d.t.Error(finding)
		}
	}
}

// withdraws withdraws what was acknowledged some time before, at its own desk.
func (d *driver) withdraws() action {
	d.ledger.mu.Lock()
	defer d.ledger.mu.Unlock()
	var ids [][2]string
	for _, f := range d.forms {
		for _, id := range f.ids {
			ids = append(ids, [2]string{f.desk, id})
		}
	}
	slices.SortFunc(ids, func(a, b [2]string) int { return strings.Compare(a[1], b[1]) })
	if len(ids) == 0 {
		return func(context.Context) {}
	}
	chosen := ids[d.random.IntN(len(ids))]
	if !d.withdrawn[chosen[1]] {
		d.withdrawn[chosen[1]] = false
	}
	return d.withdrawing(chosen[0], chosen[1])
}

// withdrawing withdraws a notification that stands in the ledger as tried.
func (d *driver) withdrawing(desk, id string) action {
	at := d.parties[desk]
	return func(ctx context.Context) {
		_, err := localv1.NewDeskServiceClient(at.conn).WithdrawNotification(ctx, &localv1.WithdrawNotificationRequest{
			Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE})
		if err != nil {
			return
		}
		d.ledger.mu.Lock()
		defer d.ledger.mu.Unlock()
		d.withdrawn[id] = true
	}
}

// answers answers the stop requests that a team sees.
func (d *driver) answers() action {
	inbox := d.parties[inboxes[d.random.IntN(len(inboxes))]]
	return func(ctx context.Context) {
		team := localv1.NewTeamServiceClient(inbox.conn)
		list, err := team.ListItems(ctx, &localv1.ListItemsRequest{})
		if err != nil {
			return
		}
		for _, i := range list.GetItems() {
			if i.GetStop() != nil && i.GetStop().GetAnswer() == 0 {
				_, _ = team.AnswerStop(ctx, &localv1.AnswerStopRequest{Id: i.GetId(), Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED})
				return
			}
		}
	}
}

// look reads every list. All parties must serve.
func (d *driver) look() seen {
	d.t.Helper()
	s, err := d.lists()
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *driver) lists() (seen, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := seen{desks: map[string][]*localv1.Notification{}, inboxes: map[string][]*localv1.Item{}}
	for _, name := range desks {
		out, err := d.desk(name).ListNotifications(ctx, &localv1.ListNotificationsRequest{})
		if err != nil {
			return s, fmt.Errorf("%s: %w\n%s", name, err, d.tail(name))
		}
		s.desks[name] = out.GetNotifications()
	}
	for _, name := range inboxes {
		out, err := d.inbox(name).ListItems(ctx, &localv1.ListItemsRequest{})
		if err != nil {
			return s, fmt.Errorf("%s: %w\n%s", name, err, d.tail(name))
		}
		s.inboxes[name] = out.GetItems()
	}
	return s, nil
}

// settle waits until everything has come to its end, and judges. Half of what nobody acknowledged is handed in again
// first, as a clerk would who saw an error.
func (d *driver) settle() []string {
	d.t.Helper()
	var again []action
	for _, id := range d.order {
		if d.forms[id].ids == nil && d.random.IntN(2) == 0 {
			again = append(again, d.submits(id))
		}
	}
	d.do(context.Background(), again, func() {})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		s := d.look()
		open := d.open(s)
		if open == "" {
			return d.judge(s)
		}
		select {
		case <-tick.C:
		case <-end:
			return append(d.judge(s), "lost: "+open)
		}
	}
}
