package site

import (
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/sheet"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
)

// rowsPerPage is how many notifications a page lists: as many as fit on a screen and a half.
const rowsPerPage = 25

// filter is a part of the list of notifications.
type filter struct {
	value, text string // in the address; an id of words
	req         *localv1.ListNotificationsRequest
	keep        func(*localv1.Notification) bool // of those that the request gives; nil for all
}

// filters are the parts of the list, the whole list first. What belongs to which is asked of notifications as the reader
// may see them, so a form that is held is for reception in the same lists as one that waits.
func filters() []filter {
	return []filter{
		{value: "", text: "case.all", req: &localv1.ListNotificationsRequest{}},
		{value: "waiting", text: "case.waiting", req: &localv1.ListNotificationsRequest{Waiting: true,
			States: []localv1.State{localv1.State_STATE_QUEUED, localv1.State_STATE_WAITING}}},
		{value: "decision", text: "case.needs_decision", req: toDecide()},
		{value: "manual", text: "case.by_hand", req: &localv1.ListNotificationsRequest{},
			keep: func(n *localv1.Notification) bool { return desk.ActionsOf(n).ByHand }},
		{value: "sent", text: "case.sent", req: &localv1.ListNotificationsRequest{States: []localv1.State{
			localv1.State_STATE_ACCEPTED, localv1.State_STATE_DELIVERED, localv1.State_STATE_STOP_ASKED, localv1.State_STATE_CLOSED}}},
	}
}

func toDecide() *localv1.ListNotificationsRequest {
	return &localv1.ListNotificationsRequest{Referred: true, States: []localv1.State{localv1.State_STATE_REFERRED, localv1.State_STATE_UNDELIVERED}}
}

// caseList is what the list shows.
type caseList struct {
	Filters []filterLink
	CSV     string
	Table   ui.Table
	Pages   template.HTML
	AsOf    asOf
}

type filterLink struct {
	Text, Href string
	Count      int
	Current    bool
}

// finder asks for a reference. It is sent and not put into the address: people write names where they look for somebody.
func finder(r *web.Request) *web.Form {
	f := web.NewForm(web.Field{Name: "find", Label: r.T("case.find"), Hint: r.T("case.find_hint"), Width: 20})
	f.Submit = "case.find_button"
	return f
}

// notifications lists what this prison has taken, with a search by reference.
func (s *site) notifications(r *web.Request) (web.Response, error) {
	data, err := s.listOf(r)
	if err != nil {
		return nil, err
	}
	return web.View{Template: "notifications", Form: finder(r), Data: data, Wide: true}, nil
}

// find leads to the notification with the reference that somebody looks for.
func (s *site) find(r *web.Request) (web.Response, error) {
	f := finder(r)
	f.Read(r)
	out, err := s.desk.GetNotification(r.Context(), &localv1.GetNotificationRequest{Id: f.Text("find")})
	if err == nil {
		return web.SeeOther(caseAt(out.GetNotification().GetReference())), nil
	}
	if fault.From(err).Reason == "AMBIGUOUS" {
		return web.SeeOther(caseAt(f.Text("find"))), nil
	}
	if kind := fault.KindOf(err); kind != fault.NotFound && kind != fault.Invalid {
		return nil, err
	}
	f.Require("case.not_found", "find")
	if f.Text("find") != "" {
		reason, fix := r.Language.Fault("case.not_found", nil)
		f.Fail(fault.Field{Path: "find", Reason: reason, Fix: fix})
	}
	data, failed := s.listOf(r)
	if failed != nil {
		return nil, failed
	}
	return r.Again(web.View{Template: "notifications", Form: f, Data: data, Wide: true}, f.Err())
}

// chosen is the part of the list that the address names, with its notifications in order.
func (s *site) chosen(r *web.Request) (filter, []*localv1.Notification, []filterLink, error) {
	var links []filterLink
	var at filter
	var rows []*localv1.Notification
	out, err := s.desk.ListNotifications(r.Context(), &localv1.ListNotificationsRequest{}) // every record is opened: once, for all parts
	if err != nil {
		return at, nil, nil, err
	}
	for _, f := range filters() {
		all := desk.PartOf(out.GetNotifications(), f.req)
		if f.keep != nil {
			all = slices.DeleteFunc(all, func(n *localv1.Notification) bool { return !f.keep(n) })
		}
		link := filterLink{Text: r.T(f.text), Href: "/notifications", Count: len(all), Current: f.value == r.URL.Query().Get("show")}
		if f.value != "" {
			link.Href += "?show=" + f.value
		}
		if links = append(links, link); link.Current {
			at, rows = f, all
		}
	}
	if !slices.ContainsFunc(links, func(l filterLink) bool { return l.Current }) {
		return at, nil, nil, fault.New(fault.NotFound, "NO_LIST", "There is no such list.")
	}
	return at, rows, links, nil
}

func (s *site) listOf(r *web.Request) (caseList, error) {
	at, rows, links, err := s.chosen(r)
	if err != nil {
		return caseList{}, err
	}
	out := caseList{Filters: links, CSV: "/notifications.csv", AsOf: s.asOf(r)}
	query := url.Values{}
	if at.value != "" {
		query.Set("show", at.value)
		out.CSV += "?" + query.Encode()
	}
	pages := max(1, (len(rows)+rowsPerPage-1)/rowsPerPage)
	number, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || number < 1 || number > pages {
		number = 1
	}
	out.Pages = pagination(r, query, number, pages)
	rows = rows[(number-1)*rowsPerPage : min(number*rowsPerPage, len(rows))]
	out.Table, err = s.caseTable(r, rows)
	return out, err
}

// caseTable lists notifications, each with the way to it.
func (s *site) caseTable(r *web.Request, rows []*localv1.Notification) (ui.Table, error) {
	people, err := s.desk.People(r.Context(), rows)
	if err != nil {
		return ui.Table{}, err
	}
	t := ui.Table{Stack: true, Caption: r.T("case.list"), CaptionClasses: "govuk-visually-hidden"}
	for _, head := range []string{"case.reference", "case.person", "case.taken", "case.to", "case.state", "case.due"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(head)})
	}
	for _, n := range rows {
		t.Rows = append(t.Rows, []ui.Cell{
			{Text: ui.Link{Href: casePath(n), Text: n.GetReference()}.HTML()}, {Text: nameIn(r, n, people)},
			{Text: r.When(n.GetCreateTime().AsTime())}, {Text: destination(r, n)}, {Text: stateTag(r, n)}, {Text: dueTag(r, n)},
		})
	}
	return t, nil
}

// nameIn is whom a notification of a list is about, or that its form was erased.
func nameIn(r *web.Request, n *localv1.Notification, people map[string]desk.Person) string {
	if n.GetErasure() != nil {
		return r.T("case.erased_short")
	}
	return personName(people[n.GetId()])
}

// personName is a person as lists have them: the family name first.
func personName(p desk.Person) string {
	return plain.Visible(strings.Trim(p.FamilyName+", "+p.GivenName, ", "))
}

// destination is to whom a notification goes.
func destination(r *web.Request, n *localv1.Notification) string {
	switch {
	case n.GetElsewhere():
		return r.T("case.elsewhere")
	case n.GetAuthorityName() != "":
		return n.GetAuthorityName()
	case n.GetAuthority() != "":
		return n.GetAuthority()
	case len(n.GetFormChildren()) > 0:
		return r.T("case.nobody_yet")
	default:
		return r.T("case.nobody")
	}
}

// dueTag says until when something is due, and that it is overdue.
func dueTag(r *web.Request, n *localv1.Notification) ui.Content {
	switch {
	case n.GetDueTime() == nil:
		return ""
	case n.GetOverdue():
		return ui.Tag{Text: r.T("case.overdue"), Classes: "govuk-tag--red"}.HTML() + template.HTML("<br>"+template.HTMLEscapeString(r.When(n.GetDueTime().AsTime())))
	default:
		return r.When(n.GetDueTime().AsTime())
	}
}

// pagination leads through a long list, with a gap where there are too many pages to show.
func pagination(r *web.Request, query url.Values, at, pages int) template.HTML {
	if pages < 2 {
		return ""
	}
	href := func(page int) string {
		q := url.Values{"page": {strconv.Itoa(page)}}
		for name, values := range query {
			q[name] = values
		}
		return "/notifications?" + q.Encode()
	}
	p := ui.Pagination{LandmarkLabel: r.T("case.pages")}
	if at > 1 {
		p.Previous = ui.NextLink{Text: r.T("case.page_before"), Href: href(at - 1)}
	}
	if at < pages {
		p.Next = ui.NextLink{Text: r.T("case.page_next"), Href: href(at + 1)}
	}
	for page := 1; page <= pages; page++ {
		if page != 1 && page != pages && (page < at-1 || page > at+1) {
			if !p.Items[len(p.Items)-1].Ellipsis {
				p.Items = append(p.Items, ui.PageLink{Ellipsis: true})
			}
			continue
		}
		number := strconv.Itoa(page)
		p.Items = append(p.Items, ui.PageLink{Number: number, Href: href(page), Current: page == at, VisuallyHiddenText: r.T("case.page_number", "number", number)})
	}
	return p.HTML()
}

// notificationsCSV is the list for a spreadsheet: references and states, and nobody's name.
func (s *site) notificationsCSV(r *web.Request) (web.Response, error) {
	_, rows, _, err := s.chosen(r)
	if err != nil {
		return nil, err
	}
	head := []string{"reference", "taken", "authority", "authority_name", "state", "due", "overdue", "erased"}
	var lines [][]string
	for _, n := range rows {
		due, overdue, erased := "", "", ""
		if e := n.GetErasure(); e != nil {
			erased = e.GetEraseTime().AsTime().Format(time.RFC3339)
		}
		if n.GetDueTime() != nil {
			due, overdue = n.GetDueTime().AsTime().Format(time.RFC3339), strconv.FormatBool(n.GetOverdue())
		}
		lines = append(lines, []string{n.GetReference(), n.GetCreateTime().AsTime().Truncate(time.Second).Format(time.RFC3339), n.GetAuthority(),
			n.GetAuthorityName(), plain.Enum(n.GetState()), due, overdue, erased})
	}
	return web.File{Name: "notifications.csv", Kind: "text/csv; charset=utf-8", Body: sheet.CSV(head, lines)}, nil
}

// here is the page of the notification that is asked for, or of what is done there, under the name by which it is.
func here(r *web.Request, then ...string) string { return caseAt(r.PathValue("reference"), then...) }

// casePath is the page of a notification, or of what is done there: by its id, as two may share a reference.
func casePath(n *localv1.Notification, then ...string) string { return caseAt(n.GetId(), then...) }

// caseAt is the page of what a reference or an id names, or of what is done there.
func caseAt(name string, then ...string) string {
	return strings.Join(append([]string{"/notifications/" + url.PathEscape(name)}, then...), "/")
}
