package testkit_test

import (
	"context"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const bristolInbox = "/authority/" + testkit.Bristol + "/inbox"

// pin is the key that a desk has pinned for Bristol.
func pin(t *testing.T, d *testkit.Desk) *localv1.Pin {
	t.Helper()
	out, err := d.Pins.ListPins(t.Context(), &localv1.ListPinsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range out.GetPins() {
		if p.GetAuthority() == testkit.Bristol {
			return p
		}
	}
	t.Fatal("nothing is pinned for Bristol")
	return nil
}

// rotated is the id of a new key of Bristol, published.
func rotated(t *testing.T, in *testkit.Inbox) string {
	t.Helper()
	out, err := in.Rotate(t.Context(), &localv1.RotateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetKey().GetKeyId()
}

func TestARotatedKeyReachesTheDeskAndBothKeysOpen(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	first := pin(t, d)
	in.Link.Down(true) // the first notification is still on its way when the key changes
	before := d.Take(formtest.New(testkit.Bristol))
	x.Settle()
	second := rotated(t, in)
	x.Settle()
	if p := pin(t, d); p.GetKeyId() != second || p.GetVersion() != 2 || p.GetWaitingKeyId() != "" || first.GetKeyId() == second {
		t.Fatalf("the desk pins %v", p)
	}
	after := d.Take(formtest.New(testkit.Bristol))
	in.Link.Down(false)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	for _, id := range append(before, after...) {
		if s := d.State(id); s != localv1.State_STATE_DELIVERED {
			t.Errorf("%s is %s", id, s)
		}
	}
	again, err := in.StepKeys(t.Context())
	if err != nil || again {
		t.Errorf("nothing is left to do, and the inbox did something: %v", err)
	}
}

func TestARotationSurvivesRestartsAndAHubThatIsDown(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	in.ToHub.Down(true)
	out, err := in.Rotate(t.Context(), &localv1.RotateRequest{})
	if err != nil || out.GetKey().GetPublished() {
		t.Fatalf("%v, %v", out, err)
	}
	in.Restart()
	in.ToHub.Down(false)
	in.ToHub.LoseAnswers(1)
	x.Settle()
	x.Settle()
	x.RestartHub()
	d.Restart()
	x.Settle()
	if p := pin(t, d); p.GetKeyId() != out.GetKey().GetKeyId() {
		t.Errorf("the desk pins %v", p)
	}
	third := rotated(t, in) // a desk that was away sees each key follow the one before
	fourth := rotated(t, in)
	x.Settle()
	if p := pin(t, d); p.GetKeyId() != fourth || p.GetVersion() != 4 || third == fourth {
		t.Errorf("the desk pins %v", p)
	}
	late := x.Desk(testkit.HMPParc)
	x.Settle()
	if p := pin(t, late); p.GetKeyId() != fourth {
		t.Errorf("a desk that opens later pins %v", p)
	}
}

// inboxDays lets days pass at an inbox that looks after its keys; that it cannot publish one is said every time.
func inboxDays(x *testkit.Exchange, in *testkit.Inbox, days int) {
	for range days {
		x.Clock.Advance(24 * time.Hour)
		for range 4 {
			_, _ = in.StepKeys(context.Background())
		}
	}
}

func TestAKeyNearItsEndIsRenewedAndAnOldOneForgotten(t *testing.T) {
	x := testkit.NewExchange(t, func(c *testkit.Config) {
		c.Register.KeyEnds = map[string]time.Time{testkit.Bristol: testkit.Now.AddDate(0, 0, 29)}
	})
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	x.Settle()
	if p := pin(t, d); p.GetVersion() != 2 {
		t.Fatalf("the desk pins %v", p)
	}
	keys := func() int {
		ring, err := in.ListRing(t.Context(), &localv1.ListRingRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(ring.GetKeys())
	}
	if n := keys(); n != 2 {
		t.Errorf("%d keys: the old one must open what is on its way", n)
	}
	inboxDays(x, in, 186)
	ring, err := in.ListRing(t.Context(), &localv1.ListRingRequest{})
	if err != nil || ring.GetKeys()[len(ring.GetKeys())-1].GetVersion() == 1 {
		t.Errorf("the first key is still there long after its last delivery: %v, %v", ring, err)
	}
}

// statement is a key of Bristol's certificate, as somebody makes it who has that certificate and not the key before.
func statement(t *testing.T, x *testkit.Exchange, version uint32, expire time.Time) *posternv1.Signed {
	t.Helper()
	k, err := envelope.GenerateRecipient()
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Publish(x.Identity(bristolInbox), version, x.Clock.Now(), expire)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAHubTakesNoKeyThatDoesNotFollow(t *testing.T) {
	x := testkit.NewExchange(t)
	in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
	hub := posternv1.NewMailboxServiceClient(in.ToHub)
	old := pin(t, d)
	year := x.Clock.Now().AddDate(1, 0, 0)
	second := rotated(t, in)
	for name, c := range map[string]struct {
		signed *posternv1.Signed
		reason string
	}{
		"swapped":       {statement(t, x, 2, year), directory.KeySwapped},
		"not continued": {statement(t, x, 3, year), directory.KeyNotContinued},
		"replayed":      {statement(t, x, 1, year), directory.KeyReplayed},
		"expired":       {statement(t, x, 3, x.Clock.Now()), directory.KeyNotContinued},
	} {
		if _, err := hub.PublishKey(t.Context(), &posternv1.PublishKeyRequest{RecipientKey: c.signed}); fault.From(err).Reason != c.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := posternv1.NewMailboxServiceClient(x.ToHub("/authority/" + testkit.Lancashire + "/inbox"))
	if _, err := other.PublishKey(t.Context(), &posternv1.PublishKeyRequest{RecipientKey: statement(t, x, 3, year)}); fault.KindOf(err) != fault.Denied {
		t.Errorf("another inbox publishes it: %v", err)
	}
	unenrolled := posternv1.NewMailboxServiceClient(x.ToHub("/authority/" + testkit.Wrexham + "/inbox"))
	k, err := envelope.GenerateRecipient()
	if err != nil {
		t.Fatal(err)
	}
	first, err := k.Publish(x.Identity("/authority/"+testkit.Wrexham+"/inbox"), 1, x.Clock.Now(), year)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unenrolled.PublishKey(t.Context(), &posternv1.PublishKeyRequest{RecipientKey: first}); fault.From(err).Reason != "NOT_ENROLLED" {
		t.Errorf("a first key without an operator: %v", err)
	}
	x.Settle()
	if p := pin(t, d); p.GetKeyId() != second || p.GetKeyId() == old.GetKeyId() {
		t.Errorf("the desk pins %v", p)
	}
}

// lying makes the hub's list of keys hold these statements whatever it has.
func lying(t *testing.T, d *testkit.Desk, number uint64, keys ...*posternv1.Signed) {
	t.Helper()
	b, err := proto.Marshal(&posternv1.ListKeysResponse{RecipientKeys: keys, Number: number})
	if err != nil {
		t.Fatal(err)
	}
	d.Link.Answers(func(method string, answer []byte) []byte {
		if method == posternv1.DirectoryService_ListKeys_FullMethodName {
			return b
		}
		return answer
	})
}

func TestADeskTrustsNoHubAboutAKey(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	second := rotated(t, in)
	x.Settle()
	year := x.Clock.Now().AddDate(1, 0, 0)
	for i, forged := range []*posternv1.Signed{statement(t, x, 1, year), statement(t, x, 2, year), statement(t, x, 9, year)} {
		lying(t, d, uint64(100+i), forged)
		if _, err := d.StepKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := pin(t, d); p.GetKeyId() != second {
			t.Fatalf("forgery %d is pinned: %v", i, p)
		}
	}
	waits := pin(t, d).GetWaitingKeyId()
	ids := d.Take(formtest.New(testkit.Bristol))
	x.Settle()
	if s := d.State(ids[0]); s != localv1.State_STATE_DELIVERED {
		t.Errorf("it is sealed to the pinned key, and is %s", s)
	}
	confirm := func(id string) error {
		_, err := d.Pins.ConfirmKey(t.Context(), &localv1.ConfirmKeyRequest{Authority: testkit.Bristol, KeyId: id})
		return err
	}
	if err := confirm("0000000000000000"); fault.From(err).Reason != "KEY_ID_DIFFERS" {
		t.Errorf("another id: %v", err)
	}
	if err := confirm(waits); err != nil {
		t.Fatal(err)
	}
	if p := pin(t, d); p.GetKeyId() != waits || p.GetWaitingKeyId() != "" || p.GetVersion() != 9 {
		t.Errorf("after a person confirmed it: %v", p)
	}
	if err := confirm(waits); fault.KindOf(err) != fault.NotFound {
		t.Errorf("confirmed twice: %v", err)
	}
}

func TestAnOperatorCannotSwapAKeyUnderADesk(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	before := pin(t, d)
	swapped := x.Revision(2, testkit.Register{Keys: map[string]*posternv1.Signed{testkit.Bristol: statement(t, x, 2, x.Clock.Now().AddDate(1, 0, 0))}})
	if _, err := x.Hub.LoadDirectory(t.Context(), swapped); err != nil {
		t.Fatal(err)
	}
	if _, err := d.StepDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := pin(t, d); p.GetKeyId() != before.GetKeyId() || p.GetWaitingVersion() != 2 {
		t.Errorf("the desk pins %v", p)
	}
}

func TestNothingIsSealedToAnExpiredKeyAndTheNextOneMendsIt(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	in.ToHub.Down(true)
	x.Clock.Advance(360 * 24 * time.Hour)
	f := formtest.New(testkit.Bristol)
	f.Consent.GiveTime, f.Consent.ExpireTime = timestamppb.New(x.Clock.Now().Add(-time.Hour)), timestamppb.New(x.Clock.Now().AddDate(0, 2, 0))
	ids := d.Take(f)
	x.Settle()
	if s := d.State(ids[0]); s == localv1.State_STATE_DELIVERED {
		t.Errorf("it went, sealed to a key that had ended")
	}
	in.ToHub.Down(false)
	x.Settle()
	again := proto.CloneOf(f)
	again.PrisonNumber = "A4321ZZ"
	ids = d.Take(again)
	x.Settle()
	if s := d.State(ids[0]); s != localv1.State_STATE_DELIVERED {
		t.Errorf("after the inbox made its next key it is %s", s)
	}
}

// lost is the inbox of Bristol after it lost the key that a notification is sealed to, and made its next one before.
func lost(t *testing.T, x *testkit.Exchange, in *testkit.Inbox) {
	t.Helper()
	rotated(t, in)
	ring, err := in.ListRing(t.Context(), &localv1.ListRingRequest{})
	if err != nil {
		t.Fatal(err)
	}
	old := ring.GetKeys()[len(ring.GetKeys())-1].GetKeyId()
	if err := os.Remove(x.Path("inbox-"+testkit.Bristol, "recipient", old+".key")); err != nil {
		t.Fatal(err)
	}
	in.Restart()
}

// onItsWay is a notification to Bristol that waits at the hub, sealed to the key that Bristol then loses.
func onItsWay(t *testing.T, f *posternv1.Form) (*testkit.Exchange, *testkit.Desk, *testkit.Inbox, string) {
	t.Helper()
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	in.Link.Down(true)
	ids := d.Take(f)
	x.Settle()
	lost(t, x, in)
	return x, d, in, ids[0]
}

func settleLater(x *testkit.Exchange) {
	for range 3 {
		x.Clock.Advance(testkit.MaxWait)
		x.Settle()
	}
	x.Clock.Advance(time.Hour) // what an inbox refuses, its desk hears when the hour is over
	x.Settle()
}

func TestWhatWasSealedToAKeyThatIsGoneIsSealedAgainAndShownOnce(t *testing.T) {
	x, d, in, old := onItsWay(t, formtest.New(testkit.Bristol))
	in.Link.Down(false)
	settleLater(x)
	n := d.Get(old).GetNotification()
	if n.GetState() != localv1.State_STATE_UNDELIVERED || n.GetResealedBy() == "" {
		t.Fatalf("the old one is %s, sealed again as %q", n.GetState(), n.GetResealedBy())
	}
	if again := d.Get(n.GetResealedBy()).GetNotification(); again.GetState() != localv1.State_STATE_DELIVERED || again.GetReseals() != old || again.GetSlipCode() != n.GetSlipCode() {
		t.Fatalf("the new one is %s: %v", again.GetState(), again)
	}
	d.Restart()
	settleLater(x)
	items, err := in.ListItems(t.Context(), &localv1.ListItemsRequest{})
	if err != nil || len(items.GetItems()) != 1 || items.GetItems()[0].GetId() != n.GetResealedBy() {
		t.Errorf("the team sees %v, %v", items, err)
	}
	if _, err := x.Hub.Requeue(t.Context(), &localv1.RequeueRequest{Id: old}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the old one could be sent again: %v", err)
	}
}

func TestAWithdrawalReachesWhatWasSealedAgain(t *testing.T) {
	x, d, in, old := onItsWay(t, formtest.New(testkit.Bristol))
	in.Link.Down(false)
	settleLater(x)
	again := d.Get(old).GetNotification().GetResealedBy()
	_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: old, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}, testkit.Staff)
	if err != nil {
		t.Fatal(err)
	}
	settleLater(x)
	if s := d.State(again); s != localv1.State_STATE_STOP_ASKED {
		t.Errorf("what was sealed again is %s", s)
	}
	if items, err := in.ListItems(t.Context(), &localv1.ListItemsRequest{}); err != nil || items.GetItems()[0].GetStop() == nil {
		t.Errorf("the team was not asked to stop: %v, %v", items, err)
	}
}

// TestAWithdrawalElsewhereReachesWhatWasSealedAgain: the slip names the old notification, and another prison has no word of
// the new one.
func TestAWithdrawalElsewhereReachesWhatWasSealedAgain(t *testing.T) {
	x, d, in, old := onItsWay(t, formtest.New(testkit.Bristol))
	in.Link.Down(false)
	settleLater(x)
	n := d.Get(old).GetNotification()
	other := x.Desk(testkit.HMPParc)
	if _, err := other.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{
		Id: n.GetReference(), SlipCode: n.GetSlipCode(), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}); err != nil {
		t.Fatal(err)
	}
	settleLater(x)
	if s := d.State(n.GetResealedBy()); n.GetResealedBy() == "" || s != localv1.State_STATE_STOP_ASKED {
		t.Errorf("what was sealed again is %s", s)
	}
	if items, err := in.ListItems(t.Context(), &localv1.ListItemsRequest{}); err != nil || len(items.GetItems()) != 1 || items.GetItems()[0].GetStop() == nil {
		t.Errorf("the team was not asked to stop: %v, %v", items, err)
	}
}

func TestWhatIsWithdrawnIsNotSealedAgain(t *testing.T) {
	x, d, in, old := onItsWay(t, formtest.New(testkit.Bristol))
	_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: old, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
	if err != nil {
		t.Fatal(err)
	}
	in.Link.Down(false)
	settleLater(x)
	if n := d.Get(old).GetNotification(); n.GetResealedBy() != "" {
		t.Errorf("sealed again as %s", n.GetResealedBy())
	}
	if items, err := in.ListItems(t.Context(), &localv1.ListItemsRequest{}); err != nil || len(items.GetItems()) != 0 {
		t.Errorf("the team sees %v, %v", items, err)
	}
}

// An objection to what does not go by permission undoes nothing, whatever comes after it.
func TestWhatIsObjectedToIsSealedAgain(t *testing.T) {
	x, d, in, old := onItsWay(t, formtest.Urgent(testkit.Bristol, 1))
	_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: old, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
	if err != nil {
		t.Fatal(err)
	}
	in.Link.Down(false)
	settleLater(x)
	n := d.Get(old).GetNotification()
	if s := d.State(n.GetResealedBy()); n.GetResealedBy() == "" || s != localv1.State_STATE_DELIVERED {
		t.Errorf("the old one is %s, what was sealed again %q is %s", n.GetState(), n.GetResealedBy(), s)
	}
	if items, err := in.ListItems(t.Context(), &localv1.ListItemsRequest{}); err != nil || len(items.GetItems()) != 1 {
		t.Errorf("the team sees %v, %v", items, err)
	}
}
