package auditor_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/auditor"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// shared sends a form of HMP Bristol through to the team, and returns the id of its notification.
func shared(x *testkit.Exchange) string {
	id := x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	return id
}

// auditing is an auditor with the keys of the generations that there are so far.
type auditing struct {
	*auditor.Auditor
	x    *testkit.Exchange
	keys []string
}

// audits gives an auditor the keys of the newest generation too. What one remembers the next does.
func audits(t *testing.T, x *testkit.Exchange, before ...string) *auditing {
	t.Helper()
	a := &auditing{x: x, keys: append(before, x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received))}
	var err error
	a.Auditor, err = auditor.Open(t.Context(), auditor.Config{Hub: x.Audit(testkit.AuditorPath), Directory: posternv1.NewDirectoryServiceClient(x.ToHub(testkit.AuditorPath)), LogKeys: a.verify(t), Clock: x.Clock.Now, Memory: follow.InFile(x.Path("auditor.json")),
		HubPhone: testkit.HubPhone, Log: slog.New(slog.DiscardHandler), Identity: x.Identity(testkit.AuditorPath), Anchors: x.Anchors()})
	noError(t, err)
	return a
}

func (a *auditing) verify(t *testing.T) verify.Keys {
	t.Helper()
	keys, err := verify.NewKeys(a.keys...)
	noError(t, err)
	return keys
}

func (a *auditing) list(t *testing.T) error {
	_, err := a.ListEvents(t.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{}})
	return err
}

// known are the checkpoints that the auditor has seen.
func (a *auditing) known(t *testing.T) (all []string) {
	logs, err := a.Log().GetLogs(t.Context(), &localv1.GetLogsRequest{})
	noError(t, err)
	for _, l := range logs.GetLogs() {
		all = append(all, l.GetCheckpoint())
	}
	return all
}

type told struct {
	grpc.ServerStream
	ctx context.Context
}

func (s told) Context() context.Context           { return s.ctx }
func (s told) Send(*localv1.ExportResponse) error { return nil }

// exports requires that an export into a folder succeeds, alarms nobody, and holds under the auditor's keys.
func (a *auditing) exports(t *testing.T, dir string) *archive.Report {
	t.Helper()
	noError(t, a.Export(&localv1.ExportRequest{Directory: dir}, told{ctx: t.Context()}))
	noError(t, a.Log().Stopped())
	report, err := archive.Verify(t.Context(), os.DirFS(dir), archive.Config{Keys: a.verify(t), Anchors: a.x.Anchors()})
	noError(t, err)
	return report
}

// sizes are how much a folder holds of each log.
func sizes(r *archive.Report) map[string]uint64 {
	m := map[string]uint64{}
	for _, l := range r.Logs {
		m[l.Origin] = l.Size
	}
	return m
}

// TestAnExportGoesOnAfterALostDisk: nothing is left of the old logs at the hub. The folder keeps what it has of them, and a
// new one says what it lacks.
func TestAnExportGoesOnAfterALostDisk(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	a, dir := audits(t, x), t.TempDir()
	before := sizes(a.exports(t, dir))
	x.LoseHub()
	a = audits(t, x, a.keys...)
	r := a.exports(t, dir)
	if now := sizes(r); len(now) != 4 || now["demo.postern.example/sent"] != before["demo.postern.example/sent"] || len(r.Lost) > 0 {
		t.Errorf("%v, lost %v, before %v", now, r.Lost, before)
	}
	if r := a.exports(t, t.TempDir()); len(r.Logs) != 2 || len(r.Lost) != 2 {
		t.Errorf("a new folder has %v, and lacks %v", sizes(r), r.Lost)
	}
}

// TestAnExportGoesOnAfterAnOlderCopy: the folder holds more of the old log than the hub.
func TestAnExportGoesOnAfterAnOlderCopy(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	copied := x.CopyHub()
	shared(x)
	a, dir := audits(t, x), t.TempDir()
	before := sizes(a.exports(t, dir))
	noError(t, a.list(t)) // and has seen more than the folder holds
	known := a.known(t)
	x.RestoreHub(copied)
	x.NewGeneration(known...)
	a = audits(t, x, a.keys...)
	r := a.exports(t, dir)
	now := sizes(r)
	for origin, size := range before {
		if now[origin] != size {
			t.Errorf("%s: %d entries of %d are left", origin, now[origin], size)
		}
	}
	for _, l := range r.Logs { // that the auditor looked is an event of the received log, which is lost
		_, generation := verify.Generation(l.Origin)
		if short := l.Ended > l.Size; short != (generation == 1 && strings.HasSuffix(l.Origin, "received")) || generation == 1 && l.Ended == 0 {
			t.Errorf("%s has %d entries, and is said to have ended with %d", l.Origin, l.Size, l.Ended)
		}
	}
	if again := sizes(a.exports(t, dir)); again[x.Ledger.Origin(ledger.Received)] <= now[x.Ledger.Origin(ledger.Received)] { // that it was disclosed
		t.Errorf("nothing new comes: %v, then %v", now, again)
	}
}

// TestWhoeverComesLaterSeesWhatWasBefore: an auditor whose first look is after a new generation, or two, opens and exports
// what was before.
func TestWhoeverComesLaterSeesWhatWasBefore(t *testing.T) {
	for name, generations := range map[string]int{"one": 1, "two": 2} {
		t.Run(name, func(t *testing.T) {
			x := testkit.NewExchange(t)
			id := shared(x)
			keys := []string{x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received)}
			for range generations {
				x.NewGeneration()
				keys = append(keys, x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received))
			}
			a := audits(t, x, keys[:len(keys)-2]...)
			noError(t, a.list(t))
			out, err := a.GetEvent(t.Context(), &localv1.GetEventRequest{Id: id})
			if err != nil || out.GetFault() != "" {
				t.Fatalf("%v %v", out.GetFault(), err)
			}
			if r := a.exports(t, t.TempDir()); len(r.Logs) != len(keys) {
				t.Errorf("exported: %v", sizes(r))
			}
		})
	}
}

// TestWhatAnOperatorNamedTellsHowTheOldLogEnded: the operator names the new log, which does not name what the auditor knew.
func TestWhatAnOperatorNamedTellsHowTheOldLogEnded(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	copied := x.CopyHub()
	shared(x)
	a := audits(t, x)
	noError(t, a.list(t))
	x.RestoreHub(copied)
	x.NewGeneration()
	a = audits(t, x, a.keys...)
	for _, l := range []ledger.Log{ledger.Sent, ledger.Received} {
		_, _, checkpoint := x.Ledger.Head(l)
		_, err := a.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{Checkpoint: checkpoint})
		noError(t, err)
	}
	a.exports(t, t.TempDir())
}

// TestAnEndThatNoLaterLogNames: whoever runs the hub shows an auditor who came later, or whose operator named the new log,
// another end of the old one: a longer one, one that leaves the last events out, and one that the hub does not name in the
// log that is followed, but in another of its name.
func TestAnEndThatNoLaterLogNames(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	_, _, shorter := x.Ledger.Head(ledger.Sent)
	shared(x)
	first := []string{x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received)}
	copied := x.CopyHub()
	shared(x)
	_, _, longer := x.Ledger.Head(ledger.Sent)
	went := x.CopyHub()
	x.RestoreHub(copied)
	x.NewGeneration()
	noError(t, audits(t, x, first...).list(t))
	memory, err := os.ReadFile(x.Path("auditor.json"))
	noError(t, err)
	_, _, trusted := x.Ledger.Head(ledger.Sent)

	for _, c := range []struct {
		name, end, reason string
		another, operator bool
	}{
		{"longer", longer, "LOG_OLD_GENERATION", false, false},
		{"shorter", shorter, "LOG_OLD_GENERATION", false, false},
		{"longer, after trust-log", longer, "LOG_OLD_GENERATION", false, true},
		{"shorter, after trust-log", shorter, "LOG_OLD_GENERATION", false, true},
		{"named by another log of the name", longer, "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			noError(t, os.WriteFile(x.Path("auditor.json"), memory, 0o600))
			if c.operator {
				noError(t, os.Remove(x.Path("auditor.json")))
			}
			a := audits(t, x, first...)
			if c.operator {
				_, err := a.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{Checkpoint: trusted})
				noError(t, err)
			}
			if c.another {
				x.ForkGeneration(went)
			}
			seen, err := a.Log().Verify(c.end)
			noError(t, err)
			err = a.Log().Given(t.Context(), nil, seen)
			if s, _ := a.Log().GetLogs(t.Context(), &localv1.GetLogsRequest{}); fault.From(err).Reason != "LOG_STOPPED" || c.reason != "" && s.GetStop().GetReason() != c.reason {
				t.Errorf("%v, stopped for %v", err, s.GetStop())
			}
		})
	}
}

// TestAnOpeningThatIsNone: in place of the first event of the new log the hub shows none, or another event.
func TestAnOpeningThatIsNone(t *testing.T) {
	x := testkit.NewExchange(t)
	id := shared(x)
	first := []string{x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received)}
	x.NewGeneration()
	other := shared(x)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	a := audits(t, x, first...)
	receipt, err := a.GetProof(t.Context(), &localv1.GetProofRequest{Id: other})
	noError(t, err)
	noError(t, a.list(t))
	memory, err := os.ReadFile(x.Path("auditor.json"))
	noError(t, err)
	for name, opening := range map[string]*posternv1.Receipt{"none": nil, "another event": receipt.GetReceipt()} {
		t.Run(name, func(t *testing.T) {
			noError(t, os.WriteFile(x.Path("auditor.json"), memory, 0o600))
			a := audits(t, x, first...)
			x.ToHub(testkit.AuditorPath).Answers(func(method string, b []byte) []byte {
				out := &posternv1.GetCheckpointResponse{}
				if !strings.HasSuffix(method, "/GetCheckpoint") || proto.Unmarshal(b, out) != nil {
					return b
				}
				out.Opening = opening
				b, err := proto.Marshal(out)
				noError(t, err)
				return b
			})
			defer x.ToHub(testkit.AuditorPath).Answers(nil)
			if _, err := a.GetEvent(t.Context(), &localv1.GetEventRequest{Id: id}); fault.From(err).Reason != "LOG_STOPPED" {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAHubThatHasTheEndDoesNotSayItIsLost: the hub exports an old log no further than the folder has it, and says that
// there is no more. What it shows of the end tells.
func TestAHubThatHasTheEndDoesNotSayItIsLost(t *testing.T) {
	for name, says := range map[string]error{"less": fault.New(fault.Precondition, "LOG_AHEAD", "You know more."), "nothing": fault.New(fault.NotFound, "NOT_FOUND", "There is nothing here by that name.")} {
		t.Run(name, func(t *testing.T) {
			x := testkit.NewExchange(t)
			shared(x)
			a, dir := audits(t, x), t.TempDir()
			a.exports(t, dir)
			shared(x)
			x.NewGeneration()
			a = audits(t, x, a.keys...)
			x.ToHub(testkit.AuditorPath).CarryStreams(func(_ string, request []byte, open func() (func() ([]byte, error), func())) (func() ([]byte, error), func(), error) {
				req := &posternv1.ExportLogRequest{}
				noError(t, proto.Unmarshal(request, req))
				if _, n := verify.Generation(req.GetOrigin()); n == 1 {
					return func() ([]byte, error) { return nil, says }, func() {}, nil
				}
				next, stop := open()
				return next, stop, nil
			})
			err := a.Export(&localv1.ExportRequest{Directory: dir}, told{ctx: t.Context()})
			if fault.From(err).Reason != "EXPORT_WITHHELD" {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAnExportFromAnOlderCopyStopsTheAuditor: it is about the log that goes on, whatever log it was asked for.
func TestAnExportFromAnOlderCopyStopsTheAuditor(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	first := []string{x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received)}
	x.NewGeneration()
	copied := x.CopyHub()
	shared(x)
	a, dir := audits(t, x, first...), t.TempDir()
	a.exports(t, dir)
	x.RestoreHub(copied)
	err := a.Export(&localv1.ExportRequest{Directory: dir}, told{ctx: t.Context()})
	if fault.From(err).Reason != "LOG_STOPPED" {
		t.Errorf("%v", err)
	}
}
