package auditor_test

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/auditor"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// TestACheckpointOfBeforeTheEndIsCompared: a desk that was off saw less of a log than it had when it ended. Its checkpoint
// holds, and one of another tree of that size does not, nor one of more than the end. Of a log that is lost neither is said.
func TestACheckpointOfBeforeTheEndIsCompared(t *testing.T) {
	for name, c := range map[string]struct {
		lost   bool
		reason string // why it could not be found out
		stops  bool
		of     func(x *testkit.Exchange) string // the checkpoint, of a hub that goes back to where it was
	}{
		"before the end": {},
		"another tree":   {stops: true, of: func(x *testkit.Exchange) string { shared(x); return head(x) }},
		"more": {stops: true, of: func(x *testkit.Exchange) string {
			for range 4 {
				shared(x)
			}
			return head(x)
		}},
		"of a lost log": {lost: true, reason: "LOG_LOST"},
	} {
		t.Run(name, func(t *testing.T) {
			x := testkit.NewExchange(t)
			shared(x)
			seen := head(x)
			copied := x.CopyHub()
			if c.of != nil {
				seen = c.of(x)
				x.RestoreHub(copied)
			}
			for range 2 { // not as the other tree went on
				x.Clock.Advance(testkit.MaxWait)
				shared(x)
			}
			a := audits(t, x)
			noError(t, a.list(t))
			if c.lost {
				x.LoseHub()
			} else {
				x.NewGeneration()
			}
			a = audits(t, x, a.keys...)
			noError(t, a.list(t))
			all, err := a.Compare(as(t, "one"), "the desk at BLI", seen)
			if fault.From(err).Reason != c.reason && (err != nil || c.reason != "") || (a.Log().Stopped() != nil) != c.stops {
				t.Fatalf("%v, stopped: %v", err, a.Log().Stopped())
			}
			if c.reason == "" && (len(all) != 1 || all[0].Holds == c.stops) {
				t.Errorf("compared %+v", all)
			}
		})
	}
}

func head(x *testkit.Exchange) string {
	_, _, checkpoint := x.Ledger.Head(ledger.Sent)
	return checkpoint
}

// TestTwoGenerationsWhileAway: the newest log names the end of the one before it, and that one what the auditor knows. An
// auditor who was away follows, and stops when the hub shows another one in between, or none.
func TestTwoGenerationsWhileAway(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	a, dir := audits(t, x), t.TempDir()
	a.exports(t, dir)
	memory, err := os.ReadFile(x.Path("auditor.json"))
	noError(t, err)
	x.NewGeneration()
	keys := append(a.keys, x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received))
	_, _, earlier := x.Ledger.Head(ledger.Received)
	shared(x)
	x.NewGeneration()
	link := x.ToHub(testkit.AuditorPath)
	between := func(change func(*posternv1.GetCheckpointResponse)) func(string, []byte) []byte {
		return func(method string, b []byte) []byte {
			out := &posternv1.GetCheckpointResponse{}
			if !strings.HasSuffix(method, "/GetCheckpoint") || proto.Unmarshal(b, out) != nil {
				return b
			}
			if h, err := verify.ReadHead(out.GetCheckpoint()); err != nil || !strings.HasSuffix(h.Origin, "/2") {
				return b
			}
			change(out)
			b, err := proto.Marshal(out)
			noError(t, err)
			return b
		}
	}
	for name, change := range map[string]func(*posternv1.GetCheckpointResponse){
		"an earlier end": func(r *posternv1.GetCheckpointResponse) { r.Checkpoint = earlier },
		"no beginning":   func(r *posternv1.GetCheckpointResponse) { r.Opening = nil },
		"no proof":       func(r *posternv1.GetCheckpointResponse) { r.Ended = nil },
	} {
		noError(t, os.WriteFile(x.Path("auditor.json"), memory, 0o600))
		a = audits(t, x, keys...)
		link.Answers(between(change))
		if err := a.list(t); fault.From(err).Reason != "LOG_STOPPED" {
			t.Errorf("with %s: %v", name, err)
		}
	}
	link.Answers(nil)
	noError(t, os.WriteFile(x.Path("auditor.json"), memory, 0o600))
	a = audits(t, x, keys...)
	link.Carry(func(method string, _ []byte, deliver func() ([]byte, error)) ([]byte, error) {
		b, err := deliver()
		if err == nil && string(between(func(r *posternv1.GetCheckpointResponse) { r.Checkpoint = "" })(method, b)) != string(b) {
			return nil, fault.New(fault.Unavailable, "CUT_OFF", "The connection broke.")
		}
		return b, err
	})
	if err := a.list(t); fault.From(err).Reason != "CUT_OFF" || a.Log().Stopped() != nil {
		t.Errorf("cut off: %v", err)
	}
	link.Carry(nil)
	if r := a.exports(t, dir); len(r.Logs) != 6 {
		t.Errorf("exported: %v", sizes(r))
	}
}

// TestAHubThatDeniesALogIsNotTrustedAgain: it proves the log that the stop was about, and says that there is no other.
func TestAHubThatDeniesALogIsNotTrustedAgain(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	a := audits(t, x)
	a.exports(t, t.TempDir())
	copied := x.CopyHub()
	shared(x)
	a.exports(t, t.TempDir())
	now := x.CopyHub()
	x.RestoreHub(copied)
	if err := a.list(t); fault.From(err).Reason != "LOG_STOPPED" {
		t.Fatalf("not stopped: %v", err)
	}
	x.RestoreHub(now)
	again := func() error {
		_, err := a.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{})
		return err
	}
	for _, g := range []ledger.Log{ledger.Sent, ledger.Received} {
		x.ToHub(testkit.AuditorPath).Requests(func(method string, b []byte) []byte {
			req := &posternv1.GetCheckpointRequest{}
			if strings.HasSuffix(method, "/GetCheckpoint") && proto.Unmarshal(b, req) == nil && req.GetOrigin() == x.Ledger.Origin(g) {
				req.Origin = "none"
				b, _ = proto.Marshal(req)
			}
			return b
		})
		if err := again(); fault.From(err).Reason != "LOG_UNPROVEN" || a.Log().Stopped() == nil {
			t.Errorf("without the %v log: %v", g, err)
		}
	}
	x.ToHub(testkit.AuditorPath).Requests(nil)
	noError(t, again())
	noError(t, a.list(t))
}

// TestAVisitOfBeforeTrustLog: the operator names a checkpoint below what somebody saw on their last visit. Their next visit
// says that the log does not go on from that, and stops nobody.
func TestAVisitOfBeforeTrustLog(t *testing.T) {
	x, _ := audited(t)
	copied := x.CopyHub()
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Settle()
	a := x.Auditor()
	noError(t, listed(a, t))
	if all, err := a.Integrity(as(t, "one")); err != nil || len(all) == 0 || all[0].Fault != "" {
		t.Fatalf("%+v, %v", all, err)
	}
	x.RestoreHub(copied)
	for _, g := range []ledger.Log{ledger.Sent, ledger.Received} {
		_, _, checkpoint := x.Ledger.Head(g)
		_, err := a.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{Checkpoint: checkpoint})
		noError(t, err)
	}
	all, err := a.Integrity(as(t, "one"))
	noError(t, a.Log().Stopped())
	if err != nil || len(all) == 0 || all[0].Fault == "" || all[0].Now.Size >= all[0].Then.Size || all[0].Signed == "" {
		t.Errorf("%+v, %v", all, err)
	}
}

func listed(a *auditor.Auditor, t *testing.T) error {
	_, err := a.ListEvents(t.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{}})
	return err
}
