package form_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/form"
	"postern/internal/form/formtest"
	posternv1 "postern/proto/postern/v1"
)

func TestMistakesOnTheUrgentRoute(t *testing.T) {
	testMistakes(t, formtest.Urgent(formtest.Bristol, 2), map[string]mistake{
		"not phoned yet": {func(f *posternv1.Form) { f.Urgency.Calls = nil }, nil},
		"the person said no": {func(f *posternv1.Form) {
			f.Consent = &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_DECLINED}
			f.Urgency.ConsentSought, f.Urgency.ConsentNotSoughtReason = posternv1.Answer_ANSWER_YES, ""
		}, nil},
		"not marked as known": {func(f *posternv1.Form) { f.Urgency.Provenance.Known = posternv1.Known_KNOWN_NOT_ASKED }, []string{"urgency", "urgency"}},
		"nothing said": {func(f *posternv1.Form) {
			f.Urgency = &posternv1.Urgency{Provenance: f.Urgency.Provenance, SaidBy: "somebody"}
		}, []string{"urgency.reason", "urgency.what_was_said", "urgency.authorised_by.staff_id", "urgency.authorised_by.role",
			"urgency.consent_sought", "urgency.parent_told"}},
		"by whoever was there": {func(f *posternv1.Form) {
			f.Urgency.AuthorisedBy.Role = posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER
		}, []string{"urgency.authorised_by.role"}},
		"no reasons": {func(f *posternv1.Form) {
			f.Urgency.ConsentNotSoughtReason, f.Urgency.ParentNotToldReason, f.Urgency.SaidBy = "", " ", ""
		}, []string{"urgency.consent_not_sought_reason", "urgency.parent_not_told_reason", "urgency.said_by"}},
		"999 was called": {func(f *posternv1.Form) {
			f.Urgency.Calls[0].Number, f.Urgency.Calls[0].Result = "999", posternv1.CallResult_CALL_RESULT_EMERGENCY_999
		}, nil},
		"an empty call": {func(f *posternv1.Form) { f.Urgency.Calls[0] = &posternv1.UrgencyCall{} },
			[]string{"urgency.calls[0].number", "urgency.calls[0].call_time", "urgency.calls[0].result"}},
		"answered by nobody in particular": {func(f *posternv1.Form) { f.Urgency.Calls[0].Result = posternv1.CallResult_CALL_RESULT_ANSWERED },
			[]string{"urgency.calls[0].who"}},
		"two authorities": {func(f *posternv1.Form) { f.Children[1].Authority = formtest.Lancashire }, []string{"children[1].authority"}},
		"a consideration": {func(f *posternv1.Form) { f.ConsiderationReasons = "because of that" }, []string{"consideration"}},
	})
}

func TestMistakesOnTheDutyRoute(t *testing.T) {
	testMistakes(t, formtest.Duty(formtest.Bristol, 2), map[string]mistake{
		"never asked":  {func(f *posternv1.Form) { f.Consent = nil }, nil},
		"not relevant": {func(f *posternv1.Form) { f.Consideration.Relevant = posternv1.Answer_ANSWER_NO }, nil},
		"tell nobody":  {func(f *posternv1.Form) { f.Consideration.NotMoreDetrimental, f.Consideration.Paths = nil, nil }, nil},
		"an empty one": {func(f *posternv1.Form) { f.Consideration, f.ConsiderationReasons = &posternv1.Consideration{}, "" },
			[]string{"consideration.law", "consideration.relevant", "consideration.helps_function", "consideration.parent_told", "consideration.staff_id",
				"consideration.role", "consideration.consider_time", "consideration_reasons"}},
		"by a reception officer": {func(f *posternv1.Form) { f.Consideration.Role = posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER },
			[]string{"consideration.role"}},
		"tomorrow": {func(f *posternv1.Form) { f.Consideration.ConsiderTime = timestamppb.New(formtest.Now.AddDate(0, 0, 1)) },
			[]string{"consideration.consider_time"}},
		"a digest":             {func(f *posternv1.Form) { f.Consideration.ReasonsSha256 = make([]byte, 32) }, []string{"consideration.reasons_sha256"}},
		"a function in words":  {func(f *posternv1.Form) { f.Consideration.HelpsFunction = "helping them" }, []string{"consideration.helps_function"}},
		"children and nothing": {func(f *posternv1.Form) { f.Consideration.Paths = nil }, []string{"consideration.paths"}},
		"other children": {func(f *posternv1.Form) { f.Consideration.NotMoreDetrimental = []uint32{1, 1, 3} },
			[]string{"consideration.not_more_detrimental[1]", "consideration.not_more_detrimental[2]"}},
		"other sections": {func(f *posternv1.Form) {
			f.Consideration.Paths = []string{"child/{n}/home", "child/2/home", "child/3/home", "urgency", "diary"}
		}, []string{"consideration.paths[0]", "consideration.paths[1]", "consideration.paths[2]", "consideration.paths[3]", "consideration.paths[4]"}},
		"urgency": {func(f *posternv1.Form) { f.Urgency = &posternv1.Urgency{} }, []string{"urgency"}},
	})
}

func sealed(p form.Part) []string {
	var paths []string
	for _, s := range p.Sections {
		paths = append(paths, s.Path)
	}
	return paths
}

func TestAnUrgentPartHoldsWhatTheRouteSends(t *testing.T) {
	f := formtest.Urgent(formtest.Bristol, 1)
	f.Calls = []*posternv1.Call{{CallTime: f.Urgency.Calls[0].CallTime, Result: f.Urgency.Calls[0].Result}} // told twice
	f.Urgency.Calls = append(f.Urgency.Calls, &posternv1.UrgencyCall{
		Number: "01632 960223", CallTime: timestamppb.New(formtest.Now), Result: posternv1.CallResult_CALL_RESULT_ANSWERED, Who: "the night team"})
	p := parts(t, f)[0]
	want := []string{"parent/name", "parent/birth", "urgency", "child/1/identity", "child/1/relationship", "child/1/home", "child/1/carer",
		"child/1/safety", "child/1/phone", "child/1/worker"}
	if got := sealed(p); !slices.Equal(got, want) {
		t.Errorf("%q are sealed, want %q", got, want)
	}
	_, hub := form.Facts(p, config())
	if hub.GetUrgencyReason() != f.Urgency.Reason || hub.GetAuthorisedRole() != f.Urgency.AuthorisedBy.Role || len(hub.GetCalls()) != 2 {
		t.Errorf("the facts are %v", hub)
	}
	known := hub.GetKnown()[len(hub.GetKnown())-1]
	if known.GetPath() != "urgency" || known.GetKnown() != posternv1.Known_KNOWN_KNOWN {
		t.Errorf("the urgent section is %v", known)
	}
	f.Urgency.Reason = posternv1.UrgencyReason_URGENCY_REASON_COLLECT_FROM_SCHOOL
	if got := sealed(parts(t, f)[0]); !slices.Contains(got, "child/1/school") {
		t.Errorf("a child to be collected: %q are sealed, not the school", got)
	}
}

func TestADutyPartHoldsWhatThePersonDecided(t *testing.T) {
	f := formtest.Duty(formtest.Bristol, 2)
	p := parts(t, f)[0]
	if got := sealed(p); !slices.Equal(got, f.Consideration.Paths) {
		t.Errorf("%q are sealed, want %q", got, f.Consideration.Paths)
	}
	_, hub := form.Facts(p, config())
	sum := sha256.Sum256([]byte(f.ConsiderationReasons))
	want := proto.CloneOf(f.Consideration)
	want.ReasonsSha256 = sum[:]
	if !proto.Equal(hub.GetConsideration(), want) {
		t.Errorf("the hub sees %v, want %v", hub.GetConsideration(), want)
	}
}

// Whatever the route, a part seals no more than the route may send, and the hub hears no word of it.
func TestNoRouteSealsMoreThanItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Any(t)
		for _, p := range parts(t, f) {
			_, hub := form.Facts(p, config())
			said, err := proto.Marshal(hub)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range append(leaves(f.GetUrgency()), f.GetConsiderationReasons()) {
				if len(word) >= 6 && bytes.Contains(said, []byte(word)) {
					t.Fatalf("the facts for the hub hold %q", word)
				}
			}
			for _, s := range p.Sections {
				urgent := s.Path == "urgency"
				if urgent != (urgent && p.Route == posternv1.Route_ROUTE_URGENT) {
					t.Fatalf("the urgent section goes by %v", p.Route)
				}
				if p.Route == posternv1.Route_ROUTE_DUTY && !slices.Contains(f.Consideration.Paths, s.Path) {
					t.Fatalf("%s is sealed and nobody decided to share it", s.Path)
				}
			}
		}
	})
}
