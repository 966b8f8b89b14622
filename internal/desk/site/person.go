package site

import (
	"cmp"
	"strings"

	"postern/internal/plain"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// person asks who has arrived, where no list of arrivals said so.
func (s *site) person() question {
	return question{path: "person", name: "desk.person",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			d := draft.GetForm()
			f := web.NewForm(
				web.Field{Name: "number", Path: "prison_number", Label: r.T("desk.prison_number"), Hint: r.T("desk.prison_number_hint"), Width: 10, Most: 20},
				web.Field{Name: "given", Path: "parent.name.given_name", Label: r.T("desk.given_name"), Width: 20, Most: 100},
				web.Field{Name: "family", Path: "parent.name", Label: r.T("desk.family_name"), Width: 20, Most: 100},
				web.Field{Name: "date", Path: "reception.receive_date", Kind: web.Date, Label: r.T("desk.receive_date"), Hint: r.T("desk.receive_date_hint")},
				web.Field{Name: "reason", Path: "reception.reason", Kind: web.One, Label: r.T("desk.reason"), Options: []web.Option{
					{Value: "NEW_ADMISSION", Text: r.T("desk.reason_new")}, {Value: "READMISSION", Text: r.T("desk.reason_again")},
					{Value: "LICENCE_RECALL", Text: r.T("desk.reason_recall")}, {Value: "TRANSFER", Text: r.T("desk.reason_transfer")}}})
			f.Set("number", d.GetPrisonNumber())
			f.Set("given", d.GetParent().GetName().GetGivenName())
			f.Set("family", d.GetParent().GetName().GetFamilyName())
			f.Set("date", cmp.Or(d.GetReception().GetReceiveDate(), s.today()))
			f.Set("reason", cmp.Or(plain.Enum(d.GetReception().GetReason()), "NEW_ADMISSION"))
			return f, nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("desk.number_say", "number")
			f.Require("desk.family_say", "family")
			f.Require("desk.date_say", "date")
			f.Require("desk.reason_say", "reason")
			if day, ok := f.Day("date"); ok {
				draft.Form.Reception = &posternv1.Reception{Reason: chosen[posternv1.ReceptionReason](f, "reason"), ReceiveDate: day.Format("2006-01-02")}
			}
			draft.Form.PrisonNumber = strings.ToUpper(f.Text("number"))
			draft.Form.Parent = cmp.Or(draft.Form.Parent, &posternv1.Parent{})
			draft.Form.Parent.Name = &posternv1.ParentName{GivenName: f.Text("given"), FamilyName: f.Text("family"), Provenance: s.said()}
			return nil
		},
		checks: func(*web.Request) []string { return []string{"prison_number", "parent.name", "reception"} },
	}
}

// children asks whether there are any. Not asked is an answer too, with its reason: then the person is asked again.
func (s *site) children() question {
	return question{path: "children", name: "desk.children",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			why := web.Field{Name: "why", Path: "not_asked_reason", Kind: web.One, Label: r.T("desk.why_not_asked"), Options: []web.Option{
				{Value: "UNWELL", Text: r.T("desk.why_unwell")}, {Value: "LATE", Text: r.T("desk.why_late")}, {Value: "INTERPRETER", Text: r.T("desk.why_interpreter")},
				{Value: "UNDER_THE_INFLUENCE", Text: r.T("desk.why_influence")}, {Value: "OTHER", Text: r.T("desk.why_other")}}}
			f := web.NewForm(web.Field{Name: "answer", Path: "enquiry", Kind: web.One, Label: r.T("desk.children"), Hint: r.T("desk.children_hint"), IsPageHeading: true,
				Options: []web.Option{{Value: "CHILDREN", Text: r.T("desk.children_yes")}, {Value: "NO_CHILDREN", Text: r.T("desk.children_no")},
					{Value: "DECLINED", Text: r.T("desk.children_declined")}, r.Or(), {Value: "NOT_ASKED", Text: r.T("desk.children_not_asked"), Fields: []web.Field{why}}}})
			f.Set("answer", plain.Enum(draft.GetForm().GetEnquiry()))
			f.Set("why", plain.Enum(draft.GetForm().GetNotAskedReason()))
			return f, nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("desk.children_say", "answer")
			draft.Form.Enquiry = chosen[posternv1.EnquiryOutcome](f, "answer")
			draft.Form.NotAskedReason = posternv1.NotAskedReason_NOT_ASKED_REASON_UNSPECIFIED
			if draft.Form.Enquiry == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED {
				f.Require("desk.why_say", "why")
				draft.Form.NotAskedReason = chosen[posternv1.NotAskedReason](f, "why")
			}
			return nil
		},
		next: func(r *web.Request, draft *localv1.Draft) string {
			if draft.GetForm().GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN {
				return draftPath(draft, "outcome")
			}
			return ""
		},
	}
}
