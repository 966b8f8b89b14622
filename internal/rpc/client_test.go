package rpc_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

func TestNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	lis := listen(t, "127.0.0.1:0")
	lis.Close()
	wantFault(t, submit(soon(t), w.dial(t, deskURI, lis.Addr().String())), fault.Unavailable, "UNREACHABLE")
}

func TestSomebodyElseAnswers(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	for name, server := range map[string]*running{
		"another hub":         w.serveAs(t, hubURI+"-b", listen(t, "127.0.0.1:0"), failing(nil)),
		"an inbox":            w.serveAs(t, inboxURI, listen(t, "127.0.0.1:0"), failing(nil)),
		"a hub of a stranger": other.serve(t, failing(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			wantFault(t, submit(soon(t), w.dial(t, deskURI, server.addr)), fault.Unverified, "PEER_IDENTITY")
		})
	}
}

func TestAServerThatRefusesUsIsUnreachable(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	server := w.serve(t, failing(nil))
	conn, err := rpc.Dial(rpc.ClientConfig{Address: server.addr, Identity: other.issue(t, deskURI), Anchors: w.anchors, Want: party(t, hubURI), Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wantFault(t, submit(soon(t), conn), fault.Unavailable, "UNREACHABLE")
	if len(server.log.lines(t)) != 0 {
		t.Fatal("a stranger reached the guard")
	}
}

func TestAClientWithoutCertificateOrWithOldTLSGetsNowhere(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, failing(nil))
	for name, change := range map[string]func(*tls.Config){
		"no certificate": func(c *tls.Config) { c.GetClientCertificate = nil },
		"TLS 1.2":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := identity.ClientTLS(w.issue(t, deskURI), w.anchors, party(t, hubURI), w.clock)
			change(cfg)
			conn, err := grpc.NewClient(server.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := healthv1.NewHealthClient(conn).Check(soon(t), &healthv1.HealthCheckRequest{}); err == nil {
				t.Fatal("it was let in")
			}
		})
	}
	if len(server.log.lines(t)) != 0 {
		t.Fatal("a stranger reached the guard")
	}
}

func TestAClientThatCannotBeMadeIsAFault(t *testing.T) {
	w := newWorld(t)
	good := rpc.ClientConfig{Address: "127.0.0.1:1", Identity: w.issue(t, deskURI), Anchors: w.anchors, Want: party(t, hubURI)}
	for name, tc := range map[string]struct {
		change func(*rpc.ClientConfig)
		reason string
	}{
		"no identity":       {func(c *rpc.ClientConfig) { c.Identity = nil }, "CLIENT"},
		"no anchors":        {func(c *rpc.ClientConfig) { c.Anchors = nil }, "CLIENT"},
		"nobody to talk to": {func(c *rpc.ClientConfig) { c.Want = identity.Party{} }, "CLIENT"},
		"no address":        {func(c *rpc.ClientConfig) { c.Address = "" }, "ADDRESS"},
		"no port":           {func(c *rpc.ClientConfig) { c.Address = "hub.example" }, "ADDRESS"},
		"a unix socket":     {func(c *rpc.ClientConfig) { c.Address = "unix:///run/x.sock" }, "ADDRESS"},
		"a resolver":        {func(c *rpc.ClientConfig) { c.Address = "xds:///hub" }, "ADDRESS"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			tc.change(&cfg)
			_, err := rpc.Dial(cfg)
			wantFault(t, err, fault.Invalid, tc.reason)
		})
	}
	if _, err := rpc.NewServer(rpc.ServerConfig{}); fault.KindOf(err) != fault.Invalid {
		t.Fatalf("a server without identity: %v", err)
	}
}

func TestTheRequestIDOfOneCallGoesOnToTheNext(t *testing.T) {
	w := newWorld(t)
	second := w.serve(t, submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		return &posternv1.SubmitResponse{}, nil
	}))
	onward := w.dial(t, deskURI, second.addr)
	first := w.serve(t, submitting(func(ctx context.Context, _ *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		return &posternv1.SubmitResponse{}, submit(ctx, onward)
	}))
	var header metadata.MD
	if err := submit(soon(t), w.dial(t, deskURI, first.addr), grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	if got := second.log.lines(t)[0]["request_id"]; got != header.Get("x-request-id")[0] {
		t.Fatalf("%v at the second, %v at the first", got, header)
	}
}

func TestARunningCallFinishesWhenTheServerStops(t *testing.T) {
	w := newWorld(t)
	began, finish := make(chan bool), make(chan bool)
	server := w.serve(t, submitting(func(ctx context.Context, _ *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		close(began)
		<-finish
		return &posternv1.SubmitResponse{}, ctx.Err()
	}))
	conn := w.dial(t, deskURI, server.addr)
	watch, err := healthv1.NewHealthClient(w.dial(t, deskURI, server.addr)).Watch(soon(t), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatal(got, err)
	}
	done := make(chan error, 1)
	ctx := soon(t)
	go func() { done <- submit(ctx, conn) }()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- server.stop() }()
	for { // NOT_SERVING may be seen or not; the stream ends in any case, or the server could not stop
		if _, err := watch.Recv(); err != nil {
			break
		}
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatalf("the running call: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Fatalf("Serve: %v", err)
	}
	wantFault(t, submit(soon(t), conn), fault.Unavailable, "UNREACHABLE")
}

func TestAServerThatIsStoppedBeforeItStartsReturns(t *testing.T) {
	w := newWorld(t)
	s, err := rpc.NewServer(rpc.ServerConfig{Identity: w.issue(t, hubURI), Anchors: w.anchors})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lis := listen(t, "127.0.0.1:0")
	if err := s.Serve(ctx, lis); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.DialTimeout("tcp", lis.Addr().String(), time.Second); err == nil {
		conn.Close()
		t.Fatal("the listener was left open")
	}
}

// brokenListener fails when it is told to.
type brokenListener struct {
	net.Listener
	broken chan error
}

func (b *brokenListener) Accept() (net.Conn, error) { return nil, <-b.broken }

func TestAServerWhoseListenerFailsSaysSo(t *testing.T) {
	w := newWorld(t)
	lis := &brokenListener{listen(t, "127.0.0.1:0"), make(chan error, 1)}
	server := w.serveAs(t, hubURI, lis, failing(nil))
	lis.broken <- net.ErrClosed
	if err := server.served(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("%v", err)
	}
}
