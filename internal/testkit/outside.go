package testkit

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/netip"
	"testing"

	"google.golang.org/grpc"

	"postern/internal/desk"
	"postern/internal/hub"
	"postern/internal/identity"
	"postern/internal/inbox"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

// Papers are what a party of another program gets when it enrols.
type Papers struct {
	Certificates, Key []byte            // PEM, leaf first
	Anchors           map[string][]byte // PEM by name: prison, authority, hub, auditor
	Sent, Received    []string          // the verifier keys of the logs
}

// Papers are those of a party by its path.
func (x *Exchange) Papers(path string) Papers {
	x.t.Helper()
	i := x.Identity(path)
	p := Papers{Sent: x.sent, Anchors: map[string][]byte{}}
	for n := 1; n < len(x.both); n += 2 {
		p.Received = append(p.Received, x.both[n])
	}
	for _, der := range i.Chain() {
		p.Certificates = append(p.Certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key := value(x509.MarshalPKCS8PrivateKey(i.Signer()))(x.t)
	p.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, name := range []string{"prison", "authority", "hub", "auditor"} {
		p.Anchors[name] = x.cast.ca["/"+name+"/ca.pem"]
	}
	return p
}

// HubURI is the URI of the hub.
const HubURI = "spiffe://" + Domain + hubPath

// OverTLS is an exchange whose parties meet as in operation: on ports of this machine, over TLS, through package rpc.
type OverTLS struct {
	*Exchange
	Address string // of the hub
	sender  *rpc.InboxSender
}

// NewOverTLS opens an exchange whose hub listens on a port, and sends to inboxes where the directory says they are.
func NewOverTLS(t testing.TB, edits ...func(*Config)) *OverTLS {
	t.Helper()
	o := &OverTLS{}
	o.Exchange = NewExchange(t, append(edits, func(c *Config) {
		c.Hub = func(h *hub.Config) {
			o.sender = rpc.NewInboxSender(rpc.SenderConfig{Identity: h.Identity, Anchors: h.Anchors, Clock: h.Clock, Within: rpc.Networks{netip.MustParsePrefix("127.0.0.0/8")}})
			h.Sender = o.sender
		}
	})...)
	o.Address = o.serve(o.Identity(hubPath), o.Listen(), func(r grpc.ServiceRegistrar) {
		posternv1.RegisterSubmissionServiceServer(r, o.Hub)
		posternv1.RegisterMailboxServiceServer(r, o.Hub)
		posternv1.RegisterDirectoryServiceServer(r, o.Hub)
		posternv1.RegisterAuditServiceServer(r, o.Hub)
	})
	t.Cleanup(func() { must(t, o.sender.Close()) })
	return o
}

// Listen opens a port of this machine.
func (x *Exchange) Listen() net.Listener {
	x.t.Helper()
	return value(net.Listen("tcp", "127.0.0.1:0"))(x.t)
}

// serve runs a server until the test ends, and returns its address.
func (x *Exchange) serve(i *identity.Identity, l net.Listener, register func(grpc.ServiceRegistrar)) string {
	x.t.Helper()
	s := value(rpc.NewServer(rpc.ServerConfig{Identity: i, Anchors: x.cast.anchors, Log: x.Log.Logger(), Clock: x.Clock.Now}))(x.t)
	register(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	x.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			x.t.Error(err)
		}
	})
	return l.Addr().String()
}

// dial is a party's connection to the hub, closed when the test ends.
func (o *OverTLS) dial(path string) *rpc.Conn {
	o.t.Helper()
	c := value(rpc.Dial(rpc.ClientConfig{Address: o.Address, Identity: o.Identity(path), Anchors: o.cast.anchors,
		Want: o.Identity(hubPath).Party(), Clock: o.Clock.Now}))(o.t)
	o.t.Cleanup(func() { must(o.t, c.Close()) })
	return c
}

// Desk is a prison's desk, which reaches the hub over TLS.
func (o *OverTLS) Desk(prison string) *Desk {
	o.t.Helper()
	d := o.Exchange.Desk(prison)
	c := o.dial(deskPath(prison))
	d.Restart(func(cfg *desk.Config) {
		cfg.Hub, cfg.Directory, cfg.Prover = posternv1.NewSubmissionServiceClient(c), posternv1.NewDirectoryServiceClient(c), posternv1.NewAuditServiceClient(c)
	})
	return d
}

// Inbox is the inbox of an authority, which serves the hub over TLS at l and reaches it so.
func (o *OverTLS) Inbox(authority string, l net.Listener) *Inbox {
	o.t.Helper()
	in := o.Exchange.Inbox(authority)
	c := o.dial(inboxPath(authority))
	in.Restart(func(cfg *inbox.Config) {
		cfg.Hub, cfg.Directory, cfg.Prover = posternv1.NewMailboxServiceClient(c), posternv1.NewDirectoryServiceClient(c), posternv1.NewAuditServiceClient(c)
	})
	o.serve(o.Identity(inboxPath(authority)), l, func(r grpc.ServiceRegistrar) { posternv1.RegisterInboxServiceServer(r, in.Inbox) })
	return in
}
