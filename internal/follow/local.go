package follow

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/ops"
	localv1 "postern/proto/postern/local/v1"
)

// GetLogs tells what is remembered.
func (f *Follower) GetLogs(context.Context, *localv1.GetLogsRequest) (*localv1.GetLogsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &localv1.GetLogsResponse{Logs: f.logs()}
	if s := f.state.Stop; s != nil {
		out.Stop = &localv1.LogStop{StopTime: timestamppb.New(s.Time), Origin: s.Origin, Reason: s.Reason, Words: s.Words,
			Phone: f.cfg.Phone, Remembered: s.Remembered, Shown: s.Shown}
	}
	return out, nil
}

func (f *Follower) logs() []*localv1.FollowedLog {
	var out []*localv1.FollowedLog
	for _, origin := range slices.Sorted(maps.Keys(f.state.Logs)) {
		k := f.state.Logs[origin]
		out = append(out, &localv1.FollowedLog{Origin: origin, Size: k.head.Size, Root: base64.StdEncoding.EncodeToString(k.head.Root[:]),
			Checkpoint: k.Checkpoint, Ended: k.Ended != nil})
	}
	return out
}

// TrustLog lets a stopped party go on. With a checkpoint an operator answers for it: it becomes what is known of that
// log, whatever was known before, and of a new generation it ends those before. Without one the hub is asked again, and
// the stop ends when it proves that its logs continue what is known.
func (f *Follower) TrustLog(ctx context.Context, req *localv1.TrustLogRequest) (*localv1.TrustLogResponse, error) {
	var err error
	if req.GetCheckpoint() != "" {
		err = f.trust(ctx, req.GetCheckpoint())
	} else {
		err = f.again(ctx)
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &localv1.TrustLogResponse{Logs: f.logs()}, nil
}

func (f *Follower) trust(ctx context.Context, checkpoint string) error {
	s, err := f.Verify(checkpoint)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.laterThan(s.Head.Origin) {
		return fault.Newf(fault.Precondition, "LOG_OLD_GENERATION", "This party follows a later generation than %s. Name a checkpoint of that one.", s.Head.Origin)
	}
	next := f.state.clone()
	for origin, k := range next.Logs {
		if verify.Succeeds(origin, s.Head.Origin) && k.Ended == nil {
			k.Ended = []string{k.Checkpoint}
		}
	}
	next.Logs[s.Head.Origin] = &known{Checkpoint: checkpoint, head: s.Head}
	if next.Stop != nil && verify.SameLog(next.Stop.Origin, s.Head.Origin) {
		next.Stop = nil
	}
	f.cfg.Log.WarnContext(ctx, "an operator named the checkpoint of the hub's log to go on from", "log", s.Head.Origin, "size", s.Head.Size)
	return f.save(ctx, next)
}

// again asks the hub for proofs of everything that is known, as if the party had not stopped, and lifts the stop only
// when they hold: a party is not made to go on by a hub that is merely silent about it.
func (f *Follower) again(ctx context.Context) error {
	f.mu.Lock()
	stopped, before := f.state.Stop, f.state.clone()
	f.mu.Unlock()
	if stopped == nil {
		return nil
	}
	if f.cfg.Hub == nil {
		return fault.New(fault.Precondition, "NO_HUB", "This party has no way to ask the hub. Name the checkpoint to go on from.")
	}
	// A second follower, so that nothing is taken back when the hub does not prove all of it.
	trial := &Follower{cfg: f.cfg, state: before}
	trial.state.Stop, trial.cfg.Memory = nil, nowhere{}
	if err := trial.renew(ctx, stopped.Origin); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg.Log.WarnContext(ctx, "the hub's log continues what was known of it; going on", "log", stopped.Origin)
	return f.save(ctx, trial.state)
}

// renew proves the newest generation that the hub has of each log, at least of that which stopped the party.
func (f *Follower) renew(ctx context.Context, origin string) error {
	logs := map[string]bool{}
	for _, o := range f.cfg.Keys.Origins() {
		first, _ := verify.Generation(o)
		logs[first] = true
	}
	for first := range logs {
		if err := f.renewLog(ctx, f.newestFirst(first), verify.SameLog(first, origin)); err != nil {
			return err
		}
	}
	return nil
}

// renewLog proves the newest of a log's generations that the hub has: a key may have come before its log.
func (f *Follower) renewLog(ctx context.Context, newestFirst []string, needed bool) error {
	for _, o := range newestFirst {
		k := f.state.Logs[o]
		known := Seen{verify.Head{Origin: o, Root: verify.EmptyRoot}, ""}
		switch {
		case k != nil && k.Ended != nil:
			return fault.Newf(fault.Unverified, "LOG_OLD_GENERATION", "The hub goes on with %s, which had ended.", o)
		case k != nil:
			known, needed = Seen{k.head, k.Checkpoint}, true // a hub that denies it proves nothing
		case f.state.before(o) == nil && !needed:
			continue // never seen, so nothing is to be proved
		}
		if err := f.inquire(ctx, known); fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	if needed {
		return fault.New(fault.Unverified, "LOG_UNPROVEN", "The hub has no log that continues what this party knows.")
	}
	return nil
}

// nowhere is the memory of a trial.
type nowhere struct{}

func (nowhere) Load(context.Context) ([]byte, error) { return nil, nil }
func (nowhere) Save(context.Context, []byte) error   { return nil }

// Check is the check of readiness: a party that has stopped takes and sends nothing.
func (f *Follower) Check() ops.Check {
	return ops.Check{Name: "hub's log", Holds: func(context.Context) error { return f.Stopped() }}
}

// Findings are what a doctor is told.
func (f *Follower) Findings() []*localv1.Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*localv1.Finding
	for _, l := range f.logs() {
		if !l.GetEnded() {
			out = append(out, ops.OK("log "+l.GetOrigin(), fmt.Sprintf("seen and proved: %d events", l.GetSize())))
		}
	}
	return out
}

var gauges = []ops.Gauge{
	{Name: "postern_log_stopped", Help: "1 while the party has stopped because a hub's log did not continue what was known of it."},
	{Name: "postern_known_log_size", Help: "Leaves of a hub's log as far as the party has seen and verified it.", Labels: []string{"log"}},
}

func (f *Follower) count(m *ops.Metrics) {
	if m == nil {
		return
	}
	m.Read(func(_ context.Context, report ops.Report) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		stopped := 0.0
		if f.state.Stop != nil {
			stopped = 1
		}
		report("postern_log_stopped", stopped)
		for origin, k := range f.state.Logs {
			if k.Ended == nil {
				report("postern_known_log_size", float64(k.head.Size), origin)
			}
		}
		return nil
	}, gauges...)
}
