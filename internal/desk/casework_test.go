package desk_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// unchecked is a family whose public-protection check has not been done.
func unchecked(authorities ...string) *posternv1.Form {
	f := formtest.New(authorities...)
	f.Gate = posternv1.Gate_GATE_NOT_DONE
	return f
}

func setGate(t *testing.T, d *testkit.Desk, name string, g posternv1.Gate) []*localv1.Notification {
	t.Helper()
	return must(d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: name, Gate: g}))(t).GetNotifications()
}

func TestTheCheckIsDoneAndItGoesByItself(t *testing.T) {
	x, d := opened(t)
	id := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	if s := d.State(id); s == accepted || s == delivered {
		t.Fatalf("it went without the check: %s", s)
	}
	before := d.Get(id).GetNotification()
	all := setGate(t, d, before.GetReference(), posternv1.Gate_GATE_NO_HOLD)
	if len(all) != 1 || all[0].GetState() != accepted || all[0].GetId() != id || all[0].GetSlipCode() != before.GetSlipCode() {
		t.Fatalf("cleared, it is %v", all)
	}
	x.Settle()
	if s := d.State(id); s != delivered {
		t.Fatalf("cleared, it is %s", s)
	}
	if items := x.Inbox(testkit.Bristol).Items(); len(items) != 1 || items[0].GetId() != id {
		t.Errorf("the team has %v", items)
	}
	// The same again is the same answer; the opposite comes too late.
	decided := decisions(t, x)
	if again := setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD); again[0].GetState() != delivered || decisions(t, x) != decided {
		t.Errorf("the same again changed something: %v", again)
	}
	_, err := d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: id, Gate: posternv1.Gate_GATE_HOLD})
	wantFault(t, err, fault.Precondition, "ENDED")
}

// The team must not learn that there was a check, nor who did it: the sender stays who took the form.
func TestTheTeamHearsNothingOfTheCheck(t *testing.T) {
	x, d := opened(t)
	id := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD)
	x.Settle()
	item := must(x.Inbox(testkit.Bristol).GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	if item.GetSender().GetStaffRole() != testkit.Staff.Role {
		t.Errorf("the team sees the role %s", item.GetSender().GetStaffRole())
	}
}

func TestTheCheckIsOneForAllAuthoritiesOfAForm(t *testing.T) {
	x, d := opened(t)
	ids := d.Take(unchecked(testkit.Bristol, testkit.Lancashire))
	x.Settle()
	all := setGate(t, d, ids[1], posternv1.Gate_GATE_NO_HOLD)
	if len(all) != 2 || all[0].GetId() != ids[1] {
		t.Fatalf("answered %v", all)
	}
	x.Settle()
	if d.State(ids[0]) != delivered {
		t.Errorf("Bristol's is %s", d.State(ids[0]))
	}
	if n := d.Get(ids[1]).GetNotification(); n.GetState() != referred || len(n.GetTasks()) == 0 {
		t.Errorf("Lancashire's, without an agreement, is %v", n)
	}
}

func TestTheCheckIsForTheTeamThatDoesIt(t *testing.T) {
	x, d := opened(t)
	id := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	_, err := d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: id})
	wantFault(t, err, fault.Invalid, "BAD_GATE")
	_, err = d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: "PN-2222-2222", Gate: posternv1.Gate_GATE_HOLD})
	if fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Invalid {
		t.Errorf("a name of nothing: %v", err)
	}
	d.Restart(func(c *desk.Config) {
		for uid, s := range c.Staff {
			s.Also = nil
			c.Staff[uid] = s
		}
	})
	_, err = d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: id, Gate: posternv1.Gate_GATE_NO_HOLD})
	wantFault(t, err, fault.Denied, "WRONG_ROLE")
	_, err = d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id})
	wantFault(t, err, fault.Denied, "WRONG_ROLE")
	x.Settle()
	if d.State(id) == delivered {
		t.Error("it went all the same")
	}
}

// Whatever comes in while the hub is away is told as soon as it answers, and nothing is told twice.
func TestTheCheckIsDoneWhileTheHubIsAway(t *testing.T) {
	x, d := opened(t)
	d.Link.Down(true)
	id := d.Take(unchecked(testkit.Bristol))[0]
	if all := setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD); all[0].GetState() != queued {
		t.Fatalf("without a hub it is %s", all[0].GetState())
	}
	d.Restart()
	d.Link.Down(false)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if s := d.State(id); s != delivered {
		t.Errorf("with the hub back it is %s", s)
	}
	if n := len(x.Inbox(testkit.Bristol).Items()); n != 1 {
		t.Errorf("the team has it %d times", n)
	}
}

func TestNothingGoesAgainAfterAWithdrawal(t *testing.T) {
	x, d := opened(t)
	id := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	must(d.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}))(t)
	_, err := d.Cases.SetGate(t.Context(), &localv1.SetGateRequest{Id: id, Gate: posternv1.Gate_GATE_NO_HOLD})
	wantFault(t, err, fault.Precondition, "ENDED")
	x.Settle()
	if n := len(x.Inbox(testkit.Bristol).Items()); n != 0 {
		t.Errorf("the team has %d", n)
	}
}

func TestACallIsRecordedOnce(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	x.Settle()
	at := timestamppb.New(x.Clock.Now().Truncate(time.Second))
	call := &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED, CallTime: at, Who: "Duty worker"}
	for range 2 {
		n := must(d.Cases.RecordCall(t.Context(), call))(t).GetNotifications()[0]
		if len(n.GetCalls()) != 1 || n.GetCalls()[0].GetNumber() == "" || n.GetCalls()[0].GetStaffId() != testkit.Staff.ID {
			t.Fatalf("recorded %v", n.GetCalls())
		}
	}
	list := must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{}))(t).GetNotifications()
	if list[0].GetCalls()[0].GetWho() != "" {
		t.Error("a list tells who answered")
	}
	for reason, edit := range map[string]func(*localv1.RecordCallRequest){
		"BAD_CALL": func(c *localv1.RecordCallRequest) { c.Result = 0 },
		"a future": func(c *localv1.RecordCallRequest) { c.CallTime = timestamppb.New(x.Clock.Now().Add(time.Hour)) },
		"an old":   func(c *localv1.RecordCallRequest) { c.CallTime = timestamppb.New(x.Clock.Now().AddDate(0, -1, 0)) },
		"a child":  func(c *localv1.RecordCallRequest) { c.ChildNumber = 9 },
		"long":     func(c *localv1.RecordCallRequest) { c.Who = strings.Repeat("x", 300) },
	} {
		wrong := proto.CloneOf(call)
		edit(wrong)
		if _, err := d.Cases.RecordCall(t.Context(), wrong); fault.KindOf(err) != fault.Invalid || len(fault.From(err).Fields) == 0 {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// events are the events of a kind in the hub's log.
func events(t *testing.T, x *testkit.Exchange, kind logv1.Kind) (out []ledger.Logged) {
	t.Helper()
	_, err := x.Ledger.Events(t.Context(), "", 1<<30, func(e ledger.Logged) (bool, error) {
		if e.Leaf.Kind == kind {
			out = append(out, e)
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDecidedNotToShareIsARecordOfItsOwn(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.Declined())[0]
	x.Settle()
	const why = "Grandmother has had the children for years and a worker is with them."
	req := &localv1.ConsiderRequest{Id: id, Reasons: why, Codes: &posternv1.Consideration{
		Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES}}
	for range 2 {
		n := must(d.Cases.Consider(t.Context(), req))(t).GetNotifications()[0]
		if n.GetState() != withheld || len(n.GetConsiderations()) != 1 || n.GetConsiderations()[0].GetAnswer() == nil || len(n.GetTasks()) > 0 {
			t.Fatalf("considered, it is %v", n)
		}
	}
	leaves := events(t, x, logv1.Kind_KIND_CONSIDERED)
	if len(leaves) != 1 {
		t.Fatalf("%d leaves", len(leaves))
	}
	details := leaves[0].Details
	if c := details.GetConsideration(); details.GetNotificationId() != id || len(c.GetReasonsSha256()) != 32 || c.GetStaffId() != testkit.Staff.ID ||
		c.GetRole() != posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD || c.GetLaw() != posternv1.ConsiderationLaw_CONSIDERATION_LAW_DUTY_S16LA {
		t.Errorf("the record says %v", details)
	}
	if found := testkit.Holds([]string{"Grandmother"}, x.Logs(), []byte(leaves[0].Record.String())); len(found) > 0 {
		t.Error("the reasons in words left the desk")
	}
}

func TestTheManualRouteIsPrintedAndClosed(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Lancashire)
	f.Consent.Sections = slices.DeleteFunc(f.Consent.Sections, func(s string) bool { return s == "parent/birth" })
	id := d.Take(f)[0]
	x.Settle()
	n := d.Get(id).GetNotification()
	if len(n.GetTasks()) == 0 || n.GetTasks()[0].GetPhoneNumber() == "" {
		t.Fatalf("nothing to do: %v", n)
	}
	print := must(d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: id}))(t)
	var paths []string
	for _, s := range print.GetSections() {
		paths = append(paths, s.GetPath())
	}
	if !slices.Contains(paths, "child/1/home") || slices.Contains(paths, "parent/birth") || print.GetPhoneNumber() != n.GetTasks()[0].GetPhoneNumber() {
		t.Errorf("the print has %q and the number %s", paths, print.GetPhoneNumber())
	}
	close := &localv1.CloseManualRequest{Id: id, How: localv1.ManualRoute_MANUAL_ROUTE_SECURE_MAIL, To: "Support Hub"}
	for range 2 {
		done := must(d.Cases.CloseManual(t.Context(), close))(t).GetNotification()
		if done.GetState() != closed || done.GetManual().GetTo() != "Support Hub" || len(done.GetTasks()) > 0 {
			t.Errorf("closed, it is %v", done)
		}
	}
	_, err := d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: id})
	wantFault(t, err, fault.Precondition, "NO_MANUAL_ROUTE")
	_, err = d.Cases.CloseManual(t.Context(), &localv1.CloseManualRequest{Id: id, How: localv1.ManualRoute_MANUAL_ROUTE_POST, To: "Support Hub"})
	wantFault(t, err, fault.Precondition, "NO_MANUAL_ROUTE")
	_, err = d.Cases.CloseManual(t.Context(), &localv1.CloseManualRequest{Id: id})
	wantFault(t, err, fault.Invalid, "BAD_CLOSURE")
}

// What the person took back is not printed and does not go by hand, also while the hub has not heard of it. What
// does not go by permission is not undone by an objection, and the manual route stays.
func TestWhatWasTakenBackIsNotPrinted(t *testing.T) {
	x, d := opened(t)
	x.Inbox(testkit.Bristol).Link.Down(true)
	urgent := d.Take(formtest.Urgent(testkit.Bristol, 1))[0]
	x.Settle()
	for range 10 {
		x.Clock.Advance(24 * time.Hour)
		x.Settle()
	}
	plain, went := d.Take(formtest.New(testkit.Lancashire))[0], d.Take(formtest.New(testkit.Lancashire))[0]
	x.Settle()
	may := func(id string) bool {
		t.Helper()
		_, err := d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: id})
		if acts := desk.ActionsOf(d.Get(id).GetNotification()).ByHand; acts != (err == nil) {
			t.Errorf("by hand %t, and the print: %v", acts, err)
		}
		return err == nil
	}
	tasks := func() (kinds []posternv1.ObligationKind) {
		for _, task := range d.Get(plain).GetNotification().GetTasks() {
			kinds = append(kinds, task.GetKind())
		}
		return kinds
	}
	const byHand = posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE
	before := tasks()
	if !may(plain) || !may(urgent) || !slices.Contains(before, byHand) {
		t.Fatalf("there is no manual route: %v, %v, %v", d.State(plain), d.State(urgent), before)
	}
	d.Link.Down(true)
	withdraw(t, d, plain)
	withdraw(t, d, urgent)
	withdraw(t, d, went)
	if acts := desk.ActionsOf(d.Get(went).GetNotification()); acts.ByHand || !acts.Close {
		t.Errorf("the page offers %+v", acts)
	}
	closing := &localv1.CloseManualRequest{Id: went, How: localv1.ManualRoute_MANUAL_ROUTE_POST, To: "Support Hub"}
	if n := must(d.Cases.CloseManual(t.Context(), closing))(t).GetNotification(); n.GetManual().GetTo() != "Support Hub" {
		t.Errorf("what went by hand before it was taken back is not noted: %v", n)
	}
	if may(plain) || !may(urgent) || slices.Contains(tasks(), byHand) {
		t.Error("before the hub knows, what was taken back is printed, or what is only objected to is not")
	}
	if rest := slices.DeleteFunc(before, func(k posternv1.ObligationKind) bool { return k == byHand }); !slices.Equal(tasks(), rest) {
		t.Errorf("what is left to do is %v, want %v: whom to telephone does not rest on permission", tasks(), rest)
	}
	if !desk.ActionsOf(d.Get(plain).GetNotification()).Waits || desk.ActionsOf(d.Get(urgent).GetNotification()).Waits {
		t.Error("the page does not say that the withdrawal waits, or says so of an objection")
	}
	d.Link.Down(false)
	wait(x)
	if may(plain) || !may(urgent) || desk.ActionsOf(d.Get(plain).GetNotification()).Waits {
		t.Error("once the hub knows, what was taken back is printed, or what is only objected to is not")
	}
	closing.Id = plain
	if n := must(d.Cases.CloseManual(t.Context(), closing))(t).GetNotification(); n.GetManual() == nil || n.GetState() != stateWithdrawn {
		t.Errorf("once the hub knows, what went by hand before is not noted: %v", n)
	}
}

// Who withdraws permission does not withdraw the child: that somebody is telephoned about a child who may be alone stays on
// the list until somebody has. A call that would say what the form cannot carry goes by the same permission, and falls away.
func TestAChildWhoMayBeAloneStaysOnTheList(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NO
	f.Children[1].AddressConfidential, f.Children[1].Home = true, nil
	id := d.Take(f)[0]
	x.Settle()
	calls := func() (children []uint32) {
		for _, task := range d.Get(id).GetNotification().GetTasks() {
			if task.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR {
				children = append(children, task.GetChildNumber())
			}
		}
		return children
	}
	if got := calls(); !slices.Equal(got, []uint32{1, 2}) {
		t.Fatalf("to be telephoned about are the children %v", got)
	}
	d.Link.Down(true)
	withdraw(t, d, id)
	if got := calls(); !slices.Equal(got, []uint32{1}) {
		t.Errorf("while the withdrawal waits, to be telephoned about are the children %v", got)
	}
	d.Link.Down(false)
	wait(x)
	if got := calls(); !slices.Equal(got, []uint32{1}) || d.State(id) != stateWithdrawn || !desk.ActionsOf(d.Get(id).GetNotification()).Call {
		t.Errorf("in state %v, to be telephoned about are the children %v", d.State(id), got)
	}
	answeredCall(t, d, id, 1)
	x.Settle()
	n := d.Get(id).GetNotification()
	if len(n.GetTasks()) > 0 || n.GetState() != stateWithdrawn || desk.ActionsOf(n).Call || len(x.Inbox(testkit.Bristol).Items()) != 0 {
		t.Errorf("after the call it is %v with %v to be done", n.GetState(), n.GetTasks())
	}
}

// A number is that of the hour in which it is looked at, whenever it was decided.
func TestTheNumberIsThatOfThisHour(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.New(testkit.Lancashire))[0]
	x.Settle()
	seen := map[string]bool{}
	for range 24 {
		n := d.Get(id).GetNotification()
		seen[n.GetTasks()[0].GetPhoneNumber()] = true
		x.Clock.Advance(time.Hour)
	}
	if len(seen) != 2 || !seen["01632 960301"] || !seen["01632 960302"] {
		t.Errorf("over a day the numbers are %v", seen)
	}
}

func TestTheQueueShowsWhatIsOverdueFirst(t *testing.T) {
	x, d := opened(t)
	old := d.Take(formtest.New(testkit.Lancashire))[0]
	x.Settle()
	x.Clock.Advance(24 * time.Hour)
	young := d.Take(formtest.New(testkit.Lancashire))[0]
	d.Take(family())
	x.Settle()
	x.Clock.Advance(36 * time.Hour)
	list := must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Referred: true}))(t).GetNotifications()
	if len(list) != 2 || list[0].GetId() != old || list[1].GetId() != young || !list[0].GetOverdue() || list[0].GetDueTime() == nil {
		t.Fatalf("the queue is %v", list)
	}
}

func TestAFormThatPutsAnotherRight(t *testing.T) {
	x, d := opened(t)
	wrong := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	right := formtest.New(testkit.Bristol, testkit.Bristol)
	right.Supersedes = d.Get(wrong).GetNotification().GetReference()
	id := d.Take(right)[0]
	x.Settle()
	if d.State(id) != delivered || d.State(wrong) != closed || d.Get(wrong).GetNotification().GetSupersededBy() != id {
		t.Errorf("the new one is %s, the old one %v", d.State(id), d.Get(wrong).GetNotification())
	}
	unknown := formtest.New(testkit.Bristol)
	unknown.Supersedes = "0d3e8a52-6f1b-4c7d-9a20-5b8c1e4f7a36"
	_, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, unknown), testkit.Staff)
	wantFault(t, err, fault.Invalid, "FORM_UNKNOWN")
}

// The page asks for the minute of a call, and two numbers can ring out within one: then it is time for the police.
func TestTwoCallsInOneMinuteAreTwo(t *testing.T) {
	x, d := opened(t)
	f := formtest.Urgent(testkit.Bristol, 1)
	f.Urgency.Calls = nil
	id := d.Take(f)[0]
	x.Settle()
	for i, number := range []string{"01632 960202", "01632 960203"} {
		n := must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: id, Number: number, Result: posternv1.CallResult_CALL_RESULT_NO_ANSWER}))(t).GetNotifications()[0]
		x.Settle()
		police := slices.ContainsFunc(n.GetTasks(), func(t *localv1.Task) bool {
			return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE && t.GetPhoneNumber() == "999"
		})
		if police != (i == 1) {
			t.Fatalf("after %d calls: %v", i+1, n.GetTasks())
		}
	}
	n := must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_EMERGENCY_999}))(t).GetNotifications()[0]
	if len(n.GetCalls()) != 3 || slices.ContainsFunc(n.GetTasks(), func(t *localv1.Task) bool {
		return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE
	}) {
		t.Errorf("the police were called, and still: %v", n.GetTasks())
	}
}

// What a team has stays with it: the new notification says which one it replaces, and which child is new.
func TestAChildNamedOnDayThree(t *testing.T) {
	x, d := opened(t)
	first := family()
	old := d.Take(first)[0]
	x.Settle()
	x.Clock.Advance(3 * 24 * time.Hour)
	more := formtest.New(testkit.Bristol, testkit.Bristol)
	more.Supersedes = d.Get(old).GetNotification().GetFormId()
	id := d.Take(more)[0]
	x.Settle()
	if d.State(id) != delivered || d.State(old) != delivered {
		t.Fatalf("the first is %s, the second %s", d.State(old), d.State(id))
	}
	items := x.Inbox(testkit.Bristol).Items()
	if len(items) != 2 || max(items[0].GetChildren(), items[1].GetChildren()) != 2 {
		t.Errorf("the team has %v", items)
	}
}

// The loop and the counter may both see that something is due. It is made again once: a second manifest under the id
// would take the place of the one that the hub has decided on.
func TestTheLoopAndTheCounterSubmitAgainOnce(t *testing.T) {
	x, d := opened(t)
	for range testkit.N(10, 200) {
		id := d.Take(unchecked(testkit.Bristol))[0]
		x.Settle()
		ctx, stop := context.WithCancel(t.Context())
		var loop sync.WaitGroup
		loop.Go(func() {
			for ctx.Err() == nil {
				if _, err := d.StepClocks(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD)
		stop()
		loop.Wait()
		x.Settle()
		if s := d.State(id); s != delivered {
			t.Fatalf("it is %s", s)
		}
	}
}
