package rpc

import (
	"container/list"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"

	"postern/internal/fault"
	"postern/internal/identity"
)

// front is the listener and the TLS of a server between parties. It bounds connections: those that have proved nothing
// yet, those of one party, and all. It remembers which party each proved to be.
type front struct {
	credentials.TransportCredentials
	anchors *identity.Anchors
	clock   clock
	away    func(what string)

	mu       sync.Mutex // guards what follows and the place of every connection
	unproven *list.List // of *connection, the oldest first
	held     int        // connections of parties
	parties  map[identity.Party]int
}

func newFront(creds credentials.TransportCredentials, anchors *identity.Anchors, clock clock, away func(string)) *front {
	return &front{TransportCredentials: creds, anchors: anchors, clock: clock, away: away, unproven: list.New(), parties: map[identity.Party]int{}}
}

// connection is one connection, from being accepted until it is closed.
type connection struct {
	net.Conn
	front *front
	place *list.Element  // among the unproven; nil once it has proved who it is, or is closed
	party identity.Party // once proved
	once  sync.Once
}

// listener hands out connections that the front knows.
type listener struct {
	net.Listener
	front *front
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.front.accepted(conn), nil
}

// accepted makes room by closing the connection that has proved nothing for longest.
func (f *front) accepted(conn net.Conn) *connection {
	c := &connection{Conn: conn, front: f}
	f.mu.Lock()
	var oldest *connection
	if f.unproven.Len() >= maxUnproven {
		oldest = f.unproven.Front().Value.(*connection)
	}
	c.place = f.unproven.PushBack(c)
	f.mu.Unlock()
	if oldest != nil {
		f.away("UNPROVEN")
		_ = oldest.Close() // it is given up, whatever comes of closing it
	}
	return c
}

// ServerHandshake is that of TLS, and then takes the connection as one of its party, or closes it.
func (f *front) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := f.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		f.away("STRANGER")
		return nil, nil, err
	}
	t, ok := info.(credentials.TLSInfo)
	c, known := raw.(*connection)
	if !ok || !known {
		return secured, info, nil // of another listener; the guard names the caller
	}
	p, err := f.anchors.Verify(t.State.PeerCertificates, f.clock())
	if err == nil {
		err = f.proved(c, p)
	}
	if err != nil {
		_ = secured.Close() // it is refused, whatever comes of closing it
		return nil, nil, err
	}
	return secured, partyInfo{t, p}, nil
}

func (f *front) proved(c *connection, p identity.Party) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case c.place == nil: // closed meanwhile, to make room
		return fault.New(fault.Exhausted, "UNPROVEN", "The connection took too long to prove who it is.")
	case f.held >= maxConnections || f.parties[p] >= maxPartyConnections:
		f.away("CONNECTIONS")
		return fault.New(fault.Exhausted, "CONNECTIONS", "There are too many connections.")
	}
	f.unproven.Remove(c.place)
	c.place, c.party = nil, p
	f.held++
	f.parties[p]++
	return nil
}

// Close gives the place back, once.
func (c *connection) Close() error {
	c.once.Do(func() {
		f := c.front
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case c.place != nil:
			f.unproven.Remove(c.place)
			c.place = nil
		case c.party != identity.Party{}:
			f.held--
			if f.parties[c.party]--; f.parties[c.party] == 0 {
				delete(f.parties, c.party)
			}
		}
	})
	return c.Conn.Close()
}

// partyInfo is what a connection proves, and who that is. Whether it holds still, each call asks again.
type partyInfo struct {
	credentials.TLSInfo
	party identity.Party
}
