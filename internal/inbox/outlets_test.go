package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/outlet"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// crashing is a database of a process that ends at one of its writes: before it, or right after.
type crashing struct {
	store.Store
	at    int // the write at which it ends
	after bool
	done  int
}

var errEnded = fault.New(fault.Internal, "ENDED", "The process ended here.")

func (c *crashing) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.done++
	if c.done == c.at && !c.after || c.done > c.at {
		return errEnded
	}
	err := c.Store.Update(ctx, fn)
	if c.done == c.at && err == nil {
		err = errEnded
	}
	return err
}

// importer is a case system: it takes away what it sees, at once, and counts it.
type importer struct {
	t     *testing.T
	dir   string
	taken map[string]int
}

func (i *importer) look() {
	i.t.Helper()
	all, err := os.ReadDir(i.dir)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(i.dir, e.Name()))
		if err != nil || len(b) == 0 || strings.HasSuffix(e.Name(), ".json") && !json.Valid(b) {
			i.t.Errorf("%s is not whole: %q, %v", e.Name(), b, err)
		}
		i.taken[e.Name()]++
		if err := os.Remove(filepath.Join(i.dir, e.Name())); err != nil {
			i.t.Error(err)
		}
	}
}

// Whatever write the process ends at, and whether that was done, the case system gets each file once: a folder that is
// emptied at once, and a command that is run again only for what it said it had nothing of.
func TestEachIsHandedOverOnce(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	i := &importer{t, t.TempDir(), map[string]int{}}
	ran := filepath.Join(t.TempDir(), "ran")
	outlets := inbox.Outlets{Folder: &outlet.Folder{Dir: i.dir},
		Hook: &outlet.Hook{Command: []string{"/bin/sh", "-c", `echo "$POSTERN_REFERENCE" >> "$1"`, "hook", ran}, Timeout: time.Minute}}
	step := func(way string) (err error) {
		for worked := true; worked && err == nil; {
			worked, err = in.StepOutlet(t.Context(), way)
			i.look()
		}
		return err
	}
	want, unclear := 0, 0
	for _, way := range []string{"folder", "hook"} {
		for at := 1; at <= 4; at++ {
			for _, after := range []bool{false, true} {
				in.Restart(func(c *inbox.Config) { c.Outlets = outlets })
				submit(t, x, x.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol))[0])
				x.Settle()
				want++
				in.Restart(func(c *inbox.Config) { c.Outlets, c.Store = outlets, &crashing{Store: c.Store, at: at, after: after} })
				ended := step(way)
				in.Restart(func(c *inbox.Config) { c.Outlets = outlets })
				err := errors.Join(step("folder"), step("hook"))
				if errors.Is(err, outlet.ErrUnclear) {
					unclear++
					all := must(in.ListParcels(t.Context(), nil))(t).GetParcels()
					n := slices.IndexFunc(all, (*localv1.Parcel).GetUnclear)
					if n < 0 || way != "hook" || ended == nil {
						t.Fatalf("%s, ended at write %d: unclear without reason, %v", way, at, all)
					}
					// A person looks, and says what is so.
					b, _ := os.ReadFile(ran)
					arrived := strings.Contains(string(b), all[n].GetReference())
					must(in.SettleParcel(t.Context(), &localv1.SettleParcelRequest{Id: all[n].GetId(), Arrived: arrived}))(t)
					err = step("hook")
				}
				if left := must(in.ListParcels(t.Context(), nil))(t).GetParcels(); err != nil || len(left) != 0 {
					t.Fatalf("%s, ended at write %d (%v): %v, left %v", way, at, after, err, left)
				}
			}
		}
	}
	for name, n := range i.taken {
		if n != 1 {
			t.Errorf("%s was seen %d times", name, n)
		}
	}
	b, _ := os.ReadFile(ran)
	lines := strings.Fields(string(b))
	slices.Sort(lines)
	if len(i.taken) != 2*want || len(lines) != want || len(slices.Compact(lines)) != want {
		t.Errorf("of %d the folder had %d files, and the command ran for %q", want, len(i.taken), lines)
	}
	if unclear == 0 {
		t.Error("nothing was ever unclear: the test ended no command in between")
	}
}

// A stop request follows what was handed over, and overtakes what was not.
func TestAStopGoesOnToo(t *testing.T) {
	for _, first := range []bool{true, false} {
		s := newStopper(t, true)
		i := &importer{t, t.TempDir(), map[string]int{}}
		s.in.Restart(func(c *inbox.Config) { c.Outlets.Folder = &outlet.Folder{Dir: i.dir} })
		// It came before there was a folder; what comes again is no second item, so another one is sent.
		x := s.Exchange
		id := x.Desk(testkit.HMPBristol).Take(x.Example("shared_in_part"))[0]
		x.Settle()
		run := func() {
			for worked := true; worked; {
				worked = must(s.in.StepOutlet(t.Context(), "folder"))(t)
				i.look()
			}
		}
		if first {
			run()
		}
		must(x.Desk(testkit.HMPBristol).Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}))(t)
		x.Settle()
		run()
		var kinds []string
		for name := range i.taken {
			if strings.HasSuffix(name, ".json") {
				kinds = append(kinds, strings.Split(name, "_")[1])
			}
		}
		slices.Sort(kinds)
		want := []string{"stop"}
		if first {
			want = []string{"notification", "stop"}
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("handed over before it was withdrawn: %v; then %q", first, kinds)
		}
	}
}

// A process that ends after it recorded that a file goes, and before it went, shows nothing of it once it was withdrawn.
func TestAStopOvertakesAFileThatWasAboutToGo(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	i := &importer{t, t.TempDir(), map[string]int{}}
	folder := inbox.Outlets{Folder: &outlet.Folder{Dir: i.dir}}
	in.Restart(func(c *inbox.Config) { c.Outlets = folder })
	id := x.Desk(testkit.HMPBristol).Take(x.Example("shared_in_part"))[0]
	x.Settle()
	in.Restart(func(c *inbox.Config) { c.Outlets, c.Store = folder, &crashing{Store: c.Store, at: 1, after: true} })
	if _, err := in.StepOutlet(t.Context(), "folder"); !errors.Is(err, errEnded) {
		t.Fatal(err)
	}
	in.Restart(func(c *inbox.Config) { c.Outlets = folder })
	must(x.Desk(testkit.HMPBristol).Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}))(t)
	x.Settle()
	for worked := true; worked; {
		worked = must(in.StepOutlet(t.Context(), "folder"))(t)
		i.look()
	}
	for name := range i.taken {
		if !strings.Contains(name, "_stop_") {
			t.Errorf("%s was seen after it was withdrawn", name)
		}
	}
	if hidden, err := os.ReadDir(filepath.Join(i.dir, ".postern")); err != nil || len(hidden) != 0 || len(i.taken) != 2 {
		t.Errorf("seen %v, hidden %v, %v", i.taken, hidden, err)
	}
}

// What fails is tried again and holds up no other; what is unclear waits for a person, and doctor says so.
func TestAParcelThatFails(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	in.Restart(func(c *inbox.Config) {
		c.Outlets.Hook = &outlet.Hook{Command: []string{"/bin/sh", "-c", `test -e "$1" || exit 1; kill -9 $$`, "hook", filepath.Join(t.TempDir(), "none")}, Timeout: time.Minute}
	})
	if n := must(in.SendTest(t.Context(), nil))(t).GetParcels(); n != 1 {
		t.Fatalf("%d tests", n)
	}
	if worked, err := in.StepOutlet(t.Context(), "hook"); !worked || fault.From(err).Reason != "HOOK" {
		t.Fatalf("%v, %v", worked, err)
	}
	if worked, err := in.StepOutlet(t.Context(), "hook"); worked || err != nil {
		t.Errorf("tried again at once: %v, %v", worked, err)
	}
	words := func() (all string) {
		for _, f := range must(in.Examine(t.Context(), nil))(t).GetFindings() {
			if f.GetCheck() == "outlets" {
				all += f.GetWords()
			}
		}
		return all
	}
	x.Clock.Advance(time.Hour)
	if got := words(); got != "1 parcels wait, the oldest for 1h0m0s" {
		t.Errorf("doctor says %q", got)
	}
	in.Restart(func(c *inbox.Config) {
		c.Outlets.Hook = &outlet.Hook{Command: []string{"/bin/sh", "-c", "kill -9 $$"}, Timeout: time.Minute}
	})
	if _, err := in.StepOutlet(t.Context(), "hook"); !errors.Is(err, outlet.ErrUnclear) {
		t.Errorf("%v", err)
	}
	x.Clock.Advance(1000 * time.Hour)
	if worked, err := in.StepOutlet(t.Context(), "hook"); worked || err != nil {
		t.Errorf("what is unclear was tried again: %v, %v", worked, err)
	}
	if got := words(); got != "of 1 parcels it is not known whether the case system has them" {
		t.Errorf("doctor says %q", got)
	}
	_, err := in.SettleParcel(t.Context(), &localv1.SettleParcelRequest{Id: "no such"})
	wantFault(t, err, fault.NotFound, "NOT_FOUND")
}

// An alert goes to every mailbox, and one that does not work keeps none of the others from hearing.
func TestAnAlertForEachMailbox(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	in.Restart(func(c *inbox.Config) {
		c.Outlets.Mail = &outlet.Mail{Server: "127.0.0.1:1", From: "postern@council.example", Link: "https://inbox.council.example", Timeout: time.Minute}
	})
	s := must(in.GetSettings(t.Context(), &localv1.GetSettingsRequest{}))(t).GetSettings()
	s.AlertAddresses = []string{"duty@council.example", "deputy@council.example"}
	must(in.ChangeSettings(as(t, "MAX", "TEAM_MANAGER"), &localv1.ChangeSettingsRequest{Settings: s}))(t)
	x.Desk(testkit.HMPBristol).Take(x.Example("shared_in_part"))
	x.Settle()
	for range 2 {
		if worked, err := in.StepOutlet(t.Context(), "mail"); !worked || fault.From(err).Reason != "MAIL" {
			t.Fatalf("%v, %v", worked, err)
		}
	}
	all := must(in.ListParcels(t.Context(), nil))(t).GetParcels()
	if len(all) != 2 || all[0].GetAttempts() != 1 || all[1].GetAttempts() != 1 || all[0].GetKind() != "NOTIFICATION" {
		t.Errorf("%v", all)
	}
}
