// Package site is the auditor in a browser: its pages on the shell of package web.
//
// pages.go declares every page, with who may see it: the shell refuses everybody else before a handler runs, and the
// audit's own methods, which the handlers call as whoever is signed in, ask again. A page shows what those methods
// return and keeps nothing itself. No page has a name of a person outside: an auditor never receives one.
package site

import (
	"embed"
	"io/fs"
	"time"

	"postern/internal/auditor"
	"postern/internal/notices"
	"postern/internal/signin"
	"postern/internal/web"
)

//go:embed pages/*.html
var files embed.FS

// site is what the pages are made from.
type site struct {
	audit *auditor.Auditor
	zone  *time.Location // of the days and times that are read and shown
}

// New makes the site of an auditor. The shell has what all sites have: names, look, sign-in, clock and log.
func New(a *auditor.Auditor, shell web.Config) (*web.Site, error) {
	templates, err := fs.Sub(files, "pages")
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, err
	}
	s := &site{audit: a, zone: zone}
	shell.Service, shell.Templates, shell.Navigation = "audit.service", templates, navigation()
	shell.Pages = append(shell.Pages, signin.Acting(s.pages())...)
	notices.Add(&shell, notices.Audit)
	return web.New(shell)
}

// Roles are the roles at an auditor, by their short codes.
func Roles() []string { return []string{anAuditor} }
