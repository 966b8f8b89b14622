package desk_test

import (
	"testing"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What puts right something that was shared under the duty is handed in by whoever found the mistake, and is considered anew:
// until then nothing of it goes, and the team has what it had.
func TestACorrectionOfTheDutyRouteIsConsideredAnew(t *testing.T) {
	x, d := opened(t)
	first := d.Take(formtest.Duty(testkit.Bristol, 2))[0]
	x.Settle()
	if s := d.State(first); s != delivered {
		t.Fatalf("what was considered is %s", s)
	}
	reception := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := must(d.BeginDraft(reception, &localv1.Draft{Form: must(d.CorrectionOf(reception, first))(t)}))(t)
	draft.Form.Children[0].Identity.GivenName = "Perry"
	draft = must(d.SaveDraft(reception, draft))(t)
	must(d.Preview(reception, words.English, desk.FormOf(draft)))(t)
	_, all, err := d.SendDraft(reception, draft.GetId(), draft.GetVersion(), words.English)
	if err != nil || len(all) != 1 {
		t.Fatalf("it is answered by %v, %v", all, err)
	}
	x.Settle()
	n := d.Get(all[0].GetId()).GetNotification()
	if n.GetState() != referred || n.GetSupersedes() != first || n.GetRoute() != posternv1.Route_ROUTE_DUTY || n.GetDueTime() == nil ||
		!hasTask(n, posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY) || !desk.Reconsidered(n) {
		t.Fatalf("nobody is to consider it: %v", n)
	}
	if lead := toDecide(t, d); len(lead) != 1 || lead[0].GetId() != n.GetId() {
		t.Errorf("the safeguarding lead has %v to decide", lead)
	}
	if items := x.Inbox(testkit.Bristol).Items(); len(items) != 1 {
		t.Errorf("the team has %d before it is considered", len(items))
	}
	must(d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: n.GetId(), Share: true, Reasons: "The name was wrong", Codes: &posternv1.Consideration{
		Relevant: posternv1.Answer_ANSWER_YES, ParentTold: posternv1.Answer_ANSWER_YES, HelpsFunction: "ca1989.s17", NotMoreDetrimental: []uint32{1},
		Paths: []string{"parent/name", "child/1/identity", "child/1/home"}}}))(t)
	x.Settle()
	if n = d.Get(n.GetId()).GetNotification(); n.GetState() != delivered || desk.Reconsidered(n) {
		t.Errorf("considered, it is %v", n)
	}
	item := must(x.Inbox(testkit.Bristol).GetItem(t.Context(), &localv1.GetItemRequest{Id: n.GetId()}))(t)
	if item.GetItem().GetSupersedes() != first {
		t.Errorf("the team is not told what it puts right: %v", item.GetItem())
	}
}

// Nobody but the safeguarding lead begins the duty route: what is left open puts right what they decided before.
func TestOnlyWhatWentByTheDutyRouteIsLeftOpen(t *testing.T) {
	x, d := opened(t)
	open := func(supersedes string) *posternv1.Form {
		f := formtest.Duty(testkit.Bristol, 1)
		f.Gate, f.Consideration, f.ConsiderationReasons, f.Supersedes = 0, nil, "", supersedes
		return f
	}
	reception := desk.Staff{ID: "REC1", Role: posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER}
	_, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, open("")), reception)
	wantFault(t, err, fault.Denied, "WRONG_ROLE")
	_, _, err = d.Desk.Take(t.Context(), testkit.FormJSON(t, open("")), testkit.Staff)
	if fault.KindOf(err) != fault.Invalid || fault.From(err).Fields[0].Path != "consideration" {
		t.Errorf("a first form that nobody considered is answered by %v", err)
	}
	standard := d.Take(family())[0]
	x.Settle()
	_, _, err = d.Desk.Take(t.Context(), testkit.FormJSON(t, open(standard)), reception)
	wantFault(t, err, fault.Invalid, "NOT_CONSIDERED")
}
