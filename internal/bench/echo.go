package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"postern/internal/config"
	"postern/internal/identity"
)

// The echo is a bare grpc-go server: one unary method that returns its message, mutual TLS with the hub's own
// certificates, no interceptor, no limit, no log. It is what the transport alone costs.

const echoMethod = "/bench.Echo/Echo"

func echo(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	m := &wrapperspb.BytesValue{}
	return m, decode(m)
}

func echoServer(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench echo CONFIG ADDRESS")
	}
	return serveUnary(ctx, args, echo)
}

// serveUnary serves one unary method at an address, as the hub of a configuration: its arguments are those of a peer.
func serveUnary(ctx context.Context, args []string, method grpc.MethodHandler) error {
	cfg, err := config.LoadHub(args[0])
	if err != nil {
		return err
	}
	i, err := cfg.LoadIdentity()
	if err != nil {
		return err
	}
	anchors, err := cfg.LoadAnchors()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", args[1])
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(i, anchors, time.Now))))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: method}}}, struct{}{})
	defer context.AfterFunc(ctx, s.Stop)()
	return s.Serve(lis)
}

// unaryPeer is the echo, or the parts, in a process of its own, and its clients.
type unaryPeer struct {
	*process
	conns []*grpc.ClientConn
}

func (b *bench) startUnary(self, name, folder string, d *desk) (*unaryPeer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := b.start(self, name, filepath.Join(folder, "hub.yaml"), address)
	if err != nil {
		return nil, err
	}
	e := &unaryPeer{process: p}
	for range clients {
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(credentials.NewTLS(identity.ClientTLS(d.identity, d.anchors, d.hub, time.Now))))
		if err != nil {
			return nil, errors.Join(err, p.stop())
		}
		e.conns = append(e.conns, conn)
	}
	message := wrapperspb.Bytes([]byte("ready?"))
	err = p.ready(b.ctx, func() error {
		for _, conn := range e.conns {
			if err := conn.Invoke(b.ctx, echoMethod, message, &wrapperspb.BytesValue{}, grpc.WaitForReady(true)); err != nil {
				return err
			}
		}
		return nil
	})
	return e, err
}

func (e *unaryPeer) call(ctx context.Context, client int, message *wrapperspb.BytesValue) error {
	return e.conns[client].Invoke(ctx, echoMethod, message, &wrapperspb.BytesValue{})
}

func (e *unaryPeer) stop() error {
	var err error
	for _, conn := range e.conns {
		err = errors.Join(err, conn.Close())
	}
	return errors.Join(err, e.process.stop())
}
