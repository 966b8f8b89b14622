package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
)

// defaultDeadline is that of a unary call whose context has none. It ends before the server's own limit, so that the
// fault says which side gave up.
const defaultDeadline = 20 * time.Second

// reconnect is how a connection that failed is tried again: soon, since the queues above already wait between calls.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
	MinConnectTimeout: handshakeTime,
}

// ClientConfig is what Dial needs.
type ClientConfig struct {
	Address  string             // host:port
	Identity *identity.Identity // who we are
	Anchors  *identity.Anchors  // whom we believe
	Want     identity.Party     // the one party we will talk to
	Log      *slog.Logger       // one line a failed call; nil logs nothing
	Clock    func() time.Time   // judges certificates; nil is time.Now

	// Within bounds where to connect to; nil for anywhere, where the address is this party's own configuration's.
	Within   *Networks
	Resolver *net.Resolver // with Within; nil is the machine's
}

// Dial makes a client connection to one party. It connects with the first call, and again when that is needed. Calls
// return *fault.Error: what the server said; Unavailable, reason UNREACHABLE, when nobody answers; Unverified, reason
// PEER_IDENTITY, when somebody else does; Deadline when the time is up. A call without a deadline gets 20 s. Nothing is
// retried. Close the connection when done.
func Dial(cfg ClientConfig) (*Conn, error) {
	conn, peer, err := dial(cfg)
	if err != nil {
		return nil, err
	}
	return &Conn{cfg: cfg, now: &link{conn: conn, cert: cfg.Identity.Certificate(), peer: peer}}, nil
}

func dial(cfg ClientConfig) (*grpc.ClientConn, *watched, error) {
	if cfg.Identity == nil || cfg.Anchors == nil || cfg.Want.URI() == "" {
		return nil, nil, fault.New(fault.Invalid, "CLIENT", "A client needs an identity, trust anchors and the party to talk to.")
	}
	if !validAddress(cfg.Address) {
		return nil, nil, fault.New(fault.Invalid, "ADDRESS", "The address of "+cfg.Want.URI()+" must be written host:port.")
	}
	clock := orClock(cfg.Clock)
	peer := &watched{TransportCredentials: credentials.NewTLS(identity.ClientTLS(cfg.Identity, cfg.Anchors, cfg.Want, clock)), anchors: cfg.Anchors, clock: clock}
	creds := &refusals{TransportCredentials: peer}
	c := &client{peer: cfg.Want.URI(), log: orLog(cfg.Log), clock: clock, refusal: creds.in, holds: peer.holds, deadline: defaultDeadline, maxRequest: maxRequest}
	target, options := "dns:///"+cfg.Address, c.options()
	if cfg.Within != nil {
		// The name is looked up by the dialer that judges the answer, and not by gRPC.
		dial := cfg.Within.dialer(cfg.Resolver)
		target = "passthrough:///" + cfg.Address
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			creds.remember(err)
			return conn, err
		}))
	}
	conn, err := grpc.NewClient(target, append(options,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse), grpc.MaxCallSendMsgSize(maxRequest)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: aliveAfter, Timeout: aliveWithin}),
	)...)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "ADDRESS", "The address of "+cfg.Want.URI()+" cannot be used.").Because(err)
	}
	return conn, peer, nil
}

// validAddress keeps an address from being another kind of target, such as a socket or a resolver of gRPC.
func validAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && portErr == nil && host != "" && n > 0
}

// client turns what calls return into faults.
type client struct {
	peer       string // the other side, in words
	log        *slog.Logger
	clock      func() time.Time
	refusal    func(message string) *fault.Error // our own refusal of the other side that a status message quotes
	holds      func() error                      // judges the other side again; nil on a control socket
	deadline   time.Duration                     // for a unary call without one; 0 is none
	maxRequest int
}

// options are those of every client. Nothing but this program decides how it calls: no service configuration from DNS,
// no proxy from the environment, and no retry by the transport, which could send again what a queue believes it has sent once.
func (c *client) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithNoProxy(),
		grpc.WithConnectParams(reconnect),
		grpc.WithMaxHeaderListSize(maxAnswerHeaders),
		grpc.WithStaticStreamWindowSize(answerWindow),
		grpc.WithStaticConnWindowSize(answerWindow),
		grpc.WithUnaryInterceptor(c.unary),
		grpc.WithStreamInterceptor(c.stream),
	}
}

func (c *client) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if m, ok := req.(proto.Message); ok && proto.Size(m) > c.maxRequest {
		return fault.Newf(fault.Invalid, "MESSAGE_TOO_LARGE", "The message is larger than %d KiB, which is all that can be sent.", c.maxRequest>>10)
	}
	if _, ok := ctx.Deadline(); !ok && c.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.deadline)
		defer cancel()
	}
	start := c.clock()
	err := c.fault(invoke(outgoing(ctx), method, req, reply, conn, opts...))
	c.failed(ctx, method, start, err)
	return err
}

func (c *client) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	start := c.clock()
	s, err := open(outgoing(ctx), desc, conn, method, opts...)
	if err != nil {
		err = c.fault(err)
		c.failed(ctx, method, start, err)
		return nil, err
	}
	return &clientStream{ClientStream: s, client: c}, nil
}

// clientStream turns what a stream returns into faults; io.EOF stays, it is the good end.
type clientStream struct {
	grpc.ClientStream
	client *client
}

func (s *clientStream) SendMsg(m any) error {
	if err := s.client.again(); err != nil {
		return err
	}
	return s.client.fault(s.ClientStream.SendMsg(m))
}

func (s *clientStream) RecvMsg(m any) error {
	if err := s.client.fault(s.ClientStream.RecvMsg(m)); err != nil {
		return err
	}
	return s.client.again() // what somebody sent whose certificate ended meanwhile is not looked at
}

func (s *clientStream) CloseSend() error { return s.client.fault(s.ClientStream.CloseSend()) }
func (s *clientStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, s.client.fault(err)
}

// again judges the other side at a message of a stream, which can outlive a certificate.
func (c *client) again() error {
	if c.holds == nil {
		return nil
	}
	if err := c.holds(); err != nil {
		return fault.New(fault.Unverified, "PEER_IDENTITY", "The certificate of "+c.peer+" does not hold any more. "+fault.From(err).Message).Because(err)
	}
	return nil
}

func (c *client) fault(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if status.Code(err) == codes.Unavailable && c.refusal != nil {
		if f := c.refusal(status.Convert(err).Message()); f != nil {
			return f
		}
	}
	return fromStatus(err, c.peer)
}

func (c *client) failed(ctx context.Context, method string, start time.Time, err error) {
	if err == nil {
		return
	}
	f := fault.From(err) // its message may be the other side's text; the reason cannot
	c.log.LogAttrs(ctx, slog.LevelInfo, "rpc call failed", slog.String("method", method), slog.String("peer", c.peer),
		slog.String("request_id", RequestID(ctx)), slog.String("kind", f.Kind.String()), slog.String("reason", f.Reason),
		slog.Duration("duration", c.clock().Sub(start)))
}

// outgoing passes on the id of the request that is served, so that both sides' lines can be laid together.
func outgoing(ctx context.Context) context.Context {
	if id := RequestID(ctx); id != "" {
		return metadata.AppendToOutgoingContext(ctx, requestIDHeader, id)
	}
	return ctx
}

// refusals is TLS that remembers why it last refused the other side: gRPC keeps only the words of the error.
type refusals struct {
	credentials.TransportCredentials
	mu   sync.Mutex // guards last
	last *fault.Error
}

func (r *refusals) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := r.TransportCredentials.ClientHandshake(ctx, authority, conn)
	r.remember(err)
	return secured, info, err
}

// remember keeps a refusal of our own.
func (r *refusals) remember(err error) {
	var f *fault.Error
	if errors.As(err, &f) {
		r.mu.Lock()
		r.last = f
		r.mu.Unlock()
	}
}

// in returns the refusal if message quotes it: an older one says nothing about this call.
func (r *refusals) in(message string) *fault.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && strings.Contains(message, r.last.Error()) {
		return r.last
	}
	return nil
}
