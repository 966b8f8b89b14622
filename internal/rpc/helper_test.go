package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

const (
	deskURI     = "spiffe://postern.example/prison/BLI/desk"
	inboxURI    = "spiffe://postern.example/authority/E06000023/inbox"
	hubURI      = "spiffe://postern.example/hub/one"
	auditorURI  = "spiffe://postern.example/auditor/one"
	operatorURI = "spiffe://postern.example/operator/one"
)

// world is a trust domain with a clock that a test moves.
type world struct {
	dir     string
	anchors *identity.Anchors
	now     atomic.Int64
	limits  rpc.Limits // of the servers that are started from here on
	refused func(ctx context.Context, p identity.Party, method string, why error)
	count   func(what string)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	w.now.Store(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC).Unix())
	if err := ca.Init(w.dir, ca.Config{Domain: "postern.example", Now: w.clock()}); err != nil {
		t.Fatal(err)
	}
	pem := func(anchor string) []byte {
		b, err := os.ReadFile(filepath.Join(w.dir, anchor, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var err error
	w.anchors, err = identity.NewAnchors(identity.AnchorConfig{Domain: "postern.example",
		Prison: pem("prison"), Authority: pem("authority"), Hub: pem("hub"), Auditor: pem("auditor")})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time { return time.Unix(w.now.Load(), 0) }

func (w *world) pass(d time.Duration) { w.now.Add(int64(d / time.Second)) }

// issue makes an identity that holds for a day.
func (w *world) issue(t *testing.T, uri string) *identity.Identity {
	t.Helper()
	out := filepath.Join(t.TempDir(), "x")
	if err := ca.Issue(w.dir, uri, ca.IssueConfig{OutCert: out + ".pem", OutKey: out + "-key.pem", Now: w.clock(), Days: 1}); err != nil {
		t.Fatal(err)
	}
	i, err := identity.Load(out+".pem", out+"-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// running is a server that a test started, with its log.
type running struct {
	addr string
	log  *logBuffer
	stop func() error // ends the server and returns what Serve returned

	served func() error // waits for what Serve returns
}

// serve runs a server of the hub until the test ends.
func (w *world) serve(t *testing.T, register func(grpc.ServiceRegistrar)) *running {
	t.Helper()
	return w.serveAs(t, hubURI, listen(t, "127.0.0.1:0"), register)
}

func (w *world) serveAs(t *testing.T, uri string, lis net.Listener, register func(grpc.ServiceRegistrar)) *running {
	t.Helper()
	return w.serveWith(t, w.issue(t, uri), lis, register)
}

func (w *world) serveWith(t *testing.T, i *identity.Identity, lis net.Listener, register func(grpc.ServiceRegistrar)) *running {
	t.Helper()
	r := &running{addr: lis.Addr().String(), log: &logBuffer{}}
	s, err := rpc.NewServer(rpc.ServerConfig{Identity: i, Anchors: w.anchors, Log: slog.New(slog.NewJSONHandler(r.log, nil)), Clock: w.clock,
		Limits: w.limits, Refused: w.refused, Count: w.count})
	if err != nil {
		t.Fatal(err)
	}
	register(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	r.served = sync.OnceValue(func() error { return <-done })
	r.stop = func() error { cancel(); return r.served() }
	t.Cleanup(func() { r.stop() })
	return r
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// dial connects a party to the hub at addr.
func (w *world) dial(t *testing.T, uri, addr string) *rpc.Conn {
	t.Helper()
	return w.dialWant(t, uri, addr, hubURI)
}

func (w *world) dialWant(t *testing.T, uri, addr, want string) *rpc.Conn {
	t.Helper()
	conn, err := rpc.Dial(rpc.ClientConfig{Address: addr, Identity: w.issue(t, uri), Anchors: w.anchors, Want: party(t, want), Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dialRaw connects with TLS as it must be and nothing else of ours: a stranger's client.
func (w *world) dialRaw(t *testing.T, uri, addr string) *grpc.ClientConn {
	t.Helper()
	cfg := identity.ClientTLS(w.issue(t, uri), w.anchors, party(t, hubURI), w.clock)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func party(t *testing.T, uri string) identity.Party {
	t.Helper()
	p, err := identity.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// submission is a hub whose Submit is a function of the test.
type submission struct {
	posternv1.UnimplementedSubmissionServiceServer
	submit func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error)
}

func (s submission) Submit(ctx context.Context, req *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
	return s.submit(ctx, req)
}

func submitting(f func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error)) func(grpc.ServiceRegistrar) {
	return func(s grpc.ServiceRegistrar) { posternv1.RegisterSubmissionServiceServer(s, submission{submit: f}) }
}

// failing is a hub whose Submit fails with err.
func failing(err error) func(grpc.ServiceRegistrar) {
	return submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) { return nil, err })
}

func submit(ctx context.Context, conn grpc.ClientConnInterface, opts ...grpc.CallOption) error {
	_, err := posternv1.NewSubmissionServiceClient(conn).Submit(ctx, &posternv1.SubmitRequest{}, opts...)
	return err
}

func wantFault(t *testing.T, err error, kind fault.Kind, reason string) *fault.Error {
	t.Helper()
	f, ok := err.(*fault.Error)
	if !ok {
		t.Fatalf("%T %v is not a fault; want %v %s", err, err, kind, reason)
	}
	if f.Kind != kind || f.Reason != reason {
		t.Fatalf("%v %s: %v (%v); want %v %s", f.Kind, f.Reason, err, f.Unwrap(), kind, reason)
	}
	return f
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines returns the lines of calls, read back.
func (l *logBuffer) lines(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, line := range bytes.Split([]byte(l.String()), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, m)
	}
	return out
}

func lookSubmit(look func(context.Context)) func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
	return func(ctx context.Context, _ *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		look(ctx)
		return &posternv1.SubmitResponse{}, nil
	}
}
