package ledger

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"time"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/store"
)

// pending is one Append that waits, or whose batch is under way.
type pending struct {
	op   func(*Tx) error
	seed [32]byte // all random values of the op come from it
	time time.Time
	full bool // it may use the space that a full disk keeps back
	done chan struct{}
	err  error // read after done is closed
}

func (p *pending) finish(err error) {
	p.err = err
	close(p.done)
}

func (p *pending) finished() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Append runs op in the next batch and returns when that batch is durable: nil means that everything op wrote and
// recorded is. An error of op is returned as it is, and means that nothing of op was written; so does a panic of op,
// as an Internal fault. Other ops of the batch are not affected.
//
// op runs on the sequencer while all other ops wait, so it reads and writes through its Tx and does nothing else. It
// may run again: it has no side effects and draws no random values, those are drawn before Append.
//
// Faults of Append itself: Exhausted LEDGER_BUSY when the queue is full; Deadline LEDGER_WAIT when ctx ended while op
// still waited, and op will not run; Deadline LEDGER_OUTCOME when ctx ended later, and op may yet be committed;
// Unavailable LEDGER_STOPPED when the ledger has stopped, where the last batch may have been committed. A caller makes
// a retry harmless with an idempotency row that op reads first and writes last.
//
// Before Run, and where there is no Run as in a command that opens the store for one moment, Append steps the sequencer
// itself; ctx then ends it only before that.
func (l *Ledger) Append(ctx context.Context, op func(*Tx) error) error {
	return l.append(ctx, op, false)
}

// AppendReserved is Append with the right to the space that a full disk keeps back, as in store.Reserved: for what a
// person withdraws, and for what follows from work taken before. Other ops of its batch do not have that right.
func (l *Ledger) AppendReserved(ctx context.Context, op func(*Tx) error) error {
	return l.append(ctx, op, true)
}

func (l *Ledger) append(ctx context.Context, op func(*Tx) error, full bool) error {
	if ctx.Err() != nil {
		return waitEnded(ctx)
	}
	p, err := l.enqueue(op, full)
	if err != nil {
		return err
	}
	for !l.running.Load() && !p.finished() {
		// Each Step finishes ops or, once the ledger has stopped, finds that stopping has finished all of them.
		_, _ = l.Step(ctx)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	if l.withdraw(p) {
		return waitEnded(ctx)
	}
	if p.finished() {
		return p.err
	}
	return fault.New(fault.Deadline, "LEDGER_OUTCOME",
		"The time ran out while this was being written down. It may have been done: ask again, which does it only once.").Because(ctx.Err())
}

func waitEnded(ctx context.Context) error {
	return fault.New(fault.Deadline, "LEDGER_WAIT", "The time ran out before this was begun. Nothing was done.").Because(ctx.Err())
}

func (l *Ledger) enqueue(op func(*Tx) error, full bool) (*pending, error) {
	p := &pending{op: op, time: l.clock(), full: full, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped != nil {
		return nil, l.stopped
	}
	if len(l.queue) >= l.maxQueue {
		busy := fault.New(fault.Exhausted, "LEDGER_BUSY", "Too much is waiting to be written down. Try again in a moment.")
		busy.RetryAfter = time.Second
		return nil, busy
	}
	if _, err := io.ReadFull(l.rand, p.seed[:]); err != nil {
		return nil, fault.New(fault.Unavailable, "LEDGER_RANDOM", "The source of random values failed.").Because(err)
	}
	if p.seed == l.seed {
		return nil, fault.New(fault.Internal, "LEDGER_RANDOM", "The source of random values repeats itself.")
	}
	l.seed = p.seed
	l.queue = append(l.queue, p)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return p, nil
}

// withdraw takes an op back out of the queue; false when its batch has begun.
func (l *Ledger) withdraw(p *pending) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, p)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}

// take removes the next batch from the queue.
func (l *Ledger) take() ([]*pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped != nil {
		return nil, l.stopped
	}
	n := min(len(l.queue), l.maxBatch)
	ops := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	return ops, nil
}

// stop ends the ledger: every Append that waits or comes later fails with why.
func (l *Ledger) stop(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped == nil {
		l.stopped = why
	}
	for _, p := range l.queue {
		p.finish(l.stopped)
	}
	l.queue = nil
}

// Run is the sequencer: it makes batches until ctx ends, then returns nil; or until an outcome is unknown, and then
// returns LEDGER_STOPPED. A batch that has begun is finished. Afterwards every Append fails; to go on, open the ledger
// again. A ledger runs once.
func (l *Ledger) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return fault.New(fault.Internal, "LEDGER_RUNS", "The sequencer of the ledger runs already.")
	}
	defer l.stop(fault.New(fault.Unavailable, "LEDGER_STOPPED", "The hub is stopping. Try again later."))
	for ctx.Err() == nil {
		// Who can run now and is about to append does so first: the batch holds more, and costs each of them less. Where
		// a processor is free nobody waits for anything.
		runtime.Gosched()
		worked, err := l.Step(ctx)
		if err != nil {
			return err
		}
		if worked {
			continue // what queued during the commit is the next batch
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		}
	}
	return nil
}

// Step makes one batch of what waits, and reports whether there was any. Its error is LEDGER_STOPPED, for good; an
// error of an op, or of a commit that certainly wrote nothing, goes to the Appends concerned.
func (l *Ledger) Step(ctx context.Context) (worked bool, err error) {
	l.step.Lock()
	defer l.step.Unlock()
	ops, err := l.take()
	if err != nil || len(ops) == 0 {
		return false, err
	}

	// The batch is not the caller's alone, so no caller's ctx may end it half way.
	ctx = context.WithoutCancel(ctx)
	b, err := l.commit(ctx, l.store, ops)
	if errors.Is(err, store.ErrFull) {
		// Nothing was written. Those with the right to what is kept back go once more, without the others.
		if ops = refuseOrdinary(ops, err); len(ops) > 0 {
			b, err = l.commit(ctx, store.Reserved(l.store), ops)
		}
	}
	var terminal *stopError
	switch {
	case errors.As(err, &terminal):
		l.log.ErrorContext(ctx, "the ledger has stopped", "why", terminal.why, "error", terminal.cause, "ops", len(ops))
		stopped := fault.New(fault.Unavailable, "LEDGER_STOPPED",
			"The hub cannot be sure of its log and has stopped. What you asked may have been done: ask again when the hub is back, which does it only once.").Because(err)
		l.stop(stopped)
		for _, p := range ops {
			p.finish(stopped)
		}
		return true, stopped
	case err != nil:
		l.log.WarnContext(ctx, "a batch of the ledger was not written", "error", err, "ops", len(ops))
	}
	for i, p := range ops {
		if err != nil {
			// Even to an op that erred: it may have read what an earlier op wrote and what now never was.
			p.finish(err)
		} else {
			p.finish(b.errs[i])
		}
	}
	return true, nil
}

// refuseOrdinary finishes the ops that may not use what a full disk keeps back, and returns the others.
func refuseOrdinary(ops []*pending, full error) (rest []*pending) {
	for _, p := range ops {
		if p.full {
			rest = append(rest, p)
		} else {
			p.finish(full)
		}
	}
	return rest
}

// commit writes one batch. Its error means that nothing was written, unless it is a stopError.
func (l *Ledger) commit(ctx context.Context, s store.Store, ops []*pending) (*batch, error) {
	var b *batch
	start := l.clock()
	err := s.Update(ctx, func(tx store.Tx) error {
		b = newBatch(l, tx) // from nothing: this function may run again
		return b.run(ops)
	})
	switch {
	case errors.Is(err, errNothing):
		return b, nil // no op wrote: a read-only batch costs no sync
	case errors.Is(err, store.ErrOutcomeUnknown):
		// The batch may be on the disk or not, or partly in the page cache. Nothing of it is shown. Opening the store
		// again reads what is there: with the batch, the ops' idempotency rows answer the retry; without, it runs anew.
		return b, &stopError{"the outcome of the commit is unknown", err}
	case errors.Is(err, errSelfCheck), errors.Is(err, errCorrupt):
		// Nothing was written, but memory and store disagree about the tree: the memory is not to be built upon.
		return b, &stopError{"the tree in memory is not the tree in the store", err}
	case err != nil:
		// A checkpoint may have been signed over what was then rolled back. It was in memory only and is gone; the
		// edges were copies, so the next batch starts again from the committed tree.
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			err = fault.New(fault.Unavailable, "LEDGER_COMMIT", "This could not be written down, so nothing was done. Try again.").Because(err)
		}
		return b, err
	}

	// A crash here: the batch is durable and nobody was told. The checkpoint file is behind the database, which is
	// what recover expects, and a retry finds its idempotency row.
	if b.appended {
		err := failpoint.Hit(failpoint.LedgerCommitted)
		if err == nil {
			err = l.file.write(b.heads)
		}
		if err != nil {
			// What the file does not cover must not be shown, or a database put back could deny it.
			return b, &stopError{"the checkpoint file could not be written", err}
		}
		l.edges = b.edges
		l.heads.Store(&b.heads)
	}
	if err := failpoint.Hit(failpoint.LedgerPublished); err != nil {
		return b, &stopError{"the answers could not be given", err}
	}
	l.observed(b, start, len(ops))
	return b, nil
}

// stopError is a failure after which only opening the ledger again tells the truth.
type stopError struct {
	why   string
	cause error
}

func (e *stopError) Error() string { return e.why + ": " + e.cause.Error() }
func (e *stopError) Unwrap() error { return e.cause }
