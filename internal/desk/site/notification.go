package site

import (
	"cmp"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// stateWords are what a page says of a state: a tag, and what happens next.
type stateWords struct{ tag, colour, next string }

var states = map[localv1.State]stateWords{
	localv1.State_STATE_QUEUED:      {"case.tag_queued", "light-blue", "case.next_queued"},
	localv1.State_STATE_WAITING:     {"case.tag_waiting", "yellow", "case.next_waiting"},
	localv1.State_STATE_WITHHELD:    {"case.tag_withheld", "grey", "case.next_withheld"},
	localv1.State_STATE_REFERRED:    {"case.tag_referred", "orange", "case.next_referred"},
	localv1.State_STATE_ACCEPTED:    {"case.tag_accepted", "blue", "case.next_accepted"},
	localv1.State_STATE_DELIVERED:   {"case.tag_delivered", "green", "case.next_delivered"},
	localv1.State_STATE_UNDELIVERED: {"case.tag_undelivered", "red", "case.next_undelivered"},
	localv1.State_STATE_WITHDRAWN:   {"case.tag_withdrawn", "grey", "case.next_withdrawn"},
	localv1.State_STATE_STOP_ASKED:  {"case.tag_stop_asked", "purple", "case.next_stop_asked"},
	localv1.State_STATE_CLOSED:      {"case.tag_closed", "grey", "case.next_closed"},

	localv1.State_STATE_PART_WITHDRAWN: {"case.tag_part_withdrawn", "grey", "case.next_part_withdrawn"},
}

// stateTag is the state of a notification in a word or two.
func stateTag(r *web.Request, n *localv1.Notification) template.HTML {
	w := states[n.GetState()]
	if n.GetElsewhere() && refusedByHub(n) {
		w = stateWords{tag: "case.tag_not_withdrawn", colour: "red"}
	}
	if desk.ObjectedElsewhere(n) {
		w = stateWords{tag: "case.tag_objected", colour: "grey"}
	}
	return ui.Tag{Text: r.T(w.tag), Classes: "govuk-tag--" + w.colour}.HTML()
}

// refusedByHub reports whether the newest withdrawal was not accepted, such as for a wrong code.
func refusedByHub(n *localv1.Notification) bool {
	taken := n.GetWithdrawals()
	return len(taken) > 0 && slices.ContainsFunc(taken[len(taken)-1].GetAnswer().GetReasons(), func(x *posternv1.Reason) bool { return x.GetRuleId() == "hub_refused" })
}

// asOf says since when nothing was heard from the hub, where that is longer than usual.
type asOf struct {
	Silent bool
	Since  string // empty when nothing was heard since the desk was started
}

func (s *site) asOf(r *web.Request) asOf {
	at, silent := s.desk.Heard()
	out := asOf{Silent: silent}
	if !at.IsZero() {
		out.Since = r.When(at)
	}
	return out
}

// caseShown is what the page of a notification shows.
type caseShown struct {
	N        *localv1.Notification
	Tag      template.HTML
	Next     string // the id of what happens next
	Until    string // by when
	Overdue  bool
	Tasks    []string
	Champion string
	Why      []string
	Summary  ui.SummaryList
	Goes     []string
	Stays    ui.Table
	Timeline ui.Timeline
	Replies  []string
	May      desk.Actions
	Consider bool // the reader is who considers
	AsOf     asOf
	Slip     bool
	Erased   string // the day on which its form was erased; empty while it is here
	FillsIn  bool   // the reader fills in forms
}

// notification shows one notification: how it stands, what happens next, what went and what did not, and what may be done.
func (s *site) notification(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	who, _ := r.Person()
	c := caseShown{N: n, Tag: stateTag(r, n), Next: nextWords(n), Overdue: n.GetOverdue(), May: desk.ActionsOf(n), AsOf: s.asOf(r),
		Consider: who.Has(safeguardingLead), Slip: !n.GetElsewhere() && n.GetErasure() == nil && slices.ContainsFunc(fillsIn, who.Has), FillsIn: slices.ContainsFunc(fillsIn, who.Has), Timeline: timeline(r, n), Replies: replies(r, n), Why: whySo(r, n)}
	if n.GetState() == localv1.State_STATE_WITHDRAWN {
		c.Why = nil // what it waited for, or went by, is no longer why
	}
	if e := n.GetErasure(); e != nil {
		c.Erased = r.Date(e.GetEraseTime().AsTime())
	}
	if n.GetDueTime() != nil {
		c.Until = r.When(n.GetDueTime().AsTime())
	}
	for _, t := range n.GetTasks() {
		c.Tasks = append(c.Tasks, taskWords(r, t))
	}
	c.Champion = together(n.GetChampion().GetRole(), n.GetChampion().GetPhone(), n.GetChampion().GetMailbox())
	c.Summary = caseSummary(r, n, about)
	c.Goes, c.Stays = sections(r, n, about)
	return web.View{Template: "notification", Data: c, Back: "/notifications", About: n.GetReference()}, nil
}

// caseOf is the notification that the address names, and what this desk holds of it.
func (s *site) caseOf(r *web.Request) (*localv1.Notification, *desk.About, error) {
	name := r.PathValue("reference")
	out, err := s.desk.GetNotification(r.Context(), &localv1.GetNotificationRequest{Id: name})
	if err != nil {
		return nil, nil, err
	}
	about, err := s.desk.About(r.Context(), out.GetNotification().GetId())
	return out.GetNotification(), about, err
}

// nextWords is the id of what happens next.
func nextWords(n *localv1.Notification) string {
	switch {
	case n.GetElsewhere() && refusedByHub(n):
		return "case.next_not_withdrawn"
	case desk.ObjectedElsewhere(n):
		return "case.next_objected_elsewhere"
	case n.GetElsewhere() && n.GetState() == localv1.State_STATE_QUEUED:
		return "case.next_queued_elsewhere"
	case n.GetManual() != nil && desk.ActionsOf(n).Back:
		return "case.next_manual_back"
	case desk.ActionsOf(n).Unasked:
		return "case.next_unasked"
	case desk.ActionsOf(n).Waits:
		return "case.next_withdrawing"
	case n.GetState() == localv1.State_STATE_WITHDRAWN && len(n.GetMaybeSentSha256()) > 0:
		return "case.next_withdrawn_maybe"
	case n.GetState() == localv1.State_STATE_REFERRED && len(n.GetMaybeSentSha256()) > 0:
		return "case.next_referred_maybe"
	case desk.ActionsOf(n).Refused:
		return "case.next_withdrawal_refused"
	case n.GetAuthority() == "" && !n.GetElsewhere() && n.GetState() == localv1.State_STATE_REFERRED:
		return "case.next_asked"
	case desk.NotAskedHere(n):
		return "case.next_moved"
	case desk.Reconsidered(n):
		return "case.next_duty_again"
	case n.GetManual() != nil:
		return "case.next_manual"
	case n.GetSupersededBy() != "":
		return "case.next_superseded"
	case n.GetResealedBy() != "" && n.GetState() == localv1.State_STATE_UNDELIVERED:
		return "case.next_resealed"
	case desk.WaitsFor(n) == "call":
		return "case.next_waiting_call"
	case desk.WaitsFor(n) == "ask":
		return "case.next_waiting_ask"
	default:
		return states[n.GetState()].next
	}
}

// taskWords say what a person has to do now, with the number of this hour.
func taskWords(r *web.Request, t *localv1.Task) string {
	what := r.Language.Text("obligation."+strings.ToLower(plain.Enum(t.GetKind())), nil)
	if t.GetChildNumber() > 0 {
		what = r.T("decision.about", "number", t.GetChildNumber(), "what", what)
	}
	if phone := strings.TrimSpace(t.GetName() + " " + t.GetPhoneNumber()); phone != "" {
		what += ": " + phone
	}
	what = capital(what)
	if t.GetDueTime() == nil {
		return what + "."
	}
	id := "case.task_by"
	if t.GetOverdue() {
		id = "case.task_overdue"
	}
	return r.T(id, "what", what, "when", r.When(t.GetDueTime().AsTime()))
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

func caseSummary(r *web.Request, n *localv1.Notification, about *desk.About) ui.SummaryList {
	var list ui.SummaryList
	add := func(id, value string) {
		if value != "" {
			list.Rows = append(list.Rows, ui.SummaryRow{Key: ui.Words{Text: r.T(id)}, Value: ui.Words{Text: plain.Visible(value), Classes: "app-answer"}})
		}
	}
	add("case.person", personName(about.Person))
	add("case.prison_number", about.Person.Number)
	add("case.children", childList(r, about.Children))
	add("case.to", destination(r, n))
	if !n.GetElsewhere() {
		add("case.route", r.T(routeWords[about.Route]))
		add("case.taken", r.When(n.GetCreateTime().AsTime()))
	}
	if !about.Until.IsZero() {
		add("case.permission_until", r.Date(about.Until))
	}
	if n.GetMove() != nil {
		add("case.moved_to", movedTo(r, n.GetMove()))
	}
	add("case.slip_code", n.GetSlipCode())
	for _, other := range []struct{ text, id string }{{"case.supersedes", n.GetSupersedes()}, {"case.superseded_by", n.GetSupersededBy()},
		{"case.follows", n.GetFollows()}, {"case.reseals", n.GetReseals()}, {"case.resealed_by", n.GetResealedBy()}} {
		if envelope.ValidID(other.id) {
			list.Rows = append(list.Rows, caseRow(r.T(other.text), other.id))
		}
	}
	for _, f := range n.GetFollowups() {
		list.Rows = append(list.Rows, caseRow(r.T("case.goes_on", "children", numberList(f.GetChildNumbers())), f.GetId()))
	}
	for _, reference := range n.GetMayStillHold() {
		list.Rows = append(list.Rows, caseRow(r.T("case.may_still_hold"), reference))
	}
	if n.GetSameAs() != "" {
		list.Rows = append(list.Rows, caseRow(r.T("case.same_as"), n.GetSameAs()))
	}
	return list
}

// caseRow names another notification, by its id or its reference, with the way to it.
func caseRow(key, name string) ui.SummaryRow {
	return ui.SummaryRow{Key: ui.Words{Text: key}, Value: ui.Words{Text: ui.Link{Href: caseAt(name), Text: cmp.Or(envelope.Reference(name), name)}.HTML()}}
}

var routeWords = map[posternv1.Route]string{
	posternv1.Route_ROUTE_UNSPECIFIED: "case.route_asked", posternv1.Route_ROUTE_STANDARD: "case.route_standard",
	posternv1.Route_ROUTE_URGENT: "case.route_urgent", posternv1.Route_ROUTE_DUTY: "case.route_duty",
}

// childList names children by their numbers.
func childList(r *web.Request, names []string) string {
	all := make([]string, len(names))
	for i := range names {
		all[i] = numberedChild(r, names, i+1)
	}
	return strings.Join(all, ", ")
}

// numberedChild is what a child is called on a page: the number as decisions have it, and the name where the form is here.
func numberedChild(r *web.Request, names []string, number int) string {
	if number > len(names) || names[number-1] == "" {
		return r.T("case.child_number", "number", number)
	}
	return r.T("case.child_named", "number", number, "name", plain.Visible(names[number-1]))
}

func numberList(all []uint32) string {
	texts := make([]string, len(all))
	for i, n := range all {
		texts[i] = strconv.Itoa(int(n))
	}
	return strings.Join(texts, ", ")
}

// whySo is what the decision rests on, in the reader's words.
func whySo(r *web.Request, n *localv1.Notification) []string {
	var out []string
	add := func(text string) {
		if text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	for _, x := range n.GetDecision().GetReasons() {
		add(ruleWords(r, x))
	}
	for _, c := range n.GetDecision().GetChildren() {
		for _, x := range c.GetReasons() {
			if slices.Contains(out, ruleWords(r, x)) {
				continue // it holds for all
			}
			add(r.T("case.about_child", "number", c.GetNumber(), "what", ruleWords(r, x)))
		}
	}
	return out
}

// ruleWords are the words of a reason: by the id of its rule where the language has them, or else the policy's own.
func ruleWords(r *web.Request, x *posternv1.Reason) string {
	if id := "rule." + x.GetRuleId(); r.Language.Has(id) {
		return r.Language.Text(id, nil)
	}
	return x.GetText()
}

// sections are the sections that go, by name, and of those that do not why: those with the same reason together.
func sections(r *web.Request, n *localv1.Notification, about *desk.About) (goes []string, stays ui.Table) {
	stays = ui.Table{Stack: true, Caption: r.T("case.not_sent"), CaptionClasses: "govuk-visually-hidden", Head: []ui.Cell{{Text: r.T("case.section")}, {Text: r.T("case.why")}}}
	var order []string
	with := map[string][]string{}
	for _, x := range about.Sections {
		name := plain.PathWordsIn(r.Language, x.Path)
		if x.Stand == desk.StandSent {
			goes = append(goes, capital(name))
			continue
		}
		because := r.T("case.not_filled_in")
		switch {
		case x.Stand == desk.StandTakenBack, x.Stand == desk.StandKept && n.GetState() == localv1.State_STATE_WITHDRAWN:
			because = r.T("case.taken_back")
		case x.Stand == desk.StandKept:
			because = whyNot(r, n, x.Path)
		case x.Stand == desk.StandNotOffered:
			because = r.T("case.not_offered")
		}
		if with[because] == nil {
			order = append(order, because)
		}
		with[because] = append(with[because], name)
	}
	for _, because := range order {
		stays.Rows = append(stays.Rows, []ui.Cell{{Text: capital(strings.Join(with[because], ", "))}, {Text: because}})
	}
	return goes, stays
}

// whyNot is why a section that was offered does not go: the reason that names it, or else that of its child, or of all.
func whyNot(r *web.Request, n *localv1.Notification, path string) string {
	d := n.GetDecision()
	if d == nil {
		return r.T("case.not_decided")
	}
	for _, c := range d.GetChildren() {
		if !strings.HasPrefix(path, "child/"+strconv.Itoa(int(c.GetNumber()))+"/") {
			continue
		}
		for _, x := range c.GetReasons() {
			if slices.Contains(x.GetPaths(), path) {
				return ruleWords(r, x)
			}
		}
		if c.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE && len(c.GetReasons()) > 0 {
			return ruleWords(r, c.GetReasons()[0])
		}
	}
	for _, x := range d.GetReasons() {
		if slices.Contains(x.GetPaths(), path) || d.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
			return ruleWords(r, x)
		}
	}
	return r.T("case.with_the_child")
}
