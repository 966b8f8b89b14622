//go:build e2e

package e2e

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/fault"
	"postern/internal/web"
	"postern/internal/web/ui"
)

// gallery is a site of every component in its states, and of every page that all sites have. It is served here only.
func gallery(t *testing.T) *site {
	s := &site{name: "gallery", seeded: []string{"Quorndon", "ZZ99"}, signIn: func(v *visit, who string) { v.open("/sign-in?role=" + who) }}
	handler, err := web.New(web.Config{
		Name: "gallery", Service: "web.service", SignIn: "/sign-in", Home: "/", Telephone: "01632 960123", Banner: "web.practice",
		Brand:      web.Brand{Organisation: "HMP Example", Colour: "#0b3c49"},
		Navigation: []web.Link{{Text: "web.home", Href: "/"}, {Text: "web.menu", Href: "/components"}, {Text: "web.done", Href: "/question"}},
		Footer:     []web.Link{{Text: "web.support", Href: "/components"}, {Text: "web.language", Href: "/lists"}},
		Templates: fstest.MapFS{
			"parts.html": {Data: []byte(`{{define "content"}}<h1 class="govuk-heading-xl">{{.T .Title}}</h1>{{range .Data}}{{.HTML}}{{end}}{{end}}`)},
		},
		Pages: galleryPages(), Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.handler, s.base = handler, serve(t, handler.Server())
	answers := map[string]string{"line": "Ada Quorndon", "born-day": "1", "born-month": "3", "born-year": "2019", "one": "YES", "more": "ZZ99 1AB", "lines": "some words", "list": "X", "many": "A"}
	s.stops = []stop{
		{name: "home", who: "ANY", path: "/"},
		{name: "components", who: "ANY", path: "/components"},
		{name: "components-cy", who: "ANY", path: "/components?lang=cy"},
		{name: "lists", who: "ANY", path: "/lists"},
		{name: "panels", who: "ANY", path: "/panels"},
		{name: "interruption", who: "ANY", path: "/interruption"},
		{name: "question", who: "ANY", path: "/question", wrong: map[string]string{"line": "wrong", "born-day": "31", "born-month": "2", "born-year": "2019"}, right: answers, lands: "/panels"},
		{name: "question-cy", who: "ANY", path: "/question?lang=cy", wrong: map[string]string{"line": "wrong"}, right: answers, lands: "/panels"},
		{name: "one-thing", who: "ANY", path: "/one", wrong: map[string]string{}, right: map[string]string{"one": "NO"}, lands: "/panels"},
		{name: "not-found", path: "/nothing", status: http.StatusNotFound},
		{name: "denied", who: "ANY", path: "/lead", status: http.StatusForbidden},
		{name: "method", who: "ANY", path: "/post", status: http.StatusMethodNotAllowed},
		{name: "wrong", who: "ANY", path: "/broken/panic", status: http.StatusInternalServerError},
		{name: "unavailable", who: "ANY", path: "/broken/unavailable", status: http.StatusServiceUnavailable},
		{name: "busy", who: "ANY", path: "/broken/busy", status: http.StatusTooManyRequests},
		{name: "refused", who: "ANY", path: "/broken/refused", status: http.StatusConflict},
		{name: "unavailable-cy", who: "ANY", path: "/broken/unavailable?lang=cy", status: http.StatusServiceUnavailable},
		{name: "ended", path: "/session/ended"},
		{name: "extended", who: "ANY", path: "/session/extend"},
	}
	return s
}

func galleryPages() []web.Page {
	parts := func(list ...ui.Component) web.Handler {
		return func(*web.Request) (web.Response, error) {
			return web.View{Template: "parts", Data: list, Back: "/"}, nil
		}
	}
	return []web.Page{
		{Path: "/", Name: "web.home", Get: parts(ui.Link{Href: "/components", Text: "Every component, in its states."})},
		{Path: "/components", Name: "web.menu", Get: parts(textParts()...)},
		{Path: "/lists", Name: "web.language", Get: parts(listParts()...)},
		{Path: "/panels", Name: "web.done", Get: parts(
			ui.Panel{Title: "Sent", Text: template.HTML(`Reference<br><strong>PN-7K3F-9Q2M</strong>`), HeadingLevel: 2},
			ui.Button{Text: "Print", Type: "button", Attributes: ui.Attributes{"data-app-print": "", "hidden": ""}})},
		{Path: "/interruption", Name: "web.busy", Get: parts(ui.Panel{Title: "Before you go on", HeadingLevel: 2, Text: template.HTML(`<p class="govuk-body">Speak to the safeguarding lead first.</p>`),
			Classes: "govuk-panel--interruption", Actions: &ui.PanelActions{Items: []ui.PanelAction{{Text: "Go on", Href: "/", Type: "button"}, {Text: "Stop", Href: "/"}}}})},
		{Path: "/question", Name: "web.year", Get: ask(questions), Post: take(questions)},
		{Path: "/one", Name: "web.month", Get: ask(oneThing), Post: take(oneThing)},
		{Path: "/lead", Name: "web.denied", Roles: []string{"LEAD"}, Get: parts()},
		{Path: "/post", Name: "web.method", Post: parts()},
		{Path: "/broken/{how}", Name: "web.wrong", Get: fail},
		{Path: "/sign-in", Name: "web.sign_in_again", Open: true, Get: func(r *web.Request) (web.Response, error) {
			return web.SeeOther("/"), r.SignIn(web.Person{ID: "staff-7", Name: "A. Officer", Roles: []string{r.URL.Query().Get("role")}})
		}},
		{Path: "/sign-out", Name: "web.sign_out", Open: true, Post: func(r *web.Request) (web.Response, error) { r.SignOut(); return web.SeeOther("/session/ended"), nil }},
	}
}

func fail(r *web.Request) (web.Response, error) {
	switch r.PathValue("how") {
	case "panic":
		panic(errors.New("a mistake"))
	case "busy":
		return nil, fault.New(fault.Exhausted, "BUSY", "Too much at once.")
	case "refused":
		return nil, fault.New(fault.Exists, "TWICE", "This was sent already, and differs.")
	default:
		return nil, fault.New(fault.Unavailable, "HUB", "The hub does not answer.")
	}
}

func questions() *web.Form {
	form := web.NewForm(
		web.Field{Name: "line", Label: "A line of text", Hint: "As on the birth certificate", Width: 20},
		web.Field{Name: "born", Kind: web.Date, Label: "A date", Hint: "For example, 27 3 2019"},
		web.Field{Name: "one", Kind: web.One, Label: "One of several", Options: []web.Option{
			{Value: "YES", Text: "Yes", Fields: []web.Field{{Name: "more", Label: "Where", Width: 10}}}, {Value: "NO", Text: "No"},
			{Text: "or", Divider: true}, {Value: "UNKNOWN", Text: "I do not know"}}},
		web.Field{Name: "many", Kind: web.Many, Label: "Any of several", Options: []web.Option{{Value: "A", Text: "The first", Hint: "With a hint"}, {Value: "B", Text: "The second"}, {Text: "or", Divider: true}, {Value: "NONE", Text: "None of these"}}},
		web.Field{Name: "lines", Kind: web.Lines, Label: "Several lines", Most: 200},
		web.Field{Name: "list", Kind: web.List, Label: "One of many", Options: []web.Option{{Value: "", Text: "Choose"}, {Value: "X", Text: "The tenth"}}},
		web.Field{Name: "id", Kind: web.Hidden, Value: "7"},
	)
	form.Buttons = []web.Button{{Name: "then", Value: "later", Text: "web.home"}}
	return form
}

func oneThing() *web.Form {
	return web.NewForm(web.Field{Name: "one", Kind: web.One, Label: "Could any child be alone tonight?", IsPageHeading: true, Inline: true,
		Options: []web.Option{{Value: "YES", Text: "Yes"}, {Value: "NO", Text: "No"}}})
}

func ask(form func() *web.Form) web.Handler {
	return func(*web.Request) (web.Response, error) { return web.View{Form: form(), Back: "/"}, nil }
}

func take(make func() *web.Form) web.Handler {
	return func(r *web.Request) (web.Response, error) {
		form := make()
		form.Read(r)
		form.Day("born")
		form.Require("web.no_day", "one", "born")
		if form.Text("line") == "wrong" {
			form.Fail(fault.Field{Path: "line", Reason: "This is not a name.", Fix: "Write it as people say it."}, fault.Field{Path: "elsewhere", Reason: "Something else is wrong.", Fix: "Ask."})
		}
		if err := form.Err(); err != nil {
			return r.Again(web.View{Form: form, Back: "/"}, err)
		}
		return web.SeeOther("/panels"), r.Tell("web.done")
	}
}

func textParts() []ui.Component {
	return []ui.Component{
		ui.NotificationBanner{Text: "This is not about one page."},
		ui.NotificationBanner{Type: "success", TitleID: "worked", Text: "It worked.", DisableAutoFocus: ui.Off, Role: "region"},
		ui.WarningText{Text: "Do not say where the parent is."},
		ui.Button{Text: "Begin", IsStartButton: true, Href: "/question"},
		ui.Button{Text: "Second", Classes: "govuk-button--secondary"},
		ui.Button{Text: "Withdraw", Classes: "govuk-button--warning"},
		ui.Button{Text: "Not now", Disabled: true},
		ui.Tag{Text: "Waiting", Classes: "govuk-tag--yellow"}, ui.Tag{Text: "Overdue", Classes: "govuk-tag--red"}, ui.Tag{Text: "Delivered", Classes: "govuk-tag--green"},
		ui.Tabs{IDPrefix: "t", Title: "Contents", Items: []ui.Tab{{Label: "One", Panel: ui.TabPanel{Text: "The first"}}, {Label: "Two", Panel: ui.TabPanel{Text: "The second"}}}},
		ui.Pagination{Previous: ui.NextLink{Href: "?page=1"}, Next: ui.NextLink{Href: "?page=3"}, Items: []ui.PageLink{{Number: "1", Href: "?page=1"}, {Number: "2", Href: "?page=2", Current: true}, {Number: "3", Href: "?page=3"}}},
	}
}

func listParts() []ui.Component {
	row := func(key string, value ui.Content) ui.SummaryRow {
		return ui.SummaryRow{Key: ui.Words{Text: key}, Value: ui.Words{Text: value}, Actions: ui.Actions{Items: []ui.Action{{Text: "Change", Href: "/question", VisuallyHiddenText: key}}}}
	}
	return []ui.Component{
		ui.TaskList{Items: []ui.Task{
			{Title: ui.Words{Text: "Children"}, Href: "/question", Status: ui.TaskStatus{Text: "Completed"}},
			{Title: ui.Words{Text: "Who has them"}, Href: "/question", Hint: &ui.Hint{Text: "Tonight"}, Status: ui.TaskStatus{Tag: &ui.Tag{Text: "Not yet", Classes: "govuk-tag--blue"}}},
			{Title: ui.Words{Text: "Check and send"}, Status: ui.TaskStatus{Text: "Cannot start yet", Classes: "govuk-task-list__status--cannot-start-yet"}},
		}},
		ui.SummaryList{Card: &ui.Card{Title: &ui.CardTitle{Text: "Child 1"}}, Rows: []ui.SummaryRow{row("Name", "Ada Quorndon"), row("Address", template.HTML(`<span class="app-address">1 High Street
Sampletown</span>`)), row("Reference", template.HTML(`<span class="app-answer">`+longWord()+`</span>`))}},
		scrolled{ui.Table{Stack: true, Caption: "What came in", FirstCellIsHeader: true, Head: []ui.Cell{{Text: "Reference"}, {Text: "Received"}, {Text: "Children", Format: "numeric"}, {Text: "Due"}, {Text: "Assigned"}, {Text: "Status"}},
			Rows: [][]ui.Cell{{{Text: "PN-7K3F-9Q2M"}, {Text: "29 November 2026 at 9:32am"}, {Text: "2", Format: "numeric"}, {Text: "today"}, {Text: "nobody"}, {Text: "Waiting"}}}}},
		ui.Timeline{Items: []ui.Event{{Label: "Delivered", Byline: "by the hub", Time: "2026-11-29T10:00:00Z", Date: "29 November 2026 at 10:00am", Text: "Bristol has it."},
			{Label: "Sent", Time: "2026-11-29T09:32:00Z", Date: "29 November 2026 at 9:32am", Text: "From reception."}}},
	}
}

func longWord() string {
	return url.PathEscape("ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ")
}

// scrolled is a component that may be scrolled sideways by itself, with the keyboard too.
type scrolled struct{ ui.Component }

func (s scrolled) HTML() template.HTML {
	return `<div class="app-table-scroll" tabindex="0" role="region" aria-label="Table">` + s.Component.HTML() + `</div>`
}
