package rpc

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/credentials"

	"postern/internal/fault"
	"postern/internal/identity"
)

// front is the listener and the TLS of a server between parties. It bounds connections: those that have proved nothing
// yet, those of one party, and all; and how fast what a party sends is read. It remembers which party each proved to be.
type front struct {
	credentials.TransportCredentials
	server  *Server
	anchors *identity.Anchors

	mu       sync.Mutex                  // guards what follows and the place of every connection
	unproven map[netip.Prefix]*list.List // of *connection, the oldest first, by where they come from
	waiting  int                         // of them
	held     int                         // connections of parties
	parties  map[identity.Party]int
}

// connection is one connection, from being accepted until it is closed.
type connection struct {
	net.Conn
	front *front
	from  netip.Prefix
	place *list.Element                  // among the unproven; nil once it has proved who it is, or is closed
	party atomic.Pointer[identity.Party] // once proved
	once  sync.Once
	ended context.Context // ends when it is closed
	end   context.CancelFunc
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

// cameFrom is who is behind an address, as far as it tells: of IPv6 a household has a whole network.
func cameFrom(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	bits := 32
	if at.Addr().Unmap().Is6() {
		bits = 64
	}
	p, _ := at.Addr().Unmap().Prefix(bits) // fits
	return p
}

// accepted makes room by closing the connection that has proved nothing for longest, of the address that has most.
func (f *front) accepted(conn net.Conn) *connection {
	c := &connection{Conn: conn, front: f, from: cameFrom(conn.RemoteAddr())}
	c.ended, c.end = context.WithCancel(context.Background())
	f.mu.Lock()
	var oldest *connection
	if f.waiting >= maxUnproven {
		oldest = f.most().Front().Value.(*connection)
	}
	if f.unproven[c.from] == nil {
		f.unproven[c.from] = list.New()
	}
	c.place = f.unproven[c.from].PushBack(c)
	f.waiting++
	f.mu.Unlock()
	if oldest != nil {
		f.server.turnedAway("UNPROVEN")
		_ = oldest.Close() // it is given up, whatever comes of closing it
	}
	return c
}

// most are the connections of the address that has most of those that have proved nothing; f.mu is held.
func (f *front) most() (most *list.List) {
	for _, l := range f.unproven {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	return most
}

// leave takes a connection out of those that have proved nothing; f.mu is held.
func (f *front) leave(c *connection) {
	l := f.unproven[c.from]
	l.Remove(c.place)
	c.place = nil
	f.waiting--
	if l.Len() == 0 {
		delete(f.unproven, c.from)
	}
}

// ServerHandshake is that of TLS, and then takes the connection as one of its party, or closes it.
func (f *front) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := f.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		f.server.turnedAway("STRANGER")
		return nil, nil, err
	}
	t, ok := info.(credentials.TLSInfo)
	c, known := raw.(*connection)
	if !ok || !known {
		return secured, info, nil // of another listener; the guard names the caller
	}
	chain := identity.ChainOf(t.State.PeerCertificates)
	p, err := f.anchors.VerifyChain(chain, f.server.clock())
	if err == nil {
		err = f.proved(c, p)
	}
	if err != nil {
		_ = secured.Close() // it is refused, whatever comes of closing it
		return nil, nil, err
	}
	return secured, partyInfo{t, p, chain}, nil
}

func (f *front) proved(c *connection, p identity.Party) error {
	if !f.server.throttle.connects(p) {
		f.server.turnedAway("CONNECTIONS")
		pause(c.ended, handshakeTime) // where it can be closed to make room
		return fault.New(fault.Exhausted, "CONNECTIONS", "There are too many connections.")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case c.place == nil: // closed meanwhile, to make room
		return fault.New(fault.Exhausted, "UNPROVEN", "The connection took too long to prove who it is.")
	case f.held >= maxConnections || f.parties[p] >= maxPartyConnections:
		f.server.turnedAway("CONNECTIONS")
		return fault.New(fault.Exhausted, "CONNECTIONS", "There are too many connections.")
	}
	f.leave(c)
	c.party.Store(&p)
	f.held++
	f.parties[p]++
	return nil
}

// Read reads, and then waits where the party has sent more than its share. The goroutine that reads is that of this
// connection alone, so nobody waits with it.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if p := c.party.Load(); p != nil && n > 0 {
		if wait := c.front.server.throttle.read(*p, n); wait > 0 {
			pause(c.ended, wait)
		}
	}
	return n, err
}

// Close gives the place back, once.
func (c *connection) Close() error {
	c.once.Do(func() {
		c.end()
		f := c.front
		f.mu.Lock()
		defer f.mu.Unlock()
		if c.place != nil {
			f.leave(c)
		} else if p := c.party.Load(); p != nil {
			f.held--
			if f.parties[*p]--; f.parties[*p] == 0 {
				delete(f.parties, *p)
			}
		}
	})
	return c.Conn.Close()
}

// partyInfo is what a connection proves, and who that is. Whether it holds still, each call asks again.
type partyInfo struct {
	credentials.TLSInfo
	party identity.Party
	chain identity.Chain
}
