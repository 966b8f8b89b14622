package site

import (
	"maps"
	"net/url"
	"strings"
	"time"

	"postern/internal/auditor"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// pageSize is how many events a page lists: as many as fit on a screen and a half.
const pageSize = 25

// search is the form that asks which events to list. It changes nothing, so its answers stand in the address, where they
// can be kept as a bookmark; none of them can be about a person.
func search(r *web.Request) *web.Form {
	outcomes := []web.Option{{Text: r.T("audit.any")}}
	for n := int32(1); posternv1.Outcome_name[n] != ""; n++ {
		o := posternv1.Outcome(n)
		outcomes = append(outcomes, web.Option{Value: plain.Enum(o), Text: plain.OutcomeIn(r.Language, o)})
	}
	kinds := []web.Option{{Text: r.T("audit.any")}}
	for _, k := range auditor.Kinds() {
		kinds = append(kinds, web.Option{Value: k, Text: plain.Kind(r.Language, k)})
	}
	return web.NewForm(
		web.Field{Name: auditor.Notification, Label: r.T("audit.reference"), Hint: r.T("audit.reference_hint"), Width: 20},
		web.Field{Name: auditor.Prison, Label: r.T("audit.prison"), Hint: r.T("audit.prison_hint"), Width: 5},
		web.Field{Name: auditor.Authority, Label: r.T("audit.authority"), Hint: r.T("audit.authority_hint"), Width: 10},
		web.Field{Name: auditor.Outcome, Kind: web.List, Label: r.T("audit.outcome"), Options: outcomes},
		web.Field{Name: auditor.Rule, Label: r.T("audit.rule"), Hint: r.T("audit.rule_hint"), Width: 20},
		web.Field{Name: auditor.Kind, Kind: web.List, Label: r.T("audit.kind"), Options: kinds},
		web.Field{Name: auditor.Since, Kind: web.Date, Label: r.T("audit.since")},
		web.Field{Name: auditor.Until, Kind: web.Date, Label: r.T("audit.until")},
	)
}

// wrong are the words for what can match nothing.
var wrong = map[string]string{
	auditor.Notification: "audit.no_reference", auditor.Prison: "audit.no_prison", auditor.Authority: "audit.no_authority",
	auditor.Outcome: "audit.no_choice", auditor.Kind: "audit.no_choice", auditor.Rule: "audit.no_rule",
	auditor.Since: "audit.no_day", auditor.Until: "audit.no_day", auditor.Order: "audit.no_order",
}

// found is what the search shows.
type found struct {
	Events ui.Table
	None   bool
	Next   string // the address of the next page; empty at the end
	First  string // the address of the first page; empty on it
	Open   bool   // the questions are in sight: something was asked, or is wrong
	Export string // the address of an export of what was asked
	Save   string // the address where what was asked is saved
}

// search lists the events that were asked for, newest first: decisions at first.
func (s *site) search(r *web.Request) (web.Response, error) {
	f := search(r)
	f.Read(r)
	if !r.URL.Query().Has(auditor.Kind) {
		f.Set(auditor.Kind, "decided") // what most come for; everything else is a choice away
	}
	view := web.View{Template: "search", Form: f, Wide: true, Data: found{Open: true}}
	filter, slips := s.filter(r, f)
	for _, name := range slips {
		path := name
		if name == auditor.Order {
			path = auditor.Until
		}
		reason, fix := r.Language.Fault(wrong[name], nil)
		f.Fail(fault.Field{Path: path, Reason: reason, Fix: fix})
	}
	if err := f.Err(); err != nil {
		return r.Again(view, err)
	}
	asked := r.URL.Query()
	token := asked.Get("page")
	out, err := s.audit.ListEvents(r.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{
		Filter: filter, PageSize: pageSize, PageToken: token}})
	if err != nil {
		return nil, err
	}
	asked.Del("page")
	asked.Del("lang")
	shown := found{Events: s.table(r, out.GetResponse().GetEvents(), questions(r)), None: len(out.GetResponse().GetEvents()) == 0, Open: len(asked) > 0,
		Export: "/export?" + withKind(asked).Encode(), Save: "/searches/new?" + withKind(asked).Encode()}
	if token != "" {
		shown.First = "/?" + asked.Encode()
	}
	if next := out.GetResponse().GetNextPageToken(); next != "" {
		with := url.Values{"page": {next}}
		for name, values := range asked {
			with[name] = values
		}
		shown.Next = "/?" + with.Encode()
	}
	view.Data = shown
	return view, nil
}

// withKind says what is listed where nothing was asked about it: decisions.
func withKind(asked url.Values) url.Values {
	whole := url.Values{auditor.Kind: {"decided"}}
	maps.Copy(whole, asked)
	return whole
}

// filter is what was asked as the hub takes it, and what of it can match nothing. An answer that the form does not offer
// is one of these, and not left out: a list of more than was asked for would read as an answer.
func (s *site) filter(r *web.Request, f *web.Form) (*posternv1.EventFilter, []string) {
	filter, slips := s.question(f).Filter(s.zone)
	for _, name := range []string{auditor.Outcome, auditor.Kind} {
		if r.FormValue(name) != "" && f.Text(name) == "" {
			slips = append(slips, name)
		}
	}
	return filter, slips
}

// question is the form as the auditor takes it. The day until which to list is one of those listed.
func (s *site) question(f *web.Form) auditor.Question {
	q := auditor.Question{Prison: strings.ToUpper(f.Text(auditor.Prison)), Authority: strings.ToUpper(f.Text(auditor.Authority)),
		Outcome: f.Text(auditor.Outcome), Rule: f.Text(auditor.Rule), Kind: f.Text(auditor.Kind), Notification: f.Text(auditor.Notification)}
	if day, ok := f.Day(auditor.Since); ok {
		q.Since = day.Format(time.DateOnly)
	}
	if day, ok := f.Day(auditor.Until); ok {
		q.Until = day.AddDate(0, 0, 1).Format(time.DateOnly)
	}
	return q
}

// table is a list of events, each with the way to it, and with what was asked for the way back.
func (s *site) table(r *web.Request, events []*posternv1.Event, asked url.Values) ui.Table {
	t := ui.Table{Stack: true, Caption: r.T("audit.events_listed"), CaptionClasses: "govuk-visually-hidden"}
	for _, head := range []string{"audit.when", "audit.kind", "audit.reference", "audit.prison", "audit.authority", "audit.outcome"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(head)})
	}
	for _, e := range events {
		outcome := ""
		if d := e.GetDecision(); d != nil {
			outcome = plain.OutcomeIn(r.Language, d.GetOutcome())
		}
		t.Rows = append(t.Rows, []ui.Cell{
			{Text: ui.Link{Href: strings.TrimSuffix("/events/"+e.GetEventId()+"?"+asked.Encode(), "?"), Text: r.When(e.GetRecordTime().AsTime())}.HTML()}, {Text: plain.Kind(r.Language, e.GetKind())}, {Text: e.GetReference()},
			{Text: e.GetPrisonId()}, {Text: e.GetAuthority()}, {Text: outcome},
		})
	}
	return t
}
