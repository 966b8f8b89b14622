package desk_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/ops"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// sisters is a form of two children in Bristol, of whom the second is with somebody under 18.
func sisters() *posternv1.Form {
	f := unchecked(testkit.Bristol, testkit.Bristol)
	f.Gate = posternv1.Gate_GATE_NO_HOLD
	f.Children[1].Carer.IsAdult = posternv1.Answer_ANSWER_NO
	return f
}

func answeredCall(t *testing.T, d *testkit.Desk, name string, child uint32) []*localv1.Notification {
	t.Helper()
	return must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{
		Id: name, Result: posternv1.CallResult_CALL_RESULT_ANSWERED, ChildNumber: child, Who: "Duty worker"}))(t).GetNotifications()
}

// What waits is submitted again when it is due, once, and then a person must decide; the check may still come after that.
func TestWaitingEndsWhenItIsDue(t *testing.T) {
	x, d := opened(t)
	id := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	first := d.Get(id).GetNotification()
	if first.GetState() != waiting || first.GetDueTime() == nil || first.GetOverdue() {
		t.Fatalf("it is %v", first)
	}
	list := must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Waiting: true}))(t).GetNotifications()
	if len(list) != 1 || list[0].GetId() != id {
		t.Errorf("waiting are %v", list)
	}
	x.Clock.Advance(first.GetDueTime().AsTime().Sub(x.Clock.Now()) - time.Second)
	worked, err := d.StepClocks(t.Context())
	rests(t, worked, err)
	x.Clock.Advance(time.Second)
	worked, err = d.StepClocks(t.Context())
	works(t, worked, err)
	x.Settle()
	due := d.Get(id).GetNotification()
	if due.GetState() != referred || due.GetSlipCode() != first.GetSlipCode() {
		t.Fatalf("when it was due it became %v", due)
	}
	x.Clock.Advance(30 * 24 * time.Hour)
	worked, err = d.StepClocks(t.Context())
	rests(t, worked, err)
	setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD)
	x.Settle()
	if s := d.State(id); s != delivered {
		t.Errorf("cleared late, it is %s", s)
	}
}

// Who could not be asked, or could not decide, is for the safeguarding lead after the third day, as their page promises.
func TestWhoCouldNotDecideIsForTheLeadAfterTheThirdDay(t *testing.T) {
	for _, outcome := range []posternv1.EnquiryOutcome{posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED} {
		t.Run(outcome.String(), func(t *testing.T) {
			x, d := opened(t)
			f := formtest.Enquiry(outcome)
			f.Consent = &posternv1.Consent{Version: 1, Jurisdiction: "GB-ENG", State: posternv1.ConsentState_CONSENT_STATE_NOT_ASKED}
			id := d.Take(f)[0]
			for day := range 4 {
				x.Settle()
				if n := d.Get(id).GetNotification(); n.GetState() != waiting || !hasTask(n, posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN) || len(toDecide(t, d)) != 0 {
					t.Errorf("on day %d it is %v, with %v", day, n.GetState(), n.GetTasks())
				}
				x.Clock.Advance(24 * time.Hour)
			}
			x.Settle()
			if all := toDecide(t, d); len(all) != 1 || all[0].GetState() != referred || all[0].GetDueTime() == nil {
				t.Errorf("on the fourth day the lead's list is %v", all)
			}
		})
	}
}

// A new form that says the same again does not begin the days again; one that asks and gets an answer ends them.
func TestNobodyIsPutOffForEver(t *testing.T) {
	x, d := opened(t)
	var last []string
	take := func(outcome posternv1.EnquiryOutcome) {
		f := formtest.Enquiry(outcome)
		if f.AskAgainDate = ""; len(last) > 0 {
			f.Supersedes = d.Get(last[0]).GetNotification().GetFormId()
		}
		last = d.Take(f)
		x.Settle()
	}
	for day := range 4 {
		if day != 2 {
			take([]posternv1.EnquiryOutcome{posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN}[day%2])
		}
		if s := d.State(last[0]); s != waiting {
			t.Errorf("on day %d it is %v", day, s)
		}
		x.Clock.Advance(24 * time.Hour)
		x.Settle()
	}
	if all := toDecide(t, d); len(all) != 1 || all[0].GetId() != last[0] || all[0].GetState() != referred {
		t.Errorf("on the fourth day the lead's list is %v", all)
	}
	take(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN)
	if all := toDecide(t, d); len(all) != 0 || d.State(last[0]) != withheld {
		t.Errorf("once they were asked the lead's list is %v", all)
	}
}

// One child never holds up another: the first goes, and when the call about the second is recorded, she goes on in a
// notification of her own, under the number that she has there.
func TestTheChildWhoWaitedGoesOnInANewNotification(t *testing.T) {
	x, d := opened(t)
	id := d.Take(sisters())[0]
	x.Settle()
	if n := d.Get(id).GetNotification(); n.GetState() != delivered || len(n.GetTasks()) == 0 || n.GetDueTime() == nil {
		t.Fatalf("with one of them waiting it is %v", n)
	}
	list := must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Waiting: true}))(t).GetNotifications()
	if len(list) != 1 {
		t.Fatalf("waiting are %v", list)
	}
	all := answeredCall(t, d, id, 2)
	if len(all) != 2 || all[1].GetFollows() != id || all[1].GetState() != accepted || len(all[1].GetFormChildren()) != 1 || all[1].GetFormChildren()[0] != 2 {
		t.Fatalf("after the call there are %v", all)
	}
	x.Settle()
	items := x.Inbox(testkit.Bristol).Items()
	if d.State(all[1].GetId()) != delivered || len(items) != 2 {
		t.Errorf("the second is %s, and the team has %v", d.State(all[1].GetId()), items)
	}
	for _, i := range items {
		if i.GetChildren() != 1 {
			t.Errorf("an item about %d children", i.GetChildren())
		}
	}
	list = must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Waiting: true}))(t).GetNotifications()
	if len(list) != 0 {
		t.Errorf("waiting are still %v", list)
	}
}

// Whoever takes all of it back takes back what goes on from it, too.
func TestAWithdrawalReachesWhatGoesOn(t *testing.T) {
	x, d := opened(t)
	id := d.Take(sisters())[0]
	x.Settle()
	next := answeredCall(t, d, id, 2)[1].GetId()
	x.Settle()
	must(d.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}))(t)
	x.Settle()
	for _, one := range []string{id, next} {
		if s := d.State(one); s != localv1.State_STATE_STOP_ASKED {
			t.Errorf("%s is %s", one, s)
		}
	}
}

// measures holds a desk's gauges, as whoever watches them reads them, against what they must say.
func measures(t *testing.T, m *ops.Metrics, want map[string]int) {
	t.Helper()
	lis := must(ops.Listen(t.Context(), "127.0.0.1:0"))(t)
	server := ops.NewServer(ops.Config{Metrics: m, Log: slog.New(slog.DiscardHandler)})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(lis) }()
	defer func() { server.Close(); <-ended }()
	answer := must(http.Get("http://" + lis.Addr().String() + "/metrics"))(t)
	defer answer.Body.Close()
	page := string(must(io.ReadAll(answer.Body))(t))
	for name, value := range want {
		if line := fmt.Sprintf("\npostern_%s %d\n", name, value); !strings.Contains(page, line) {
			t.Errorf("no line %q in\n%s", line, regexp.MustCompile("(?m)^postern.*$").FindAllString(page, -1))
		}
	}
}

// Nobody telephoned within the hour: the desk says who is to be told, and counts it for whoever watches the measures.
func TestTheDutyGovernorIsToBeTold(t *testing.T) {
	x, d := opened(t)
	f := unchecked(testkit.Bristol)
	f.Gate = posternv1.Gate_GATE_NO_HOLD
	f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NO
	metrics := ops.NewMetrics()
	d.Restart(func(c *desk.Config) { c.Metrics = metrics })
	id := d.Take(f)[0]
	x.Settle()
	measures(t, metrics, map[string]int{"cases_waiting": 1, "cases_referred": 0, "cases_overdue": 0, "duty_governor_alerts": 0, "spool_length": 0})
	x.Clock.Advance(61 * time.Minute)
	x.Settle()
	measures(t, metrics, map[string]int{"cases_waiting": 0, "cases_referred": 1, "cases_overdue": 1, "duty_governor_alerts": 1})
	n := d.Get(id).GetNotification()
	alerts := func(t *localv1.Task) bool {
		return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR
	}
	if n.GetState() != referred || !slices.ContainsFunc(n.GetTasks(), alerts) || !n.GetOverdue() {
		t.Fatalf("it is %v", n)
	}
	all := answeredCall(t, d, id, 0)
	if all[0].GetState() != accepted || slices.ContainsFunc(all[0].GetTasks(), alerts) {
		t.Errorf("after the call it is %v", all[0])
	}
	measures(t, metrics, map[string]int{"cases_waiting": 0, "cases_referred": 0, "cases_overdue": 0, "duty_governor_alerts": 0})
	d.Link.Down(true)
	d.Take(family())
	x.Clock.Advance(7 * time.Minute)
	measures(t, metrics, map[string]int{"spool_length": 1, "spool_oldest_seconds": 420, "directory_revision": 1})
}

// The same when another prison takes it, with the reference and the code on the slip of the first.
func TestAWithdrawalElsewhereReachesWhatGoesOn(t *testing.T) {
	x, d := opened(t)
	id := d.Take(sisters())[0]
	x.Settle()
	next := answeredCall(t, d, id, 2)[1].GetId()
	x.Settle()
	first := d.Get(id).GetNotification()
	other := x.Desk(testkit.HMPParc)
	must(other.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{
		Id: first.GetReference(), SlipCode: first.GetSlipCode(), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}))(t)
	x.Settle()
	for _, one := range []string{id, next} {
		if s := d.State(one); s != localv1.State_STATE_STOP_ASKED {
			t.Errorf("%s is %s", one, s)
		}
	}
}
