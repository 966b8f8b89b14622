//go:build crash

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/internal/testkit"
)

// killsPerWorld is after how many kills a world is audited and given up for a new one: its lists grow.
const killsPerWorld = 30

// TestKills kills hub, desk and inbox in turn, in the middle of work; after each kill all is brought to its end and judged.
func TestKills(t *testing.T) {
	binary := must(release())(t)
	worlds := (testkit.N(300, 10000) + killsPerWorld - 1) / killsPerWorld
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var sum tally
	begun := time.Now()
	next := make(chan int, worlds)
	for n := range worlds {
		next <- n
	}
	close(next)
	var lanes sync.WaitGroup
	for range 3 { // most of a kill is waiting: for a process to start, for a pause to pass
		lanes.Go(func() {
			for n := range next {
				if t.Failed() || spent(t, 3*time.Minute) {
					return
				}
				t.Run(fmt.Sprintf("world %d", n), func(t *testing.T) { killWorld(t, n, seed+uint64(n), binary, &sum) })
			}
		})
	}
	lanes.Wait()
	t.Logf("%s in %.0f s", &sum, time.Since(begun).Seconds())
}

// tally counts over all worlds.
type tally struct {
	kills                             [3]atomic.Int64 // hub, desk, inbox
	ends                              atomic.Int64    // with SIGTERM
	cut                               atomic.Int64    // actions that a kill left without an answer
	forms, notifications, withdrawals atomic.Int64
}

func (s *tally) String() string {
	h, d, i := s.kills[0].Load(), s.kills[1].Load(), s.kills[2].Load()
	return fmt.Sprintf("%d kills (hub %d, desk %d, inbox %d) and %d ends with SIGTERM: %d forms acknowledged as %d notifications, %d withdrawals, %d actions cut off; lost 0, shown twice 0, unrecorded 0",
		h+d+i, h, d, i, s.ends.Load(), s.forms.Load(), s.notifications.Load(), s.withdrawals.Load(), s.cut.Load())
}

func killWorld(t *testing.T, n int, seed uint64, binary string, sum *tally) {
	w := newWorld(t, n, binary)
	w.start(all...)
	d := newDriver(w, seed)
	for k := range killsPerWorld {
		if k%10 == 9 { // and an end in good order, in the middle of work too
			d.strike([]string{[]string{hub, deskBLI, bristol}[k/10]}, syscall.SIGTERM, sum)
			sum.ends.Add(1)
		}
		victims := [][]string{{hub}, {deskBLI}, {bristol}}[k%3]
		if d.random.IntN(8) == 0 { // two at once, now and then
			victims = append(victims, [][]string{{bristol}, {hub}, {deskBLI}}[k%3]...)
		}
		d.strike(victims, syscall.SIGKILL, sum)
		sum.kills[k%3].Add(1)
		if findings := d.settle(); len(findings) > 0 {
			t.Fatalf("seed %d, world %d, kill %d of %v:\n%s", seed, n, k, victims, lines(findings))
		}
	}
	if findings := d.audit(); len(findings) > 0 {
		t.Fatalf("seed %d, world %d, at its end:\n%s", seed, n, lines(findings))
	}
	w.end(deskPRI, deskBLI, lancashire, bristol, hub)
	w.run("hub", "--config", w.config(hub), "check")
	forms, notifications, withdrawals := d.counts()
	sum.forms.Add(int64(forms))
	sum.notifications.Add(int64(notifications))
	sum.withdrawals.Add(int64(withdrawals))
}

// strike begins a burst of work, sends the victims a signal after some of it was answered and a little more time, and
// starts them again when they are gone. After SIGTERM each must end well. The time is drawn so that a kill comes anywhere
// in what a party does: there is no event to wait for.
func (d *driver) strike(victims []string, signal syscall.Signal, sum *tally) {
	d.t.Helper()
	actions := d.burst(6)
	after, jitter := int64(d.random.IntN(6)), time.Duration(d.random.IntN(15_000))*time.Microsecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done, ended := d.doUntil(ctx, actions, after)
	<-time.After(jitter)
	answered := done.Load()
	for _, v := range victims {
		_ = d.parties[v].cmd.Process.Signal(signal)
	}
	sum.cut.Add(int64(len(actions)) - answered)
	for _, v := range victims {
		<-d.parties[v].gone
		if err := d.parties[v].err; signal == syscall.SIGTERM && err != nil {
			d.t.Errorf("%s, asked to end in the middle of work, ended with %v\n%s", v, err, d.tail(v))
		}
	}
	<-ended // a party's connection is closed only when nobody uses it
	d.kill(victims...)
	d.start(victims...)
}

func lines(findings []string) string {
	text := ""
	for _, f := range findings {
		text += "  " + f + "\n"
	}
	return text
}
