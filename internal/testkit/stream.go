package testkit

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/rpc"
)

// NewStream opens a stream from the server: one request there, many answers back, each as bytes. A link that is cut ends
// it; LoseAnswers breaks it at the next answer.
func (l *Link) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errDown
	}
	handler, ok := l.server().streams[method]
	if !ok {
		return nil, fault.New(fault.Unimplemented, "UNKNOWN_METHOD", "There is no such method here.")
	}
	if l.stream != nil {
		return &carriedStream{link: l, carrier: l.stream, handler: handler, method: method, ctx: ctx}, nil
	}
	ctx, cut := context.WithCancelCause(ctx)
	l.open = append(l.open, cut)
	return &clientStream{link: l, handler: handler, method: method, ctx: ctx, cut: cut, answers: make(chan []byte), ended: make(chan struct{})}, nil
}

// clientStream is the caller's end.
type clientStream struct {
	grpc.ClientStream // not used: a method that this does not have panics
	link              *Link
	handler           func(grpc.ServerStream) error
	method            string
	ctx               context.Context
	cut               context.CancelCauseFunc
	request           []byte
	answers           chan []byte
	ended             chan struct{}
	err               error // of the handler, once ended is closed
	begin             sync.Once
}

func (s *clientStream) Context() context.Context { return s.ctx }

func (s *clientStream) SendMsg(m any) (err error) {
	s.request, err = proto.Marshal(m.(proto.Message))
	return err
}

// CloseSend says that the request is whole: the handler begins.
func (s *clientStream) CloseSend() error {
	s.begin.Do(func() {
		go func() {
			defer close(s.ended)
			ctx := rpc.WithParty(s.ctx, s.link.caller)
			if s.err = s.handler(&serverStream{ctx: ctx, request: s.request, answer: s.answer(ctx)}); s.err != nil {
				s.err = public(s.err)
			}
		}()
	})
	return nil
}

func (s *clientStream) RecvMsg(m any) error {
	select {
	case b := <-s.answers:
		s.link.mu.Lock()
		lose := s.link.lose > 0
		if lose {
			s.link.lose--
		}
		change := s.link.answers
		s.link.mu.Unlock()
		if lose {
			s.cut(errLost)
			<-s.ended
			return errLost
		}
		if change != nil {
			b = change(s.method, b)
		}
		return proto.Unmarshal(b, m.(proto.Message))
	case <-s.ended:
		if s.err == nil {
			return io.EOF
		}
		if cause := context.Cause(s.ctx); cause != nil {
			return cause
		}
		return s.err
	}
}

// answer gives the caller an answer, when it takes it.
func (s *clientStream) answer(ctx context.Context) func([]byte) error {
	return func(b []byte) error {
		select {
		case s.answers <- b:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// serverStream is the handler's end of a stream, whoever brings its answers to the caller.
type serverStream struct {
	grpc.ServerStream // not used: a method that this does not have panics
	ctx               context.Context
	request           []byte
	answer            func([]byte) error
	got               bool
}

func (s *serverStream) Context() context.Context     { return s.ctx }
func (s *serverStream) SetHeader(metadata.MD) error  { return nil }
func (s *serverStream) SendHeader(metadata.MD) error { return nil }
func (s *serverStream) SetTrailer(metadata.MD)       {}

func (s *serverStream) RecvMsg(m any) error {
	if s.got {
		return io.EOF
	}
	s.got = true
	return proto.Unmarshal(s.request, m.(proto.Message))
}

func (s *serverStream) SendMsg(m any) error {
	b, err := proto.Marshal(m.(proto.Message))
	if err != nil {
		return fault.From(err)
	}
	return s.answer(b)
}
