package desk_test

import (
	"slices"
	"strings"
	"testing"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
)

// Who has moved objects where they are now, with their slip. The prison that shared it has the safeguarding lead who decided
// so, and who has the objection to read, also once the form is erased; after a loss of the hub nothing is told twice.
func TestAnObjectionAtAnotherPrisonIsReadWhereItWasShared(t *testing.T) {
	x, d := opened(t)
	other := x.Desk(testkit.HMPParc)
	urgent, duty := d.Take(formtest.Urgent(testkit.Bristol, 1))[0], d.Take(formtest.Duty(testkit.Bristol, 1))[0]
	x.Settle()
	must(d.Cases.Review(t.Context(), &localv1.ReviewRequest{Id: urgent, Findings: "It was right."}))(t)
	if !later(t, x, d, 100) || !isErased(d, duty) {
		t.Fatal("the control: it is kept")
	}
	parts, before := map[string][]string{urgent: {"child/1/safety"}, duty: nil}, map[string]localv1.State{urgent: d.State(urgent), duty: d.State(duty)}
	for id, part := range parts {
		n := d.Get(id).GetNotification()
		withdraws(t, other, n.GetReference(), n.GetSlipCode(), part...)
	}
	for range 2 {
		x.Clock.Advance(testkit.MaxWait)
		x.Settle()
		for id, part := range parts {
			n := d.Get(id).GetNotification()
			listed := slices.ContainsFunc(toDecide(t, d), func(n *localv1.Notification) bool { return n.GetId() == id })
			if !listed || !desk.ActionsOf(n).Read || n.GetState() != before[id] || len(n.GetWithdrawals()) != 1 || !slices.Equal(n.GetWithdrawals()[0].GetPaths(), part) {
				t.Fatalf("listed: %v; it is %v", listed, n)
			}
		}
		x.LoseHub()
	}
	for _, n := range must(other.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{}))(t).GetNotifications() {
		if !desk.ObjectedElsewhere(n) || desk.ActionsOf(n).Read || strings.Contains(desk.StandsIn(words.English, n), "queued") {
			t.Errorf("where it was taken it is %v: %v", desk.StandsIn(words.English, n), n)
		}
	}
	for id := range parts {
		n := must(d.Cases.CloseObjections(t.Context(), &localv1.CloseObjectionsRequest{Id: id}))(t).GetNotification()
		if desk.ActionsOf(n).Read || n.GetWithdrawals()[0].GetReadTime() == nil {
			t.Errorf("read, it is %v", n)
		}
	}
}
