package testkit

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/rpc"
)

// server is a server without a socket: the handlers of what was registered, by full method name.
type server struct {
	unary   map[string]func(ctx context.Context, decode func(any) error) (any, error)
	streams map[string]func(grpc.ServerStream) error
}

func newServer() server {
	return server{map[string]func(context.Context, func(any) error) (any, error){}, map[string]func(grpc.ServerStream) error{}}
}

// RegisterService takes the methods of a service.
func (s server) RegisterService(d *grpc.ServiceDesc, impl any) {
	for _, m := range d.Streams {
		s.streams["/"+d.ServiceName+"/"+m.StreamName] = func(stream grpc.ServerStream) error { return m.Handler(impl, stream) }
	}
	for _, m := range d.Methods {
		s.unary["/"+d.ServiceName+"/"+m.MethodName] = func(ctx context.Context, decode func(any) error) (any, error) {
			return m.Handler(impl, ctx, decode, nil)
		}
	}
}

// Link is one party's connection to another, with faults to switch on. It implements grpc.ClientConnInterface, so any
// generated client may use it. It may be used from any goroutine.
type Link struct {
	caller identity.Party
	server func() server // the other party as it is now: it may have been restarted

	mu       sync.Mutex // owns the fields below
	down     bool
	lose     int
	twice    bool
	gate     chan struct{}
	arrived  chan struct{}
	requests func(method string, b []byte) []byte
	answers  func(method string, b []byte) []byte
	carry    Carrier
	stream   StreamCarrier
	open     []context.CancelCauseFunc // the streams that were opened
}

// Carrier takes a call in place of the link: deliver has the other side handle the request, as it is by then, as often
// and as late as the carrier likes. What the carrier returns is all that the caller gets.
type Carrier func(method string, request []byte, deliver func() (answer []byte, err error)) (answer []byte, err error)

// StreamCarrier does for streams what Carrier does for calls: open has the other side begin to handle the request, and
// next what it returns lets the other side go on until it has another answer, in between which it stands still; io.EOF is
// the end. What the carrier returns in their place is what the caller sees, and the stream is over when stop was called.
type StreamCarrier func(method string, request []byte, open func() (next func() ([]byte, error), stop func())) (next func() ([]byte, error), stop func(), err error)

// Down cuts the link, or mends it: every call fails with Unavailable and the other side hears nothing; streams break.
func (l *Link) Down(down bool) {
	l.set(func() {
		if l.down = down; down {
			for _, cut := range l.open {
				cut(errLost)
			}
			l.open = nil
		}
	})
}

// LoseAnswers lets the next n calls be handled and loses their answers.
func (l *Link) LoseAnswers(n int) { l.set(func() { l.lose = n }) }

// Duplicate lets every call be handled twice, as when a message is repeated on the way; the second answer counts.
func (l *Link) Duplicate(on bool) { l.set(func() { l.twice = on }) }

// Hold keeps every call from being handled until release is called or its context ends. A value on arrived says that a
// call waits.
func (l *Link) Hold() (arrived <-chan struct{}, release func()) {
	gate, waiting := make(chan struct{}), make(chan struct{}, 64)
	l.set(func() { l.gate, l.arrived = gate, waiting })
	return waiting, sync.OnceFunc(func() {
		l.set(func() { l.gate = nil })
		close(gate)
	})
}

// Requests lets fn see, and change, the bytes of every request, also of one that a cut link does not carry; nil ends it.
func (l *Link) Requests(fn func(method string, b []byte) []byte) { l.set(func() { l.requests = fn }) }

// Answers does for answers what Requests does for requests.
func (l *Link) Answers(fn func(method string, b []byte) []byte) { l.set(func() { l.answers = fn }) }

// Carry hands every call to a carrier, past the other faults; nil ends it.
func (l *Link) Carry(c Carrier) { l.set(func() { l.carry = c }) }

// CarryStreams hands every stream to a carrier, past the other faults; nil ends it.
func (l *Link) CarryStreams(c StreamCarrier) { l.set(func() { l.stream = c }) }

func (l *Link) set(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

var (
	errDown = fault.New(fault.Unavailable, "NOBODY", "Nobody answers there.")
	errLost = fault.New(fault.Unavailable, "CUT_OFF", "The connection broke before the answer came.")
)

// Invoke makes one call: bytes there, bytes back.
func (l *Link) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	b, err := proto.Marshal(args.(proto.Message))
	if err != nil {
		return fault.From(err)
	}
	l.mu.Lock()
	down, twice, gate, arrived, requests, answers := l.down, l.twice, l.gate, l.arrived, l.requests, l.answers
	carry := l.carry
	lose := l.lose > 0 && !down
	if lose {
		l.lose--
	}
	l.mu.Unlock()
	if carry != nil {
		answer, err := carry(method, b, func() ([]byte, error) { return l.handle(context.WithoutCancel(ctx), method, b) })
		if err != nil {
			return err
		}
		return read(answer, reply)
	}
	if requests != nil {
		b = requests(method, b)
	}
	if down {
		return errDown
	}
	if gate != nil {
		select {
		case arrived <- struct{}{}:
		default:
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return fault.New(fault.Deadline, "DEADLINE", "The time ran out.").Because(ctx.Err())
		}
	}
	answer, err := l.handle(ctx, method, b)
	if twice {
		answer, err = l.handle(ctx, method, b)
	}
	if lose {
		return errLost
	}
	if err != nil {
		return err
	}
	if answers != nil {
		answer = answers(method, answer)
	}
	return read(answer, reply)
}

func read(answer []byte, reply any) error {
	if err := proto.Unmarshal(answer, reply.(proto.Message)); err != nil {
		return fault.New(fault.Unavailable, "GARBLED", "The answer cannot be read.").Because(err)
	}
	return nil
}

// handle is the other side's part of a call.
func (l *Link) handle(ctx context.Context, method string, request []byte) ([]byte, error) {
	handler, ok := l.server().unary[method]
	if !ok {
		return nil, fault.New(fault.Unimplemented, "UNKNOWN_METHOD", "There is no such method here.")
	}
	answer, err := handler(rpc.WithParty(ctx, l.caller), func(m any) error {
		if err := proto.Unmarshal(request, m.(proto.Message)); err != nil {
			return fault.New(fault.Invalid, "MALFORMED", "The message cannot be read.").Because(err)
		}
		return nil
	})
	if err != nil {
		return nil, public(err)
	}
	return proto.Marshal(answer.(proto.Message))
}

// public is what of an error crosses between parties: no cause, and of an internal one nothing.
func public(err error) error {
	f := fault.From(err)
	if f.Kind == fault.Internal {
		return fault.New(fault.Internal, "INTERNAL", "Something went wrong on the other side.")
	}
	out := fault.New(f.Kind, f.Reason, f.Message)
	out.Fields, out.RetryAfter = slices.Clone(f.Fields), f.RetryAfter
	return out
}
