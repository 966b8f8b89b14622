package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"postern/internal/engine"
	"postern/internal/form"
	"postern/internal/rpc"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// agreement is one in force today that includes every section, as the demo's does.
func agreement() *posternv1.DataSharingAgreement {
	now := time.Now()
	a := &posternv1.DataSharingAgreement{Id: "demo-bristol", StartDate: form.Today(now.AddDate(0, -1, 0)), EndDate: form.Today(now.AddDate(2, 0, 0))}
	for _, s := range section.All() {
		a.Sections = append(a.Sections, s.Pattern)
	}
	return a
}

// stage is the hub under load and its peers, all up at once.
type stage struct {
	*bench
	folder string
	desk   *desk
	hub    *hub
	conns  []*rpc.Conn
	echo   *unaryPeer
	parts  *unaryPeer
	opa    *opaPeer
	logged *opaPeer
	engine *engine.Engine
}

func (s *stage) close() error {
	var err error
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	for _, p := range []*unaryPeer{s.echo, s.parts} {
		if p != nil {
			err = errors.Join(err, p.stop())
		}
	}
	for _, o := range []*opaPeer{s.opa, s.logged} {
		if o != nil {
			err = errors.Join(err, o.stop())
		}
	}
	if s.hub != nil {
		err = errors.Join(err, s.hub.stop())
	}
	return err
}

func (b *bench) stage() (_ *stage, err error) {
	s := &stage{bench: b}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.folder, err = b.makeFolder("line"); err != nil {
		return nil, err
	}
	if s.desk, err = openDesk(s.folder); err != nil {
		return nil, err
	}
	if s.hub, err = b.startHub(s.folder); err != nil {
		return nil, err
	}
	if s.conns, err = s.desk.dial(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if s.echo, err = b.startUnary(self, "echo", s.folder, s.desk); err != nil {
		return nil, err
	}
	if s.parts, err = b.startUnary(self, "parts", s.folder, s.desk); err != nil {
		return nil, err
	}
	if s.engine, err = engine.New(b.ctx, engine.Config{}); err != nil {
		return nil, err
	}
	if !b.wants(2) {
		return s, nil
	}
	opa, err := b.opaTool()
	if err != nil {
		return nil, err
	}
	bundle, err := b.bundleFolder()
	if err != nil {
		return nil, err
	}
	if s.opa, err = b.startOPA(opa, bundle, false); err != nil {
		return nil, err
	}
	s.logged, err = b.startOPA(opa, bundle, true)
	return s, err
}

// round is one turn of the line and of each peer.
type round struct {
	submits, echoes, parts, opa, logged float64 // a second
	user, system, echoUser              float64 // processor time of the server for each, in microseconds
}

// line measures rows 1 to 3: the whole line beside the transport, beside the parts it is made of, and beside OPA.
func (b *bench) line() (err error) {
	s, err := b.stage()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var rounds []round
	var size int
	for n := range b.opts.rounds + 1 {
		all, err := s.desk.sealAll(b.ctx, b.opts.submits, uint64(n))
		if err != nil {
			return err
		}
		size = proto.Size(&posternv1.SubmitRequest{Notification: all[0].sealed})
		r, err := s.round(n, all, size)
		if err != nil {
			return err
		}
		if n > 0 { // in the first, connections, caches and the processor's clock warm up
			rounds = append(rounds, r)
		}
	}
	of := func(value func(round) float64) float64 {
		var all []float64
		for _, r := range rounds {
			all = append(all, value(r))
		}
		return median(all)
	}
	submits, echoes := of(func(r round) float64 { return r.submits }), of(func(r round) float64 { return r.echoes })
	rate := fmt.Sprintf("%.0f/s", submits)
	b.table.add(1, "submits/s, the whole line, 64 clients", rate,
		fmt.Sprintf("grpc-go mTLS echo of the same bytes: %.0f/s", echoes), of(func(r round) float64 { return r.submits / r.echoes }), "≥ 0.40",
		fmt.Sprintf("%.1f KB a notification; the hub's processor time is %.0f µs user and %.0f µs kernel a submit, the echo's %.0f µs user; every one is SHARE, outbox rows written, its inbox down",
			float64(size)/1000, of(func(r round) float64 { return r.user }), of(func(r round) float64 { return r.system }), of(func(r round) float64 { return r.echoUser })))
	b.table.add(1, "the same", rate, fmt.Sprintf("the parts alone: that echo with one signature verified, the same rows and commits in bare bbolt: %.0f/s", of(func(r round) float64 { return r.parts })),
		of(func(r round) float64 { return r.submits / r.parts }), "",
		fmt.Sprintf("No policy, no encryption, no checksum, no tree, no index: they are at %.2f of the echo, with one batch after the other", of(func(r round) float64 { return r.parts / r.echoes })))
	if b.wants(2) {
		b.table.add(2, "the same", rate, fmt.Sprintf("`opa run --server` with the same policy and inputs: %.0f/s", of(func(r round) float64 { return r.opa })),
			of(func(r round) float64 { return r.submits / r.opa }), "≥ 1.5", "")
		b.table.add(2, "the same", rate, fmt.Sprintf("the same server with its decision log: %.0f/s", of(func(r round) float64 { return r.logged })),
			of(func(r round) float64 { return r.submits / r.logged }), "≥ 3", "")
	}
	if b.wants(3) {
		return s.tails(submits/2, echoes/2, size)
	}
	return nil
}

// round takes one turn.
func (s *stage) round(n int, all []message, size int) (r round, err error) {
	u0, k0 := s.hub.cpu()
	c0 := own()
	l, err := s.submitAll(all, 0)
	if err != nil {
		return r, err
	}
	c1 := own()
	u1, k1 := s.hub.cpu()
	e, eu, err := s.unaryAll(s.echo, size, 5*len(all), 0)
	if err != nil {
		return r, err
	}
	p, _, err := s.unaryAll(s.parts, size, 2*len(all), 0)
	if err != nil {
		return r, err
	}
	var plain, logged load
	if s.wants(2) {
		if plain, logged, err = s.opaAll(all); err != nil {
			return r, err
		}
	}
	micros := func(d time.Duration, n int) float64 { return float64(d.Microseconds()) / float64(n) }
	r = round{submits: l.rate, echoes: e.rate, parts: p.rate, opa: plain.rate, logged: logged.rate,
		user: micros(u1-u0, len(all)), system: micros(k1-k0, len(all)), echoUser: micros(eu, 5*len(all))}
	s.say("round %d: %.0f submits/s, hub %.0f+%.0f µs each and the clients %.0f; %.0f echoes/s; parts %.0f/s; OPA %.0f/s, %.0f/s with its log",
		n, r.submits, r.user, r.system, micros(c1-c0, len(all)), r.echoes, r.parts, r.opa, r.logged)
	return r, nil
}

func (s *stage) submitAll(all []message, rate float64) (load, error) {
	return paced(s.ctx, len(all), rate, func(ctx context.Context, client, i int) error {
		return s.desk.submit(ctx, s.conns[client], i, all[i])
	})
}

func (s *stage) unaryAll(p *unaryPeer, size, n int, rate float64) (load, time.Duration, error) {
	message := wrapperspb.Bytes(make([]byte, size))
	before, _ := p.cpu()
	l, err := paced(s.ctx, n, rate, func(ctx context.Context, client, _ int) error { return p.call(ctx, client, message) })
	after, _ := p.cpu()
	return l, after - before, err
}

func (s *stage) opaAll(all []message) (plain, logged load, err error) {
	bodies, err := requests(s.engine, all, time.Now())
	if err != nil {
		return plain, logged, err
	}
	if plain, err = drive(s.ctx, len(bodies), func(ctx context.Context, _, i int) error { return s.opa.decide(ctx, bodies[i]) }); err != nil {
		return plain, logged, err
	}
	logged, err = drive(s.ctx, len(bodies), func(ctx context.Context, _, i int) error { return s.logged.decide(ctx, bodies[i]) })
	return plain, logged, err
}

// tails measures row 3: the slowest hundredth at half the load each of the two can bear.
func (s *stage) tails(submits, echoes float64, size int) error {
	var own, bound, ratio []float64
	for round := range s.opts.rounds {
		all, err := s.desk.sealAll(s.ctx, s.opts.submits, uint64(1000+round))
		if err != nil {
			return err
		}
		l, err := s.submitAll(all, submits)
		if err != nil {
			return err
		}
		e, _, err := s.unaryAll(s.echo, size, 5*len(all), echoes)
		if err != nil {
			return err
		}
		sync, err := fsyncs(s.dir, 300)
		if err != nil {
			return err
		}
		p, q := quantile(l.latency, 0.99).Seconds(), (quantile(e.latency, 0.99) + 2*quantile(sync, 0.99)).Seconds()
		s.say("half load: p99 %.1f ms; echo %.1f ms; sync %.1f ms", 1e3*p, 1e3*quantile(e.latency, 0.99).Seconds(), 1e3*quantile(sync, 0.99).Seconds())
		own, bound, ratio = append(own, p), append(bound, q), append(ratio, p/q)
	}
	s.table.add(3, fmt.Sprintf("p99 of 1 at half load (%.0f/s)", submits), fmt.Sprintf("%.1f ms", 1e3*median(own)),
		fmt.Sprintf("the echo's p99 at half its load, and twice the p99 of a 4 KB write with fsync: %.1f ms", 1e3*median(bound)), median(ratio), "≤ 1.5", "")
	return nil
}

// fsyncs measures the disk: how long 4 KB take to be on it.
func fsyncs(dir string, n int) (all []time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for range n {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		all = append(all, time.Since(start))
	}
	return all, nil
}
