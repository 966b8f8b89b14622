package testkit

import (
	"context"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/rpc"
)

// carriedStream is the caller's end of a stream that a carrier has. Caller and handler never run at once: the handler
// stands still while its answer is on its way, so that one seed is one history. That the caller has gone away the carrier
// must find out: cancelling the caller's context does not move the handler.
type carriedStream struct {
	grpc.ClientStream // not used: a method that this does not have panics
	link              *Link
	carrier           StreamCarrier
	handler           func(grpc.ServerStream) error
	method            string
	ctx               context.Context
	request           []byte
	next              func() ([]byte, error)
	stop              func()
}

func (s *carriedStream) Context() context.Context { return s.ctx }

func (s *carriedStream) SendMsg(m any) (err error) {
	s.request, err = proto.Marshal(m.(proto.Message))
	return err
}

// CloseSend says that the request is whole.
func (s *carriedStream) CloseSend() (err error) {
	s.next, s.stop, err = s.carrier(s.method, s.request, s.open)
	return err
}

// open begins the handler, in a coroutine of its own.
func (s *carriedStream) open() (next func() ([]byte, error), stop func()) {
	var ended error
	pull, end := iter.Pull(func(yield func([]byte) bool) {
		answer := func(b []byte) error {
			if !yield(b) {
				return errLost
			}
			return nil
		}
		ctx := rpc.WithParty(context.WithoutCancel(s.ctx), s.link.caller)
		ended = s.handler(&serverStream{ctx: ctx, request: s.request, answer: answer})
	})
	next = func() ([]byte, error) {
		b, ok := pull()
		switch {
		case ok:
			return b, nil
		case ended != nil:
			return nil, public(ended)
		}
		return nil, io.EOF
	}
	return next, end
}

func (s *carriedStream) RecvMsg(m any) error {
	b, err := s.next()
	if err != nil {
		s.stop()
		return err
	}
	return proto.Unmarshal(b, m.(proto.Message))
}
