package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// hub is a ledger over a real store in a folder of its own. Its whole log is checked when the test ends.
type hub struct {
	tb testing.TB
	Config
	dir   string
	store store.Store // as bolt made it, without the test's wrapper
	*Ledger
}

var start = time.Date(2026, 3, 2, 9, 15, 0, 0, time.UTC)

func newHub(tb testing.TB, change ...func(*Config)) *hub {
	tb.Helper()
	h := &hub{tb: tb, dir: tb.TempDir()}
	v, err := vault.Open(vault.Config{Dir: filepath.Join(h.dir, "keys"), Clock: func() time.Time { return start }, Rand: chacha("vault")})
	check(tb, err)
	h.Config = Config{Vault: v, Keys: testKeys(tb), Clock: func() time.Time { return start }, Rand: chacha("ledger"), Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&h.Config)
	}
	h.openStore()
	h.openLedger()
	tb.Cleanup(h.close)
	return h
}

func (h *hub) openStore() {
	h.tb.Helper()
	s, err := bolt.Open(h.tb.Context(), bolt.Config{Path: filepath.Join(h.dir, "hub.db"), Schema: schema.Hub})
	check(h.tb, err)
	h.store, h.Config.Store = s, s
}

func (h *hub) openLedger() {
	h.tb.Helper()
	var err error
	h.Ledger, err = Open(h.tb.Context(), h.Config)
	check(h.tb, err)
}

// reopen is a restart. What was in memory is gone.
func (h *hub) reopen() {
	h.tb.Helper()
	check(h.tb, h.store.Close())
	h.openStore()
	h.openLedger()
}

func (h *hub) close() {
	if !h.tb.Failed() && h.Ledger != nil {
		check(h.tb, h.CheckAll(context.WithoutCancel(h.tb.Context())))
	}
	h.Ledger = nil
	check(h.tb, h.store.Close())
}

// batch queues ops and makes them one batch.
func (h *hub) batch(ops ...func(*Tx) error) []error {
	h.tb.Helper()
	var waiting []*pending
	for _, op := range ops {
		p, err := h.enqueue(op, false)
		check(h.tb, err)
		waiting = append(waiting, p)
	}
	if worked, err := h.Step(h.tb.Context()); !worked {
		h.tb.Fatalf("a queue of %d gave no batch: %v", len(ops), err)
	}
	errs := make([]error, len(ops))
	for i, p := range waiting {
		if !p.finished() {
			h.tb.Fatalf("op %d of %d was not in the batch", i, len(ops))
		}
		errs[i] = p.err
	}
	return errs
}

// add appends n events to a log, one op each, in one batch, and returns their ids.
func (h *hub) add(g Log, n int) [][16]byte {
	h.tb.Helper()
	ids := make([][16]byte, n)
	ops := make([]func(*Tx) error, n)
	for i := range ops {
		ops[i] = func(tx *Tx) error {
			e, err := tx.Record(g, event(i))
			ids[i] = e.EventID()
			return err
		}
	}
	for _, err := range h.batch(ops...) {
		check(h.tb, err)
	}
	return ids
}

func (h *hub) verifierKeys() verify.Keys {
	k, err := verify.NewKeys(h.VerifierKey(Sent), h.VerifierKey(Received))
	check(h.tb, err)
	return k
}

func event(i int) Event {
	digest := sha256.Sum256(fmt.Append(nil, "manifest ", i))
	return Event{Kind: logv1.Kind_KIND_DECIDED, Time: start.Add(time.Duration(i) * time.Minute),
		Core:    &logv1.Core{ManifestSha256: digest[:], Outcome: posternv1.Outcome_OUTCOME_SHARE, PolicyRevision: "rev-1"},
		Details: &logv1.Details{Caller: "spiffe://example/prison/BLI/desk", Authority: "E06000023"}}
}

func record(g Log, i int) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Record(g, event(i))
		return err
	}
}

func testKeys(tb testing.TB) Keys {
	sent, _, err := GenerateKey(chacha("sent key"), "hub.example/sent")
	check(tb, err)
	received, _, err := GenerateKey(chacha("received key"), "hub.example/received")
	check(tb, err)
	return Keys{Sent: sent, Received: received}
}

// chacha is a deterministic source for goldens and reruns.
func chacha(name string) *rand.ChaCha8 { return rand.NewChaCha8(sha256.Sum256([]byte(name))) }

func check(tb rapid.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wantFault fails the test unless err is a fault of this kind and reason, with words.
func wantFault(tb testing.TB, err error, kind fault.Kind, reason string) {
	tb.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind || f.Reason != reason || f.Message == "" {
		tb.Fatalf("want a fault %v %s, got %v", kind, reason, err)
	}
}

// wrapped is a store whose Update a test can change.
type wrapped struct {
	store.Store
	update func(ctx context.Context, next store.Store, fn func(store.Tx) error) error
}

func (w wrapped) Update(ctx context.Context, fn func(store.Tx) error) error {
	return w.update(ctx, w.Store, fn)
}

// wrap puts a wrapper between the ledger and its store, from the next open on.
func (h *hub) wrap(update func(ctx context.Context, next store.Store, fn func(store.Tx) error) error) {
	h.Config.Store = wrapped{h.store, update}
	h.openLedger()
}

// failing is a store that can fail one commit, in the ways a real one can.
type failing struct {
	mu   sync.Mutex
	mode string // of the next commit
	dead bool
}

var errDisk = errors.New("injected: the disk said no")

func (f *failing) update(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return store.ErrOutcomeUnknown
	}
	mode := f.mode
	f.mode = ""
	switch mode {
	case "rolled back":
		return next.Update(ctx, func(tx store.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			return errDisk
		})
	case "unknown, not persisted":
		f.dead = true
		_ = next.Update(ctx, func(tx store.Tx) error {
			_ = fn(tx)
			return errDisk
		})
		return store.ErrOutcomeUnknown.Because(errDisk)
	case "unknown, persisted":
		f.dead = true
		if err := next.Update(ctx, fn); err != nil {
			return err
		}
		return store.ErrOutcomeUnknown.Because(errDisk)
	}
	return next.Update(ctx, fn)
}
