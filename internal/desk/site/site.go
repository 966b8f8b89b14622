// Package site is the desk in a browser: its pages on the shell of package web.
//
// pages.go declares every page, with who may see it: the shell refuses everybody else before a handler runs, and the
// desk's own methods, which the handlers call as whoever is signed in, ask again. A page shows what those methods
// return and keeps nothing itself. It never tells anybody what a team does beyond what the desk itself may know.
package site

import (
	"embed"
	"io/fs"
	"time"

	"postern/internal/desk"
	"postern/internal/notices"
	"postern/internal/signin"
	"postern/internal/web"
)

//go:embed pages/*.html
var files embed.FS

// site is what the pages are made from.
type site struct {
	desk *desk.Desk
	now  func() time.Time
}

// New makes the site of a desk. The shell has what all sites have: names, look, sign-in, clock and log.
func New(d *desk.Desk, shell web.Config) (*web.Site, error) {
	templates, err := fs.Sub(files, "pages")
	if err != nil {
		return nil, err
	}
	s := &site{desk: d, now: shell.Now}
	shell.Service, shell.Templates, shell.Navigation = "desk.service", templates, navigation()
	shell.Pages = append(shell.Pages, signin.Acting(web.Instead(s.pages(), "AMBIGUOUS", s.which))...)
	notices.Add(&shell, notices.Desk)
	shell.Footer = append([]web.Link{{Text: "case.tonight", Href: "/tonight", Roles: Roles()}}, shell.Footer...)
	return web.New(shell)
}

// Roles are the roles at a desk, by their short codes: of several that somebody has, the first is the one they mostly act in.
func Roles() []string {
	return []string{receptionOfficer, resettlement, safeguardingLead, publicProtection, orderlyOfficer, dutyGovernor}
}
