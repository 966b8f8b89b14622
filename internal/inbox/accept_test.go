package inbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestTheTeamSeesExactlyWhatWasTyped(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	f := formtest.New(testkit.Bristol)
	f.Consent.Sections = slices.DeleteFunc(f.Consent.Sections, func(s string) bool { return s == "child/{n}/school" || s == "parent/birth" })
	submit(t, x, x.Seal(testkit.HMPBristol, f)[0])
	x.Settle()
	items := in.Items()
	if len(items) != 1 || items[0].GetPrisonId() != "BLI" || items[0].GetChildren() != 1 || items[0].GetRoute() != "STANDARD" || items[0].GetFactsMismatch() {
		t.Fatalf("items %v", items)
	}
	item := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: items[0].GetReference()}))(t)
	if got := item.GetNotShared(); !slices.Equal(got, []string{"parent/birth", "child/1/school"}) {
		t.Errorf("not shared %v", got)
	}
	for _, s := range item.GetSections() {
		typed, ok := section.Get(f, s.GetPath())
		row, _ := section.Lookup(s.GetPath())
		got := row.New()
		if err := proto.Unmarshal(s.GetContent(), got); err != nil || !ok || !proto.Equal(got, typed) {
			t.Errorf("%s is %v, typed was %v", s.GetPath(), got, typed)
		}
	}
	if len(item.GetSections()) != 13 || item.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || item.GetReceipt() == nil {
		t.Errorf("%d sections, %v", len(item.GetSections()), item.GetDecision())
	}
	if end := item.GetConsentExpireTime().AsTime(); !end.Equal(f.GetConsent().GetGiveTime().AsTime().AddDate(0, 0, 90)) {
		t.Errorf("the consent, which names no end, is shown to last until %v", end)
	}
}

func TestADeliveryThatComesAgainIsShownOnce(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	d := held(t, x, ordinary(x))
	first := deliver(t, in, d)
	acknowledged(t, x, d, first)
	stored := rows(t, in)
	in.Restart()
	x.Clock.Advance(365 * 24 * time.Hour) // also when the decision is stale by then: it was taken
	if again := deliver(t, in, d); !proto.Equal(again, first) || rows(t, in) != stored {
		t.Errorf("%v, first %v", again, first)
	}
	x.Clock.Advance(-365 * 24 * time.Hour)
	renamed := testkit.Clone(d, func(d *posternv1.Delivery) { d.DeliveryId = "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b" })
	if again := deliver(t, in, renamed); !proto.Equal(again, first) {
		t.Errorf("under another id %v, first %v", again, first)
	}
	if len(in.Items()) != 1 {
		t.Errorf("%d items", len(in.Items()))
	}
}

func TestManyAtOnceAreShownOnce(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	d := held(t, x, ordinary(x))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if answer, err := in.Client().Deliver(t.Context(), &posternv1.DeliverRequest{Delivery: d}); err != nil || answer.GetAcknowledgement() == nil {
				t.Errorf("%v: %v", answer, err)
			}
		})
	}
	wg.Wait()
	if len(in.Items()) != 1 {
		t.Errorf("%d items", len(in.Items()))
	}
}

func TestACrashBetweenKeepingAndAnswering(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	d := x.Desk(testkit.HMPBristol)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	in.Link.LoseAnswers(1)
	x.Settle()
	if len(in.Items()) != 1 || d.State(id) != localv1.State_STATE_ACCEPTED {
		t.Fatalf("%d items, the desk says %v", len(in.Items()), d.State(id))
	}
	in.Restart()
	x.RestartHub()
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if len(in.Items()) != 1 || d.State(id) != localv1.State_STATE_DELIVERED {
		t.Errorf("%d items, the desk says %v", len(in.Items()), d.State(id))
	}
	if got := events(t, x, logv1.Kind_KIND_DELIVERED, ""); got != 1 {
		t.Errorf("%d delivered", got)
	}
}

// mismatched is a notification whose facts say another age than its sealed birth date.
func mismatched(x *testkit.Exchange) *posternv1.SealedNotification {
	return x.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), func(d *envelope.Draft) {
		d.Children[0].Age = &posternv1.ChildFacts_AgeYears{AgeYears: 3}
	})[0]
}

func TestFactsThatValuesContradictAreShownAndReported(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	in.ToHub.Down(true)
	d := held(t, x, mismatched(x))
	acknowledged(t, x, d, deliver(t, in, d))
	if items := in.Items(); len(items) != 1 || !items[0].GetFactsMismatch() {
		t.Fatalf("items %v", items)
	}
	x.Settle() // the delivery comes again from the outbox, and the report cannot be sent
	in.Restart()
	in.ToHub.Down(false)
	x.Clock.Advance(testkit.MaxWait)
	in.ToHub.LoseAnswers(1) // recorded, and not heard
	x.Settle()
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if got := events(t, x, logv1.Kind_KIND_REPLIED, "FACTS_MISMATCH"); got != 1 {
		t.Errorf("%d mismatches recorded", got)
	}
	if worked, err := in.StepReports(t.Context()); worked || err != nil {
		t.Errorf("it is reported still: %v", err)
	}
	for _, u := range must(x.Submission(testkit.HMPBristol).ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{}))(t).GetUpdates() {
		if u.GetAcknowledgement() == nil {
			t.Errorf("the desk hears %v", u)
		}
	}
}

// A report that the hub will never take does not stand in the way of the next.
func TestAReportRefusedForGoodIsGivenUp(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	submit(t, x, mismatched(x))
	if worked, err := x.Hub.StepDelivery(t.Context()); err != nil || !worked {
		t.Fatal(err)
	}
	in.ToHub.Requests(func(_ string, b []byte) []byte { return append(b, 0xff) }) // it cannot be read
	if worked, err := in.StepReports(t.Context()); !worked || err != nil {
		t.Fatal(err)
	}
	in.ToHub.Requests(nil)
	if worked, err := in.StepReports(t.Context()); worked || err != nil {
		t.Errorf("it waits still: %v", err)
	}
}

func TestNoValueLiesOpenOnDisk(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	f := formtest.New(testkit.Bristol)
	submit(t, x, x.Seal(testkit.HMPBristol, f)[0])
	x.Settle()
	if len(in.Items()) != 1 {
		t.Fatal("nothing arrived")
	}
	words := testkit.Personal(f)
	file := x.Path("inbox-"+testkit.Bristol, "inbox.db")
	if found := testkit.Holds(words, must(os.ReadFile(file))(t), x.Logs()); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	err := in.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(schema.InboxMeta, []byte("leak"), []byte("Morwenna")) })
	if err != nil {
		t.Fatal(err)
	}
	if found := testkit.Holds(words, must(os.ReadFile(file))(t)); !slices.Equal(found, []string{"Morwenna"}) {
		t.Errorf("the control found %q", found)
	}
}

func TestAnItemIsFoundByEverySpelling(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	const a, b, stranger = "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b", "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6c", "6f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b"
	arrive := func(id string) {
		submit(t, x, x.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), func(d *envelope.Draft) { d.Manifest.NotificationId = id })[0])
		x.Settle()
	}
	get := func(name string) (*localv1.GetItemResponse, error) {
		return in.GetItem(t.Context(), &localv1.GetItemRequest{Id: name})
	}
	arrive(a)
	ref := envelope.Reference(a)
	for _, name := range []string{a, ref, strings.ToLower(ref), strings.ReplaceAll(ref, "-", " ")} {
		if got := must(get(name))(t); got.GetItem().GetId() != a {
			t.Errorf("%q is %v", name, got.GetItem())
		}
	}
	for _, name := range []string{stranger, envelope.Reference(stranger)} {
		_, err := get(name)
		wantFault(t, err, fault.NotFound, "NOT_FOUND")
	}
	arrive(b) // with the same reference
	_, err := get(ref)
	wantFault(t, err, fault.Precondition, "AMBIGUOUS")
	for _, id := range []string{a, b} {
		if got := must(get(id))(t); got.GetItem().GetId() != id {
			t.Errorf("%q is %v", id, got.GetItem())
		}
	}
}

func TestKeysAreKeptInAFolder(t *testing.T) {
	x := testkit.NewExchange(t)
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := inbox.Open(inbox.Config{}); fault.From(err).Reason != "NO_RECIPIENT_KEY" {
		t.Errorf("an inbox without a key: %v", err)
	}
	statement := must(inbox.NewKey(dir, x.Identity(bristolInbox), 1, testkit.Now))(t)
	signed := &posternv1.Signed{}
	if err := proto.Unmarshal(must(os.ReadFile(statement))(t), signed); err != nil {
		t.Fatal(err)
	}
	key := must(envelope.VerifyRecipientKey(signed, x.Anchors(), testkit.Now))(t)
	keys := must(inbox.LoadKeys(dir))(t)
	if len(keys) != 1 || keys[key.GetKeyId()] == nil || key.GetAuthority() != testkit.Bristol {
		t.Errorf("keys %v, published %s", keys, key.GetKeyId())
	}
	private := filepath.Join(dir, key.GetKeyId()+".key")
	if mode := must(os.Stat(private))(t).Mode().Perm(); mode != 0o600 {
		t.Errorf("the private key has mode %v", mode)
	}
	if err := os.WriteFile(private, []byte("garbled"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := inbox.LoadKeys(dir)
	wantFault(t, err, fault.Invalid, "BAD_RECIPIENT_KEY")
}
