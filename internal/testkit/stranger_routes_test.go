package testkit_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	"postern/internal/testkit/stranger"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// TestAStrangersTeamPassesOn: a child is found elsewhere by another program's team, which passes the notification of our
// desk on to our inbox; and by ours, which passes that of another program's desk on to another program's inbox. A withdrawal
// reaches both.
func TestAStrangersTeamPassesOn(t *testing.T) {
	t.Run("to ours", func(t *testing.T) {
		x := testkit.NewOverTLS(t, without)
		l := x.Listen()
		from := strangerInboxOf(t, x, testkit.Bristol, false, testkit.Register{Address: map[string]string{testkit.Lancashire: l.Addr().String()}})
		to := x.Inbox(testkit.Lancashire, l)
		d := x.Desk(testkit.HMPParc)
		must(d.StepDirectory(t.Context()))(t)
		id := d.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
		x.Settle()
		decision := must(from.PassOn(soon(t), from.Items()[0], strangerDesk(t, x, testkit.HMPBristol).Key(testkit.Lancashire), 2))(t)
		if decision.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
			t.Fatalf("it was not passed on: %v", decision)
		}
		x.Settle()
		item := must(to.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
		if item.GetItem().GetPassedOnBy() == "" || len(item.GetSections()) != 15 || item.GetItem().GetFactsMismatch() {
			t.Errorf("our team has %d sections: %v", len(item.GetSections()), item.GetItem())
		}
		must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
		x.Settle()
		item = must(to.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
		if len(item.GetSections()) != 0 || len(from.Items()) != 0 {
			t.Errorf("after a withdrawal our team has %d sections and the other %d items", len(item.GetSections()), len(from.Items()))
		}
	})
	t.Run("by ours", func(t *testing.T) {
		x := testkit.NewOverTLS(t, without)
		l := x.Listen()
		to := strangerInboxOf(t, x, testkit.Lancashire, false, testkit.Register{Address: map[string]string{testkit.Bristol: l.Addr().String()}})
		from := x.Inbox(testkit.Bristol, l)
		d := strangerDesk(t, x, testkit.HMPParc)
		f := family()
		f.Consent.Authorities, f.Consent.FollowsChild = nil, true
		s := tell(t, d, f)
		x.Settle()
		must(from.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.ID, Authority: testkit.Lancashire}))(t)
		x.Settle()
		items := to.Items()
		if len(items) != 1 || len(items[0].Sections) != len(sectionsOf(f)) || items[0].PassedOnBy == "" || len(items[0].Mismatch) > 0 {
			t.Fatalf("the other team has %v", items)
		}
		must(d.Withdraw(s, posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE))(t)
		if err := d.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		x.Settle()
		if len(to.Items()) != 0 || len(to.Stops()) != 1 {
			t.Errorf("after a withdrawal the other team has %d items and was asked to stop %d times", len(to.Items()), len(to.Stops()))
		}
	})
}

// TestAStrangersOtherStatements: all else that a desk says, said by another program's: the urgent route and the duty to
// share, what came of asking, a consideration, and how many people came.
func TestAStrangersOtherStatements(t *testing.T) {
	x := testkit.NewOverTLS(t, without)
	in := strangerInbox(t, x, false)
	d := strangerDesk(t, x, testkit.HMPBristol)
	said := &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_PARENT_SAID, AsOfDate: "2026-11-22"}
	governor := posternv1.StaffRole_STAFF_ROLE_DUTY_GOVERNOR
	urgent := family()
	urgent.Route, urgent.Consent, urgent.Gate = posternv1.Route_ROUTE_URGENT, nil, posternv1.Gate_GATE_NOT_DONE
	urgent.Urgency = &posternv1.Urgency{Provenance: said, Reason: posternv1.UrgencyReason_URGENCY_REASON_CHILD_MAY_BE_ALONE, WhatWasSaid: "nobody is there",
		SaidBy: "the father", AuthorisedBy: &posternv1.Authorisation{StaffId: "S-9", Role: governor, ByPhone: true}, ConsentSought: posternv1.Answer_ANSWER_NO}
	urgent.Calls = []*posternv1.Call{{CallTime: timestamppb.New(testkit.Now.Add(-time.Minute)), Result: posternv1.CallResult_CALL_RESULT_ANSWERED}}
	duty := family()
	duty.Route, duty.Consent = posternv1.Route_ROUTE_DUTY, nil
	considered := &posternv1.Consideration{Law: posternv1.ConsiderationLaw_CONSIDERATION_LAW_DUTY_S16LA, Relevant: posternv1.Answer_ANSWER_YES, HelpsFunction: "ca1989.s17",
		NotMoreDetrimental: []uint32{1}, ParentTold: posternv1.Answer_ANSWER_YES, Paths: []string{"parent/name", "child/1/identity", "child/1/home", "child/1/safety"},
		StaffId: "S-21", Role: posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, ConsiderTime: timestamppb.New(testkit.Now.Add(-time.Hour))}
	duty.Consideration, duty.ConsiderationReasons = considered, "A baby with a carer nobody has met"
	for f, sections := range map[*posternv1.Form]int{urgent: 8, duty: 4} {
		s := tell(t, d, f)
		if s.State != stranger.Shared {
			t.Fatalf("%v: %v", f.GetRoute(), s.Decision)
		}
		x.Settle()
		if items := in.Items(); len(items[len(items)-1].Sections) != sections || items[len(items)-1].ID != s.ID {
			t.Errorf("%v: the team has %d sections, not %d", f.GetRoute(), len(items[len(items)-1].Sections), sections)
		}
	}
	none := &posternv1.Form{FormId: uuid(), PrisonNumber: "Z" + uuid()[:8], Reception: family().GetReception(),
		Enquiry: posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN}
	asked := must(d.Take(none))(t)
	counted := must(d.CountReceptions(&posternv1.ReceptionDay{ReceiveDate: "2026-11-21", Received: 12}))(t)
	not := must(d.Consider(uuid(), considered, "A grandmother is there"))(t)
	if err := d.Flush(soon(t)); err != nil {
		t.Error(err)
	}
	for _, s := range append(asked, counted, not) {
		if s.Decision.GetOutcome() != posternv1.Outcome_OUTCOME_WITHHOLD {
			t.Errorf("it came to %v: %s", s.Decision, s.Why)
		}
	}
}
