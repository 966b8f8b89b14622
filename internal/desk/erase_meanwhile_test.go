package desk_test

import (
	"context"
	"fmt"
	"testing"

	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
)

// between is a store before one of whose next writes something else happens.
type between struct {
	store.Store
	in   int // how many writes from now
	does func()
}

func (b *between) Update(ctx context.Context, fn func(store.Tx) error) error {
	if b.in--; b.in == 0 {
		b.does()
	}
	return b.Store.Update(ctx, fn)
}

// What a desk is about to erase is told to a hub that has lost it, or is not, and never half: whichever comes between two
// writes of the other, nothing stays in the spool that cannot be sent, and in the end it is erased.
func TestErasingAndTellingAgainDoNotMix(t *testing.T) {
	for _, first := range []string{"erase", "told again"} {
		for in := range 3 {
			t.Run(fmt.Sprint(first, in+1), func(t *testing.T) {
				var desks *between
				path := t.TempDir() + "/desk.db"
				x, d := opened(t, func(c *testkit.Config) {
					c.Open = func(party string, db schema.Database) (store.Store, error) {
						s, err := bolt.Open(t.Context(), bolt.Config{Path: path + party, Schema: db})
						if party != "desk-"+testkit.HMPBristol {
							return s, err
						}
						desks = &between{Store: s}
						return desks, err
					}
					c.Lose = func(string) { path += "1" }
				})
				id, other := d.Take(family())[0], d.Take(family())[0]
				x.Settle()
				if later(t, x, d, 179) {
					t.Fatal("too soon")
				}
				x.LoseHub()
				x.Clock.Advance(aDay)
				erase := func() { must(d.StepErase(t.Context()))(t) }
				tell := func() { d.StepUpdates(t.Context()) }
				if first != "erase" {
					erase, tell = tell, erase
				}
				desks.in, desks.does = in+1, tell
				erase()
				desks.in = 0 // it made fewer writes
				wait(x)
				if waits := spool(t, d); len(waits) > 0 {
					t.Errorf("%d wait for ever", len(waits))
				}
				later(t, x, d, 2)
				if !isErased(d, id) || !isErased(d, other) {
					t.Error("they are kept")
				}
			})
		}
	}
}
