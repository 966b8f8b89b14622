package inbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"postern/internal/inbox"
	"postern/internal/store"
	"postern/internal/testkit"
)

// uncertain is a store that, from some time on, does not know whether its last commit was written.
type uncertain struct {
	store.Store
	since atomic.Bool
}

func (u *uncertain) View(ctx context.Context, fn func(store.Snapshot) error) error {
	if u.since.Load() {
		return store.ErrOutcomeUnknown
	}
	return u.Store.View(ctx, fn)
}

// TestItEndsWhenItsDatabaseCannotConfirmAWrite: staying up would be answering for ever that it cannot answer.
func TestItEndsWhenItsDatabaseCannotConfirmAWrite(t *testing.T) {
	x := testkit.NewExchange(t)
	u := &uncertain{}
	party := x.Inbox(testkit.Bristol)
	party.Restart(func(c *inbox.Config) { u.Store, c.Store = c.Store, u })
	u.since.Store(true)
	if err := party.Run(t.Context()); !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("it goes on: %v", err)
	}
}
