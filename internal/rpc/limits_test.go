package rpc_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

// heard collects what a server tells of those it refuses.
type heard struct {
	mu      sync.Mutex
	refused []string // party, method, reason
	away    []string
}

func (w *world) listenTo() *heard {
	h := &heard{}
	w.refused = func(_ context.Context, p identity.Party, method string, why error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.refused = append(h.refused, p.URI()+" "+method+" "+fault.From(why).Reason)
	}
	w.count = func(what string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.away = append(h.away, what)
	}
	return h
}

func (h *heard) all() (refused, away []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.refused), slices.Clone(h.away)
}

func TestAPartyThatCallsTooOftenIsHeldBack(t *testing.T) {
	w := newWorld(t)
	h := w.listenTo()
	w.limits = rpc.Limits{CallsPerSecond: 1e-6, CallsBurst: 3}
	server := w.serve(t, submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		return &posternv1.SubmitResponse{}, nil
	}))
	desk := w.dial(t, deskURI, server.addr)
	for range 3 {
		if err := submit(soon(t), desk); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range []grpc.ClientConnInterface{desk, w.dial(t, deskURI, server.addr)} { // another connection is the same party
		f := wantFault(t, submit(soon(t), conn), fault.Exhausted, "RATE")
		if f.RetryAfter < time.Hour {
			t.Errorf("may try again after %v", f.RetryAfter)
		}
	}
	if err := submit(soon(t), w.dial(t, "spiffe://postern.example/prison/PRI/desk", server.addr)); err != nil {
		t.Errorf("another party: %v", err)
	}
	server.stop()
	refused, away := h.all()
	if len(refused) != 0 || !slices.Equal(away, []string{"RATE", "RATE"}) || len(server.log.lines(t)) != 4 {
		t.Errorf("refused %q, turned away %q, log\n%s", refused, away, server.log)
	}
}

func TestAPartyHasSoManyCallsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.limits = rpc.Limits{CallsAtOnce: 2}
	begun, end := make(chan bool, 2), make(chan bool)
	server := w.serve(t, submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		begun <- true
		<-end
		return &posternv1.SubmitResponse{}, nil
	}))
	conn := w.dial(t, deskURI, server.addr)
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if err := submit(soon(t), conn); err != nil {
				t.Error(err)
			}
		})
	}
	<-begun
	<-begun
	f := wantFault(t, submit(soon(t), conn), fault.Exhausted, "CALLS_AT_ONCE")
	if f.RetryAfter <= 0 {
		t.Error("it is not told when to try again")
	}
	close(end)
	calls.Wait()
	if err := submit(soon(t), conn); err != nil {
		t.Errorf("after they ended: %v", err)
	}
}

// Whoever connects and says nothing keeps nobody out: the oldest of them makes room.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	w := newWorld(t)
	h := w.listenTo()
	server := w.serve(t, failing(nil))
	var silent []net.Conn
	for range 300 {
		conn, err := net.Dial("tcp", server.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	if err := submit(soon(t), w.dial(t, deskURI, server.addr)); fault.KindOf(err) != fault.Internal { // it failed in the handler
		t.Fatalf("an honest desk: %v", err)
	}
	if _, err := silent[0].Read(make([]byte, 1)); err == nil { // ends when the other side closes, sooner than the handshake's time
		t.Fatal("the oldest was spoken to")
	}
	if _, away := h.all(); !slices.Contains(away, "UNPROVEN") {
		t.Errorf("turned away %q", away)
	}
}

func TestOneCertificateHasSoManyConnections(t *testing.T) {
	w := newWorld(t)
	h := w.listenTo()
	server := w.serve(t, failing(nil))
	cfg := identity.ClientTLS(w.issue(t, deskURI), w.anchors, party(t, hubURI), w.clock)
	connect := func() (net.Conn, bool) {
		conn, err := tls.Dial("tcp", server.addr, cfg)
		if err != nil {
			return nil, false
		}
		t.Cleanup(func() { conn.Close() })
		_, err = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // the preface and empty settings
		if err == nil {
			_, err = io.ReadFull(conn, make([]byte, 9)) // the server's settings come, or the connection ends
		}
		return conn, err == nil
	}
	var held []net.Conn
	for {
		conn, ok := connect()
		if !ok {
			break
		}
		if held = append(held, conn); len(held) > 200 {
			t.Fatal("there is no end of connections")
		}
	}
	if _, away := h.all(); len(held) != 96 || !slices.Contains(away, "CONNECTIONS") {
		t.Errorf("%d connections, turned away %q", len(held), away)
	}
	if err := submit(soon(t), w.dial(t, "spiffe://postern.example/prison/PRI/desk", server.addr)); fault.KindOf(err) != fault.Internal {
		t.Errorf("another party: %v", err)
	}
	held[0].Close()
	for ctx := soon(t); ; { // its place comes back when the server has seen its end
		if _, ok := connect(); ok {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the place of a closed connection does not come back")
		}
	}
}

// What is refused to a known party is told before it hears; of a stranger only the number is counted.
func TestRefusalsAreTold(t *testing.T) {
	w := newWorld(t)
	h := w.listenTo()
	server := w.serve(t, failing(fault.New(fault.NotFound, "NOT_FOUND", "Nothing.")))
	ask := func(uri, method, reason string) {
		t.Helper()
		err := w.dial(t, uri, server.addr).Invoke(soon(t), method, &posternv1.SubmitRequest{}, &posternv1.SubmitResponse{})
		if fault.From(err).Reason != reason {
			t.Fatalf("%s: %v", method, err)
		}
		refused, _ := h.all()
		if want := uri + " " + method + " " + reason; len(refused) == 0 || refused[len(refused)-1] != want && reason != "UNKNOWN_METHOD" {
			t.Errorf("told %q, want %q", refused, want)
		}
	}
	ask(inboxURI, "/postern.v1.SubmissionService/Submit", "ROLE")
	ask(deskURI, "/postern.v1.SubmissionService/Submit", "NOT_FOUND")
	ask(deskURI, "/postern.v1.SubmissionService/Nothing", "UNKNOWN_METHOD")
	refused, _ := h.all()
	if refused[2] != deskURI+" unknown UNKNOWN_METHOD" {
		t.Errorf("told %q", refused)
	}
	stranger := newWorld(t)
	conn := stranger.dialRaw(t, deskURI, server.addr)
	if err := submit(soon(t), conn); err == nil {
		t.Fatal("a stranger was answered")
	}
	desk := w.dialRaw(t, deskURI, server.addr)
	if err := submit(soon(t), desk); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	w.pass(25 * time.Hour)
	if err := submit(soon(t), desk); status.Code(err) != codes.Unauthenticated {
		t.Fatal(err)
	}
	more, away := h.all()
	if len(more) != 4 || !slices.Contains(away, "STRANGER") || !slices.Contains(away, "IDENTITY") {
		t.Errorf("told %q, turned away %q", more, away)
	}
}
