package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"postern/internal/fault"
	"postern/internal/identity"
)

// Every call, unary or stream, runs in this order:
//
//	begin   request id: the caller's if it is one, or a new one; echoed in the answer's header
//	enter   the party's rate, and how many of its calls run already
//	admit   identity (the certificate holds now), access (the role may call), deadline (there is one, at most 30 s)
//	handle  the message is read and the handler runs; a stream's caller is checked again at every message
//	end     a panic becomes an error, an error becomes a fault; one log line, but none for what enter held back; a refusal
//	        is recorded; "not there" waits for its bucket; the fault becomes a status
//
// end is deferred by the function that called begin, so no return and no panic in between can skip it.

// method is one registered method and who may call it.
type method struct {
	name    string // /postern.v1.SubmissionService/Submit
	callers roles
	stream  bool
}

// gate is the part of the guard in which a server between parties and a control socket differ.
type gate interface {
	// callers returns who may call each method of a service; an error keeps the server from starting.
	callers(service string) (map[string]roles, error)
	// admit decides whether a call may run. It says who calls as far as that is known, also beside an error.
	admit(ctx context.Context, m method) (context.Context, who, error)
	// again repeats the part of admit that time can change.
	again(ctx context.Context) error
}

// who calls: the party, or nobody, and how the log line says it.
type who struct {
	party identity.Party
	attr  slog.Attr
}

// call is one call between begin and end.
type call struct {
	server *Server
	method string
	id     string
	who    who
	start  time.Time
	began  time.Time      // by the machine's own clock, which no test moves
	place  identity.Party // whose place it has; nobody's for one that was held back, or on a control socket
	held   bool           // it was held back
}

func (s *Server) begin(ctx context.Context, method string) (context.Context, *call) {
	c := &call{server: s, method: method, id: s.requestID(ctx), start: s.clock(), began: time.Now()}
	// An error means that there is no transport to tell, and so nobody who would miss the header.
	_ = grpc.SetHeader(ctx, metadata.MD{requestIDHeader: {c.id}})
	return withRequestID(ctx, c.id), c
}

// end turns what came of the call into what its caller gets, and writes the call's one log line. Of what was held back
// it writes none, or a flood of calls would be one of the log; it is counted.
func (c *call) end(ctx context.Context, panicked any, err error) error {
	defer c.leave()
	if panicked != nil {
		err = panicError(panicked)
	}
	if c.held {
		c.server.turnedAway(fault.From(err).Reason)
		pause(c.server.draining, heldTime)
		return toStatus(fault.From(err), c.id).Err()
	}
	if err == nil {
		c.line(ctx, slog.LevelInfo, codes.OK)
		return nil
	}
	f := known(err)
	level := slog.LevelInfo
	if f.Kind == fault.Internal {
		level = slog.LevelError
	}
	more := []slog.Attr{slog.String("reason", f.Reason)}
	if cause := f.Unwrap(); cause != nil {
		more = append(more, slog.String("cause", cause.Error()))
	}
	c.line(ctx, level, codeOf(f.Kind), more...)
	c.told(ctx, f, err)
	return toStatus(f, c.id).Err()
}

// line writes the call's log line. It goes to the handler itself, since every call pays for it: a logger would look for the
// place in the code, which is always this one.
func (c *call) line(ctx context.Context, level slog.Level, code codes.Code, more ...slog.Attr) {
	h := c.server.log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, "rpc", 0)
	r.AddAttrs(slog.String("method", c.method), slog.String("request_id", c.id), c.who.attr,
		slog.Duration("duration", c.server.clock().Sub(c.start)), slog.String("code", code.String()))
	r.AddAttrs(more...)
	_ = h.Handle(ctx, r) // as a logger would: where a line cannot be written, nobody can be told
}

func (s *Server) guardUnary(m method, handle grpc.MethodHandler) grpc.MethodHandler {
	return func(impl any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (resp any, err error) {
		ctx, c := s.begin(ctx, m.name)
		defer func() { err = c.end(ctx, recover(), err) }()
		if ctx, err = c.admit(ctx, m); err != nil {
			return nil, err
		}
		within := ctx
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > s.longest {
			var cancel context.CancelFunc
			within, cancel = context.WithTimeout(ctx, s.longest) // of its own: end still has use for ctx
			defer cancel()
		}
		return handle(impl, within, func(v any) error { return received(decode(v)) }, nil)
	}
}

func (s *Server) guardStream(m method, handle grpc.StreamHandler) grpc.StreamHandler {
	return func(impl any, stream grpc.ServerStream) (err error) {
		ctx, c := s.begin(stream.Context(), m.name)
		defer func() { err = c.end(ctx, recover(), err) }()
		if ctx, err = c.admit(ctx, m); err != nil {
			return err
		}
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.draining, cancel)()
		return handle(impl, &guardedStream{ServerStream: stream, ctx: within, gate: s.gate})
	}
}

// unknown answers for every method that is not registered: the answer does not tell whether its service is.
func (s *Server) unknown(_ any, stream grpc.ServerStream) (err error) {
	ctx, c := s.begin(stream.Context(), unknownMethod)
	defer func() { err = c.end(ctx, recover(), err) }()
	if _, err = c.admit(ctx, method{name: unknownMethod, callers: everyRole, stream: true}); err != nil {
		return err
	}
	return errUnknownMethod()
}

// unknownMethod stands in the log for what is not there: its name is the caller's text.
const unknownMethod = "unknown"

func errUnknownMethod() *fault.Error {
	return fault.New(fault.Unimplemented, "UNKNOWN_METHOD", "There is no such method here.")
}

// guardedStream checks the caller again at every message: a connection can outlive its certificate.
type guardedStream struct {
	grpc.ServerStream
	ctx  context.Context
	gate gate
}

func (g *guardedStream) Context() context.Context { return g.ctx }

func (g *guardedStream) RecvMsg(m any) error {
	if err := g.gate.again(g.ctx); err != nil {
		return err
	}
	return received(g.ServerStream.RecvMsg(m))
}

func (g *guardedStream) SendMsg(m any) error {
	if err := g.gate.again(g.ctx); err != nil {
		return err
	}
	return g.ServerStream.SendMsg(m)
}

// received names what was wrong with a message that could not be read. gRPC has told the caller by then in its own
// words, which hold no value of the message; this is for our log.
func received(err error) error {
	switch status.Code(err) {
	case codes.OK, codes.Canceled, codes.DeadlineExceeded:
		return err
	case codes.ResourceExhausted:
		return fault.New(fault.Invalid, "MESSAGE_TOO_LARGE", "The message is too large.").Because(err)
	}
	if errors.Is(err, io.EOF) || fault.KindOf(err) != fault.Internal {
		return err
	}
	return fault.New(fault.Invalid, "MALFORMED", "The message cannot be read.").Because(err)
}

// panicError says where a handler panicked. The value stays out: it may be a message with a name in it.
func panicError(value any) error {
	what := fmt.Sprintf("%T", value)
	if e, ok := value.(runtime.Error); ok { // written by the runtime: types, indices, lengths
		what = e.Error()
	}
	return fmt.Errorf("panic: %s\n%s", what, debug.Stack())
}

const requestIDHeader = "x-request-id"

// A caller's request id stands in our log, so it can be digits of an id only, and not a place for words.
var requestIDs = regexp.MustCompile(`^[0-9a-f-]{16,64}$`)

func (s *Server) requestID(ctx context.Context) string {
	if got := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(got) == 1 && requestIDs.MatchString(got[0]) {
		return got[0]
	}
	b := make([]byte, 8) // 16 digits: short enough to read out over the telephone
	s.randMu.Lock()
	defer s.randMu.Unlock()
	// A failing source leaves zeros: an id is for finding a line, and no reason to refuse a call.
	_, _ = io.ReadFull(s.rand, b)
	return hex.EncodeToString(b)
}
