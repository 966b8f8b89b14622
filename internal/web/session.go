package web

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"postern/internal/fault"
)

const (
	maxSessions  = 10_000 // of people who are signed in
	maxStrangers = 2_000  // of browsers on their way to a sign-in; the oldest makes room
	strangerIdle = 15 * time.Minute
	maxKept      = 16
	maxKeptBytes = 4 << 10
)

// sessions are the sessions of a site, in memory: what is not on a disk cannot be read from one, and a restart asks
// people to sign in again. A session is found by the hash of its number, so that looking one up takes no time that
// depends on the numbers of others.
type sessions struct {
	now           func() time.Time
	idle, longest time.Duration

	mu        sync.Mutex // owns all below, and the fields of every session
	all       map[[sha256.Size]byte]*session
	strangers int
}

// session is what is known of one browser.
type session struct {
	key    [sha256.Size]byte
	person *Person // nil until somebody signs in
	began  time.Time
	seen   time.Time
	last   int // how many values it was given
	kept   map[string]kept
}

// kept is a value for a later page, and which it was of all that the session was ever given.
type kept struct {
	value string
	n     int
}

func newSessions(now func() time.Time, idle, longest time.Duration) *sessions {
	return &sessions{now: now, idle: idle, longest: longest, all: map[[sha256.Size]byte]*session{}}
}

// begin makes a session, and returns its number for the browser.
func (s *sessions) begin(who *Person) (string, *session, error) {
	id := rand.Text()
	now := s.now()
	made := &session{key: sha256.Sum256([]byte(id)), person: who, began: now, seen: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full(who) {
		s.sweep()
	}
	if who == nil && s.full(nil) {
		s.drop(s.oldestStranger())
	}
	if s.full(who) {
		return "", nil, fault.New(fault.Exhausted, "SESSIONS", "Too many people are signed in or signing in.")
	}
	if who == nil {
		s.strangers++
	}
	s.all[made.key] = made
	return id, made, nil
}

func (s *sessions) full(who *Person) bool {
	if who == nil {
		return s.strangers >= maxStrangers
	}
	return len(s.all)-s.strangers >= maxSessions
}

// sweep forgets what has ended. It needs mu.
func (s *sessions) sweep() {
	for _, x := range s.all {
		if !s.ends(x).After(s.now()) {
			s.drop(x)
		}
	}
}

// oldestStranger is the session of whoever began longest ago and is not signed in. When very many begin, the last ones are
// let through: to refuse them, for as long as the others last, would let anybody keep everybody from signing in. It needs mu.
func (s *sessions) oldestStranger() *session {
	var oldest *session
	for _, x := range s.all {
		if x.person == nil && (oldest == nil || x.began.Before(oldest.began)) {
			oldest = x
		}
	}
	return oldest
}

func (s *sessions) drop(x *session) {
	if x == nil || s.all[x.key] != x {
		return
	}
	delete(s.all, x.key)
	if x.person == nil {
		s.strangers--
	}
}

// ends is when a session ends if nothing more is heard of it. It needs mu.
func (s *sessions) ends(x *session) time.Time {
	idle := s.idle
	if x.person == nil {
		idle = strangerIdle
	}
	byIdle, byAge := x.seen.Add(idle), x.began.Add(s.longest)
	if byAge.Before(byIdle) {
		return byAge
	}
	return byIdle
}

// find returns the session of a number and goes on with it, nil when there is none or it has ended.
func (s *sessions) find(id string) *session {
	key := sha256.Sum256([]byte(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.all[key]
	if x == nil {
		return nil
	}
	if now := s.now(); s.ends(x).After(now) {
		x.seen = now
		return x
	}
	s.drop(x)
	return nil
}

// person returns who is signed in with a session, which may have ended meanwhile.
func (s *sessions) person(x *session) (Person, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x == nil || x.person == nil || s.all[x.key] != x {
		return Person{}, false
	}
	return *x.person, true
}

// until is when the session of a person ends.
func (s *sessions) until(x *session) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends(x)
}

func (s *sessions) forget(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(x)
}

func (s *sessions) end(end func(Person) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep() // end is asked about those who are signed in
	n := 0
	for x := range maps.Values(maps.Clone(s.all)) {
		if x.person != nil && end(*x.person) {
			s.drop(x)
			n++
		}
	}
	return n
}

func (s *sessions) keep(x *session, key, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.kept == nil {
		x.kept = map[string]kept{}
	}
	_, there := x.kept[key]
	full := !there && len(x.kept) >= maxKept
	if full && x.person == nil && len(value) <= maxKeptBytes {
		// Sign-ins that began and never came back: at a machine that many walk up to they would keep everybody out.
		delete(x.kept, slices.MinFunc(slices.Collect(maps.Keys(x.kept)), func(a, b string) int { return x.kept[a].n - x.kept[b].n }))
	} else if full || len(value) > maxKeptBytes {
		return fault.New(fault.Exhausted, "SESSION_FULL", "Too much is kept for the next page.")
	}
	x.last++
	x.kept[key] = kept{value, x.last}
	return nil
}

func (s *sessions) take(x *session, key string) (string, bool) {
	if x == nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := x.kept[key]
	delete(x.kept, key)
	return k.value, ok
}
