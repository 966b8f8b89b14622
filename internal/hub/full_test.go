package hub_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
)

// Whoever operates a hub whose disk is full can start it, after an upgrade too, and can pause it: withdrawals and stop
// requests go on from what is kept back, and so do deliveries.
func TestAHubOnAFullDiskStartsAndIsPaused(t *testing.T) {
	dir, committed := t.TempDir(), func() {}
	limits := bolt.Config{}
	w := newWorld(t, func(c *testkit.Config) {
		c.Open = func(party string, d schema.Database) (store.Store, error) {
			at := limits
			at.Path, at.Schema = filepath.Join(dir, party+".db"), d
			return bolt.Open(t.Context(), at)
		}
		c.Ledger = func(c *ledger.Config) { c.Observe = func(ledger.Commit) { committed() } }
	})
	w.decided(w.shareable())
	if err := w.Store.Update(t.Context(), func(tx store.Tx) error { // the program has another policy than the one before it
		return tx.Delete(schema.HubPolicy, []byte(must(w.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetPolicyRevision()))
	}); err != nil {
		t.Fatal(err)
	}

	limits.MaxSize, limits.Reserve = 64<<20, 64<<20
	w.RestartHub()
	if _, err := w.submit(testkit.HMPBristol, w.shareable()); !errors.Is(err, store.ErrFull) {
		t.Fatalf("the disk is full, and ordinary work gives %v", err)
	}
	for _, on := range []bool{true, false} {
		if s, err := w.Hub.SetPause(t.Context(), &localv1.SetPauseRequest{Pause: on}); err != nil || (s.GetPauseTime() != nil) != on {
			t.Errorf("paused %t: %v, %v", on, s, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	committed = cancel
	if err := w.Hub.Run(ctx); err != nil {
		t.Errorf("it does not start: %v", err)
	}
	committed = func() {}
	if started := w.events(logv1.Kind_KIND_HUB_STARTED); len(started) != 1 {
		t.Errorf("the log says %d times that it started", len(started))
	}
}
