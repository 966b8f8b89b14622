package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"postern/internal/hub"
	"postern/internal/identity"
	hubledger "postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/mem"
	"postern/internal/testkit"
)

// party is one of the parties: its disk outlives its crashes.
type party struct {
	name string
	disk *mem.Disk
	down bool          // its process does not run
	sick bool          // its store stopped: only starting again helps
	skew time.Duration // of its clock
	back bool          // its clock ever went back: what it dates is not in order
}

// World is one history under way. Everything in it happens on the test's goroutine.
type World struct {
	*testkit.Exchange
	t       *testing.T
	seed    uint64
	rand    *rand.Rand
	swarm   swarm
	parties map[string]*party
	words   map[string]bool // the names of all families
	trace   bytes.Buffer
	counts  counts
	depth   int     // how many messages are on their way while something else happens
	sends   []int64 // when the steps of the hub's courier that are under way began
	ticks   int64

	loads        uint64 // directories that were loaded, and the first
	revisions    []revision
	policies     []*inForce
	backup       *mem.Disk // an old copy of the hub's database
	ledgerConfig hubledger.Config
	copies       map[string]oldCopy            // of inboxes
	behind       map[string]bool               // inboxes that know only a log that was lost, by authority
	identities   map[string]*identity.Identity // of desks and inboxes, by path
	busy         map[string]bool               // steps under way: party, space, step
	late         []late                        // messages that the network still holds
	streams      map[string]*stream            // that inboxes have open, by inbox
	checkpoints  string                        // the hub's file
	lost         bool                          // the hub's disk was lost once
	lostAt       time.Time                     // when
	calm         bool                          // nothing fails: a party starts, or the world heals
	ledger       *ledger
	started      time.Time
	wrong        []string // what the oracle found; the first ends the history
}

// late is a message that comes after its caller has given up.
type late struct {
	to     string
	what   string
	arrive func()
	ready  func() bool // nil, or: the network keeps it until this
}

func (l late) isReady() bool { return l.ready == nil || l.ready() }

// counts are what a report of many histories adds up.
type counts struct {
	histories, steps, messages int
	hours                      float64
	happened                   map[string]int // by kind of action or fault
}

func newWorld(t *testing.T, seed uint64) *World {
	// The cast is costly and is made once in a process; its randomness must not depend on which seed came first.
	cryptotest.SetGlobalRandom(t, 0)
	w := &World{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), parties: map[string]*party{}, words: map[string]bool{}, copies: map[string]oldCopy{}, behind: map[string]bool{}, identities: map[string]*identity.Identity{}, busy: map[string]bool{}, streams: map[string]*stream{},
		counts: counts{happened: map[string]int{}}}
	w.swarm, w.calm = newSwarm(w.rand), true
	w.ledger = newLedger(w)
	testkit.NewExchange(t, func(c *testkit.Config) { w.configure(c); c.NoDirectory = true }) // makes the cast
	clear(w.parties)
	cryptotest.SetGlobalRandom(t, seed)
	w.Exchange = testkit.NewExchange(severe{t, w}, w.configure)
	for _, prison := range prisons {
		w.Desk(prison).Link.Carry(w.carry("desk-"+prison, "hub"))
	}
	for _, code := range authorities {
		in := w.Inbox(code)
		in.ToHub.Carry(w.carry("inbox-"+code, "hub"))
		in.ToHub.CarryStreams(w.carryStream("inbox-" + code))
		in.Link.Carry(w.carry("hub", "inbox-"+code))
	}
	w.ToHub(testkit.AuditorPath).Carry(w.carry("auditor", "hub"))
	w.policies = []*inForce{{rules: w.theRules()[0], sure: true}}
	w.loads, w.revisions = 1, []revision{{sure: true, collect: w.swarm.collect}}
	w.started, w.calm = w.Clock.Now(), false
	return w
}

var (
	prisons     = []string{testkit.HMPBristol, testkit.HMPParc}
	authorities = []string{testkit.Bristol, testkit.Lancashire}
)

func (w *World) configure(c *testkit.Config) {
	w.checkpoints = filepath.Join(w.t.TempDir(), "checkpoints")
	c.Register.Collect = w.swarm.collect
	c.Lose = w.loses
	c.Ledger = func(c *hubledger.Config) {
		if s, ok := c.Store.(watched); ok {
			c.Store = sequenced{s}
		}
		c.CheckpointFile = w.checkpoints
		w.ledgerConfig = *c
	}
	c.Hub = func(c *hub.Config) { c.TestPolicy = passed }
	c.Sending = w.sendsTo
	c.IdentityOf = w.identity
	c.Open = func(name string, d schema.Database) (store.Store, error) {
		p := w.party(name)
		s, err := mem.Open(w.ctx(), mem.Config{Disk: p.disk, Schema: d})
		return watched{s, w, p}, err
	}
	c.ClockOf = func(name string) func() time.Time {
		return func() time.Time {
			now := testkit.Now
			if w.Exchange != nil {
				now = w.Clock.Now()
			}
			return now.Add(w.party(name).skew)
		}
	}
}

func (w *World) party(name string) *party {
	if w.parties[name] == nil {
		w.parties[name] = &party{name: name, disk: mem.NewDisk()}
	}
	return w.parties[name]
}

func (w *World) ctx() context.Context { return w.t.Context() }

// watched is a party's store: before each of its commits the scheduler may decide that the disk fails.
type watched struct {
	store.Store
	w *World
	p *party
}

// Update implements store.Store.
func (s watched) Update(ctx context.Context, fn func(store.Tx) error) error {
	s.w.beforeCommit(s.p)
	err := s.Store.Update(ctx, fn)
	if errors.Is(err, store.ErrOutcomeUnknown) {
		if s.p.name == "hub" && !s.p.sick {
			s.w.ledger.mayHaveBegun()
		}
		s.p.sick = true
	}
	return err
}

// View implements store.Store. Between two reads of the hub others may act: it holds no lock there.
func (s watched) View(ctx context.Context, fn func(store.Snapshot) error) error {
	if s.p.name == "hub" && s.w.chance(s.w.swarm.read) {
		s.w.count("act between two reads of the hub")
		if len(s.w.sends) > 0 && s.w.depth == 0 {
			s.w.whileSending()
		} else {
			s.w.between()
		}
	}
	return s.Store.View(ctx, fn)
}

// sequenced is the hub's store as its ledger has it. An op reads while the sequencer holds all others back, so nobody acts
// between two of its reads; they are told from the ledger's others by their context, which no caller can end.
type sequenced struct{ watched }

// View implements store.Store.
func (s sequenced) View(ctx context.Context, fn func(store.Snapshot) error) error {
	if ctx.Done() == nil {
		return s.Store.View(ctx, fn)
	}
	return s.watched.View(ctx, fn)
}

// Reserved is for store.Reserved.
func (s watched) Reserved() store.Store { return watched{store.Reserved(s.Store), s.w, s.p} }

// say writes a line of the trace, by which two runs of a seed are compared.
func (w *World) say(format string, args ...any) {
	fmt.Fprintf(&w.trace, "%4d %s%*s ", w.counts.steps, w.now().Format("02T15:04:05"), 2*w.depth, "")
	fmt.Fprintf(&w.trace, format, args...)
	w.trace.WriteByte('\n')
}

func (w *World) now() time.Time {
	if w.Exchange == nil {
		return testkit.Now
	}
	return w.Clock.Now()
}

// fails records what the oracle found.
func (w *World) fails(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.say("WRONG: %s", what)
	w.wrong = append(w.wrong, what)
}

func (w *World) count(what string) { w.counts.happened[what]++ }

// chance is true with probability p, and never once the world heals. It always draws, so that a history does not depend
// on which of its faults are on.
func (w *World) chance(p float64) bool { return w.rand.Float64() < p && !w.calm }

func pick[T any](w *World, from []T) T { return from[w.rand.IntN(len(from))] }

// severe ends the history, and not the test, when a party of the exchange cannot go on: that too is for the oracle.
type severe struct {
	testing.TB
	w *World
}

// Fatal implements testing.TB.
func (s severe) Fatal(args ...any) {
	s.w.fails("a party cannot go on: %s", fmt.Sprint(args...))
	panic(theEnd{})
}

// Errorf implements testing.TB.
func (s severe) Errorf(format string, args ...any) { s.w.fails(format, args...) }

// theEnd is the panic that ends a history.
type theEnd struct{}

// run plays the history: its actions, then healing and the last judgement.
func (w *World) run() {
	defer func() {
		for _, s := range w.streams {
			s.end()
		}
	}()
	defer func() {
		switch v := recover().(type) {
		case nil, theEnd:
		default:
			w.fails("panic: %v\n%s", v, debug.Stack())
		}
		w.report()
	}()
	for range actionsPerHistory {
		w.counts.steps++
		w.act()
		if len(w.wrong) > 0 {
			return
		}
	}
	w.heal()
	if len(w.wrong) == 0 {
		w.judge()
	}
	if len(w.wrong) == 0 && w.seed%8 == 0 { // it takes as long as the history
		w.outlive()
	}
	w.counts.hours = w.now().Sub(w.started).Hours()
}

// heal mends everything, lets every late message arrive, and steps until nothing more happens.
func (w *World) heal() {
	w.calm = true
	w.say("heals")
	for _, name := range w.names() {
		p := w.parties[name]
		p.skew = 0
		p.disk.Fail(mem.None)
		w.crash(p)
		w.restart(p)
	}
	for _, code := range authorities {
		w.catchesUp(code)
	}
	for _, path := range slices.Sorted(maps.Keys(w.identities)) {
		w.renew(path)
	}
	keep := w.rand.IntN(2) == 0 // what the network holds comes before the rest, or after all of it
	for round := range 24 {
		for i := 0; i < len(w.late); {
			if round != 6 && (keep || !w.late[i].isReady()) {
				i++
				continue
			}
			w.arrive(i)
			i = 0
		}
		if w.Clock.Advance(2 * testkit.MaxWait); round >= 12 {
			w.Clock.Advance(3 * time.Hour) // what a clock that was ahead has put off
		}
		if round >= 20 {
			w.Clock.Advance(30 * time.Hour) // the longest that anything waits is over a weekend
		}
		for _, prison := range prisons {
			_, _ = w.Desk(prison).StepDirectory(w.ctx())
			if len(w.policies) > 1 {
				_, _ = w.Desk(prison).StepPolicy(w.ctx())
			}
		}
		w.settle()
		if len(w.wrong) > 0 {
			return
		}
	}
}

// settle steps every party, always in the same order, until nothing more happens.
func (w *World) settle() {
	for range 500 {
		did := false
		step := func(name string, fn func(context.Context) (bool, error)) {
			worked, err := fn(w.ctx())
			if err != nil && reason(err) != "NOT_COLLECTING" {
				w.say("%s: %s", name, reason(err))
			}
			did = did || worked && err == nil
		}
		step("hub delivery", w.courier)
		for _, prison := range prisons {
			step("desk-"+prison+" spool", w.Desk(prison).StepSpool)
			step("desk-"+prison+" updates", w.Desk(prison).StepUpdates)
			step("desk-"+prison+" clocks", w.Desk(prison).StepClocks)
		}
		for _, code := range authorities {
			step("inbox-"+code+" reports", w.Inbox(code).StepReports)
			if !w.collects(code) {
				step("inbox-"+code+" resume", w.Inbox(code).StepResume)
			}
			step("inbox-"+code+" collect", w.Inbox(code).StepCollect)
			step("inbox-"+code+" redirects", w.Inbox(code).StepRedirects)
		}
		if !did || len(w.wrong) > 0 {
			return
		}
	}
	w.fails("the world does not come to rest")
}

func (w *World) names() []string { return slices.Sorted(maps.Keys(w.parties)) }

// crash is the end of a party's power.
func (w *World) crash(p *party) {
	p.disk.Crash()
	p.down = true
}

// restart starts a party through its normal recovery.
func (w *World) restart(p *party) {
	p.down, p.sick = false, false
	p.skew = 0 // a hub or desk refuses to start with a directory from the future, and whoever starts it sets its clock
	defer func(calm bool) { w.calm = calm }(w.calm)
	w.calm = true // what fails while starting is a failed start, and is tried again: store/bolt's tests have it
	kind, id := split(p.name)
	switch kind {
	case "hub":
		w.RestartHub()
	case "desk":
		w.Desk(id).Restart()
	case "inbox":
		w.Inbox(id).Restart()
		w.catchesUp(id)
	}
	w.idle(p.name)
}

// idle forgets the steps of a party that were under way: they ended with its process.
func (w *World) idle(name string) {
	for busy := range w.busy {
		if strings.HasPrefix(busy, name+" ") {
			delete(w.busy, busy)
		}
	}
}

// result is how an action ended, for the trace.
func result(did bool, err error) string {
	if err != nil {
		return fmt.Sprintf("%v %s", did, reason(err))
	}
	return fmt.Sprint(did)
}

// staff is who uses the desks.
var staff = testkit.Staff
