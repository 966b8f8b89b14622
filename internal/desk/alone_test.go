package desk_test

import (
	"slices"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/ops"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	phoneDoor     = posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR
	alertGovernor = posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR
)

// alone is a form of one child, who is with somebody under 18.
func alone(authority string) *posternv1.Form {
	f := formtest.New(authority)
	f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NO
	return f
}

func needPerson(t *testing.T, d *testkit.Desk) []*localv1.Notification {
	t.Helper()
	return must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Referred: true}))(t).GetNotifications()
}

// The child may be alone and nobody telephoned in time: whatever else keeps the form here, the duty governor is alerted then,
// once, and counted for whoever watches the measures, until somebody has telephoned.
func TestTheDutyGovernorIsAlertedWhateverHoldsTheForm(t *testing.T) {
	for name, edit := range map[string]func(*posternv1.Form){
		"nothing":      func(*posternv1.Form) {},
		"no agreement": func(f *posternv1.Form) { f.Children[0].Authority = testkit.Lancashire },
		"capacity":     func(f *posternv1.Form) { f.Consent.CapacityConcern = true },
		"under 18":     func(f *posternv1.Form) { f.Consent.GrantorUnder_18 = true },
		"a hold":       func(f *posternv1.Form) { f.Gate = posternv1.Gate_GATE_HOLD },
		"the check":    func(f *posternv1.Form) { f.Gate = posternv1.Gate_GATE_NOT_DONE },
		"an address":   func(f *posternv1.Form) { f.Children[0].AddressConfidential, f.Children[0].Home = true, nil },
		"not asked": func(f *posternv1.Form) {
			f.Consent = &posternv1.Consent{Version: 1, Jurisdiction: "GB-ENG", State: posternv1.ConsentState_CONSENT_STATE_NOT_ASKED}
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			metrics := ops.NewMetrics()
			d.Restart(func(c *desk.Config) { c.Metrics = metrics })
			f := alone(testkit.Bristol)
			edit(f)
			id := d.Take(f)[0]
			x.Settle()
			x.Clock.Advance(59 * time.Minute)
			if got := tasksOf(d, id, 1); !slices.Contains(got, phoneDoor) || slices.Contains(got, alertGovernor) {
				t.Errorf("within the hour there is to do %v", got)
			}
			measures(t, metrics, map[string]int{"duty_governor_alerts": 0})
			x.Clock.Advance(time.Minute)
			for range 2 { // by the desk's own clock, and when the hub has said so too
				got := tasksOf(d, id, 1)
				alerts := slices.DeleteFunc(slices.Clone(got), func(k posternv1.ObligationKind) bool { return k != alertGovernor })
				if !slices.Contains(got, phoneDoor) || len(alerts) != 1 {
					t.Errorf("after an hour there is to do %v", got)
				}
				measures(t, metrics, map[string]int{"duty_governor_alerts": 1})
				x.Settle()
			}
			answeredCall(t, d, id, 1)
			x.Settle()
			if got := tasksOf(d, id, 1); slices.Contains(got, alertGovernor) {
				t.Errorf("after the call there is to do %v", got)
			}
			measures(t, metrics, map[string]int{"duty_governor_alerts": 0})
		})
	}
}

// A call that says what the form cannot carry is about nobody who may be alone: it falls due, and alerts nobody.
func TestACallInsteadOfAFormAlertsNobody(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.Children[0].AddressConfidential, f.Children[0].Home = true, nil
	id := d.Take(f)[0]
	x.Settle()
	x.Clock.Advance(5 * 24 * time.Hour)
	x.Settle()
	if got := tasksOf(d, id, 1); !slices.Equal(got, []posternv1.ObligationKind{phoneDoor}) {
		t.Errorf("there is to do %v", got)
	}
}

// The hub has decided that a form waits for a call, and is away when that is due: the child is on the list all the same, and
// the duty governor is alerted.
func TestACallThatFallsDueWhileTheHubIsAway(t *testing.T) {
	urgent := formtest.Urgent(testkit.Bristol, 1)
	urgent.Urgency.Calls = nil
	for child, f := range map[uint32]*posternv1.Form{1: alone(testkit.Bristol), 0: urgent} {
		x, d := opened(t)
		id := d.Take(f)[0]
		x.Settle()
		if s := d.State(id); s != waiting {
			t.Fatalf("it is %v", s)
		}
		d.Link.Down(true)
		x.Clock.Advance(2 * time.Hour)
		x.Settle()
		for range 2 { // while it is away, and when it is there again
			if got := tasksOf(d, id, child); !slices.Equal(got, []posternv1.ObligationKind{phoneDoor, alertGovernor}) {
				t.Errorf("child %d: there is to do %v", child, got)
			}
			if all := needPerson(t, d); len(all) != 1 || !all[0].GetOverdue() {
				t.Errorf("child %d: listed are %v", child, all)
			}
			d.Link.Down(false)
			wait(x)
		}
	}
}

// An urgent message goes when somebody telephoned, and when nobody answered too: that is for the police, and not for the duty
// governor.
func TestACallThatNobodyAnsweredAlertsNobody(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.Urgent(testkit.Bristol, 1))[0]
	x.Settle()
	x.Clock.Advance(2 * time.Hour)
	x.Settle()
	if got := tasksOf(d, id, 0); slices.Contains(got, alertGovernor) || !slices.Contains(got, phoneDoor) {
		t.Errorf("there is to do %v", got)
	}
}

// The safeguarding lead orders to share and nobody has telephoned: the call about a child who may be alone is owed as before,
// from the hour in which the form came, also when the order goes as a notification of its own and is sealed again. A call by the
// reference on the person's slip reaches it there.
func TestAnOrderToShareIsNoCall(t *testing.T) {
	for name, f := range map[string]*posternv1.Form{"of all": unchecked(testkit.Bristol), "of one": mayBeAlone(2)} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			in := x.Inbox(testkit.Bristol)
			last := f.GetChildren()[len(f.GetChildren())-1]
			last.Carer.IsAdult = posternv1.Answer_ANSWER_NO
			id, child := d.Take(f)[0], uint32(len(f.GetChildren()))
			x.Settle()
			due := d.Get(id).GetNotification().GetTasks()[0].GetDueTime().AsTime()
			in.Link.Down(true)
			x.Clock.Advance(10 * time.Minute)
			req := deciding(id, true)
			if child == 2 {
				req.Codes.NotMoreDetrimental, req.Codes.Paths = []uint32{2}, []string{"parent/name", "child/2/identity", "child/2/home"}
			}
			all := must(d.Cases.Consider(t.Context(), req))(t).GetNotifications()
			on := all[len(all)-1].GetId()
			owed := func(kinds ...posternv1.ObligationKind) {
				t.Helper()
				n := d.Get(on).GetNotification()
				if got := tasksOf(d, on, 1); n.GetRoute() != posternv1.Route_ROUTE_DUTY || !slices.Equal(got, kinds) {
					t.Errorf("by %v, %v, there is to do %v", n.GetRoute(), n.GetState(), got)
				}
				listed := needPerson(t, d)
				if len(kinds) > 0 && !slices.ContainsFunc(listed, func(n *localv1.Notification) bool {
					return n.GetId() == on && n.GetDueTime().AsTime().Equal(due)
				}) {
					t.Errorf("listed are %v, and it is due at %v", listed, due)
				}
			}
			owed(phoneDoor)
			x.Clock.Advance(50 * time.Minute)
			owed(phoneDoor, alertGovernor)
			tenDays(x)
			must(in.Rotate(t.Context(), &localv1.RotateRequest{}))(t)
			x.Settle()
			wait(x)
			if on = d.Get(on).GetNotification().GetResealedBy(); on == "" {
				t.Fatal("it is not sealed again")
			}
			owed(phoneDoor, alertGovernor)
			answeredCall(t, d, id, child)
			owed()
			if n := d.Get(on).GetNotification(); len(n.GetCalls()) != 1 || n.GetCalls()[0].GetChildNumber() != 1 {
				t.Errorf("the call is there as %v", n.GetCalls())
			}
			in.Link.Down(false)
			wait(x)
			if got := teamHas(t, in, on); len(got) != len(req.Codes.Paths) {
				t.Errorf("the team has %v", got)
			}
		})
	}
}

// A call by the reference on the person's slip reaches a child however often she went on, with her number there, and once.
func TestACallReachesAChildHoweverOftenSheWentOn(t *testing.T) {
	x, d := opened(t)
	id := d.Take(mayBeAlone(3))[0]
	x.Settle()
	answeredCall(t, d, id, 2)
	x.Settle()
	x.Clock.Advance(2 * time.Hour) // her call is overdue
	x.Settle()
	call := &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED, ChildNumber: 3, CallTime: d.Get(id).GetNotification().GetCreateTime()}
	var all []*localv1.Notification
	for range 2 { // and once more
		all = must(d.Cases.RecordCall(t.Context(), call))(t).GetNotifications()
		x.Settle()
	}
	third := func(n *localv1.Notification) bool { return slices.Equal(n.GetFormChildren(), []uint32{3}) }
	at := slices.IndexFunc(all, third)
	if len(all) < 3 || at < 0 {
		t.Fatalf("it went on as %v", all)
	}
	n := d.Get(all[at].GetId()).GetNotification()
	if calls := n.GetCalls(); n.GetState() != delivered || len(calls) != 1 || calls[0].GetChildNumber() != 1 {
		t.Errorf("the third child is %v with calls %v and tasks %v", n.GetState(), calls, n.GetTasks())
	}
	if listed := needPerson(t, d); len(listed) > 0 {
		t.Errorf("listed are %v", listed)
	}
}

// Where the call is owed it may be recorded, also of what was taken back before the hub had heard of it.
func TestACallThatIsOwedMayBeRecorded(t *testing.T) {
	_, d := opened(t)
	d.Link.Down(true)
	id := d.Take(alone(testkit.Bristol))[0]
	withdraws(t, d, id, "")
	n := d.Get(id).GetNotification()
	if got := tasksOf(d, id, 1); !slices.Equal(got, []posternv1.ObligationKind{phoneDoor}) || !desk.ActionsOf(n).Call {
		t.Errorf("there is to do %v, and a call may be recorded: %t", got, desk.ActionsOf(n).Call)
	}
	answeredCall(t, d, id, 1)
	if got := tasksOf(d, id, 1); len(got) > 0 {
		t.Errorf("after the call there is to do %v", got)
	}
}
