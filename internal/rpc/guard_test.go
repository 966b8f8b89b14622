package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"postern/internal/fault"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

func TestTheHandlerKnowsItsCaller(t *testing.T) {
	w := newWorld(t)
	type seen struct {
		party, id string
		left      time.Duration
	}
	calls := make(chan seen, 1)
	server := w.serve(t, submitting(func(ctx context.Context, _ *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		p, _ := rpc.Party(ctx)
		deadline, _ := ctx.Deadline()
		calls <- seen{p.URI(), rpc.RequestID(ctx), time.Until(deadline)}
		return &posternv1.SubmitResponse{}, nil
	}))
	if err := submit(t.Context(), w.dial(t, deskURI, server.addr)); err != nil { // without a deadline: our client sets one
		t.Fatal(err)
	}
	got := <-calls
	if got.party != deskURI || len(got.id) != 16 || got.left <= 0 || got.left > 20*time.Second {
		t.Fatalf("%+v", got)
	}
	hour, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := submit(hour, w.dial(t, deskURI, server.addr)); err != nil {
		t.Fatal(err)
	}
	if got := <-calls; got.left > 30*time.Second {
		t.Fatalf("a call may take %v", got.left)
	}
	if p, ok := rpc.Party(context.Background()); ok || p.URI() != "" {
		t.Fatal("there is a party outside a call")
	}
	if p, ok := rpc.Party(rpc.WithParty(context.Background(), party(t, deskURI))); !ok || p.URI() != deskURI {
		t.Fatal("WithParty is lost")
	}
}

func TestACallWithoutDeadlineIsRefused(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, failing(nil))
	err := submit(t.Context(), w.dialRaw(t, deskURI, server.addr))
	st := status.Convert(err)
	if st.Code() != codes.InvalidArgument || reasonOf(st) != "DEADLINE_REQUIRED" {
		t.Fatalf("%v", err)
	}
}

func reasonOf(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// What a handler fails with must not reach the caller unless it was written for people.
func TestNothingUnknownReachesTheCaller(t *testing.T) {
	const canary = "canary: Tess Example, ZZ99 3VZ"
	for name, tc := range map[string]struct {
		fail  func() error
		inLog bool // the cause of an unknown error is for our own log
	}{
		"an unknown error":         {func() error { return errors.New(canary) }, true},
		"a wrapped one":            {func() error { return fmt.Errorf("store: %w", errors.New(canary)) }, true},
		"a gRPC status":            {func() error { return status.Error(codes.NotFound, canary) }, true},
		"an internal fault":        {func() error { return fault.New(fault.Internal, "X", canary) }, false},
		"a panic":                  {func() error { panic(canary) }, false},
		"a panic with an error":    {func() error { panic(errors.New(canary)) }, false},
		"a panic of the runtime":   {func() error { return []error{}[len(canary)] }, false},
		"a panic with nil pointer": {func() error { var r *rpc.ServerConfig; return errors.New(r.Log.Handler().(fmt.Stringer).String()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			server := w.serve(t, submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
				return nil, tc.fail()
			}))
			err := submit(soon(t), w.dialRaw(t, deskURI, server.addr))
			st := status.Convert(err)
			if st.Code() != codes.Internal || strings.Contains(st.Proto().String(), "canary") {
				t.Fatalf("the caller sees %v", st.Proto())
			}
			lines := server.log.lines(t)
			if len(lines) != 1 || lines[0]["level"] != "ERROR" {
				t.Fatalf("%v", lines)
			}
			id, _ := lines[0]["request_id"].(string)
			if id == "" || !strings.Contains(st.Message(), id) {
				t.Fatalf("%q does not name %q", st.Message(), id)
			}
			if strings.Contains(server.log.String(), "canary") != tc.inLog {
				t.Fatalf("the log is %s", server.log)
			}
			if strings.Contains(name, "panic") && !strings.Contains(lines[0]["cause"].(string), "guard_test.go") {
				t.Fatalf("the log does not say where: %v", lines[0]["cause"])
			}
		})
	}
}

func TestAFaultReachesTheCallerWhole(t *testing.T) {
	w := newWorld(t)
	want := fault.New(fault.Exhausted, "BUDGET", "Too many refusals.").Because(errors.New("canary"))
	want.RetryAfter = 90 * time.Second
	want.Fields = []fault.Field{{Path: "children[1].home.postcode", Reason: "This is not a postcode.", Fix: "Write it as on a letter."}, {Path: "x", Reason: "Wrong."}}
	server := w.serve(t, failing(fmt.Errorf("wrapped: %w", want)))
	got := wantFault(t, submit(soon(t), w.dial(t, deskURI, server.addr)), fault.Exhausted, "BUDGET")
	if got.Error() != want.Error() || got.RetryAfter != want.RetryAfter || got.Fields[0] != want.Fields[0] || got.Fields[1] != want.Fields[1] {
		t.Fatalf("%+v", got)
	}
	if strings.Contains(fmt.Sprint(errors.Unwrap(got)), "canary") {
		t.Fatal("the cause went over the wire")
	}
}

func TestALateHandlerIsADeadline(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, submitting(func(ctx context.Context, _ *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	conn := w.dial(t, deskURI, server.addr)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := submit(ctx, conn); !errors.Is(wantFault(t, err, fault.Deadline, "DEADLINE"), context.DeadlineExceeded) {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := submit(ctx, conn); !errors.Is(wantFault(t, err, fault.Unavailable, "CANCELLED"), context.Canceled) {
		t.Fatal(err)
	}
}

func TestTheRequestIDIsEchoed(t *testing.T) {
	w := newWorld(t)
	for name, register := range map[string]func(grpc.ServiceRegistrar){
		"an answer": submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
			return &posternv1.SubmitResponse{}, nil
		}),
		"an error": failing(fault.New(fault.NotFound, "X", "Not there.")),
	} {
		t.Run(name, func(t *testing.T) {
			server := w.serve(t, register)
			conn := w.dial(t, deskURI, server.addr)
			for sent, keep := range map[string]bool{
				"":                                     false,
				"8c7e5e1a-1111-4222-8333-0123456789ab": true,
				"0123456789abcdef":                     true,
				"0123456789abcde":                      false,
				"Tess Example of Bristol":              false,
				strings.Repeat("a", 65):                false,
			} {
				ctx := soon(t)
				if sent != "" {
					ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", sent)
				}
				var header metadata.MD
				_ = submit(ctx, conn, grpc.Header(&header))
				got := header.Get("x-request-id")
				if len(got) != 1 || (got[0] == sent) != keep || !regexp.MustCompile(`^[0-9a-f-]{16,64}$`).MatchString(got[0]) {
					t.Errorf("sent %q, got %q", sent, got)
				}
				if lines := server.log.lines(t); lines[len(lines)-1]["request_id"] != got[0] {
					t.Errorf("logged %v", lines[len(lines)-1])
				}
			}
			if strings.Contains(server.log.String(), "Tess") {
				t.Error("a caller can write into the log")
			}
			twice := metadata.AppendToOutgoingContext(soon(t), "x-request-id", "0123456789abcdef", "x-request-id", "0123456789abcdef")
			var header metadata.MD
			_ = submit(twice, conn, grpc.Header(&header))
			if got := header.Get("x-request-id"); len(got) != 1 || got[0] == "0123456789abcdef" {
				t.Errorf("two ids became %q", got)
			}
		})
	}
}

func TestTheRequestIDComesFromRand(t *testing.T) {
	w := newWorld(t)
	log := &logBuffer{}
	s, err := rpc.NewServer(rpc.ServerConfig{Identity: w.issue(t, hubURI), Anchors: w.anchors, Clock: w.clock,
		Log: slog.New(slog.NewJSONHandler(log, nil)), Rand: bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 8})})
	if err != nil {
		t.Fatal(err)
	}
	failing(nil)(s)
	lis := listen(t, "127.0.0.1:0")
	go s.Serve(t.Context(), lis)
	conn := w.dial(t, deskURI, lis.Addr().String())
	for range 2 { // the second finds the source empty, which is no reason to fail
		_ = submit(soon(t), conn)
	}
	lines := log.lines(t)
	if lines[0]["request_id"] != "0102030405060708" || len(lines[1]["request_id"].(string)) != 16 {
		t.Fatalf("%v", lines)
	}
}

// One line a call, with these fields and no others, whatever the call holds.
func TestTheLogHoldsNoPayload(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		return &posternv1.SubmitResponse{Decision: &posternv1.Decision{}}, nil
	}))
	req := &posternv1.SubmitRequest{Notification: &posternv1.SealedNotification{Manifest: &posternv1.Signed{PayloadType: "canary"}}}
	if _, err := posternv1.NewSubmissionServiceClient(w.dial(t, deskURI, server.addr)).Submit(soon(t), req); err != nil {
		t.Fatal(err)
	}
	lines := server.log.lines(t)
	if len(lines) != 1 || strings.Contains(server.log.String(), "canary") {
		t.Fatalf("%s", server.log)
	}
	want := map[string]any{"msg": "rpc", "level": "INFO", "method": "/postern.v1.SubmissionService/Submit", "party": deskURI, "code": "OK"}
	for k, v := range want {
		if lines[0][k] != v {
			t.Errorf("%s is %v, want %v", k, lines[0][k], v)
		}
	}
	for k := range lines[0] {
		switch k {
		case "time", "msg", "level", "method", "party", "code", "request_id", "duration":
		default:
			t.Errorf("the line has %s", k)
		}
	}
}

func TestALargeMessageIsRefused(t *testing.T) {
	w := newWorld(t)
	called := make(chan int, 4)
	server := w.serve(t, submitting(func(_ context.Context, req *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		called <- len(req.GetNotification().GetManifest().GetPayload())
		return &posternv1.SubmitResponse{}, nil
	}))
	send := func(conn grpc.ClientConnInterface, size int) error {
		req := &posternv1.SubmitRequest{Notification: &posternv1.SealedNotification{Manifest: &posternv1.Signed{Payload: make([]byte, size)}}}
		_, err := posternv1.NewSubmissionServiceClient(conn).Submit(soon(t), req)
		return err
	}
	ours, raw := w.dial(t, deskURI, server.addr), w.dialRaw(t, deskURI, server.addr)
	if err := send(ours, 255<<10); err != nil {
		t.Fatal(err)
	}
	if n := <-called; n != 255<<10 {
		t.Fatalf("%d bytes came", n)
	}
	wantFault(t, send(ours, 257<<10), fault.Invalid, "MESSAGE_TOO_LARGE")
	if err := send(raw, 257<<10); status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("%v", err)
	}
	if len(called) != 0 {
		t.Fatal("the handler saw a message that is too large")
	}
	server.stop() // gRPC tells the caller before our line is written
	if lines := server.log.lines(t); lines[1]["reason"] != "MESSAGE_TOO_LARGE" {
		t.Fatalf("%v", lines[1])
	}
}

func TestAMalformedMessageIsTheCallersFault(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, failing(nil))
	garbage := &healthv1.HealthCheckRequest{Service: "garbage"} // field 1 is there, but not a message
	err := w.dial(t, deskURI, server.addr).Invoke(soon(t), "/postern.v1.SubmissionService/Submit", garbage, &posternv1.SubmitResponse{})
	if err == nil || strings.Contains(err.Error(), "garbage") {
		t.Fatalf("%v", err)
	}
	server.stop() // gRPC tells the caller before our line is written
	if lines := server.log.lines(t); len(lines) != 1 || lines[0]["reason"] != "MALFORMED" || lines[0]["level"] != "INFO" {
		t.Fatalf("%v", lines)
	}
}

// The handshake was good; the certificate ends while the connection lives.
func TestACertificateIsJudgedOnEveryCall(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, failing(fault.New(fault.NotFound, "REACHED", "Reached.")))
	conn := w.dialRaw(t, deskURI, server.addr) // ours would look at the hub's certificate, which ends too
	if err := submit(soon(t), conn); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	w.pass(25 * time.Hour)
	if err := submit(soon(t), conn); status.Code(err) != codes.Unauthenticated {
		t.Fatal(err)
	}
	lines := server.log.lines(t)
	if last := lines[len(lines)-1]; last["party"] != "unknown" || last["code"] != "Unauthenticated" {
		t.Fatalf("%v", last)
	}
}

// mailbox streams deliveries as the test says.
type mailbox struct {
	posternv1.UnimplementedMailboxServiceServer
	collect func(grpc.ServerStreamingServer[posternv1.CollectResponse]) error
}

func (m mailbox) Collect(_ *posternv1.CollectRequest, s grpc.ServerStreamingServer[posternv1.CollectResponse]) error {
	return m.collect(s)
}

func TestACertificateIsJudgedAtEveryMessage(t *testing.T) {
	w := newWorld(t)
	next := make(chan bool)
	server := w.serve(t, func(s grpc.ServiceRegistrar) {
		posternv1.RegisterMailboxServiceServer(s, mailbox{collect: func(s grpc.ServerStreamingServer[posternv1.CollectResponse]) error {
			if p, _ := rpc.Party(s.Context()); p.URI() != inboxURI || rpc.RequestID(s.Context()) == "" {
				return fault.New(fault.Denied, "WHO", "Who?")
			}
			for range next {
				if err := s.Send(&posternv1.CollectResponse{}); err != nil {
					return err
				}
			}
			return nil
		}})
	})
	stream, err := posternv1.NewMailboxServiceClient(w.dial(t, inboxURI, server.addr)).Collect(soon(t), &posternv1.CollectRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		next <- true
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(25 * time.Hour)
	next <- true
	_, err = stream.Recv()
	wantFault(t, err, fault.Unauthenticated, "IDENTITY")
}

func TestAPanicInAStreamIsAReferenceNumber(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, func(s grpc.ServiceRegistrar) {
		posternv1.RegisterMailboxServiceServer(s, mailbox{collect: func(grpc.ServerStreamingServer[posternv1.CollectResponse]) error { panic("canary") }})
	})
	stream, err := posternv1.NewMailboxServiceClient(w.dial(t, inboxURI, server.addr)).Collect(soon(t), &posternv1.CollectRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	f := wantFault(t, err, fault.Internal, "INTERNAL")
	if strings.Contains(f.Error(), "canary") || strings.Contains(server.log.String(), "canary") {
		t.Fatalf("%v\n%s", f, server.log)
	}
}
