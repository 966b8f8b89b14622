package site

import (
	"net/http"
	"strings"

	"postern/internal/envelope"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
)

// which lists the notifications that share the reference in the address, for whoever typed it. What was asked for on a page
// leads on to the same page of each; what was sent by a form was not done.
func (s *site) which(r *web.Request) (web.Response, error) {
	name := r.PathValue("reference")
	reference, err := envelope.ParseReference(name)
	if err != nil {
		return nil, err
	}
	all, err := s.desk.ListNotifications(r.Context(), &localv1.ListNotificationsRequest{})
	if err != nil {
		return nil, err
	}
	view := web.View{Template: "which", Title: "web.which", Back: "/notifications", About: reference}
	before, then, _ := strings.Cut(r.URL.Path, name)
	if r.Method == http.MethodPost {
		before, then, view.Status = "/notifications/", "", http.StatusConflict
	}
	t := ui.Table{Stack: true, Caption: reference}
	for _, head := range []string{"case.taken", "case.to", "case.state"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(head)})
	}
	for _, n := range all.GetNotifications() {
		if n.GetReference() == reference {
			t.Rows = append(t.Rows, []ui.Cell{{Text: ui.Link{Href: before + n.GetId() + then, Text: r.When(n.GetCreateTime().AsTime())}.HTML()}, {Text: destination(r, n)}, {Text: stateTag(r, n)}})
		}
	}
	view.Data = t
	return view, nil
}
