package desk_test

import (
	"slices"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// teamHas are the sections of a notification that its team sees.
func teamHas(t *testing.T, in *testkit.Inbox, id string) (paths []string) {
	t.Helper()
	item, err := in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		t.Fatal(err)
	}
	for _, s := range item.GetSections() {
		paths = append(paths, s.GetPath())
	}
	return paths
}

// printed are the sections of the request for support of a notification.
func printed(t *testing.T, d *testkit.Desk, id string) (paths []string) {
	t.Helper()
	for _, s := range must(d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: id}))(t).GetSections() {
		paths = append(paths, s.GetPath())
	}
	return paths
}

// tasksOf are the kinds of what is to be done about a child of a notification.
func tasksOf(d *testkit.Desk, id string, child uint32) (kinds []posternv1.ObligationKind) {
	for _, task := range d.Get(id).GetNotification().GetTasks() {
		if task.GetChildNumber() == child {
			kinds = append(kinds, task.GetKind())
		}
	}
	return kinds
}

// tenDays is how long a team may be away until what is for it counts as undelivered, and more.
func tenDays(x *testkit.Exchange) {
	for range 10 {
		x.Clock.Advance(24 * time.Hour)
		x.Settle()
	}
}

// mayBeAlone is a form of so many children, of whom all but the first are with somebody under 18.
func mayBeAlone(children int) *posternv1.Form {
	f := formtest.New(slices.Repeat([]string{testkit.Bristol}, children)...)
	for _, c := range f.GetChildren()[1:] {
		c.Carer.IsAdult = posternv1.Answer_ANSWER_NO
	}
	return f
}

// A child who waits is taken back, and somebody telephones about her all the same: she goes nowhere.
func TestAChildTakenBackDoesNotGoOn(t *testing.T) {
	x, d := opened(t)
	id := d.Take(mayBeAlone(2))[0]
	x.Settle()
	if n := withdraws(t, d, id, "", "child/2"); n.GetState() != delivered {
		t.Fatalf("the first child is %v", n.GetState())
	}
	if kinds := tasksOf(d, id, 2); len(kinds) == 0 {
		t.Error("that somebody telephones about a child who may be alone left the list")
	}
	answeredCall(t, d, id, 2)
	wait(x)
	if n := d.Get(id).GetNotification(); len(n.GetFollowups()) > 0 || len(x.Inbox(testkit.Bristol).Items()) != 1 {
		t.Errorf("she goes on as %v", n.GetFollowups())
	}
}

// Who goes on in a notification of her own has other numbers there: what was taken back of her is left out, and what was
// taken back of her brother is not. It is not sent later either, when it is sealed again or printed.
func TestPartsTakenBackKeepTheirChild(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	id := d.Take(mayBeAlone(2))[0]
	x.Settle()
	withdraws(t, d, id, "", "child/1/phone", "child/2/school", "parent/birth")
	in.Link.Down(true)
	answeredCall(t, d, id, 2)
	x.Settle()
	on := d.Get(id).GetNotification().GetFollowups()[0].GetId()
	right := func(where string, paths []string) {
		t.Helper()
		if slices.Contains(paths, "child/1/school") || slices.Contains(paths, "parent/birth") || !slices.Contains(paths, "child/1/phone") || len(paths) != 13 {
			t.Errorf("%s are %v", where, paths)
		}
	}
	right("shared", d.Get(on).GetNotification().GetDecision().GetPaths())
	for range 2 { // sealed again, and once more
		tenDays(x)
		right("printed", printed(t, d, on))
		must(in.Rotate(t.Context(), &localv1.RotateRequest{}))(t)
		x.Settle()
		wait(x)
		if on = d.Get(on).GetNotification().GetResealedBy(); on == "" {
			t.Fatal("it is not sealed again")
		}
	}
	in.Link.Down(false)
	wait(x)
	right("at the team", teamHas(t, in, on))
}

// The slip names the first notification. All of it, or a child of it, is taken back wherever it goes on by now, how often
// ever, whether the hub can be reached or not.
func TestAWithdrawalReachesWhateverGoesOn(t *testing.T) {
	for name, paths := range map[string][]string{"all": nil, "the last child": {"child/3"}} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			id := d.Take(mayBeAlone(3))[0]
			x.Settle()
			answeredCall(t, d, id, 2)
			x.Settle()
			x.Clock.Advance(2 * time.Hour)
			x.Settle()
			second := d.Get(id).GetNotification().GetFollowups()[0].GetId()
			if len(d.Get(second).GetNotification().GetFollowups()) == 0 {
				t.Fatalf("nobody goes on: %v", d.Get(second).GetNotification())
			}
			third := d.Get(second).GetNotification().GetFollowups()[0].GetId()
			d.Link.Down(true)
			withdraws(t, d, id, "", paths...)
			if n := d.Get(third).GetNotification(); !desk.ActionsOf(n).Back {
				t.Errorf("while the hub is away, the third child is not taken back: %v", n)
			}
			d.Link.Down(false)
			wait(x)
			answeredCall(t, d, third, 1) // she may be alone all the same
			wait(x)
			if got := teamHas(t, x.Inbox(testkit.Bristol), third); d.State(third) != stateWithdrawn || len(got) > 0 {
				t.Errorf("the third child is %v, and the team has %v", d.State(third), got)
			}
		})
	}
}

// What the safeguarding lead decided to share goes whole, whatever was taken back before: also sealed again, and printed.
func TestWhatTheLeadSharesIsWhole(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	f := unchecked(testkit.Bristol)
	f.Gate = posternv1.Gate_GATE_HOLD
	id := d.Take(f)[0]
	x.Settle()
	withdraws(t, d, id, "", "child/1/home")
	in.Link.Down(true)
	decides(t, d, id, true)
	tenDays(x)
	if got := printed(t, d, id); !slices.Contains(got, "child/1/home") {
		t.Errorf("printed is %v", got)
	}
	must(in.Rotate(t.Context(), &localv1.RotateRequest{}))(t)
	in.Link.Down(false)
	wait(x)
	wait(x)
	again := d.Get(id).GetNotification().GetResealedBy()
	if got := teamHas(t, in, again); !slices.Contains(got, "child/1/home") {
		t.Errorf("sealed again as %q, the team has %v", again, got)
	}
}

func decides(t *testing.T, d *testkit.Desk, id string, share bool) {
	t.Helper()
	must(d.Cases.Consider(t.Context(), deciding(id, share)))(t)
}

func deciding(id string, share bool) *localv1.ConsiderRequest {
	req := &localv1.ConsiderRequest{Id: id, Share: share, Reasons: "why", Codes: &posternv1.Consideration{
		Relevant: posternv1.Answer_ANSWER_YES, ParentTold: posternv1.Answer_ANSWER_YES}}
	if share {
		req.Codes.HelpsFunction, req.Codes.NotMoreDetrimental = "ca1989.s17", []uint32{1}
		req.Codes.Paths = []string{"parent/name", "child/1/identity", "child/1/home", "child/1/safety"}
	}
	return req
}

// Nobody is told that a decision is recorded which then goes nowhere; and what stays here by a decision is not printed,
// though the hub has not heard of it.
func TestADecisionThatGoesNowhereIsNotTaken(t *testing.T) {
	x, d := opened(t)
	f := unchecked(testkit.Bristol)
	f.Gate = posternv1.Gate_GATE_HOLD
	id, byHand := d.Take(f)[0], d.Take(formtest.New(testkit.Lancashire))[0]
	x.Settle()
	decides(t, d, id, false)
	d.Link.Down(true)
	withdraw(t, d, id)
	_, err := d.Cases.Consider(t.Context(), deciding(id, true))
	wantFault(t, err, fault.Precondition, "ENDED")
	if desk.ActionsOf(d.Get(id).GetNotification()).Consider {
		t.Error("the page offers it")
	}
	printed(t, d, byHand)
	decides(t, d, byHand, false)
	_, err = d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: byHand})
	wantFault(t, err, fault.Precondition, "NO_MANUAL_ROUTE")
}

// A letter is no call: that somebody telephones about a child who may be alone stays on the list when the form went by post.
// A call that would only say what the form cannot carry is over when the child was taken back.
func TestALetterIsNoCall(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Lancashire)
	f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NO
	hidden := formtest.New(testkit.Bristol, testkit.Bristol)
	hidden.Children[1].AddressConfidential, hidden.Children[1].Home = true, nil
	id, secret := d.Take(f)[0], d.Take(hidden)[0]
	x.Settle()
	must(d.Cases.CloseManual(t.Context(), &localv1.CloseManualRequest{Id: id, How: localv1.ManualRoute_MANUAL_ROUTE_POST, To: "Support Hub"}))(t)
	if kinds := tasksOf(d, id, 1); !slices.Equal(kinds, []posternv1.ObligationKind{posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR}) {
		t.Errorf("after a letter there is to do %v", kinds)
	}
	answeredCall(t, d, id, 1)
	if n := d.Get(id).GetNotification(); len(n.GetTasks()) > 0 {
		t.Errorf("after the call there is to do %v", n.GetTasks())
	}
	if kinds := tasksOf(d, secret, 2); len(kinds) == 0 {
		t.Fatal("nobody has to telephone about a child whose address is confidential")
	}
	withdraws(t, d, secret, "", "child/2")
	if kinds := tasksOf(d, secret, 2); len(kinds) > 0 {
		t.Errorf("about a child who was taken back there is to do %v", kinds)
	}
}

// What went by hand and is taken back at another prison is known here: somebody has to telephone whom it was sent to.
func TestTakenBackElsewhereAfterItWentByHand(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.New(testkit.Lancashire))[0]
	x.Settle()
	must(d.Cases.CloseManual(t.Context(), &localv1.CloseManualRequest{Id: id, How: localv1.ManualRoute_MANUAL_ROUTE_POST, To: "Support Hub"}))(t)
	n := d.Get(id).GetNotification()
	withdraws(t, x.Desk(testkit.HMPParc), n.GetReference(), n.GetSlipCode())
	wait(x)
	if n = d.Get(id).GetNotification(); !n.GetTakenBackElsewhere() || !desk.ActionsOf(n).Back || desk.ActionsOf(n).Correct {
		t.Errorf("here it is %v, with %+v", n, desk.ActionsOf(n))
	}
}

// A part that another prison took back is left out here too: on paper, and of whoever goes on.
func TestAPartTakenBackElsewhereIsLeftOut(t *testing.T) {
	x, d := opened(t)
	other := x.Desk(testkit.HMPParc)
	byHand, shared := d.Take(formtest.New(testkit.Lancashire))[0], d.Take(mayBeAlone(2))[0]
	x.Settle()
	for id, path := range map[string]string{byHand: "child/1/school", shared: "child/2/school"} {
		n := d.Get(id).GetNotification()
		withdraws(t, other, n.GetReference(), n.GetSlipCode(), path)
	}
	wait(x)
	if got := printed(t, d, byHand); slices.Contains(got, "child/1/school") || len(got) == 0 {
		t.Errorf("printed is %v", got)
	}
	answeredCall(t, d, shared, 2)
	wait(x)
	on := d.Get(shared).GetNotification().GetFollowups()[0].GetId()
	if got := teamHas(t, x.Inbox(testkit.Bristol), on); slices.Contains(got, "child/1/school") || len(got) == 0 {
		t.Errorf("of the sister the team has %v", got)
	}
}

// Whoever was asked again after they took a part back has agreed again, whatever the hub tells of that part later.
func TestAskedAgainIsAgreedAgain(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	withdraws(t, d, id, "", "child/1/school")
	x.Clock.Advance(10 * time.Minute)
	again := formtest.New(testkit.Bristol)
	again.Supersedes, again.Consent.GiveTime.Seconds = id, x.Clock.Now().Unix()
	x.Clock.Advance(2 * time.Hour)
	x.Settle()
	wait(x)
	if ids := d.Take(again); len(ids) != 1 {
		t.Errorf("it is not taken: %v", ids)
	}
}

// With a child who was taken back goes what stands beside her: why she was shared, and that there was permission.
func TestNothingIsLeftBesideAChildTakenBack(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
	x.Settle()
	withdraws(t, d, id, "", "child/2")
	wait(x)
	item := must(x.Inbox(testkit.Bristol).GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	of := slices.IndexFunc(item.GetDecision().GetChildren(), func(c *posternv1.ChildDecision) bool { return c.GetNumber() == 2 })
	if of >= 0 || len(item.GetDecision().GetChildren()) != 1 || !slices.Equal(item.GetConsent().GetChildren(), []uint32{1}) {
		t.Errorf("the team still has %v and %v", item.GetDecision().GetChildren(), item.GetConsent())
	}
}

// Permission that was taken back, all of it or a part, here or elsewhere, is not given again by a form that puts the
// notification right: the person is asked again. What goes without permission needs none.
func TestPermissionTakenBackIsNotUsedAgain(t *testing.T) {
	for name, takeBack := range map[string]func(*testing.T, *testkit.Exchange, *testkit.Desk, *localv1.Notification){
		"all": func(t *testing.T, _ *testkit.Exchange, d *testkit.Desk, n *localv1.Notification) {
			withdraw(t, d, n.GetId())
		},
		"a part": func(t *testing.T, _ *testkit.Exchange, d *testkit.Desk, n *localv1.Notification) {
			withdraws(t, d, n.GetId(), "", "child/2")
		},
		"elsewhere": func(t *testing.T, x *testkit.Exchange, _ *testkit.Desk, n *localv1.Notification) {
			withdraws(t, x.Desk(testkit.HMPParc), n.GetReference(), n.GetSlipCode())
			wait(x)
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			id := d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
			x.Settle()
			takeBack(t, x, d, d.Get(id).GetNotification())
			again, urgent := formtest.New(testkit.Bristol, testkit.Bristol), formtest.Urgent(testkit.Bristol, 1)
			again.Supersedes, urgent.Supersedes = id, id
			_, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, again), testkit.Staff)
			wantFault(t, err, fault.Invalid, "PERMISSION_TAKEN_BACK")
			if f := fault.From(err).Fields; len(f) != 1 || f[0].Path != "consent.give_time" {
				t.Errorf("it names %v", f)
			}
			x.Clock.Advance(time.Hour)
			again.Consent.GiveTime.Seconds = x.Clock.Now().Unix()
			if ids := d.Take(again); len(ids) != 1 {
				t.Errorf("asked again, the person agreed, and it is not taken: %v", ids)
			}
			urgent.Consent = formtest.New(testkit.Bristol).GetConsent()
			if _, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, urgent), testkit.Staff); fault.From(err).Reason == "PERMISSION_TAKEN_BACK" {
				t.Error("what is urgent waits for permission")
			}
		})
	}
}

// Another prison takes a child back of what waits at the hub still, or by a manifest that this desk has made again meanwhile:
// she is left out of whatever goes on, and of what is printed.
func TestAChildTakenBackElsewhereDoesNotGoOn(t *testing.T) {
	for name, made := range map[string]bool{"it waits at the hub": false, "it was made again meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
			f := mayBeAlone(3)
			f.Children[1].Carer.IsAdult = posternv1.Answer_ANSWER_YES
			if made {
				f.Gate = posternv1.Gate_GATE_NOT_DONE
			}
			in.Link.Down(true)
			id := d.Take(f)[0]
			x.Settle()
			n := d.Get(id).GetNotification()
			d.Link.Down(true)
			if made {
				setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD)
			}
			withdraws(t, other, n.GetReference(), n.GetSlipCode(), "child/2")
			d.Link.Down(false)
			in.Link.Down(false)
			wait(x)
			answeredCall(t, d, id, 3)
			wait(x)
			for _, item := range in.Items() {
				got := teamHas(t, in, item.GetId())
				if item.GetId() == id && slices.Contains(got, "child/2/home") || item.GetId() != id && (slices.Contains(got, "child/2/home") || !slices.Contains(got, "child/1/home")) {
					t.Errorf("of %s the team has %v", item.GetReference(), got)
				}
			}
			if len(in.Items()) != 2 {
				t.Errorf("the team has %d notifications", len(in.Items()))
			}
		})
	}
}

// Two prisons, or one twice, take back by the id and by the reference, and then the hub is lost: all of it counts.
func TestTwoNamesOfOneNotification(t *testing.T) {
	for _, partByID := range []bool{true, false} {
		x, d := opened(t)
		in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
		in.Link.Down(true)
		id := d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
		x.Settle()
		n := d.Get(id).GetNotification()
		d.Link.Down(true)
		part, all := n.GetReference(), n.GetId()
		if partByID {
			part, all = all, part
		}
		withdraws(t, other, part, n.GetSlipCode(), "child/1/school")
		withdraws(t, other, all, n.GetSlipCode())
		x.Settle()
		x.LoseHub()
		x.Clock.Advance(2 * testkit.MaxWait)
		x.Settle()
		d.Link.Down(false)
		in.Link.Down(false)
		wait(x)
		if got := teamHas(t, in, id); len(got) > 0 {
			t.Errorf("a part by the id %t: the team has %v", partByID, got)
		}
	}
}

// The safeguarding lead decides about one child. Another, whose parent agreed, still goes by permission once somebody has
// telephoned, with what was taken back of her left out.
func TestAnOrderIsAboutItsChildrenAlone(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	f := mayBeAlone(3)
	f.Children[1].Carer.IsAdult, f.Children[1].Home = posternv1.Answer_ANSWER_YES, nil
	id := d.Take(f)[0]
	x.Settle()
	withdraws(t, d, id, "", "child/3/school")
	req := deciding(id, true)
	req.Codes.NotMoreDetrimental, req.Codes.Paths = []uint32{2}, []string{"parent/name", "child/2/identity", "child/2/school"}
	must(d.Cases.Consider(t.Context(), req))(t)
	answeredCall(t, d, id, 3)
	wait(x)
	all := d.Get(id).GetNotification().GetFollowups()
	if len(all) != 2 || !slices.Equal(all[0].GetChildNumbers(), []uint32{2}) || !slices.Equal(all[1].GetChildNumbers(), []uint32{3}) {
		t.Fatalf("they go on as %v", all)
	}
	if got := teamHas(t, in, all[0].GetId()); !slices.Equal(got, []string{"child/1/identity", "child/1/school", "parent/name"}) {
		t.Errorf("by the order the team has %v", got)
	}
	if got := teamHas(t, in, all[1].GetId()); !slices.Contains(got, "child/1/home") || slices.Contains(got, "child/1/school") {
		t.Errorf("by permission the team has %v", got)
	}
}

// Whatever came of a notification, that somebody has to telephone about a child leads to it from the list of what needs a
// person, until somebody has; when nobody did in time, the duty governor is alerted.
func TestWhatIsOwedToAChildIsOnAList(t *testing.T) {
	for name, paths := range map[string][]string{"all": nil, "the child": {"child/2"}} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			id := d.Take(mayBeAlone(2))[0]
			x.Settle()
			withdraws(t, d, id, "", paths...)
			wait(x)
			x.Clock.Advance(3 * time.Hour)
			list := func() []*localv1.Notification {
				return must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Referred: true}))(t).GetNotifications()
			}
			if all := list(); len(all) != 1 || !all[0].GetOverdue() || !slices.Contains(tasksOf(d, id, 2), posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR) {
				t.Errorf("listed are %v", all)
			}
			answeredCall(t, d, id, 2)
			if all := list(); len(all) != 0 {
				t.Errorf("after the call listed are %v", all)
			}
		})
	}
}

// A hub that is away keeps nobody from telephoning about a child who may be alone: it is on the list from the first moment,
// also when a form is put right meanwhile, and the duty governor is alerted when nobody has.
func TestAChildWhoMayBeAloneDoesNotWaitForTheHub(t *testing.T) {
	x, d := opened(t)
	d.Link.Down(true)
	id := d.Take(mayBeAlone(2))[0]
	listed := func(id string) (kinds []posternv1.ObligationKind) {
		t.Helper()
		all := must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Referred: true}))(t).GetNotifications()
		if len(all) != 1 || all[0].GetId() != id {
			t.Errorf("listed are %v", all)
		}
		return tasksOf(d, id, 2)
	}
	phone, alert := posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR, posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR
	if got := listed(id); !slices.Equal(got, []posternv1.ObligationKind{phone}) {
		t.Errorf("at once there is to do %v", got)
	}
	right := mayBeAlone(2)
	right.Supersedes = id
	id = d.Take(right)[0]
	x.Clock.Advance(2 * time.Hour)
	if got := listed(id); !slices.Equal(got, []posternv1.ObligationKind{phone, alert}) {
		t.Errorf("two hours after it was put right there is to do %v", got)
	}
	answeredCall(t, d, id, 2)
	if got := tasksOf(d, id, 2); len(got) > 0 {
		t.Errorf("after the call there is to do %v", got)
	}
	d.Link.Down(false)
	wait(x)
	if on := d.Get(id).GetNotification().GetFollowups(); len(on) != 1 || len(teamHas(t, x.Inbox(testkit.Bristol), on[0].GetId())) == 0 {
		t.Errorf("with the call the second child goes as %v", on)
	}
}
