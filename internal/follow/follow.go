// Package follow makes a party a small witness of a hub's logs: it remembers the newest checkpoint of each that it has
// verified, asks with every call for the proof that the log continues it, and stops when it does not.
//
// It guarantees: what a party remembers only grows, each step proved by the log itself, and is durable before what came
// with it is used; a log that is shorter than it was, or another one, stops the party, and it stays stopped, over
// restarts too, until the hub proves what it should or an operator names the checkpoint to go on from; a new generation
// of a log is followed only when its first event commits to what the party knows.
//
// Four calls carry no proof, because nothing in them rests on the log: GetPolicy and ListKeys hand out what operators and
// inboxes signed, and are judged by those signatures alone; PublishKey and Resume tell the hub something and hear nothing
// of what it recorded. Each party makes another call within minutes that does, and a test holds the list.
//
// It cannot see that a log shows other people other trees before one of them compares: parties that never meet compare
// through the hub's operator, an auditor, or a witness. What nobody has seen of a log can be taken back unnoticed.
package follow

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/ops"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Memory keeps what a party remembers: the bytes that were saved last, durably.
type Memory interface {
	Load(ctx context.Context) ([]byte, error) // nil before the first Save
	Save(ctx context.Context, b []byte) error
}

// Config says what is followed. Keys, Memory and Clock are required.
type Config struct {
	Keys    verify.Keys // of the logs that the party may see, in all their generations
	Memory  Memory
	Hub     posternv1.AuditServiceClient // asked for GetCheckpoint only; nil where a party has no way to ask: what an answer does not prove is then not believed
	First   []string                     // signed checkpoints from enrolment: what is remembered before the first contact
	Phone   string                       // of the hub's operator, to be shown when it stops
	Clock   func() time.Time
	Log     *slog.Logger // slog.Default when nil
	Metrics *ops.Metrics // nil counts for nobody
}

// Follower is what one party knows of one hub's logs. It may be used from any goroutine. It serves LogTrustService.
type Follower struct {
	localv1.UnimplementedLogTrustServiceServer

	cfg Config

	mu    sync.Mutex // owns state, and that what is saved is what it says
	state state
}

// state is what is remembered, in JSON. Fields are added, none change.
type state struct {
	Logs map[string]*known `json:"logs"` // by origin
	Stop *stop             `json:"stop,omitempty"`
}

// known is what is known of one log.
type known struct {
	Checkpoint string   `json:"checkpoint"`      // the newest, a signed note
	Ended      []string `json:"ended,omitempty"` // of a generation that was followed by another: the checkpoints that one commits to

	head verify.Head
}

// stop is why a party has stopped.
type stop struct {
	Time       time.Time `json:"time"`
	Origin     string    `json:"origin"`
	Reason     string    `json:"reason"`
	Words      string    `json:"words"`
	Remembered string    `json:"remembered,omitempty"`
	Shown      string    `json:"shown,omitempty"`
}

// Open reads what is remembered, and takes in the checkpoints from enrolment where nothing is yet.
func Open(ctx context.Context, cfg Config) (*Follower, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	f := &Follower{cfg: cfg, state: state{Logs: map[string]*known{}}}
	b, err := cfg.Memory.Load(ctx)
	if err != nil {
		return nil, err
	}
	if b != nil {
		if err := f.state.read(b); err != nil {
			return nil, err
		}
	}
	added := false
	for _, checkpoint := range cfg.First {
		h, err := verify.Checkpoint(checkpoint, cfg.Keys)
		if err != nil {
			return nil, err
		}
		if f.state.Logs[h.Origin] == nil && !f.state.laterThan(h.Origin) {
			f.state.Logs[h.Origin], added = &known{Checkpoint: checkpoint, head: h}, true
		}
	}
	if added {
		if err := f.save(ctx, f.state); err != nil {
			return nil, err
		}
	}
	f.count(cfg.Metrics)
	return f, nil
}

func (s *state) read(b []byte) error {
	unread := fault.New(fault.Internal, "LOG_MEMORY", "What this party remembers of the hub's logs cannot be read. Restore its newest backup.")
	if err := json.Unmarshal(b, s); err != nil {
		return unread.Because(err)
	}
	for origin, k := range s.Logs {
		var err error
		if k.head, err = verify.ReadHead(k.Checkpoint); err != nil || k.head.Origin != origin { // verified before it was saved
			return unread.Because(err)
		}
	}
	return nil
}

// laterThan reports whether a later generation of a log is known.
func (s *state) laterThan(origin string) bool {
	for o := range s.Logs {
		if verify.Succeeds(origin, o) {
			return true
		}
	}
	return false
}

// before is the newest generation known of the log that an origin is a later generation of; nil for none.
func (s *state) before(origin string) *known {
	var newest *known
	for o, k := range s.Logs {
		if verify.Succeeds(o, origin) && (newest == nil || verify.Succeeds(newest.head.Origin, o)) {
			newest = k
		}
	}
	return newest
}

func (s state) clone() state {
	c := state{Logs: map[string]*known{}, Stop: s.Stop}
	for o, k := range s.Logs {
		copied := *k
		c.Logs[o] = &copied
	}
	return c
}

// save makes next what is remembered. The caller holds mu, or nobody else has f yet.
func (f *Follower) save(ctx context.Context, next state) error {
	b, err := json.Marshal(next)
	if err != nil {
		return fault.From(err)
	}
	// Not the caller's to interrupt: a stop that is not written down would end with the process.
	if err := f.cfg.Memory.Save(context.WithoutCancel(ctx), b); err != nil {
		return err
	}
	f.state = next
	return nil
}

// Stopped returns why the party has stopped; nil while it goes on.
func (f *Follower) Stopped() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped()
}

func (f *Follower) stopped() error {
	s := f.state.Stop
	if s == nil {
		return nil
	}
	phone := "Telephone the hub's operator"
	if f.cfg.Phone != "" {
		phone += " on " + f.cfg.Phone
	}
	return fault.Newf(fault.Unverified, "LOG_STOPPED",
		"Stopped on %s, because the log %s did not continue what was known of it: %s Nothing is sent to this hub or taken from it. %s; docs/operations.md says how to go on.",
		s.Time.UTC().Format("2 January 2006 15:04 MST"), s.Origin, s.Words, phone)
}

// Asked is what the party knew when it asked.
type Asked struct{ logs map[string]verify.Head }

// Known is what a request says of it.
func (a Asked) Known() []*posternv1.KnownLog {
	var out []*posternv1.KnownLog
	for _, origin := range slices.Sorted(maps.Keys(a.logs)) { // in one order, so that a history can be played again
		out = append(out, &posternv1.KnownLog{Origin: origin, Size: a.logs[origin].Size})
	}
	return out
}

// Ask begins a call: the request says what Asked.Known returns, and its answer goes through Take or Failed. It is the
// fault of Stopped when the party must not call.
func (f *Follower) Ask() (Asked, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked(), f.stopped()
}

func (f *Follower) asked() Asked {
	a := Asked{map[string]verify.Head{}}
	for origin, k := range f.state.Logs {
		if k.Ended == nil && k.head.Size > 0 {
			a.logs[origin] = k.head
		}
	}
	return a
}

// Failed takes the error of a call, and returns it; the hub's word that it holds less than the party knows stops the
// party.
func (f *Follower) Failed(ctx context.Context, asked Asked, err error) error {
	if fault.From(err).Reason != "LOG_AHEAD" {
		return err
	}
	for _, origin := range slices.Sorted(maps.Keys(asked.logs)) { // of more than one log it does not say which
		return f.stop(ctx, origin, fault.New(fault.Unverified, "LOG_SHORTER", "The hub says that it holds less of its log than this party has seen."), "")
	}
	return err
}

// stop writes down that the party stops, and returns the fault of Stopped. The first reason stays.
func (f *Follower) stop(ctx context.Context, origin string, why error, shown string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.halt(ctx, origin, why, shown)
}

// halt is stop for a caller who holds mu.
func (f *Follower) halt(ctx context.Context, origin string, why error, shown string) error {
	if f.state.Stop != nil {
		return f.stopped()
	}
	reason := fault.From(why)
	next := f.state.clone()
	next.Stop = &stop{Time: f.cfg.Clock().UTC().Truncate(time.Second), Origin: origin, Reason: reason.Reason, Words: reason.Message, Shown: shown}
	if k := next.Logs[origin]; k != nil {
		next.Stop.Remembered = k.Checkpoint
	} else if k := next.before(origin); k != nil {
		next.Stop.Remembered = k.Checkpoint
	}
	f.cfg.Log.ErrorContext(ctx, "STOPPED: the hub's log does not continue what was known of it", "log", origin, "reason", reason.Reason)
	if err := f.save(ctx, next); err != nil {
		return err // and what was shown is not used either way
	}
	return f.stopped()
}
