// Package signintest opens a site in tests as somebody, and walks every page of a site with every role.
//
// Walk takes what a page should do from its declaration alone: a page that is declared is walked, and nothing has to be
// added for it. What it does not judge is whether the declaration is right for the people concerned.
package signintest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/signin"
	"postern/internal/web"
	"postern/internal/web/webtest"
)

// Shell is what all sites have, in a trial: one persona a role, whose id is the role, and one called ALL with all of them.
func Shell(now func() time.Time, log *slog.Logger, roles []string) web.Config {
	personas := []signin.Persona{{ID: "ALL", Name: "Everybody Example", Roles: roles}}
	for _, role := range roles {
		personas = append(personas, signin.Persona{ID: role, Name: "Robin Example", Roles: []string{role}})
	}
	return web.Config{Name: "test", SignIn: signin.Path, Pages: signin.Trial(personas).Pages(), Banner: signin.TrialBanner, Now: now, Log: log}
}

// As opens a browser at a site that Shell is in, signed in as the persona of a role, or ALL.
func As(t testing.TB, site http.Handler, role string) *webtest.Browser {
	t.Helper()
	b := webtest.Open(t, site)
	if p := b.Get(signin.Path).Submit(url.Values{"who": {role}}); p.Status != http.StatusSeeOther {
		t.Fatalf("signing in as %s answered %d", role, p.Status)
	}
	return b
}

// placeholder is a part of a path that a page fills in.
var placeholder = regexp.MustCompile(`\{[^}$]+\}`)

// Walk asks for every page of a site and sends it an empty form, as each role and as nobody, and returns where a page
// let in whom its declaration does not name, turned away whom it names, or broke. References are filled with one that
// nobody has.
func Walk(t testing.TB, site *web.Site, roles []string) (findings []string) {
	t.Helper()
	say := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	for _, page := range site.Pages() {
		for _, role := range page.Roles {
			if !slices.Contains(roles, role) {
				say("%s is for %s, and nobody has that role", page.Name, role)
			}
		}
		path := strings.TrimSuffix(placeholder.ReplaceAllString(page.Path, "PN-0000-0000"), "{$}")
		for _, role := range append([]string{""}, roles...) {
			for method, handler := range map[string]web.Handler{http.MethodGet: page.Get, http.MethodPost: page.Post} {
				if handler == nil {
					continue
				}
				b := webtest.Open(t, site)
				if role != "" {
					b = As(t, site, role)
				}
				var form url.Values
				if method == http.MethodPost {
					form = url.Values{}
				}
				got := b.Do(method, path, form)
				if wrong := judge(page, role, method, got); wrong != "" {
					say("%s %s (%s) as %q answered %d: %s", method, page.Path, page.Name, role, got.Status, wrong)
				}
			}
		}
	}
	return findings
}

// judge says what is wrong with an answer, nothing when nothing is.
func judge(p web.Page, role, method string, got *webtest.Page) string {
	toSignIn := strings.HasPrefix(got.Header.Get("Location"), signin.Path+"?")
	refused := got.Status == http.StatusForbidden || got.Status == http.StatusUnauthorized || toSignIn
	allowed := p.Open || role != "" && p.Allows(web.Person{Roles: []string{role}})
	switch {
	case allowed && refused:
		return "it is theirs"
	case allowed && got.Status >= http.StatusInternalServerError:
		return "it broke"
	case allowed:
		return ""
	case role != "" && got.Status != http.StatusForbidden:
		return "it is not theirs, and they must be told so"
	case role == "" && method == http.MethodGet && !toSignIn:
		return "nobody is signed in, and the way in must be shown"
	case role == "" && method == http.MethodPost && got.Status != http.StatusUnauthorized:
		return "nobody is signed in, and what was sent must be refused"
	}
	return ""
}
