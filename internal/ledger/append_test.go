package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
)

var errOp = errors.New("the op's own error")

// contents is everything in the store.
func (h *hub) contents() map[string]string {
	h.tb.Helper()
	all := map[string]string{}
	check(h.tb, h.store.View(context.Background(), func(s store.Snapshot) error {
		for _, ks := range schema.Hub.Keyspaces {
			if err := s.Scan(ks, nil, nil, func(k, v []byte) (bool, error) {
				all[string(ks)+"/"+string(k)] = string(v)
				return true, nil
			}); err != nil {
				return err
			}
		}
		return nil
	}))
	return all
}

func (h *hub) unchanged(before map[string]string) {
	h.tb.Helper()
	if after := h.contents(); fmt.Sprint(after) != fmt.Sprint(before) {
		h.tb.Fatalf("the store had %d records and now has %d, or other ones", len(before), len(after))
	}
}

func TestAnOpThatFailsWritesNothing(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 3)
	before := h.contents()
	write := func(tx *Tx) {
		check(t, tx.Put(schema.HubMeta, []byte("k"), []byte("v")))
		check(t, tx.Delete(schema.HubMeta, []byte("other")))
		check(t, record(Sent, 7)(tx))
		check(t, record(Received, 8)(tx))
	}
	for name, c := range map[string]struct {
		op   func(*Tx) error
		want func(error) bool
	}{
		"errs":   {func(tx *Tx) error { write(tx); return errOp }, func(err error) bool { return err == errOp }},
		"panics": {func(tx *Tx) error { write(tx); panic("secret") }, func(err error) bool { return fault.KindOf(err) == fault.Internal }},
	} {
		t.Run(name, func(t *testing.T) {
			err := h.Append(t.Context(), c.op)
			if !c.want(err) || strings.Contains(err.Error(), "secret") {
				t.Fatalf("Append: %v", err)
			}
			h.unchanged(before)
		})
	}

	// The rest of its batch is not touched by it, and does not see it.
	errs := h.batch(
		func(tx *Tx) error { write(tx); return errOp },
		func(tx *Tx) error {
			v, err := tx.Get(schema.HubMeta, []byte("k"))
			if v != nil || err != nil {
				t.Errorf("an op that failed is seen by the next: %q, %v", v, err)
			}
			return record(Sent, 9)(tx)
		},
		func(tx *Tx) error { panic(errOp) },
		record(Sent, 10),
	)
	if errs[0] != errOp || errs[1] != nil || fault.KindOf(errs[2]) != fault.Internal || errs[3] != nil {
		t.Fatalf("the batch gave %v", errs)
	}
	if size, _, _ := h.Head(Sent); size != 5 {
		t.Fatalf("the log has %d leaves", size)
	}
}

func TestAnOpReadsItsOwnAndEarlierWrites(t *testing.T) {
	h := newHub(t)
	key := []byte("k")
	get := func(tx *Tx, want string) {
		v, err := tx.Get(schema.HubMeta, key)
		if err != nil || string(v) != want {
			t.Errorf("got %q, %v; want %q", v, err, want)
		}
	}
	for _, err := range h.batch(
		func(tx *Tx) error {
			get(tx, "")
			value := []byte("one")
			check(t, tx.Put(schema.HubMeta, key, value))
			value[0] = 'X' // the caller's own again
			get(tx, "one")
			check(t, tx.Delete(schema.HubMeta, key))
			get(tx, "")
			check(t, tx.Put(schema.HubMeta, key, []byte("two")))
			return nil
		},
		func(tx *Tx) error {
			get(tx, "two")
			v, err := tx.Get(schema.HubMeta, key)
			v[0] = 'X' // a copy
			get(tx, "two")
			return err
		},
		func(tx *Tx) error { return tx.Delete(schema.HubMeta, key) },
	) {
		check(t, err)
	}
	h.reopen()
	check(t, h.Append(t.Context(), func(tx *Tx) error { get(tx, ""); return nil }))
}

func TestATxRefusesWhatWouldSpoilTheBatch(t *testing.T) {
	h := newHub(t)
	before := h.contents()
	var kept *Tx
	var entry Entry
	check(t, h.Append(t.Context(), func(tx *Tx) error {
		kept = tx
		for _, ks := range own {
			wantFault(t, tx.Put(ks, []byte("k"), []byte("v")), fault.Internal, "LEDGER_KEYSPACE")
			wantFault(t, tx.Delete(ks, []byte("k")), fault.Internal, "LEDGER_KEYSPACE")
		}
		for _, err := range []error{
			tx.Put("nowhere", []byte("k"), []byte("v")), tx.Delete("nowhere", []byte("k")),
			tx.Put(schema.HubMeta, nil, []byte("v")), tx.Put(schema.HubMeta, []byte("k"), nil), tx.Delete(schema.HubMeta, nil),
		} {
			if fault.KindOf(err) != fault.Internal {
				t.Errorf("want a refusal, got %v", err)
			}
		}
		for name, spoil := range map[string]func(*Log, *Event){
			"no log":         func(g *Log, _ *Event) { *g = 0 },
			"another log":    func(g *Log, _ *Event) { *g = 3 },
			"no kind":        func(_ *Log, e *Event) { e.Kind = 0 },
			"an odd kind":    func(_ *Log, e *Event) { e.Kind = 200 },
			"no core":        func(_ *Log, e *Event) { e.Core = nil },
			"no details":     func(_ *Log, e *Event) { e.Details = nil },
			"before 1970":    func(_ *Log, e *Event) { e.Time = e.Time.AddDate(-100, 0, 0) },
			"vast details":   func(_ *Log, e *Event) { e.Details.Input = make([]byte, store.MaxValueSize) },
			"not even UTF-8": func(_ *Log, e *Event) { e.Core.PolicyRevision = "\xff" },
		} {
			g, e := Sent, event(0)
			spoil(&g, &e)
			if got, err := tx.Record(g, e); err == nil || got.In(tx) {
				t.Errorf("an event with %s is recorded", name)
			}
		}
		return nil // it went on after its errors: nothing half done may be left
	}))
	h.unchanged(before)

	check(t, h.Append(t.Context(), func(tx *Tx) (err error) {
		entry, err = tx.Record(Sent, event(1))
		if !entry.In(tx) || entry.In(nil) || entry.In(kept) || (Entry{}).In(tx) || (Entry{}).In(nil) {
			t.Error("an entry is valid in its own transaction, and there only")
		}
		if entry.Kind() != logv1.Kind_KIND_DECIDED || !bytes.Equal(entry.Core().ManifestSha256, event(1).Core.ManifestSha256) {
			t.Error("an entry says what was recorded")
		}
		kept = tx
		return err
	}))
	if entry.In(kept) {
		t.Error("an entry outlives its transaction")
	}
	_, err := kept.Record(Sent, event(2))
	wantFault(t, err, fault.Internal, "LEDGER_TX_CLOSED")
	wantFault(t, kept.Put(schema.HubMeta, []byte("k"), []byte("v")), fault.Internal, "LEDGER_TX_CLOSED")
	_, err = kept.Get(schema.HubMeta, []byte("k"))
	wantFault(t, err, fault.Internal, "LEDGER_TX_CLOSED")
}

// TestARerunGivesTheSame runs each transaction three times, as an engine may, and compares every byte written; and the ops
// as often, as when what they ran upon was not written after all.
func TestARerunGivesTheSame(t *testing.T) {
	h := newHub(t)
	runs := 0
	h.wrap(func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		var first []string
		for i := range 3 {
			runs++
			r := &recorder{}
			undo := errors.New("run again")
			err := next.Update(ctx, func(tx store.Tx) error {
				r.Tx, r.log = tx, nil
				if err := fn(r); err != nil || i == 2 {
					return err
				}
				return undo
			})
			if err != nil && err != undo {
				return err
			}
			if i == 0 {
				first = r.log
			} else if !slices.Equal(r.log, first) {
				t.Errorf("run %d wrote other bytes than the first", i)
			}
		}
		return nil
	})
	var entries []Entry
	var random [][]byte
	ops := []func(*Tx) error{
		func(tx *Tx) error {
			for i := range 3 {
				e, err := tx.Record(Log(1+i%2), event(i))
				if err != nil {
					return err
				}
				for _, old := range entries {
					if old.id != e.id && old.In(tx) && old.tx != tx {
						t.Error("an entry of an earlier run is valid in a later one")
					}
				}
				entries = append(entries, e)
			}
			b, err := tx.Random("a delivery", 48)
			random = append(random, b)
			return err
		},
		func(*Tx) error { return errOp },
		record(Received, 9),
	}
	var waiting []*pending
	for _, op := range ops {
		p, err := h.enqueue(op, false)
		check(t, err)
		waiting = append(waiting, p)
	}
	var b *batch
	for range 3 {
		b = h.newBatch(nil)
		b.add(t.Context(), waiting)
	}
	if o := h.settle(t.Context(), b, h.Ledger.run); o.err != nil || !o.whole {
		t.Fatal(o)
	}
	check(t, h.shown())
	for _, p := range waiting {
		if p.err != nil && p.err != errOp {
			t.Fatal(p.err)
		}
	}
	if runs != 3 || len(entries) != 9 || entries[0].id != entries[6].id || entries[0].id == entries[1].id {
		t.Fatalf("%d runs gave entries %v", runs, entries)
	}
	if !bytes.Equal(random[0], random[2]) || len(random[0]) != 48 {
		t.Fatal("random values differ between runs")
	}
	if _, err := h.Receipt(t.Context(), entries[8].EventID()); err != nil {
		t.Fatal(err)
	}
}

type recorder struct {
	store.Tx
	log []string
}

func (r *recorder) Put(ks store.Keyspace, key, value []byte) error {
	r.log = append(r.log, fmt.Sprintf("put %s %x %x", ks, key, value))
	return r.Tx.Put(ks, key, value)
}

func (r *recorder) PutOwn(ks store.Keyspace, key, value []byte) error { return r.Put(ks, key, value) }

func TestABatchThatWritesNothingCommitsNothing(t *testing.T) {
	commits := 0
	h := newHub(t)
	h.wrap(func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		err := next.Update(ctx, fn)
		if err == nil {
			commits++
		}
		return err
	})
	errs := h.batch(func(*Tx) error { return nil }, func(*Tx) error { return errOp })
	if errs[0] != nil || errs[1] != errOp || commits != 0 {
		t.Fatalf("%v after %d commits", errs, commits)
	}
	h.add(Sent, 1)
	if commits != 1 {
		t.Fatalf("%d commits for one batch", commits)
	}
	for _, err := range h.batch(func(tx *Tx) error { return tx.Put(schema.HubMeta, []byte("k"), []byte("v")) }) {
		check(t, err) // written without an event: a commit, and no new checkpoint
	}
	if size, _, _ := h.Head(Sent); size != 1 || commits != 2 {
		t.Fatalf("%d leaves, %d commits", size, commits)
	}
}

// TestConcurrentAppends: what every appender is told is true, and a batch holds many of them.
func TestConcurrentAppends(t *testing.T) {
	const appenders, each = 64, 4
	h := newHub(t, func(c *Config) { c.MaxBatch = 20 })
	batches := 0
	h.wrap(func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		batches++
		return next.Update(ctx, fn)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	keys := h.verifierKeys()
	var all sync.WaitGroup
	for a := range appenders {
		all.Go(func() {
			for i := range each {
				g := logs[(a+i)%2]
				var id [16]byte
				err := h.Append(ctx, func(tx *Tx) error {
					e, err := tx.Record(g, event(a*each+i))
					id = e.EventID()
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				r, err := h.Receipt(ctx, id)
				if err != nil {
					t.Error(err)
					return
				}
				ev, err := verify.Receipt(r, keys)
				if err != nil || ev.EventID != id || ev.Origin != h.Origin(g) ||
					!bytes.Equal(ev.Core.ManifestSha256, event(a*each+i).Core.ManifestSha256) {
					t.Errorf("receipt of %x: %+v, %v", id, ev, err)
				}
				if err := h.Append(ctx, func(*Tx) error { return errOp }); err != errOp {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	cancel()
	check(t, <-ran)
	sent, _, _ := h.Head(Sent)
	received, _, _ := h.Head(Received)
	if sent+received != appenders*each || batches >= appenders*each {
		t.Errorf("%d and %d leaves in %d batches", sent, received, batches)
	}
	wantFault(t, h.Append(t.Context(), record(Sent, 0)), fault.Unavailable, "LEDGER_STOPPED")
	wantFault(t, h.Run(t.Context()), fault.Internal, "LEDGER_RUNS")
}

// TestContexts holds the first batch open to see what becomes of those behind it.
func TestContexts(t *testing.T) {
	h := newHub(t, func(c *Config) { c.MaxQueue = 2 })
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h.wake, h.step = make(chan struct{}, 1), make(chan struct{}, 1) // of this bubble
		ran := make(chan error, 1)
		go func() { ran <- h.Run(ctx) }()
		synctest.Wait() // before it runs, an Append would step by itself, and wait for its op

		begun, release := make(chan struct{}), make(chan struct{})
		early, late := make(chan error, 1), make(chan error, 1)
		impatient, hurry := context.WithCancel(t.Context())
		go func() {
			early <- h.Append(impatient, func(tx *Tx) error {
				close(begun)
				<-release
				return record(Sent, 1)(tx)
			})
		}()
		<-begun
		go func() { late <- h.Append(impatient, record(Sent, 2)) }()
		synctest.Wait()
		third := make(chan error, 1)
		go func() { third <- h.Append(t.Context(), record(Sent, 3)) }()
		synctest.Wait()
		err := h.Append(t.Context(), record(Sent, 4))
		wantFault(t, err, fault.Exhausted, "LEDGER_BUSY")
		if fault.From(err).RetryAfter <= 0 {
			t.Error("a full queue says when to try again")
		}
		hurry()
		wantFault(t, <-early, fault.Deadline, "LEDGER_OUTCOME") // its batch had begun
		err = <-late
		wantFault(t, err, fault.Deadline, "LEDGER_WAIT")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not say why", err)
		}
		wantFault(t, h.Append(impatient, record(Sent, 5)), fault.Deadline, "LEDGER_WAIT")
		close(release)
		check(t, <-third)
		if size, _, _ := h.Head(Sent); size != 2 {
			t.Errorf("%d leaves: the first and the third op are to be there", size)
		}

		// The end of Run finishes its batch and refuses what waits.
		begun, release = make(chan struct{}), make(chan struct{})
		go func() {
			early <- h.Append(t.Context(), func(tx *Tx) error {
				close(begun)
				<-release
				return record(Sent, 6)(tx)
			})
		}()
		<-begun
		go func() { late <- h.Append(t.Context(), record(Sent, 7)) }()
		synctest.Wait()
		cancel()
		close(release)
		check(t, <-early)
		wantFault(t, <-late, fault.Unavailable, "LEDGER_STOPPED")
		check(t, <-ran)
	})
	if size, _, _ := h.Head(Sent); size != 3 {
		t.Errorf("%d leaves", size)
	}
}

func TestARandomSourceThatFailsOrRepeats(t *testing.T) {
	h := newHub(t, func(c *Config) { c.Rand = strings.NewReader(strings.Repeat("x", 64)) })
	check(t, h.Append(t.Context(), record(Sent, 1)))
	wantFault(t, h.Append(t.Context(), record(Sent, 2)), fault.Internal, "LEDGER_RANDOM") // the same seed again
	wantFault(t, h.Append(t.Context(), record(Sent, 3)), fault.Unavailable, "LEDGER_RANDOM")
}

func TestRecordDoesNotChangeTheCallersMessages(t *testing.T) {
	h := newHub(t)
	ev := event(1)
	core, details := proto.CloneOf(ev.Core), proto.CloneOf(ev.Details)
	check(t, h.Append(t.Context(), func(tx *Tx) error {
		_, err := tx.Record(Sent, ev)
		return err
	}))
	if !proto.Equal(ev.Core, core) || !proto.Equal(ev.Details, details) {
		t.Fatal("Record wrote into its arguments")
	}
}

// TestAnIDIsFoundByItself: every event is found by its id, whatever is not one of a log's is not there, and ids tell
// nothing of their order.
func TestAnIDIsFoundByItself(t *testing.T) {
	h := newHub(t)
	ids := append(h.add(Sent, 40), h.add(Received, 40)...)
	seen := map[byte]int{}
	for i, id := range ids {
		e, err := h.Event(t.Context(), id)
		check(t, err)
		if e.Leaf.EventID != id || e.Index != uint64(i%40) {
			t.Fatalf("event %d is found at %d as %x", i, e.Index, e.Leaf.EventID)
		}
		seen[id[0]>>4]++
		for _, other := range []func(*[16]byte){func(o *[16]byte) { o[i%16] ^= 1 << (i % 8) }, func(o *[16]byte) { clear(o[:]) }} {
			o := id
			other(&o)
			_, err := h.Event(t.Context(), o)
			wantFault(t, err, fault.NotFound, "EVENT_NOT_FOUND")
		}
		random := [16]byte(ids[(i+1)%len(ids)])
		for _, at := range []struct {
			t     tree
			index uint64
		}{{tree(Sent), 0}, {tree(Received), 39}, {tree(Received), 40}, {250, 1}} { // a true place, and not its event
			_, err := h.Event(t.Context(), h.eventID(at.t, at.index, random))
			wantFault(t, err, fault.NotFound, "EVENT_NOT_FOUND")
		}
	}
	if len(seen) < 8 {
		t.Errorf("the ids of 80 events begin with %v", seen)
	}
}
