package door_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// stuck is a store whose transactions wait while its disk says nothing.
type stuck struct {
	store.Store
	still   *atomic.Bool
	waiting chan struct{} // one for each transaction that waits
	resume  chan struct{}
}

func (s stuck) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.still.Load() {
		s.waiting <- struct{}{}
		<-s.resume
	}
	return s.Store.Update(ctx, fn)
}

// A hub whose disk stands still takes only so many statements into memory. The next desk is told at once, with when to
// try again, and what was taken is answered when the disk goes on.
func TestAFullQueuePushesBack(t *testing.T) {
	slow := stuck{still: &atomic.Bool{}, waiting: make(chan struct{}, 1), resume: make(chan struct{})}
	d := openDoors(t, rpc.Limits{}, func(c *testkit.Config) {
		c.Ledger = func(l *ledger.Config) { l.MaxQueue = 2 }
		c.Open = func(name string, schemas schema.Database) (store.Store, error) {
			st, err := bolt.Open(t.Context(), bolt.Config{Path: t.TempDir() + "/" + name + ".db", Schema: schemas})
			if name == "hub" && err == nil {
				slow.Store = st
				return slow, nil
			}
			return st, err
		}
	})
	submit := func() error {
		_, err := posternv1.NewSubmissionServiceClient(d.dial(deskBLI, d.hub)).Submit(soon(t), &posternv1.SubmitRequest{Notification: d.considered(deskBLI, newID(t))})
		return err
	}
	slow.still.Store(true)
	var taken sync.WaitGroup
	taken.Go(func() {
		if err := submit(); err != nil {
			t.Error(err)
		}
	})
	<-slow.waiting // it is being written, and no other batch begins
	refused := make(chan error, 8)
	for range 8 { // two of them wait, and six are told
		taken.Go(func() {
			if err := submit(); err != nil {
				refused <- err
			}
		})
	}
	for range 6 {
		if f := fault.From(<-refused); f.Kind != fault.Exhausted || f.Reason != "LEDGER_BUSY" || f.RetryAfter <= 0 {
			t.Errorf("told %v %s, again after %v", f.Kind, f.Reason, f.RetryAfter)
		}
	}
	slow.still.Store(false)
	close(slow.resume)
	taken.Wait()
	if len(refused) > 0 {
		t.Errorf("what was taken failed: %v", <-refused)
	}
	if err := submit(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
