//go:build crash

package crash

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/failpoint"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

var actions = []string{"kill", "error", "delay"}

// A shot is one action at one point in one party.
type shot struct {
	point  failpoint.Point
	action string
	party  string
	at     int
	record string // the file in which its process says that it happened
}

// env arms a process with it.
func (s shot) env() []string {
	return []string{fmt.Sprintf("POSTERN_FAILPOINT=%s=%s@%d", s.point, s.action, s.at), "POSTERN_FAILPOINT_RECORD=" + s.record}
}

// line is what the process then writes.
func (s shot) line() string { return fmt.Sprintf("%s %s\n", s.point, s.action) }

func (s shot) String() string { return fmt.Sprintf("%s=%s@%d in %s", s.point, s.action, s.at, s.party) }

// born are the points that only a first start passes.
var born = map[failpoint.Point]bool{failpoint.StoreCreate: true, failpoint.StoreLink: true, failpoint.VaultKey: true,
	failpoint.VaultLinked: true, failpoint.LedgerFounded: true}

// collecting are the points on the way of an inbox that collects, and losing those of a desk whose hub lost its disk: each
// needs a world of its own.
var (
	collecting = map[failpoint.Point]bool{failpoint.HubCollect: true, failpoint.HubCollected: true, failpoint.InboxCollected: true, failpoint.InboxAccounted: true}
	losing     = map[failpoint.Point]bool{failpoint.DeskLost: true, failpoint.DeskTellAgain: true, failpoint.DeskToldAgain: true}
)

// terminal reports whether an error there leaves it unknown what is on the disk: then the process must end by itself.
func terminal(p failpoint.Point) bool {
	return p == failpoint.StoreCommit || p == failpoint.StoreCommitted || strings.HasPrefix(string(p), "ledger/")
}

// TestFailpoints has every fail-point kill, fail and delay, each in the party whose code it is in, and judges after each.
// It fails when a point was not hit.
func TestFailpoints(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var fired record
	var shots, collected, lost []shot
	for round := range testkit.N(1, 20) {
		for _, s := range draw(round) {
			switch {
			case collecting[s.point]:
				collected = append(collected, s)
			case losing[s.point]:
				if round == 0 {
					lost = append(lost, s)
				}
			default:
				shots = append(shots, s)
			}
		}
	}
	begun := time.Now()
	const perWorld = 22
	var lanes sync.WaitGroup
	var taken atomic.Int64 // worlds
	worlds := make(chan int, len(shots))
	for n := 0; n*perWorld < len(shots); n++ {
		worlds <- n
	}
	close(worlds)
	for range 3 {
		lanes.Go(func() {
			for n := range worlds {
				if n*perWorld >= len(shots)/testkit.N(1, 20) && spent(t, 10*time.Minute) { // what follows is made in full
					return
				}
				taken.Add(1)
				part := shots[n*perWorld : min(len(shots), (n+1)*perWorld)]
				t.Run(fmt.Sprintf("world %d", n), func(t *testing.T) { shoot(t, n, seed+uint64(n), false, part, &fired) })
			}
		})
	}
	lanes.Wait()
	t.Run("an inbox collects", func(t *testing.T) {
		shoot(t, 200, seed, true, collected[:min(len(collected), testkit.N(len(collected), 60))], &fired)
	})
	for n, s := range lost {
		t.Run("the hub is lost, "+s.String(), func(t *testing.T) { loseUnder(t, 201+n, seed, s, &fired) })
	}
	births := 0
	t.Run("births", func(t *testing.T) { births = birthAll(t, &fired) })
	for n, action := range actions {
		t.Run("full desk "+action, func(t *testing.T) { fullDeskWithdraws(t, n, action, &fired) })
	}
	for _, point := range failpoint.All() {
		for _, action := range actions {
			if fired.count(point, action) == 0 {
				t.Errorf("%s: never happened at %s", action, point)
			}
		}
	}
	t.Logf("%d fail-points, each killed, failed and delayed: %d times in all, %d of them at a first start; lost 0, shown twice 0, unrecorded 0; %.0f s",
		len(failpoint.All()), min(len(shots), int(taken.Load())*perWorld)+min(len(collected), testkit.N(len(collected), 60))+len(lost)+births+len(actions), births, time.Since(begun).Seconds())
}

// draw is one shot of every action at every point of a running party; in later rounds not at the first time it passes.
func draw(round int) (shots []shot) {
	for _, point := range failpoint.All() {
		family, _, _ := strings.Cut(string(point), "/")
		parties := map[string][]string{"desk": {deskBLI}, "inbox": {bristol}, "hub": {hub}, "ledger": {hub}, "delivery": {hub},
			"store": {hub, deskBLI, bristol}}[family]
		if born[point] || point == failpoint.StoreRelease {
			continue
		}
		for _, party := range parties {
			for _, action := range actions {
				shots = append(shots, shot{point: point, action: action, party: party, at: 1 + round})
			}
		}
	}
	return shots
}

// record counts what happened.
type record struct {
	mu    sync.Mutex
	times map[string]int
}

// add reads the lines that processes wrote about themselves, and says whether this shot's is among them.
func (r *record) add(t testing.TB, s shot) bool {
	t.Helper()
	text, err := os.ReadFile(s.record)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times == nil {
		r.times = map[string]int{}
	}
	happened := bytes.Contains(text, []byte(s.line()))
	if happened {
		r.times[s.line()]++
	}
	return happened
}

func (r *record) count(point failpoint.Point, action string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[shot{point: point, action: action}.line()]
}

// shoot makes a world and takes its shots one after the other, each during a day of work.
func shoot(t *testing.T, n int, seed uint64, collects bool, shots []shot, fired *record) {
	w := newWorld(t, n, must(armed())(t))
	if collects {
		w.collects()
	}
	w.start(all...)
	d := newDriver(w, seed)
	d.kinds = []string{"shared_in_full", "two_authorities"}
	for i, s := range shots {
		s.record = filepath.Join(w.dir, fmt.Sprintf("record-%d", i))
		w.end(s.party)
		p := w.launch(s.party, s.env())
		if err := w.serves(s.party); err != nil {
			w.revive()
		}
		d.day(s)
		happened := fired.add(t, s)
		if happened && s.action == "error" && terminal(s.point) {
			w.gone(p, s.String()) // nobody has to notice: it ends by itself
		}
		w.revive()
		if w.parties[s.party] == p { // it lives, and may be armed still
			w.stop(s.party)
			w.start(s.party)
		}
		if !happened && s.at == 1 {
			t.Errorf("%s did not happen", s)
		}
		if findings := d.settle(); len(findings) > 0 {
			t.Fatalf("seed %d, %s:\n%s", seed, s, lines(findings))
		}
	}
	if findings := d.audit(); len(findings) > 0 {
		t.Fatalf("seed %d, at its end:\n%s", seed, lines(findings))
	}
	w.end(deskPRI, deskBLI, lancashire, bristol, hub)
	w.run("hub", "--config", w.config(hub), "check")
}

// collects makes Bristol's inbox one without an open port. Nobody may run.
func (w *world) collects() {
	w.edit(w.config(bristol), `(?m)^listen: .*`, "collect: true")
	file := filepath.Join(w.dir, "directory.yaml")
	text := string(must(os.ReadFile(file))(w.t))
	before, rest, _ := strings.Cut(text, "code: "+strings.TrimPrefix(bristol, "inbox-"))
	_, after, ok := strings.Cut(rest, "endpoint: {mode: push")
	if !ok {
		w.t.Fatalf("Bristol's endpoint is not in %s", file)
	}
	_, after, _ = strings.Cut(after, "}")
	head, _, _ := strings.Cut(rest, "endpoint: {mode: push")
	text = before + "code: " + strings.TrimPrefix(bristol, "inbox-") + head + "endpoint: {mode: collect}" + after
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.loadDirectory()
}

// loseUnder has the hub lose its disk, and shoots while a desk tells the next one what it must know.
func loseUnder(t *testing.T, n int, seed uint64, s shot, fired *record) {
	w := newWorld(t, n, must(armed())(t))
	w.start(all...)
	d := newDriver(w, seed)
	d.kinds = []string{"shared_in_full"}
	delivered := d.share(2)
	d.withdrawn[delivered[0]] = false
	d.withdrawing(deskBLI, delivered[0])(context.Background())
	w.kill(hub)
	w.end(deskBLI, deskPRI, lancashire, bristol)
	w.loseHub()
	s.record = filepath.Join(w.dir, "record")
	w.start(hub, bristol, lancashire, deskPRI)
	w.loadDirectory("--number", "100") // a desk takes no older directory than it had
	p := w.launch(s.party, s.env())
	if err := w.serves(s.party); err != nil {
		w.revive()
	}
	d.happens(s)
	if s.action == "kill" {
		<-p.gone // it says so before it dies
	}
	if !fired.add(t, s) {
		t.Errorf("%s did not happen", s)
	}
	w.revive()
	if findings := d.settle(); len(findings) > 0 {
		t.Fatalf("%s:\n%s", s, lines(findings))
	}
}

// gone waits until a process has ended by itself.
func (w *world) gone(p *party, after string) {
	w.t.Helper()
	select {
	case <-p.gone:
		if p.err == nil {
			w.t.Errorf("%s: it ended as if all was well", after)
		}
	case <-time.After(patience):
		w.t.Errorf("%s: the process goes on", after)
	}
}

// revive starts every party again that is gone, as the service manager of its machine would.
func (w *world) revive() {
	w.t.Helper()
	for _, name := range all {
		if w.parties[name] == nil {
			continue // killed by the test, which starts it itself
		}
		select {
		case <-w.parties[name].gone:
			w.bury(name)
			w.start(name)
		default:
		}
	}
}

// day is a day of work that passes every point of running parties: forms at both desks, deliveries, a withdrawal, its stop
// request and the answer, a statement that is refused, a new directory, and outages where a point is about one.
func (d *driver) day(s shot) {
	d.t.Helper()
	switch s.point {
	case failpoint.DeskPostpone:
		d.kill(hub)
		d.submits(d.formFor(deskBLI))(context.Background())
		d.happens(s)
		d.start(hub)
	case failpoint.DeliveryRetry:
		d.kill(bristol)
		d.submits(d.formFor(deskBLI))(context.Background())
		d.happens(s)
		d.start(bristol)
	case failpoint.DeskDirectory, failpoint.HubDirectory:
		_, _ = d.try("hub", "--config", d.config(hub), "directory", "load", filepath.Join(d.dir, "directory.yaml"))
	case failpoint.HubRefused:
		d.withdrawWrongly(deskPRI)
	case failpoint.DeskDue, failpoint.DeskRemade:
		d.waitsForTheCheck(deskBLI)
	}
	id := d.formFor(deskBLI)
	d.submits(d.formFor(deskPRI))(context.Background())
	var item string
	d.until("the form is delivered", func(now seen) bool {
		if d.forms[id].ids == nil {
			d.submits(id)(context.Background())
		}
		for _, n := range now.desks[deskBLI] {
			if n.GetFormId() == id && n.GetState() == localv1.State_STATE_DELIVERED {
				item = n.GetId()
			}
		}
		return item != ""
	})
	d.withdrawn[item] = false
	d.until("the team is asked to stop, and answers", func(now seen) bool {
		if !d.withdrawn[item] {
			d.withdrawing(deskBLI, item)(context.Background())
		}
		items := now.items(bristol, item)
		if len(items) != 1 || items[0].GetStop() == nil {
			return false
		}
		_, err := d.inbox(bristol).AnswerStop(context.Background(), &localv1.AnswerStopRequest{Id: item, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED})
		return err == nil
	})
	d.happens(s)
}

// formFor notes a new form for a desk.
func (d *driver) formFor(desk string) string {
	id := d.anotherForm()
	d.forms[id].desk = desk
	return id
}

// waitsForTheCheck hands in a form that waits for the public-protection check, which is then done: people who see an error
// say it again.
func (d *driver) waitsForTheCheck(desk string) {
	d.t.Helper()
	id := d.formFor(desk)
	d.forms[id].json = bytes.Replace(d.forms[id].json, []byte("GATE_NO_HOLD"), []byte("GATE_NOT_DONE"), 1)
	d.until("the form waits for the check, and then goes", func(now seen) bool {
		if d.forms[id].ids == nil {
			d.submits(id)(context.Background())
		}
		for _, n := range now.desks[desk] {
			if n.GetFormId() != id {
				continue
			}
			if n.GetState() == localv1.State_STATE_DELIVERED {
				return true
			}
			if n.GetState() == localv1.State_STATE_WAITING {
				_, _ = localv1.NewCaseworkServiceClient(d.parties[desk].conn).SetGate(context.Background(), &localv1.SetGateRequest{Id: n.GetId(), Gate: posternv1.Gate_GATE_NO_HOLD})
			}
		}
		return false
	})
}

// withdrawWrongly withdraws what another prison would have sent, with a code that belongs to nothing: the hub refuses and
// records it.
func (d *driver) withdrawWrongly(desk string) {
	_, _ = d.desk(desk).WithdrawNotification(context.Background(), &localv1.WithdrawNotificationRequest{
		Id: d.uuid(), SlipCode: "22222-22223", Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PAPER})
}

// noted reports whether the shot has happened.
func (d *driver) noted(s shot) bool {
	text, _ := os.ReadFile(s.record)
	return bytes.Contains(text, []byte(s.line()))
}

// until waits until something holds. A party that ends meanwhile is started again, and people who saw an error try again.
func (d *driver) until(what string, holds func(seen) bool) {
	d.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		d.revive()
		if now, err := d.lists(); err == nil && holds(now) {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("never: %s", what)
		}
	}
}

// happens waits until the shot has happened; not for long when it is one that may not.
func (d *driver) happens(s shot) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(time.Second)
	if s.at == 1 {
		end = end.Add(patience)
	}
	for !d.noted(s) && time.Now().Before(end) {
		<-tick.C
	}
}

// birthAll shoots at the first start of hub, desk and inbox, and returns how often.
func birthAll(t *testing.T, fired *record) (births int) {
	w := newWorld(t, 0, must(armed())(t))
	w.start(all...)
	for _, point := range failpoint.All() {
		for _, party := range []string{hub, deskBLI, bristol} {
			if !born[point] || point == failpoint.LedgerFounded && party != hub {
				continue
			}
			for _, action := range actions {
				births++
				s := shot{point: point, action: action, party: party, at: 1, record: filepath.Join(w.dir, fmt.Sprintf("record-%d", births))}
				if findings := birth(w, s, fired); len(findings) > 0 {
					t.Errorf("%s at a first start:\n%s", s, lines(findings))
				}
			}
		}
	}
	return births
}

// birth begins a world again with nothing written, shoots at the first start of one party, and has everybody work.
func birth(w *world, s shot, fired *record) []string {
	w.t.Helper()
	w.end(deskPRI, deskBLI, lancashire, bristol, hub)
	w.wipe()
	for _, name := range all {
		if name == s.party {
			w.launch(name, s.env())
		} else {
			w.launch(name, nil)
		}
		if err := w.serves(name); err != nil {
			w.bury(name)
			w.start(name) // the second start finds nothing in its way
		}
	}
	if !fired.add(w.t, s) {
		w.t.Errorf("%s did not happen", s)
	}
	w.loadDirectory()
	return newDriver(w, 1).settle()
}
