package web

import (
	"bytes"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"postern/internal/fault"
)

// status is the status of a page about an error, by the kind of the error.
var status = map[fault.Kind]int{
	fault.Internal: http.StatusInternalServerError, fault.Invalid: http.StatusBadRequest, fault.Unauthenticated: http.StatusUnauthorized,
	fault.Denied: http.StatusForbidden, fault.NotFound: http.StatusNotFound, fault.Exists: http.StatusConflict,
	fault.Precondition: http.StatusConflict, fault.Exhausted: http.StatusTooManyRequests, fault.Unavailable: http.StatusServiceUnavailable,
	fault.Deadline: http.StatusServiceUnavailable, fault.Unverified: http.StatusConflict, fault.Unimplemented: http.StatusNotImplemented,
}

// Problem is what the page about an error says.
type Problem struct {
	Heading string // an id of words
	Text    string // an id of words: what happened to what they wrote, and what to do; empty where Said is all of it
	Said    string // an id of words: those of the fault's reason, where it has any
	Code    string // the reason itself, for whoever is telephoned
}

// code is how a reason is written. One that another party sent and that is none is not shown.
var code = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,40}$`)

// reasonWords is the id of the words that a page has for the reason of a fault. The message of a fault is for commands: it is
// English, and may have anything filled in.
func reasonWords(f *fault.Error) string { return "fault." + strings.ToLower(f.Reason) }

// problem is the page for an error. What caused it is logged by its kind and reason, and shown by a number.
func (s *Site) problem(r *Request, err error) Response {
	f := fault.From(err)
	answered := status[f.Kind]
	p := Problem{Heading: "web.wrong", Text: "web.wrong_text"}
	switch {
	case f == errTooLarge:
		answered, p = http.StatusRequestEntityTooLarge, Problem{Heading: "web.too_large", Text: "web.too_large_text"}
	case f.Reason == "OTHER_ORIGIN":
		p = Problem{Heading: "web.other_site", Text: "web.other_site_text"}
	case f.Kind == fault.NotFound:
		p = Problem{Heading: "web.not_found", Text: "web.not_found_text"}
	case f.Kind == fault.Denied:
		p = Problem{Heading: "web.denied", Text: "web.denied_text"}
	case f.Kind == fault.Unauthenticated:
		p = Problem{Heading: "web.unknown", Text: "web.unknown_text"}
	case f.Kind == fault.Unavailable, f.Kind == fault.Deadline:
		p = Problem{Heading: "web.unavailable", Text: "web.unavailable_text"}
	case f.Kind == fault.Exhausted:
		p = Problem{Heading: "web.busy", Text: "web.busy_text"}
	case f.Kind == fault.Unverified:
		p = Problem{Heading: "web.unproven", Text: "web.unproven_text"}
	case f.Kind != fault.Internal && f.Kind != fault.Unimplemented:
		p = Problem{Heading: "web.refused", Text: "web.refused_text"}
	}
	if r.Language.Has(reasonWords(f)) {
		p.Said = reasonWords(f)
		if f.Kind == fault.NotFound || f.Kind == fault.Denied {
			p.Text = "" // that there is no such page, or not for this role, is not what happened
		}
	}
	if answered == http.StatusConflict && code.MatchString(f.Reason) {
		p.Code = f.Reason
	}
	if answered >= 500 {
		s.cfg.Log.ErrorContext(r.Context(), "page failed", "page", r.page.Name, "request", r.ID, "kind", f.Kind.String(), "reason", f.Reason)
	}
	answer := failure{View: View{Title: p.Heading, Template: "problem", Data: p, Status: answered}}
	if f.RetryAfter > 0 {
		answer.header = http.Header{"Retry-After": {strconv.Itoa(int(f.RetryAfter.Seconds()) + 1)}}
	}
	return answer
}

// notAllowed is the page for a method that a page does not have.
func notAllowed(p Page) Response {
	allow := "GET, HEAD"
	switch {
	case p.Get == nil:
		allow = "POST"
	case p.Post != nil:
		allow = "GET, HEAD, POST"
	}
	return failure{
		View:   View{Title: "web.method", Template: "problem", Data: Problem{Heading: "web.method", Text: "web.method_text"}, Status: http.StatusMethodNotAllowed},
		header: http.Header{"Allow": {allow}},
	}
}

// endedPath is the page that says that a session has ended.
const endedPath = "/session/ended"

// own are the pages that every site has.
func (s *Site) own() []Page {
	return []Page{
		{Path: "/session/extend", Name: "web.extended", Open: true, Get: func(r *Request) (Response, error) {
			if _, in := r.Person(); !in {
				return View{Title: "web.ended", Template: "ended"}, nil
			}
			return View{Title: "web.extended", Template: "extended"}, nil
		}},
		{Path: endedPath, Name: "web.ended", Open: true, Get: func(*Request) (Response, error) {
			return View{Title: "web.ended", Template: "ended"}, nil
		}},
	}
}

// failure is a view with headers of its own.
type failure struct {
	View
	header http.Header
}

func (f failure) write(s *Site, r *Request, h http.Header, body *bytes.Buffer) (int, error) {
	maps.Copy(h, f.header)
	return f.View.write(s, r, h, body)
}
