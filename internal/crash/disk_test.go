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
	"time"

	"postern/internal/failpoint"
	"postern/internal/fault"
	localv1 "postern/proto/postern/local/v1"
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
func fullDeskWithdraws(t *testing.T, n int, what string, fired *record) {
	w := newWorld(t, n, must(armed())(t))
	w.edit(w.config(deskBLI), `(?m)\z`, "disk:\n  reserve_mib: 2\n")
	w.smallDisk(deskBLI, 24)
	w.start(all...)
	d := newDriver(w, uint64(n))
	d.kinds = []string{"shared_in_full"}
	shared := d.share(1)[0]
	s := shot{point: failpoint.StoreRelease, action: what, party: deskBLI, at: 1, record: filepath.Join(w.dir, "record")}
	w.end(deskBLI)
	p := w.launch(deskBLI, s.env())
	w.await(deskBLI)
	empty := w.fill(deskBLI, 0)
	for range 500 { // the first ones find room inside the file
		if d.withdrawWrongly(deskBLI); d.noted(s) {
			break
		}
	}
	if what == "kill" && d.noted(s) {
		<-p.gone
	}
	w.revive()
	d.withdrawn[shared] = false
	d.withdrawing(deskBLI, shared)(context.Background())
	if !d.withdrawn[shared] {
		t.Errorf("a full disk kept a withdrawal from being taken\n%s", w.tail(deskBLI))
	}
	if !fired.add(t, s) {
		t.Errorf("%s did not happen", s)
	}
	empty()
	if findings := append(d.settle(), d.audit()...); len(findings) > 0 {
		t.Error(lines(findings))
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

// TestFullDisk fills the volume of one party, as another program would: first until only what is kept back is left, then
// to its last byte. Forms are refused before harm in a way that can be tried again, or wait; what a person withdraws is
// taken all the same; nothing ends that needs not; and with the space all comes back by itself.
func TestFullDisk(t *testing.T) {
	for n, full := range []string{deskBLI, bristol, hub} {
		t.Run(full, func(t *testing.T) {
			w := newWorld(t, n, must(release())(t))
			w.edit(w.config(full), `(?m)\z`, "disk:\n  reserve_mib: 2\n")
			w.smallDisk(full, 24)
			w.start(all...)
			d := newDriver(w, uint64(n))
			d.kinds = []string{"shared_in_full"}
			shared := d.share(8)
			process := w.parties[full]

			empty := w.fill(full, 1<<20)
			later := d.formFor(deskBLI)
			d.whileFull(full, later, shared[:4])
			select {
			case <-process.gone:
				t.Errorf("%s ended though space was kept back\n%s", full, w.tail(full))
			default:
			}
			empty()
			empty = w.fill(full, 0)
			d.whileFull(full, later, shared[4:])
			select {
			case <-process.gone:
				if full != hub { // a hub that cannot write its checkpoint file ends, and is started again
					t.Errorf("%s ended because its disk is full\n%s", full, w.tail(full))
				}
			default:
			}
			empty()
			w.revive()
			d.submits(later)(context.Background())
			if d.forms[later].ids == nil {
				t.Errorf("there is space again, and the form is refused")
			}
			if findings := append(d.settle(), d.audit()...); len(findings) > 0 {
				t.Error(lines(findings))
			}
		})
	}
}

// whileFull hands in one form and withdraws others while a party's disk is full.
func (d *driver) whileFull(full, form string, withdrawn []string) {
	d.t.Helper()
	d.submits(form)(context.Background())
	if full == deskBLI {
		d.refusedAsFull(deskBLI, form)
	} else if d.forms[form].ids == nil {
		d.t.Errorf("a desk takes no form because %s has no space", full)
	}
	for _, id := range withdrawn {
		d.withdrawn[id] = false
		d.withdrawing(deskBLI, id)(context.Background())
		if !d.withdrawn[id] {
			d.t.Errorf("a withdrawal was not taken\n%s", d.tail(deskBLI))
		}
	}
	select {
	case <-d.parties[full].gone:
	default:
		d.mustSee("the team asked to stop", func(s seen) bool {
			items := s.items(bristol, withdrawn[len(withdrawn)-1])
			return len(items) == 1 && items[0].GetStop() != nil
		})
	}
}

// share hands n forms in at HMP Bristol and waits until the team has them; it returns their notifications.
func (d *driver) share(n int) (ids []string) {
	d.t.Helper()
	var forms []string
	var hand []action
	for range n {
		id := d.formFor(deskBLI)
		forms, hand = append(forms, id), append(hand, d.submits(id))
	}
	d.do(context.Background(), hand, func() {})
	if findings := d.settle(); len(findings) > 0 {
		d.t.Fatal(lines(findings))
	}
	for _, id := range forms {
		if d.forms[id].ids == nil {
			d.t.Fatal("a form was not taken though nothing was in the way")
		}
		ids = append(ids, d.forms[id].ids...)
	}
	return ids
}

// mustSee waits until something is seen.
func (d *driver) mustSee(what string, holds func(seen) bool) {
	d.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !holds(d.look()) {
		select {
		case <-tick.C:
		case <-end:
			d.t.Fatalf("never seen: %s", what)
		}
	}
}
