//go:build crash

package crash

import (
	"context"
	"net"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// TestASilentInboxDelaysNobodyElse has Bristol's inbox stop in the middle of everything, or a machine in its place that
// takes the connection and never says a word. What is for Lancashire arrives meanwhile, and all the rest afterwards.
func TestASilentInboxDelaysNobodyElse(t *testing.T) {
	for n, c := range []struct {
		name   string
		silent func(*driver) (speak func())
	}{{"SIGSTOP", stopped}, {"black hole", blackHole}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, n, must(release())(t))
			w.start(all...)
			d := newDriver(w, uint64(n))
			d.kinds = []string{"two_authorities"}
			speak := c.silent(d)
			forms := testkit.N(10, 500)
			begun := time.Now()
			var hand []action
			for range forms {
				hand = append(hand, d.submits(d.formFor(deskPRI)))
			}
			d.do(context.Background(), hand, func() {})
			waiting := map[string]bool{}
			d.mustSeeAtDesks("everything for Lancashire delivered", func(notifications []*localv1.Notification) bool {
				delivered := 0
				for _, n := range notifications {
					switch {
					case n.GetAuthority() == "E10000017" && n.GetState() == localv1.State_STATE_DELIVERED:
						delivered++
					case n.GetAuthority() == "E06000023" && n.GetState() == localv1.State_STATE_ACCEPTED:
						waiting[n.GetId()] = true
					}
				}
				return delivered >= forms
			})
			took := time.Since(begun)
			if len(waiting) == 0 {
				t.Error("nothing waited for Bristol: it was not silent")
			}
			speak()
			if findings := append(d.settle(), d.audit()...); len(findings) > 0 {
				t.Error(lines(findings))
			}
			t.Logf("%d notifications to one authority while %d waited for the other, which was silent: %d ms", forms, len(waiting), took.Milliseconds())
		})
	}
}

// stopped stops the process, which keeps its connections and its port.
func stopped(d *driver) (speak func()) {
	p := d.parties[bristol].cmd.Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		d.t.Fatal(err)
	}
	return func() { _ = p.Signal(syscall.SIGCONT) }
}

// blackHole puts a listener in the inbox's place that accepts and never answers.
func blackHole(d *driver) (speak func()) {
	d.kill(bristol)
	config := must(os.ReadFile(d.config(bristol)))(d.t)
	address := regexp.MustCompile(`(?m)^listen: (.*)$`).FindSubmatch(config)[1]
	hole := must(net.Listen("tcp", string(address)))(d.t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := hole.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // with the hole, and not before
		}
	}()
	return func() {
		_ = hole.Close()
		<-ended
		d.start(bristol)
	}
}

// mustSeeAtDesks is mustSee where an inbox does not answer.
func (d *driver) mustSeeAtDesks(what string, holds func([]*localv1.Notification) bool) {
	d.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		out, err := d.desk(deskPRI).ListNotifications(context.Background(), &localv1.ListNotificationsRequest{})
		if err != nil {
			d.t.Fatal(err)
		}
		if holds(out.GetNotifications()) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			d.t.Fatalf("never seen: %s", what)
		}
	}
}
