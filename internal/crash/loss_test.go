//go:build crash

package crash

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// TestLossOfTheHubsDisk destroys all that a hub has written, while some of it is delivered, some waits for an inbox that is
// down and some is withdrawn. The operator does what docs/operations.md says: the keys come back from where they are kept,
// a new generation of the logs follows what the parties have seen, and everybody is given its keys. Nothing that a desk
// took is lost, and nothing is shown twice.
func TestLossOfTheHubsDisk(t *testing.T) {
	begun := time.Now()
	losses := testkit.N(2, 100)
	notifications := 0
	for n := range losses {
		w := newWorld(t, n, must(release())(t))
		w.start(all...)
		d := newDriver(w, uint64(n))
		d.kinds = []string{"shared_in_full", "two_authorities"}
		delivered := d.share(4)
		w.kill(bristol)
		var hand []action
		for range 4 {
			hand = append(hand, d.submits(d.formFor(deskBLI)), d.submits(d.formFor(deskPRI)))
		}
		d.do(context.Background(), hand, func() {})
		d.withdrawn[delivered[0]] = false
		d.withdrawing(deskBLI, delivered[0])(context.Background())
		d.mustSeeAtDesks("something waits for the inbox that is down", func(all []*localv1.Notification) bool {
			for _, n := range all {
				if n.GetState() == localv1.State_STATE_ACCEPTED {
					return true
				}
			}
			return false
		})
		w.kill(hub)
		w.end(deskBLI, deskPRI, lancashire)
		w.loseHub()
		w.start(all...)
		// A desk takes no older directory than it had, so the operator numbers the next one after it.
		w.loadDirectory("--number", strconv.Itoa(100*(n+1)))
		if findings := d.settle(); len(findings) > 0 {
			t.Fatalf("loss %d:\n%s", n, lines(findings))
		}
		_, sent, _ := d.counts()
		notifications += sent
		w.end(deskPRI, deskBLI, lancashire, bristol, hub)
		w.run("hub", "--config", w.config(hub), "check")
	}
	t.Logf("%d hub disks lost, with %d notifications acknowledged: lost 0, shown twice 0; %.0f s", losses, notifications, time.Since(begun).Seconds())
}

// loseHub removes what a hub has written but its keys, opens the next generation, and gives every party its keys. Nobody
// may run.
func (w *world) loseHub() {
	w.t.Helper()
	generation := []string{"hub", "--config", w.config(hub), "new-generation", filepath.Join(w.dir, "hub2"), "-o", "json"}
	for _, party := range []struct{ command, name string }{{"desk", deskBLI}, {"desk", deskPRI}, {"inbox", bristol}, {"inbox", lancashire}} {
		known, seen := filepath.Join(w.dir, party.name+".known"), w.run(party.command, "--config", w.config(party.name), "known-log")
		if len(seen) == 0 {
			continue // nothing has come to it yet
		}
		if err := os.WriteFile(known, seen, 0o600); err != nil {
			w.t.Fatal(err)
		}
		generation = append(generation, "--known", known)
	}
	for _, written := range []string{"hub/hub.db", "hub/hub.db.reserve", "hub/vault", "hub-checkpoints/newest"} {
		if err := os.RemoveAll(filepath.Join(w.dir, written)); err != nil {
			w.t.Fatal(err)
		}
	}
	var opened struct {
		Keys []string `json:"verifier_keys"`
	}
	if err := json.Unmarshal(w.run(generation...), &opened); err != nil || len(opened.Keys) != 2 {
		w.t.Fatalf("the keys of the new generation: %v, %v", opened.Keys, err)
	}
	w.edit(w.config(hub), `hub/sent\.key`, "hub2/sent.key")
	w.edit(w.config(hub), `hub/received\.key`, "hub2/received.key")
	for _, name := range append(append([]string{}, desks...), inboxes...) {
		w.edit(w.config(name), `(?m)^  log_keys:\n`, "  log_keys:\n    - "+opened.Keys[0]+"\n")
		w.edit(w.config(name), `(?m)^  received_keys:\n`, "  received_keys:\n    - "+opened.Keys[1]+"\n")
	}
}
