package web_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/fault"
	"postern/internal/web"
	"postern/internal/web/webtest"
)

// secret is what somebody wrote. It must be on no page but the one that shows it back, and in no log.
const secret = "Wilhelmina-Quorndon"

// bench is a site with pages of every kind, a clock to move, and what it logged and recorded.
type bench struct {
	*web.Site
	now    time.Time
	log    bytes.Buffer
	seen   []web.Viewing
	refuse error // what the journal answers
	saved  string
}

func (b *bench) Viewed(_ context.Context, v web.Viewing) error {
	if b.refuse == nil {
		b.seen = append(b.seen, v)
	}
	return b.refuse
}

func newBench(t testing.TB, change ...func(*web.Config)) *bench {
	t.Helper()
	b := &bench{now: time.Date(2026, 11, 29, 21, 0, 0, 0, time.UTC)}
	cfg := web.Config{
		Name: "shop", Service: "web.service", SignIn: "/sign-in", Telephone: "01632 960123", Journal: b, MaxBody: 1 << 10,
		Now: func() time.Time { return b.now }, Log: slog.New(slog.NewJSONHandler(&b.log, nil)),
		Templates: fstest.MapFS{
			"home.html":    {Data: []byte(`{{define "content"}}<h1>{{.T "web.home"}}</h1>{{template "shared" .}}{{end}}`)},
			"_shared.html": {Data: []byte(`{{define "shared"}}<p>{{.Data}}</p>{{end}}`)},
		},
		Navigation: []web.Link{{Text: "web.home", Href: "/"}, {Text: "web.menu", Href: "/lead", Roles: []string{"LEAD"}}},
		Footer:     []web.Link{{Text: "web.support", Href: "/open"}},
		Pages: []web.Page{
			{Path: "/", Name: "web.home", Get: show(web.View{Template: "home", Data: "<all>"})},
			{Path: "/open", Name: "web.support", Open: true, Get: show(web.View{Template: "home", Data: "open"})},
			{Path: "/lead", Name: "web.menu", Roles: []string{"LEAD"}, Get: show(web.View{Template: "home", Data: "lead", About: "PN-AAAA-AAAA"})},
			{Path: "/name", Name: "web.year", Get: func(*web.Request) (web.Response, error) { return web.View{Form: nameForm()}, nil }, Post: b.name},
			{Path: "/broken/{how}", Name: "web.wrong", Get: broken, Post: broken},
			{Path: "/file", Name: "web.done", Get: show(web.File{Name: "slip.txt", Kind: "text/plain", Body: []byte("slip"), About: "PN-BBBB-BBBB"})},
			{Path: "/sign-in", Name: "web.sign_in_again", Open: true, Get: signIn},
			{Path: "/sign-out", Name: "web.sign_out", Open: true, Post: func(r *web.Request) (web.Response, error) { r.SignOut(); return web.SeeOther("/open"), nil }},
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	site, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Site = site
	return b
}

func show(answer web.Response) web.Handler {
	return func(*web.Request) (web.Response, error) { return answer, nil }
}

func nameForm() *web.Form {
	return web.NewForm(web.Field{Name: "name", Path: "child.name", Label: "Name", IsPageHeading: true})
}

func (b *bench) name(r *web.Request) (web.Response, error) {
	form := nameForm()
	form.Read(r)
	if form.Text("name") == secret {
		return r.Again(web.View{Form: form}, fault.InvalidFields("X", "Faults.", []fault.Field{{Path: "child.name", Reason: "Too long.", Fix: "Shorten it."}}))
	}
	b.saved = form.Text("name")
	if err := r.Tell("web.done"); err != nil {
		return nil, err
	}
	return web.SeeOther("/name"), nil
}

func broken(r *web.Request) (web.Response, error) {
	switch r.PathValue("how") {
	case "panic":
		panic(errors.New(secret))
	case "template":
		return web.View{Template: "none"}, nil
	case "unavailable":
		return nil, &fault.Error{Kind: fault.Unavailable, Reason: "HUB", Message: "Not now.", RetryAfter: time.Minute}
	case "exists":
		return nil, fault.New(fault.Exists, "TWICE", "This was sent already.")
	case "missing":
		return nil, fault.New(fault.NotFound, "NONE", "Not there.")
	default:
		return nil, errors.New(secret)
	}
}

func signIn(r *web.Request) (web.Response, error) {
	who := web.Person{ID: "staff-7", Name: "A. Officer", Roles: r.URL.Query()["role"], Session: "s1"}
	if err := r.SignIn(who); err != nil {
		return nil, err
	}
	return web.SeeOther(r.To()), nil
}

// browser is a browser with what the tests here ask of it most.
type browser struct {
	*webtest.Browser
	t *testing.T
}

func (b *bench) browser(t *testing.T) *browser { return &browser{webtest.Open(t, b), t} }

func (b *browser) signIn(roles ...string) *browser {
	b.t.Helper()
	if p := b.Get("/sign-in?" + url.Values{"role": roles}.Encode()); p.Status != http.StatusSeeOther {
		b.t.Fatalf("signing in is answered by %d", p.Status)
	}
	return b
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	for _, target := range []string{"/", "/open", "/lead", "/nothing", "/file", "/broken/panic", "/broken/error", "/session/ended", "/assets/none.css", "/csp-report"} {
		h := in.Get(target).Header
		if got, want := h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; "+
			"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'; report-uri /csp-report"; got != want {
			t.Errorf("%s has the policy %s", target, got)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Strict-Transport-Security": ""} {
			if got := h.Get(name); got != want {
				t.Errorf("%s has %s %q, want %q", target, name, got, want)
			}
		}
	}
	secure := newBench(t, func(c *web.Config) { c.TLS, c.Actions = true, []string{"https://id.example"} }).browser(t)
	w := secure.Get("/sign-in")
	if !strings.Contains(w.Header.Get("Content-Security-Policy"), "form-action 'self' https://id.example;") || w.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("over TLS the headers are %v", w.Header)
	}
	for _, c := range secure.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-shop-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("over TLS the cookie is %v", c)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		method, target string
		form           url.Values
		status         int
		heading        string
	}{
		{"GET", "/nothing", nil, 404, "Page not found"},
		{"GET", "/broken/missing", nil, 404, "Page not found"},
		{"GET", "/lead", nil, 403, "You cannot see this page"},
		{"POST", "/lead", url.Values{}, 405, "This page cannot do that"},
		{"DELETE", "/name", nil, 405, "This page cannot do that"},
		{"POST", "/name", url.Values{"name": {strings.Repeat("a", 2<<10)}}, 413, "This is too large"},
		{"GET", "/broken/panic", nil, 500, "Sorry, something went wrong"},
		{"POST", "/broken/panic", url.Values{}, 500, "Sorry, something went wrong"},
		{"GET", "/broken/error", nil, 500, "Sorry, something went wrong"},
		{"GET", "/broken/template", nil, 500, "Sorry, something went wrong"},
		{"GET", "/broken/unavailable", nil, 503, "Not available now"},
		{"GET", "/broken/exists", nil, 409, "This could not be done"},
	} {
		t.Run(c.method+c.target, func(t *testing.T) {
			b := newBench(t)
			w := b.browser(t).signIn().Do(c.method, c.target, c.form)
			page := w.Body
			if w.Status != c.status || w.Heading() != c.heading {
				t.Errorf("answered by %d %q", w.Status, w.Heading())
			}
			if !strings.Contains(page, w.Header.Get("X-Request-Id")) || !strings.Contains(page, "01632 960123") {
				t.Error("the page has not the number of the request and whom to telephone")
			}
			if strings.Contains(page+b.log.String(), secret) {
				t.Errorf("what caused it is shown or logged: %s", b.log.String())
			}
			if c.status >= 500 && !strings.Contains(b.log.String(), w.Header.Get("X-Request-Id")) {
				t.Errorf("the log does not have the number: %s", b.log.String())
			}
			if c.status == 405 && w.Header.Get("Allow") == "" {
				t.Error("no Allow")
			}
			if c.status == 503 && w.Header.Get("Retry-After") != "61" {
				t.Errorf("Retry-After is %q", w.Header.Get("Retry-After"))
			}
		})
	}
}

// A panic is placed, so that it can be mended, though what it said is not kept.
func TestAPanicIsPlaced(t *testing.T) {
	b := newBench(t)
	b.browser(t).signIn().Get("/broken/panic")
	if !strings.Contains(b.log.String(), "web_test.broken") {
		t.Errorf("the log is %s", b.log.String())
	}
}

func TestNothingIsShownThatIsNotRecorded(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn("LEAD")
	b.seen = nil
	in.Get("/lead")
	in.Get("/file")
	in.Get("/nothing")
	want := []web.Viewing{
		{At: b.now, Page: "web.menu", Method: "GET", Status: 200, Person: "staff-7", Roles: []string{"LEAD"}, About: "PN-AAAA-AAAA"},
		{At: b.now, Page: "web.done", Method: "GET", Status: 200, Person: "staff-7", Roles: []string{"LEAD"}, About: "PN-BBBB-BBBB"},
		{At: b.now, Page: "web.not_found", Method: "GET", Status: 404, Person: "staff-7", Roles: []string{"LEAD"}},
	}
	for i, v := range b.seen {
		if v.Request == "" {
			t.Error("a viewing has no number")
		}
		v.Request = ""
		if i >= len(want) || v.Page != want[i].Page || v.About != want[i].About || v.Status != want[i].Status || v.Person != want[i].Person || !v.At.Equal(want[i].At) {
			t.Errorf("viewing %d is %+v", i, v)
		}
	}
	if len(b.seen) != len(want) {
		t.Fatalf("%d viewings", len(b.seen))
	}
	b.refuse = errors.New("disk full")
	for _, target := range []string{"/lead", "/file"} {
		if w := in.Get(target); w.Status != http.StatusServiceUnavailable || strings.Contains(w.Body, "<p>lead") || strings.Contains(w.Body, "slip") {
			t.Errorf("%s is answered by %d without a journal: %s", target, w.Status, w.Body)
		}
	}
}

func TestAFormOfAnotherSiteDoesNothing(t *testing.T) {
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		b := newBench(t)
		in := b.browser(t).signIn()
		in.Header.Set(name, value)
		if w := in.Do("POST", "/name", url.Values{"name": {"X"}}); w.Status != http.StatusForbidden || b.saved != "" || !strings.Contains(w.Body, "another site") {
			t.Errorf("with %s the form is answered by %d and saves %q", name, w.Status, b.saved)
		}
		in.Header.Set(name, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}[name])
		if w := in.Do("POST", "/name", url.Values{"name": {"X"}}); w.Status != http.StatusSeeOther || b.saved != "X" {
			t.Errorf("our own form is answered by %d and saves %q", w.Status, b.saved)
		}
	}
}

// What a browser sends from no form of ours is not read, whatever it says it is.
func TestOnlyAFormIsRead(t *testing.T) {
	b := newBench(t)
	for kind, want := range map[string]int{"application/x-www-form-urlencoded": http.StatusSeeOther,
		"multipart/form-data; boundary=x": http.StatusBadRequest, "application/json": http.StatusBadRequest, "": http.StatusBadRequest} {
		r := httptest.NewRequest("POST", "http://localhost/sign-out", strings.NewReader("a=b"))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q is answered %d, want %d", kind, w.Code, want)
		}
	}
}

// A name that a stranger made lead to us must not make the stranger's page one of ours.
func TestASiteKnowsItsNames(t *testing.T) {
	ask := func(b *bench, host string) int {
		r := httptest.NewRequest("GET", "/open", nil)
		r.Host = host
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		return w.Code
	}
	b := newBench(t)
	for host, want := range map[string]int{"localhost": 200, "localhost:8080": 200, "127.0.0.1:8080": 200, "127.0.0.2": 200, "[::1]:80": 200, "[::1]": 200,
		"evil.example": 421, "localhost.evil.example": 421, "10.0.0.1": 421, "": 421} {
		if got := ask(b, host); got != want {
			t.Errorf("by the name %q the site answers %d, want %d", host, got, want)
		}
	}
	b = newBench(t, func(c *web.Config) { c.Hosts = []string{"desk.example"} })
	if a, b := ask(b, "desk.example"), ask(b, "localhost"); a != 200 || b != 421 {
		t.Errorf("with a name of its own the site answers %d, and by another %d", a, b)
	}
}

func TestReportsAreCounted(t *testing.T) {
	b := newBench(t)
	send := func(body string) {
		r := httptest.NewRequest("POST", "http://localhost/csp-report", strings.NewReader(body))
		b.ServeHTTP(httptest.NewRecorder(), r)
	}
	send(`{"csp-report":{"effective-directive":"script-src-elem","blocked-uri":"` + secret + `"}}`)
	send(`{"csp-report":{"violated-directive":"img-src https://x"}}`)
	send(`{"csp-report":{"effective-directive":"` + secret + `"}}`)
	send(`not JSON`)
	got := b.Reports()
	if len(got) != 3 || got["script-src-elem"] != 1 || got["img-src"] != 1 || got["other"] != 2 || strings.Contains(b.log.String(), secret) {
		t.Errorf("counted %v, logged %s", got, b.log.String())
	}
}

func (b *bench) clock() time.Time { return b.now }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
