package lapse_test

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/lapse"
	"postern/internal/store"
	"postern/internal/store/mem"
)

const (
	ks   store.Keyspace = "settings"
	aDay                = 24 * time.Hour
)

var begin = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// party is a clock that can be set, and the time that a party has by it.
type party struct {
	t     rapid.TB
	store store.Store
	now   time.Time
	since time.Time
}

func open(t rapid.TB) *party {
	s, err := mem.Open(context.Background(), mem.Config{Disk: mem.NewDisk(), Schema: store.Schema{Name: "party", Version: 1, Oldest: 1, Keyspaces: []store.Keyspace{ks}}})
	if err != nil {
		t.Fatal(err)
	}
	return &party{t: t, store: s, now: begin}
}

// looks is the time after so long, as a party that has just started sees it.
func (p *party) looks(after time.Duration) time.Time {
	p.t.Helper()
	p.now = p.now.Add(after)
	at, err := lapse.New(lapse.Config{Store: p.store, Keyspace: ks, Clock: func() time.Time { return p.now }, Before: p.since}).Now(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	return at
}

func (p *party) is(after time.Duration, want time.Time) {
	p.t.Helper()
	if at := p.looks(after); !at.Equal(want) {
		p.t.Errorf("by the clock it is %v, and that is taken for %v, want %v", p.now, at, want)
	}
}

func TestTimeGoesOnAsTheClockDoes(t *testing.T) {
	p := open(t)
	for _, after := range []time.Duration{0, time.Second, time.Minute, time.Hour, 23 * time.Hour, aDay, -time.Minute, time.Hour} {
		p.is(after, p.now.Add(after))
	}
}

func TestALeapIsADay(t *testing.T) {
	p := open(t)
	p.looks(0)
	leap := 5000 * aDay
	p.is(leap, begin.Add(aDay))
	p.is(time.Minute, begin.Add(aDay+time.Minute))
	for n := range time.Duration(30) { // and is caught up day by day
		p.is(aDay-time.Minute, p.now.Add(aDay-time.Minute-leap+aDay+(n+1)*aDay))
		p.is(time.Minute, p.now.Add(time.Minute-leap+aDay+(n+1)*aDay))
	}
	p.is(-leap, begin.Add(30*aDay+time.Minute)) // set right
}

func TestWhoWasOffIsLateAndCatchesUp(t *testing.T) {
	p := open(t)
	p.looks(0)
	p.is(5*aDay, begin.Add(aDay))
	for n := range time.Duration(4) {
		p.is(aDay, begin.Add(aDay+2*(n+1)*aDay))
	}
	p.is(aDay, p.now.Add(aDay))
}

// Whoever never looked before goes by a moment that is known from elsewhere, and one from the future says nothing.
func TestTheFirstLookGoesByWhatThereIs(t *testing.T) {
	p := open(t)
	p.since = begin.Add(-100 * aDay)
	p.is(0, begin.Add(-99*aDay))
	p.since = begin.Add(-900 * aDay) // from now on its own row counts
	p.is(aDay, begin.Add(-97*aDay))
	p = open(t)
	p.since = begin.Add(100 * aDay)
	p.is(0, begin)
}

// A clock that goes astray at any time, by any way, and is set right: meanwhile it is never further ahead than two days for each
// leap and the days since, and afterwards it is right.
func TestHoweverAClockIsAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := open(t)
		p.looks(0)
		for range rapid.IntRange(0, 20).Draw(t, "days") {
			p.is(aDay, p.now.Add(aDay))
		}
		right, allowed := p.now, time.Duration(0)
		for range rapid.IntRange(1, 6).Draw(t, "leaps") {
			leap := time.Duration(rapid.Int64Range(0, 9000).Draw(t, "leap")) * aDay
			stays := time.Duration(rapid.IntRange(0, 40).Draw(t, "stays"))
			allowed += (2 + stays) * aDay
			last := p.looks(leap)
			for range stays {
				right = right.Add(aDay)
				if at := p.looks(aDay); at.After(p.now) || at.After(right.Add(allowed)) || at.Before(last) {
					t.Fatalf("it is %v, the clock says %v, and that is taken for %v", right, p.now, at)
				} else {
					last = at
				}
			}
		}
		p.is(right.Sub(p.now), right)
	})
}
