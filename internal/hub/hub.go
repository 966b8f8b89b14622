// Package hub is the neutral processor between prisons and authorities: it verifies, decides, discloses, records and
// answers, and hands what may pass to package delivery.
//
// What it guarantees:
//   - Every authenticated statement, allowed or refused, becomes a leaf before its sender hears of it; so does every other
//     call that a known party is refused, within its budget.
//   - What is released is what the policy and the locks let through, enqueued in the transaction of its leaf.
//   - The same manifest again gets the same answer; another manifest never changes what was shared.
//   - "Not yours" and "not there" answer alike.
//
// What it does not: it cannot open a section, so it cannot tell whether a name or an address is true; and it does not
// know a child, only facts about one.
package hub

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"postern/internal/delivery"
	"postern/internal/directory"
	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/lapse"
	"postern/internal/ledger"
	"postern/internal/ops"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/vault"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Config is what a hub is made of. All fields are required unless they say otherwise.
type Config struct {
	Identity *identity.Identity
	Anchors  *identity.Anchors
	Store    store.Store // holds schema.Hub
	Vault    *vault.Vault
	Ledger   *ledger.Ledger
	Engine   *engine.Engine // decides until a policy is activated
	Sender   delivery.Sender
	Backoff  queue.Backoff // zero for the defaults
	Gather   time.Duration // over how long what teams cause is gathered before desks hear of it; zero for an hour
	Clock    func() time.Time
	Rand     io.Reader
	Log      *slog.Logger
	// RefusalBudget is how many refusals an hour become leaves, per party; beyond it they are only counted and logged, so
	// that a broken or stolen desk cannot fill the disk. 0 means 600.
	RefusalBudget int
	Auditors      map[string]Scope // what each auditor may see, by the name in its certificate; others may not ask
	Measures      *Measures        // what it counts; nil counts for nobody
	// TestPolicy runs the tests and the cases of a bundle before it comes into force; nil for engine.Test. Only a
	// simulator, which brings the same few into force thousands of times, has another.
	TestPolicy func(context.Context, fs.FS) (*engine.Report, error)
}

// Hub is a hub. Serve its services, and Run it, until its context ends.
type Hub struct {
	posternv1.UnimplementedSubmissionServiceServer
	posternv1.UnimplementedMailboxServiceServer
	posternv1.UnimplementedDirectoryServiceServer
	posternv1.UnimplementedAuditServiceServer
	posternv1.UnimplementedCoverageServiceServer
	localv1.UnimplementedHubServiceServer
	localv1.UnimplementedCourierServiceServer
	localv1.UnimplementedDeadLetterServiceServer
	localv1.UnimplementedOperationsServiceServer
	localv1.UnimplementedPolicyServiceServer

	cfg       Config
	delivery  *delivery.Delivery
	selfCheck *ledger.SelfCheck
	directory atomic.Pointer[directory.Directory] // the revision in force; replaced after its leaf is committed
	atDesks   atomic.Pointer[revisionAt]          // the largest revision above the one in force of which a desk told; nil for none since the start
	policy    atomic.Pointer[engine.Engine]       // what decides; replaced after its leaf is committed
	refused   atomic.Pointer[policyRefusal]       // the last policy that was refused since the start; nil for none

	activating sync.Mutex // owns the order in which policies come into force

	keysMu    sync.Mutex // owns published, and every replacing of directory
	published published

	hold     hold
	lapse    *lapse.Clock             // by which content is deleted
	pageKey  [32]byte                 // authenticates page tokens
	mu       sync.Mutex               // guards refusals
	refusals map[string]*rate.Limiter // per party URI
}

// Open reads the policy and the directory in force and makes a hub. A hub without a directory starts and refers every statement to a
// person, since it knows no prison and no authority.
func Open(ctx context.Context, cfg Config) (*Hub, error) {
	if cfg.RefusalBudget == 0 {
		cfg.RefusalBudget = 600
	}
	if cfg.TestPolicy == nil {
		cfg.TestPolicy = engine.Test
	}
	if cfg.Measures == nil {
		cfg.Measures = NewMeasures(ops.NewMetrics())
	}
	h := &Hub{cfg: cfg, refusals: map[string]*rate.Limiter{}, selfCheck: ledger.NewSelfCheck(cfg.Ledger, 0, 0),
		lapse: lapse.New(lapse.Config{Store: cfg.Store, Keyspace: schema.HubMeta, Clock: cfg.Clock})}
	if _, err := io.ReadFull(cfg.Rand, h.pageKey[:]); err != nil {
		return nil, fault.New(fault.Unavailable, "RANDOM", "The source of random values failed.").Because(err)
	}
	err := cfg.Store.View(ctx, func(s store.Snapshot) error {
		if err := h.openPolicy(ctx, s); err != nil {
			return err
		}
		var err error
		if h.published, err = readPublished(s); err != nil {
			return err
		}
		signed, entries, ok, err := directory.Load(s, schema.HubDirectory)
		if err != nil || !ok {
			return err
		}
		d, err := directory.Open(signed, entries, cfg.Anchors, cfg.Clock())
		if err != nil {
			return err
		}
		h.directory.Store(h.published.over(d))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := h.keepPolicy(ctx); err != nil {
		return nil, err
	}
	if h.directory.Load() == nil {
		h.directory.Store(directory.Empty())
	}
	h.delivery = delivery.New(delivery.Config{
		Store: cfg.Store, Ledger: cfg.Ledger, Vault: cfg.Vault, Sender: cfg.Measures.sending(cfg.Sender), Decider: h, Directory: h.current,
		Anchors: cfg.Anchors, Clock: cfg.Clock, Rand: cfg.Rand, Log: cfg.Log, Backoff: cfg.Backoff, Gather: cfg.Gather,
	})
	if err := h.openHold(ctx); err != nil {
		return nil, err
	}
	cfg.Measures.metrics.Read(h.measure, gauges...)
	return h, nil
}

// Run records that the hub has started, then sequences the ledger, delivers and checks the logs until ctx ends, or until
// the outcome of a write is unknown or a log is found damaged: then the process must exit, and starting again recovers.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := h.started(ctx); err != nil {
		return err
	}
	loops := []func(context.Context) error{h.cfg.Ledger.Run, h.delivery.Run, h.retain, h.selfCheck.Run, h.index}
	ended := make(chan error, len(loops))
	for _, loop := range loops {
		go func() { ended <- loop(ctx) }()
	}
	var first error
	for range loops {
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) && first == nil {
			first = err
		}
		cancel() // one loop without the other would accept what it cannot finish
	}
	return first
}

// started records the start: a log whose hub was down, or ran twice, says so itself. In the sent log, since no inbox
// causes it. On a full disk too: whoever does not start takes no withdrawal and stops nothing.
func (h *Hub) started(ctx context.Context) error {
	return h.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Record(ledger.Sent, ledger.Event{
			Kind:    logv1.Kind_KIND_HUB_STARTED,
			Time:    h.now(),
			Core:    &logv1.Core{PolicyRevision: h.cfg.Engine.Revision()},
			Details: &logv1.Details{Caller: h.cfg.Identity.Party().URI(), DirectoryRevision: h.directory.Load().Number()},
		})
		return err
	})
}

// indexPause is how long the index of events rests after a block: it is never in a hurry, and the line comes first.
const indexPause = 100 * time.Millisecond

// index keeps the index of events behind the logs. What it lacks is looked through instead, so it only ever costs time.
func (h *Hub) index(ctx context.Context) error {
	for ctx.Err() == nil {
		worked, err := h.cfg.Ledger.StepIndex(ctx)
		if err != nil && ctx.Err() == nil {
			h.cfg.Log.WarnContext(ctx, "the index of events is not brought up to date, trying again", "reason", fault.From(err).Reason)
		}
		wait := indexPause
		if !worked || err != nil {
			wait = 10 * indexPause // what is not indexed yet every question opens
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// StepIndex indexes the next events for auditors' lists, and reports whether there were any.
func (h *Hub) StepIndex(ctx context.Context) (bool, error) { return h.cfg.Ledger.StepIndex(ctx) }

// StepSelfCheck checks the next events of the logs, and reports false when all have been checked. Its error is damage,
// and nothing is signed any more.
func (h *Hub) StepSelfCheck(ctx context.Context) (bool, error) { return h.selfCheck.Step(ctx) }

// StepDelivery makes at most one attempt for each inbox that something waits for, and reports whether it made any.
func (h *Hub) StepDelivery(ctx context.Context) (bool, error) { return h.delivery.Step(ctx) }

// StepRetention deletes some of the content whose time is over, and some of what is remembered of it, and reports whether
// there was any. A clock that is ahead deletes nothing: package lapse says by which time.
func (h *Hub) StepRetention(ctx context.Context) (bool, error) {
	now, err := h.lapse.Now(ctx)
	if err != nil {
		return false, err
	}
	worked, err := h.delivery.StepRetention(ctx, now)
	if err != nil {
		return worked, err
	}
	forgot, err := h.forgetContent(ctx, now)
	return worked || forgot, err
}

// retentionPoll is how often content is looked for whose time is over: its life is counted in days.
const retentionPoll = 10 * time.Minute

// retain steps retention until ctx ends. What cannot be deleted now is deleted the next time: the ledger's own loop
// ends the hub where it must.
func (h *Hub) retain(ctx context.Context) error {
	for {
		worked, err := h.StepRetention(ctx)
		if err != nil && ctx.Err() == nil {
			h.cfg.Log.ErrorContext(ctx, "content whose time is over could not be deleted", "reason", fault.From(err).Reason)
		}
		if worked && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retentionPoll):
		}
	}
}

// current is the directory in force, or nil while there is none.
func (h *Hub) current() *directory.Directory {
	if d := h.directory.Load(); d.Number() > 0 {
		return d.At(h.cfg.Clock())
	}
	return nil
}

// notYours is the one answer to "not yours" and to "not there".
var notYours = fault.New(fault.NotFound, "NOT_FOUND", "There is nothing here by that name for you.")
