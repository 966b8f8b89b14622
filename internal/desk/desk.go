// Package desk is the prison side: it takes a form, checks it, makes one sealed and signed notification for each
// authority, keeps them safely, and submits them to the hub until each has come to an end.
//
// What it guarantees:
//   - A form that was taken is on disk before its first attempt to be sent; the hub being down only delays it.
//   - The same form twice is one form and gets the same answer.
//   - Only sections that the person agreed to are sealed at all, and only for the authority they are for.
//   - A decision is shown only after its receipt was verified; "delivered" only after the team's own signature was.
//   - A hub whose log does not continue what the desk has seen of it gets nothing more and is believed nothing more,
//     until a person says so. The desk goes on taking forms.
//
// What it does not: it never learns what an authority knows or does beyond the closed set of updates. Names live here
// in clear for the staff who typed them, sealed on disk through package vault, until the business of a form is finished.
package desk

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/identity"
	"postern/internal/lapse"
	"postern/internal/ledger/verify"
	"postern/internal/ops"
	"postern/internal/postcode"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/vault"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Staff is a member of staff, mapped from a user of the machine.
type Staff struct {
	ID   string
	Role posternv1.StaffRole
	Also []posternv1.StaffRole // further roles, where one person does several jobs
}

// Config is what a desk is made of. All fields are required unless they say otherwise.
type Config struct {
	Identity  *identity.Identity
	Anchors   *identity.Anchors
	Store     store.Store // holds schema.Desk
	Vault     *vault.Vault
	Hub       posternv1.SubmissionServiceClient
	Directory posternv1.DirectoryServiceClient
	LogKeys   verify.Keys                  // the hub's sent log, in all its generations
	Prover    posternv1.AuditServiceClient // where the hub proves that its log continues; nil believes only what comes with an answer
	First     []string                     // signed checkpoints of the log from enrolment; optional
	HubPhone  string                       // of the hub's operator, shown when the log does not continue; optional
	RefKey    []byte                       // 32 bytes: the desk's own key for references, so that they link nothing across desks
	Unit      string                       // the unit of the prison
	ReplyTo   *posternv1.ReplyTo
	Basis     *posternv1.LawfulBasis // where a form names none
	Postcodes *postcode.Table        // nil for none: then staff choose the authority of every child
	Staff     map[uint32]Staff       // by uid on control.sock; an unmapped user is refused
	Poll      time.Duration          // how often to ask for updates and the directory
	Backoff   queue.Backoff
	Arrivals  string        // a folder of CSV files that say who came to the prison; empty for none
	DraftLife time.Duration // how long a draft is kept after it was saved last; DraftLife when zero
	FormLife  time.Duration // how long a form is kept after its business was finished; FormLife when zero
	Clock     func() time.Time
	Rand      io.Reader
	Log       *slog.Logger
	Metrics   *ops.Metrics // what it counts goes here; nil counts for nobody
}

// Desk is a desk. Serve its control socket, and Run it, until its context ends.
type Desk struct {
	localv1.UnimplementedDeskServiceServer
	localv1.UnimplementedCaseworkServiceServer
	localv1.UnimplementedCounterServiceServer
	localv1.UnimplementedOperationsServiceServer
	localv1.UnimplementedPinServiceServer
	localv1.UnimplementedSubjectServiceServer

	cfg       Config
	follow    *follow.Follower // what is known of the hub's log, and whether the desk has stopped
	failures  ops.Counter      // step, reason
	spool     *queue.Queue
	directory atomic.Pointer[directory.Directory] // the last verified revision; numbers come from it offline too
	unsynced  atomic.Pointer[fault.Error]         // why the newest directory was not taken at the last try; nil when it was
	resealing atomic.Bool                         // something came after which something may have to be sealed again
	pinning   sync.Mutex                          // owns the replacing of directory: keys and revisions come by two loops
	rules     rules                               // the sharing policy that was last synced
	submit    sync.Mutex                          // owns the making of notifications: the same form twice at once is one form
	drafting  sync.Mutex                          // owns the changing of drafts, so that none is saved while it is sent
	send      sync.Mutex                          // owns the spool's head: one submission at a time
	wake      chan struct{}                       // capacity 1: something was spooled
	lapse     *lapse.Clock                        // by which forms and drafts are erased
	looked    atomic.Int64                        // when the desk last found nothing to erase, in Unix seconds
	answered  atomic.Int64                        // when the hub last answered, by our clock in nanoseconds; 0 for never since the start
}

// Open reads the directory that was last synced and makes a desk.
func Open(ctx context.Context, cfg Config) (*Desk, error) {
	d := &Desk{cfg: cfg, spool: queue.New(queue.Config{Keyspace: schema.DeskSpool}), wake: make(chan struct{}, 1),
		lapse: lapse.New(lapse.Config{Store: cfg.Store, Keyspace: schema.DeskMeta, Clock: cfg.Clock})}
	d.directory.Store(directory.Empty())
	d.count(cfg.Metrics)
	var err error
	if d.follow, err = follow.Open(ctx, follow.Config{Keys: cfg.LogKeys, Memory: follow.InStore(cfg.Store, schema.DeskMeta), Hub: cfg.Prover,
		First: cfg.First, Phone: cfg.HubPhone, Clock: cfg.Clock, Log: cfg.Log, Metrics: cfg.Metrics}); err != nil {
		return nil, err
	}
	err = cfg.Store.View(ctx, func(s store.Snapshot) error {
		signed, entries, ok, err := directory.Load(s, schema.DeskDirectory)
		if err != nil || !ok {
			return err
		}
		loaded, err := directory.Open(signed, entries, cfg.Anchors, cfg.Clock())
		if err != nil {
			return err
		}
		pins, err := readPins(s)
		if err == nil {
			d.directory.Store(loaded.WithKeys(pins))
		}
		return err
	})
	d.resealing.Store(true) // what a crash left undone
	return d, err
}

// Log is what the desk knows of the hub's log. Serve it on the control socket.
func (d *Desk) Log() *follow.Follower { return d.follow }

// Run syncs the directory, drains the spool, fetches updates and submits again what is due until ctx ends. Each is a Step; an error in one is
// logged and tried again, because a desk must go on taking forms whatever the hub does. Only after a write whose outcome
// is unknown it returns that error: then the process must exit, and starting again reads what was written.
func (d *Desk) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for name, step := range map[string]func(context.Context) (bool, error){
		"directory": d.StepDirectory, "keys": d.StepKeys, "spool": d.StepSpool, "updates": d.StepUpdates, "clocks": d.StepClocks, "reseal": d.StepReseal,
		"policy": d.StepPolicy, "drafts": d.StepDrafts, "erase": d.StepErase,
	} {
		wg.Go(func() { cancel(d.loop(ctx, name, step)) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (d *Desk) loop(ctx context.Context, name string, step func(context.Context) (bool, error)) error {
	var wake <-chan struct{}
	if name == "spool" {
		wake = d.wake
	}
	for ctx.Err() == nil {
		worked, err := step(ctx)
		if err != nil {
			if lost := d.lost(ctx); lost != nil {
				return lost
			}
		}
		if err != nil && ctx.Err() == nil {
			f, level := fault.From(err), slog.LevelError // somebody has to look at it
			if f.Kind == fault.Unavailable || f.Kind == fault.Exhausted {
				level = slog.LevelWarn // it may pass by itself
			}
			d.failures(name, f.Reason)
			d.cfg.Log.Log(ctx, level, "desk step failed, trying again", "step", name, "reason", f.Reason, "cause", f.Unwrap())
		}
		if worked && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(max(d.cfg.Poll, retryAfter(err))):
		}
	}
	return nil
}

// retryAfter is how long the hub says to wait; nothing where it does not say, or nothing went wrong.
func retryAfter(err error) time.Duration {
	if err == nil {
		return 0
	}
	return min(fault.From(err).RetryAfter, queue.MaxAsked)
}

// lost returns store.ErrOutcomeUnknown when our own database has ended with it. It asks the database, because the error
// of a step may be the hub's of the same name, which is no reason for us to end.
func (d *Desk) lost(ctx context.Context) error {
	err := d.cfg.Store.View(ctx, func(store.Snapshot) error { return nil })
	if errors.Is(err, store.ErrOutcomeUnknown) {
		return err
	}
	return nil
}
