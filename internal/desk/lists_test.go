package desk_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What could not be delivered is for a person until another went in its place: put right by a form, or sealed again to a new
// key. Printed then, the family would be told of twice; that it had gone by hand before may still be noted.
func TestWhatWentInAnotherPlaceNeedsNoDecision(t *testing.T) {
	for name, replaced := range map[string]func(*testing.T, *testkit.Exchange, *testkit.Desk, string) (by string){
		"put right by a form": func(t *testing.T, x *testkit.Exchange, d *testkit.Desk, id string) string {
			right := family()
			right.Supersedes, right.Consent.GiveTime = id, timestamppb.New(x.Clock.Now())
			return d.Take(right)[0]
		},
		"sealed again": func(t *testing.T, x *testkit.Exchange, d *testkit.Desk, id string) string {
			must(x.Inbox(testkit.Bristol).Rotate(t.Context(), &localv1.RotateRequest{}))(t)
			x.Settle()
			wait(x)
			return d.Get(id).GetNotification().GetResealedBy()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			x.Inbox(testkit.Bristol).Link.Down(true)
			id := d.Take(family())[0]
			tenDays(x)
			n := d.Get(id).GetNotification()
			if all := toDecide(t, d); n.GetState() != undelivered || len(all) != 1 || !desk.ActionsOf(n).ByHand {
				t.Fatalf("it is %v, and to decide are %v", n, all)
			}
			x.Inbox(testkit.Bristol).Link.Down(false)
			by := replaced(t, x, d, id)
			wait(x)
			n = d.Get(id).GetNotification()
			if s := d.State(by); s != delivered || n.GetState() != undelivered {
				t.Fatalf("the other is %v, and the first is %v", s, n.GetState())
			}
			if all := toDecide(t, d); len(all) != 0 {
				t.Errorf("to decide is %v, of which nothing is left to do: %+v", all, desk.ActionsOf(all[0]))
			}
			if all := must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{States: []localv1.State{undelivered}}))(t).GetNotifications(); len(all) != 1 {
				t.Errorf("asked for by its state it is in %v", all)
			}
			_, err := d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: id})
			wantFault(t, err, fault.Precondition, "NO_MANUAL_ROUTE")
			if acts := desk.ActionsOf(n); acts.ByHand || acts.Close != (n.GetResealedBy() != "") {
				t.Errorf("what may be done is %+v", acts)
			}
		})
	}
}

// urgently is an urgent notification that the team has, about which somebody answered the telephone.
func urgently(x *testkit.Exchange, d *testkit.Desk) string {
	f := formtest.Urgent(testkit.Bristol, 1)
	f.Urgency.Calls[0].Result, f.Urgency.Calls[0].Who = posternv1.CallResult_CALL_RESULT_ANSWERED, "Duty worker"
	id := d.Take(f)[0]
	x.Settle()
	return id
}

// What went without waiting is looked at again on the next working day: it is on the lead's list, with its time, until the
// lead has. That is a note, by which nothing is sent and nothing taken back.
func TestWhatWasSharedUrgentlyIsOnTheListUntilItIsReviewed(t *testing.T) {
	x, d := opened(t)
	id := urgently(x, d)
	all := toDecide(t, d)
	if len(all) != 1 || all[0].GetState() != delivered || all[0].GetOverdue() || all[0].GetDueTime() == nil {
		t.Fatalf("to decide are %v", all)
	}
	x.Clock.Advance(all[0].GetDueTime().AsTime().Sub(x.Clock.Now()))
	if all = toDecide(t, d); len(all) != 1 || !all[0].GetOverdue() {
		t.Errorf("when it is due, to decide are %v", all)
	}
	before, logged := d.Get(id), decisions(t, x)
	review := &localv1.ReviewRequest{Id: id, Findings: " It was right; he is with his aunt.\n"}
	for range 2 {
		must(d.Cases.Review(t.Context(), review))(t)
		x.Settle()
	}
	n := d.Get(id).GetNotification()
	if r := n.GetReview(); r.GetFindings() != "It was right; he is with his aunt." || r.GetStaffId() == "" || len(n.GetTasks()) != 0 || n.GetDueTime() != nil || n.GetOverdue() {
		t.Errorf("reviewed, it is %v", n)
	}
	if all := toDecide(t, d); len(all) != 0 {
		t.Errorf("reviewed, to decide are %v", all)
	}
	was := before.GetNotification()
	if n.GetState() != was.GetState() || n.GetChanges() != was.GetChanges() || len(n.GetConsiderations()) != 0 || len(spool(t, d)) != 0 || decisions(t, x) != logged || len(x.Inbox(testkit.Bristol).Items()) != 1 {
		t.Errorf("by a review it became %v", n)
	}
	_, err := d.Cases.Review(t.Context(), &localv1.ReviewRequest{Id: id, Findings: "something else"})
	wantFault(t, err, fault.Precondition, "ENDED")
}

func TestAReviewIsOfWhatWasSharedUrgently(t *testing.T) {
	x, d := opened(t)
	id, other := urgently(x, d), d.Take(family())[0]
	x.Settle()
	for _, words := range []string{"", " \n", string(make([]byte, 4001))} {
		_, err := d.Cases.Review(t.Context(), &localv1.ReviewRequest{Id: id, Findings: words})
		wantFault(t, err, fault.Invalid, "BAD_REVIEW")
	}
	_, err := d.Cases.Review(t.Context(), &localv1.ReviewRequest{Id: other, Findings: "It was right."})
	wantFault(t, err, fault.Precondition, "ENDED")
	_, err = d.Review(atSite(t, "RESETTLEMENT"), &localv1.ReviewRequest{Id: id, Findings: "It was right."})
	wantFault(t, err, fault.Denied, "WRONG_ROLE")
	if n := d.Get(id).GetNotification(); n.GetReview() != nil || len(toDecide(t, d)) != 1 {
		t.Errorf("it is %v", n)
	}
}

// The form of the next morning puts the urgent one right, and whoever objected said so: what went is looked at all the same.
func TestAReviewDoesNotFallAway(t *testing.T) {
	x, d := opened(t)
	id := urgently(x, d)
	withdraw(t, d, id)
	right := family()
	right.Supersedes, right.Consent.GiveTime = id, timestamppb.New(x.Clock.Now())
	next := d.Take(right)[0]
	x.Settle()
	x.Clock.Advance(48 * time.Hour)
	if all := toDecide(t, d); d.State(next) != delivered || len(all) != 1 || all[0].GetId() != id || !all[0].GetOverdue() {
		t.Fatalf("the one that puts it right is %v, to decide are %v", d.State(next), all)
	}
	must(d.Cases.Review(t.Context(), &localv1.ReviewRequest{Id: id, Findings: "It was right."}))(t)
	must(d.Cases.CloseObjections(t.Context(), &localv1.CloseObjectionsRequest{Id: id}))(t)
	if all := toDecide(t, d); len(all) != 0 {
		t.Errorf("reviewed, to decide are %v", all)
	}
}
