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
	echo   *echoPeer
	opa    *opaPeer
	logged *opaPeer
	engine *engine.Engine
}

func (s *stage) close() error {
	var err error
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	if s.echo != nil {
		err = errors.Join(err, s.echo.stop())
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
	if s.echo, err = b.startEcho(self, s.folder, s.desk); err != nil {
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

// line measures rows 1 to 3: the whole line beside the transport and beside OPA.
func (b *bench) line() (err error) {
	s, err := b.stage()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var submits, echoes, ofEcho, ofOPA, ofLogged, user, system, echoUser, opas, loggeds []float64
	var size int
	for round := range b.opts.rounds + 1 {
		all, err := s.desk.sealAll(b.ctx, b.opts.submits, uint64(round))
		if err != nil {
			return err
		}
		size = proto.Size(&posternv1.SubmitRequest{Notification: all[0].sealed})
		u0, k0 := s.hub.cpu()
		c0 := own()
		l, err := s.submitAll(all, 0)
		if err != nil {
			return err
		}
		c1 := own()
		u1, k1 := s.hub.cpu()
		e, eu, err := s.echoAll(size, 5*len(all), 0)
		if err != nil {
			return err
		}
		var p, q load
		if b.wants(2) {
			if p, q, err = s.opaAll(all); err != nil {
				return err
			}
		}
		b.say("round %d: %.0f submits/s, hub %d+%d µs each and the clients %d; %.0f echoes/s; OPA %.0f/s, %.0f/s with its log",
			round, l.rate, (u1-u0).Microseconds()/int64(len(all)), (k1-k0).Microseconds()/int64(len(all)), (c1-c0).Microseconds()/int64(len(all)), e.rate, p.rate, q.rate)
		if round == 0 {
			continue // connections, caches and the processor's clock warm up
		}
		submits, echoes, ofEcho = append(submits, l.rate), append(echoes, e.rate), append(ofEcho, l.rate/e.rate)
		user = append(user, float64((u1-u0).Microseconds())/float64(len(all)))
		system = append(system, float64((k1-k0).Microseconds())/float64(len(all)))
		echoUser = append(echoUser, float64(eu.Microseconds())/float64(5*len(all)))
		if b.wants(2) {
			opas, loggeds = append(opas, p.rate), append(loggeds, q.rate)
			ofOPA, ofLogged = append(ofOPA, l.rate/p.rate), append(ofLogged, l.rate/q.rate)
		}
	}
	b.table.add(1, "submits/s, the whole line, 64 clients", fmt.Sprintf("%.0f/s", median(submits)),
		fmt.Sprintf("grpc-go mTLS echo of the same bytes: %.0f/s", median(echoes)), median(ofEcho), "≥ 0.40",
		fmt.Sprintf("%.1f KB a notification; the hub's processor time is %.0f µs user and %.0f µs kernel a submit, the echo's %.0f µs user; every one is SHARE, outbox rows written, its inbox down",
			float64(size)/1000, median(user), median(system), median(echoUser)))
	if b.wants(2) {
		b.table.add(2, "the same", fmt.Sprintf("%.0f/s", median(submits)), fmt.Sprintf("`opa run --server` with the same policy and inputs: %.0f/s", median(opas)), median(ofOPA), "≥ 1.5", "")
		b.table.add(2, "the same", fmt.Sprintf("%.0f/s", median(submits)), fmt.Sprintf("the same server with its decision log: %.0f/s", median(loggeds)), median(ofLogged), "≥ 3", "")
	}
	if b.wants(3) {
		return s.tails(median(submits)/2, median(echoes)/2, size)
	}
	return nil
}

func (s *stage) submitAll(all []message, rate float64) (load, error) {
	return paced(s.ctx, len(all), rate, func(ctx context.Context, client, i int) error {
		return s.desk.submit(ctx, s.conns[client], i, all[i])
	})
}

func (s *stage) echoAll(size, n int, rate float64) (load, time.Duration, error) {
	message := wrapperspb.Bytes(make([]byte, size))
	before, _ := s.echo.cpu()
	l, err := paced(s.ctx, n, rate, func(ctx context.Context, client, _ int) error { return s.echo.call(ctx, client, message) })
	after, _ := s.echo.cpu()
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
		e, _, err := s.echoAll(size, 5*len(all), echoes)
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
