package desk_test

import (
	"slices"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const phoneDoor = posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR

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
