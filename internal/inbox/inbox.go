// Package inbox is the early help team's side: it takes a delivery, refuses it unless desk and ledger both vouch for
// it, opens it, keeps it encrypted, shows it once, and signs that it has it.
//
// What it guarantees:
//   - Nothing is shown without the desk's valid signature and a receipt whose core shows SHARE for exactly these
//     sections and is still valid: a hub cannot release what it did not record.
//   - The acknowledgement is sent only after the item is on disk. The same delivery, or the same manifest in another
//     delivery, is shown once and answered the same.
//   - Facts that the hub decided on are held against the opened values; a contradiction is reported and shown.
//
// What it does not: it cannot tell whether what the parent said is true. "Not a risk assessment. Check your own
// records first."
package inbox

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
	"postern/internal/ops"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/vault"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Config is what an inbox is made of. All fields are required unless they say otherwise.
type Config struct {
	Identity *identity.Identity
	Anchors  *identity.Anchors
	Store    store.Store // holds schema.Inbox
	Vault    *vault.Vault
	Hub      posternv1.MailboxServiceClient        // where reports go
	Keys     map[string]*envelope.RecipientPrivate // by key id: the current one, and old ones until the last delivery
	LogKeys  verify.Keys                           // the hub's sent log
	Backoff  queue.Backoff
	Poll     time.Duration // how often to retry reports
	Clock    func() time.Time
	Log      *slog.Logger
	Metrics  *ops.Metrics // what it counts goes here; nil counts for nobody
}

// Inbox is an inbox. Serve its services, and Run it, until its context ends.
type Inbox struct {
	posternv1.UnimplementedInboxServiceServer
	localv1.UnimplementedTeamServiceServer
	localv1.UnimplementedOperationsServiceServer

	cfg        Config
	reports    *queue.Queue
	deliveries ops.Counter   // result
	wake       chan struct{} // capacity 1: a report was spooled
}

// Open makes an inbox.
func Open(cfg Config) (*Inbox, error) {
	if len(cfg.Keys) == 0 {
		return nil, fault.New(fault.Precondition, "NO_RECIPIENT_KEY", "The inbox has no private key, so it could open nothing. Restore its key folder.")
	}
	in := &Inbox{cfg: cfg, reports: queue.New(queue.Config{Keyspace: schema.InboxReport}), wake: make(chan struct{}, 1)}
	in.count(cfg.Metrics)
	return in, nil
}

// Run sends reports until ctx ends, or until a write's outcome is unknown: then the process must exit, and starting again
// reads what was written.
func (in *Inbox) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		worked, err := in.StepReports(ctx)
		if errors.Is(err, store.ErrOutcomeUnknown) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			in.cfg.Log.WarnContext(ctx, "report not sent, trying again", "reason", fault.From(err).Reason, "cause", fault.From(err).Unwrap())
		}
		if worked && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-in.wake:
		case <-time.After(in.cfg.Poll):
		}
	}
	return ctx.Err()
}
