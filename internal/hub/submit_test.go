package hub_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestEverythingAgreedIsShared(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	answer, event := w.decided(n)
	want, got := offered(n), answer.GetDecision().GetPaths()
	slices.Sort(want)
	slices.Sort(got)
	if answer.GetDecision().GetOutcome() != share || !slices.Equal(want, got) {
		t.Fatalf("%v of %v", answer.GetDecision(), want)
	}
	var digests [][]byte
	for _, s := range n.GetSections() {
		digests = append(digests, envelope.SectionDigest(s))
	}
	slices.SortFunc(digests, bytes.Compare)
	if !slices.EqualFunc(event.Core.GetSectionsSha256(), digests, bytes.Equal) {
		t.Error("the core pins other sections than were released")
	}
	if w.waiting() != 1 {
		t.Errorf("%d deliveries wait", w.waiting())
	}
	w.Settle()
	if items := w.Inbox(testkit.Bristol).Items(); len(items) != 1 || w.waiting() != 0 {
		t.Errorf("the team has %v, %d wait", items, w.waiting())
	}
}

func TestOnlyWhatWasAgreedIsShared(t *testing.T) {
	minimum := []string{"parent/name", "child/{n}/identity", "child/{n}/home", "child/{n}/safety"}
	w := newWorld(t, func(c *testkit.Config) {
		c.Register.Sections = map[string][]string{testkit.Bristol: append([]string{"child/{n}/phone"}, minimum...)}
	})
	f := formtest.New(testkit.Bristol)
	f.Consent = formtest.Consent(1, append([]string{"parent/language"}, minimum...)...) // not phone; and language is not in the agreement
	answer, _ := w.decided(w.one(f))
	got := answer.GetDecision().GetPaths()
	slices.Sort(got)
	if want := []string{"child/1/home", "child/1/identity", "child/1/safety", "parent/name"}; !slices.Equal(got, want) {
		t.Errorf("released %v, want %v", got, want)
	}
	if !slices.Contains(rules(answer.GetDecision()), "agreement_sections") {
		t.Errorf("nobody is told of the agreement: %v", rules(answer.GetDecision()))
	}
	w.Settle()
	item := w.Inbox(testkit.Bristol).Items()[0]
	if slices.Sort(item.Paths); !slices.Equal(item.GetPaths(), got) {
		t.Errorf("the team sees %v", item.GetPaths())
	}
}

func TestWhatIsNotSharedIsReferredAndRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		prison    string
		form      *posternv1.Form
		directory bool
		rule      string
		does      posternv1.ObligationKind
	}{
		"no agreement":       {testkit.HMPBristol, formtest.New(testkit.Lancashire), true, "no_data_sharing_agreement", posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE},
		"not enrolled":       {testkit.HMPParc, formtest.New(testkit.Wrexham), true, "no_data_sharing_agreement", posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE},
		"the person said no": {testkit.HMPBristol, formtest.Declined(), true, "consent_declined", posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY},
		"unknown prison":     {testkit.HMPBerwyn, formtest.New(testkit.Bristol), true, "no_data_sharing_agreement", posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE},
		"no directory":       {testkit.HMPBristol, formtest.Declined(), false, "consent_declined", posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *testkit.Config) { cfg.NoDirectory = !c.directory })
			answer := must(w.submit(c.prison, w.Seal(c.prison, c.form)[0]))(t)
			d := answer.GetDecision()
			if d.GetOutcome() != refer || len(d.GetPaths()) > 0 || !slices.Contains(rules(d), c.rule) {
				t.Errorf("decided %v by %v", d.GetOutcome(), rules(d))
			}
			if !slices.ContainsFunc(d.GetObligations(), func(o *posternv1.Obligation) bool { return o.GetKind() == c.does }) {
				t.Errorf("nobody is told to do anything: %v", d.GetObligations())
			}
			event := must(verify.Receipt(answer.GetReceipt(), w.LogKeys()))(t)
			if event.Core.GetOutcome() != refer || len(event.Core.GetSectionsSha256()) > 0 || len(w.events(logv1.Kind_KIND_DECIDED)) != 1 {
				t.Errorf("recorded %v", event.Core)
			}
			if w.waiting() != 0 {
				t.Error("something waits in the outbox")
			}
		})
	}
}

func TestTheManualRouteNamesTheNumberOfThisHour(t *testing.T) {
	w := newWorld(t)
	phone := func() string {
		answer, _ := w.decided(w.one(formtest.New(testkit.Lancashire)))
		for _, o := range answer.GetDecision().GetObligations() {
			if o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE {
				return o.GetPhoneNumber()
			}
		}
		return ""
	}
	if got := phone(); got != "01632 960302" { // a Sunday
		t.Errorf("on a Sunday %q", got)
	}
	w.Clock.Advance(24 * 3600e9)
	if got := phone(); got != "01632 960301" {
		t.Errorf("on a Monday %q", got)
	}
}

func TestTheSameManifestAgainGetsTheSameAnswer(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	first, before := w.decided(n)
	w.decided(w.shareable()) // the log grows
	w.RestartHub()
	w.Clock.Advance(3600e9)
	second, after := w.decided(n)
	if before.EventID != after.EventID || !proto.Equal(first.GetDecision(), second.GetDecision()) {
		t.Error("another answer")
	}
	if after.Size <= before.Size || proto.Equal(first.GetReceipt(), second.GetReceipt()) {
		t.Errorf("the receipt was not cut again: size %d, then %d", before.Size, after.Size)
	}
	if got := len(w.events(logv1.Kind_KIND_DECIDED)); got != 2 || w.waiting() != 2 {
		t.Errorf("%d decisions, %d wait", got, w.waiting())
	}
}

func TestOneIDOneNotification(t *testing.T) {
	const id = "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b"
	named := func(d *envelope.Draft) { d.Manifest.NotificationId = id }
	t.Run("after a share", func(t *testing.T) {
		w := newWorld(t)
		w.decided(w.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), named)[0])
		_, err := w.submit(testkit.HMPBristol, w.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), named)[0])
		wantFault(t, err, fault.Exists, "ID_TAKEN")
		w.refusedAs("ID_TAKEN")
		if w.waiting() != 1 {
			t.Errorf("%d wait", w.waiting())
		}
	})
	t.Run("after a referral", func(t *testing.T) {
		w := newWorld(t)
		w.decided(w.Seal(testkit.HMPBristol, formtest.New(testkit.Lancashire), named)[0])
		again, _ := w.decided(w.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), named)[0])
		if again.GetDecision().GetOutcome() != share {
			t.Error(again.GetDecision())
		}
	})
	t.Run("of another desk", func(t *testing.T) {
		w := newWorld(t)
		w.decided(w.Seal(testkit.HMPBristol, formtest.New(testkit.Lancashire), named)[0])
		_, err := w.submit(testkit.HMPParc, w.Seal(testkit.HMPParc, formtest.New(testkit.Bristol), named)[0])
		wantFault(t, err, fault.Exists, "ID_TAKEN")
		w.refusedAs("ID_TAKEN")
	})
}

func TestManyAtOnceAreEachDecidedOnce(t *testing.T) {
	w := newWorld(t)
	const different, times = 16, 4
	var all []*posternv1.SealedNotification
	for range different {
		all = append(all, w.shareable())
	}
	type answer struct {
		n     int
		event [16]byte
		err   error
	}
	answers := make(chan answer, different*times)
	var wg sync.WaitGroup
	for i := range different * times {
		wg.Go(func() {
			got, err := w.submit(testkit.HMPBristol, all[i%different])
			a := answer{n: i % different, err: err}
			if err == nil {
				var e *verify.Event
				if e, a.err = verify.Receipt(got.GetReceipt(), w.LogKeys()); a.err == nil {
					a.event = e.EventID
				}
			}
			answers <- a
		})
	}
	wg.Wait()
	close(answers)
	events := map[int][16]byte{}
	for a := range answers {
		if a.err != nil {
			t.Fatal(a.err)
		}
		if e, ok := events[a.n]; ok && e != a.event {
			t.Errorf("notification %d has two decisions", a.n)
		}
		events[a.n] = a.event
	}
	if got := len(w.events(logv1.Kind_KIND_DECIDED)); got != different || w.waiting() != different {
		t.Errorf("%d decisions, %d wait, want %d", got, w.waiting(), different)
	}
}

// A decision made with a directory that is no longer the stored one is never recorded: the hub takes the stored one into
// use, as after a load whose caller's time ran out while it was written down, and decides again.
func TestADecisionWithAnOldDirectoryIsNotRecorded(t *testing.T) {
	w := newWorld(t)
	second := w.Revision(2, testkit.Register{})
	err := w.Ledger.Append(t.Context(), func(tx *ledger.Tx) error { // behind the hub's back: it still decides with number 1
		return directory.Save(tx, schema.HubDirectory, second.GetRevision(), second.GetEntries())
	})
	if err != nil {
		t.Fatal(err)
	}
	n := w.shareable()
	w.decided(n)
	got := w.events(logv1.Kind_KIND_DECIDED)
	if len(got) != 1 || got[0].Details.GetDirectoryRevision() != 2 {
		t.Errorf("%d decisions, the first with directory %d", len(got), got[0].Details.GetDirectoryRevision())
	}
}

// While directories change, every decision in the log rests on the directory that the log says was in force; and the
// hub is never left with an older one than is stored.
func TestDecisionsAndDirectoriesInterleave(t *testing.T) {
	w := newWorld(t)
	for round := range uint64(testkit.N(5, 200)) {
		var together []func()
		for i := range uint64(4) {
			revision, n := w.Revision(round*4+i+2, testkit.Register{}), w.shareable()
			together = append(together, func() {
				if _, err := w.Hub.LoadDirectory(t.Context(), revision); err != nil && fault.From(err).Reason != "DIRECTORY_NOT_NEWER" {
					t.Error(err)
				}
			}, func() {
				if _, err := w.submit(testkit.HMPBristol, n); err != nil && fault.From(err).Reason != "BUSY" {
					t.Error(err)
				}
			})
		}
		var wg sync.WaitGroup
		for _, do := range together {
			wg.Go(do)
		}
		wg.Wait()
		w.decided(w.shareable())
	}
	inForce := uint64(0)
	var sent []ledger.Logged
	for _, e := range w.events(0) {
		if e.Log == ledger.Sent {
			sent = append(sent, e)
		}
	}
	slices.SortFunc(sent, func(a, b ledger.Logged) int { return int(a.Index) - int(b.Index) })
	for _, e := range sent {
		switch e.Leaf.Kind {
		case logv1.Kind_KIND_DIRECTORY_CHANGED:
			if e.Details.GetDirectoryRevision() <= inForce {
				t.Errorf("directory %d after %d", e.Details.GetDirectoryRevision(), inForce)
			}
			inForce = e.Details.GetDirectoryRevision()
		case logv1.Kind_KIND_DECIDED:
			if got := e.Details.GetDirectoryRevision(); got != inForce {
				t.Errorf("leaf %d was decided with directory %d while %d was in force", e.Index, got, inForce)
			}
		}
	}
}

// What is sealed covers every class and path the tests rely on.
func TestTheOrdinaryFormHasEverySection(t *testing.T) {
	n := newWorld(t).shareable()
	for _, s := range section.All() {
		if s.Class != posternv1.SectionClass_SECTION_CLASS_URGENT && !slices.Contains(offered(n), s.Path(1)) {
			t.Errorf("%s is missing", s.Path(1))
		}
	}
}
