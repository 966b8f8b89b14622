//go:build crash

package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"postern/internal/testkit"
)

// forgetful is the control: a program whose database believes the page cache.
var forgetful = sync.OnceValues(func() (string, error) { return build("nosync") })

// volume is a file system of its own under the data folder of one party.
type volume struct {
	w           *world
	party, path string // the folder
	image       string
}

// newVolume makes a file system in an image, moves the party's data there, and mounts it in its place. The hub's
// checkpoint file lies on it too.
func (w *world) newVolume(party, kind string) *volume {
	w.t.Helper()
	v := &volume{w: w, party: party, path: filepath.Join(w.dir, party), image: filepath.Join(w.dir, party+".image")}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() { // quick, and as good: what is cut off is the page cache above it
		v.image = filepath.Join("/dev/shm", fmt.Sprintf("postern-crash-%d-%s", os.Getpid(), filepath.Base(w.dir)))
	}
	w.edit(w.config(party), `hub-checkpoints/newest`, "hub/newest")
	w.edit(w.config(party), `(?m)\z`, "disk:\n  reserve_mib: 1\n")
	w.shell("truncate", "-s", "320M", v.image)
	w.t.Cleanup(func() { _ = os.Remove(v.image) })
	mkfs := map[string][]string{"ext4": {"mkfs.ext4", "-q", v.image}, "xfs": {"mkfs.xfs", "-q", v.image}}[kind]
	w.shell(mkfs[0], mkfs[1:]...)
	w.shell("mv", v.path, v.path+".was")
	if err := os.Mkdir(v.path, 0o700); err != nil {
		w.t.Fatal(err)
	}
	v.mount()
	w.t.Cleanup(func() { _ = syscall.Unmount(v.path, syscall.MNT_DETACH) })
	w.shell("cp", "-a", v.path+".was/.", v.path)
	w.shell("sync", "-f", v.path)
	return v
}

func (w *world) shell(name string, args ...string) {
	w.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v (this test needs root, mount, and the tools of the file system)\n%s", name, err, out)
	}
}

func (v *volume) mount() {
	v.w.t.Helper()
	v.w.shell("mount", "-o", "loop", v.image, v.path)
}

// cut ends the file system as a power cut would: what is not on the disk at this moment never will be.
func (v *volume) cut() {
	v.w.t.Helper()
	const shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN, and the same number on XFS
	flags := uint32(2)          // do not even flush the journal
	dir := must(os.Open(v.path))(v.w.t)
	defer dir.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		v.w.t.Fatalf("shutting the file system down: %v", errno)
	}
}

// again mounts the file system as the machine would after the power is back. The party must be gone. Somebody may still
// look at the ended process, as every list of processes does, and hold its mapped database for that moment.
func (v *volume) again() {
	v.w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	err := syscall.Unmount(v.path, 0)
	for end := time.Now().Add(patience); errors.Is(err, syscall.EBUSY) && time.Now().Before(end); err = syscall.Unmount(v.path, 0) {
		<-tick.C
	}
	if err != nil {
		v.w.t.Fatal(err)
	}
	v.mount()
}

// TestPowerCuts cuts the power of the disk under hub, desk and inbox, on ext4 and XFS, in the middle of work.
func TestPowerCuts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	begun := time.Now()
	var cuts, cutOff atomic.Int64
	var lanes sync.WaitGroup
	n := 0
	for _, kind := range []string{"ext4", "xfs"} {
		for _, party := range []string{hub, deskBLI, bristol} {
			n++
			lanes.Go(func() {
				t.Run(kind+" "+party, func(t *testing.T) {
					d, v := powered(t, n, seed, kind, party, must(release())(t))
					for k := range testkit.N(8, 400) {
						if spent(t, 3*time.Minute) {
							break
						}
						cutOff.Add(d.cutDuring(v, d.burst(6)))
						cuts.Add(1)
						v.again()
						d.revive()
						if findings := d.settle(); len(findings) > 0 {
							t.Fatalf("seed %d, cut %d of %s on %s:\n%s", seed, k, party, kind, lines(findings))
						}
					}
					if findings := d.audit(); len(findings) > 0 {
						t.Error(lines(findings))
					}
				})
			})
		}
	}
	lanes.Wait()
	t.Logf("%d power cuts of hub, desk and inbox on ext4 and XFS: %d actions cut off; lost 0, shown twice 0, unrecorded 0; %.0f s", cuts.Load(), cutOff.Load(), time.Since(begun).Seconds())
}

// powered is a world with one party on a volume of its own.
func powered(t *testing.T, n int, seed uint64, kind, party, binary string) (*driver, *volume) {
	t.Helper()
	w := newWorld(t, n, binary)
	v := w.newVolume(party, kind)
	w.start(all...)
	return newDriver(w, seed+uint64(n)), v
}

// cutDuring cuts the power somewhere in the middle of the actions, then ends the party, and returns how many had no
// answer at that moment.
func (d *driver) cutDuring(v *volume, actions []action) int64 {
	d.t.Helper()
	after := int64(d.random.IntN(len(actions)))
	done, ended := d.doUntil(context.Background(), actions, after)
	answered := done.Load()
	v.cut()
	p := d.parties[v.party]
	_ = p.cmd.Process.Kill()
	<-p.gone
	<-ended
	return int64(len(actions)) - answered
}

// TestAStoreThatBelievesThePageCacheIsFoundOut is the control: the same cuts, and a desk whose commits are not synced.
func TestAStoreThatBelievesThePageCacheIsFoundOut(t *testing.T) {
	d, v := powered(t, 0, rand.Uint64(), "ext4", deskBLI, must(forgetful())(t))
	for range 5 {
		var hand []action
		for range 6 {
			hand = append(hand, d.submits(d.formFor(deskBLI)))
		}
		d.do(context.Background(), hand, func() {})
		d.cutDuring(v, d.burst(2))
		v.again()
		d.kill(deskBLI)
		d.launch(deskBLI, nil)
		if err := d.serves(deskBLI); err != nil {
			return // it does not even start on what is left
		}
		if findings := d.judge(d.look()); len(findings) > 0 {
			return
		}
	}
	t.Error("a desk without a sync lost nothing in five power cuts: the cuts cut nothing")
}
