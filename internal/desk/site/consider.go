package site

import (
	"slices"
	"strconv"
	"strings"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// decisions is the queue of the safeguarding lead: what needs a decision by a person, overdue first.
func (s *site) decisions(r *web.Request) (web.Response, error) {
	out, err := s.desk.ListNotifications(r.Context(), toDecide())
	if err != nil {
		return nil, err
	}
	t, err := s.caseTable(r, out.GetNotifications())
	if err != nil {
		return nil, err
	}
	return web.View{Template: "decisions", Wide: true, Data: struct {
		Table ui.Table
		AsOf  asOf
	}{t, s.asOf(r)}}, nil
}

// functions are the functions of an authority that sharing may help, by the codes that decisions have.
var functions = []struct{ code, text string }{
	{"ca1989.s17", "case.function_s17"}, {"ca1989.s47", "case.function_s47"}, {"ca2004.s10", "case.function_s10"}, {"ca2004.s11", "case.function_s11"},
	{"sswbwa2014.s21", "case.function_wales"},
}

func yesNo(r *web.Request) []web.Option {
	return []web.Option{{Value: "YES", Text: r.T("case.yes")}, {Value: "NO", Text: r.T("case.no")}}
}

// considerForm asks what the safeguarding lead decided on the duty to share, and why. The minimum is what it takes to get
// in touch; more is named section by section.
func considerForm(r *web.Request, n *localv1.Notification, about *desk.About) *web.Form {
	told := yesNo(r)
	told[1].Fields = []web.Field{{Name: "not_told", Kind: web.Lines, Label: r.T("case.not_told_why"), Rows: 2, Most: 500}}
	decision := web.Field{Name: "decision", Path: "share", Kind: web.One, Label: r.T("case.decision"), Options: []web.Option{
		{Value: "NOT_SHARE", Text: r.T("case.decide_not"), Hint: r.T("case.decide_not_hint")}}}
	if len(about.Children) > 0 {
		decision.Options = append([]web.Option{{Value: "SHARE", Text: r.T("case.decide_share"), Fields: shareFields(r, about)}}, decision.Options...)
	}
	relevant := yesNo(r)
	f := web.NewForm(
		web.Field{Name: "relevant", Kind: web.One, Inline: true, Label: r.T("case.relevant"), Options: relevant},
		decision,
		web.Field{Name: "parent_told", Kind: web.One, Label: r.T("case.parent_told"), Hint: r.T("case.parent_told_hint"), Options: told},
		web.Field{Name: "reasons", Kind: web.Lines, Label: r.T("case.reasons"), Hint: r.T("case.reasons_hint"), Rows: 6, Most: 3000})
	f.Submit = "case.decide_button"
	return f
}

func shareFields(r *web.Request, about *desk.About) []web.Field {
	children := web.Field{Name: "children", Path: "not_more_detrimental", Kind: web.Many, Label: r.T("case.which_children"), Hint: r.T("case.which_children_hint")}
	for i := range about.Children {
		children.Options = append(children.Options, web.Option{Value: strconv.Itoa(i + 1), Text: capital(numberedChild(r, about.Children, i+1))})
	}
	sections := web.Field{Name: "paths", Kind: web.Many, Label: r.T("case.which_sections")}
	for _, x := range about.Sections {
		if sec, ok := section.Lookup(x.Path); ok && x.Stand != desk.StandNotFilled && sec.Class != posternv1.SectionClass_SECTION_CLASS_URGENT {
			sections.Options = append(sections.Options, web.Option{Value: x.Path, Text: capital(sectionWords(r, x.Path, about.Children))})
		}
	}
	helps := web.Field{Name: "helps_function", Kind: web.One, Label: r.T("case.function")}
	for _, f := range functions {
		helps.Options = append(helps.Options, web.Option{Value: f.code, Text: r.T(f.text)})
	}
	helps.Options = append(helps.Options, web.Option{Value: "OTHER", Text: r.T("case.function_other"), Fields: []web.Field{{Name: "function_code", Label: r.T("case.function_code"), Hint: r.T("case.function_code_hint"), Width: 20}}})
	return []web.Field{children,
		{Name: "how_much", Kind: web.One, Label: r.T("case.how_much"), Options: []web.Option{
			{Value: "MINIMUM", Text: r.T("case.share_minimum"), Hint: r.T("case.share_minimum_hint")},
			{Value: "CHOSEN", Text: r.T("case.share_chosen"), Fields: []web.Field{sections}}}},
		helps}
}

// considered is what stands above the questions: what is known, until when, and what was decided before.
type considered struct {
	N        *localv1.Notification
	Until    string
	Overdue  bool
	Why      []string
	Summary  ui.SummaryList
	Before   ui.Timeline
	NoChild  bool
	Filled   []string
	Decision bool // there is something to decide
}

func (s *site) consider(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	if !desk.ActionsOf(n).Consider {
		return web.SeeOther(here(r)), nil // it came to its end, and its page says how
	}
	return considerView(r, n, about, considerForm(r, n, about)), nil
}

func considerView(r *web.Request, n *localv1.Notification, about *desk.About, f *web.Form) web.View {
	c := considered{N: n, Overdue: n.GetOverdue(), Why: whySo(r, n), Summary: caseSummary(r, n, about), NoChild: len(about.Children) == 0}
	if n.GetDueTime() != nil {
		c.Until = r.When(n.GetDueTime().AsTime())
	}
	if len(n.GetConsiderations()) > 0 {
		c.Before = timeline(r, &localv1.Notification{Elsewhere: true, Considerations: n.GetConsiderations()})
	}
	for _, x := range about.Sections {
		if x.Stand != desk.StandNotFilled {
			c.Filled = append(c.Filled, sectionWords(r, x.Path, about.Children))
		}
	}
	return web.View{Template: "consider", Form: f, Data: c, Back: "/decisions", About: n.GetReference()}
}

// considerFaults are the words for what is wrong with a consideration.
var considerFaults = map[string]string{"relevant": "case.say_relevant", "parent_told": "case.say_told", "helps_function": "case.say_function",
	"reasons": "case.say_reasons", "paths": "case.say_sections", "not_more_detrimental": "case.say_children"}

// doConsider records what the safeguarding lead decided. The same again changes nothing.
func (s *site) doConsider(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	f := considerForm(r, n, about)
	f.Read(r)
	f.Require("case.say_relevant", "relevant")
	f.Require("case.say_decision", "decision")
	f.Require("case.say_told", "parent_told")
	f.Require("case.say_reasons", "reasons")
	req := &localv1.ConsiderRequest{Id: n.GetId(), Share: f.Text("decision") == "SHARE", Reasons: f.Text("reasons"),
		Codes: &posternv1.Consideration{Relevant: answerOf(f, "relevant"), ParentTold: answerOf(f, "parent_told")}}
	if f.Text("parent_told") == "NO" {
		f.Require("case.say_not_told", "not_told")
		req.Reasons += "\n" + r.T("case.not_told_because", "why", f.Text("not_told"))
	}
	if req.Share {
		shareCodes(f, about, req.Codes)
	}
	if err = f.Err(); err == nil {
		_, err = s.desk.Consider(r.Context(), req)
	}
	if fault.From(err).Reason == "ENDED" {
		return web.SeeOther(here(r)), nil // somebody else decided, or it went: its page says which
	}
	if err != nil {
		return r.Again(considerView(r, n, about, f), inWords(r, err, considerFaults))
	}
	if err := r.Tell("case.decided"); err != nil {
		return nil, err
	}
	return web.SeeOther(here(r)), nil
}

// shareCodes fills in what is to be shared: of whom, what, and for which function of the authority.
func shareCodes(f *web.Form, about *desk.About, codes *posternv1.Consideration) {
	f.Require("case.say_children", "children")
	f.Require("case.say_how_much", "how_much")
	f.Require("case.say_function", "helps_function")
	if codes.HelpsFunction = f.Text("helps_function"); codes.HelpsFunction == "OTHER" {
		f.Require("case.say_function", "function_code")
		codes.HelpsFunction = f.Text("function_code")
	}
	for _, value := range f.Choices("children") {
		if number, err := strconv.Atoi(value); err == nil && number > 0 {
			codes.NotMoreDetrimental = append(codes.NotMoreDetrimental, uint32(number))
		}
	}
	if f.Text("how_much") == "CHOSEN" {
		f.Require("case.say_sections", "paths")
		codes.Paths = f.Choices("paths")
		return
	}
	for _, x := range about.Sections {
		sec, _ := section.Lookup(x.Path)
		number, ofChild := section.ChildOf(x.Path)
		if sec.Class == posternv1.SectionClass_SECTION_CLASS_MINIMUM && x.Stand != desk.StandNotFilled && (!ofChild || slices.Contains(codes.NotMoreDetrimental, uint32(number))) {
			codes.Paths = append(codes.Paths, x.Path)
		}
	}
}

func answerOf(f *web.Form, name string) posternv1.Answer {
	n, _ := plain.Value(posternv1.Answer(0), strings.TrimSpace(f.Text(name)))
	return posternv1.Answer(n)
}
