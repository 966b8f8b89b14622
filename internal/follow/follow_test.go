package follow_test

import (
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
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

// stopped requires that a party has stopped for a reason, and how many times its words name the telephone.
func stopped(t *testing.T, err error, logs *localv1.GetLogsResponse, reason string) {
	t.Helper()
	if fault.From(err).Reason != "LOG_STOPPED" || !strings.Contains(err.Error(), "01632 960109") {
		t.Fatalf("not stopped: %v", err)
	}
	if s := logs.GetStop(); s.GetReason() != reason || s.GetRemembered() == "" || s.GetStopTime() == nil || s.GetPhone() == "" {
		t.Fatalf("stopped for %v, want %s", s, reason)
	}
}

// TestPartiesRemember: every exchange moves what each party knows of the logs, and it outlives a restart.
func TestPartiesRemember(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	var before uint64
	for range 3 {
		shared(x)
		size, _, checkpoint := x.Ledger.Head(ledger.Sent)
		for name, logs := range map[string]*localv1.GetLogsResponse{"desk": d.Logs(), "inbox": in.Logs()} {
			l := logs.GetLogs()[len(logs.GetLogs())-1] // the sent log is the last by name
			if l.GetSize() != size || l.GetCheckpoint() != checkpoint || size <= before {
				t.Errorf("the %s knows %d of %d", name, l.GetSize(), size)
			}
		}
		if n := len(d.Logs().GetLogs()); n != 1 {
			t.Errorf("a desk follows %d logs", n)
		}
		before = size
		d.Restart()
		in.Restart()
	}
}

// TestEveryExchangeCarriesWhatIsKnown: each request says it, and each answer proves it, without a question of its own.
func TestEveryExchangeCarriesWhatIsKnown(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x) // the first contact has nothing to say
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	calls := map[string]int{}
	watch := func(l *testkit.Link) {
		l.Requests(func(method string, b []byte) []byte {
			name := method[strings.LastIndex(method, "/")+1:]
			calls[name]++
			switch name {
			case "Deliver", // turned round: the answer says it
				"GetPolicy", "ListKeys", "PublishKey", "Resume", "GetRedirect": // what they carry is signed by others than the hub, or says nothing of the log
				return b
			}
			if known := knownLogs(t, name, b); len(known) == 0 {
				t.Errorf("%s says nothing of what is known", name)
			}
			return b
		})
	}
	watch(d.Link)
	watch(in.ToHub)
	shared(x)
	check(t, step(d.StepDirectory(t.Context())))
	shared(x)
	refused := d.Take(formtest.Declined())[0]
	x.Settle()
	_, err := d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: refused, Reasons: "The family is known and helped.",
		Codes: &posternv1.Consideration{Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES}})
	check(t, err)
	_, err = d.Counter.SendReceptions(t.Context(), &localv1.SendReceptionsRequest{Csv: []byte("date,received\n2026-11-21,4\n")})
	check(t, err)
	if calls["Submit"] == 0 || calls["ListUpdates"] == 0 || calls["ListAuthorities"] == 0 {
		t.Errorf("calls: %v", calls)
	}
	// A delivery carries its proofs from what the inbox said with its last answer; so nobody had to ask.
	if calls["GetCheckpoint"] > 0 {
		t.Errorf("%d questions for what the answers should have proved", calls["GetCheckpoint"])
	}
	x.RestartHub() // forgets what inboxes said: the next delivery comes without, and the inbox asks
	in.Link.Requests(nil)
	shared(x)
	if calls["GetCheckpoint"] == 0 {
		t.Error("the inbox believed a delivery without a proof")
	}
}

// knownLogs reads the known_logs of any request, by their field name.
func knownLogs(t *testing.T, name string, b []byte) []*posternv1.KnownLog {
	t.Helper()
	requests := map[string]proto.Message{
		"Submit": &posternv1.SubmitRequest{}, "ListUpdates": &posternv1.ListUpdatesRequest{}, "ListAuthorities": &posternv1.ListAuthoritiesRequest{},
		"Report": &posternv1.ReportRequest{}, "GetCheckpoint": &posternv1.GetCheckpointRequest{},
		"ListEvents": &posternv1.ListEventsRequest{}, "GetEvent": &posternv1.GetEventRequest{}, "GetProof": &posternv1.GetProofRequest{},
	}
	m, ok := requests[name].(interface {
		proto.Message
		GetKnownLogs() []*posternv1.KnownLog
	})
	if !ok {
		t.Errorf("%s has no known_logs", name)
		return nil
	}
	check(t, proto.Unmarshal(b, m))
	return m.GetKnownLogs()
}

// TestAHubPutBack: the hub's database is an older copy, and no checkpoint file shows it. The parties do, and stay
// stopped over restarts, until an operator opens a new generation.
func TestAHubPutBack(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in, a := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol), x.Auditor()
	shared(x)
	copied := x.CopyHub()
	first := shared(x)
	_, err := a.ListEvents(t.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{}})
	check(t, err)
	x.RestoreHub(copied)

	// The desk: the form is taken and kept, and nothing goes to this hub or comes from it.
	id := d.Take(formtest.New(testkit.Bristol))[0]
	size, _, _ := x.Ledger.Head(ledger.Sent)
	_, err = d.StepSpool(t.Context())
	stopped(t, err, d.Logs(), "LOG_SHORTER")
	if now, _, _ := x.Ledger.Head(ledger.Sent); now != size {
		t.Error("the hub recorded what it was sent by somebody who knows better")
	}
	for range 2 {
		d.Restart()
		calls := 0
		d.Link.Requests(func(_ string, b []byte) []byte { calls++; return b })
		for name, err := range map[string]error{"spool": step(d.StepSpool(t.Context())), "updates": step(d.StepUpdates(t.Context())), "directory": step(d.StepDirectory(t.Context()))} {
			if fault.From(err).Reason != "LOG_STOPPED" {
				t.Errorf("%s goes on after a restart: %v", name, err)
			}
		}
		d.Link.Requests(nil)
		if calls > 0 || d.State(id) != localv1.State_STATE_QUEUED {
			t.Errorf("%d calls to a hub that is not trusted; the form is %v", calls, d.State(id))
		}
	}
	// Asking the hub again does not help, and an inbox and an auditor stop in the same way.
	_, err = d.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{})
	if fault.From(err).Reason != "LOG_STOPPED" {
		t.Errorf("a hub that proves nothing is trusted again: %v", err)
	}
	x.Desk(testkit.HMPParc).Take(formtest.New(testkit.Bristol))
	x.Settle()
	stopped(t, in.Log().Stopped(), in.Logs(), "LOG_FORKED") // the other desk made up for what is missing
	in.Restart()
	if in.Log().Stopped() == nil {
		t.Error("an inbox goes on after a restart")
	}
	_, err = a.ListEvents(t.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{}})
	logs, _ := a.Log().GetLogs(t.Context(), &localv1.GetLogsRequest{})
	stopped(t, err, logs, "LOG_SHORTER")

	// A new generation that names what the desk knows: it follows by itself, once it has the key and is asked to look.
	known := d.Logs().GetLogs()[0].GetCheckpoint()
	x.NewGeneration(known)
	_, err = d.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{})
	check(t, err)
	_, err = in.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{}) // it had seen what the desk had
	check(t, err)
	// Nobody told the hub what the auditor knew of the received log, so its operator confirms, by telephone.
	a = x.Auditor()
	if _, err = a.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{}); fault.From(err).Reason != "LOG_STOPPED" {
		t.Errorf("the auditor: %v", err)
	}
	for _, l := range []ledger.Log{ledger.Sent, ledger.Received} {
		_, _, checkpoint := x.Ledger.Head(l)
		_, err = a.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{Checkpoint: checkpoint})
		check(t, err)
	}
	_, err = a.ListEvents(t.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{}})
	check(t, err)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if d.State(id) != localv1.State_STATE_DELIVERED || d.Log().Stopped() != nil || in.Log().Stopped() != nil {
		t.Errorf("after the new generation the form is %v; %v, %v", d.State(id), d.Log().Stopped(), in.Log().Stopped())
	}
	if d.State(first) != localv1.State_STATE_DELIVERED {
		t.Errorf("what was delivered before is %v", d.State(first))
	}
	if logs := d.Logs().GetLogs(); len(logs) != 2 || !logs[0].GetEnded() || logs[1].GetOrigin() != x.Ledger.Origin(ledger.Sent) {
		t.Errorf("the desk follows %v", logs)
	}
}

// TestWhatWaitedInACopyComesByAnEndedLog: a hub is put back, and what it sends first was decided in the log that has ended.
// An inbox that knows more of that log than there is left of it, or less, does not stop: it follows the new one, which names
// the end.
func TestWhatWaitedInACopyComesByAnEndedLog(t *testing.T) {
	for name, since := range map[string]int{"it knows more": 1, "it knows less": 0} {
		t.Run(name, func(t *testing.T) {
			x := testkit.NewExchange(t)
			d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
			shared(x)
			in.Link.Down(true)
			urgent := d.Take(formtest.Urgent(testkit.Bristol, 1))[0]
			check(t, step(d.StepSpool(t.Context())))
			copied := x.CopyHub()
			in.Link.Down(false)
			for range since {
				shared(x)
			}
			var known []string
			for _, l := range append(d.Logs().GetLogs(), in.Logs().GetLogs()...) {
				known = append(known, l.GetCheckpoint())
			}
			x.RestoreHub(copied)
			x.NewGeneration(known...)
			check(t, step(x.Hub.StepDelivery(t.Context())))
			if !slices.ContainsFunc(in.Items(), func(i *localv1.Item) bool { return i.GetId() == urgent }) || in.Log().Stopped() != nil {
				t.Errorf("the team does not see what is urgent: %v", in.Log().Stopped())
			}
		})
	}
}

// TestAForkedHub: an old copy went on by itself until it was longer than what a desk has seen.
func TestAForkedHub(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	shared(x)
	copied := x.CopyHub()
	shared(x)
	shared(x)
	x.RestoreHub(copied)
	for range 4 { // by another prison, whose desk has never called
		x.Desk(testkit.HMPParc).Take(formtest.New(testkit.Bristol))
		check(t, step(x.Desk(testkit.HMPParc).StepSpool(t.Context())))
	}
	_, err := d.StepUpdates(t.Context())
	stopped(t, err, d.Logs(), "CONSISTENCY_WRONG")
}

// TestASplitView: the hub shows one desk a tree of the same size as another's, signed as well.
func TestASplitView(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	copied := x.CopyHub()
	shared(x)
	size, _, one := x.Ledger.Head(ledger.Sent)
	x.RestoreHub(copied)
	for now := uint64(0); now != size; now, _, _ = x.Ledger.Head(ledger.Sent) {
		x.Desk(testkit.HMPParc).Take(formtest.New(testkit.Bristol))
		check(t, step(x.Desk(testkit.HMPParc).StepSpool(t.Context())))
	}
	_, err := d.StepUpdates(t.Context())
	stopped(t, err, d.Logs(), "LOG_FORKED")
	if s := d.Logs().GetStop(); s.GetRemembered() != one || s.GetShown() == one || s.GetShown() == "" {
		t.Errorf("the evidence is\n%s\n%s", s.GetRemembered(), s.GetShown())
	}
	// The control: the other desk has seen nothing else, and goes on.
	check(t, step(x.Desk(testkit.HMPParc).StepUpdates(t.Context())))
}

// While a log changes its key, an unchanged head is kept with both signatures as soon as the hub shows them, and not with
// fewer again: what a party has seen last others may verify with the next key alone.
func TestTheSecondSignatureOfAHeadIsKept(t *testing.T) {
	next, nextV, err := ledger.GenerateKey(rand.Reader, "exchange.postern.test/sent")
	check(t, err)
	changing := false
	x := testkit.NewExchange(t, func(c *testkit.Config) {
		c.Ledger = func(c *ledger.Config) {
			if changing {
				c.Keys.NextSent = next
			}
		}
	})
	keys, err := verify.NewKeys(x.Ledger.VerifierKey(ledger.Sent), nextV)
	check(t, err)
	cfg := follow.Config{Keys: keys, Memory: follow.InFile(x.Path("seen.json")), Clock: x.Clock.Now, Log: slog.New(slog.DiscardHandler)}
	f, err := follow.Open(t.Context(), cfg)
	check(t, err)
	shown := func() (checkpoint string) {
		_, _, checkpoint = x.Ledger.Head(ledger.Sent)
		return checkpoint
	}
	take := func(checkpoint string) {
		t.Helper()
		s, err := f.Verify(checkpoint)
		check(t, err)
		check(t, f.Given(t.Context(), nil, s))
	}
	one := shown()
	take(one)
	changing = true
	x.RestartHub()
	both := shown()
	take(both)
	take(one) // an answer that was under way
	f, err = follow.Open(t.Context(), cfg)
	check(t, err)
	known, err := f.GetLogs(t.Context(), nil)
	check(t, err)
	if kept := known.GetLogs()[0].GetCheckpoint(); kept != both || kept == one {
		t.Errorf("kept is\n%s", kept)
	}
}

// TestWhatOperatorsConfirm: an old checkpoint, one of nobody's, and one of a log that has ended.
func TestWhatOperatorsConfirm(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	shared(x)
	_, _, old := x.Ledger.Head(ledger.Sent)
	copied := x.CopyHub()
	shared(x)
	x.RestoreHub(copied)
	if _, err := d.StepUpdates(t.Context()); err == nil {
		t.Fatal("not stopped")
	}
	for name, checkpoint := range map[string]string{"nonsense": "nonsense", "changed": strings.Replace(old, "\n", "x\n", 1)} {
		if _, err := d.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{Checkpoint: checkpoint}); err == nil || d.Log().Stopped() == nil {
			t.Errorf("%s is trusted", name)
		}
	}
	out, err := d.Log().TrustLog(t.Context(), &localv1.TrustLogRequest{Checkpoint: old})
	check(t, err)
	if out.GetLogs()[0].GetCheckpoint() != old || d.Log().Stopped() != nil {
		t.Errorf("trusted: %v", out)
	}
	d.Restart()
	check(t, step(d.StepUpdates(t.Context())))
}

// TestEnrolment: what a party was given when it enrolled is what it holds the hub to at the first contact.
func TestEnrolment(t *testing.T) {
	x := testkit.NewExchange(t, func(c *testkit.Config) { c.NoDirectory = true })
	empty := x.CopyHub()
	x.LoadDirectory(1, testkit.Register{})
	_, _, enrolled := x.Ledger.Head(ledger.Sent)
	d := x.Desk(testkit.HMPBristol) // without it, the first that is seen is taken
	x.RestoreHub(empty)
	x.Enrol(enrolled)
	d.Restart()
	_, err := d.StepUpdates(t.Context())
	stopped(t, err, d.Logs(), "LOG_SHORTER")
}

func step(_ bool, err error) error { return err }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
