// Package rpc is how parties call one another and how a command calls its own party: servers, clients, the guard
// around every call, and the one table between faults and gRPC statuses.
//
// A server between parties guarantees, for every call of every registered method: the caller is a party whose
// certificate holds now, and its role stands in the method's `callers` option; the call has a deadline; it has a
// request id, which is in the log line, in the answer's header and in an error; the log line holds no payload; and an
// error that is not a *fault.Error, or a panic, reaches the caller as a reference number and nothing else. A method
// without callers stops the server from starting. A client gets a *fault.Error, never a gRPC status.
//
// It holds back whoever asks too much, by connections, calls, bytes and the shape of messages (limits.go), and tells
// them when to try again, so that one certificate cannot take the place of others. What it refuses to a known party its
// owner hears of first; what strangers try is counted. "Not there" leaves at a whole bucket of time.
//
// The control socket (local.go) has the same guard without roles: whoever may open the socket may call, and the
// handler asks LocalUID who it is. The package does not retry: queues do, and commands say what happened.
package rpc

import (
	"bufio"
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"postern/internal/fault"
	"postern/internal/identity"
)

// ServerConfig is what NewServer needs.
type ServerConfig struct {
	Identity *identity.Identity // who we are
	Anchors  *identity.Anchors  // whom we believe
	Log      *slog.Logger       // one line a call; nil logs nothing
	Clock    func() time.Time   // judges certificates; nil is time.Now
	Rand     io.Reader          // makes request ids; nil is crypto/rand; read under a lock
	Limits   Limits             // of what one party may ask; zero for the defaults

	// Refused hears that a call of a known party is refused, and why, before its caller does: a hub records it. The
	// method is "unknown" where there is no such method. What was turned away for asking too much it does not hear.
	Refused func(ctx context.Context, p identity.Party, method string, why error)
	// Count hears of everything that was turned away without a look at what is asked, by one word: STRANGER (nobody whom
	// the anchors know), IDENTITY, UNPROVEN, CONNECTIONS, CALLS_AT_ONCE, RATE, UNKNOWN_METHOD, PACKED.
	Count func(what string)
}

// Server serves registered services behind the guard. Register services with the generated functions, then Serve.
type Server struct {
	grpc    *grpc.Server
	health  *health.Server
	gate    gate
	longest time.Duration // how long a unary call may take
	log     *slog.Logger
	clock   func() time.Time
	broken  error // what is wrong with a registered service

	front    *front    // nil on a control socket, and so are the rest
	throttle *throttle // what one party may ask
	refused  func(ctx context.Context, p identity.Party, method string, why error)
	count    func(what string)

	randMu sync.Mutex // guards rand
	rand   io.Reader

	// draining ends when the server begins to stop: long streams end with it, unary calls finish.
	draining context.Context
	drain    context.CancelFunc
}

// NewServer makes a server between parties: TLS 1.3 with certificates on both sides, and every limit above. It also
// serves grpc.health.v1 to any party, SERVING from Serve until it is told to stop.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Identity == nil || cfg.Anchors == nil {
		return nil, fault.New(fault.Invalid, "SERVER", "A server needs an identity and trust anchors.")
	}
	clock := orClock(cfg.Clock)
	s := &Server{refused: cfg.Refused, count: cfg.Count, throttle: newThrottle(cfg.Limits, time.Now)}
	s.front = &front{TransportCredentials: credentials.NewTLS(identity.ServerTLS(cfg.Identity, cfg.Anchors, clock)), server: s, anchors: cfg.Anchors,
		unproven: map[netip.Prefix]*list.List{}, parties: map[identity.Party]int{}}
	s.open(cfg.Log, clock, cfg.Rand, &partyGate{anchors: cfg.Anchors, clock: clock}, maxCall,
		grpc.Creds(s.front),
		grpc.InTapHandle(s.knock),
		grpc.StatsHandler(packing{s}),
		grpc.ForceServerCodecV2(boundedCodec{encoding.GetCodecV2(protocodec.Name)}),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxSendMsgSize(maxResponse),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
	)
	healthv1.RegisterHealthServer(s, timedHealth{s.health, clock})
	return s, nil
}

// open sets what every server has in common. No compressor is registered anywhere: what is compressed next to a
// secret tells of it, and a small message could become a large one.
func (s *Server) open(log *slog.Logger, clock clock, random io.Reader, g gate, longest time.Duration, opts ...grpc.ServerOption) {
	s.health, s.gate, s.longest, s.log, s.clock = health.NewServer(), g, longest, orLog(log), clock
	if random == nil {
		random = rand.Reader
	}
	s.rand = bufio.NewReaderSize(random, 512) // the ids of 64 calls at a time
	s.draining, s.drain = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.NumStreamWorkers(workers),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: connectionIdle, MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionEnd,
			Time: aliveAfter, Timeout: aliveWithin,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingFloor, PermitWithoutStream: false}),
		grpc.UnknownServiceHandler(s.unknown),
	}, opts...)...)
}

// RegisterService puts the guard around every method of a service and registers it: the caller is known and allowed
// before its message is read. It makes Server a grpc.ServiceRegistrar. What is wrong with the service, Serve returns.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	callers, err := s.gate.callers(desc.ServiceName)
	if err != nil {
		s.broken = errors.Join(s.broken, err)
		return
	}
	guarded := *desc
	guarded.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		guarded.Methods[i] = grpc.MethodDesc{MethodName: m.MethodName, Handler: s.guardUnary(method{
			name: "/" + desc.ServiceName + "/" + m.MethodName, callers: callers[m.MethodName]}, m.Handler)}
	}
	guarded.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, d := range desc.Streams {
		d.Handler = s.guardStream(method{
			name: "/" + desc.ServiceName + "/" + d.StreamName, callers: callers[d.StreamName], stream: true}, d.Handler)
		guarded.Streams[i] = d
	}
	s.grpc.RegisterService(&guarded, impl)
}

// Serve answers calls on lis until ctx ends; then health says NOT_SERVING, no call begins, running ones finish, and
// after 15 s what still runs is cut off. It returns nil after such an end, and closes lis in every case. It returns
// fault.Precondition without serving when a registered method does not say who may call it.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	if s.broken != nil {
		return errors.Join(s.broken, lis.Close())
	}
	if s.front != nil {
		lis = listener{lis, s.front}
	}
	stop := context.AfterFunc(ctx, s.stop)
	defer stop()
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	err := s.grpc.Serve(lis)
	if err != nil { // the listener failed: the connections it made must not go on alone
		s.drain()
		s.grpc.Stop()
	}
	if ctx.Err() != nil && errors.Is(err, grpc.ErrServerStopped) { // ctx ended before it began
		return nil
	}
	return err
}

func (s *Server) stop() {
	s.health.Shutdown()
	s.drain()
	cut := time.AfterFunc(drainTime, s.grpc.Stop)
	defer cut.Stop()
	s.grpc.GracefulStop()
}

// clock tells the time.
type clock = func() time.Time

func orClock(c clock) clock {
	if c == nil {
		return time.Now
	}
	return c
}

func orLog(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
