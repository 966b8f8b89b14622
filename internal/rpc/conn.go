package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"postern/internal/fault"
	"postern/internal/identity"
)

// Conn is a connection to one party, as generated clients take it. TLS judges the other side once, when a connection is
// made, and shows our own certificate once. Conn does both again before every call: when our certificate was renewed,
// or that of the other side does not hold any more, the call goes over a new connection, and the calls that run finish
// on the old one. So a certificate or an anchor can change, or a certificate be revoked, while a party runs. It is safe
// for concurrent use.
type Conn struct {
	cfg ClientConfig

	mu     sync.Mutex // guards what follows, and busy and gone of every link
	now    *link
	closed bool
}

// link is one connection of gRPC, made with one certificate of ours.
type link struct {
	conn *grpc.ClientConn
	cert *tls.Certificate
	peer *watched
	busy int  // calls that run
	gone bool // closed by the last of them
}

// take returns the link for one call, in use until put.
func (c *Conn) take() (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fault.New(fault.Unavailable, "CLOSED", "The connection was closed on our side.")
	}
	cert := c.cfg.Identity.Certificate()
	if c.now == nil || c.now.cert != cert || c.now.peer.holds() != nil {
		conn, peer, err := dial(c.cfg)
		if err != nil {
			return nil, err
		}
		c.retire()
		c.now = &link{conn: conn, cert: cert, peer: peer}
	}
	c.now.busy++
	return c.now, nil
}

func (c *Conn) put(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.busy--; l.gone && l.busy == 0 {
		_ = l.conn.Close() // nothing uses it
	}
}

// retire takes the newest link out of use; c.mu is held.
func (c *Conn) retire() {
	if c.now == nil {
		return
	}
	if c.now.gone = true; c.now.busy == 0 {
		_ = c.now.conn.Close() // nothing uses it
	}
	c.now = nil
}

// Invoke makes a unary call.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	l, err := c.take()
	if err != nil {
		return err
	}
	defer c.put(l)
	return l.conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream begins a streaming call. Its link is in use until ctx ends, so its caller ends ctx.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	l, err := c.take()
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { c.put(l) })
	return l.conn.NewStream(ctx, desc, method, opts...)
}

// Close ends the connection and cuts off what still runs.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed = true; c.now == nil {
		return nil
	}
	conn := c.now.conn
	c.now.gone, c.now.busy = true, c.now.busy+1 // closed here, not once more by the last call
	c.now = nil
	return conn.Close()
}

// watched is TLS that keeps what the other side showed last, to judge it again.
type watched struct {
	credentials.TransportCredentials
	anchors *identity.Anchors
	clock   func() time.Time
	chain   atomic.Pointer[identity.Chain] // nil before the first handshake
}

func (w *watched) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if t, ok := info.(credentials.TLSInfo); ok && err == nil {
		chain := identity.ChainOf(t.State.PeerCertificates)
		w.chain.Store(&chain)
	}
	return secured, info, err
}

// holds judges the other side now; a side that has shown nothing yet will be judged in its handshake.
func (w *watched) holds() error {
	chain := w.chain.Load()
	if chain == nil {
		return nil
	}
	_, err := w.anchors.VerifyChain(*chain, w.clock())
	return err
}
