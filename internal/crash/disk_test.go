//go:build crash

package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"postern/internal/failpoint"
	"postern/internal/fault"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// smallDisk puts a party's data folder on a volume of its own, of so many MiB, with all that is in it. The party must not
// run. It needs root.
func (w *world) smallDisk(name string, mib int) {
	w.t.Helper()
	data := filepath.Join(w.dir, name)
	if out, err := exec.Command("cp", "-a", data, data+".was").CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		w.t.Fatalf("mounting a small volume, for which this test needs root: %v", err)
	}
	w.t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
	if out, err := exec.Command("cp", "-a", data+".was/.", data).CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}

// fill takes all the space that a party's volume has but so many bytes, as another program would; what it returns gives
// it back.
func (w *world) fill(name string, leave int64) (empty func()) {
	w.t.Helper()
	path := filepath.Join(w.dir, name, "of-another-program")
	f := must(os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600))(w.t)
	defer f.Close()
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		w.t.Fatal(err)
	}
	free := int64(s.Bavail) * s.Bsize
	if _, err := io.CopyN(f, zeros{}, max(0, free-leave)); err != nil && !errors.Is(err, syscall.ENOSPC) {
		w.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			w.t.Error(err)
		}
	}
}

// zeros reads as zeros for ever.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// fullDeskWithdraws has the fail-point that only a disk filled to the last byte passes: a withdrawal takes the space that
// was kept back.
func fullDeskWithdraws(t *testing.T, fired *record) {
	for n, action := range actions {
		t.Run("full desk "+action, func(t *testing.T) {
			w := newWorld(t, n, must(armed())(t))
			w.edit(w.config(deskBLI), `(?m)\z`, "disk:\n  reserve_mib: 2\n")
			w.smallDisk(deskBLI, 12)
			w.start(all...)
			d := newDriver(w, uint64(n))
			d.kinds = []string{"shared_in_full"}
			id := d.formFor(deskBLI)
			d.submits(id)(context.Background())
			if findings := d.settle(); len(findings) > 0 {
				t.Fatal(lines(findings))
			}
			s := shot{failpoint.StoreRelease, action, deskBLI, 1}
			file := filepath.Join(w.dir, "record-full")
			w.end(deskBLI)
			w.launch(deskBLI, []string{armedEnv + fmt.Sprintf("%s=%s@1", s.point, s.action), recordEnv + file})
			w.await(deskBLI)
			empty := w.fill(deskBLI, 0)
			notification := d.forms[id].ids[0]
			d.withdrawn[notification] = false
			d.withdrawing(deskBLI, notification)(context.Background())
			w.revive()
			d.withdrawing(deskBLI, notification)(context.Background())
			if !d.withdrawn[notification] {
				t.Error("a full disk kept a withdrawal from being taken")
			}
			if !fired.add(t, file, s) {
				t.Errorf("%s did not happen", s)
			}
			empty()
			if findings := append(d.settle(), d.audit()...); len(findings) > 0 {
				t.Error(lines(findings))
			}
		})
	}
}

// refusedAsFull checks that a desk refuses a form because of its disk, in a way that can be tried again.
func (d *driver) refusedAsFull(desk, id string) {
	d.t.Helper()
	_, err := d.desk(desk).SubmitForm(context.Background(), &localv1.SubmitFormRequest{FormJson: d.forms[id].json})
	if fault.KindOf(err) != fault.Exhausted {
		d.t.Errorf("a desk with a full disk answers a form with %v", err)
	}
}

var _ = posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PAPER
