// Package inbox is the early help team's side: it takes a delivery, refuses it unless desk and ledger both vouch for
// it, opens it, keeps it encrypted, shows it once, and signs that it has it.
//
// What it guarantees:
//   - Nothing is shown without the desk's valid signature and a receipt whose core shows SHARE for exactly these
//     sections and is still valid: a hub cannot release what it did not record.
//   - The acknowledgement is sent only after the item is on disk. The same delivery, or the same manifest in another
//     delivery, is shown once and answered the same.
//   - A hub whose logs do not continue what the inbox has seen of them delivers nothing more, until a person says so.
//   - Facts that the hub decided on are held against the opened values; a contradiction is reported and shown.
//
// What it does not: it cannot tell whether what the parent said is true. "Not a risk assessment. Check your own
// records first."
package inbox

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/envelope"
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

// Config is what an inbox is made of. All fields are required unless they say otherwise.
type Config struct {
	Identity  *identity.Identity
	Anchors   *identity.Anchors
	Store     store.Store // holds schema.Inbox
	Vault     *vault.Vault
	Hub       posternv1.MailboxServiceClient        // where reports go
	HubParty  identity.Party                        // the one hub that may deliver
	Keys      map[string]*envelope.RecipientPrivate // by key id: the current one, and old ones until the last delivery
	KeyDir    string                                // the folder they are from, where successors go; empty for none to be made
	LogKeys   verify.Keys                           // the hub's sent log, in all its generations: nothing else vouches for a delivery
	AllLogs   verify.Keys                           // that, and the received log, which vouches for reports; the zero Keys for LogKeys alone
	Directory posternv1.DirectoryServiceClient      // whose keys a notification is passed on with; nil passes on none
	Prover    posternv1.AuditServiceClient          // where the hub proves that its logs continue; nil believes only what comes with a delivery
	First     []string                              // signed checkpoints of the logs from enrolment; optional
	HubPhone  string                                // of the hub's operator, shown when a log does not continue; optional
	Backoff   queue.Backoff
	Poll      time.Duration   // how often to retry reports
	Postcodes *postcode.Table // says where a corrected postcode lies; nil for staff to choose
	Outlets   Outlets         // where what came goes on to; none when zero
	Collect   bool            // whether it collects from the hub, and is not sent to
	Clock     func() time.Time
	Rand      io.Reader // for jitter; nil: crypto/rand
	Log       *slog.Logger
	Metrics   *ops.Metrics // what it counts goes here; nil counts for nobody
}

// Inbox is an inbox. Serve its services, and Run it, until its context ends.
type Inbox struct {
	posternv1.UnimplementedInboxServiceServer
	localv1.UnimplementedTeamServiceServer
	localv1.UnimplementedRingServiceServer
	localv1.UnimplementedRedirectServiceServer
	localv1.UnimplementedTeamworkServiceServer
	localv1.UnimplementedOperationsServiceServer
	localv1.UnimplementedOutletServiceServer

	cfg        Config
	follow     *follow.Follower // what is known of the hub's logs, and whether the inbox has stopped
	zone       *time.Location   // of the team's days
	ring       *ring
	lapse      *lapse.Clock // by which private keys are forgotten
	showing    sync.Mutex   // owns the choice of which of two that say the same is shown
	rotating   sync.Mutex   // owns the making of a successor: two at once would both follow one key
	reports    *queue.Queue
	parcels    *queue.Queue
	handed     ops.Counter              // way, result
	outlets    map[string]chan struct{} // by way, capacity 1 each: a parcel was queued
	deliveries ops.Counter              // result
	wake       chan struct{}            // capacity 1: a report was spooled
	passed     chan struct{}            // capacity 1: something was passed on
	resumed    atomic.Bool              // whether the hub was told how far we hold all
	announced  atomic.Bool              // whether the newest recipient key was published since the start
	toldChain  atomic.Bool              // whether all before it were
	names      atomic.Pointer[map[string]named]
	learned    time.Time // when the names were read last; StepNames alone has it
}

// Open makes an inbox.
func Open(cfg Config) (*Inbox, error) {
	if len(cfg.Keys) == 0 {
		return nil, fault.New(fault.Precondition, "NO_RECIPIENT_KEY", "The inbox has no private key, so it could open nothing. Restore its key folder; a new inbox makes its first key: postern inbox new-key.")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	keys, err := openRing(cfg.Keys, cfg.KeyDir)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, fault.From(err) // a build without time zones
	}
	in := &Inbox{cfg: cfg, zone: zone, ring: keys, lapse: lapse.New(lapse.Config{Store: cfg.Store, Keyspace: schema.InboxMeta, Clock: cfg.Clock, Before: keys.newestMade()}),
		reports: queue.New(queue.Config{Keyspace: schema.InboxReport}), wake: make(chan struct{}, 1), passed: make(chan struct{}, 1),
		parcels: queue.New(queue.Config{Keyspace: schema.InboxParcel}), outlets: map[string]chan struct{}{}}
	for _, way := range ways {
		in.outlets[way] = make(chan struct{}, 1)
	}
	in.count(cfg.Metrics)
	if len(cfg.AllLogs.Origins()) == 0 {
		in.cfg.AllLogs = cfg.LogKeys
	}
	if err := in.loadNames(context.Background()); err != nil {
		return nil, err
	}
	in.follow, err = follow.Open(context.Background(), follow.Config{Keys: in.cfg.AllLogs, Memory: follow.InStore(cfg.Store, schema.InboxMeta), Hub: cfg.Prover,
		First: cfg.First, Phone: cfg.HubPhone, Clock: cfg.Clock, Log: cfg.Log, Metrics: cfg.Metrics})
	return in, err
}

// Log is what the inbox knows of the hub's logs. Serve it on the control socket.
func (in *Inbox) Log() *follow.Follower { return in.follow }

// Run sends reports, keeps the recipient keys fresh, and collects or says once how far it holds all, until ctx ends, or until a write's outcome is
// unknown: then the process must exit, and starting again reads what was written.
func (in *Inbox) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() { cancel(in.loop(ctx, "reports", in.StepReports, in.wake)) })
	wg.Go(func() { cancel(in.loop(ctx, "keys", in.StepKeys, nil)) })
	wg.Go(func() { cancel(in.loop(ctx, "redirects", in.StepRedirects, in.passed)) })
	wg.Go(func() { cancel(in.loop(ctx, "deputies", in.StepDeputies, nil)) })
	wg.Go(func() { cancel(in.loop(ctx, "names", in.StepNames, nil)) })
	for _, way := range ways {
		if in.cfg.Outlets.uses(way) { // a loop each: a command that takes its time keeps no alert waiting
			wg.Go(func() {
				cancel(in.loop(ctx, way, func(ctx context.Context) (bool, error) { return in.StepOutlet(ctx, way) }, in.outlets[way]))
			})
		}
	}
	if in.cfg.Collect {
		// A stream lasts until the hub ends it or the line breaks; then a moment, and the next.
		wg.Go(func() {
			cancel(in.loop(ctx, "collect", func(ctx context.Context) (bool, error) { return in.collect(ctx, false) }, nil))
		})
	} else {
		wg.Go(func() { cancel(in.loop(ctx, "resume", in.StepResume, nil)) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

// loop steps until ctx ends. After a failure it waits for a growing backoff, at most Poll.
func (in *Inbox) loop(ctx context.Context, name string, step func(context.Context) (bool, error), wake <-chan struct{}) error {
	failures, idle := uint32(0), uint32(0)
	for ctx.Err() == nil {
		worked, err := step(ctx)
		if err != nil {
			if lost := in.lost(ctx); lost != nil {
				return lost
			}
		}
		failures++
		if err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			in.cfg.Log.WarnContext(ctx, "inbox step failed, trying again", "step", name, "reason", fault.From(err).Reason, "cause", fault.From(err).Unwrap())
		}
		if worked && err == nil {
			continue
		}
		wait := in.cfg.Poll
		switch name {
		case "collect":
			wait = min(wait, in.cfg.Backoff.After(failures+1, mathrand.Float64()))
		case "redirects": // soon after it was passed on, then more and more seldom
			idle++
			wait = min(wait, in.cfg.Backoff.After(idle, mathrand.Float64()))
		case "names": // a name can wait
			wait = max(wait, in.cfg.Backoff.After(failures, mathrand.Float64()))
		case "deputies": // it opens every item
			wait = max(wait, time.Minute)
		}
		if err != nil {
			wait = max(wait, min(fault.From(err).RetryAfter, queue.MaxAsked)) // the hub says when
		}
		select {
		case <-ctx.Done():
		case <-wake:
			idle = 0
		case <-time.After(wait):
		}
	}
	return nil
}

// lost returns store.ErrOutcomeUnknown when our own database has ended with it. It asks the database, because the error
// of a step may be the hub's of the same name, which is no reason for us to end.
func (in *Inbox) lost(ctx context.Context) error {
	err := in.cfg.Store.View(ctx, func(store.Snapshot) error { return nil })
	if errors.Is(err, store.ErrOutcomeUnknown) {
		return err
	}
	return nil
}
