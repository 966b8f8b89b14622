package site

import (
	"html/template"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The safeguarding concern is the urgent route: the numbers of this hour before anything else, then what was said, who was
// telephoned and who authorised it, on a draft that goes the way of every other.

// urgentSteps are the steps of a draft on the urgent route, those about the danger first.
func urgentSteps(draft *localv1.Draft) []step {
	all := []step{{path: "urgency", text: "case.urgency"}, {path: "calls", text: "case.urgent_calls"}, {path: "authorised", text: "case.authorised"},
		{path: "sought", text: "case.sought"}, {path: "person", text: "desk.person"}}
	return append(all, childSteps(draft)...)
}

func urgent(draft *localv1.Draft) bool {
	return draft.GetForm().GetRoute() == posternv1.Route_ROUTE_URGENT
}

// byDuty reports whether a draft puts right what was shared under the duty. The person does not decide on that, so it asks for no
// permission: the safeguarding lead does, once it was handed in.
func byDuty(draft *localv1.Draft) bool {
	return draft.GetForm().GetRoute() == posternv1.Route_ROUTE_DUTY
}

// stepOfUrgency is the step at which a field of the urgent section is asked for.
func stepOfUrgency(field string) string {
	switch name, _, _ := strings.Cut(field, "."); {
	case strings.HasPrefix(name, "calls"):
		return "calls"
	case name == "authorised_by":
		return "authorised"
	case strings.HasPrefix(name, "consent_") || strings.HasPrefix(name, "parent_"):
		return "sought"
	}
	return "urgency"
}

// concern shows whom to telephone at this hour, and after that the way to write it down.
func (s *site) concern(r *web.Request) (web.Response, error) {
	found, err := s.desk.Tonight(r.Context(), &localv1.TonightRequest{})
	if err != nil {
		return nil, err
	}
	return web.View{Template: "concern", Data: s.phones(r, found.GetNumbers()), Back: "/"}, nil
}

// beginConcern begins a draft on the urgent route; from another draft, with what that one says.
func (s *site) beginConcern(r *web.Request) (web.Response, error) {
	f := &posternv1.Form{}
	if id := r.URL.Query().Get("from"); id != "" {
		from, err := s.desk.Draft(r.Context(), id)
		if err != nil {
			return nil, err
		}
		was := proto.CloneOf(from.GetForm())
		f = &posternv1.Form{Reception: was.GetReception(), PrisonNumber: was.GetPrisonNumber(), Parent: was.GetParent(), Children: was.GetChildren(), NoticeVersion: was.GetNoticeVersion()}
	}
	f.Route = posternv1.Route_ROUTE_URGENT
	f.Tonight = &posternv1.Tonight{Answer: posternv1.TonightAnswer_TONIGHT_ANSWER_YES, AskTime: timestamppb.New(r.Now().Truncate(time.Second))}
	draft, err := s.desk.BeginDraft(r.Context(), &localv1.Draft{Form: f})
	if err != nil {
		return nil, err
	}
	return web.SeeOther(draftPath(draft, "urgency")), nil
}

// urgencyOf is the urgent section of a draft, made where there is none yet.
func urgencyOf(draft *localv1.Draft) *posternv1.Urgency {
	if draft.Form.Urgency == nil {
		draft.Form.Urgency = &posternv1.Urgency{}
	}
	return draft.Form.Urgency
}

var urgencyReasons = map[posternv1.UrgencyReason]string{
	posternv1.UrgencyReason_URGENCY_REASON_CHILD_MAY_BE_ALONE: "case.reason_alone", posternv1.UrgencyReason_URGENCY_REASON_CARER_UNKNOWN: "case.reason_unknown",
	posternv1.UrgencyReason_URGENCY_REASON_CARER_UNDER_18: "case.reason_under_18", posternv1.UrgencyReason_URGENCY_REASON_COLLECT_FROM_SCHOOL: "case.reason_school",
	posternv1.UrgencyReason_URGENCY_REASON_RISK_STATED: "case.reason_risk", posternv1.UrgencyReason_URGENCY_REASON_OTHER: "case.reason_other",
}

// urgency asks why it cannot wait, and what was said, as it was said.
func (s *site) urgency() question {
	return question{path: "urgency", name: "case.urgency",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			u := draft.GetForm().GetUrgency()
			reason := web.Field{Name: "reason", Path: "urgency.reason", Kind: web.One, Label: r.T("case.urgency_reason"), Value: plain.Enum(u.GetReason())}
			for n := posternv1.UrgencyReason(1); urgencyReasons[n] != ""; n++ {
				reason.Options = append(reason.Options, web.Option{Value: plain.Enum(n), Text: r.T(urgencyReasons[n])})
			}
			return web.NewForm(reason,
				web.Field{Name: "said", Path: "urgency.what_was_said", Kind: web.Lines, Label: r.T("case.what_was_said"), Hint: r.T("case.what_was_said_hint"), Rows: 5, Most: 500, Value: u.GetWhatWasSaid()},
				web.Field{Name: "said_by", Path: "urgency.said_by", Label: r.T("case.said_by"), Hint: r.T("case.said_by_hint"), Width: 30, Value: u.GetSaidBy()},
				web.Field{Name: "basis", Path: "urgency.provenance", Kind: web.One, Label: r.T("case.urgency_basis"), Value: plain.Enum(u.GetProvenance().GetBasis()), Options: []web.Option{
					{Value: "PARENT_SAID", Text: r.T("case.basis_parent")}, {Value: "STAFF_OBSERVED", Text: r.T("case.basis_staff")}, {Value: "RECORD", Text: r.T("case.basis_record")}}}), nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("case.say_reason", "reason")
			f.Require("case.say_said", "said")
			f.Require("case.say_said_by", "said_by")
			f.Require("case.say_basis", "basis")
			u := urgencyOf(draft)
			reason, _ := plain.Value(posternv1.UrgencyReason(0), f.Text("reason"))
			basis, _ := plain.Value(posternv1.Basis(0), f.Text("basis"))
			if u.GetReason() != posternv1.UrgencyReason(reason) { // another one asks for other things about the children
				draft.Answered = slices.DeleteFunc(draft.GetAnswered(), func(page string) bool { return strings.HasSuffix(page, "/more") })
			}
			u.Reason, u.WhatWasSaid, u.SaidBy = posternv1.UrgencyReason(reason), f.Text("said"), f.Text("said_by")
			u.Provenance = &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis(basis), AsOfDate: r.Now().Format(time.DateOnly)}
			return nil
		},
	}
}

// urgentCalls asks for the calls that were made, one at a time, until there is no other. The same call twice is one.
func (s *site) urgentCalls() question {
	return question{path: "calls", name: "case.urgent_calls",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			result := resultField(r)
			none := "case.no_call"
			if len(draft.GetForm().GetUrgency().GetCalls()) > 0 {
				none = "case.no_other_call"
			}
			result.Options = append(result.Options, r.Or(), web.Option{Value: "NONE", Text: r.T(none)})
			fields := []web.Field{result, {Name: "number", Label: r.T("case.call_number"), Hint: r.T("case.urgent_number_hint"), Width: 20, InputMode: "tel"}}
			return web.NewForm(append(fields, momentFields(r, "call_time")...)...), nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("case.say_result", "result")
			if f.Text("result") == "NONE" {
				return nil
			}
			call := &posternv1.UrgencyCall{Number: f.Text("number"), CallTime: momentOf(r, f), Result: resultOf(f)}
			switch call.GetResult() {
			case posternv1.CallResult_CALL_RESULT_ANSWERED:
				f.Require("case.say_who", "who")
				call.Who, call.Reference = f.Text("who"), f.Text("reference")
			case posternv1.CallResult_CALL_RESULT_EMERGENCY_999:
				call.Number = "999"
			}
			if call.GetNumber() == "" {
				f.Require("case.say_number", "number")
			}
			u := urgencyOf(draft)
			if !slices.ContainsFunc(u.GetCalls(), func(c *posternv1.UrgencyCall) bool { return proto.Equal(c, call) }) {
				u.Calls = append(u.Calls, call)
			}
			return nil
		},
		view: func(r *web.Request, draft *localv1.Draft, f *web.Form) (web.View, error) {
			found, err := s.desk.Tonight(r.Context(), &localv1.TonightRequest{Authorities: authoritiesOf(draft)})
			if err != nil {
				return web.View{}, err
			}
			return web.View{Template: "urgent_calls", Data: struct {
				Numbers, Calls template.HTML
			}{s.phones(r, found.GetNumbers()), callTable(r, draft.GetForm().GetUrgency().GetCalls())}}, nil
		},
		next: func(r *web.Request, draft *localv1.Draft) string {
			if r.PostFormValue("result") == "NONE" {
				return ""
			}
			return draftPath(draft, "calls")
		},
	}
}

func authoritiesOf(draft *localv1.Draft) (codes []string) {
	for _, c := range draft.GetForm().GetChildren() {
		if c.GetAuthority() != "" && !slices.Contains(codes, c.GetAuthority()) {
			codes = append(codes, c.GetAuthority())
		}
	}
	return codes
}

func callTable(r *web.Request, calls []*posternv1.UrgencyCall) template.HTML {
	if len(calls) == 0 {
		return ""
	}
	t := ui.Table{Stack: true, Caption: r.T("case.calls_made"), CaptionClasses: "govuk-table__caption--m"}
	for _, id := range []string{"case.call_at", "case.call_how", "case.call_who", "case.their"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(id)})
	}
	for _, c := range calls {
		t.Rows = append(t.Rows, []ui.Cell{{Text: r.When(c.GetCallTime().AsTime())}, {Text: r.T(callWords[c.GetResult()], "number", plain.Visible(c.GetNumber()))},
			{Text: plain.Visible(c.GetWho())}, {Text: plain.Visible(c.GetReference())}})
	}
	return t.HTML()
}

// authorised asks who authorised the urgent route: the orderly officer, the duty governor or the safeguarding lead, also by
// telephone. Whoever is signed in and may do it themselves finds themselves there.
func (s *site) authorised() question {
	roles := []struct{ value, text string }{{orderlyOfficer, "case.role_orderly"}, {dutyGovernor, "case.role_governor"}, {safeguardingLead, "case.role_lead"}}
	return question{path: "authorised", name: "case.authorised",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			by := draft.GetForm().GetUrgency().GetAuthorisedBy()
			role := web.Field{Name: "role", Path: "urgency.authorised_by.role", Kind: web.One, Label: r.T("case.authorised_role"), Value: plain.Enum(by.GetRole())}
			staff := web.Field{Name: "staff", Path: "urgency.authorised_by.staff_id", Label: r.T("case.authorised_staff"), Width: 20, Value: by.GetStaffId()}
			who, _ := r.Person()
			for _, x := range roles {
				role.Options = append(role.Options, web.Option{Value: x.value, Text: r.T(x.text)})
				if by == nil && role.Value == "" && who.Has(x.value) {
					role.Value, staff.Value = x.value, who.ID
				}
			}
			how := web.Field{Name: "how", Kind: web.One, Label: r.T("case.authorised_how"), Options: []web.Option{{Value: "HERE", Text: r.T("case.authorised_here")}, {Value: "PHONE", Text: r.T("case.authorised_phone")}}}
			if by != nil {
				how.Value = map[bool]string{true: "PHONE", false: "HERE"}[by.GetByPhone()]
			}
			return web.NewForm(role, staff, how), nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("case.say_role", "role")
			f.Require("case.say_staff", "staff")
			f.Require("case.say_authorised_how", "how")
			role, _ := plain.Value(posternv1.StaffRole(0), f.Text("role"))
			urgencyOf(draft).AuthorisedBy = &posternv1.Authorisation{StaffId: f.Text("staff"), Role: posternv1.StaffRole(role), ByPhone: f.Text("how") == "PHONE"}
			return nil
		},
	}
}

// sought asks whether the person was asked and told, and why not where they were not.
func (s *site) sought() question {
	because := func(r *web.Request, name, path, label, value string) []web.Field {
		return []web.Field{{Name: name, Path: path, Kind: web.Lines, Label: r.T(label), Rows: 2, Most: 200, Value: value}}
	}
	return question{path: "sought", name: "case.sought",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			u := draft.GetForm().GetUrgency()
			asked, told := yesNo(r), yesNo(r)
			asked[1].Fields = because(r, "not_asked", "urgency.consent_not_sought_reason", "case.not_sought_why", u.GetConsentNotSoughtReason())
			told[1].Fields = because(r, "not_told", "urgency.parent_not_told_reason", "case.not_told_team", u.GetParentNotToldReason())
			return web.NewForm(
				web.Field{Name: "asked", Path: "urgency.consent_sought", Kind: web.One, Label: r.T("case.was_sought"), Hint: r.T("case.was_sought_hint"), Value: plain.Enum(u.GetConsentSought()), Options: asked},
				web.Field{Name: "told", Path: "urgency.parent_told", Kind: web.One, Label: r.T("case.parent_told"), Hint: r.T("case.parent_told_hint"), Value: plain.Enum(u.GetParentTold()), Options: told}), nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("case.say_sought", "asked")
			f.Require("case.say_told", "told")
			u := urgencyOf(draft)
			u.ConsentSought, u.ParentTold, u.ConsentNotSoughtReason, u.ParentNotToldReason = answerOf(f, "asked"), answerOf(f, "told"), "", ""
			if f.Text("asked") == "NO" {
				f.Require("case.say_not_sought", "not_asked")
				u.ConsentNotSoughtReason = f.Text("not_asked")
			}
			if f.Text("told") == "NO" {
				f.Require("case.say_not_told_team", "not_told")
				u.ParentNotToldReason = f.Text("not_told")
			}
			return nil
		},
	}
}

// correct begins a draft that puts a notification right: with all that its form says, to be gone through again.
func (s *site) correct(r *web.Request) (web.Response, error) {
	f, err := s.desk.CorrectionOf(r.Context(), r.PathValue("reference"))
	if err != nil {
		return nil, err
	}
	draft, err := s.desk.BeginDraft(r.Context(), &localv1.Draft{Form: f})
	if err != nil {
		return nil, err
	}
	return web.SeeOther(draftPath(draft, "")), nil
}
