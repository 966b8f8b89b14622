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
// op runs while all other ops wait, so it reads and writes through its Tx and does nothing else; least of all does it read
// the store by another way, which could wait for itself. It may run again, also when a batch before its own was not
// written: it has no side effects, changes nothing that it has from outside in a way that another run would see, and draws
// no random values, those are drawn before Append. What it sets outside belongs to the sequencer until Append returns nil.
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
	for !l.running.Load() && !p.finished() && ctx.Err() == nil {
		select {
		case l.step <- struct{}{}:
			// Each step finishes ops or, once the ledger has stopped, finds that stopping has finished all of them.
			_, _ = l.oneStep(ctx)
			<-l.step
		case <-p.done: // by whoever steps, or by Run, which has begun meanwhile
		case <-ctx.Done():
		}
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
	signal(l.wake)
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

// take removes the next ops from the queue, n at most.
func (l *Ledger) take(n int) ([]*pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped != nil {
		return nil, l.stopped
	}
	n = min(len(l.queue), n)
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
//
// While one batch is on its way to the disk the ops of the next are run, on top of it, so that the processors have work
// while the disk has; and while its checkpoints are on theirs the next is laid out in its transaction. Nobody is answered
// before the batch is durable, its checkpoint outside the database, and all before it likewise; where a batch turns out not
// to be durable, what was run on top of it is run again.
func (l *Ledger) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return fault.New(fault.Internal, "LEDGER_RUNS", "The sequencer of the ledger runs already.")
	}
	l.step <- struct{}{}
	defer func() { <-l.step }() // last, when nobody can append any more
	defer l.stop(fault.New(fault.Unavailable, "LEDGER_STOPPED", "The hub is stopping. Try again later."))

	if err := l.Stopped(); err != nil {
		return err
	}
	work := context.WithoutCancel(ctx) // a batch is not the caller's alone, so no caller's ctx may end it half way
	p := &pipeline{ledger: l, next: l.newBatch(nil), more: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	written := make(chan error, 1)
	go func() { written <- p.write(work) }()
	for {
		select {
		case <-ctx.Done():
			close(p.more)
			return <-written
		case err := <-written:
			return err
		case <-l.wake:
			if ctx.Err() == nil {
				p.add(work)
			}
		}
	}
}

// pipeline is the two batches of a sequencer that runs: one that is written, and the next, which grows meanwhile.
type pipeline struct {
	ledger *Ledger
	more   chan struct{} // holds one token when next may hold ops; closed when none will come

	turn chan struct{} // holds one token while ops run, and whenever else next is in hand
	next *batch
}

// add runs what waits, as part of the next batch, as far as there is room in it.
func (p *pipeline) add(ctx context.Context) {
	// Who can run now and is about to append does so first: the batch holds more, and costs each of them less. Where a
	// processor is free nobody waits for anything.
	runtime.Gosched()
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	ops, err := p.ledger.take(p.ledger.maxBatch - len(p.next.ops))
	if err != nil || len(ops) == 0 {
		return
	}
	p.next.add(ctx, ops)
	signal(p.more)
}

// write writes one batch after the other, until no more come, or an outcome is unknown.
func (p *pipeline) write(ctx context.Context) error {
	defer p.ledger.shown()
	for range p.more {
		for b := p.cut(); b != nil; b = p.cut() {
			var o outcome
			if o.err = p.ledger.Stopped(); o.err != nil { // the self-check found something: nothing is signed any more
				finishAll(b.ops, o.err)
			} else {
				o = p.ledger.settle(ctx, b, p.again)
			}
			if p.settled(ctx, o); o.err != nil {
				return o.err
			}
		}
		if err := p.ledger.shown(); err != nil {
			p.settled(ctx, outcome{err: err})
			return err
		}
	}
	return nil
}

// cut takes the next batch, to be written, and begins another; nil when it is empty.
func (p *pipeline) cut() *batch {
	runtime.Gosched() // as in add
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	b := p.next
	if len(b.ops) == 0 {
		return nil
	}
	p.next = p.ledger.newBatch(b)
	signal(p.ledger.wake) // there is room again
	return b
}

// settled tells the next batch what became of the one before.
func (p *pipeline) settled(ctx context.Context, o outcome) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	p.next.after = nil
	switch ops := p.next.ops; {
	case o.err != nil:
		finishAll(ops, o.err)
	case !o.whole:
		p.next = p.ledger.run(ctx, ops)
	}
}

// again runs some ops of a batch that was not written once more, by themselves. What was run on top of that batch is run
// again too, once this is settled.
func (p *pipeline) again(ctx context.Context, ops []*pending) *batch {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	p.next.after = nil
	return p.ledger.run(ctx, ops)
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Step makes one batch of what waits, and reports whether there was any. Its error is LEDGER_STOPPED, for good; an
// error of an op, or of a commit that certainly wrote nothing, goes to the Appends concerned. While Run runs it waits for
// its end.
func (l *Ledger) Step(ctx context.Context) (worked bool, err error) {
	l.step <- struct{}{}
	defer func() { <-l.step }()
	return l.oneStep(ctx)
}

// oneStep is Step for who holds step.
func (l *Ledger) oneStep(ctx context.Context) (worked bool, err error) {
	ops, err := l.take(l.maxBatch)
	if err != nil || len(ops) == 0 {
		return false, err
	}
	ctx = context.WithoutCancel(ctx)
	if err := l.settle(ctx, l.run(ctx, ops), l.run).err; err != nil {
		return true, err
	}
	return true, l.shown()
}

// run makes a batch of ops on top of what is committed. Its caller sees to it that no other op runs.
func (l *Ledger) run(ctx context.Context, ops []*pending) *batch {
	b := l.newBatch(nil)
	b.add(ctx, ops)
	return b
}

// outcome is what became of a batch.
type outcome struct {
	whole bool  // the store has it as it was run
	err   error // LEDGER_STOPPED, for good
}

// settle writes a batch and begins to show it, which ends with telling those who wait for it; shown waits for that. With
// again it runs some of them once more.
func (l *Ledger) settle(ctx context.Context, b *batch, again func(context.Context, []*pending) *batch) (o outcome) {
	err := l.commit(ctx, l.store, b)
	if o.err = l.shown(); o.err != nil { // the batch before, without which nobody hears of this one
		finishAll(b.ops, o.err)
		return o
	}
	o.whole = err == nil
	if errors.Is(err, store.ErrFull) {
		// Nothing was written. Those with the right to what is kept back go once more, without the others.
		if b = again(ctx, refuseOrdinary(b.ops, err)); len(b.ops) > 0 {
			err = l.commit(ctx, store.Reserved(l.store), b)
		}
	}
	switch why, terminal := errors.AsType[*stopError](err); {
	case terminal:
		o.err = l.end(ctx, b, why)
	case err != nil:
		l.log.WarnContext(ctx, "a batch of the ledger was not written", "error", err, "ops", len(b.ops))
		finishAll(b.ops, err) // even an op that erred: it may have read what an earlier op wrote and what now never was
	default:
		l.showing = &showing{done: make(chan struct{})}
		go l.show(ctx, b, l.showing)
	}
	return o
}

// end stops the ledger for good, in the middle of a batch, and returns what everybody is told.
func (l *Ledger) end(ctx context.Context, b *batch, why *stopError) error {
	l.log.ErrorContext(ctx, "the ledger has stopped", "why", why.why, "error", why.cause, "ops", len(b.ops))
	told := fault.New(fault.Unavailable, "LEDGER_STOPPED",
		"The hub cannot be sure of its log and has stopped. What you asked may have been done: ask again when the hub is back, which does it only once.").Because(why)
	l.stop(told)
	finishAll(b.ops, told)
	return told
}

// showing is a committed batch on its way to those who wait for it.
type showing struct {
	done chan struct{}
	err  error // LEDGER_STOPPED; read after done is closed
}

// shown waits until all that was committed is shown.
func (l *Ledger) shown() error {
	if l.showing == nil {
		return nil
	}
	<-l.showing.done
	return l.showing.err
}

// show tells those who wait for a batch, once its checkpoints are kept outside the database.
func (l *Ledger) show(ctx context.Context, b *batch, s *showing) {
	defer close(s.done)
	if err := l.publish(b); err != nil {
		s.err = l.end(ctx, b, err)
		return
	}
	for i, p := range b.ops {
		p.finish(b.errs[i])
	}
}

func finishAll(ops []*pending, err error) {
	for _, p := range ops {
		p.finish(err)
	}
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

// commit makes one batch durable. Its error means that nothing was written, unless it is a stopError.
func (l *Ledger) commit(ctx context.Context, s store.Store, b *batch) error {
	err := b.failed
	if err == nil && len(b.writes.list) == 0 {
		return nil // no op wrote: a read-only batch costs no sync
	}
	if err == nil {
		b.start = l.clock()
		err = s.Update(ctx, b.write)
	}
	switch {
	case errors.Is(err, store.ErrOutcomeUnknown):
		// The batch may be on the disk or not, or partly in the page cache. Nothing of it is shown. Opening the store
		// again reads what is there: with the batch, the ops' idempotency rows answer the retry; without, it runs anew.
		return &stopError{"the outcome of the commit is unknown", err}
	case errors.Is(err, errSelfCheck), errors.Is(err, errCorrupt):
		// Nothing was written, but memory and store disagree about the tree: the memory is not to be built upon.
		return &stopError{"the tree in memory is not the tree in the store", err}
	case err != nil:
		// A checkpoint may have been signed over what was then rolled back. It was in memory only and is gone; the
		// edges were copies, so the next batch starts again from the committed tree.
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			err = fault.New(fault.Unavailable, "LEDGER_COMMIT", "This could not be written down, so nothing was done. Try again.").Because(err)
		}
		return err
	}

	if b.appended {
		l.edges, l.committed = b.edges, b.heads
	}
	return nil
}

// publish makes what a durable batch appended what may be shown.
func (l *Ledger) publish(b *batch) *stopError {
	if len(b.writes.list) == 0 {
		return nil
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
			return &stopError{"the checkpoint file could not be written", err}
		}
		heads := b.heads // apart from the batch, which is not to live as long
		l.heads.Store(&heads)
		l.remember(b.leaves)
	}
	if err := failpoint.Hit(failpoint.LedgerPublished); err != nil {
		return &stopError{"the answers could not be given", err}
	}
	l.observed(b)
	return nil
}

// stopError is a failure after which only opening the ledger again tells the truth.
type stopError struct {
	why   string
	cause error
}

func (e *stopError) Error() string { return e.why + ": " + e.cause.Error() }
func (e *stopError) Unwrap() error { return e.cause }
