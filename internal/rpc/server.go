// Package rpc is how parties call one another and how a command calls its own party: servers, clients, the guard
// around every call, and the one table between faults and gRPC statuses.
//
// A server between parties guarantees, for every call of every registered method: the caller is a party whose
// certificate holds now, and its role stands in the method's `callers` option; the call has a deadline; it has a
// request id, which is in the log line, in the answer's header and in an error; the log line holds no payload; and an
// error that is not a *fault.Error, or a panic, reaches the caller as a reference number and nothing else. A method
// without callers stops the server from starting. A client gets a *fault.Error, never a gRPC status.
//
// The control socket (local.go) has the same guard without roles: whoever may open the socket may call, and the
// handler asks LocalUID who it is. The package does not retry: queues do, and commands say what happened.
package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"postern/internal/fault"
	"postern/internal/identity"
)

// The limits of a server between parties. The defaults of gRPC are no limits.
const (
	maxRequest     = 256 << 10        // a notification of 16 children with every section fits (DESIGN §13)
	maxResponse    = 1 << 20          // the largest answer is a page of the directory or a policy bundle
	maxStreams     = 100              // calls at once over one connection: a desk makes one at a time
	maxHeaders     = 16 << 10         // we send a request id and a deadline; nobody needs more
	handshakeTime  = 5 * time.Second  // a connection that proves nothing by then is not a party
	connectionAge  = 3 * time.Minute  // certificates are shown again this often
	connectionEnd  = 30 * time.Second // then a running call may finish: no call lasts longer
	connectionIdle = 5 * time.Minute  // a connection that nobody uses costs memory; reached if connectionAge grows
	aliveAfter     = 60 * time.Second // ask a silent peer whether it is there, before a NAT forgets it
	aliveWithin    = 10 * time.Second // and give it up when it does not answer
	pingFloor      = 30 * time.Second // a client that asks more often than this is a flood
	maxCall        = 30 * time.Second // the longest deadline a caller gets
	drainTime      = 15 * time.Second // running calls finish within it; the process ends within 20 s of SIGTERM
	workers        = 64               // calls that find a goroutine waiting, with a stack grown by the calls before; more calls make their own
)

// ServerConfig is what NewServer needs.
type ServerConfig struct {
	Identity *identity.Identity // who we are
	Anchors  *identity.Anchors  // whom we believe
	Log      *slog.Logger       // one line a call; nil logs nothing
	Clock    func() time.Time   // judges certificates; nil is time.Now
	Rand     io.Reader          // makes request ids; nil is crypto/rand; read under a lock
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
	s := newServer(cfg.Log, clock, cfg.Rand, &partyGate{anchors: cfg.Anchors, clock: clock}, maxCall,
		grpc.Creds(credentials.NewTLS(identity.ServerTLS(cfg.Identity, cfg.Anchors, clock))),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxSendMsgSize(maxResponse),
	)
	healthv1.RegisterHealthServer(s, timedHealth{s.health, clock})
	return s, nil
}

// newServer sets what every server has in common. No compressor is registered anywhere: what is compressed next to a
// secret tells of it, and a small message could become a large one.
func newServer(log *slog.Logger, clock func() time.Time, random io.Reader, g gate, longest time.Duration, opts ...grpc.ServerOption) *Server {
	s := &Server{health: health.NewServer(), gate: g, longest: longest, log: orLog(log), clock: clock, rand: random}
	if s.rand == nil {
		s.rand = rand.Reader
	}
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
	return s
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

func orClock(clock func() time.Time) func() time.Time {
	if clock == nil {
		return time.Now
	}
	return clock
}

func orLog(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
