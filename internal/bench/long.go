package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/rpc"
)

// side is one of two hubs that differ in the length of their log.
type side struct {
	folder string
	desk   *desk
	hub    *hub
	conns  []*rpc.Conn
	starts []float64 // seconds from the start of the process to its first answer
	memory int       // MB at the first answer
	anon   int
}

// shortLog is the log that the long one is held against in row 5.
const shortLog = 10_000

// longLog measures rows 5 and 6: one submit at a time, and the start of the process, with a long log and a short one.
func (b *bench) longLog() (err error) {
	sides := map[string]*side{}
	for name, entries := range map[string]int{"empty": 0, "short": shortLog, "long": b.opts.entries} {
		s := &side{}
		sides[name] = s
		if s.folder, err = b.makeFolder(name); err != nil {
			return err
		}
		if err := b.fill(s.folder, entries); err != nil {
			return err
		}
		if s.desk, err = openDesk(s.folder); err != nil {
			return err
		}
	}
	for range b.opts.rounds {
		for _, name := range []string{"empty", "long"} {
			s := sides[name]
			start := time.Now()
			if s.hub, err = b.startHub(s.folder); err != nil {
				return err
			}
			s.starts = append(s.starts, time.Since(start).Seconds())
			s.memory, s.anon = s.hub.memory()
			if err := s.hub.stop(); err != nil {
				return err
			}
		}
	}
	empty, long := sides["empty"], sides["long"]
	if b.wants(5) {
		if err := b.latencies(sides["short"], long); err != nil {
			return err
		}
	}
	if b.wants(6) {
		b.table.text(6, fmt.Sprintf("start of a hub with %d entries", b.opts.entries), fmt.Sprintf("%.2f s; %d MB, %d of them not the file's", median(long.starts), long.memory, long.anon),
			fmt.Sprintf("empty hub: %.2f s, %d MB", median(empty.starts), empty.memory),
			fmt.Sprintf("%+.2f s", median(long.starts)-median(empty.starts)), "≤ 1 s more; ≤ 100 MB", "")
	}
	return nil
}

// latencies measures row 5.
func (b *bench) latencies(short, long *side) (err error) {
	for _, s := range []*side{short, long} {
		if s.hub, err = b.startHub(s.folder); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.hub.stop()) }()
		// As at every start, and then once a day.
		if err := s.hub.said(b.ctx, "the database was read whole", "the database could not be read whole"); err != nil {
			return err
		}
		if s.conns, err = s.desk.dial(); err != nil {
			return err
		}
		defer func() {
			for _, c := range s.conns {
				err = errors.Join(err, c.Close())
			}
		}()
	}
	var ours, theirs, ratio []float64
	for round := range b.opts.rounds + 1 {
		var p50 [2]float64
		for i, s := range []*side{short, long} {
			all, err := s.desk.sealAll(b.ctx, 150, uint64(round))
			if err != nil {
				return err
			}
			var latency []time.Duration
			for n, m := range all {
				start := time.Now()
				ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
				err := s.desk.submit(ctx, s.conns[0], n, m)
				cancel()
				if err != nil {
					return err
				}
				latency = append(latency, time.Since(start))
			}
			p50[i] = quantile(latency, 0.5).Seconds()
		}
		b.say("one at a time: p50 %.2f ms with the short log, %.2f ms with the long", 1e3*p50[0], 1e3*p50[1])
		if round > 0 {
			theirs, ours, ratio = append(theirs, p50[0]), append(ours, p50[1]), append(ratio, p50[1]/p50[0])
		}
	}
	b.table.add(5, fmt.Sprintf("submit latency (p50, one at a time) with %d entries in the log", b.opts.entries), fmt.Sprintf("%.2f ms", 1e3*median(ours)),
		fmt.Sprintf("with %d: %.2f ms", shortLog, 1e3*median(theirs)), median(ratio), "≤ 1.2", "")
	return nil
}

// demo measures row 11.
func (b *bench) demo() error {
	var seconds []float64
	for round := range b.opts.rounds {
		start := time.Now()
		if _, err := b.makeFolder(fmt.Sprintf("demo-%d", round)); err != nil {
			return err
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	b.table.text(11, "`postern demo --once`, after build", fmt.Sprintf("%.2f s", median(seconds)), "—", "—", "first four stories ≤ 3 s, all ≤ 10 s", "")
	return nil
}
