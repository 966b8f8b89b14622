package engine

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	posternv1 "postern/proto/postern/v1"
)

var noon = time.Date(2026, time.July, 1, 11, 0, 0, 0, time.UTC) // noon in London, on summer time

// facts is a father who agreed to tell Lancashire about one of his two children.
func facts() Facts {
	given := timestamppb.New(noon.Add(-time.Hour))
	known := func(paths ...string) (out []*posternv1.SectionKnown) {
		for _, p := range paths {
			out = append(out, &posternv1.SectionKnown{Path: p, Known: posternv1.Known_KNOWN_KNOWN})
		}
		return out
	}
	return Facts{
		Manifest: &posternv1.Manifest{
			Supersedes: "an earlier one",
			Reception:  &posternv1.Reception{Reason: posternv1.ReceptionReason_RECEPTION_REASON_LICENCE_RECALL, ReceiveDate: "2026-06-30"},
			Statement: &posternv1.Manifest_Offer{Offer: &posternv1.Offer{
				Route: posternv1.Route_ROUTE_STANDARD, Authority: "E10000017", ChangeReason: posternv1.ChangeReason_CHANGE_REASON_CORRECTION,
				DestinationSource: posternv1.DestinationSource_DESTINATION_SOURCE_BOTH,
				Consent: &posternv1.Consent{
					State: posternv1.ConsentState_CONSENT_STATE_GIVEN, Understood: posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_YES,
					Children: []uint32{1}, Authorities: []string{"E10000017"}, GiveTime: given,
					Sections: []string{"parent/name", "child/1/identity", "child/1/home", "child/2/identity"},
				},
			}},
		},
		Children: []*posternv1.ChildFacts{
			{Number: 1, Age: &posternv1.ChildFacts_AgeYears{AgeYears: 0}, CarerIsAdult: posternv1.Answer_ANSWER_YES,
				Known: known("child/1/identity", "child/1/home", "child/2/home", "parent/name")},
			{Number: 2, Age: &posternv1.ChildFacts_Unborn{Unborn: true}, InCare: true, SameAddressGroup: 3, OutwardCodeOnly: true},
		},
		Hub: &posternv1.HubFacts{
			Gate: posternv1.Gate_GATE_NO_HOLD, FirstSubmitTime: given, Known: known("parent/name", "child/1/home"),
			Calls: []*posternv1.Call{{CallTime: given, Result: posternv1.CallResult_CALL_RESULT_NO_ANSWER, ChildNumber: 1}},
			Consideration: &posternv1.Consideration{
				Law: posternv1.ConsiderationLaw_CONSIDERATION_LAW_DUTY_S16LA, NotMoreDetrimental: []uint32{1}, Paths: []string{"child/1/home"}},
			UrgencyReason: posternv1.UrgencyReason_URGENCY_REASON_RISK_STATED, AuthorisedRole: posternv1.StaffRole_STAFF_ROLE_DUTY_GOVERNOR,
		},
		OfferedPaths: []string{"parent/name", "child/1/identity", "child/1/home", "child/3/home", "parent/offence"},
		CallerPrison: "BLI", PrisonKnown: true, PrisonJurisdiction: "GB-ENG",
		Agreement: &posternv1.DataSharingAgreement{
			Id: "lancashire", Sections: []string{"parent/name", "child/{n}/identity", "child/{n}/home"}, EndDate: "2026-07-31"},
		Now: noon,
	}
}

func TestNewInput(t *testing.T) {
	in := NewInput(facts())
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("now", in.Now, "2026-07-01T11:00:00Z")
	check("today", in.Today, "2026-07-01")
	check("what", []string{in.Statement, in.Route, in.DestinationSource, in.ChangeReason, in.Gate}, []string{"OFFER", "STANDARD", "BOTH", "CORRECTION", "NO_HOLD"})
	check("supersedes", in.Supersedes, true)
	check("reception", in.Reception, Reception{"LICENCE_RECALL", "2026-06-30"})
	check("caller", in.Caller, Caller{"BLI", "GB-ENG", true})
	check("recipient without an entry", in.Recipient, Recipient{Authority: "E10000017"})
	check("consent", in.Consent, Consent{State: "GIVEN", Understood: "YES", GiveTime: "2026-07-01T10:00:00Z",
		ExpireTime: "2026-09-29T10:00:00Z", Children: []int{1}, Authorities: []string{"E10000017"}})
	check("agreement", in.Agreement, Agreement{InForce: true, ID: "lancashire", Parent: []string{"name"}, Child: []string{"identity", "home"},
		EndDate: "2026-07-31", EndTime: "2026-07-31T23:00:00Z"}) // the day ends in London
	f := facts()
	f.AgreementEnds, f.Ends = "2026-07-20", "2026-07-25"
	check("agreement until the next begins", []string{NewInput(f).Agreement.EndDate, NewInput(f).Agreement.EndTime}, []string{"2026-07-20", "2026-07-20T23:00:00Z"})
	f.Ends = "2026-07-10"
	check("agreement until the recipient's entry ends", []string{NewInput(f).Agreement.EndDate, NewInput(f).Agreement.EndTime}, []string{"2026-07-20", "2026-07-10T23:00:00Z"})
	check("parent offered and permitted", [][]string{in.Parent.Offered, in.Parent.Permitted}, [][]string{{"name"}, {"name"}})
	check("parent known", []string{in.Parent.Known["name"], in.Parent.Known["birth"]}, []string{"KNOWN", ""})
	check("children", len(in.Children), 2)
	first, second := in.Children[0], in.Children[1]
	check("age of a baby", *first.AgeYears, 0)
	check("age of an unborn child", second.AgeYears == nil && second.Unborn, true)
	check("offered", first.Offered, []string{"identity", "home"})
	check("permitted, with the way to knock", first.Permitted, []string{"identity", "home", "safety"})
	check("permitted for a child that was not named", len(second.Permitted), 0)
	check("known", []string{first.Known["home"], second.Known["home"]}, []string{"KNOWN", ""})
	check("every section is spoken of", []int{len(first.Known), len(second.Known), len(in.Parent.Known)}, []int{10, 10, 6})
	check("facts", []any{second.InCare, second.SameAddressGroup, first.OutwardCodeOnly, second.OutwardCodeOnly, first.CarerIsAdult}, []any{true, 3, false, true, "YES"})
	check("calls", in.Calls, []Call{{"2026-07-01T10:00:00Z", "NO_ANSWER", 1}})
	check("urgency", in.Urgency, Urgency{"RISK_STATED", "DUTY_GOVERNOR"})
	check("consideration", *in.Consideration, Consideration{Law: "DUTY_S16LA", NotMoreDetrimental: []int{1}, Paths: []string{"child/1/home"}})
	check("first submit", in.FirstSubmitTime, "2026-07-01T10:00:00Z")
}

// TestTodayIsLondons: an hour before midnight in winter's time it is already tomorrow in summer.
func TestTodayIsLondons(t *testing.T) {
	f := facts()
	f.Now = time.Date(2026, time.July, 1, 23, 30, 0, 0, time.UTC)
	if in := NewInput(f); in.Today != "2026-07-02" {
		t.Errorf("today is %s", in.Today)
	}
}

func TestNewInputOfAnEnquiry(t *testing.T) {
	in := NewInput(Facts{
		Manifest: &posternv1.Manifest{Statement: &posternv1.Manifest_Enquiry{Enquiry: &posternv1.Enquiry{
			Outcome: posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED}}},
		Hub: &posternv1.HubFacts{}, CallerPrison: "BLI", PrisonKnown: true, PrisonJurisdiction: "GB-ENG", Now: noon,
	})
	if in.Statement != "ENQUIRY" || in.Enquiry.Outcome != "DECLINED" || in.Route != "" || len(in.Children) > 0 || in.Consideration != nil {
		t.Errorf("%+v", in)
	}
	d, _ := patient(t).Decide(t.Context(), in)
	if d.GetOutcome() != refer || !slices.Equal(ruleIDs(d.GetReasons()), []string{"consent_declined"}) {
		t.Errorf("decided %v", d)
	}
}

// TestNoFactsNoSharing: an empty statement, and one about which the directory knows nothing, go to a person.
func TestNoFactsNoSharing(t *testing.T) {
	f := facts()
	for name, in := range map[string]*Input{"empty": NewInput(Facts{Manifest: &posternv1.Manifest{}, Now: noon}), "unknown recipient": NewInput(f)} {
		if d, _ := patient(t).Decide(t.Context(), in); d.GetOutcome() != refer {
			t.Errorf("%s: decided %v", name, d)
		}
	}
}

// TestAWithdrawnSectionIsNotPermitted: what the person took back is covered no longer.
func TestAWithdrawnSectionIsNotPermitted(t *testing.T) {
	f := facts()
	f.Manifest.GetOffer().GetConsent().Withdrawal = &posternv1.ConsentWithdrawal{Paths: []string{"child/1/home"}}
	if in := NewInput(f); slices.Contains(in.Children[0].Permitted, "home") {
		t.Errorf("permitted %v", in.Children[0].Permitted)
	}
}

// TestAnUrgentStatementNeedsNoClock: when a statement was first submitted starts the clocks of what waits; one that does
// not say so goes by the urgent route all the same, though nobody has answered the telephone.
func TestAnUrgentStatementNeedsNoClock(t *testing.T) {
	f := facts()
	f.Hub.FirstSubmitTime = nil
	f.Manifest.CreateTime = timestamppb.New(noon.Add(-time.Hour))
	if in := NewInput(f); in.FirstSubmitTime != moment(noon.Add(-time.Hour)) {
		t.Errorf("first submitted %s", in.FirstSubmitTime)
	}
	f.Manifest.CreateTime = nil
	in := family()
	in.FirstSubmitTime = NewInput(f).FirstSubmitTime
	in.Route, in.Urgency, in.Calls = "URGENT", Urgency{"CHILD_MAY_BE_ALONE", "DUTY_GOVERNOR"}, []Call{{Time: in.Now, Result: "NO_ANSWER"}}
	if d, _ := patient(t).Decide(t.Context(), in); d.GetOutcome() != share {
		t.Errorf("decided %v", d)
	}
}
