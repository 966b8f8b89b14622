package web

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"

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
	Text    string // an id of words: what happened to what they wrote, and what to do
	Said    string // the error's own public words, where they help
}

// problem is the page for an error. What caused it is logged by its kind and reason, and shown by a number.
func (s *Site) problem(r *Request, err error) Response {
	f := fault.From(err)
	code := status[f.Kind]
	p := Problem{Heading: "web.wrong", Text: "web.wrong_text"}
	switch {
	case f == errTooLarge:
		code, p = http.StatusRequestEntityTooLarge, Problem{Heading: "web.too_large", Text: "web.too_large_text"}
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
	case f.Kind != fault.Internal && f.Kind != fault.Unimplemented:
		p = Problem{Heading: "web.refused", Text: "web.refused_text", Said: f.Message}
	}
	if code >= 500 {
		s.cfg.Log.ErrorContext(r.Context(), "page failed", "page", r.page.Name, "request", r.ID, "kind", f.Kind.String(), "reason", f.Reason)
	}
	answer := failure{View: View{Title: p.Heading, Template: "problem", Data: p, Status: code}}
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

// EndedPath is the page that says that a session has ended.
const EndedPath = "/session/ended"

// own are the pages that every site has.
func (s *Site) own() []Page {
	return []Page{
		{Path: "/session/extend", Name: "web.extended", Open: true, Get: func(r *Request) (Response, error) {
			if _, in := r.Person(); !in {
				return View{Title: "web.ended", Template: "ended"}, nil
			}
			return View{Title: "web.extended", Template: "extended"}, nil
		}},
		{Path: EndedPath, Name: "web.ended", Open: true, Get: func(*Request) (Response, error) {
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
