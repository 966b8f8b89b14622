package desk_test

import (
	"context"
	"errors"
	"testing"

	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/mem"
	"postern/internal/testkit"
)

// failing is a store of which one commit, counted from now, does not happen.
type failing struct {
	store.Store
	after *int // commits that happen first; below zero all do
}

var errFails = errors.New("this commit fails")

func (s failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if *s.after--; *s.after == -1 {
		return errFails
	}
	return s.Store.Update(ctx, fn)
}

// Reserved is for store.Reserved.
func (s failing) Reserved() store.Store { return failing{store.Reserved(s.Store), s.after} }

// What a desk fetched and could not apply comes again, whichever of its commits fails.
func TestUpdatesThatCouldNotBeAppliedComeAgain(t *testing.T) {
	for after := range 4 {
		never := -1
		fails := &never
		x, d := opened(t, func(c *testkit.Config) {
			disks := map[string]*mem.Disk{}
			c.Open = func(name string, db schema.Database) (store.Store, error) {
				if disks[name] == nil {
					disks[name] = mem.NewDisk()
				}
				s, err := mem.Open(t.Context(), mem.Config{Disk: disks[name], Schema: db})
				if name != "desk-"+testkit.HMPBristol {
					return s, err
				}
				return failing{s, fails}, err
			}
		})
		id := d.Take(family())[0]
		worked, err := d.StepSpool(t.Context())
		works(t, worked, err)
		worked, err = x.Hub.StepDelivery(t.Context())
		works(t, worked, err)
		*fails = after
		if _, err := d.StepUpdates(t.Context()); err != nil && !errors.Is(err, errFails) {
			t.Fatal(err)
		}
		*fails = never
		for worked := true; worked; {
			if worked, err = d.StepUpdates(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d.State(id) != delivered {
			t.Errorf("after %d commits one failed: the desk shows %v", after, d.State(id))
		}
	}
}
