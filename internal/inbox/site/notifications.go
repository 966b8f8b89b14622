package site

import (
	"strconv"

	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// home lists what the team has received, newest first, by reference: a screen that others may pass names nobody.
func (s *site) home(r *web.Request) (web.Response, error) {
	all, err := s.inbox.ListItems(r.Context(), &localv1.ListItemsRequest{})
	if err != nil {
		return nil, err
	}
	t := ui.Table{Caption: r.T("inbox.home"), CaptionClasses: "govuk-visually-hidden"}
	for _, head := range []string{"inbox.reference", "inbox.received", "inbox.prison", "inbox.children", "inbox.state"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(head)})
	}
	for _, i := range all.GetItems() {
		at := i.GetReceiveTime().AsTime().In(s.zone)
		t.Rows = append(t.Rows, []ui.Cell{
			{Text: ui.Link{Href: "/notifications/" + i.GetReference(), Text: i.GetReference()}.HTML()},
			{Text: plain.Date(r.Language, at) + " " + at.Format("15:04")},
			{Text: i.GetPrisonId()}, {Text: strconv.FormatUint(uint64(i.GetChildren()), 10), Format: "numeric"}, {Text: state(r, i)},
		})
	}
	return web.View{Template: "home", Data: t, Wide: true}, nil
}

// state is what a duty worker must know of an item before opening it.
func state(r *web.Request, i *localv1.Item) ui.Content {
	switch {
	case i.GetStop() != nil && i.GetStop().GetAnswer() == 0:
		return ui.Tag{Text: r.T("inbox.state_stop"), Classes: "govuk-tag--red"}.HTML()
	case i.GetStop() != nil:
		return ui.Tag{Text: r.T("inbox.state_withdrawn"), Classes: "govuk-tag--grey"}.HTML()
	case len(i.GetPassedOn()) > 0:
		return ui.Tag{Text: r.T("inbox.state_passed_on"), Classes: "govuk-tag--grey"}.HTML()
	default:
		return ""
	}
}

// part is one section on the page.
type part struct {
	Title  string
	Source string // how it is known
	List   ui.SummaryList
}

// notification is what a page shows of one.
type notification struct {
	Item            *localv1.Item
	Whole           bool // all of it was withdrawn
	Safety, Parts   []part
	NotShared       []string
	Sender          *posternv1.Sender
	Received, Until string
	Decision        []string
	Answered        string
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
	out, err := s.inbox.GetItem(r.Context(), &localv1.GetItemRequest{Id: r.PathValue("reference")})
	if err != nil {
		return web.View{}, err
	}
	i := out.GetItem()
	received := i.GetReceiveTime().AsTime().In(s.zone)
	n := notification{Item: i, Sender: out.GetSender(), Received: plain.Date(r.Language, received) + " " + received.Format("15:04"),
		Whole: i.GetStop() != nil && len(i.GetStop().GetPaths()) == 0, Decision: plain.DecisionIn(r.Language, out.GetDecision())}
	if end := out.GetConsentExpireTime(); end != nil {
		n.Until = plain.Date(r.Language, end.AsTime().In(s.zone))
	}
	if answer := i.GetStop().GetAnswer(); answer != 0 {
		n.Answered = r.T(answers[answer])
	}
	for _, path := range out.GetNotShared() {
		n.NotShared = append(n.NotShared, plain.PathWordsIn(r.Language, path))
	}
	for _, opened := range out.GetSections() {
		m, err := section.Read(opened.GetPath(), opened.GetContent())
		if err != nil {
			return web.View{}, err
		}
		p := part{Title: plain.PathWordsIn(r.Language, opened.GetPath()), Source: plain.ProvenanceIn(r.Language, m)}
		for _, l := range plain.LinesIn(r.Language, m) {
			p.List.Rows = append(p.List.Rows, ui.SummaryRow{Key: ui.Words{Text: l.Label}, Value: ui.Words{Text: plain.Visible(l.Value), Classes: "app-answer"}})
		}
		if sec, _ := section.Lookup(opened.GetPath()); sec.Name == "safety" {
			n.Safety = append(n.Safety, p)
		} else {
			n.Parts = append(n.Parts, p)
		}
	}
	view := web.View{Template: "notification", Data: n, Back: "/", About: i.GetReference()}
	if i.GetStop() != nil && i.GetStop().GetAnswer() == 0 {
		view.Form = stopForm(r)
	}
	return view, nil
}

// answers are the words for what a team can answer to a stop request.
var answers = map[posternv1.StopAnswerCode]string{
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED:               "inbox.stopped",
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_DUTY:         "inbox.retained_duty",
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_SAFEGUARDING: "inbox.retained_safeguarding",
}

// stopForm asks what came of a stop request.
func stopForm(r *web.Request) *web.Form {
	f := web.NewForm(web.Field{Name: "answer", Kind: web.One, Label: r.T("inbox.stop_answer"), Hint: r.T("inbox.stop_answer_hint")})
	for n := posternv1.StopAnswerCode(1); answers[n] != ""; n++ {
		f.Fields[0].Options = append(f.Fields[0].Options, web.Option{Value: plain.Enum(n), Text: r.T(answers[n])})
	}
	f.Submit = "inbox.stop_send"
	return f
}

// answerStop answers a stop request. The same answer twice is one.
func (s *site) answerStop(r *web.Request) (web.Response, error) {
	f := stopForm(r)
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
	if _, err := s.inbox.AnswerStop(r.Context(), &localv1.AnswerStopRequest{Id: r.PathValue("reference"), Answer: posternv1.StopAnswerCode(code)}); err != nil {
		return nil, err
	}
	if err := r.Tell("inbox.stop_answered"); err != nil {
		return nil, err
	}
	return web.SeeOther("/notifications/" + r.PathValue("reference")), nil
}
