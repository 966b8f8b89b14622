//go:build crash

package crash

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/testkit"
)

// call is a system call by which a party writes, and the file that it is about.
type call struct {
	name string
	file string // of the world's folder; empty for the party's database
	work int    // how much is done meanwhile; 0 for a little
}

func (c call) String() string {
	switch {
	case c.work > 0:
		return c.name + " of a database that grows"
	case c.file == "":
		return c.name + " of a database"
	case !strings.Contains(c.file, "checkpoints"):
		return c.name + " of a data folder"
	}
	return c.name + " of " + c.file
}

// grows is how many things people do until every database has grown.
const grows = 90

// TestDiskErrors has the nth call of every kind by which a party writes fail, under strace, as a disk that fails or is
// full; n is swept. A thread counts its own calls, so one run may see several.
func TestDiskErrors(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	begun := time.Now()
	var lanes sync.WaitGroup
	var ended, runs atomic.Int64
	var failed sync.Map // call → *atomic.Int64: how often it was made to fail
	for n, party := range []string{hub, deskBLI, bristol} {
		lanes.Go(func() {
			t.Run(party, func(t *testing.T) {
				w := newWorld(t, n, must(release())(t))
				w.start(all...)
				d := newDriver(w, seed+uint64(n))
				// The last two happen when the file grows, so there must be much to do.
				calls := []call{{name: "pwrite64"}, {name: "fdatasync"}, {name: "fsync", file: party}, {name: "fsync", work: grows}, {name: "ftruncate", work: grows}}
				if party == hub {
					calls = append(calls, call{name: "pwrite64", file: "hub-checkpoints/newest"}, call{name: "fdatasync", file: "hub-checkpoints/newest"},
						// These make the file anew, when a hub starts.
						call{name: "write", file: "hub-checkpoints/newest.new"}, call{name: "fsync", file: "hub-checkpoints/newest.new"},
						call{name: "fsync", file: "hub-checkpoints"}, call{name: "renameat", file: "hub-checkpoints/newest"})
				}
				for _, c := range calls {
					for _, failure := range []string{"EIO", "ENOSPC"} {
						times := testkit.N(4, 40)
						if c.work > 0 {
							times = testkit.N(1, 4)
						}
						for at := range times {
							if at > 3 && spent(t, 3*time.Minute) {
								break
							}
							i, e := d.failing(party, c, failure, at+1)
							count, _ := failed.LoadOrStore(c.String(), &atomic.Int64{})
							count.(*atomic.Int64).Add(int64(i))
							ended.Add(int64(e))
							runs.Add(1)
						}
					}
				}
				if findings := d.audit(); len(findings) > 0 {
					t.Errorf("at the end:\n%s", lines(findings))
				}
				w.end(deskPRI, deskBLI, lancashire, bristol, hub)
				w.run("hub", "--config", w.config(hub), "check")
			})
		})
	}
	lanes.Wait()
	injected := int64(0)
	failed.Range(func(what, count any) bool {
		n := count.(*atomic.Int64).Load()
		injected += n
		t.Logf("%s: failed %d times", what, n)
		if n == 0 {
			t.Errorf("%s: never failed, so nothing was proved about it", what)
		}
		return true
	})
	t.Logf("%d runs, %d system calls failed with EIO or ENOSPC, %d times the process ended by itself; false acknowledgements 0; %.0f s",
		runs.Load(), injected, ended.Load(), time.Since(begun).Seconds())
}

// failing works while a party's calls fail, starts it again on a good disk, and judges. It returns how many calls failed,
// and whether the party ended by itself.
func (d *driver) failing(party string, c call, failure string, at int) (injected, ended int) {
	d.t.Helper()
	file := filepath.Join(d.dir, party, databaseOf(party))
	if c.file != "" {
		file = filepath.Join(d.dir, c.file)
	}
	trace := filepath.Join(d.dir, "strace")
	d.end(party)
	p := d.launch(party, nil, "strace", "-D", "-f", "-qq", "-o", trace, "-P", file,
		"-e", "trace="+c.name, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", c.name, failure, at))
	if d.serves(party) == nil {
		d.do(context.Background(), d.burst(max(8, c.work)), func() {})
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		d.t.Fatal(err)
	}
	injected = bytes.Count(text, []byte("(INJECTED)"))
	if injected > 0 && failure == "EIO" && (c.name == "fdatasync" || c.name == "pwrite64") && c.file == "" {
		d.gone(p, fmt.Sprintf("%s of %s failed at call %d", c.name, party, at))
	}
	select {
	case <-p.gone:
		ended = 1
	default:
	}
	d.revive()
	if d.parties[party] == p {
		_ = d.stop(party)
		d.start(party)
	}
	if findings := d.settle(); len(findings) > 0 {
		d.t.Fatalf("%s of %s fails with %s at call %d of %s:\n%s", c.name, file, failure, at, party, lines(findings))
	}
	return injected, ended
}

// databaseOf is the name of a party's database file.
func databaseOf(party string) string {
	return map[string]string{hub: "hub.db", deskBLI: "desk.db", bristol: "inbox.db"}[party]
}
