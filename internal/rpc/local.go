package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	"postern/internal/fault"
)

// The limits of a control socket: the caller is on this machine and may open the socket, so they only bound accidents.
const (
	maxLocalRequest  = 4 << 20          // a whole signed directory
	maxLocalResponse = 16 << 20         // a list of every notification of a prison
	maxLocalCall     = 10 * time.Minute // a backup of a hub
)

// LocalConfig is what NewLocalServer needs.
type LocalConfig struct {
	Log   *slog.Logger     // one line a call; nil logs nothing
	Clock func() time.Time // times the calls in the log; nil is time.Now
	Rand  io.Reader        // makes request ids; nil is crypto/rand; read under a lock
}

// NewLocalServer makes the server of a control socket, for listeners of ListenLocal. Methods need no callers option:
// the handler asks LocalUID which user calls and decides. A call without a user is fault.Unauthenticated.
func NewLocalServer(cfg LocalConfig) *Server {
	return newLocalServer(cfg, &localCreds{TransportCredentials: insecure.NewCredentials(), uid: peerUID})
}

func newLocalServer(cfg LocalConfig, creds credentials.TransportCredentials) *Server {
	s := &Server{}
	s.open(cfg.Log, orClock(cfg.Clock), cfg.Rand, localGate{}, maxLocalCall,
		grpc.Creds(creds), grpc.MaxRecvMsgSize(maxLocalRequest), grpc.MaxSendMsgSize(maxLocalResponse))
	return s
}

// LocalUID returns the user id of the process that calls over the control socket, as the kernel took it down when the
// process connected; false for a call that came another way.
func LocalUID(ctx context.Context) (uint32, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return 0, false
	}
	info, ok := p.AuthInfo.(localInfo)
	return info.uid, ok
}

// WithLocalUID says which user calls, for a caller in the same process that knows it in another way: a simulator, a test.
func WithLocalUID(ctx context.Context, uid uint32) context.Context {
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: localInfo{uid: uid}})
}

// localGate admits whoever the kernel names.
type localGate struct{}

func (localGate) callers(string) (map[string]roles, error) { return nil, nil }

func (localGate) admit(ctx context.Context, _ method) (context.Context, who, error) {
	uid, ok := LocalUID(ctx)
	if !ok {
		return ctx, who{attr: slog.String("uid", "unknown")}, fault.New(fault.Unauthenticated, "NO_USER", "It cannot be told which user calls.")
	}
	return ctx, who{attr: slog.Uint64("uid", uint64(uid))}, nil
}

func (localGate) again(context.Context) error { return nil }

// localInfo is what a connection to the control socket proves.
type localInfo struct {
	credentials.CommonAuthInfo
	uid uint32
}

func (localInfo) AuthType() string { return "local" }

// localCreds takes the caller's user id at the start of a connection. Nothing is encrypted: the bytes stay in the kernel.
type localCreds struct {
	credentials.TransportCredentials // plain on the client's side
	uid                              func(net.Conn) (uint32, error)
}

func (c *localCreds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	uid, err := c.uid(conn)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	safe := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	return conn, localInfo{CommonAuthInfo: safe, uid: uid}, nil
}

// DialLocal connects to the control socket at path. When nobody listens it returns fault.Unavailable, reason
// NOT_RUNNING, at once. Calls have no deadline of their own and return *fault.Error.
func DialLocal(path string) (*grpc.ClientConn, error) {
	probe, err := dialSocket(context.Background(), path)
	if errors.Is(err, os.ErrPermission) {
		return nil, fault.New(fault.Denied, "NOT_YOURS", "You may not use this server's control socket. Run the command as the user that runs the server.").Because(err)
	} else if err != nil {
		return nil, fault.New(fault.Unavailable, "NOT_RUNNING", "No server is running on this data folder.").Because(err)
	}
	probe.Close()
	return dialLocal(insecure.NewCredentials(), func(ctx context.Context, _ string) (net.Conn, error) { return dialSocket(ctx, path) })
}

func dialLocal(creds credentials.TransportCredentials, dial func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	c := &client{peer: "The server on this machine", log: orLog(nil), clock: time.Now, maxRequest: maxLocalRequest}
	return grpc.NewClient("passthrough:///control.sock", append(c.options(),
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(dial),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxLocalResponse), grpc.MaxCallSendMsgSize(maxLocalRequest)),
	)...)
}

// InProcess runs a local server inside this process and returns a connection to it, for a command that found nobody
// listening and holds the store itself: the same code answers, and LocalUID is this process's own user. The returned
// function stops both and must be called.
func InProcess(cfg LocalConfig, register func(grpc.ServiceRegistrar)) (*grpc.ClientConn, func(), error) {
	lis := bufconn.Listen(64 << 10) // any size will do: both ends are read as fast as they are written
	s := newLocalServer(cfg, &localCreds{TransportCredentials: insecure.NewCredentials(), uid: func(net.Conn) (uint32, error) {
		return uint32(os.Getuid()), nil
	}})
	register(s)
	conn, err := dialLocal(insecure.NewCredentials(), func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) })
	if err != nil {
		return nil, nil, errors.Join(err, lis.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with cancel
		defer close(done)
		_ = s.Serve(ctx, lis) // nil after cancel; a failing call says the rest
	}()
	return conn, func() { conn.Close(); cancel(); <-done }, nil
}
