package desk_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A child who was taken back goes when the safeguarding lead decides so, and nobody else goes in her place; her sister, whom
// a decision is not about, stays taken back.
func TestAnOrderIsWhatItNames(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	id := d.Take(mayBeAlone(3))[0]
	held := formtest.New(testkit.Bristol, testkit.Bristol)
	held.Gate = posternv1.Gate_GATE_HOLD
	other := d.Take(held)[0]
	x.Settle()
	withdraws(t, d, id, "", "child/2")
	withdraws(t, d, other, "", "child/2")
	req := deciding(id, true)
	req.Codes.NotMoreDetrimental, req.Codes.Paths = []uint32{2}, []string{"parent/name", "child/2/identity", "child/2/home", "child/2/safety"}
	must(d.Cases.Consider(t.Context(), req))(t)
	decides(t, d, other, true)
	wait(x)
	on := d.Get(id).GetNotification().GetFollowups()
	if len(on) != 1 || !slices.Equal(on[0].GetChildNumbers(), []uint32{2}) || len(teamHas(t, in, on[0].GetId())) != 4 {
		t.Errorf("by the order there go on %v", on)
	}
	_, err := d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: other, Gate: posternv1.Gate_GATE_NO_HOLD})
	wantFault(t, err, fault.Precondition, "ENDED")
	x.Clock.Advance(3 * time.Hour)
	wait(x)
	if on := d.Get(other).GetNotification().GetFollowups(); len(on) > 0 {
		t.Errorf("after an order about her brother, a child who was taken back goes on as %v", on)
	}
}

// The last child takes all back at another prison too.
func TestTheLastChildTakesAllBackElsewhere(t *testing.T) {
	x, d := opened(t)
	other, in := x.Desk(testkit.HMPParc), x.Inbox(testkit.Bristol)
	waits, sent := d.Take(unchecked(testkit.Bristol))[0], d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
	x.Settle()
	one, two := d.Get(waits).GetNotification(), d.Get(sent).GetNotification()
	withdraws(t, other, one.GetReference(), one.GetSlipCode(), "child/1")
	withdraws(t, other, two.GetReference(), two.GetSlipCode(), "child/1")
	withdraws(t, other, two.GetReference(), two.GetSlipCode(), "child/2")
	wait(x)
	wait(x)
	if d.State(waits) != stateWithdrawn || d.State(sent) != stateStopAsked || len(teamHas(t, in, sent)) > 0 {
		t.Errorf("they are %v and %v, and the team has %v", d.State(waits), d.State(sent), teamHas(t, in, sent))
	}
}

// What the desk tells the next hub of what the person had said is not said by the person then: a permission that they gave
// since stands, and to what goes by an order nobody has objected.
func TestAHubLossSaysNothingForAPerson(t *testing.T) {
	x, d := opened(t)
	id := d.Take(mayBeAlone(2))[0]
	held := unchecked(testkit.Bristol)
	held.Gate = posternv1.Gate_GATE_HOLD
	ordered := d.Take(held)[0]
	x.Settle()
	n := d.Get(ordered).GetNotification()
	withdraws(t, x.Desk(testkit.HMPParc), n.GetReference(), n.GetSlipCode(), "child/1/home")
	withdraws(t, d, id, "", "child/2/school")
	answeredCall(t, d, id, 2)
	wait(x)
	decides(t, d, ordered, true)
	wait(x)
	again := mayBeAlone(2)
	again.Supersedes, again.Consent.GiveTime.Seconds = id, x.Clock.Now().Unix()
	x.Clock.Advance(10 * time.Minute)
	x.LoseHub()
	wait(x)
	if ids := d.Take(again); len(ids) != 1 {
		t.Errorf("asked again before the hub was lost, it is not taken: %v", ids)
	}
	if n := d.Get(ordered).GetNotification(); len(n.GetWithdrawals()) > 0 {
		t.Errorf("an objection that nobody made: %v", n.GetWithdrawals())
	}
}

// A call that is recorded where a child goes on is one: she is on the list once, and off it with the call.
func TestACallWhereAChildGoesOn(t *testing.T) {
	x, d := opened(t)
	id := d.Take(mayBeAlone(2))[0]
	x.Settle()
	x.Clock.Advance(2 * time.Hour)
	x.Settle()
	list := func() []*localv1.Notification {
		return must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Referred: true}))(t).GetNotifications()
	}
	on := d.Get(id).GetNotification().GetFollowups()
	if all := list(); len(on) != 1 || len(all) != 1 || all[0].GetId() != on[0].GetId() || len(tasksOf(d, on[0].GetId(), 1)) == 0 {
		t.Fatalf("listed are %v", all)
	}
	answeredCall(t, d, on[0].GetId(), 1)
	wait(x)
	if all := list(); len(all) > 0 {
		t.Errorf("after the call listed are %v", all)
	}
}

// A hub that adds to a decision that the log has, or says that the team was asked to stop what goes without permission, has
// the desk sign nothing that nobody said.
func TestTheHubsWordMakesNoWithdrawal(t *testing.T) {
	_, d := opened(t)
	id, urgent := d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0], d.Take(formtest.Urgent(testkit.Bristol, 1))[0]
	for range 2 {
		worked, err := d.StepSpool(t.Context())
		works(t, worked, err)
	}
	withdraws(t, d, id, "", "child/1/phone")
	both := []string{"child/1", "child/2"}
	edited := 0
	d.Link.Answers(rewrite(t, "ListUpdates", &posternv1.ListUpdatesResponse{}, func(page *posternv1.ListUpdatesResponse) {
		for _, u := range page.GetUpdates() {
			if d := u.GetDecision(); d != nil {
				d.Reasons = append(d.Reasons, &posternv1.Reason{RuleId: "withdrawn", Paths: both})
				edited++
			}
		}
		if edited > 0 {
			page.Updates = append(page.Updates, &posternv1.Update{NotificationId: urgent, UpdateTime: page.GetUpdates()[0].GetUpdateTime(),
				Update: &posternv1.Update_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_STOP_ASKED, Paths: both}}})
		}
	}))
	if _, err := d.StepUpdates(t.Context()); err != nil || edited == 0 {
		t.Fatalf("%d decisions edited: %v", edited, err)
	}
	if n := d.Get(id).GetNotification(); len(n.GetWithdrawals()) != 1 || len(n.GetLeftOutPaths()) > 0 {
		t.Errorf("of what goes by permission it took %v, and leaves out %v", n.GetWithdrawals(), n.GetLeftOutPaths())
	}
	if n := d.Get(urgent).GetNotification(); len(n.GetWithdrawals()) > 0 || len(n.GetLeftOutPaths()) > 0 {
		t.Errorf("of what is urgent it took %v, and leaves out %v", n.GetWithdrawals(), n.GetLeftOutPaths())
	}
}

// A hub whose clock is ahead keeps nobody from agreeing again.
func TestAgreeingAgainByAClockThatIsAhead(t *testing.T) {
	var x *testkit.Exchange
	x, d := opened(t, func(c *testkit.Config) {
		c.ClockOf = func(party string) func() time.Time {
			return func() time.Time {
				switch {
				case x == nil:
					return testkit.Now
				case party == "hub":
					return x.Clock.Now().Add(20 * time.Hour)
				}
				return x.Clock.Now()
			}
		}
	})
	id := d.Take(formtest.New(testkit.Bristol))[0]
	worked, err := d.StepSpool(t.Context())
	works(t, worked, err)
	n := d.Get(id).GetNotification()
	withdraws(t, x.Desk(testkit.HMPParc), n.GetReference(), n.GetSlipCode())
	wait(x)
	if n = d.Get(id).GetNotification(); !n.GetTakenBackElsewhere() {
		t.Fatalf("it is not known here: %v", n)
	}
	x.Clock.Advance(time.Hour)
	again := formtest.New(testkit.Bristol)
	again.Supersedes, again.Consent.GiveTime.Seconds = id, x.Clock.Now().Unix()
	if ids := d.Take(again); len(ids) != 1 {
		t.Errorf("it is not taken: %v", ids)
	}
}

func TestAConsiderationMustBeWhole(t *testing.T) {
	x, d := opened(t)
	id := d.Take(unchecked(testkit.Bristol))[0]
	if _, err := d.Cases.Consider(t.Context(), deciding(id, true)); fault.KindOf(err) != fault.Precondition { // the hub has not decided
		t.Errorf("before anything was decided: %v", err)
	}
	x.Settle()
	_, err := d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id, Share: true, Codes: &posternv1.Consideration{
		NotMoreDetrimental: []uint32{7}, Paths: []string{"child/1/home", "urgency"}}})
	wantFault(t, err, fault.Invalid, "BAD_CONSIDERATION")
	var paths []string
	for _, f := range fault.From(err).Fields {
		paths = append(paths, f.Path)
	}
	for _, want := range []string{"relevant", "parent_told", "helps_function", "reasons", "not_more_detrimental[0]", "paths[0]", "paths[1]"} {
		if !slices.Contains(paths, want) {
			t.Errorf("no fault names %s: %q", want, paths)
		}
	}
	for name, c := range map[string]*posternv1.Consideration{
		"paths":          {HelpsFunction: "ca1989.s17"}, // nothing is named that is to be shared
		"helps_function": {HelpsFunction: strings.Repeat("s", 1000), Paths: []string{"parent/name"}},
	} {
		c.Relevant, c.ParentTold = posternv1.Answer_ANSWER_YES, posternv1.Answer_ANSWER_YES
		_, err := d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id, Share: true, Reasons: "why", Codes: c})
		wantFault(t, err, fault.Invalid, "BAD_CONSIDERATION")
		if all := fault.From(err).Fields; len(all) != 1 || all[0].Path != name {
			t.Errorf("%s: %v", name, all)
		}
	}
	enquiry := d.Take(formtest.Declined())[0]
	x.Settle()
	_, err = d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: enquiry, Share: true, Reasons: "why", Codes: &posternv1.Consideration{
		Relevant: posternv1.Answer_ANSWER_YES, ParentTold: posternv1.Answer_ANSWER_YES, HelpsFunction: "ca1989.s17", Paths: []string{"parent/name"}}})
	wantFault(t, err, fault.Precondition, "NO_CHILDREN")
}
