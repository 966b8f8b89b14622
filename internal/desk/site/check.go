package site

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// checking is what the last page before sending shows: what is missing, what each team will see, and what stays here.
type checking struct {
	Missing []toMend // without it nothing can be sent
	Unasked []toMend // it can be sent without, and a page was not answered
	Answers []ui.SummaryList
	Parts   []ahead
	Policy  []string
	Add     string // where another child is described; empty where there is no room
}

// toMend is something to answer, and where.
type toMend struct{ Text, Of, Href string }

// ahead is what would become of one notification. Every section stands in one place: in a list of what the team will
// see, or with the reason for which it stays here.
type ahead struct {
	Team    string
	Outcome []string // in a sentence, and what stands in the way
	Why     []string // the whole decision, line by line with its rules
	Head    string   // over the lists
	Nothing bool     // nothing goes: the lists are the answers as they stand
	Sees    []ui.SummaryList
	Stays   []staying
}

// staying is what stays here for one reason.
type staying struct {
	Why   []string
	Which []toMend
}

// check shows everything once more before it is sent, each answer with a link to change it, and beside it what the
// council will see: decided on this machine as the hub will decide.
func (s *site) check(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() != nil {
		return web.SeeOther(sentPath(draft)), nil
	}
	form := desk.FormOf(draft)
	data := checking{Unasked: unasked(r, draft)}
	if n := len(draft.GetForm().GetChildren()) + 1; n > 1 && n <= 16 {
		data.Add = draftPath(draft, fmt.Sprintf("children/%d", n))
	}
	f := web.NewForm(web.Field{Name: versionField, Kind: web.Hidden, Value: strconv.FormatUint(draft.GetVersion(), 10)})
	f.Submit = "fill.send"
	view := web.View{Template: "check", Data: &data, Form: f, Wide: true, Back: before(r, draft, "check")}
	found, err := s.desk.Preview(r.Context(), r.Language, form)
	if fault.KindOf(err) == fault.Invalid {
		for _, x := range fault.From(err).Fields {
			data.Missing = append(data.Missing, mending(r, draft, x))
		}
		data.Answers, view.Form = allAnswers(r, draft), nil
		return about(draft, view), nil
	}
	if err != nil {
		return nil, err
	}
	for _, p := range found.Parts {
		data.Parts = append(data.Parts, s.ahead(r, draft, p))
	}
	data.Policy = policyAge(r, found)
	return about(draft, view), nil
}

// send sends the form that was read through. A second press, and a page from before somebody changed an answer, send
// nothing new.
func (s *site) send(r *web.Request) (web.Response, error) {
	version, err := strconv.ParseUint(r.PostFormValue(versionField), 10, 64)
	if err != nil {
		version = 0 // no draft has it
	}
	draft, _, err := s.desk.SendDraft(r.Context(), r.PathValue("draft"), version, r.Language)
	if f := fault.From(err); err != nil && (f.Kind == fault.Invalid || f.Reason == "DRAFT_CHANGED") {
		if err := r.Warn("fill.not_sent_yet"); err != nil {
			return nil, err
		}
		return web.SeeOther(r.URL.Path), nil
	}
	if err != nil {
		return nil, err
	}
	return web.SeeOther(sentPath(draft)), nil
}

// unasked are the pages of the journey that nobody answered.
func unasked(r *web.Request, draft *localv1.Draft) (all []toMend) {
	for _, x := range steps(draft) {
		if !done(draft, x.path) && x.path != "check" {
			all = append(all, toMend{Text: r.T(x.text), Of: ofChild(r, draft, x.child), Href: changePath(draft, x.path)})
		}
	}
	return all
}

func changePath(draft *localv1.Draft, step string) string {
	return draftPath(draft, step) + "?to=check"
}

// ofChild is what a child is called, nothing for 0.
func ofChild(r *web.Request, draft *localv1.Draft, n int) string {
	if all := draft.GetForm().GetChildren(); n > 0 && n <= len(all) {
		return childName(r, all[n-1], n)
	}
	return ""
}

// mending is a fault of the form with the page where it is mended. What the page cannot say in a field, it says here.
func mending(r *web.Request, draft *localv1.Draft, x fault.Field) toMend {
	step, n := stepOfFault(x.Path)
	if elsewhere, fix := r.Language.Fault("form.one_authority", nil); x.Reason == elsewhere { // the child is taken out there
		step, x.Reason = fmt.Sprintf("children/%d", n), elsewhere+" "+fix
	} else if strings.HasSuffix(x.Path, "].authority") {
		x.Reason = r.T("fill.council_missing")
	}
	return toMend{Text: x.Reason, Of: ofChild(r, draft, n), Href: changePath(draft, step)}
}

// stepOfFault is the step at which a field of the form is asked for, and the number of the child it is about.
func stepOfFault(path string) (step string, child int) {
	head, rest, _ := strings.Cut(path, ".")
	if index, ok := strings.CutPrefix(head, "children["); ok {
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil {
			return "", 0
		}
		field, _, _ := strings.Cut(rest, ".")
		return stepOfSection(field, i+1), i + 1
	}
	switch head {
	case "children":
		return "children/1", 0
	case "lawful_basis":
		return "basis", 0
	case "consent":
		return "permission", 0
	case "parent", "tonight":
		return head, 0
	case "urgency":
		return stepOfUrgency(rest), 0
	}
	return "", 0
}

// stepOfSection is the step at which a section, or one of the facts beside the sections, is asked for: of a child by its
// number, of the parent for 0.
func stepOfSection(name string, n int) string {
	if n == 0 {
		return "parent"
	}
	at := fmt.Sprintf("children/%d", n)
	name, _, _ = strings.Cut(name, "[")
	switch name {
	case "home", "authority", "authority_checked", "in_care", "address_confidential":
		return at + "/home"
	case "carer", "phone":
		return at + "/carer"
	case "safety":
		return at + "/safety"
	case "school", "knowledge", "needs", "worker":
		return at + "/more"
	}
	return at
}

// answer is a row with what a section says, how it is known where the parent did not say it, and the link that changes it.
func answer(r *web.Request, draft *localv1.Draft, child int, name string, m proto.Message) ui.SummaryRow {
	var b strings.Builder
	for _, l := range plain.LinesIn(r.Language, m) {
		fmt.Fprintf(&b, `%s <span class="govuk-!-font-weight-bold">%s</span><br>`, template.HTMLEscapeString(l.Label+":"), template.HTMLEscapeString(plain.Visible(l.Value)))
	}
	if p := plain.Source(m); p.GetKnown() != isKnown || p.GetBasis() != posternv1.Basis_BASIS_PARENT_SAID {
		fmt.Fprintf(&b, `<span class="govuk-hint">%s</span>`, template.HTMLEscapeString(upper(plain.ProvenanceIn(r.Language, m))))
	}
	key := upper(plain.PathWordsIn(r.Language, name))
	hidden := strings.TrimSpace(key + " " + ofChild(r, draft, child))
	return ui.SummaryRow{Key: ui.Words{Text: key}, Value: ui.Words{Text: template.HTML(b.String()), Classes: "app-answer"},
		Actions: ui.Actions{Items: []ui.Action{{Text: r.T("fill.change"), Href: changePath(draft, stepOfSection(name, child)), VisuallyHiddenText: hidden}}}}
}

// card is a list under whom it is about.
func card(r *web.Request, draft *localv1.Draft, child, level int, rows []ui.SummaryRow) ui.SummaryList {
	title := r.T("fill.the_parent")
	if child > 0 {
		title = ofChild(r, draft, child)
	}
	return ui.SummaryList{Rows: rows, Card: &ui.Card{Title: &ui.CardTitle{Text: title, HeadingLevel: level}}}
}

// allAnswers is the form as it stands, while it cannot be looked ahead at.
func allAnswers(r *web.Request, draft *localv1.Draft) (all []ui.SummaryList) {
	f := draft.GetForm()
	for child := range len(f.GetChildren()) + 1 {
		var rows []ui.SummaryRow
		for _, sec := range section.All() {
			if m, ok := section.Get(f, sec.Path(child)); ok && sec.PerChild == (child > 0) {
				rows = append(rows, answer(r, draft, child, sec.Name, m))
			}
		}
		if len(rows) > 0 {
			all = append(all, card(r, draft, child, 3, rows))
		}
	}
	return all
}

// ahead is what a page says of a part of a preview.
func (s *site) ahead(r *web.Request, draft *localv1.Draft, p desk.PreviewPart) ahead {
	out := ahead{Team: team(desk.Council{Name: p.Name, Team: p.Team}), Why: plain.DecisionIn(r.Language, inForm(p)), Head: r.T("fill.council_sees")}
	out.Outcome = outcome(r, out.Team, p)
	out.Nothing = !slices.ContainsFunc(p.Sections, func(x desk.PreviewSection) bool { return x.Fate == desk.Goes || x.Fate == desk.Waits })
	if out.Nothing {
		out.Head = r.T("fill.your_answers")
	}
	for _, child := range append([]uint32{0}, p.Children...) {
		var rows []ui.SummaryRow
		for _, x := range p.Sections {
			sec, _ := section.Lookup(x.Path)
			switch {
			case x.Child != child:
			case out.Nothing || x.Fate == desk.Goes || x.Fate == desk.Waits:
				rows = append(rows, answer(r, draft, int(child), sec.Name, x.Message))
			default:
				out.stays(because(r, p.Route, x), toMend{Text: upper(plain.PathWordsIn(r.Language, sec.Name)), Of: ofChild(r, draft, int(child)), Href: changePath(draft, stepOfSection(sec.Name, int(child)))})
			}
		}
		if len(rows) > 0 {
			out.Sees = append(out.Sees, card(r, draft, int(child), 4, rows))
		}
	}
	return out
}

// stays adds a section to those that stay here for the same reason.
func (a *ahead) stays(why []string, which toMend) {
	for i := range a.Stays {
		if slices.Equal(a.Stays[i].Why, why) {
			a.Stays[i].Which = append(a.Stays[i].Which, which)
			return
		}
	}
	a.Stays = append(a.Stays, staying{why, []toMend{which}})
}

// outcome says in a sentence what becomes of a part.
func outcome(r *web.Request, team string, p desk.PreviewPart) (said []string) {
	if p.Authority == "" {
		return []string{r.T("fill.ahead_enquiry")}
	}
	if !proto.Equal(p.Decision, p.Then) {
		said = append(said, r.T("fill.ahead_check"))
	}
	switch p.Then.GetOutcome() {
	case posternv1.Outcome_OUTCOME_SHARE:
		said = append(said, r.T("fill.ahead_share", "team", team))
	case posternv1.Outcome_OUTCOME_WAIT:
		said = append(said, r.T("fill.ahead_wait", "team", team))
	case posternv1.Outcome_OUTCOME_WITHHOLD:
		said = append(said, r.T("fill.ahead_withhold", "team", team))
	default:
		said = append(said, r.T("fill.ahead_refer", "team", team))
	}
	if p.Then.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
		return said
	}
	for _, reasons := range append([][]*posternv1.Reason{p.Then.GetReasons()}, reasonsOf(p.Then)...) {
		for _, reason := range reasons {
			if text := plain.ReasonIn(r.Language, reason); !slices.Contains(said, text) {
				said = append(said, text)
			}
		}
	}
	return said
}

// reasonsOf are the reasons of a decision, by child.
func reasonsOf(d *posternv1.Decision) (all [][]*posternv1.Reason) {
	for _, c := range d.GetChildren() {
		all = append(all, c.GetReasons())
	}
	return all
}

// because is why a section does not go, in plain words.
func because(r *web.Request, route posternv1.Route, x desk.PreviewSection) (why []string) {
	switch x.Fate {
	case desk.Goes:
		return nil
	case desk.NotAgreed:
		if route == posternv1.Route_ROUTE_URGENT { // nobody was asked to agree
			return []string{r.T("fill.stays_not_urgent")}
		}
		return []string{r.T("fill.stays_not_agreed")}
	case desk.NoKey:
		return []string{r.T("fill.stays_no_key")}
	}
	for _, reason := range x.Reasons {
		if text := plain.ReasonIn(r.Language, reason); !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	return why
}

// inForm is the decision by which a part is shown, with the children counted as in the form.
func inForm(p desk.PreviewPart) *posternv1.Decision {
	d := proto.CloneOf(p.Then)
	number := func(n uint32) uint32 {
		if n > 0 && int(n) <= len(p.Children) {
			return p.Children[n-1]
		}
		return n
	}
	paths := func(reasons []*posternv1.Reason) {
		for _, reason := range reasons {
			for i, path := range reason.GetPaths() {
				if n, ok := section.ChildOf(path); ok {
					sec, _ := section.Lookup(path)
					reason.Paths[i] = sec.Path(int(number(uint32(n))))
				}
			}
		}
	}
	paths(d.GetReasons())
	for _, c := range d.GetChildren() {
		c.Number = number(c.GetNumber())
		paths(c.GetReasons())
	}
	for _, o := range d.GetObligations() {
		o.ChildNumber = number(o.GetChildNumber())
	}
	return d
}

// policyAge says by which rules the desk looked ahead, and how old they are.
func policyAge(r *web.Request, p *desk.Preview) []string {
	said := []string{r.T("fill.ahead_rules", "revision", p.Policy.Revision[:min(12, len(p.Policy.Revision))], "number", p.Directory)}
	switch {
	case !p.Policy.Checked.IsZero():
		said = append(said, r.T("fill.ahead_confirmed", "when", r.When(p.Policy.Checked)))
	case !p.Policy.Since.IsZero():
		said = append(said, r.T("fill.ahead_since", "when", r.When(p.Policy.Since)))
	default:
		said = append(said, r.T("fill.ahead_built_in"))
	}
	return said
}
