package site

import (
	"cmp"
	"html/template"
	"strings"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// sentPart is what the page after sending says of one notification.
type sentPart struct {
	Reference, Team, State string
	ToDo                   []string // what a person must do now
	Slip, Page             string   // where the paper is, and the notification
}

// sent is the end of the journey: what was sent under which reference, or waits on this machine, and what happens next.
func (s *site) sent(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() == nil {
		return web.SeeOther(draftPath(draft, "")), nil
	}
	var parts []sentPart
	var references []string
	queued, waits := false, false // waits: nothing has gone yet, whatever the reason
	next := "fill.what_next_say"
	for _, id := range draft.GetNotificationIds() {
		got, err := s.desk.GetNotification(r.Context(), &localv1.GetNotificationRequest{Id: id})
		if err != nil {
			return nil, err
		}
		n := got.GetNotification()
		switch n.GetRoute() {
		case posternv1.Route_ROUTE_URGENT:
			next = "fill.what_next_urgent"
		case posternv1.Route_ROUTE_DUTY:
			next = "fill.what_next_duty"
		}
		queued = queued || n.GetState() == localv1.State_STATE_QUEUED
		waits = waits || n.GetState() == localv1.State_STATE_WAITING || n.GetState() == localv1.State_STATE_REFERRED || n.GetState() == localv1.State_STATE_WITHHELD
		references = append(references, n.GetReference())
		parts = append(parts, sentPart{Reference: n.GetReference(), Team: n.GetAuthorityName(), State: upper(desk.StandsIn(r.Language, n)),
			ToDo: tasksOf(r, n), Slip: casePath(n, "slip"), Page: casePath(n)})
	}
	panel := ui.Panel{Title: r.T("fill.sent_done"), Text: sentLines(r, references)}
	switch {
	case draft.GetPractice():
		panel.Title, panel.Text = r.T("fill.sent_practice"), r.T("fill.sent_practice_say")
	case queued:
		panel.Title = r.T("fill.sent_queued")
	case waits:
		panel.Title = r.T("fill.sent_handed_in")
	}
	return about(draft, web.View{Template: "sent", Data: map[string]any{"Panel": panel, "Parts": parts, "Queued": queued, "Next": next, "Practice": draft.GetPractice()}}), nil
}

func sentLines(r *web.Request, references []string) template.HTML {
	lines := make([]string, len(references))
	for i, ref := range references {
		lines[i] = template.HTMLEscapeString(ref)
	}
	return template.HTML(template.HTMLEscapeString(r.T("fill.sent_reference")) + "<br><strong>" + strings.Join(lines, "<br>") + "</strong>")
}

// tasksOf are the things to do about a notification, each with its number.
func tasksOf(r *web.Request, n *localv1.Notification) (all []string) {
	for _, t := range n.GetTasks() {
		said := upper(r.T("obligation." + strings.ToLower(plain.Enum(t.GetKind()))))
		if who := cmp.Or(t.GetName(), t.GetPhoneNumber()); who != "" {
			said += ": " + strings.TrimSpace(t.GetName()+" "+t.GetPhoneNumber())
		}
		all = append(all, said)
	}
	return all
}

// slip is the person's own paper copy, in their language: that of the page is the officer's.
func (s *site) slip(r *web.Request) (web.Response, error) {
	lang, ok := words.Parse(r.URL.Query().Get("in"))
	if !ok {
		lang = r.Language
	}
	found, err := s.desk.Slip(r.Context(), lang, r.PathValue("reference"))
	if err != nil {
		return nil, err
	}
	blocks := found.Blocks(lang)
	for i, b := range blocks { // a name is anybody's text
		for _, texts := range [][]string{b.Paragraphs, b.Items} {
			for j := range texts {
				texts[j] = plain.Visible(texts[j])
			}
		}
		blocks[i].Heading = plain.Visible(b.Heading)
	}
	name := r.PathValue("reference")
	at := caseAt(name)
	return web.View{Template: "slip", About: cmp.Or(envelope.Reference(name), name), Back: at, Data: map[string]any{
		"Lang": string(lang), "Title": lang.Text("slip.title", nil), "Blocks": blocks, "English": at + "/slip?in=en", "Welsh": at + "/slip?in=cy"}}, nil
}
