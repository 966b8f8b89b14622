package desk_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	"postern/internal/vault"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const aDay = 24 * time.Hour

// later lets days pass at a desk that looks every day for what to erase, and reports whether it erased anything.
func later(t *testing.T, x *testkit.Exchange, d *testkit.Desk, days int) (erased bool) {
	t.Helper()
	for range days {
		x.Clock.Advance(aDay)
		for again := true; again; {
			again = must(d.StepErase(t.Context()))(t)
			erased = erased || again
		}
	}
	return erased
}

// isErased reports whether the form of a notification was erased.
func isErased(d *testkit.Desk, id string) bool {
	return d.Get(id).GetNotification().GetErasure() != nil
}

// names are what a form and the casework of these tests say of people.
var names = []string{"Morwenna", "Tattersby", "Peregrine", "Sixpenny", "Fernhollow", "Gwladys", "01632 960147", "1994-02-03", "2019-05-", "half past three", "large print",
	"Zebedee", "Ref-8812", "her own words", "looked at twice", "Mrs Pargeter"}

// holds are those of the texts that are in the opened rows of a desk, or in their keys.
func holds(t *testing.T, x *testkit.Exchange, d *testkit.Desk, texts ...string) (found []string) {
	t.Helper()
	v := must(vault.Open(vault.Config{Dir: x.Path("desk-"+testkit.HMPBristol, "vault"), Existing: true}))(t)
	err := d.Store.View(t.Context(), func(s store.Snapshot) error {
		for _, ks := range schema.Desk.Keyspaces {
			err := s.Scan(ks, nil, nil, func(key, value []byte) (bool, error) {
				if opened, err := v.Open(string(ks), key, value); err == nil {
					value = opened
				}
				for _, text := range texts {
					if bytes.Contains(key, []byte(text)) || bytes.Contains(value, []byte(text)) {
						found = append(found, text)
					}
				}
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// A family's form goes when its permission has ended and the period is over, to the day; what is left names nobody, says what
// became of it, and is enough to take permission back by, here and at another prison.
func TestAFormIsErasedWhenItsBusinessIsFinished(t *testing.T) {
	x, d := opened(t)
	f := family()
	id := d.Take(f)[0]
	x.Settle()
	before := d.Get(id)
	if later(t, x, d, 179) || isErased(d, id) { // the permission is an hour old
		t.Fatal("it was erased before its time")
	}
	if found := holds(t, x, d, append(names, f.GetPrisonNumber())...); len(found) < 12 {
		t.Fatalf("the control: there are %v", found)
	}
	if !later(t, x, d, 1) {
		t.Fatal("it is kept")
	}
	if found := holds(t, x, d, append(names, f.GetPrisonNumber())...); len(found) > 0 {
		t.Errorf("there are still %v", found)
	}
	after := d.Get(id)
	n := after.GetNotification()
	if n.GetErasure().GetEraseTime().AsTime() != x.Clock.Now() || !proto.Equal(after.GetReceipt(), before.GetReceipt()) || n.GetState() != delivered ||
		!proto.Equal(n.GetDecision(), before.GetNotification().GetDecision()) || n.GetReference() != before.GetNotification().GetReference() || len(n.GetTasks()) > 0 {
		t.Errorf("what is left is %v", after)
	}
	if all := must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{}))(t).GetNotifications(); len(all) != 1 || all[0].GetErasure() == nil {
		t.Errorf("the list has %v", all)
	}
	about := must(d.About(signedIn(t, "REC1", "RECEPTION_OFFICER"), id))(t)
	if about.Person != (desk.Person{}) || about.Until.IsZero() || len(about.Sections) != len(n.GetDecision().GetPaths()) || len(about.Children) != 1 {
		t.Errorf("about it: %+v", about)
	}
	acts := desk.ActionsOf(n)
	if !acts.Withdraw || acts.Call || acts.Consider || acts.Review || acts.ByHand || acts.Close || acts.Correct {
		t.Errorf("there may be done %+v", acts)
	}
	if later(t, x, d, 2) {
		t.Error("it was erased twice")
	}
	withdraws(t, d, id, "")
	x.Settle()
	if n := d.Get(id).GetNotification(); n.GetState() != stateStopAsked || len(teamHas(t, x.Inbox(testkit.Bristol), id)) > 0 {
		t.Errorf("taken back, it is %v", n)
	}
	if later(t, x, d, 2) {
		t.Error("a withdrawal was erased")
	}
}

func TestWhatWasErasedCannotBeShownPrintedOrPutRight(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.FormId = must(envelope.NewID(rand.Reader))(t)
	id := d.Take(f)[0]
	x.Settle()
	later(t, x, d, 180)
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER")
	for what, err := range map[string]error{
		"slip":     second(d.Counter.GetSlip(t.Context(), &localv1.GetSlipRequest{Id: id})),
		"request":  second(d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: id})),
		"close":    second(d.Cases.CloseManual(t.Context(), &localv1.CloseManualRequest{Id: id, How: localv1.ManualRoute_MANUAL_ROUTE_POST, To: "them"})),
		"call":     second(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED})),
		"gate":     second(d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: id, Gate: posternv1.Gate_GATE_NO_HOLD})),
		"consider": second(d.Cases.Consider(t.Context(), deciding(id, false))),
		"review":   second(d.Cases.Review(t.Context(), &localv1.ReviewRequest{Id: id, Findings: "nothing"})),
		"correct":  second(d.CorrectionOf(ctx, id)),
	} {
		if f := fault.From(err); err == nil || f.Reason != "FORM_ERASED" || !strings.Contains(f.Message, "erased on 20") {
			t.Errorf("%s: %v", what, err)
		}
	}
	right := formtest.New(testkit.Bristol)
	right.Supersedes = id
	for path, again := range map[string]*posternv1.Form{"form_id": f, "supersedes": right} {
		_, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, again), testkit.Staff)
		if got := fault.From(err); err == nil || got.Reason != "FORM_ERASED" || got.Fields[0].Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What was taken back before anything went does not wait for the day on which the permission would have ended.
func TestWhatWasTakenBackBeforeItWentIsErasedSooner(t *testing.T) {
	x, d := opened(t)
	d.Restart(func(c *desk.Config) { c.FormLife = 3 * aDay })
	id, stays := d.Take(unchecked(testkit.Bristol, testkit.Lancashire))[0], d.Take(family())[0]
	x.Settle()
	both := d.Take(unchecked(testkit.Bristol, testkit.Lancashire))
	withdraws(t, d, id, "")
	withdraws(t, d, d.Get(id).GetNotification().GetId(), "")
	for _, n := range must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{}))(t).GetNotifications() {
		if n.GetId() != stays && n.GetId() != both[1] {
			withdraws(t, d, n.GetId(), "")
		}
	}
	d.Link.Down(true)
	pending := d.Take(unchecked(testkit.Bristol))[0]
	if _, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: pending, Method: byPhone}, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	if later(t, x, d, 2) {
		t.Error("it was erased before the period was over")
	}
	if !later(t, x, d, 1) || !isErased(d, id) || isErased(d, stays) || isErased(d, both[0]) || isErased(d, pending) {
		t.Errorf("erased are %v, and of what stays %v %v %v", isErased(d, id), isErased(d, stays), isErased(d, both[0]), isErased(d, pending))
	}
	d.Link.Down(false)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if later(t, x, d, 2) || !later(t, x, d, 2) || !isErased(d, pending) {
		t.Error("what the hub answered was not erased three days later")
	}
}

// A clock that is wrong for weeks erases nothing that has weeks to go; one that was set back keeps all for longer.
func TestAClockThatLeapsErasesNothing(t *testing.T) {
	x, d := opened(t)
	var leap time.Duration
	d.Restart(func(c *desk.Config) { c.Clock = func() time.Time { return x.Clock.Now().Add(leap) } })
	id := d.Take(family())[0]
	x.Settle()
	later(t, x, d, 3)
	leap = 5000 * aDay
	for range 30 * 24 { // and it stays so for a month
		rests(t, must(d.StepErase(t.Context()))(t), nil)
		x.Clock.Advance(time.Hour)
	}
	leap = 0
	if later(t, x, d, 100) {
		t.Fatal("it was erased before its time")
	}
	leap = -50 * aDay
	if later(t, x, d, 80) {
		t.Fatal("by a clock that was set back it was erased before its time")
	}
	d.Restart()
	if x.Clock.Advance(5 * aDay); must(d.StepErase(t.Context()))(t) { // off for a long weekend: that may be a leap
		t.Error("it was erased at the first look")
	}
	if later(t, x, d, 3) || !later(t, x, d, 60) || !isErased(d, id) {
		t.Error("it is kept")
	}
}

// What puts a form right is erased with it: until then a withdrawal finds the children of one in the other, and after it by
// numbers that name nobody.
func TestAChainIsErasedAsOne(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	first := formtest.New(testkit.Bristol, testkit.Bristol)
	old := d.Take(first)[0]
	x.Settle()
	later(t, x, d, 60)
	right := formtest.New(testkit.Bristol, testkit.Bristol)
	right.PrisonNumber, right.Supersedes, right.Consent.GiveTime = first.GetPrisonNumber(), old, timestamppb.New(x.Clock.Now())
	right.Children[0], right.Children[1] = right.Children[1], right.Children[0] // it numbers them anew
	right.Children[0].Safety.SafeManner = "Ring twice"
	newer := d.Take(right)[0]
	x.Settle()
	if later(t, x, d, 179) {
		t.Error("a part of a chain was erased")
	}
	if !later(t, x, d, 1) || !isErased(d, old) || !isErased(d, newer) {
		t.Fatal("the chain is kept")
	}
	if found := holds(t, x, d, names...); len(found) > 0 {
		t.Errorf("there are still %v", found)
	}
	withdraws(t, d, old, "", "child/1/phone")
	x.Settle()
	if has := teamHas(t, in, newer); slices.Contains(has, "child/2/phone") || !slices.Contains(has, "child/1/phone") {
		t.Errorf("of the other form the team has %v", has)
	}
	if n := d.Get(old).GetNotification(); len(n.GetTakenBackToo()) != 1 || len(n.GetMayStillHold()) > 0 {
		t.Errorf("status says %v and %v", n.GetTakenBackToo(), n.GetMayStillHold())
	}
	withdraws(t, d, newer, "")
	x.Settle()
	if len(teamHas(t, in, old))+len(teamHas(t, in, newer)) > 0 {
		t.Error("the team has some of it still")
	}
}

// With the slip another prison takes permission back of what was erased, and this desk is told.
func TestAnotherPrisonTakesBackWhatWasErased(t *testing.T) {
	x, d := opened(t)
	other := x.Desk(testkit.HMPParc)
	id := d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
	x.Settle()
	slip := d.Get(id).GetNotification()
	later(t, x, d, 180)
	withdraws(t, other, slip.GetReference(), slip.GetSlipCode(), "child/1")
	x.Settle()
	wait(x)
	if has := teamHas(t, x.Inbox(testkit.Bristol), id); !isErased(d, id) || slices.Contains(has, "child/1/home") || !slices.Contains(has, "child/2/home") {
		t.Errorf("the team has %v", has)
	}
	if n := d.Get(id).GetNotification(); !slices.Contains(n.GetLeftOutPaths(), "child/1") {
		t.Errorf("the desk was not told: %v", n)
	}
	withdraws(t, other, slip.GetReference(), slip.GetSlipCode())
	wait(x)
	if n := d.Get(id).GetNotification(); !desk.ActionsOf(n).Back || len(teamHas(t, x.Inbox(testkit.Bristol), id)) > 0 {
		t.Errorf("here it is %v", n)
	}
}

// A hub that lost its disk is told what is here; of what was erased only that it was taken back.
func TestWhatWasErasedIsNotToldAgain(t *testing.T) {
	x, d := opened(t)
	keeps, taken := d.Take(family())[0], d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	withdraws(t, d, taken, "")
	later(t, x, d, 180)
	alive := formtest.New(testkit.Bristol)
	alive.Consent.GiveTime = timestamppb.New(x.Clock.Now())
	here := d.Take(alive)[0]
	x.Settle()
	if !isErased(d, keeps) || !isErased(d, taken) || isErased(d, here) {
		t.Fatal("not what this test is about")
	}
	x.LoseHub()
	wait(x)
	if waits := spool(t, d); len(waits) > 0 || d.State(here) != delivered || d.State(keeps) != delivered || d.State(taken) != stateWithdrawn {
		t.Errorf("%d wait, and the states are %v %v %v", len(waits), d.State(here), d.State(keeps), d.State(taken))
	}
	if n := withdraws(t, d, keeps, ""); !desk.ActionsOf(n).Unasked {
		t.Errorf("nobody is told to telephone the team: %v", n)
	}
}

// The next hub takes nothing that is over thirty days old, so it asks nobody to stop: whoever took it back hears that.
func TestWhatTheNextHubDoesNotTakeIsStoppedByTelephone(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	x.Settle()
	tenDays(x)
	for range 3 {
		tenDays(x)
	}
	if n := d.Get(id).GetNotification(); n.GetState() != delivered || desk.ActionsOf(n).Unasked {
		t.Fatalf("it is %v", n)
	}
	x.LoseHub()
	wait(x)
	n := withdraws(t, d, id, "")
	if n.GetState() != delivered || len(teamHas(t, x.Inbox(testkit.Bristol), id)) == 0 || !desk.ActionsOf(n).Unasked {
		t.Errorf("nobody is told to telephone the team: %v", n)
	}
}
