package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

const (
	// sendTime bounds one attempt, so that a dead inbox does not hold its place in the queue.
	sendTime = 15 * time.Second
	// maxInboxes is more than the upper-tier authorities of England and Wales (about 175).
	maxInboxes = 256
)

// SenderConfig is what NewInboxSender needs.
type SenderConfig struct {
	Identity *identity.Identity // who we are
	Anchors  *identity.Anchors  // whom we believe
	Log      *slog.Logger       // one line a failed call; nil logs nothing
	Clock    func() time.Time   // judges certificates; nil is time.Now
	Within   Networks           // where inboxes may be: their addresses come from the directory, and what those lead to from a name server
	Resolver *net.Resolver      // nil is the machine's
}

// InboxSender sends deliveries to inboxes over one connection each. It keeps at most 256; it is safe for concurrent use.
type InboxSender struct {
	cfg   SenderConfig
	limit int

	mu     sync.Mutex // guards what follows
	closed bool
	uses   uint64 // counts sends, to tell the connection that is unused for longest
	conns  map[destination]*pooled
}

// destination is one inbox at one address: a new address in the directory is a new connection.
type destination struct {
	party   identity.Party
	address string
}

// pooled is a connection with the number of sends that use it now.
type pooled struct {
	conn *Conn
	busy int
	last uint64
	gone bool // no longer in the pool; closed by the last send that uses it
}

// NewInboxSender makes an InboxSender without connections.
func NewInboxSender(cfg SenderConfig) *InboxSender {
	return &InboxSender{cfg: cfg, limit: maxInboxes, conns: map[destination]*pooled{}}
}

// Send makes one attempt, of at most 15 s, to hand d to the inbox `to` at address, and returns its signed answer, not yet
// verified. Errors are *fault.Error. After one that says that the inbox was not reached, the next Send connects anew at
// once: how long to wait is the courier's to say.
func (s *InboxSender) Send(ctx context.Context, to identity.Party, address string, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	if to.Role != posternv1.Role_ROLE_INBOX {
		return nil, fault.New(fault.Invalid, "NOT_AN_INBOX", "A delivery goes to an inbox and to nobody else.")
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	at := destination{to, address}
	p, err := s.take(at)
	if err != nil {
		return nil, err
	}
	resp, err := posternv1.NewInboxServiceClient(p.conn).Deliver(ctx, &posternv1.DeliverRequest{Delivery: d})
	kind := fault.KindOf(err)
	s.put(at, p, err != nil && (kind == fault.Unavailable || kind == fault.Unverified || kind == fault.Deadline))
	return resp, err
}

// take returns the connection to a destination, in use until put.
func (s *InboxSender) take(at destination) (*pooled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fault.New(fault.Unavailable, "STOPPING", "The courier is stopping.")
	}
	p, ok := s.conns[at]
	if !ok {
		if err := s.makeRoom(); err != nil {
			return nil, err
		}
		conn, err := Dial(ClientConfig{Address: at.address, Identity: s.cfg.Identity, Anchors: s.cfg.Anchors, Want: at.party, Log: s.cfg.Log, Clock: s.cfg.Clock,
			Within: &s.cfg.Within, Resolver: s.cfg.Resolver})
		if err != nil {
			return nil, err
		}
		p = &pooled{conn: conn}
		s.conns[at] = p
	}
	s.uses++
	p.busy, p.last = p.busy+1, s.uses
	return p, nil
}

// put ends one use; a broken connection leaves the pool.
func (s *InboxSender) put(at destination, p *pooled, broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.busy--
	if broken && s.conns[at] == p {
		delete(s.conns, at)
		p.gone = true
	}
	if p.gone && p.busy == 0 {
		p.conn.Close()
	}
}

// makeRoom closes the connection that is unused for longest when the pool is full.
func (s *InboxSender) makeRoom() error {
	if len(s.conns) < s.limit {
		return nil
	}
	var oldest *pooled
	var where destination
	for at, p := range s.conns {
		if p.busy == 0 && (oldest == nil || p.last < oldest.last) {
			oldest, where = p, at
		}
	}
	if oldest == nil {
		f := fault.New(fault.Exhausted, "TOO_MANY_INBOXES", "The courier is sending to as many inboxes as it can.")
		f.RetryAfter = sendTime
		return f
	}
	delete(s.conns, where)
	oldest.conn.Close()
	return nil
}

// Close closes every connection; sends that still run are cut off, and later ones are fault.Unavailable.
func (s *InboxSender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for at, p := range s.conns {
		delete(s.conns, at)
		errs = append(errs, p.conn.Close())
	}
	return errors.Join(errs...)
}
