package hub_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/form/formtest"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The same form as a second notification is withheld, and the answer points to the first. After a withdrawal of the
// first it goes again.
func TestTheSameContentTwiceIsWithheld(t *testing.T) {
	w := newWorld(t)
	f := formtest.New(testkit.Bristol)
	first := w.one(f)
	if d, _ := w.decided(first); d.GetDecision().GetOutcome() != share {
		t.Fatalf("first: %v", d.GetDecision())
	}
	for range 2 {
		d, _ := w.decided(w.one(proto.CloneOf(f)))
		if got := d.GetDecision(); got.GetOutcome() != withhold || got.GetFirstNotificationId() != idOf(t, first) || !slices.Contains(rules(got), "already_notified") {
			t.Fatalf("again: %v", got)
		}
	}
	if n := w.waiting(); n != 1 {
		t.Errorf("%d deliveries wait", n)
	}
	w.withdraw(testkit.HMPBristol, idOf(t, first))
	if d, _ := w.decided(w.one(proto.CloneOf(f))); d.GetDecision().GetOutcome() != share {
		t.Errorf("after the withdrawal: %v", d.GetDecision())
	}
}

// sameContent makes notifications of one content.
func (w *world) sameContent() func() *posternv1.SealedNotification {
	f := formtest.New(testkit.Bristol)
	return func() *posternv1.SealedNotification { w.t.Helper(); return w.one(proto.CloneOf(f)) }
}

// sentAnew is what is decided on the same content once more, and by which notification it was sent before.
func (w *world) sentAnew(n *posternv1.SealedNotification) (posternv1.Outcome, string) {
	w.t.Helper()
	d, _ := w.decided(n)
	return d.GetDecision().GetOutcome(), d.GetDecision().GetFirstNotificationId()
}

// Before a send of it began, its agreement ended for a while: it was taken out, its desk was told, and nothing ever went.
func TestWhatNeverWentWithholdsNothing(t *testing.T) {
	w := newWorld(t)
	same := w.sameContent()
	w.decided(same())
	w.LoadDirectory(2, testkit.Register{Without: []string{testkit.Bristol}})
	w.Settle()
	w.LoadDirectory(3, testkit.Register{})
	if got, first := w.sentAnew(same()); w.rows(schema.HubOutboxBody) != 1 || got != share {
		t.Errorf("%v, sent before as %s", got, first)
	}
}

// The first was given up. Once the hour is over in which its desk hears that, it may send the same again, and not before:
// the answer would say what the inbox did.
func TestWhatWasGivenUpWithholdsNothingOnceItsDeskIsTold(t *testing.T) {
	w := newWorld(t)
	same := w.sameContent()
	first := same()
	w.decided(first)
	w.Inbox(testkit.Bristol).Link.Down(true)
	w.Clock.Advance(24 * time.Hour)
	w.Settle()
	for _, later := range []time.Duration{0, 30 * time.Minute} {
		w.Clock.Advance(later)
		if got, as := w.sentAnew(same()); w.rows(schema.HubParked) != 1 || got != withhold || as != idOf(t, first) {
			t.Fatalf("before its desk is told: %v, sent before as %s", got, as)
		}
	}
	w.Clock.Advance(time.Hour)
	second := same()
	if got, as := w.sentAnew(second); got != share {
		t.Fatalf("its desk is told: %v, sent before as %s", got, as)
	}
	if got, as := w.sentAnew(same()); got != withhold || as != idOf(t, second) {
		t.Errorf("once more: %v, sent before as %s", got, as)
	}
}

// The operator sent again what was given up, and it arrived: that is the first, and the same is not sent twice.
func TestWhatArrivedAfterItWasGivenUpWithholds(t *testing.T) {
	w := newWorld(t)
	same := w.sameContent()
	first := same()
	w.decided(first)
	link := w.Inbox(testkit.Bristol).Link
	link.Down(true)
	w.Clock.Advance(24 * time.Hour)
	w.Settle()
	w.updates(testkit.HMPBristol)
	w.Clock.Advance(time.Hour)
	w.updates(testkit.HMPBristol)
	link.Down(false)
	must(w.Hub.Requeue(t.Context(), &localv1.RequeueRequest{Id: idOf(t, first)}))(t)
	w.settle()
	if got, as := w.sentAnew(same()); got != withhold || as != idOf(t, first) {
		t.Errorf("%v, sent before as %s", got, as)
	}
}

// A send had begun and nothing of it may go any more: its desk is told UNDELIVERED at once, and may send the same again.
func TestWhatTheHubGaveUpWithholdsNothing(t *testing.T) {
	w := newWorld(t)
	same := w.sameContent()
	w.decided(same())
	w.try()
	w.LoadDirectory(2, testkit.Register{Without: []string{testkit.Bristol}})
	w.settle()
	w.LoadDirectory(3, testkit.Register{})
	if got, first := w.sentAnew(same()); got != share {
		t.Errorf("%v, sent before as %s", got, first)
	}
}

// Another child, another day of reception or another prison is other content.
func TestOtherContentGoes(t *testing.T) {
	w := newWorld(t)
	f := formtest.New(testkit.Bristol)
	w.decided(w.one(f))
	for name, edit := range map[string]func(*posternv1.Form){
		"another child":     func(f *posternv1.Form) { f.Children[0].Identity.GivenName = "Another-Peregrine" },
		"another reception": func(f *posternv1.Form) { f.Reception.ReceiveDate = "2026-11-20" },
		"another parent":    func(f *posternv1.Form) { f.PrisonNumber = "Z9999ZZ" },
	} {
		other := proto.CloneOf(f)
		edit(other)
		if d, _ := w.decided(w.one(other)); d.GetDecision().GetOutcome() != share {
			t.Errorf("%s: %v", name, d.GetDecision())
		}
	}
}

// What was shared is remembered for as long as the permission holds that it was shared by. What a format before 9
// remembers without an end gets one.
func TestSharedContentIsForgottenWhenItsPermissionEnds(t *testing.T) {
	w := newWorld(t)
	first := w.one(formtest.New(testkit.Bristol))
	w.decided(first)
	old := []byte("spiffe://of-another-desk\x00its content")
	if err := w.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(schema.HubContent, old, []byte(idOf(t, first))) }); err != nil {
		t.Fatal(err)
	}
	remembered := func() map[string]int {
		for worked := true; worked; {
			var err error
			if worked, err = w.Hub.StepRetention(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		rows := map[string]int{}
		err := w.Store.View(t.Context(), func(s store.Snapshot) error {
			return s.Scan(schema.HubContent, nil, nil, func(key, row []byte) (bool, error) { rows[string(key)] = len(row); return true, nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if rows := remembered(); len(rows) != 2 || rows[string(old)] != 36+8 {
		t.Fatalf("while the permission holds: %v", rows)
	}
	for range consent.Term/(24*time.Hour) - 1 { // a clock that leaps forgets nothing
		w.Clock.Advance(24 * time.Hour)
		remembered()
	}
	w.Clock.Advance(23 * time.Hour) // formtest's is given half an hour before
	if rows := remembered(); len(rows) != 2 {
		t.Errorf("shortly before its end: %v", rows)
	}
	w.Clock.Advance(30 * time.Minute)
	if rows := remembered(); len(rows) != 1 || rows[string(old)] == 0 {
		t.Errorf("at its end: %v", rows)
	}
	w.Clock.Advance(30 * time.Minute)
	if rows := remembered(); len(rows) != 0 {
		t.Errorf("a term after the hub began to give them ends: %v", rows)
	}
}

// A hub that was off, or whose clock went astray, forgets later than it might. Who gives the same again meanwhile, after the
// permission had ended, means it to be told again all the same.
func TestContentWhosePermissionHasEndedWithholdsNothing(t *testing.T) {
	w := newWorld(t)
	f := formtest.New(testkit.Bristol)
	end := w.Clock.Now().Add(10 * 24 * time.Hour)
	f.Consent.ExpireTime = timestamppb.New(end)
	first := w.one(f)
	w.decided(first)
	must(w.Hub.StepRetention(t.Context()))(t)
	again := proto.CloneOf(f)
	again.Consent.ExpireTime = nil
	w.Clock.Advance(end.Add(-time.Minute).Sub(w.Clock.Now()))
	if got, as := w.sentAnew(w.one(proto.CloneOf(again))); got != withhold || as != idOf(t, first) {
		t.Errorf("shortly before its end: %v, sent before as %s", got, as)
	}
	w.Clock.Advance(end.Sub(w.Clock.Now()))
	must(w.Hub.StepRetention(t.Context()))(t)
	again.Consent.GiveTime = timestamppb.New(end)
	if got, as := w.sentAnew(w.one(again)); got != share || w.rows(schema.HubContent) != 1 {
		t.Errorf("at its end: %v, sent before as %s", got, as)
	}
}

// A team hears of the children whom it is told of only: not that another waits, and not until when.
func TestATeamDoesNotHearUntilWhenAnotherChildWaits(t *testing.T) {
	w := newWorld(t)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.Children[1].Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
	d, _ := w.decided(w.one(f))
	if d.GetDecision().GetOutcome() != share || d.GetDecision().GetDueTime() == nil {
		t.Fatalf("decided %v", d.GetDecision())
	}
	var got *posternv1.Delivery
	w.Inbox(testkit.Bristol).Link.Requests(func(method string, b []byte) []byte {
		req := &posternv1.DeliverRequest{}
		if err := proto.Unmarshal(b, req); err != nil {
			t.Error(err)
		}
		got = req.GetDelivery()
		return b
	})
	w.Settle()
	if cut := got.GetDecision(); cut.GetDueTime() != nil || len(cut.GetChildren()) != 1 {
		t.Errorf("the team is told %v", cut)
	}
}
