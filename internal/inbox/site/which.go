package site

import (
	"net/http"
	"strings"

	"postern/internal/envelope"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
)

// which lists the notifications that share the reference in the address, for whoever typed it or followed the link of a
// mail. What was asked for on a page leads on to the same page of each; what was sent by a form was not done.
func (s *site) which(r *web.Request) (web.Response, error) {
	reference, err := envelope.ParseReference(r.PathValue("reference"))
	if err != nil {
		return nil, err
	}
	all, err := s.inbox.ListItems(r.Context(), &localv1.ListItemsRequest{})
	if err != nil {
		return nil, err
	}
	view := web.View{Template: "which", Title: "web.which", Back: "/", About: reference}
	_, then, _ := strings.Cut(r.URL.Path, r.PathValue("reference"))
	if r.Method == http.MethodPost {
		then, view.Status = "", conflict
	}
	t := ui.Table{Stack: true, Caption: reference}
	for _, head := range []string{"inbox.received", "inbox.prison", "inbox.state"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(head)})
	}
	for _, i := range all.GetItems() {
		if i.GetReference() == reference {
			t.Rows = append(t.Rows, []ui.Cell{{Text: ui.Link{Href: pageOf(i.GetId()) + then, Text: r.When(i.GetReceiveTime().AsTime())}.HTML()}, {Text: s.prison(r, i)}, {Text: tag(r, i)}})
		}
	}
	view.Data = t
	return view, nil
}
