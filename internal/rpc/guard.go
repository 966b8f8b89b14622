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
)

// Every call, unary or stream, runs in this order:
//
//	begin   request id: the caller's if it is one, or a new one; echoed in the answer's header
//	admit   identity (the certificate holds now), access (the role may call), deadline (there is one, at most 30 s)
//	handle  the message is read and the handler runs; a stream's caller is checked again at every message
//	end     a panic becomes an error, an error becomes a fault; one log line; the fault becomes a status
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
	// admit decides whether a call may run. The attribute says who calls as far as that is known, also beside an error.
	admit(ctx context.Context, m method) (context.Context, slog.Attr, error)
	// again repeats the part of admit that time can change.
	again(ctx context.Context) error
}

// call is one call between begin and end.
type call struct {
	server *Server
	method string
	id     string
	who    slog.Attr
	start  time.Time
}

func (s *Server) begin(ctx context.Context, method string) (context.Context, *call) {
	c := &call{server: s, method: method, id: s.requestID(ctx), start: s.clock()}
	// An error means that there is no transport to tell, and so nobody who would miss the header.
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, c.id))
	return withRequestID(ctx, c.id), c
}

// end turns what came of the call into what its caller gets, and writes the call's one log line.
func (c *call) end(ctx context.Context, panicked any, err error) error {
	if panicked != nil {
		err = panicError(panicked)
	}
	attrs := []slog.Attr{slog.String("method", c.method), slog.String("request_id", c.id), c.who,
		slog.Duration("duration", c.server.clock().Sub(c.start))}
	if err == nil {
		c.server.log.LogAttrs(ctx, slog.LevelInfo, "rpc", append(attrs, slog.String("code", codes.OK.String()))...)
		return nil
	}
	f := known(err)
	level := slog.LevelInfo
	if f.Kind == fault.Internal {
		level = slog.LevelError
	}
	attrs = append(attrs, slog.String("code", codeOf(f.Kind).String()), slog.String("reason", f.Reason))
	if cause := f.Unwrap(); cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	c.server.log.LogAttrs(ctx, level, "rpc", attrs...)
	return toStatus(f, c.id).Err()
}

func (s *Server) guardUnary(m method, handle grpc.MethodHandler) grpc.MethodHandler {
	return func(impl any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (resp any, err error) {
		ctx, c := s.begin(ctx, m.name)
		defer func() { err = c.end(ctx, recover(), err) }()
		if ctx, c.who, err = s.gate.admit(ctx, m); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, s.longest)
		defer cancel()
		return handle(impl, ctx, func(v any) error { return received(decode(v)) }, nil)
	}
}

func (s *Server) guardStream(m method, handle grpc.StreamHandler) grpc.StreamHandler {
	return func(impl any, stream grpc.ServerStream) (err error) {
		ctx, c := s.begin(stream.Context(), m.name)
		defer func() { err = c.end(ctx, recover(), err) }()
		if ctx, c.who, err = s.gate.admit(ctx, m); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.draining, cancel)()
		return handle(impl, &guardedStream{ServerStream: stream, ctx: ctx, gate: s.gate})
	}
}

// unknown answers for every method that is not registered: the answer does not tell whether its service is.
func (s *Server) unknown(_ any, stream grpc.ServerStream) (err error) {
	ctx, c := s.begin(stream.Context(), "unknown") // the name is the caller's text and stays out of the log
	defer func() { err = c.end(ctx, recover(), err) }()
	if _, c.who, err = s.gate.admit(ctx, method{name: "unknown", callers: everyRole, stream: true}); err != nil {
		return err
	}
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
