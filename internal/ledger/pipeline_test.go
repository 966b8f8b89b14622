package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
)

// gate holds every transaction of a store until it is told what becomes of it.
type gate struct {
	come chan struct{}
	end  chan error // nil: it is written; else it is not, and this is why
}

func newGate(h *hub) *gate {
	g := &gate{make(chan struct{}), make(chan error)}
	h.wrap(func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		g.come <- struct{}{}
		if err := <-g.end; err != nil {
			return err
		}
		return next.Update(ctx, fn)
	})
	return g
}

// run starts the sequencer, and stops it when the test is over.
func (h *hub) run() {
	ctx, stop := context.WithCancel(h.tb.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	h.tb.Cleanup(func() { stop(); <-ran })
}

// writing is a sequencer that runs, with the first op's batch on its way to the disk.
func (h *hub) writing() (*gate, *pending) {
	h.tb.Helper()
	g := newGate(h)
	h.run()
	first, err := h.enqueue(leading, false)
	check(h.tb, err)
	<-g.come
	return g, first
}

// following is an op that says what it finds of the one before, each time it runs, and then records.
func following(found chan<- string) func(*Tx) error {
	return func(tx *Tx) error {
		v, err := tx.Get(schema.HubMeta, []byte("k"))
		found <- string(v)
		return errors.Join(err, record(Sent, 2)(tx))
	}
}

func leading(tx *Tx) error {
	return errors.Join(tx.Put(schema.HubMeta, []byte("k"), []byte("v")), record(Sent, 1)(tx))
}

// While a batch is written the next one's ops run, see what it wrote, and are not answered before it is.
func TestTheNextBatchRunsWhileOneIsWritten(t *testing.T) {
	unknown := store.ErrOutcomeUnknown.Because(errOp)
	for name, c := range map[string]struct {
		end           error  // of the first batch
		first, second string // reasons
		sees          []string
		leaves        uint64
	}{
		"it is written":     {nil, "", "", []string{"v"}, 2},
		"it is not":         {errOp, "LEDGER_COMMIT", "", []string{"v", ""}, 1},
		"the disk is full":  {store.Full(nil), "STORE_FULL", "", []string{"v", ""}, 1},
		"nobody can tell":   {unknown, "LEDGER_STOPPED", "LEDGER_STOPPED", []string{"v"}, 0},
		"its tree is wrong": {selfCheck(Sent, "so the test says"), "LEDGER_STOPPED", "LEDGER_STOPPED", []string{"v"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			g, first := h.writing()
			found := make(chan string, 4)
			second, err := h.enqueue(following(found), false)
			check(t, err)
			sees := []string{<-found}
			if first.finished() || second.finished() {
				t.Error("an answer is given before what it says is durable")
			}
			if size, _, _ := h.Head(Sent); size != 0 {
				t.Errorf("%d leaves are shown", size)
			}
			g.end <- c.end
			<-first.done
			if c.second == "" {
				<-g.come
				if second.finished() {
					t.Error("the second is answered before it is durable")
				}
				g.end <- nil
			}
			<-second.done
			for len(found) > 0 {
				sees = append(sees, <-found)
			}
			if reason(first.err) != c.first || reason(second.err) != c.second {
				t.Errorf("answered %v and %v, want %q and %q", first.err, second.err, c.first, c.second)
			}
			if size, _, _ := h.Head(Sent); size != c.leaves || len(sees) != len(c.sees) || sees[len(sees)-1] != c.sees[len(c.sees)-1] {
				t.Errorf("%d leaves, the second saw %q; want %d and %q", size, sees, c.leaves, c.sees)
			}
		})
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Reason
}

// An op that writes nothing says what it found in a batch that is not durable yet, so it waits for that batch as well.
func TestWhatIsOnlyReadWaitsForWhatItRead(t *testing.T) {
	h := newHub(t)
	g, _ := h.writing()
	ran := make(chan string, 2)
	reading, err := h.enqueue(func(tx *Tx) error {
		v, err := tx.Get(schema.HubMeta, []byte("k"))
		ran <- string(v)
		return err
	}, false)
	check(t, err)
	if v := <-ran; v != "v" || reading.finished() {
		t.Errorf("it read %q; answered: %v", v, reading.finished())
	}
	g.end <- nil
	<-reading.done
	check(t, reading.err)
}

// When the self-check has found damage nothing more is signed, also of what has run by then.
func TestNothingIsWrittenOnceTheLedgerHasStopped(t *testing.T) {
	h := newHub(t)
	g, first := h.writing()
	found := make(chan string, 1)
	second, err := h.enqueue(following(found), false)
	check(t, err)
	<-found
	h.stop(selfCheck(Sent, "so the test says"))
	g.end <- nil
	<-first.done
	select {
	case <-second.done:
	case <-g.come:
		t.Error("another batch is written")
		g.end <- nil
		<-second.done
	}
	if size, _, _ := h.Head(Sent); first.err != nil || reason(second.err) != errSelfCheck.Reason || size != 1 {
		t.Errorf("answered %v and %v, with %d leaves", first.err, second.err, size)
	}
}

// laidOut tells when a batch has put its checkpoint into its transaction, which is the last that it does there.
type laidOut struct {
	store.Tx
	tell chan<- struct{}
}

func (l laidOut) Put(ks store.Keyspace, key, value []byte) error {
	err := l.Tx.Put(ks, key, value)
	if ks == schema.HubLog {
		l.tell <- struct{}{}
	}
	return err
}

// While the checkpoint of a batch is on its way to its file the next batch is laid out, and not committed before it is there.
func TestTheNextBatchIsLaidOutWhileOneIsShown(t *testing.T) {
	for name, c := range map[string]struct {
		fails  bool
		reason string
		kept   uint64
	}{
		"the file is written": {false, "", 2},
		"it cannot be":        {true, "LEDGER_STOPPED", 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHubWithFile(t)
			tell := make(chan struct{}, 2)
			var written atomic.Int32
			h.wrap(func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
				err := next.Update(ctx, func(tx store.Tx) error { return fn(laidOut{tx, tell}) })
				if err == nil {
					written.Add(1)
				}
				return err
			})
			check(t, os.Remove(h.CheckpointFile))
			check(t, syscall.Mkfifo(h.CheckpointFile, 0o600)) // opening it waits until somebody reads
			if c.fails {
				check(t, os.Mkdir(h.CheckpointFile+".new", 0o700))
			}
			h.run()
			first, err := h.enqueue(leading, false)
			check(t, err)
			<-tell
			second, err := h.enqueue(record(Sent, 2), false)
			check(t, err)
			<-tell
			if size, _, _ := h.Head(Sent); size != 0 || first.finished() || second.finished() || written.Load() != 1 {
				t.Errorf("%d leaves are shown, %d batches are written; answered: %v, %v", size, written.Load(), first.finished(), second.finished())
			}
			reader, err := os.Open(h.CheckpointFile)
			check(t, err)
			<-first.done
			<-second.done
			check(t, reader.Close())
			if reason(first.err) != c.reason || reason(second.err) != c.reason {
				t.Errorf("answered %v and %v", first.err, second.err)
			}
			if c.fails {
				check(t, os.Remove(h.CheckpointFile+".new"))
				check(t, os.Remove(h.CheckpointFile))
			}
			h.reopen()
			if size, _, _ := h.Head(Sent); size != c.kept {
				t.Errorf("%d leaves are kept, want %d", size, c.kept)
			}
		})
	}
}

// A rehearsed op runs twice, and is written once.
func TestARehearsedOpLeavesNoTrace(t *testing.T) {
	h := newHub(t, func(c *Config) { c.Rehearse = true })
	runs := 0
	check(t, h.Append(t.Context(), func(tx *Tx) error {
		runs++
		v, err := tx.Get(schema.HubMeta, []byte("k"))
		if v != nil {
			t.Errorf("run %d finds %q", runs, v)
		}
		return errors.Join(err, leading(tx))
	}))
	if size, _, _ := h.Head(Sent); runs != 2 || size != 1 {
		t.Errorf("%d runs, %d leaves", runs, size)
	}
}

// Whatever batches fail under whatever load, those who were told yes counted on from one another, without a gap and without
// one number twice; and no two ops run at once.
func TestNobodyBuildsOnWhatWasNotWritten(t *testing.T) {
	h := newHub(t, func(c *Config) { c.MaxBatch = 8 })
	chance := rand.New(rand.NewPCG(7, 7)) // the committer's
	var failed int
	h.wrap(func(ctx context.Context, next store.Store, fn func(store.Tx) error) error {
		switch chance.IntN(4) {
		case 0:
			failed++
			return errOp
		case 1:
			failed++
			return store.Full(nil)
		}
		return next.Update(ctx, fn)
	})
	h.run()
	key := []byte("count")
	var told sync.Map
	var yes atomic.Uint64
	var all sync.WaitGroup
	inside := 0 // ops that run now; unguarded, so that two at once are a race too
	for worker := range 16 {
		all.Go(func() {
			doIt := h.Append
			if worker%2 == 0 {
				doIt = h.AppendReserved // goes once more, by itself, when the disk is full
			}
			for range 40 {
				var mine uint64
				err := doIt(t.Context(), func(tx *Tx) error {
					inside++
					defer func() { inside-- }()
					if inside != 1 {
						t.Errorf("%d ops run at once", inside)
					}
					v, err := tx.Get(schema.HubMeta, key)
					if err != nil {
						return err
					}
					mine = 1
					if v != nil {
						mine += binary.BigEndian.Uint64(v)
					}
					return errors.Join(tx.Put(schema.HubMeta, key, binary.BigEndian.AppendUint64(nil, mine)), record(Sent, int(mine))(tx))
				})
				switch {
				case err == nil:
					yes.Add(1)
					if _, twice := told.LoadOrStore(mine, true); twice {
						t.Errorf("two are told to be number %d", mine)
					}
				case reason(err) != "LEDGER_COMMIT" && reason(err) != "STORE_FULL":
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i := range yes.Load() {
		if _, ok := told.Load(i + 1); !ok {
			t.Errorf("nobody is number %d of %d", i+1, yes.Load())
		}
	}
	if size, _, _ := h.Head(Sent); size != yes.Load() || failed == 0 {
		t.Errorf("%d leaves for %d answers; %d batches failed", size, yes.Load(), failed)
	}
}
