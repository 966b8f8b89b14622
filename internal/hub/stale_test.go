package hub_test

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/directory"
	"postern/internal/engine"
	"postern/internal/form/formtest"
	"postern/internal/hub"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/testkit"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// without is the register in which Bristol's agreement leaves out some sections.
func without(patterns ...string) testkit.Register {
	var left []string
	for _, s := range section.All() {
		if !slices.Contains(patterns, s.Pattern) {
			left = append(left, s.Pattern)
		}
	}
	return testkit.Register{Sections: map[string][]string{testkit.Bristol: left}}
}

// bundleWith is the built-in policy with a piece of its data.json changed: another revision.
func bundleWith(t *testing.T, old, replacement string) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(policy.Bundle, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(policy.Bundle, path)
		if path == "data.json" {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("%q is not in data.json", old)
			}
			b = bytes.Replace(b, []byte(old), []byte(replacement), 1)
		}
		out[path] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decisions are the decided leaves of what HMP Bristol sent, oldest first.
func (w *world) decisions() (all []*posternv1.Decision, follows [][]byte) {
	w.t.Helper()
	for _, e := range w.events(logv1.Kind_KIND_DECIDED) {
		all, follows = append(all, e.Details.GetDecision()), append(follows, e.Core.GetFollowsEvent())
	}
	return all, follows
}

// again are the decisions that HMP Bristol was told of, each proven by its receipt.
func (w *world) again() (all []*posternv1.Decision) {
	w.t.Helper()
	for _, u := range w.updates(testkit.HMPBristol) {
		if u.GetDecision() == nil {
			continue
		}
		event := must(verify.Receipt(u.GetReceipt(), w.LogKeys()))(w.t)
		if event.Kind != logv1.Kind_KIND_DECIDED || event.Core.GetOutcome() != u.GetDecision().GetOutcome() {
			w.t.Fatalf("told %v with the receipt of %v", u.GetDecision(), event)
		}
		all = append(all, u.GetDecision())
	}
	return all
}

// An agreement that got narrower while a notification waited: what goes is what may go now, on a decision of its own,
// and the desk hears it with a receipt.
func TestWhatWaitsIsDecidedAgainAndNarrower(t *testing.T) {
	w := newWorld(t)
	d := w.Desk(testkit.HMPBristol)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	must(d.StepSpool(t.Context()))(t)
	before := d.Get(id).GetNotification().GetDecision()
	w.LoadDirectory(2, without("child/{n}/phone", "parent/custody"))
	w.Settle()

	items := w.Inbox(testkit.Bristol).Items()
	if len(items) != 1 || slices.Contains(items[0].GetPaths(), "child/1/phone") || slices.Contains(items[0].GetPaths(), "parent/custody") ||
		len(items[0].GetPaths()) != len(before.GetPaths())-2 {
		t.Fatalf("the team sees %v", items)
	}
	decisions, follows := w.decisions()
	first := w.events(logv1.Kind_KIND_DECIDED)[0].Leaf.EventID
	if len(decisions) != 2 || !bytes.Equal(follows[1], first[:]) || len(w.again()) != 1 {
		t.Fatalf("%d decisions, the second after %x; the desk is told of %d", len(decisions), follows[1], len(w.again()))
	}
	if n := d.Get(id).GetNotification(); n.GetState() != localv1.State_STATE_DELIVERED || len(n.GetDecision().GetPaths()) != len(before.GetPaths())-2 {
		t.Errorf("the desk shows %v", n)
	}
}

// loadEntries loads the directory with other entries.
func (w *world) loadEntries(number uint64, edit func([]*posternv1.DirectoryEntry) []*posternv1.DirectoryEntry) {
	w.t.Helper()
	req, r := w.Revision(number, testkit.Register{}), &posternv1.DirectoryRevision{}
	if err := proto.Unmarshal(req.GetRevision().GetPayload(), r); err != nil {
		w.t.Fatal(err)
	}
	var all []*posternv1.DirectoryEntry
	for _, b := range req.GetEntries() {
		e := &posternv1.DirectoryEntry{}
		if err := proto.Unmarshal(b, e); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, e)
	}
	r.EntriesSha256, req.Entries = nil, nil
	for _, e := range edit(all) {
		b := must(proto.Marshal(e))(w.t)
		sum := sha256.Sum256(b)
		r.EntriesSha256, req.Entries = append(r.EntriesSha256, sum[:]), append(req.Entries, b)
	}
	req.Revision = must(directory.Sign(w.Identity("/operator/main"), r))(w.t)
	must(w.Hub.LoadDirectory(w.t.Context(), req))(w.t)
}

// successor is a next version of Bristol's agreement, which begins in a day and leaves out child/{n}/phone.
func (w *world) successor() *posternv1.DirectoryEntry {
	w.t.Helper()
	date := func(days int) string { return w.Clock.Now().AddDate(0, 0, days).Format(time.DateOnly) }
	signed := must(directory.NewAgreement(&posternv1.DataSharingAgreement{
		Id: "test-bristol-2", Version: 2, Prisons: []string{testkit.HMPBristol}, Authorities: []string{testkit.Bristol}, Sections: without("child/{n}/phone").Sections[testkit.Bristol],
		StartDate: date(1), EndDate: date(400), ReviewDate: date(200), ContentDays: 14, DecisionYears: 6,
	}))(w.t)
	for _, p := range []string{"/prison/BLI/desk", "/authority/" + testkit.Bristol + "/inbox"} {
		if err := directory.SignAgreement(signed, w.Identity(p)); err != nil {
			w.t.Fatal(err)
		}
	}
	return &posternv1.DirectoryEntry{Entry: &posternv1.DirectoryEntry_Agreement{Agreement: signed}}
}

// The directory has a narrower version of an agreement that begins tomorrow, as renewals are signed. What waits and is sent
// tomorrow is what may be shared tomorrow, though no revision of anything has changed since.
func TestTheAgreementOfTheDayOfSendingCounts(t *testing.T) {
	for name, wait := range map[string]time.Duration{"today": time.Hour, "tomorrow": 20 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.loadEntries(2, func(all []*posternv1.DirectoryEntry) []*posternv1.DirectoryEntry { return append(all, w.successor()) })
			answer, _ := w.decided(w.shareable())
			midnight := testkit.Now.Truncate(24*time.Hour).AddDate(0, 0, 1) // in November London's is that of UTC
			if until := answer.GetDecision().GetValidUntilTime().AsTime(); !until.Equal(midnight) {
				t.Errorf("it holds until %v", until)
			}
			w.Clock.Advance(wait)
			w.settle()
			items := w.Inbox(testkit.Bristol).Items()
			if len(items) != 1 || slices.Contains(items[0].GetPaths(), "child/1/phone") != (name == "today") {
				t.Errorf("the team sees %v", items)
			}
		})
	}
}

// An authority's entry in the directory ends today. What waits is not sent to it tomorrow.
func TestTheEntryOfTheDayOfSendingCounts(t *testing.T) {
	w := newWorld(t)
	w.loadEntries(2, func(all []*posternv1.DirectoryEntry) []*posternv1.DirectoryEntry {
		for _, e := range all {
			if a := e.GetAuthority(); a.GetCode() == testkit.Bristol {
				a.EndDate = testkit.Now.Format(time.DateOnly)
			}
		}
		return all
	})
	w.decided(w.shareable())
	w.Clock.Advance(20 * time.Hour)
	w.settle()
	if items := w.Inbox(testkit.Bristol).Items(); len(items) != 0 || w.waiting() != 0 {
		t.Errorf("the team sees %v; %d wait", items, w.waiting())
	}
}

// One that got wider, or a policy that is only another, releases nothing more than before.
func TestDecidedAgainIsNeverWider(t *testing.T) {
	for name, change := range map[string]func(*world){
		"the directory": func(w *world) { w.LoadDirectory(2, testkit.Register{}) },
		"the policy":    func(w *world) { w.LoadDirectory(2, testkit.Register{}); w.otherPolicy() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *testkit.Config) { c.Register = without("child/{n}/phone") })
			answer, _ := w.decided(w.shareable())
			change(w)
			w.Settle()
			decisions, _ := w.decisions()
			items := w.Inbox(testkit.Bristol).Items()
			if len(decisions) != 2 || len(items) != 1 || !slices.Equal(decisions[1].GetPaths(), answer.GetDecision().GetPaths()) || len(items[0].GetPaths()) != len(answer.GetDecision().GetPaths()) {
				t.Errorf("%d decisions, the team sees %v", len(decisions), items)
			}
		})
	}
}

// otherPolicy restarts the hub with another policy bundle.
func (w *world) otherPolicy() {
	w.t.Helper()
	e := must(engine.New(w.t.Context(), engine.Config{Bundle: bundleWith(w.t, `"due_hour": 17`, `"due_hour": 16`), Timeout: 20 * time.Second, Log: w.Log.Logger()}))(w.t)
	w.ChangeHub(func(c *hub.Config) { c.Engine = e })
	w.RestartHub()
}

func TestADecisionWhoseTimeIsOverIsMadeAgain(t *testing.T) {
	short := bundleWith(t, `"decision_valid_hours": 168`, `"decision_valid_hours": 1`)
	e := must(engine.New(t.Context(), engine.Config{Bundle: short, Timeout: 20 * time.Second}))(t)
	w := newWorld(t, func(c *testkit.Config) { c.Hub = func(h *hub.Config) { h.Engine = e } })
	w.decided(w.shareable())
	w.Clock.Advance(90 * time.Minute)
	w.Settle()
	decisions, _ := w.decisions()
	if items := w.Inbox(testkit.Bristol).Items(); len(items) != 1 || len(decisions) != 2 || len(w.again()) != 1 {
		t.Errorf("%d decisions, the team sees %v", len(decisions), items)
	}
}

// The decision holds when the send begins and has run out when it arrives. The inbox refuses it, and the family is not
// given up for that.
func TestADecisionThatRunsOutOnTheWayIsMadeAgain(t *testing.T) {
	short := bundleWith(t, `"decision_valid_hours": 168`, `"decision_valid_hours": 1`)
	e := must(engine.New(t.Context(), engine.Config{Bundle: short, Timeout: 20 * time.Second}))(t)
	w := newWorld(t, func(c *testkit.Config) { c.Hub = func(h *hub.Config) { h.Engine = e } })
	w.decided(w.shareable())
	late := true
	w.Inbox(testkit.Bristol).Link.Requests(func(_ string, b []byte) []byte {
		if late {
			late = false
			w.Clock.Advance(90 * time.Minute)
		}
		return b
	})
	w.Settle()
	decisions, _ := w.decisions()
	if items := w.Inbox(testkit.Bristol).Items(); late || len(items) != 1 || len(decisions) != 2 || len(w.again()) != 1 {
		t.Errorf("%d decisions, the team sees %v", len(decisions), items)
	}
	if refused := w.events(logv1.Kind_KIND_DELIVERY_REFUSED); len(refused) != 0 {
		t.Errorf("%d refusals are recorded", len(refused))
	}
}

// The permission ends while it waits: before a send began nothing of it goes, and it is deleted; after that nobody knows whether
// the team has it, and the desk hears so.
func TestThePermissionEndsWhileItWaits(t *testing.T) {
	for begun, want := range map[bool][]localv1.State{
		false: {localv1.State_STATE_WAITING, localv1.State_STATE_WITHHELD, localv1.State_STATE_REFERRED}, // as the policy says
		true:  {localv1.State_STATE_UNDELIVERED},
	} {
		w := newWorld(t)
		d := w.Desk(testkit.HMPBristol)
		f := formtest.New(testkit.Bristol)
		f.Consent.ExpireTime = timestamppb.New(testkit.Now.Add(2 * time.Hour))
		id := d.Take(f)[0]
		must(d.StepSpool(t.Context()))(t)
		if begun {
			w.try()
		}
		w.Clock.Advance(3 * time.Hour)
		w.Settle()
		if n := d.Get(id).GetNotification(); !slices.Contains(want, n.GetState()) || n.GetDecision().GetOutcome() == share {
			t.Errorf("begun %v: the desk shows %v %v", begun, n.GetState(), n.GetDecision())
		}
		if len(w.Inbox(testkit.Bristol).Items()) != 0 || w.waiting() != 0 || w.rows(schema.HubOutboxBody) != 0 || w.rows(schema.HubParked) != 0 {
			t.Errorf("begun %v: something went, or is still there", begun)
		}
		if undelivered := len(w.events(logv1.Kind_KIND_UNDELIVERED)); (undelivered == 1) != begun {
			t.Errorf("begun %v: %d leaves undelivered", begun, undelivered)
		}
	}
}

// Whenever the permission ends while a notification is decided again and sent: it is with the team, and the desk knows, or it
// is not, and the desk is told something else than that it goes.
func TestThePermissionEndsBetweenAnyTwoReadingsOfASend(t *testing.T) {
	for n := 1; ; n++ {
		var id string
		w, happened := between(t, n, func(w *world) {
			d := w.Desk(testkit.HMPBristol)
			f := formtest.New(testkit.Bristol)
			f.Consent.ExpireTime = timestamppb.New(testkit.Now.Add(2 * time.Hour))
			id = d.Take(f)[0]
			must(d.StepSpool(t.Context()))(t)
			w.LoadDirectory(2, without("child/{n}/phone"))
			w.prepare()
			must(w.Hub.StepDelivery(t.Context()))(t)
		}, func(w *world) { w.Clock.Advance(3 * time.Hour) })
		w.Settle()
		want := []localv1.State{localv1.State_STATE_WAITING, localv1.State_STATE_WITHHELD, localv1.State_STATE_REFERRED, localv1.State_STATE_UNDELIVERED}
		if len(w.Inbox(testkit.Bristol).Items()) > 0 {
			want = []localv1.State{localv1.State_STATE_DELIVERED}
		}
		if shown := w.Desk(testkit.HMPBristol).Get(id).GetNotification(); !slices.Contains(want, shown.GetState()) || w.waiting() != 0 {
			t.Errorf("after reading %d: the desk shows %v, want one of %v; %d wait", n, shown.GetState(), want, w.waiting())
		}
		if !happened {
			if n < 3 {
				t.Fatalf("only %d readings", n)
			}
			return
		}
	}
}

// Whenever a directory comes into force while a notification is submitted and sent: what goes rests on the directory
// that was in force when its send began.
func TestADirectoryBetweenAnyTwoReadingsOfASend(t *testing.T) {
	for n := 1; ; n++ {
		w, happened := between(t, n, func(w *world) {
			m := w.shareable()
			w.prepare()
			w.decided(m)
			must(w.Hub.StepDelivery(t.Context()))(t)
		}, func(w *world) { w.LoadDirectory(2, without("child/{n}/phone")) })
		w.Settle()
		items := w.Inbox(testkit.Bristol).Items()
		events := w.events(logv1.Kind_KIND_DECIDED)
		last := events[len(events)-1].Details
		if len(items) != 1 || len(items[0].GetPaths()) != len(last.GetDecision().GetPaths()) ||
			slices.Contains(items[0].GetPaths(), "child/1/phone") == (last.GetDirectoryRevision() == 2) {
			t.Fatalf("after reading %d: the team sees %v, decided on directory %d", n, items, last.GetDirectoryRevision())
		}
		if !happened {
			if n < 3 {
				t.Fatalf("only %d readings", n)
			}
			return
		}
	}
}

// Whatever agreements come and go and however often a send begins and fails: a decision made again names no path that
// the one before it did not, and nothing is shown that the newest decision does not name.
func TestDecisionsOnlyNarrow(t *testing.T) {
	patterns := []string{"child/{n}/phone", "child/{n}/school", "parent/custody", "parent/birth"}
	w := newWorld(t)
	number := uint64(1)
	rapid.Check(t, func(rt *rapid.T) {
		m := w.shareable()
		w.decided(m)
		for _, left := range rapid.SliceOfN(rapid.SliceOfDistinct(rapid.SampledFrom(patterns), rapid.ID[string]), 1, 3).Draw(rt, "left out") {
			number++
			w.LoadDirectory(number, without(left...))
			if rapid.Bool().Draw(rt, "try") {
				w.try()
			}
			w.Clock.Advance(time.Minute)
		}
		w.settle()
		var decisions []*posternv1.Decision
		for _, e := range w.events(logv1.Kind_KIND_DECIDED) {
			if e.Details.GetNotificationId() == idOf(t, m) {
				decisions = append(decisions, e.Details.GetDecision())
			}
		}
		for i := 1; i < len(decisions); i++ {
			for _, p := range decisions[i].GetPaths() {
				if !slices.Contains(decisions[i-1].GetPaths(), p) {
					rt.Fatalf("decision %d releases %s, the one before did not", i, p)
				}
			}
		}
		items := w.Inbox(testkit.Bristol).Items()
		shown := slices.IndexFunc(items, func(i *localv1.Item) bool { return i.GetId() == idOf(t, m) })
		if shown < 0 || len(decisions) < 2 || len(items[shown].GetPaths()) != len(decisions[len(decisions)-1].GetPaths()) {
			rt.Fatalf("%d decisions, the team sees %v", len(decisions), shown)
		}
	})
}

// disowned is a world in which a notification of HMP Bristol waits, and forsake takes out of the hub's anchors the
// certificate authority that vouched for its desk; regret puts it back.
func disowned(t *testing.T, edits ...func(*testkit.Config)) (w *world, id string, forsake, regret func()) {
	t.Helper()
	old := t.TempDir()
	if err := ca.Init(old, ca.Config{Domain: testkit.Domain, Now: testkit.Now.AddDate(0, -1, 0)}); err != nil {
		t.Fatal(err)
	}
	issue := ca.IssueConfig{OutCert: filepath.Join(old, "d.pem"), OutKey: filepath.Join(old, "d-key.pem"), Now: testkit.Now.AddDate(0, -1, 0), Days: 400}
	if err := ca.Issue(old, "spiffe://"+testkit.Domain+"/prison/BLI/desk", issue); err != nil {
		t.Fatal(err)
	}
	desk := must(identity.Load(issue.OutCert, issue.OutKey))(t)
	w = newWorld(t, append(edits, func(c *testkit.Config) {
		c.IdentityOf = func(path string) *identity.Identity {
			if path == "/prison/BLI/desk" {
				return desk
			}
			return nil
		}
	})...)
	pem := w.Papers("/hub/main").Anchors
	anchors := func(more []byte) *identity.Anchors {
		return must(identity.NewAnchors(identity.AnchorConfig{Domain: testkit.Domain, Prison: append(slices.Clone(pem["prison"]), more...),
			Authority: pem["authority"], Hub: pem["hub"], Auditor: pem["auditor"]}))(t)
	}
	without, with := anchors(nil), anchors(must(os.ReadFile(filepath.Join(old, "prison", "ca.pem")))(t))
	restart := func(a *identity.Anchors) func() {
		return func() {
			w.ChangeHub(func(c *hub.Config) { c.Anchors = a })
			w.RestartHub()
		}
	}
	forsake, regret = restart(without), restart(with)
	w.Inbox(testkit.Bristol).Trust(with)
	regret()
	d := w.Desk(testkit.HMPBristol)
	id = d.Take(formtest.New(testkit.Bristol))[0]
	must(d.StepSpool(t.Context()))(t)
	if d.State(id) != localv1.State_STATE_ACCEPTED {
		t.Fatalf("state %v", d.State(id))
	}
	return w, id, forsake, regret
}

// One that cannot be decided again, since nobody vouches for its desk's certificate any more, holds up no other of its
// line, whether the inbox is sent to or collects. It is not given up for what may come back: then it goes too.
func TestOneThatCannotBeDecidedAgainHoldsUpNoOther(t *testing.T) {
	for name, collect := range map[string][]string{"sent to": nil, "collects": {testkit.Bristol}} {
		t.Run(name, func(t *testing.T) {
			r := testkit.Register{Collect: collect}
			w, stuck, forsake, regret := disowned(t, func(c *testkit.Config) { c.Register = r })
			forsake()
			w.LoadDirectory(2, r)
			other := w.Seal(testkit.HMPParc, formtest.New(testkit.Bristol))[0]
			must(w.submit(testkit.HMPParc, other))(t)
			for range 20 {
				w.Clock.Advance(2 * testkit.MaxWait)
				w.settle()
			}
			if w.item(idOf(t, other)) == nil || w.item(stuck) != nil || w.waiting() != 1 || w.rows(schema.HubParked) != 0 {
				t.Fatalf("the team has the other's %v, its own %v; %d wait, %d are given up", w.item(idOf(t, other)), w.item(stuck), w.waiting(), w.rows(schema.HubParked))
			}
			regret()
			w.Clock.Advance(2 * testkit.MaxWait)
			w.settle()
			if w.item(stuck) == nil {
				t.Error("it does not go, now that its desk is vouched for again")
			}
		})
	}
}
