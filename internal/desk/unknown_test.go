package desk_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"postern/internal/desk"
	"postern/internal/store"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
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
	party := x.Desk(testkit.HMPBristol)
	party.Restart(func(c *desk.Config) { u.Store, c.Store = c.Store, u })
	u.since.Store(true)
	if err := party.Run(t.Context()); !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("it goes on: %v", err)
	}
}

// uncertainHub answers that its own database cannot confirm a write, and ends the test at the third time.
type uncertainHub struct {
	posternv1.SubmissionServiceClient
	asked atomic.Int64
	end   func()
}

func (h *uncertainHub) ListUpdates(context.Context, *posternv1.ListUpdatesRequest, ...grpc.CallOption) (*posternv1.ListUpdatesResponse, error) {
	if h.asked.Add(1) == 3 {
		h.end()
	}
	return nil, store.ErrOutcomeUnknown
}

func TestAHubWhoseDatabaseCannotConfirmAWriteDoesNotEndADesk(t *testing.T) {
	x := testkit.NewExchange(t)
	ctx, end := context.WithCancel(t.Context())
	hub := &uncertainHub{end: end}
	d := x.Desk(testkit.HMPBristol)
	d.Restart(func(c *desk.Config) { c.Hub, c.Poll = hub, 1 })
	if err := d.Run(ctx); !errors.Is(err, context.Canceled) || hub.asked.Load() < 3 {
		t.Errorf("the desk ended after %d answers: %v", hub.asked.Load(), err)
	}
}
