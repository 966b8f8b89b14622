package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/web"
)

func TestSigningIn(t *testing.T) {
	b := newBench(t)
	out := b.browser(t)
	w := out.Get("/lead?x=1")
	if to := w.Header.Get("Location"); w.Status != http.StatusSeeOther || to != "/sign-in?to=%2Flead%3Fx%3D1" {
		t.Fatalf("somebody who is not signed in is sent to %q", to)
	}
	w = out.Get(w.Header.Get("Location") + "&role=LEAD")
	if to := w.Header.Get("Location"); to != "/lead?x=1" {
		t.Errorf("signed in, they come to %q", to)
	}
	page := out.Get("/lead").Body
	for _, want := range []string{"A. Officer", "Sign out", "You are signed in until 9:30pm"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if len(out.Cookies()) != 1 || strings.Contains(out.Cookies()["shop-session"].Value, "staff") || len(out.Cookies()["shop-session"].Value) < 26 {
		t.Errorf("the cookies are %v", out.Cookies())
	}
	out.Do("POST", "/sign-out", url.Values{})
	if last := b.seen[len(b.seen)-1]; last.Page != "web.sign_out" || last.Person != "staff-7" {
		t.Errorf("that somebody signed out is recorded as %+v", last)
	}
	if w := out.Get("/"); w.Status != http.StatusSeeOther {
		t.Errorf("signed out, the page answers %d", w.Status)
	}
}

func TestWhereSigningInLeads(t *testing.T) {
	b := newBench(t)
	for to, want := range map[string]string{
		"/lead": "/lead", "/lead?a=b": "/lead?a=b", "": "/", "//evil.example": "/", "https://evil.example/": "/", "javascript:alert(1)": "/",
		`/\evil.example`: "/", "evil": "/", "/%5cevil.example": "/", "///evil.example": "/", "https:evil.example": "/", "\thttps://evil.example": "/", "%2fevil": "/",
	} {
		if got := b.browser(t).Get("/sign-in?to=" + url.QueryEscape(to)).Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

// Wherever somebody says that signing in should lead, it is a page of this site.
func FuzzWhereSigningInLeads(f *testing.F) {
	for _, to := range []string{"/lead?a=b", "//evil.example", `/\evil.example`, "https:evil.example", "/%2f%2fevil.example", "/a\n", "%2f0"} {
		f.Add(to)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, to string) {
		got := b.browser(t).Get("/sign-in?to=" + url.QueryEscape(to)).Header.Get("Location")
		b.EndSessions(func(web.Person) bool { return true })
		at, err := url.Parse(got)
		if err != nil || at.Host != "" || at.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.HasPrefix(got, `/\`) {
			t.Errorf("%q leads to %q, %v", to, got, err)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	signedIn := func(want bool, when string) {
		t.Helper()
		if got := in.Get("/").Status == http.StatusOK; got != want {
			t.Errorf("%s: signed in is %v", when, got)
		}
	}
	for range 23 { // half-hourly, but for a second: each page keeps the session
		b.now = b.now.Add(30*time.Minute - time.Second)
		signedIn(true, "in use")
	}
	b.now = b.now.Add(30 * time.Minute)
	signedIn(false, "after half an hour of nothing")

	in.signIn()
	for range 24 {
		b.now = b.now.Add(29 * time.Minute)
		signedIn(true, "in use")
	}
	b.now = b.now.Add(24 * time.Minute)
	signedIn(false, "after twelve hours, whatever happened")

	in.signIn()
	if n := b.EndSessions(func(p web.Person) bool { return p.Session == "s1" }); n != 1 {
		t.Errorf("%d sessions were ended", n)
	}
	signedIn(false, "signed out elsewhere")
}

// What somebody sends after the end of their session is not done, and they are told.
func TestAFormAfterTheEnd(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	b.now = b.now.Add(time.Hour)
	w := in.Do("POST", "/name", url.Values{"name": {"X"}})
	if w.Status != http.StatusUnauthorized || b.saved != "" || !strings.Contains(w.Body, "has to be written again") {
		t.Errorf("answered by %d, saved %q", w.Status, b.saved)
	}
}

func TestSigningInChangesTheNumber(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	before := in.Cookies()["shop-session"]
	in.signIn("LEAD")
	if in.Cookies()["shop-session"].Value == before.Value {
		t.Error("the number is the same")
	}
	old := b.browser(t)
	old.Cookies()[before.Name] = before
	if old.Get("/").Status == http.StatusOK {
		t.Error("the old number still signs in")
	}
	forged := b.browser(t)
	for _, value := range []string{"", "A", strings.Repeat("A", 26), strings.ToLower(before.Value)} {
		forged.Cookies()["shop-session"] = &http.Cookie{Name: "shop-session", Value: value}
		if forged.Get("/").Status == http.StatusOK {
			t.Errorf("%q signs in", value)
		}
	}
}

// Strangers on their way to a sign-in are many, not endless. They keep out neither those who work nor the next who begins,
// or anybody could keep everybody from signing in.
func TestStrangersDoNotFillTheHouse(t *testing.T) {
	taken := ""
	b := newBench(t, func(c *web.Config) {
		c.Pages = append(c.Pages, web.Page{Path: "/begin", Name: "web.day", Open: true, Get: func(r *web.Request) (web.Response, error) {
			return web.SeeOther("/sign-in"), r.Keep("state", "x")
		}}, web.Page{Path: "/back", Name: "web.month", Open: true, Get: func(r *web.Request) (web.Response, error) {
			taken, _ = r.Take("state")
			return web.SeeOther("/"), nil
		}})
	})
	first, works := b.browser(t), b.browser(t).signIn()
	first.Get("/begin")
	b.now = b.now.Add(time.Second)
	for range 1999 {
		b.browser(t).Get("/begin")
	}
	b.now = b.now.Add(time.Second)
	next := b.browser(t)
	if w := next.Get("/begin"); w.Status != http.StatusSeeOther {
		t.Fatalf("one more is answered by %d", w.Status)
	}
	if next.Get("/back"); taken != "x" {
		t.Error("the last who began cannot go on")
	}
	if first.Get("/back"); taken != "" {
		t.Error("nobody was forgotten, so there is no end to them")
	}
	if w := works.Get("/"); w.Status != http.StatusOK {
		t.Errorf("somebody who is signed in is answered by %d", w.Status)
	}
}

func TestNoticesAreSaidOnce(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	in.Do("POST", "/name", url.Values{"name": {"X"}})
	if page := in.Get("/name").Body; !strings.Contains(page, "govuk-notification-banner--success") {
		t.Error("the notice is not on the next page")
	}
	if page := in.Get("/name").Body; strings.Contains(page, "govuk-notification-banner") {
		t.Error("the notice is said again")
	}
}

func TestLanguages(t *testing.T) {
	b := newBench(t)
	in := b.browser(t)
	in.Header.Set("Accept-Language", "fr, cy;q=0.5")
	if page := in.Get("/open").Body; !strings.Contains(page, `lang="cy"`) || !strings.Contains(page, "Neidio") {
		t.Error("a Welsh browser gets no Welsh page")
	}
	w := in.Get("/open?lang=en&a=b")
	if w.Status != http.StatusSeeOther || w.Header.Get("Location") != "/open?a=b" || in.Cookies()["shop-language"].Value != "en" {
		t.Errorf("changing the language is answered by %d to %q", w.Status, w.Header.Get("Location"))
	}
	if page := in.Get("/open").Body; !strings.Contains(page, `lang="en"`) || !strings.Contains(page, "Skip to main content") {
		t.Error("what was chosen is not what is shown")
	}
	in.Get(`/open?lang="><script>`)
	if in.Cookies()["shop-language"].Value != "en" {
		t.Error("a language that is none is kept")
	}
}
