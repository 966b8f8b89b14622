// Package auditor asks a hub for decisions and believes none of them: every event it returns was checked against the
// signed log.
//
// It guarantees that GetEvent says "verified" only when the receipt holds under the configured log keys, and the
// details that are shown are the ones the leaf commits to; that an export holds nothing else; and that a hub whose logs
// do not continue what the auditor has seen of them is asked nothing more, until a person says so. It does not see names,
// and it does not by itself notice that a hub shows different logs to different parties: comparing checkpoints does.
package auditor

import (
	"context"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
	"postern/internal/ops"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Config is what an auditor is made of. Export needs Identity, Anchors and Clock; all else is required.
type Config struct {
	Hub        posternv1.AuditServiceClient
	Coverage   posternv1.CoverageServiceClient
	Directory  posternv1.DirectoryServiceClient // the policies that were in force, to decide again with
	LogKeys    verify.Keys                      // of both logs
	Identity   *identity.Identity               // signs exports
	Anchors    *identity.Anchors
	Clock      func() time.Time
	Memory     follow.Memory // where the auditor remembers what it has seen of the logs
	First      []string      // signed checkpoints of the logs from enrolment; optional
	Notes      string        // the file of what is kept for the people who audit: saved searches, last visits; nothing is kept when empty
	HubPhone   string        // of the hub's operator, shown when a log does not continue; optional
	AccessLogs []string      // folders with who saw which page: of the own site, and what other sites handed over
	Log        *slog.Logger  // slog.Default when nil
	Metrics    *ops.Metrics  // what it counts goes here; nil counts for nobody
}

// Auditor is an auditor.
type Auditor struct {
	localv1.UnimplementedAuditorServiceServer
	localv1.UnimplementedCoverageServiceServer
	localv1.UnimplementedEvidenceServiceServer
	localv1.UnimplementedOperationsServiceServer
	localv1.UnimplementedReplayServiceServer

	cfg    Config
	follow *follow.Follower // what is known of the hub's logs, and whether the auditor has stopped
	record *record
}

// Open makes an auditor.
func Open(ctx context.Context, cfg Config) (*Auditor, error) {
	f, err := follow.Open(ctx, follow.Config{Keys: cfg.LogKeys, Memory: cfg.Memory, Hub: cfg.Hub, First: cfg.First, Phone: cfg.HubPhone,
		Clock: cfg.Clock, Log: cfg.Log, Metrics: cfg.Metrics})
	return &Auditor{cfg: cfg, follow: f, record: &record{path: cfg.Notes}}, err
}

// Log is what the auditor knows of the hub's logs. Serve it on the control socket.
func (a *Auditor) Log() *follow.Follower { return a.follow }

// take verifies checkpoints of an answer and holds them against what is known.
func (a *Auditor) take(ctx context.Context, asked follow.Asked, proofs []*posternv1.ConsistencyProof, checkpoints ...string) error {
	for _, c := range checkpoints {
		seen, err := a.follow.Verify(c)
		if err == nil {
			err = a.follow.Take(ctx, asked, proofs, seen)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeReceipt is take for the checkpoint of a receipt; one that does not verify is the caller's to judge.
func (a *Auditor) takeReceipt(ctx context.Context, asked follow.Asked, proofs []*posternv1.ConsistencyProof, r *posternv1.Receipt) error {
	event, err := verify.Receipt(r, a.cfg.LogKeys)
	if err != nil {
		return nil
	}
	return a.follow.Take(ctx, asked, proofs, follow.SeenIn(event))
}

// ListEvents lists events as the hub tells them; opening one with GetEvent checks it.
func (a *Auditor) ListEvents(ctx context.Context, req *localv1.ListEventsRequest) (*localv1.ListEventsResponse, error) {
	asked, err := a.follow.Ask()
	if err != nil {
		return nil, err
	}
	question := proto.CloneOf(req.GetRequest())
	if question == nil {
		question = &posternv1.ListEventsRequest{}
	}
	question.KnownLogs = asked.Known()
	out, err := a.cfg.Hub.ListEvents(ctx, question)
	if err != nil {
		return nil, a.follow.Failed(ctx, asked, err)
	}
	if err := a.take(ctx, asked, out.GetConsistency(), out.GetCheckpoints()...); err != nil {
		return nil, err
	}
	return &localv1.ListEventsResponse{Response: out}, nil
}

// GetEvent opens one event and checks it. A proof that does not hold is an answer, not an error: the auditor must see
// what was shown and what is wrong with it.
func (a *Auditor) GetEvent(ctx context.Context, req *localv1.GetEventRequest) (*localv1.GetEventResponse, error) {
	out, err := a.getEvent(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	answer := &localv1.GetEventResponse{Response: out}
	if err := a.check(req.GetId(), out); err != nil {
		answer.Fault = fault.From(err).Message
	}
	return answer, nil
}

// getEvent asks for one event.
func (a *Auditor) getEvent(ctx context.Context, id string) (*posternv1.GetEventResponse, error) {
	asked, err := a.follow.Ask()
	if err != nil {
		return nil, err
	}
	out, err := a.cfg.Hub.GetEvent(ctx, &posternv1.GetEventRequest{Id: id, KnownLogs: asked.Known()})
	if err != nil {
		return nil, a.follow.Failed(ctx, asked, err)
	}
	return out, a.takeReceipt(ctx, asked, out.GetConsistency(), out.GetReceipt())
}

// check verifies the receipt, that the details open it, that the event shown is the one they describe, and that it is
// the one that was asked for.
func (a *Auditor) check(asked string, r *posternv1.GetEventResponse) error {
	event, err := verify.Receipt(r.GetReceipt(), a.cfg.LogKeys)
	if err != nil {
		return err
	}
	if err := verify.Details(r.GetReceipt(), r.GetDetails()); err != nil {
		return err
	}
	d := &logv1.Details{}
	if err := proto.Unmarshal(r.GetDetails(), d); err != nil {
		return fault.New(fault.Unverified, "BAD_DETAILS", "The details of the event cannot be read.").Because(err)
	}
	held := describe(event, d)
	if !proto.Equal(r.GetEvent(), held) {
		return fault.New(fault.Unverified, "EVENT_DIFFERS", "The event as shown is not the one that the log holds.")
	}
	name := strings.ToLower(asked)
	if reference, err := envelope.ParseReference(asked); err == nil {
		name = reference
	}
	if !slices.Contains([]string{held.GetEventId(), held.GetNotificationId(), held.GetReference()}, name) {
		return fault.New(fault.Unverified, "EVENT_OF_ANOTHER", "The hub answered with another event than the one that was asked for.")
	}
	return nil
}

// prisonOf is the prison that an event concerns: the sender's, or that of the desk that caused it.
func prisonOf(d *logv1.Details) string {
	if id := d.GetSender().GetPrisonId(); id != "" {
		return id
	}
	if p, err := identity.ParseURI(d.GetCaller()); err == nil && p.Role == posternv1.Role_ROLE_DESK {
		return p.ID
	}
	return ""
}

// describe is the event that a verified receipt and its details show.
func describe(event *verify.Event, d *logv1.Details) *posternv1.Event {
	e := &posternv1.Event{
		EventId: hex.EncodeToString(event.EventID[:]), Origin: event.Origin, Index: event.Index, Kind: kindName(event.Kind),
		RecordTime: event.Core.GetEventTime(), NotificationId: d.GetNotificationId(), PrisonId: prisonOf(d),
		Authority: d.GetAuthority(), Decision: d.GetDecision(), OfferedPaths: d.GetOfferedPaths(),
	}
	if e.GetNotificationId() != "" {
		e.Reference = envelope.Reference(e.GetNotificationId())
	}
	return e
}
