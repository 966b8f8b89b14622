package config

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ops"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	"postern/internal/web"
)

// Runtime is what a party gets from outside its file.
type Runtime struct {
	Clock    func() time.Time
	Rand     io.Reader
	Log      *slog.Logger
	Listener net.Listener // instead of the file's address, when the caller has opened a port already; optional
	// Operations is the same for the operations listener.
	Operations net.Listener
	// Web is the same for the listener for browsers.
	Web net.Listener
	// Dress changes what all pages of the site have, such as for a demo; nil leaves it as the file says.
	Dress func(*web.Config)
}

// NewRuntime is the runtime of a real process.
func NewRuntime(log *slog.Logger) Runtime {
	return Runtime{Clock: time.Now, Rand: rand.Reader, Log: log}
}

// Service is a party, built and not yet started.
type Service struct {
	Name   string                      // such as "desk BLI"
	Local  func(grpc.ServiceRegistrar) // registers the control socket's service
	Remote func(grpc.ServiceRegistrar) // registers what other parties call; nil for a party without a port
	Run    func(context.Context) error // the party's loops; nil for one without
	Checks []ops.Check                 // what must hold for the party to do its work, beside a good certificate
	Close  func() error                // releases what Build opened

	rt      Runtime
	listen  string
	socket  string
	address string // of the operations listener; empty for none
	data    string // the data folder
	metrics *ops.Metrics
	server  rpc.ServerConfig
	pages   pages
	scrub   *store.Scrub // nil for a party without a database
	reload  *reload
}

// Serve runs the party until ctx ends or a part of it fails, and then closes it. A failed part stops the others: a
// party that cannot do all of its work must be seen to be down. When ctx ends, the servers take no more and finish what
// they have begun, within 15 s; only then the loops end, because what the servers finish needs them.
func (s *Service) Serve(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end, err := s.operations(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	servers, err := s.servers(ctx)
	if err != nil {
		return err
	}
	s.rt.Log.InfoContext(ctx, "serving", "party", s.Name)
	running, rest := context.WithCancel(context.WithoutCancel(ctx))
	defer rest()
	loops := []func(context.Context) error{s.watchCertificate, s.watchTrust, s.reload.Run}
	if s.Run != nil {
		loops = append(loops, s.Run)
	}
	if s.scrub != nil {
		loops = append(loops, s.scrub.Run)
	}
	ended := make(chan error, len(servers)+len(loops))
	var serving sync.WaitGroup
	for _, server := range servers {
		serving.Go(func() { ended <- server(ctx) })
	}
	for _, loop := range loops {
		go func() { ended <- loop(running) }()
	}
	go func() { serving.Wait(); rest() }()
	for range cap(ended) {
		if e := <-ended; e != nil && !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
		cancel()
	}
	s.rt.Log.InfoContext(ctx, "stopped", "party", s.Name)
	return err
}

// servers opens the listeners, the others before the control socket: whoever sees the socket may count on them.
func (s *Service) servers(ctx context.Context) (servers []func(context.Context) error, err error) {
	var port net.Listener
	site, err := s.site(ctx)
	if err != nil {
		return nil, err
	}
	if site != nil {
		servers = append(servers, site)
		defer func() {
			if err != nil { // it closes what it has opened when it is told to end at once
				ended, end := context.WithCancel(ctx)
				end()
				err = errors.Join(err, site(ended))
			}
		}()
	}
	if s.Remote != nil {
		server, err := rpc.NewServer(s.server)
		if err != nil {
			return nil, err
		}
		s.Remote(server)
		if port, err = s.port(ctx); err != nil {
			return nil, err
		}
		servers = append(servers, func(ctx context.Context) error { return server.Serve(ctx, port) })
	}
	lis, err := rpc.ListenLocal(s.socket)
	if err != nil {
		if port != nil {
			err = errors.Join(err, port.Close())
		}
		return nil, err
	}
	local := rpc.NewLocalServer(rpc.LocalConfig{Log: s.rt.Log, Clock: s.rt.Clock, Rand: s.rt.Rand})
	s.Local(local)
	return append(servers, func(ctx context.Context) error { return local.Serve(ctx, lis) }), nil
}

// port is the listener for other parties.
func (s *Service) port(ctx context.Context) (net.Listener, error) {
	if s.rt.Listener != nil {
		return s.rt.Listener, nil
	}
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "LISTEN", "Cannot listen on %s. Is another process using the port?", s.listen).Because(err)
	}
	return lis, nil
}

// base is what every party is built from.
type base struct {
	identity *identity.Identity
	anchors  *identity.Anchors
	store    store.Store
	vault    *vault.Vault
	metrics  *ops.Metrics
}

// open reads the identity and opens the database and the vault in the data folder.
func (c *Common) open(ctx context.Context, rt Runtime, database schema.Database) (*base, error) {
	b := &base{metrics: ops.NewMetrics()}
	var err error
	if b.identity, err = c.LoadIdentity(); err != nil {
		return nil, err
	}
	if err = CertificateFor(kindOf(database), b.identity.Party()); err != nil {
		return nil, err
	}
	if b.anchors, err = c.LoadAnchors(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.DataDir(), 0o700); err != nil {
		return nil, fault.New(fault.Precondition, "DATA_FOLDER", "The data folder cannot be made.").Because(err)
	}
	if database.Name == "" {
		return b, nil
	}
	file := c.database(database)
	if b.vault, err = c.vaultFor(rt, file.Path); err != nil {
		return nil, err
	}
	s, err := bolt.Open(ctx, file)
	if err != nil {
		return nil, err
	}
	if err := b.vault.Fits(ctx, s, database.Sealed...); err != nil { // a hub's ledger asks the same of its newest record
		return nil, errors.Join(err, s.Close())
	}
	b.store = s
	return b, nil
}

// dial connects to the hub; nothing is sent before the first call.
func (c *Common) dial(hub Peer, b *base, rt Runtime) (*rpc.Conn, error) {
	want, err := hub.party(c.TrustDomain)
	if err != nil {
		return nil, err
	}
	return rpc.Dial(rpc.ClientConfig{Address: hub.Address, Identity: b.identity, Anchors: b.anchors, Want: want, Log: rt.Log, Clock: rt.Clock})
}

func (c *Common) service(name string, b *base, rt Runtime, listen string) *Service {
	s := &Service{
		Name: name, rt: rt, listen: listen, socket: c.Socket(), address: c.Operations, data: c.DataDir(), metrics: b.metrics,
		server: rpc.ServerConfig{Identity: b.identity, Anchors: b.anchors, Log: rt.Log, Clock: rt.Clock, Rand: rt.Rand, Limits: c.Limits.limits()},
	}
	away := b.metrics.Counter("postern_turned_away_total", "Connections and calls that were turned away without a look at what was asked.", "why")
	s.server.Count = func(what string) { away(what) }
	s.reload = newReload(c, b, rt)
	if b.store != nil {
		s.scrub = store.NewScrub(store.ScrubConfig{Store: b.store, Clock: rt.Clock, Log: rt.Log})
	}
	return s
}

// closing closes what was opened when building goes wrong.
func closing(err error, b *base) error { return errors.Join(err, b.store.Close()) }

// closeAll closes in order and joins the errors.
func closeAll(closers ...io.Closer) func() error {
	return func() error {
		var err error
		for _, c := range closers {
			err = errors.Join(err, c.Close())
		}
		return err
	}
}
