package signintest_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/signin"
	"postern/internal/signin/signintest"
	"postern/internal/web"
)

// The walk is worth something only if it finds what is wrong: each of these sites has one mistake.
func TestWalkFindsMistakes(t *testing.T) {
	fine := func(*web.Request) (web.Response, error) { return web.SeeOther("/"), nil }
	for what, c := range map[string]struct {
		page web.Page
		want string
	}{
		"nothing":           {web.Page{Path: "/", Name: "desk.home", Roles: []string{"COOK"}, Get: fine, Post: fine}, ""},
		"a role nobody has": {web.Page{Path: "/", Name: "desk.home", Roles: []string{"COOK", "COK"}, Get: fine}, "nobody has that role"},
		"a handler that refuses whom the page is for": {web.Page{Path: "/x/{reference}", Name: "desk.home", Roles: []string{"COOK"}, Post: func(*web.Request) (web.Response, error) {
			return nil, fault.New(fault.Denied, "WRONG_ROLE", "Not for you.")
		}}, "it is theirs"},
		"a handler that panics": {web.Page{Path: "/", Name: "desk.home", Roles: []string{"COOK"}, Get: func(*web.Request) (web.Response, error) { panic("x") }}, "it broke"},
		"a page that asks to sign in again": {web.Page{Path: "/", Name: "desk.home", Open: true, Get: func(*web.Request) (web.Response, error) {
			return web.SeeOther(signin.Path + "?to=/"), nil
		}}, "it is theirs"},
	} {
		t.Run(what, func(t *testing.T) {
			roles := []string{"COOK", "GARDENER"}
			shell := signintest.Shell(time.Now, slog.New(slog.DiscardHandler), roles)
			shell.Service, shell.Pages = "desk.service", append(shell.Pages, c.page)
			site, err := web.New(shell)
			if err != nil {
				t.Fatal(err)
			}
			findings := signintest.Walk(t, site, roles)
			if c.want == "" && len(findings) > 0 || c.want != "" && (len(findings) == 0 || !strings.Contains(findings[0], c.want)) {
				t.Errorf("found %q, want %q", findings, c.want)
			}
		})
	}
}
