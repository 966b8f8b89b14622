package rpc_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

// front is an inbox that answers with the sequence number of the delivery.
type front struct {
	posternv1.UnimplementedInboxServiceServer
	deliver func(context.Context, *posternv1.Delivery) error
}

func (f front) Deliver(ctx context.Context, req *posternv1.DeliverRequest) (*posternv1.DeliverResponse, error) {
	if f.deliver != nil {
		if err := f.deliver(ctx, req.GetDelivery()); err != nil {
			return nil, err
		}
	}
	return &posternv1.DeliverResponse{KnownLogs: []*posternv1.KnownLog{{Size: req.GetDelivery().GetSequence()}}}, nil
}

func (f front) register(s grpc.ServiceRegistrar) { posternv1.RegisterInboxServiceServer(s, f) }

// counted counts the connections that a listener took.
type counted struct {
	net.Listener
	n atomic.Int32
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

func (w *world) sender(t *testing.T) *rpc.InboxSender {
	t.Helper()
	s := rpc.NewInboxSender(rpc.SenderConfig{Identity: w.issue(t, hubURI), Anchors: w.anchors, Clock: w.clock, Within: here()})
	t.Cleanup(func() { s.Close() })
	return s
}

func TestManyDeliveriesShareOneConnection(t *testing.T) {
	w := newWorld(t)
	lis := &counted{Listener: listen(t, "127.0.0.1:0")}
	server := w.serveAs(t, inboxURI, lis, front{}.register)
	sender := w.sender(t)
	to := party(t, inboxURI)
	var wg sync.WaitGroup
	for n := range uint64(20) {
		wg.Go(func() {
			resp, err := sender.Send(soon(t), to, server.addr, &posternv1.Delivery{Sequence: n})
			if err != nil || resp.GetKnownLogs()[0].GetSize() != n {
				t.Errorf("%d: %v, %v", n, resp, err)
			}
		})
	}
	wg.Wait()
	if n := lis.n.Load(); n != 1 {
		t.Fatalf("%d connections", n)
	}
	if err := sender.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := sender.Send(soon(t), to, server.addr, &posternv1.Delivery{})
	wantFault(t, err, fault.Unavailable, "STOPPING")
}

// An inbox that is back gets the very next attempt: the courier has waited already.
func TestAnInboxThatIsBackIsReachedAtOnce(t *testing.T) {
	w := newWorld(t)
	sender, to := w.sender(t), party(t, inboxURI)
	lis := listen(t, "127.0.0.1:0")
	addr := lis.Addr().String()
	first := w.serveAs(t, inboxURI, lis, front{}.register)
	if _, err := sender.Send(soon(t), to, addr, &posternv1.Delivery{}); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := sender.Send(soon(t), to, addr, &posternv1.Delivery{})
		wantFault(t, err, fault.Unavailable, "UNREACHABLE")
	}
	w.serveAs(t, inboxURI, listen(t, addr), front{}.register)
	if _, err := sender.Send(soon(t), to, addr, &posternv1.Delivery{}); err != nil {
		t.Fatal(err)
	}
}

func TestADeliveryGoesToItsInboxOnly(t *testing.T) {
	w := newWorld(t)
	seen := make(chan bool, 8)
	server := w.serveAs(t, inboxURI, listen(t, "127.0.0.1:0"), front{deliver: func(ctx context.Context, _ *posternv1.Delivery) error {
		seen <- true
		return fault.New(fault.Unverified, "RECEIPT", "The receipt does not hold.")
	}}.register)
	sender := w.sender(t)
	_, err := sender.Send(soon(t), party(t, "spiffe://postern.example/authority/E10000017/inbox"), server.addr, &posternv1.Delivery{})
	wantFault(t, err, fault.Unverified, "PEER_IDENTITY")
	_, err = sender.Send(soon(t), party(t, hubURI), server.addr, &posternv1.Delivery{})
	wantFault(t, err, fault.Invalid, "NOT_AN_INBOX")
	_, err = sender.Send(soon(t), party(t, inboxURI), "no address", &posternv1.Delivery{})
	wantFault(t, err, fault.Invalid, "ADDRESS")
	if len(seen) != 0 {
		t.Fatal("it arrived elsewhere")
	}
	_, err = sender.Send(soon(t), party(t, inboxURI), server.addr, &posternv1.Delivery{})
	wantFault(t, err, fault.Unverified, "RECEIPT")
}
