package hub_test

import (
	"context"
	"slices"
	"testing"

	"postern/internal/form/formtest"
	"postern/internal/hub"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
)

const redirected = logv1.Kind_KIND_REDIRECTED

// hooked is a store that lets something else happen after a reading of it: the moment between what a handler saw and
// the transaction in which it acts on it.
type hooked struct {
	store.Store
	after *func()
}

func (h hooked) View(ctx context.Context, fn func(store.Snapshot) error) error {
	err := h.Store.View(ctx, fn)
	if then := *h.after; then != nil {
		then()
	}
	return err
}

// between makes a world in which fn runs once, after the n-th time that the hub reads its store while do runs. It says
// whether it came to that.
func between(t *testing.T, n int, do, fn func(*world)) (w *world, happened bool) {
	t.Helper()
	var after func()
	w = newWorld(t, func(c *testkit.Config) {
		c.Hub = func(h *hub.Config) { h.Store = hooked{h.Store, &after} }
	})
	reads := 0
	w.prepare = func() {
		after = func() {
			if reads++; reads == n {
				after = nil
				happened = true
				fn(w)
			}
		}
	}
	do(w)
	after = nil
	return w, happened
}

// Whatever a send does between two readings of a withdrawal, either it began before and the team is asked to stop, or
// it does not begin at all.
func TestASendBetweenAnyTwoReadingsOfAWithdrawal(t *testing.T) {
	for _, part := range [][]string{nil, {"child/1/phone"}} {
		for n := 1; ; n++ {
			var id string
			began := false
			w, happened := between(t, n, func(w *world) {
				s := w.shareable()
				id = idOf(t, s)
				w.decided(s)
				w.prepare()
				w.withdraw(testkit.HMPBristol, id, paths(part...))
			}, func(w *world) {
				began = w.rows(schema.HubWithdrawal) == 0
				w.try()
			})
			if !happened {
				if n < 2 {
					t.Fatal("nothing was tried")
				}
				break
			}
			if asked := len(w.events(stopAsked)) == 1; asked != began {
				t.Errorf("after reading %d: a send began %v, and the team is asked to stop %v", n, began, asked)
			}
			sent := w.watch()
			w.settle()
			item := w.item(id)
			if part == nil && (*sent != 0 || item != nil) {
				t.Errorf("after reading %d: sent %d times, the team sees %v", n, *sent, item)
			}
			if part != nil && (item == nil || slices.Contains(item.GetItem().GetPaths(), part[0])) {
				t.Errorf("after reading %d: the team sees %v", n, item.GetItem())
			}
			if w.waiting() != 0 {
				t.Errorf("after reading %d: %d still wait", n, w.waiting())
			}
		}
	}
}

// A withdrawal that commits between the readings of a submission: nothing of it goes.
func TestAWithdrawalBetweenAnyTwoReadingsOfASubmission(t *testing.T) {
	for n := 1; ; n++ {
		var id string
		w, happened := between(t, n, func(w *world) {
			s := w.shareable()
			id = idOf(t, s)
			w.prepare()
			w.decided(s)
		}, func(w *world) { w.withdraw(testkit.HMPBristol, id) })
		if !happened {
			if n < 2 {
				t.Fatal("nothing was tried")
			}
			return
		}
		w.settle()
		if w.item(id) != nil || w.waiting() != 0 {
			t.Errorf("after reading %d: it went", n)
		}
	}
}

// What a team passes on is decided on what holds when it is recorded: nothing is shared further once it was withdrawn, and
// no decision rests on a directory that was replaced, whenever in a redirect that comes to be.
func TestAnythingBetweenAnyTwoReadingsOfARedirect(t *testing.T) {
	for name, comes := range map[string]func(w *world, id string){
		"a withdrawal": func(w *world, id string) { w.withdraw(testkit.HMPParc, id) },
		"a directory":  func(w *world, _ string) { w.LoadDirectory(2, testkit.Register{}) },
	} {
		for n := 1; ; n++ {
			var id string
			before := 0
			w, happened := between(t, n, func(w *world) {
				id = w.Desk(testkit.HMPParc).Take(formtest.New(testkit.Bristol))[0]
				w.settle()
				w.prepare()
				// Refused, too, is an answer.
				_, _ = w.Inbox(testkit.Bristol).RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: id, Authority: testkit.Lancashire})
			}, func(w *world) {
				before = len(w.events(redirected))
				comes(w, id)
			})
			if !happened {
				if n < 2 {
					t.Fatal("nothing was tried")
				}
				break
			}
			for _, e := range w.events(redirected)[before:] {
				if name == "a withdrawal" && e.Core.GetOutcome() == share {
					t.Errorf("after reading %d: shared further though it was withdrawn", n)
				}
				if name == "a directory" && e.Details.GetDirectoryRevision() != 2 {
					t.Errorf("after reading %d: decided by directory %d", n, e.Details.GetDirectoryRevision())
				}
			}
			w.settle()
			if item, err := w.Inbox(testkit.Lancashire).GetItem(t.Context(), &localv1.GetItemRequest{Id: id}); name == "a withdrawal" && err == nil && len(item.GetSections()) > 0 || w.waiting() != 0 {
				t.Errorf("%s after reading %d: Lancashire reads %v, and %d wait", name, n, item.GetItem().GetPaths(), w.waiting())
			}
		}
	}
}

// The directory came to allow more meanwhile: a decision made again for what is left allows no more than the first.
func TestWhatIsLeftIsNeverMore(t *testing.T) {
	fewer := slices.DeleteFunc(formtest.Sections(), func(s string) bool { return s == "child/{n}/school" })
	w := newWorld(t, func(c *testkit.Config) { c.Register.Sections = map[string][]string{testkit.Bristol: fewer} })
	n := w.shareable()
	first, _ := w.decided(n)
	w.LoadDirectory(2, testkit.Register{})
	w.withdraw(testkit.HMPBristol, idOf(t, n), paths("child/1/phone"))
	again := w.events(decided)[1].Details.GetDecision()
	if len(again.GetPaths()) != len(first.GetDecision().GetPaths())-1 || slices.Contains(again.GetPaths(), "child/1/school") {
		t.Errorf("first %v\nthen %v", first.GetDecision().GetPaths(), again.GetPaths())
	}
	w.settle()
	if item := w.item(idOf(t, n)); !slices.Equal(item.GetItem().GetPaths(), again.GetPaths()) {
		t.Errorf("the team sees %v", item.GetItem().GetPaths())
	}
}
