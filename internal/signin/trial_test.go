package signin_test

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/rpc"
	"postern/internal/signin"
	"postern/internal/signin/signintest"
	"postern/internal/web"
	"postern/internal/web/webtest"
)

// shop is a site in a trial whose one page says who its handler acts as.
func shop(t *testing.T) (*web.Site, *[]rpc.Person) {
	t.Helper()
	var seen []rpc.Person
	shell := signintest.Shell(time.Now, slog.New(slog.DiscardHandler), []string{"COOK", "GARDENER"})
	shell.Service = "desk.service"
	shell.Pages = append(shell.Pages, signin.Acting([]web.Page{{Path: "/", Name: "desk.home", Get: func(r *web.Request) (web.Response, error) {
		p, _ := rpc.LocalPerson(r.Context())
		seen = append(seen, p)
		return web.Message{Text: "signin.signed_out_text"}.View("", 0), nil
	}}})...)
	site, err := web.New(shell)
	if err != nil {
		t.Fatal(err)
	}
	return site, &seen
}

func TestInATrialOneIsWhomOneChooses(t *testing.T) {
	site, seen := shop(t)
	b := webtest.Open(t, site)
	page := b.Get("/?n=1").Follow()
	if !strings.Contains(page.Body, "Nobody here is real") {
		t.Error("the page does not say that this is a trial")
	}
	page = page.Submit(url.Values{"who": {"GARDENER"}}).Follow()
	if page.Status != 200 || len(*seen) != 1 || (*seen)[0].ID != "GARDENER" || (*seen)[0].Roles[0] != "GARDENER" {
		t.Fatalf("the page answered %d and acted as %v", page.Status, *seen)
	}
	if !strings.Contains(page.Body, "Nobody here is real") || !strings.Contains(page.Body, "Robin Example") {
		t.Error("the page does not say that this is a trial, or who one is")
	}
	for name, c := range b.Cookies() {
		if strings.Contains(c.Value, "GARDENER") || strings.Contains(c.Value, "Robin") {
			t.Errorf("the cookie %s says who it is", name)
		}
	}
	old := b.Cookies()["test-session"].Value
	if page = b.Do("POST", signin.OutPath, url.Values{}).Follow(); page.Heading() != "You have signed out" {
		t.Errorf("signing out led to %q", page.Heading())
	}
	if !strings.Contains(page.Body, "/session/forget.svg") {
		t.Error("the browser keeps the pages it holds")
	}
	b.Header.Set("Cookie", "test-session="+old)
	if page = b.Get("/"); page.Status != 303 || len(*seen) != 1 {
		t.Errorf("the session goes on after signing out: %d", page.Status)
	}
}

func TestInATrialOneCannotBeAnybodyElse(t *testing.T) {
	site, _ := shop(t)
	for _, who := range []string{"", "BAKER", "cook"} {
		b := webtest.Open(t, site)
		page := b.Do("POST", signin.Path, url.Values{"who": {who}})
		if page.Status != 422 || len(page.Errors()) != 1 || !strings.HasPrefix(page.Title(), "Error: ") {
			t.Errorf("choosing %q answered %d with %q", who, page.Status, page.Errors())
		}
		if page = b.Get("/"); page.Status != 303 {
			t.Errorf("after choosing %q one is signed in", who)
		}
	}
}

func TestSigningInLeadsOnlyToThisSite(t *testing.T) {
	for _, to := range []string{"https://elsewhere.example/", "//elsewhere.example", `/\elsewhere.example`, "javascript:alert(1)"} {
		site, _ := shop(t)
		page := webtest.Open(t, site).Do("POST", signin.Path+"?to="+url.QueryEscape(to), url.Values{"who": {"COOK"}})
		if page.Header.Get("Location") != "/" {
			t.Errorf("to=%s leads to %s", to, page.Header.Get("Location"))
		}
	}
}

func TestSignInStartsANewSession(t *testing.T) {
	site, _ := shop(t)
	b := signintest.As(t, site, "COOK")
	first := b.Cookies()["test-session"].Value
	b.Get(signin.Path).Submit(url.Values{"who": {"GARDENER"}})
	if second := b.Cookies()["test-session"].Value; second == first {
		t.Error("somebody else goes on with the session of the one before")
	}
	other := webtest.Open(t, site)
	other.Header.Set("Cookie", "test-session="+first)
	if page := other.Get("/"); page.Status != 303 {
		t.Errorf("the session before still answers %d", page.Status)
	}
}
