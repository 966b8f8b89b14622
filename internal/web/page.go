package web

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/words"
)

// Page is one page of a site.
type Page struct {
	Path  string   // as in net/http, without a method: /notifications/{reference}; one that ends in / needs {$}
	Name  string   // of the page, the same whatever it shows, and the id of the words of its title
	Roles []string // who may see it; everybody who is signed in when empty
	Open  bool     // for people who are not signed in too
	Get   Handler
	Post  Handler
}

// Handler answers a request for a page.
type Handler func(*Request) (Response, error)

// Instead are the pages with another answer where one fails for a reason, such as a name that two things have.
func Instead(pages []Page, reason string, answer Handler) []Page {
	with := func(h Handler) Handler {
		if h == nil {
			return nil
		}
		return func(r *Request) (Response, error) {
			out, err := h(r)
			if err != nil && fault.From(err).Reason == reason {
				return answer(r)
			}
			return out, err
		}
	}
	all := slices.Clone(pages)
	for i, p := range all {
		all[i].Get, all[i].Post = with(p.Get), with(p.Post)
	}
	return all
}

// Allows reports whether somebody may see the page.
func (p Page) Allows(who Person) bool {
	return p.Open || len(p.Roles) == 0 || slices.ContainsFunc(p.Roles, who.Has)
}

func (p Page) pattern() string {
	if p.Path == "/" {
		return "/{$}"
	}
	return p.Path
}

// Person is who is signed in, as far as the shell needs to know.
type Person struct {
	ID      string   // the person's at whoever signs people in
	Name    string   // for the header
	Roles   []string // what they may see
	Session string   // the session at whoever signs people in, to end ours with theirs
}

// Has reports whether the person has a role.
func (p Person) Has(role string) bool { return slices.Contains(p.Roles, role) }

// Viewing is that somebody saw a page, or did what its form does.
type Viewing struct {
	At      time.Time
	Request string
	Page    string // its name
	Method  string
	Status  int
	Person  string // the id, empty for somebody who is not signed in
	Roles   []string
	About   string // the reference of what was seen, when it was about one thing
}

// Journal hears of every page before it is shown. When it cannot keep one, the page is not shown.
type Journal interface {
	Viewed(context.Context, Viewing) error
}

// Request is a request for a page, with who asks and in which language.
type Request struct {
	*http.Request
	ID       string
	Language words.Language

	site    *Site
	page    Page
	session *session
	cookies []*http.Cookie
	left    Person // who was signed in until this request
}

func (s *Site) request(p Page, w http.ResponseWriter, r *http.Request) *Request {
	made := &Request{Request: r, ID: newID(), Language: s.language(r), site: s, page: p}
	w.Header().Set("X-Request-Id", made.ID)
	if c, err := r.Cookie(s.cookie("session")); err == nil {
		made.session = s.sessions.find(c.Value)
	}
	return made
}

func (r *Request) safe() bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// T is the text of an id in the reader's language. Names and values follow in turn.
func (r *Request) T(id string, args ...any) string { return text(r.Language, id, args) }

// Date is the day of a moment in the United Kingdom: 29 November 2026.
func (r *Request) Date(t time.Time) string { return date(r.Language, t.In(r.site.london)) }

// Clock is the time of day of a moment in the United Kingdom: 9:32am.
func (r *Request) Clock(t time.Time) string { return t.In(r.site.london).Format("3:04pm") }

// Clock24 is the time of day of a moment in the United Kingdom as Local reads it: 21:05.
func (r *Request) Clock24(t time.Time) string { return t.In(r.site.london).Format("15:04") }

// When is a moment as people in the United Kingdom read it: 29 November 2026 at 9:32am.
func (r *Request) When(t time.Time) string {
	return r.T("web.when", "date", r.Date(t), "time", r.Clock(t))
}

// Local is the moment of a time of day, such as 21:05, on a civil day in the United Kingdom.
func (r *Request) Local(day time.Time, clock string) (time.Time, bool) {
	c, err := time.Parse("15:04", strings.ReplaceAll(clock, ".", ":"))
	return time.Date(day.Year(), day.Month(), day.Day(), c.Hour(), c.Minute(), 0, 0, r.site.london), err == nil
}

// Now is the time by the clock of the site, in the United Kingdom.
func (r *Request) Now() time.Time { return r.site.cfg.Now().In(r.site.london) }

// Person returns who is signed in.
func (r *Request) Person() (Person, bool) { return r.site.sessions.person(r.session) }

// SignIn signs somebody in, in a new session: what was known of this browser before ends, and an old number is worth
// nothing.
func (r *Request) SignIn(who Person) error {
	id, made, err := r.site.sessions.begin(&who)
	if err != nil {
		return err
	}
	r.site.sessions.forget(r.session)
	r.carry(id, made)
	return nil
}

// SignOut ends the session. On the next page of ours, the browser forgets the pages it holds.
func (r *Request) SignOut() {
	r.left, _ = r.Person()
	r.site.sessions.forget(r.session)
	r.session = nil
	r.cookies = append(r.cookies, r.sessionCookie("", -1))
}

// Keep keeps a value in the session until it is taken: a sign-in under way, or what to say on the next page.
func (r *Request) Keep(key, value string) error {
	if r.session == nil {
		id, made, err := r.site.sessions.begin(nil)
		if err != nil {
			return err
		}
		r.carry(id, made)
	}
	return r.site.sessions.keep(r.session, key, value)
}

// Take returns a value that was kept, once.
func (r *Request) Take(key string) (string, bool) { return r.site.sessions.take(r.session, key) }

// notice is the key under which Tell keeps its words.
const notice = "notice"

// warning is the key under which Warn keeps its words.
const warning = "warning"

// Tell says something on the next page that is shown: an id of words without anything to fill in.
func (r *Request) Tell(id string) error { return r.Keep(notice, id) }

// Warn says on the next page that what somebody asked for was not done.
func (r *Request) Warn(id string) error { return r.Keep(warning, id) }

func (r *Request) carry(id string, s *session) {
	r.session = s
	r.cookies = append(r.cookies, r.sessionCookie(id, 0))
}

// sessionCookie ends with the browser; the time limits are kept here, where nobody can move them.
func (r *Request) sessionCookie(id string, age int) *http.Cookie {
	return &http.Cookie{Name: r.site.cookie("session"), Value: id, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: r.site.cfg.TLS, SameSite: http.SameSiteLaxMode}
}

// queryTo names the page to go back to after signing in.
const queryTo = "to"

// To is the page to go to after signing in. Only a path of this site is taken, or a link could lead anywhere.
func (r *Request) To() string {
	raw := r.URL.Query().Get(queryTo)
	to, err := url.Parse(raw)
	if err != nil || to.Scheme != "" || to.Host != "" || to.User != nil || !strings.HasPrefix(raw, "/") ||
		strings.HasPrefix(to.Path, "//") || strings.ContainsRune(to.Path, '\\') {
		return r.site.cfg.Home
	}
	return to.RequestURI()
}

func escape(s string) string { return url.QueryEscape(s) }

// readBody reads the form of a request, as far as the limit.
func (r *Request) readBody(most int64) error {
	if r.safe() {
		return nil
	}
	r.Body = http.MaxBytesReader(nil, r.Body, most)
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/x-www-form-urlencoded":
		err = r.ParseForm()
	case r.ContentLength == 0:
		return nil
	default:
		return fault.New(fault.Invalid, "NO_FORM", "What was sent is not a form.")
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return errTooLarge
	}
	if err != nil {
		return fault.New(fault.Invalid, "NO_FORM", "What was sent is not a form.").Because(err)
	}
	return nil
}

var errTooLarge = fault.New(fault.Invalid, "TOO_LARGE", "What was sent is too large.")

// Again shows a page again when its form has faults, each beside its field. Any other error stays one.
func (r *Request) Again(v View, err error) (Response, error) {
	f := fault.From(err)
	if f.Kind != fault.Invalid || len(f.Fields) == 0 || v.Form == nil {
		return nil, err
	}
	v.Form.Fail(r.Fields(err)...)
	v.Status = http.StatusUnprocessableEntity
	return v, nil
}

// Fields are the faults of the fields of an error in the reader's language, where the catalogue has words for the reason
// and the field: what stands in the error itself may be for a command.
func (r *Request) Fields(err error) []fault.Field {
	f := fault.From(err)
	all := slices.Clone(f.Fields)
	for i, x := range all {
		field, _, _ := strings.Cut(x.Path, "[")
		if id := reasonWords(f) + "." + field; r.Language.Has(id) {
			all[i].Reason, all[i].Fix = r.Language.Fault(id, nil)
		}
	}
	return all
}

// origin is where in our code a panic began: file and line, which hold nothing of anybody's.
func origin() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	panicked := false
	for {
		frame, more := frames.Next()
		if frame.Function == "runtime.gopanic" {
			panicked = true
		} else if panicked && !strings.HasPrefix(frame.Function, "runtime.") {
			return frame.Function
		}
		if !more {
			return "unknown"
		}
	}
}
