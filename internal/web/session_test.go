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
	w := out.get("/lead?x=1")
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/sign-in?to=%2Flead%3Fx%3D1" {
		t.Fatalf("somebody who is not signed in is sent to %q", to)
	}
	w = out.get(w.Header().Get("Location") + "&role=LEAD")
	if to := w.Header().Get("Location"); to != "/lead?x=1" {
		t.Errorf("signed in, they come to %q", to)
	}
	page := out.get("/lead").Body.String()
	for _, want := range []string{"A. Officer", "Sign out", "You are signed in until 9:30pm"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if len(out.cookies) != 1 || strings.Contains(out.cookies["shop-session"].Value, "staff") || len(out.cookies["shop-session"].Value) < 26 {
		t.Errorf("the cookies are %v", out.cookies)
	}
	out.do("POST", "/sign-out", url.Values{})
	if w := out.get("/"); w.Code != http.StatusSeeOther {
		t.Errorf("signed out, the page answers %d", w.Code)
	}
}

func TestWhereSigningInLeads(t *testing.T) {
	b := newBench(t)
	for to, want := range map[string]string{
		"/lead": "/lead", "/lead?a=b": "/lead?a=b", "": "/", "//evil.example": "/", "https://evil.example/": "/", "javascript:alert(1)": "/",
		`/\evil.example`: "/", "evil": "/", "/%5cevil.example": "/", "///evil.example": "/", "https:evil.example": "/", "\thttps://evil.example": "/",
	} {
		if got := b.browser(t).get("/sign-in?to=" + url.QueryEscape(to)).Header().Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	signedIn := func(want bool, when string) {
		t.Helper()
		if got := in.get("/").Code == http.StatusOK; got != want {
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
	w := in.do("POST", "/name", url.Values{"name": {"X"}})
	if w.Code != http.StatusUnauthorized || b.saved != "" || !strings.Contains(w.Body.String(), "has to be written again") {
		t.Errorf("answered by %d, saved %q", w.Code, b.saved)
	}
}

func TestSigningInChangesTheNumber(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	before := in.cookies["shop-session"]
	in.signIn("LEAD")
	if in.cookies["shop-session"].Value == before.Value {
		t.Error("the number is the same")
	}
	old := b.browser(t)
	old.cookies[before.Name] = before
	if old.get("/").Code == http.StatusOK {
		t.Error("the old number still signs in")
	}
	forged := b.browser(t)
	for _, value := range []string{"", "A", strings.Repeat("A", 26), strings.ToLower(before.Value)} {
		forged.cookies["shop-session"] = &http.Cookie{Name: "shop-session", Value: value}
		if forged.get("/").Code == http.StatusOK {
			t.Errorf("%q signs in", value)
		}
	}
}

// Strangers on their way to a sign-in are many, not endless, and do not keep out those who work.
func TestStrangersDoNotFillTheHouse(t *testing.T) {
	b := newBench(t, func(c *web.Config) {
		c.Pages = append(c.Pages, web.Page{Path: "/begin", Name: "web.day", Open: true, Get: func(r *web.Request) (web.Response, error) {
			return web.SeeOther("/sign-in"), r.Keep("state", "x")
		}})
	})
	for range 2000 {
		b.browser(t).get("/begin")
	}
	if w := b.browser(t).get("/begin"); w.Code != http.StatusTooManyRequests {
		t.Errorf("one stranger too many is answered by %d", w.Code)
	}
	b.browser(t).signIn()
	b.now = b.now.Add(16 * time.Minute)
	if w := b.browser(t).get("/begin"); w.Code != http.StatusSeeOther {
		t.Errorf("when the others are gone, a stranger is answered by %d", w.Code)
	}
}

func TestNoticesAreSaidOnce(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	in.do("POST", "/name", url.Values{"name": {"X"}})
	if page := in.get("/name").Body.String(); !strings.Contains(page, "govuk-notification-banner--success") {
		t.Error("the notice is not on the next page")
	}
	if page := in.get("/name").Body.String(); strings.Contains(page, "govuk-notification-banner") {
		t.Error("the notice is said again")
	}
}

func TestLanguages(t *testing.T) {
	b := newBench(t)
	in := b.browser(t)
	in.header.Set("Accept-Language", "fr, cy;q=0.5")
	if page := in.get("/open").Body.String(); !strings.Contains(page, `lang="cy"`) || !strings.Contains(page, "Neidio") {
		t.Error("a Welsh browser gets no Welsh page")
	}
	w := in.get("/open?lang=en&a=b")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/open?a=b" || in.cookies["shop-language"].Value != "en" {
		t.Errorf("changing the language is answered by %d to %q", w.Code, w.Header().Get("Location"))
	}
	if page := in.get("/open").Body.String(); !strings.Contains(page, `lang="en"`) || !strings.Contains(page, "Skip to main content") {
		t.Error("what was chosen is not what is shown")
	}
	in.get(`/open?lang="><script>`)
	if in.cookies["shop-language"].Value != "en" {
		t.Error("a language that is none is kept")
	}
}
