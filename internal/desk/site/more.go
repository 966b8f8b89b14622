package site

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/plain"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The sections that are asked for only where they may be told.
var (
	moreOfChild  = []string{"school", "knowledge", "needs", "worker"}
	moreOfParent = []string{"birth", "custody", "language", "wishes"}
)

// optional are those of them that are asked for about a child.
func optional(draft *localv1.Draft, n int) (names []string) {
	for _, name := range moreOfChild {
		if mayTell(draft, "child/{n}/"+name, n) {
			names = append(names, name)
		}
	}
	return names
}

// more asks for what may be told beyond the minimum. Each answer may be left out.
func (s *site) more() question {
	return question{path: "children/{child}/more", name: "fill.child_more", form: moreForm, take: s.takeMore,
		view: func(r *web.Request, draft *localv1.Draft, _ *web.Form) (web.View, error) {
			return s.aboutChild(r, draft, false)
		}}
}

func moreForm(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return nil, err
	}
	at, asks := fmt.Sprintf("children[%d].", n-1), optional(draft, n)
	f := web.NewForm()
	add := func(section string, fields ...web.Field) {
		if slices.Contains(asks, section) {
			f.Fields = append(f.Fields, fields...)
		}
	}
	add("school", web.Field{Name: "setting_name", Path: at + "school.setting_name", Label: r.T("fill.school"), Hint: r.T("fill.school_hint"), Width: 30, Value: child.GetSchool().GetSettingName()})
	add("knowledge", web.Field{Name: "knows", Path: at + "knowledge.knows_about_imprisonment", Kind: web.One, Inline: true, Label: r.T("fill.knows"),
		Options: []web.Option{{Value: "YES", Text: r.T("fill.yes")}, {Value: "NO", Text: r.T("fill.no")}, {Value: "PARTLY", Text: r.T("fill.partly")}, {Value: "NOT_KNOWN", Text: r.T("fill.i_do_not_know")}},
		Value:   plain.Enum(child.GetKnowledge().GetKnowsAboutImprisonment())})
	needs := web.Field{Name: "needs", Path: at + "needs.codes", Kind: web.Many, Label: r.T("fill.needs"), Hint: r.T("fill.needs_hint"), Options: choices(r, valuesOf[posternv1.Need]()...)}
	for i, o := range needs.Options {
		if o.Value == "HEALTH" || o.Value == "DISABILITY" {
			needs.Options[i].Hint = r.T("fill.article9_hint")
		}
	}
	for _, code := range child.GetNeeds().GetCodes() {
		needs.Values = append(needs.Values, plain.Enum(code))
	}
	add("needs", needs, web.Field{Name: "communication_needs", Path: at + "needs.communication_needs", Kind: web.Lines, Rows: 2, Most: 300, Label: r.T("fill.communication"),
		Hint: r.T("fill.communication_hint"), Value: child.GetNeeds().GetCommunicationNeeds()})
	has := choices(r, yes, no, notKnown)
	has[0].Fields = []web.Field{{Name: "team_name", Path: at + "worker.team_name", Label: r.T("fill.worker_team"), Width: 30, Value: child.GetWorker().GetTeamName()}}
	add("worker", web.Field{Name: "has_worker", Path: at + "worker.already_has_worker", Kind: web.One, Label: r.T("fill.worker"), Hint: r.T("fill.worker_hint"), Options: has,
		Value: plain.Enum(child.GetWorker().GetAlreadyHasWorker())})
	return f, nil
}

func (s *site) takeMore(r *web.Request, f *web.Form, draft *localv1.Draft) error {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return err
	}
	// What was left empty was not asked, and a section nobody asked about is not in the form.
	was := proto.CloneOf(child)
	child.School, child.Knowledge, child.Needs, child.Worker = nil, nil, nil, nil
	keepUnasked(draft, was, child, "child/{n}/", n, moreOfChild)
	if name := f.Text("setting_name"); name != "" {
		child.School = &posternv1.ChildSchool{SettingName: name}
		child.School.Provenance = s.told(was.GetSchool(), child.School, isKnown)
	}
	if knows := chosen[posternv1.KnowsAboutImprisonment](f, "knows"); knows != 0 {
		child.Knowledge = &posternv1.ChildKnowledge{KnowsAboutImprisonment: knows}
		child.Knowledge.Provenance = s.told(was.GetKnowledge(), child.Knowledge, isKnown)
	}
	needs := &posternv1.ChildNeeds{CommunicationNeeds: f.Text("communication_needs")}
	for _, code := range f.Choices("needs") {
		if v, ok := plain.Value(posternv1.Need(0), code); ok && !slices.Contains(needs.Codes, posternv1.Need(v)) {
			needs.Codes = append(needs.Codes, posternv1.Need(v))
		}
	}
	if len(needs.GetCodes()) > 0 || needs.GetCommunicationNeeds() != "" {
		child.Needs = needs
		needs.Provenance = s.told(was.GetNeeds(), needs, isKnown)
	}
	if has := chosen[posternv1.Answer](f, "has_worker"); has != 0 {
		child.Worker = &posternv1.ChildWorker{AlreadyHasWorker: has}
		if has == yes {
			child.Worker.TeamName = f.Text("team_name")
		}
		child.Worker.Provenance = s.told(was.GetWorker(), child.Worker, isKnown)
	}
	at := fmt.Sprintf("children[%d].", n-1)
	s.mend(r, f, draft, at+"school", at+"knowledge", at+"needs", at+"worker")
	return nil
}

// parent asks for the parent's own sections: the name, and what may be told beside it.
func (s *site) parent() question {
	return question{path: "parent", name: "fill.parent", form: parentForm, take: s.takeParent}
}

func parentForm(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
	p := draft.GetForm().GetParent()
	f := web.NewForm(
		web.Field{Name: "given_name", Path: "parent.name.given_name", Label: r.T("fill.given_name"), Width: 20, Value: p.GetName().GetGivenName()},
		web.Field{Name: "family_name", Path: "parent.name.family_name", Label: r.T("fill.family_name"), Width: 20, Value: p.GetName().GetFamilyName()})
	add := func(section string, fields ...web.Field) {
		if mayTell(draft, "parent/"+section, 0) {
			f.Fields = append(f.Fields, fields...)
		}
	}
	add("birth", web.Field{Name: "date_of_birth", Path: "parent.birth.date_of_birth", Kind: web.Date, Label: r.T("fill.date_of_birth"), Hint: r.T("fill.parent_birth_hint"),
		Value: p.GetBirth().GetDateOfBirth()})
	add("custody",
		web.Field{Name: "custody_type", Path: "parent.custody.custody_type", Kind: web.One, Label: r.T("fill.custody"), Options: choices(r, valuesOf[posternv1.CustodyType]()...),
			Value: plain.Enum(p.GetCustody().GetCustodyType())},
		web.Field{Name: "time_away", Path: "parent.custody.time_away", Kind: web.One, Label: r.T("fill.time_away"), Hint: r.T("fill.time_away_hint"),
			Options: choices(r, valuesOf[posternv1.TimeAway]()...), Value: plain.Enum(p.GetCustody().GetTimeAway())})
	add("language", language(r, "language", "parent.language.language", r.T("fill.parent_language"), p.GetLanguage().GetLanguage()),
		web.Field{Name: "interpreter_needed", Path: "parent.language.interpreter_needed", Kind: web.One, Inline: true, Label: r.T("fill.interpreter"), Options: choices(r, yes, no, notKnown),
			Value: plain.Enum(p.GetLanguage().GetInterpreterNeeded())})
	add("wishes", web.Field{Name: "contact", Path: "parent.wishes.contact_wanted_by_parent", Kind: web.One, Inline: true, Label: r.T("fill.contact"), Hint: r.T("fill.contact_hint"),
		Options: choices(r, valuesOf[posternv1.ContactWanted]()...), Value: plain.Enum(p.GetWishes().GetContactWantedByParent())})
	return f, nil
}

func (s *site) takeParent(r *web.Request, f *web.Form, draft *localv1.Draft) error {
	was := draft.GetForm().GetParent()
	if f.Text("given_name") == "" {
		f.Require("fill.say_parent", "family_name")
	}
	born, _ := f.Day("date_of_birth")
	if err := f.Err(); err != nil {
		return err
	}
	p := &posternv1.Parent{Name: &posternv1.ParentName{GivenName: f.Text("given_name"), FamilyName: f.Text("family_name")}}
	p.Name.Provenance = s.told(was.GetName(), p.Name, isKnown) // a name of the record stays a record's
	if !born.IsZero() {
		p.Birth = &posternv1.ParentBirth{DateOfBirth: born.Format(dayLayout)}
		p.Birth.Provenance = s.told(was.GetBirth(), p.Birth, isKnown)
	}
	if kind, away := chosen[posternv1.CustodyType](f, "custody_type"), chosen[posternv1.TimeAway](f, "time_away"); kind != 0 || away != 0 {
		p.Custody = &posternv1.ParentCustody{CustodyType: kind, TimeAway: away}
		p.Custody.Provenance = s.told(was.GetCustody(), p.Custody, isKnown)
	}
	if tongue, needed := f.Text("language"), chosen[posternv1.Answer](f, "interpreter_needed"); tongue != "" || needed != 0 {
		p.Language = &posternv1.ParentLanguage{Language: tongue, InterpreterNeeded: needed}
		p.Language.Provenance = s.told(was.GetLanguage(), p.Language, isKnown)
	}
	if wanted := chosen[posternv1.ContactWanted](f, "contact"); wanted != 0 {
		p.Wishes = &posternv1.ParentWishes{ContactWantedByParent: wanted}
		p.Wishes.Provenance = s.told(was.GetWishes(), p.Wishes, isKnown)
	}
	keepUnasked(draft, was, p, "parent/", 0, moreOfParent)
	draft.Form.Parent = p
	s.mend(r, f, draft, "parent")
	return nil
}

// conditions are the conditions of Article 9 UK GDPR on which a child's health, disability or coming birth may be told:
// safeguarding of children, protection of somebody's life, consent.
var conditions = []string{"art9.2.g", "art9.2.c", "art9.2.a"}

// basis asks for the condition of Article 9 where the desk's configuration names none and the form needs one. No step
// leads to it: the check of the form does.
func (s *site) basis() question {
	return question{path: "basis", name: "fill.basis",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			ask := web.Field{Name: "condition", Path: "lawful_basis.article9_condition", Kind: web.One, Label: r.T("fill.condition"), Hint: r.T("fill.condition_hint"),
				Value: draft.GetForm().GetLawfulBasis().GetArticle9Condition()}
			for _, c := range conditions {
				ask.Options = append(ask.Options, web.Option{Value: c, Text: r.T("fill.condition_" + c[len(c)-1:])})
			}
			return web.NewForm(ask), nil
		},
		take: func(_ *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("fill.say_condition", "condition")
			if err := f.Err(); err != nil {
				return err
			}
			b := draft.GetForm().GetLawfulBasis()
			if b == nil { // a form that names a basis names all of it
				b = proto.CloneOf(s.desk.LawfulBasis())
			}
			if b == nil {
				b = &posternv1.LawfulBasis{}
			}
			b.Article9Condition = f.Text("condition")
			draft.Form.LawfulBasis = b
			return nil
		},
	}
}
