package site

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"postern/internal/plain"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// carer asks who has a child tonight, and for that person's number where it may be told. Where nobody grown up is known to
// have the child, it leads to the numbers of this hour at once.
func (s *site) carer() question {
	return question{path: "children/{child}/carer", name: "fill.child_carer", form: carerForm, take: s.takeCarer,
		view: func(r *web.Request, draft *localv1.Draft, _ *web.Form) (web.View, error) {
			n, _, err := childOf(r, draft, false)
			if err != nil {
				return web.View{}, err
			}
			child := draft.GetForm().GetChildren()[n-1]
			return s.aboutChild(r, draft, child.GetCarer() == nil && housemate(draft, n).GetCarer() != nil)
		},
		next: func(r *web.Request, draft *localv1.Draft) string {
			_, child, err := childOf(r, draft, false)
			if err == nil && child.GetCarer().GetIsAdult() != yes && !child.GetInCare() && child.GetIdentity().GetDueDate() == "" {
				return draftPath(draft, "numbers")
			}
			return ""
		}}
}

// housemate is the first other child at the same address: what was said of that one is offered for this one, in sight.
func housemate(draft *localv1.Draft, n int) *posternv1.Child {
	all := draft.GetForm().GetChildren()
	same := int(all[n-1].GetHome().GetSameAsChild())
	if same < 1 || same > len(all) || same == n {
		return nil
	}
	return all[same-1]
}

func carerForm(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return nil, err
	}
	at, carer, phone := fmt.Sprintf("children[%d].", n-1), child.GetCarer(), child.GetPhone()
	if carer == nil {
		carer, phone = housemate(draft, n).GetCarer(), housemate(draft, n).GetPhone()
	}
	fields := []web.Field{
		{Name: "name", Path: at + "carer.name", Label: r.T("fill.carer_name"), Width: 20, Value: carer.GetName()},
		{Name: "relationship", Path: at + "carer.relationship", Kind: web.List, Label: r.T("fill.carer_relationship"), Value: plain.Enum(carer.GetRelationship()),
			Options: listed(r, choices(r, valuesOf[posternv1.Relationship]()...))},
		{Name: "is_adult", Path: at + "carer.is_adult", Kind: web.One, Inline: true, Label: r.T("fill.carer_adult"), Options: choices(r, yes, no, notKnown), Value: plain.Enum(carer.GetIsAdult())},
		{Name: "has_parental_responsibility", Path: at + "carer.has_parental_responsibility", Kind: web.One, Inline: true, Label: r.T("fill.carer_responsibility"),
			Hint: r.T("fill.responsibility_hint"), Options: choices(r, yes, no, notKnown), Value: plain.Enum(carer.GetHasParentalResponsibility())},
	}
	if mayTell(draft, "child/{n}/phone", n) {
		fields = append(fields, web.Field{Name: "carer_phone", Path: at + "phone.carer_phone", Label: r.T("fill.carer_phone"), Hint: r.T("fill.carer_phone_hint"), Width: 20,
			InputMode: "tel", Value: phone.GetCarerPhone()})
	}
	known := ""
	switch {
	case carer.GetProvenance().GetKnown() == isKnown:
		known = "YES"
	case carer != nil:
		known = "NO"
	}
	return web.NewForm(web.Field{Name: "known", Path: at + "carer", Kind: web.One, Label: r.T("fill.carer_known"), Value: known, Options: []web.Option{
		{Value: "YES", Text: r.T("fill.carer_is_known"), Fields: fields}, {Value: "NO", Text: r.T("fill.carer_not_known"), Hint: r.T("fill.carer_not_known_hint")}}}), nil
}

func (s *site) takeCarer(r *web.Request, f *web.Form, draft *localv1.Draft) error {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return err
	}
	if f.Require("fill.say_carer", "known"); f.Text("known") == "YES" {
		if f.Text("name") == "" && f.Text("relationship") == "" {
			f.Require("fill.say_who", "name")
		}
		f.Require("fill.say_adult", "is_adult")
	}
	if err := f.Err(); err != nil {
		return err
	}
	carer, known := &posternv1.ChildCarer{}, isNotKnown
	var phone *posternv1.ChildPhone
	if f.Text("known") == "YES" {
		known = isKnown
		carer.Name, carer.Relationship, carer.IsAdult = f.Text("name"), chosen[posternv1.Relationship](f, "relationship"), chosen[posternv1.Answer](f, "is_adult")
		carer.HasParentalResponsibility = chosen[posternv1.Answer](f, "has_parental_responsibility")
		if number := f.Text("carer_phone"); number != "" {
			phone = &posternv1.ChildPhone{CarerPhone: number}
			phone.Provenance = s.told(child.GetPhone(), phone, isKnown)
		}
	}
	carer.Provenance = s.told(child.GetCarer(), carer, known)
	child.Carer, child.Phone = carer, phone
	at := fmt.Sprintf("children[%d].", n-1)
	s.mend(r, f, draft, at+"carer", at+"phone")
	return nil
}

// safety asks how to make contact without harm to anybody: it travels with the address, always.
func (s *site) safety() question {
	return question{path: "children/{child}/safety", name: "fill.child_safety", form: safetyForm, take: s.takeSafety,
		view: func(r *web.Request, draft *localv1.Draft, _ *web.Form) (web.View, error) {
			n, _, err := childOf(r, draft, false)
			if err != nil {
				return web.View{}, err
			}
			child := draft.GetForm().GetChildren()[n-1]
			return s.aboutChild(r, draft, child.GetSafety() == nil && housemate(draft, n).GetSafety() != nil)
		}}
}

func safetyForm(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return nil, err
	}
	at, safety := fmt.Sprintf("children[%d].safety.", n-1), child.GetSafety()
	if safety == nil {
		safety = housemate(draft, n).GetSafety()
	}
	mention := ""
	switch {
	case safety.GetDoNotMentionPrison():
		mention = "NO"
	case safety != nil:
		mention = "YES"
	}
	return web.NewForm(
		web.Field{Name: "carer_knows", Path: at + "carer_knows", Kind: web.One, Inline: true, Label: r.T("fill.carer_knows"), Options: choices(r, yes, no, notKnown), Value: plain.Enum(safety.GetCarerKnows())},
		web.Field{Name: "mention", Path: at + "do_not_mention_prison", Kind: web.One, Label: r.T("fill.mention"), Hint: r.T("fill.mention_hint"), Value: mention,
			Options: []web.Option{{Value: "YES", Text: r.T("fill.may_mention")}, {Value: "NO", Text: r.T("fill.not_mention")}}},
		web.Field{Name: "safe_manner", Path: at + "safe_manner", Kind: web.Lines, Rows: 2, Most: 400, Label: r.T("fill.safe_manner"), Hint: r.T("fill.safe_manner_hint"), Value: safety.GetSafeManner()},
		web.Field{Name: "safe_times", Path: at + "safe_times", Label: r.T("fill.safe_times"), Hint: r.T("fill.safe_times_hint"), Width: 30, Value: safety.GetSafeTimes()},
		language(r, "language", at+"language", r.T("fill.carer_language"), safety.GetLanguage()),
		web.Field{Name: "interpreter_needed", Path: at + "interpreter_needed", Kind: web.One, Inline: true, Label: r.T("fill.interpreter"), Options: choices(r, yes, no, notKnown),
			Value: plain.Enum(safety.GetInterpreterNeeded())},
	), nil
}

func (s *site) takeSafety(r *web.Request, f *web.Form, draft *localv1.Draft) error {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return err
	}
	f.Require("fill.say_carer_knows", "carer_knows")
	f.Require("fill.say_mention", "mention")
	if err := f.Err(); err != nil {
		return err
	}
	safety := &posternv1.ChildSafety{CarerKnows: chosen[posternv1.Answer](f, "carer_knows"), DoNotMentionPrison: f.Text("mention") != "YES",
		SafeManner: f.Text("safe_manner"), SafeTimes: f.Text("safe_times"), Language: f.Text("language"), InterpreterNeeded: chosen[posternv1.Answer](f, "interpreter_needed")}
	safety.Provenance = s.told(child.GetSafety(), safety, isKnown)
	child.Safety = proto.CloneOf(safety)
	s.mend(r, f, draft, fmt.Sprintf("children[%d].safety", n-1))
	return nil
}
