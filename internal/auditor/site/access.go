package site

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern/internal/accesslog"
	"postern/internal/auditor"
	"postern/internal/envelope"
	"postern/internal/web"
	"postern/internal/web/ui"
)

// accessKey is under what the questions to the access log are kept in the session: a staff id is about a person, and has
// no place in an address.
const accessKey = "access"

func accessForm(r *web.Request) *web.Form {
	f := web.NewForm(
		web.Field{Name: "who", Label: r.T("audit.access_who"), Hint: r.T("audit.access_who_hint"), Width: 20},
		web.Field{Name: "reference", Label: r.T("audit.reference"), Hint: r.T("audit.reference_hint"), Width: 20},
		web.Field{Name: "service", Label: r.T("audit.access_service"), Hint: r.T("audit.access_service_hint"), Width: 20},
		web.Field{Name: auditor.Since, Kind: web.Date, Label: r.T("audit.since")},
		web.Field{Name: auditor.Until, Kind: web.Date, Label: r.T("audit.until")},
	)
	f.Submit = "audit.search_button"
	return f
}

var accessFields = []string{"who", "reference", "service", auditor.Since, auditor.Until}

// seen is what the page of the access log shows.
type seen struct {
	Events      ui.Table
	None, Asked bool
	Next, First string
}

// access lists who saw which page, newest first.
func (s *site) access(r *web.Request) (web.Response, error) {
	f, asked := accessForm(r), false
	if kept, ok := r.Take(accessKey); ok {
		if err := r.Keep(accessKey, kept); err != nil {
			return nil, err
		}
		answers, err := url.ParseQuery(kept)
		if err != nil {
			return nil, err
		}
		for _, name := range accessFields {
			f.Set(name, answers.Get(name))
			asked = asked || answers.Get(name) != ""
		}
	}
	view, err := s.accessView(r, f)
	if err != nil {
		return nil, err
	}
	data := view.Data.(seen)
	data.Asked = asked
	view.Data = data
	return view, nil
}

func (s *site) accessView(r *web.Request, f *web.Form) (web.View, error) {
	q := accesslog.Question{Who: f.Text("who"), Subject: strings.ToUpper(f.Text("reference")), Service: f.Text("service")}
	if day, err := time.ParseInLocation(time.DateOnly, f.Text(auditor.Since), s.zone); err == nil {
		q.Since = day
	}
	if day, err := time.ParseInLocation(time.DateOnly, f.Text(auditor.Until), s.zone); err == nil {
		q.Until = day.AddDate(0, 0, 1)
	}
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || page < 1 || page > 1_000_000 {
		page = 1
	}
	events, more, err := s.audit.AccessLog(r.Context(), q, (page-1)*pageSize, pageSize)
	if err != nil {
		return web.View{}, err
	}
	data := seen{Events: s.accessTable(r, events), None: len(events) == 0}
	if more {
		data.Next = "/access?page=" + strconv.Itoa(page+1)
	}
	if page > 1 {
		data.First = "/access"
	}
	return web.View{Template: "access", Form: f, Wide: true, Data: data}, nil
}

// askAccess takes the questions, and shows what fits them.
func (s *site) askAccess(r *web.Request) (web.Response, error) {
	f := accessForm(r)
	f.Read(r)
	since, from := f.Day(auditor.Since)
	until, to := f.Day(auditor.Until)
	if from && to && until.Before(since) {
		f.Fail(s.slip(r, auditor.Until, "audit.no_order"))
	}
	if reference := f.Text("reference"); reference != "" {
		if _, err := envelope.ParseReference(reference); err != nil {
			f.Fail(s.slip(r, "reference", "audit.no_reference"))
		}
	}
	if err := f.Err(); err != nil {
		return r.Again(web.View{Template: "access", Form: f, Wide: true, Data: seen{Asked: true}}, err)
	}
	kept := url.Values{}
	for _, name := range accessFields {
		if text := f.Text(name); text != "" && len(text) <= 100 {
			kept.Set(name, text)
		}
	}
	if err := r.Keep(accessKey, kept.Encode()); err != nil {
		return nil, err
	}
	return web.SeeOther("/access"), nil
}

func (s *site) accessTable(r *web.Request, events []accesslog.Event) ui.Table {
	t := ui.Table{Stack: true, Caption: r.T("audit.access_listed"), CaptionClasses: "govuk-visually-hidden"}
	for _, head := range []string{"audit.when", "audit.access_who", "audit.access_service", "audit.access_page", "audit.reference", "audit.access_did"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(head)})
	}
	for _, e := range events {
		did := r.T("audit.access_saw")
		switch {
		case e.Status == 403:
			did = r.T("audit.access_refused")
		case e.Status >= 400:
			did = r.T("audit.access_failed")
		case e.What == "PAGE_SENT":
			did = r.T("audit.access_sent")
		}
		page := e.Page
		if r.Language.Has(page) {
			page = r.T(page)
		}
		var about ui.Content = e.Subject
		if _, err := envelope.ParseReference(e.Subject); err == nil {
			about = ui.Link{Href: "/?" + url.Values{auditor.Notification: {e.Subject}, auditor.Kind: {""}}.Encode(), Text: e.Subject}.HTML()
		}
		t.Rows = append(t.Rows, []ui.Cell{{Text: r.When(e.When)}, {Text: e.Who, Classes: "app-answer"}, {Text: e.Service}, {Text: page}, {Text: about, Classes: "app-answer"}, {Text: did}})
	}
	return t
}
