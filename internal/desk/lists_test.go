package desk_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
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
