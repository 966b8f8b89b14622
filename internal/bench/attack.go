package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/config"
	"postern/internal/identity"
	"postern/internal/rpc"
	"postern/internal/testkit/flood"
	posternv1 "postern/proto/postern/v1"
)

const (
	honestRate = 20.0 // submits a second of honest desks together: more than all prisons of a country make
	honestN    = 160  // of them under each attack
)

// attacks measures row 13: an honest desk's submits while another desk's certificate is used for every attack there is,
// and what the hub holds in memory meanwhile. The hub has its ordinary limits.
func (b *bench) attacks() (err error) {
	folder, err := b.demoFolder("attacks")
	if err != nil {
		return err
	}
	d, err := openDesk(folder)
	if err != nil {
		return err
	}
	h, err := b.startHub(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	target, err := thief(folder, d)
	if err != nil {
		return err
	}
	all, err := d.sealAll(b.ctx, honestN, 0)
	if err != nil {
		return err
	}
	if target.Message, err = proto.Marshal(&posternv1.SubmitRequest{Notification: all[0].sealed}); err != nil { // another's statement
		return err
	}
	calm := flood.Attack{Name: "none", What: "nothing: the same desk in peace"}
	for i, a := range append([]flood.Attack{calm}, flood.Attacks()...) {
		if all, err = d.sealAll(b.ctx, honestN, uint64(i+1)); err != nil {
			return err
		}
		b.say("attack: %s", a.Name)
		r, err := b.underAttack(h, d, a, target, all)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		b.table.attacked(a, r)
	}
	return nil
}

// thief is whoever has the certificate of another prison's desk.
func thief(folder string, d *desk) (flood.Target, error) {
	cfg, err := config.LoadDesk(filepath.Join(folder, "desk-PRI.yaml"))
	if err != nil {
		return flood.Target{}, err
	}
	stolen, err := cfg.LoadIdentity()
	return flood.Target{Address: d.address, From: net.IPv4(127, 0, 0, 66), Method: posternv1.SubmissionService_Submit_FullMethodName,
		TLS: identity.ClientTLS(stolen, d.anchors, d.hub, time.Now)}, err
}

// suffered is what came of honest calls under an attack.
type suffered struct {
	load
	failed   int
	sent     float64 // by the attacker, a second
	resident int     // MB, the most that was seen
	own      int     // and without the pages of files
}

func (b *bench) underAttack(h *hub, d *desk, a flood.Attack, t flood.Target, all []message) (r suffered, err error) {
	conn, err := rpc.Dial(rpc.ClientConfig{Address: d.address, Identity: d.identity, Anchors: d.anchors, Want: d.hub})
	if err != nil {
		return r, err
	}
	defer conn.Close()
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var sent atomic.Int64
	var beside sync.WaitGroup
	beside.Go(func() { a.Run(ctx, t, &sent) })
	beside.Go(func() {
		for ctx.Err() == nil {
			resident, own := h.memory()
			r.resident, r.own = max(r.resident, resident), max(r.own, own)
			time.Sleep(20 * time.Millisecond)
		}
	})
	var failed atomic.Int64
	start := time.Now()
	r.load, err = paced(b.ctx, len(all), honestRate, func(ctx context.Context, _, i int) error {
		if _, err := posternv1.NewSubmissionServiceClient(conn).Submit(ctx, &posternv1.SubmitRequest{Notification: all[i].sealed}); err != nil {
			failed.Add(1)
			b.say("an honest call failed: %v", err)
		}
		return nil
	})
	r.sent, r.failed = float64(sent.Load())/time.Since(start).Seconds(), int(failed.Load())
	stop()
	beside.Wait()
	return r, err
}

// attacked adds a row to the table of attacks.
func (t *table) attacked(a flood.Attack, r suffered) {
	t.attacks = append(t.attacks, fmt.Sprintf("| %s | %s | %.0f | %.1f ms | %.1f ms | %d of %d | %d MB | %d MB |", a.Name, a.What, r.sent,
		milliseconds(quantile(r.latency, .5)), milliseconds(quantile(r.latency, .99)), r.failed, len(r.latency), r.resident, r.own))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
