package world

import (
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"strings"

	"postern/internal/fault"
	"postern/internal/testkit"
)

// split takes a party's name apart: desk-BLI is a desk.
func split(name string) (kind, id string) {
	kind, id, _ = strings.Cut(name, "-")
	return kind, id
}

// What the network tells a caller, who cannot know whether the other side heard.
var (
	errDown = fault.New(fault.Unavailable, "NOBODY", "Nobody answers there.")
	errLost = fault.New(fault.Deadline, "LOST", "No answer came in time.")
)

// carry is the network between two parties.
func (w *World) carry(from, to string) testkit.Carrier {
	return func(method string, request []byte, deliver func() ([]byte, error)) ([]byte, error) {
		w.counts.messages++
		method = path.Base(method)
		what := from + " → " + to + " " + method
		dull := w.calm && strings.HasPrefix(method, "List") // healing asks often, and nothing changes
		if !dull {
			w.say("%s %x", what, digest(request))
		}
		if to == "hub" {
			w.canary(what, request)
		}
		w.ledger.asked(from, to, method, request)
		w.meanwhile()

		handle := func() ([]byte, error) {
			call := w.tick()
			answer, err := deliver()
			if !dull {
				w.say("%s answered %x %s", what, digest(answer), reason(err))
			}
			w.ledger.answered(from, to, method, request, answer, err, call)
			return answer, err
		}
		switch {
		case w.parties[to].down:
			return nil, errDown
		case w.chance(w.swarm.drop):
			w.count("request lost")
			w.say("%s lost", what)
			return nil, errLost
		case w.chance(w.swarm.delay):
			w.count("request delayed")
			w.say("%s delayed", what)
			w.late = append(w.late, late{to, what, func() { _, _ = handle() }, nil})
			return nil, errLost
		case method == "Deliver" && w.holdsBack(to, what, request, handle):
			return nil, errLost
		case w.chance(w.swarm.double):
			w.count("request doubled")
			if w.rand.IntN(2) == 0 {
				w.late = append(w.late, late{to, what, func() { _, _ = handle() }, nil})
			} else {
				_, _ = handle()
				w.meanwhile()
			}
		}
		if w.parties[to].down { // it may have crashed between the two
			return nil, errDown
		}
		answer, err := handle()
		w.meanwhile()
		if w.chance(w.swarm.drop) {
			w.count("answer lost")
			w.say("%s: answer lost", what)
			return nil, errLost
		}
		return answer, err
	}
}

// stream is one that an inbox has open to the hub.
type stream struct {
	next    func() ([]byte, error)
	stop    func()
	running bool // the hub is working on it
}

// end breaks it: the hub sees that the inbox has gone. One that the hub is working on ends by itself.
func (s *stream) end() {
	if !s.running {
		s.stop()
	}
}

// carryStream is the network under the deliveries that an inbox collects.
func (w *World) carryStream(from string) testkit.StreamCarrier {
	what := from + " → hub Collect"
	return func(_ string, request []byte, open func() (func() ([]byte, error), func())) (func() ([]byte, error), func(), error) {
		w.counts.messages++
		if !w.calm { // healing asks often, and nothing changes
			w.say("%s %x", what, digest(request))
		}
		w.canary(what, request)
		if old := w.streams[from]; old != nil {
			old.end()
		}
		w.meanwhile()
		switch {
		case w.parties["hub"].down:
			return nil, nil, errDown
		case w.chance(w.swarm.drop):
			w.count("request lost")
			return nil, nil, errLost
		}
		s := &stream{}
		s.next, s.stop = open()
		w.streams[from] = s
		return func() ([]byte, error) { return w.streamed(from, what, s) }, s.end, nil
	}
}

// streamed is the next delivery of a stream, or what is seen in its place.
func (w *World) streamed(from, what string, s *stream) ([]byte, error) {
	w.meanwhile()
	if w.parties["hub"].down || w.streams[from] != s {
		return nil, errDown
	}
	s.running = true
	w.sends = append(w.sends, w.tick())
	b, err := s.next()
	s.running = false
	if err == nil {
		w.say("%s hands over %x", what, digest(b))
		w.count("delivery collected")
		w.ledger.handedOver(from, b)
	}
	w.sends = w.sends[:len(w.sends)-1]
	if err != nil {
		if !w.calm {
			w.say("%s ends: %s", what, ended(err))
		}
		return nil, err
	}
	w.ledger.onItsWay(b)
	w.meanwhile()
	if w.chance(w.swarm.drop) {
		w.count("stream broken")
		w.say("%s breaks", what)
		return nil, errLost
	}
	return b, nil
}

// ended is how a stream ended, for the trace.
func ended(err error) string {
	if errors.Is(err, io.EOF) {
		return "nothing more"
	}
	return reason(err)
}

// meanwhile lets others act while a message is on its way.
func (w *World) meanwhile() {
	if !w.chance(w.swarm.meanwhile) {
		return
	}
	w.count("act while a message travels")
	w.between()
}

// between lets the next action happen in the middle of another.
func (w *World) between() {
	if w.depth >= 2 {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	w.act()
}

// arrive lets the network give up one of the messages that it holds, in any order.
func (w *World) arrive(i int) {
	l := w.late[i]
	w.late = append(w.late[:i:i], w.late[i+1:]...)
	if w.parties[l.to].down {
		return
	}
	w.say("late: %s", l.what)
	w.count("late message")
	l.arrive()
}

func digest(b []byte) []byte {
	if b == nil {
		return nil
	}
	sum := sha256.Sum256(b)
	return sum[:4]
}

// reason names an error in the trace.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Reason
}
