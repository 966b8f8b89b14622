package site

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// conflict is the status of a page that tells somebody that a colleague was quicker.
const conflict = http.StatusConflict

// part is one section on the page.
type part struct {
	Title  string
	Tag    ui.Content // whether it was said, seen or is on record
	Source string
	List   ui.SummaryList
}

// warned is how to make contact with the carer of one child without harm.
type warned struct {
	Quiet bool // prison must not be mentioned, or nobody knows
	Words string
	List  ui.SummaryList
}

// notShared is a section that did not come, and as far as the team may know, why.
type notShared struct{ Name, Why string }

// other is another notification that a page names.
type other struct{ At, Reference string }

// notification is what a page shows of one.
type notification struct {
	Item       *localv1.Item
	Whole      bool // all of it was withdrawn
	State      ui.Content
	Due        ui.Content
	Deputy     string // that a deputy was told, while nobody has acted
	Assigned   string
	Safety     []warned
	Permission ui.SummaryList
	Ended      bool // the permission has ended
	Parts      []part
	NotShared  []notShared
	Sender     *posternv1.Sender
	Prison     string  // by its name
	By         string  // the team that passed it on, by its name
	At         string  // its page
	Newer      []other // those that put it right
	Older      *other  // the one that it puts right
	OlderWords string
	Received   string
	Decision   []string
	Answered   string
	Replied    string
	Outcome    string
	History    []string
	PassedOn   []string
	Seen       string // how many deeds this page has seen
	Changed    string // what a colleague did meanwhile
	HubPhone   string
}

// opened is an item with its sections as messages.
type opened struct {
	*localv1.GetItemResponse
	byPath map[string]proto.Message
}

func (s *site) open(r *web.Request) (opened, error) {
	out, err := s.inbox.GetItem(r.Context(), &localv1.GetItemRequest{Id: r.PathValue("reference")})
	if err != nil {
		return opened{}, err
	}
	o := opened{out, map[string]proto.Message{}}
	for _, content := range out.GetSections() {
		m, err := section.Read(content.GetPath(), content.GetContent())
		if err != nil {
			return opened{}, err
		}
		o.byPath[content.GetPath()] = m
	}
	return o, nil
}

// of is a section of a child; its zero message when it did not come.
func of[T proto.Message](o opened, path string) (m T, came bool) {
	m, came = o.byPath[path].(T)
	return m, came
}

// show is the page of a notification: how to make contact safely first, then what was shared, then what was not.
func (s *site) show(r *web.Request) (web.Response, error) {
	view, err := s.notification(r)
	if err != nil {
		return nil, err
	}
	return view, nil
}

func (s *site) notification(r *web.Request) (web.View, error) {
	o, err := s.open(r)
	if err != nil {
		return web.View{}, err
	}
	people, err := s.people(r)
	if err != nil {
		return web.View{}, err
	}
	i := o.GetItem()
	n := &notification{Item: i, At: s.page(r), Sender: o.GetSender(), Prison: s.prison(r, i), Received: r.When(i.GetReceiveTime().AsTime()),
		Whole: i.GetStop() != nil && len(i.GetStop().GetPaths()) == 0, Decision: plain.DecisionIn(r.Language, o.GetDecision()),
		State: tag(r, i), Due: s.due(r, i, s.now().In(s.zone)), Assigned: people.name(r, i.GetWork().GetAssignedTo()),
		Seen: strconv.Itoa(len(i.GetWork().GetDeeds())), HubPhone: s.inbox.HubPhone()}
	if by := i.GetPassedOnBy(); by != "" {
		n.By = s.inbox.NameOf(r.Language, by)
	}
	for _, id := range i.GetSupersededBy() {
		n.Newer = append(n.Newer, other{pageOf(id), envelope.Reference(id)})
	}
	if id := i.GetSupersedes(); id != "" {
		n.Older, n.OlderWords = &other{pageOf(id), envelope.Reference(id)}, r.T("inbox.puts_right")
		if i.GetChangeReason() == posternv1.ChangeReason_CHANGE_REASON_CHILD_ADDED {
			n.OlderWords = r.T("inbox.child_added")
		}
	}
	if answer := i.GetStop().GetAnswer(); answer != 0 {
		n.Answered = r.T(answers[answer])
	}
	if reply := i.GetWork().GetReply(); reply != nil {
		n.Replied = said(r, reply)
	}
	if code := i.GetWork().GetOutcome(); code != 0 {
		n.Outcome = r.T(outcomes[code])
	}
	for _, p := range i.GetPassedOn() {
		n.PassedOn = append(n.PassedOn, went(r, p))
	}
	if all := i.GetWork().GetDeputyAlerts(); i.GetDueTime() != nil && len(all) > 0 {
		n.Deputy = s.deputyTold(r, all[len(all)-1], s.now().In(s.zone))
	}
	n.History = s.history(r, people, i.GetWork())
	if !n.Whole {
		for _, child := range i.GetChildNumbers() {
			n.Safety = append(n.Safety, s.safety(r, o, child))
		}
		n.Permission, n.Ended = s.permission(r, o)
		n.Parts, n.NotShared = parts(r, o), missing(r, o)
	}
	view := web.View{Template: "notification", Data: n, Back: "/", About: i.GetReference()}
	if i.GetStop() != nil && i.GetStop().GetAnswer() == 0 {
		view.Form = stopForm(r, n.Seen, i.GetStop().GetDeliveryId())
	}
	return view, nil
}

// prison is what the sending prison is called; its code where the directory was never read.
func (s *site) prison(r *web.Request, i *localv1.Item) string {
	if name := s.inbox.NameOf(r.Language, i.GetPrisonId()); name != i.GetPrisonId() {
		return name
	}
	return r.T("inbox.prison_code", "code", i.GetPrisonId())
}

func row(key, value string) ui.SummaryRow {
	return ui.SummaryRow{Key: ui.Words{Text: key}, Value: ui.Words{Text: plain.Visible(value), Classes: "app-answer"}}
}

// safety is the box of one child: what must be known before anybody knocks or telephones. What is not known is said, and
// then the careful way is the one to take.
func (s *site) safety(r *web.Request, o opened, child uint32) warned {
	at := "child/" + strconv.Itoa(int(child)) + "/"
	safety, came := of[*posternv1.ChildSafety](o, at+"safety")
	relationship, related := of[*posternv1.ChildRelationship](o, at+"relationship")
	carer, cared := of[*posternv1.ChildCarer](o, at+"carer")
	w := warned{Words: r.T("inbox.may_mention")}
	switch {
	case !came:
		w.Quiet, w.Words = true, r.T("inbox.safety_missing")
	case safety.GetDoNotMentionPrison():
		w.Quiet, w.Words = true, r.T("inbox.do_not_mention")
	case safety.GetCarerKnows() != posternv1.Answer_ANSWER_YES:
		w.Quiet, w.Words = true, r.T("inbox.may_not_know")
	}
	answer := func(known bool, a posternv1.Answer) string {
		if !known || a == 0 {
			return r.T("inbox.not_shared")
		}
		return plain.EnumIn(r.Language, a)
	}
	or := func(v string) string {
		if v == "" {
			return r.T("inbox.not_said")
		}
		return v
	}
	w.List = ui.SummaryList{Card: &ui.Card{Title: &ui.CardTitle{Text: r.T("inbox.before_contact", "number", child)}}, Rows: []ui.SummaryRow{
		row(plain.FieldIn(r.Language, "carer_knows"), answer(came, safety.GetCarerKnows())),
		row(plain.FieldIn(r.Language, "safe_manner"), or(safety.GetSafeManner())),
		row(plain.FieldIn(r.Language, "safe_times"), or(safety.GetSafeTimes())),
		row(r.T("inbox.language"), or(tongue(r, safety.GetLanguage()))+"; "+r.T("inbox.interpreter", "answer", answer(came, safety.GetInterpreterNeeded()))),
		row(r.T("inbox.source"), plain.ProvenanceIn(r.Language, safety)),
		row(r.T("inbox.phoned"), s.phoned(r, o)),
		row(r.T("inbox.may_agree"), r.T("inbox.may_agree_text", "parent", answer(related, relationship.GetParentalResponsibility()),
			"agrees", answer(related, relationship.GetAgreesToEarlyHelp()), "carer", answer(cared, carer.GetHasParentalResponsibility()))),
	}}
	return w
}

// tongue is what a language is called; one without a name here keeps its tag.
func tongue(r *web.Request, tag string) string {
	if r.Language.Has("tongue." + tag) {
		return r.T("tongue." + tag)
	}
	return tag
}

// phoned is whether somebody telephoned about it: on the urgent route the prison says, on others it does not.
func (s *site) phoned(r *web.Request, o opened) string {
	u, came := of[*posternv1.Urgency](o, "urgency")
	if !came {
		return r.T("inbox.phoned_unsaid")
	}
	var calls []string
	for _, c := range u.GetCalls() {
		calls = append(calls, r.T("inbox.call", "when", r.When(c.GetCallTime().AsTime()), "number", c.GetNumber(), "result", plain.EnumIn(r.Language, c.GetResult())))
	}
	if len(calls) == 0 {
		return r.T("inbox.phoned_no")
	}
	return strings.Join(calls, "; ")
}

// permission is who agreed to what and until when; or, where nobody did, by which route it came all the same.
func (s *site) permission(r *web.Request, o opened) (list ui.SummaryList, ended bool) {
	c := o.GetConsent()
	if o.GetItem().GetRoute() != plain.Enum(posternv1.Route_ROUTE_STANDARD) {
		id := "inbox.route_urgent"
		if o.GetItem().GetRoute() == plain.Enum(posternv1.Route_ROUTE_DUTY) {
			id = "inbox.route_duty"
		}
		return ui.SummaryList{Rows: []ui.SummaryRow{row(r.T("inbox.agreed"), r.T(id))}}, false
	}
	if c != nil {
		how := ""
		if id := methods[c.GetMethod()]; id != "" {
			how = r.T(id)
		}
		list.Rows = append(list.Rows, row(r.T("inbox.agreed"), r.T("inbox.agreed_text", "when", r.Date(c.GetGiveTime().AsTime()), "how", how)))
		if c.GetCapacityConcern() {
			list.Rows = append(list.Rows, row(r.T("inbox.capacity"), r.T("inbox.capacity_text")))
		}
		if c.GetGrantorUnder_18() {
			list.Rows = append(list.Rows, row(r.T("inbox.young"), r.T("inbox.young_text")))
		}
	}
	if end := o.GetConsentExpireTime(); end != nil {
		list.Rows = append(list.Rows, row(r.T("inbox.until"), r.Date(end.AsTime())))
		ended = !s.now().Before(end.AsTime())
	}
	list.Rows = append(list.Rows, row(r.T("inbox.to_help"), r.T("inbox.to_help_text")))
	return list, ended
}

var methods = map[posternv1.ConsentMethod]string{
	posternv1.ConsentMethod_CONSENT_METHOD_FACE_TO_FACE: "inbox.method_face_to_face", posternv1.ConsentMethod_CONSENT_METHOD_PHONE: "inbox.method_phone",
	posternv1.ConsentMethod_CONSENT_METHOD_VIDEO: "inbox.method_video", posternv1.ConsentMethod_CONSENT_METHOD_PAPER: "inbox.method_paper",
}

// parts are the sections that came, what each is worth as evidence beside it: what is urgent first, then child by child
// who and where it is, then the parent.
func parts(r *web.Request, o opened) (out []part) {
	for _, path := range o.inOrder() {
		m := o.byPath[path]
		child, _ := section.ChildOf(path)
		if _, box := m.(*posternv1.ChildSafety); box && slices.Contains(o.GetItem().GetChildNumbers(), uint32(child)) {
			continue // it stands first
		}
		p := part{Title: plain.PathWordsIn(r.Language, path), Tag: basis(r, m), Source: plain.ProvenanceIn(r.Language, m)}
		first, size := utf8.DecodeRuneInString(p.Title)
		p.Title = string(unicode.ToUpper(first)) + p.Title[size:]
		for _, l := range plain.LinesIn(r.Language, m) {
			p.List.Rows = append(p.List.Rows, row(l.Label, l.Value))
		}
		out = append(out, p)
	}
	return out
}

// inOrder are the paths of the sections that came, as the page has them.
func (o opened) inOrder() []string {
	return slices.SortedFunc(maps.Keys(o.byPath), func(a, b string) int { return slices.Compare(place(a), place(b)) })
}

// place is where a section stands on the page.
func place(path string) []int {
	index := slices.IndexFunc(section.All(), func(s section.Section) bool {
		known, ok := section.Lookup(path)
		return ok && known.Pattern == s.Pattern
	})
	child, ok := section.ChildOf(path)
	switch {
	case path == "urgency":
		return []int{0}
	case ok:
		return []int{1, child, index}
	default:
		return []int{2, 0, index}
	}
}

// basis marks what somebody said apart from what somebody saw and what is on record.
func basis(r *web.Request, m proto.Message) ui.Content {
	switch plain.Source(m).GetBasis() {
	case posternv1.Basis_BASIS_PARENT_SAID:
		return ui.Tag{Text: r.T("inbox.basis_said"), Classes: "govuk-tag--yellow"}.HTML()
	case posternv1.Basis_BASIS_STAFF_OBSERVED:
		return ui.Tag{Text: r.T("inbox.basis_seen"), Classes: "govuk-tag--blue"}.HTML()
	case posternv1.Basis_BASIS_RECORD:
		return ui.Tag{Text: r.T("inbox.basis_record"), Classes: "govuk-tag--green"}.HTML()
	default:
		return ui.Tag{Text: r.T("inbox.basis_none"), Classes: "govuk-tag--grey"}.HTML()
	}
}

// missing are the sections that did not come. Why is said only as far as what the team was sent says it already: whether
// the signed permission names the section. Nothing tells whether there would have been anything in it.
func missing(r *web.Request, o opened) (out []notShared) {
	for _, path := range o.GetNotShared() {
		n := notShared{Name: plain.PathWordsIn(r.Language, path)}
		switch c := o.GetConsent(); {
		case c == nil:
		case consent.Covers(c, path):
			n.Why = r.T("inbox.not_sent")
		default:
			n.Why = r.T("inbox.not_agreed")
		}
		out = append(out, n)
	}
	return out
}

// history is what was done about an item and whom it was told, newest first.
func (s *site) history(r *web.Request, people people, w *localv1.Work) (lines []string) {
	type line struct {
		at   time.Time
		text string
	}
	var all []line
	for _, d := range w.GetDeeds() {
		all = append(all, line{d.GetTime().AsTime(), s.deed(r, people, d)})
	}
	for _, a := range w.GetDeputyAlerts() {
		if at := a.GetTellTime().AsTime(); a.GetTellTime() != nil {
			id := "inbox.did_tell_deputy"
			if a.GetStaffId() == "" {
				id = "inbox.did_tell_again"
			}
			all = append(all, line{at, r.T(id, "when", r.When(at), "name", people.name(r, a.GetStaffId()))})
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return a.at.Compare(b.at) })
	for _, l := range slices.Backward(all) {
		lines = append(lines, l.text)
	}
	return lines
}

// deed is one line of the history of an item.
func (s *site) deed(r *web.Request, people people, d *localv1.Deed) string {
	what := ""
	switch did := d.GetDeed().(type) {
	case *localv1.Deed_Assigned:
		what = r.T("inbox.did_assign", "name", people.name(r, did.Assigned))
		if did.Assigned == "" {
			what = r.T("inbox.did_release")
		}
	case *localv1.Deed_Replied:
		what = r.T("inbox.did_reply", "reply", said(r, did.Replied))
	case *localv1.Deed_Outcome:
		what = r.T("inbox.did_outcome", "outcome", r.T(outcomes[did.Outcome]))
	case *localv1.Deed_Told:
		what = told(r, did.Told)
	case *localv1.Deed_StopAnswered:
		what = r.T("inbox.did_answer_stop", "answer", r.T(answers[did.StopAnswered]))
	case *localv1.Deed_PassedOn:
		what = r.T("inbox.did_pass_on", "authority", s.inbox.NameOf(r.Language, did.PassedOn))
	}
	return r.T("inbox.did", "when", r.When(d.GetTime().AsTime()), "name", people.name(r, d.GetStaffId()), "what", what)
}

// answers are the words for what a team can answer to a stop request.
var answers = map[posternv1.StopAnswerCode]string{
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED:               "inbox.stopped",
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_DUTY:         "inbox.retained_duty",
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_SAFEGUARDING: "inbox.retained_safeguarding",
}

// stopForm asks what came of a stop request: of the one that its reader saw, and of no later one.
func stopForm(r *web.Request, seen, delivery string) *web.Form {
	f := web.NewForm(web.Field{Name: "answer", Kind: web.One, Label: r.T("inbox.stop_answer"), Hint: r.T("inbox.stop_answer_hint")}, seenField(seen),
		web.Field{Name: "stop", Kind: web.Hidden, Value: delivery})
	for n := posternv1.StopAnswerCode(1); answers[n] != ""; n++ {
		f.Fields[0].Options = append(f.Fields[0].Options, web.Option{Value: plain.Enum(n), Text: r.T(answers[n])})
	}
	f.Submit = "inbox.stop_send"
	return f
}

// answerStop answers a stop request. The same answer twice is one.
func (s *site) answerStop(r *web.Request) (web.Response, error) {
	f := stopForm(r, "", "")
	f.Read(r)
	f.Require("inbox.stop_required", "answer")
	if err := f.Err(); err != nil {
		view, failed := s.notification(r)
		if failed != nil {
			return nil, failed
		}
		view.Form = f
		return r.Again(view, err)
	}
	code, ok := plain.Value(posternv1.StopAnswerCode(0), f.Text("answer"))
	if !ok {
		return nil, fault.New(fault.Invalid, "NO_ANSWER", "This is not one of the answers.")
	}
	_, err := s.inbox.AnswerStop(r.Context(), &localv1.AnswerStopRequest{Id: r.PathValue("reference"), Answer: posternv1.StopAnswerCode(code), SeenDeeds: seenIn(f), StopDeliveryId: f.Text("stop")})
	return s.done(r, err, "inbox.stop_answered")
}
