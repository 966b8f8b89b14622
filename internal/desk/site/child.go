package site

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/plain"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// errNoChild is for a number that no child of the draft has.
var errNoChild = fault.New(fault.NotFound, "NO_CHILD", "There is no such child in this form. Go back to the form and choose one of those that are there.")

// childOf is the number in the path of a page, and the child; an empty one for the number after the last, where a new
// child may be described.
func childOf(r *web.Request, draft *localv1.Draft, mayBeNew bool) (n int, child *posternv1.Child, err error) {
	all := draft.GetForm().GetChildren()
	n, err = strconv.Atoi(r.PathValue("child"))
	switch {
	case err != nil || n < 1 || n > form.MaxChildren || n > len(all)+1 || n > len(all) && !mayBeNew || r.PathValue("child") != strconv.Itoa(n):
		return 0, nil, errNoChild
	case n > len(all):
		return n, &posternv1.Child{}, nil
	}
	return n, all[n-1], nil
}

// asking is what a page about a child shows beside its questions.
type asking struct {
	Caption string        // whom it is about
	Inset   template.HTML // what must be known at this page
	Remove  string        // where the child is taken out of the form; empty where it is not in it yet
	Before  bool          // whether some answers are those about another child
}

// childName is what a child is called on a page: by name where there is one. Control characters and marks of direction are
// made visible, since a name is anybody's text.
func childName(r *web.Request, child *posternv1.Child, n int) string {
	id := child.GetIdentity()
	for _, name := range []string{id.GetKnownAs(), id.GetGivenName(), id.GetFamilyName()} {
		if strings.TrimSpace(name) != "" {
			return plain.Visible(name)
		}
	}
	return r.T("desk.child_number", "number", n)
}

// childSteps are the steps of every child, of whom there is at least one, and of the parent.
func childSteps(draft *localv1.Draft) (all []step) {
	for n := range max(1, len(draft.GetForm().GetChildren())) {
		of := fmt.Sprintf("children/%d", n+1)
		all = append(all, step{of, "fill.child", n + 1}, step{of + "/home", "fill.child_home", n + 1},
			step{of + "/carer", "fill.child_carer", n + 1}, step{of + "/safety", "fill.child_safety", n + 1})
		if len(optional(draft, n+1)) > 0 {
			all = append(all, step{of + "/more", "fill.child_more", n + 1})
		}
	}
	if asksParent(draft) {
		all = append(all, step{"parent", "fill.parent", 0})
	}
	return append(all, step{"check", "fill.check", 0})
}

// asksParent reports whether anything is left to ask about the parent: the name came with the arrival.
func asksParent(draft *localv1.Draft) bool {
	name := draft.GetForm().GetParent().GetName()
	return name.GetGivenName()+name.GetFamilyName() == "" ||
		slices.ContainsFunc(moreOfParent, func(section string) bool { return mayTell(draft, "parent/"+section, 0) })
}

// child asks who a child is and what the person in prison is to the child.
func (s *site) child() question {
	return question{path: "children/{child}", name: "fill.child",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			n, child, err := childOf(r, draft, true)
			if err != nil {
				return nil, err
			}
			f := web.NewForm(append(identityFields(r, draft, n, child), relationshipFields(r, n, child)...)...)
			if n == len(draft.GetForm().GetChildren()) || n > len(draft.GetForm().GetChildren()) && n < form.MaxChildren {
				f.Buttons = []web.Button{{Name: "then", Value: "another", Text: "fill.add_child"}}
			}
			return f, nil
		},
		view: func(r *web.Request, draft *localv1.Draft, _ *web.Form) (web.View, error) {
			n, child, err := childOf(r, draft, true)
			about := asking{Caption: childName(r, child, n)}
			if n <= len(draft.GetForm().GetChildren()) {
				about.Remove = draftPath(draft, fmt.Sprintf("children/%d/remove", n))
			}
			return web.View{Template: "asking", Data: about}, err
		},
		take: s.takeChild,
		next: func(r *web.Request, draft *localv1.Draft) string {
			if n := len(draft.GetForm().GetChildren()) + 1; r.PostFormValue("then") == "another" && n <= form.MaxChildren {
				return draftPath(draft, fmt.Sprintf("children/%d", n))
			}
			return ""
		},
	}
}

func identityFields(r *web.Request, draft *localv1.Draft, n int, child *posternv1.Child) []web.Field {
	at, id := fmt.Sprintf("children[%d].identity", n-1), child.GetIdentity()
	family := web.Field{Name: "family_name", Path: at + ".family_name", Label: r.T("fill.family_name"), Width: 20, Value: id.GetFamilyName()}
	if parent := draft.GetForm().GetParent().GetName().GetFamilyName(); parent != "" {
		family.Hint = r.T("fill.family_name_hint", "name", plain.Visible(parent)) // said, and not filled in: it may be another
	}
	born := web.Field{Name: "born", Path: at, Kind: web.One, Label: r.T("fill.born"), Options: []web.Option{
		{Value: "DATE", Text: r.T("fill.born_date"), Fields: []web.Field{
			{Name: "date_of_birth", Path: at + ".date_of_birth", Kind: web.Date, Label: r.T("fill.date_of_birth"), Hint: r.T("fill.date_hint"), Value: id.GetDateOfBirth()}}},
		{Value: "AGE", Text: r.T("fill.born_age"), Fields: []web.Field{
			{Name: "age_years", Path: at + ".age_years", Label: r.T("fill.age_years"), Width: 2, InputMode: "numeric"}}},
		{Value: "UNBORN", Text: r.T("fill.born_not_yet"), Fields: []web.Field{
			{Name: "due_date", Path: at + ".due_date", Kind: web.Date, Label: r.T("fill.due_date"), Hint: r.T("fill.due_hint"), Value: id.GetDueDate()}}},
	}}
	switch b := id.GetBorn().(type) {
	case *posternv1.ChildIdentity_DateOfBirth:
		born.Value = "DATE"
	case *posternv1.ChildIdentity_AgeYears:
		born.Value, born.Options[1].Fields[0].Value = "AGE", strconv.FormatUint(uint64(b.AgeYears), 10)
	case *posternv1.ChildIdentity_DueDate:
		born.Value = "UNBORN"
	}
	return []web.Field{
		{Name: "given_name", Path: at + ".given_name", Label: r.T("fill.given_name"), Width: 20, Value: id.GetGivenName()}, family,
		{Name: "known_as", Path: at + ".known_as", Label: r.T("fill.known_as"), Hint: r.T("fill.known_as_hint"), Width: 20, Value: id.GetKnownAs()}, born,
	}
}

func relationshipFields(r *web.Request, n int, child *posternv1.Child) []web.Field {
	at, rel := fmt.Sprintf("children[%d].relationship.", n-1), child.GetRelationship()
	asked := func(name, label string, a posternv1.Answer, options ...web.Option) web.Field {
		return web.Field{Name: name, Path: at + name, Kind: web.One, Label: r.T(label), Options: options, Value: plain.Enum(a)}
	}
	agrees := asked("agrees_to_early_help", "fill.agrees", rel.GetAgreesToEarlyHelp(), choices(r, yes, no, notKnown)...)
	agrees.Hint = r.T("fill.agrees_hint")
	responsible := choices(r, yes, no, notKnown)
	responsible[0].Fields = []web.Field{agrees} // nobody else can agree to it
	pr := asked("parental_responsibility", "fill.responsibility", rel.GetParentalResponsibility(), responsible...)
	pr.Hint = r.T("fill.responsibility_hint")
	lived := asked("lived_with_before", "fill.lived_with", rel.GetLivedWithBefore(), choices(r, yes, no, shared, notKnown)...)
	cared := asked("primary_carer_before", "fill.main_carer", rel.GetPrimaryCarerBefore(), choices(r, yes, no, shared, notKnown)...)
	lived.Inline, cared.Inline = true, true
	return []web.Field{
		{Name: "relationship", Path: at + "relationship", Kind: web.List, Label: r.T("fill.relationship"), Value: plain.Enum(rel.GetRelationship()),
			Options: listed(r, choices(r, valuesOf[posternv1.Relationship]()...))}, pr, lived, cared,
	}
}

func (s *site) takeChild(r *web.Request, f *web.Form, draft *localv1.Draft) error {
	n, child, err := childOf(r, draft, true)
	if err != nil {
		return err
	}
	f.Require("fill.say_born", "born")
	id := &posternv1.ChildIdentity{GivenName: f.Text("given_name"), FamilyName: f.Text("family_name"), KnownAs: f.Text("known_as")}
	s.takeBirth(r, f, id)
	if f.Text("born") != "UNBORN" && id.GetGivenName()+id.GetFamilyName()+id.GetKnownAs() == "" {
		f.Require("fill.say_name", "given_name")
	}
	f.Require("fill.say_relationship", "relationship")
	f.Require("fill.say_responsibility", "parental_responsibility")
	f.Require("fill.say_lived_with", "lived_with_before")
	f.Require("fill.say_main_carer", "primary_carer_before")
	if err := f.Err(); err != nil {
		return err
	}
	rel := &posternv1.ChildRelationship{Relationship: chosen[posternv1.Relationship](f, "relationship"),
		ParentalResponsibility: chosen[posternv1.Answer](f, "parental_responsibility"), LivedWithBefore: chosen[posternv1.Answer](f, "lived_with_before"),
		PrimaryCarerBefore: chosen[posternv1.Answer](f, "primary_carer_before")}
	if rel.ParentalResponsibility == yes {
		rel.AgreesToEarlyHelp = chosen[posternv1.Answer](f, "agrees_to_early_help")
	}
	id.Provenance, rel.Provenance = s.told(child.GetIdentity(), id, isKnown), s.told(child.GetRelationship(), rel, isKnown)
	child.Identity, child.Relationship = id, rel
	if n > len(draft.GetForm().GetChildren()) {
		draft.Form.Children = append(draft.Form.Children, child)
	}
	at := fmt.Sprintf("children[%d].", n-1)
	s.mend(r, f, draft, at+"identity", at+"relationship")
	return nil
}

// takeBirth takes the one of three answers that was chosen.
func (s *site) takeBirth(r *web.Request, f *web.Form, id *posternv1.ChildIdentity) {
	switch f.Text("born") {
	case "DATE":
		f.Require("fill.say_birth", "date_of_birth")
		if day, ok := f.Day("date_of_birth"); ok {
			id.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: day.Format(dayLayout)}
		}
	case "AGE":
		f.Require("fill.say_age", "age_years")
		years, err := strconv.ParseUint(f.Text("age_years"), 10, 8)
		if err != nil && f.Text("age_years") != "" {
			reason, fix := r.Language.Fault("fill.age_is_no_number", nil)
			f.Fail(fault.Field{Path: "age_years", Reason: reason, Fix: fix})
		}
		id.Born = &posternv1.ChildIdentity_AgeYears{AgeYears: uint32(years)}
	case "UNBORN":
		f.Require("fill.say_due", "due_date")
		if day, ok := f.Day("due_date"); ok {
			id.Born = &posternv1.ChildIdentity_DueDate{DueDate: day.Format(dayLayout)}
		}
	}
}

const dayLayout = "2006-01-02"

// removal asks before a child is taken out of the form: what was written about it goes.
func (s *site) removal(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() != nil {
		return web.SeeOther(sentPath(draft)), nil
	}
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return nil, err
	}
	f := web.NewForm(web.Field{Name: versionField, Kind: web.Hidden, Value: strconv.FormatUint(draft.GetVersion(), 10)})
	f.Submit = "fill.remove_child"
	return about(draft, web.View{Template: "asking", Form: f, Back: draftPath(draft, fmt.Sprintf("children/%d", n)),
		Data: asking{Caption: childName(r, child, n), Inset: template.HTML(template.HTMLEscapeString(r.T("fill.remove_say")))}}), nil
}

// remove takes a child out of the form, with everything that was said of it.
func (s *site) remove(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() != nil {
		return web.SeeOther(sentPath(draft)), nil
	}
	n, _, err := childOf(r, draft, false)
	if err != nil {
		return nil, err
	}
	without(draft, n)
	if draft.Version, err = strconv.ParseUint(r.PostFormValue(versionField), 10, 64); err != nil {
		return nil, errNoChild
	}
	// A second click is about an older version, and must not take out the child that has the number now.
	if _, err = s.desk.SaveDraft(r.Context(), draft); err != nil && fault.From(err).Reason != "DRAFT_CHANGED" {
		return nil, err
	}
	return web.SeeOther(draftPath(draft, "")), nil
}

// without takes child n out of a draft: whoever lived at the same address keeps it in full, and everything that counts
// the children counts on.
func without(draft *localv1.Draft, n int) {
	f := draft.GetForm()
	gone := f.GetChildren()[n-1].GetHome()
	f.Children = slices.Delete(f.Children, n-1, n)
	first := 0 // the first child who lived with the one that goes
	for i, c := range f.GetChildren() {
		switch same := int(c.GetHome().GetSameAsChild()); {
		case same == n && first > 0:
			c.Home.SameAsChild = uint32(first)
		case same == n:
			c.Home.SameAsChild, first = gone.GetSameAsChild(), i+1
			if gone.GetSameAsChild() == 0 {
				c.Home.AddressLines, c.Home.Postcode = slices.Clone(gone.GetAddressLines()), gone.GetPostcode()
			}
		case same > n:
			c.Home.SameAsChild--
		}
	}
	var calls []*posternv1.Call
	for _, call := range f.GetCalls() {
		if number, ok := counted(int(call.GetChildNumber()), n); ok {
			call = proto.CloneOf(call)
			call.ChildNumber = uint32(number)
			calls = append(calls, call)
		}
	}
	f.Calls = calls
	draft.Answered = countedPaths(draft.GetAnswered(), "children/", n)
	permittedWithout(draft, n)
}

// permittedWithout takes child n out of the permission of a draft. Permission for that child alone is none for anybody
// else, so the person is asked anew; left naming nobody, it would be for all.
func permittedWithout(draft *localv1.Draft, n int) {
	c := draft.GetForm().GetConsent()
	if c == nil {
		return
	}
	var covered []uint32
	for _, number := range c.GetChildren() {
		if number, ok := counted(int(number), n); ok {
			covered = append(covered, uint32(number))
		}
	}
	if len(c.GetChildren()) > 0 && len(covered) == 0 && c.GetState() == posternv1.ConsentState_CONSENT_STATE_GIVEN {
		draft.Form.Consent = nil
		draft.Answered = slices.DeleteFunc(draft.GetAnswered(), func(page string) bool { return page == "permission" || page == "permission/adjust" })
		return
	}
	c.Children, c.Sections = covered, countedPaths(c.GetSections(), "child/", n)
	if w := c.GetWithdrawal(); len(w.GetPaths()) > 0 {
		if w.Paths = countedPaths(w.GetPaths(), "child/", n); len(w.GetPaths()) == 0 {
			c.Withdrawal = nil // what was taken back went with the child, and not all of it was
		}
	}
}

// counted is the number of a child when child n is gone; none for that one.
func counted(number, n int) (int, bool) {
	if number > n {
		return number - 1, true
	}
	return number, number != n
}

// countedPaths are paths such as children/3/home when child n is gone.
func countedPaths(paths []string, prefix string, n int) (all []string) {
	for _, p := range paths {
		rest, ofChild := strings.CutPrefix(p, prefix)
		digits, tail, deeper := strings.Cut(rest, "/")
		number, err := strconv.Atoi(digits)
		if !ofChild || err != nil {
			all = append(all, p)
			continue
		}
		if number, ok := counted(number, n); ok {
			p = prefix + strconv.Itoa(number)
			if deeper {
				p += "/" + tail
			}
			all = append(all, p)
		}
	}
	return all
}
