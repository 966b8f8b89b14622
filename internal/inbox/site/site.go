// Package site is the inbox in a browser: its pages on the shell of package web.
//
// pages.go declares every page, with who may see it: the shell refuses everybody else before a handler runs, and the
// inbox's own methods, which the handlers call as whoever is signed in, ask again. A page shows what those methods
// return and keeps nothing itself. It shows a team what consent and policy let through, and says "not shared" of the rest.
package site

import (
	"embed"
	"io/fs"
	"time"

	"postern/internal/inbox"
	"postern/internal/notices"
	"postern/internal/signin"
	"postern/internal/web"
)

//go:embed pages/*.html
var files embed.FS

// site is what the pages are made from.
type site struct {
	inbox *inbox.Inbox
	zone  *time.Location // of the days and times that are shown
	now   func() time.Time
}

// New makes the site of an inbox. The shell has what all sites have: names, look, sign-in, clock and log.
func New(in *inbox.Inbox, shell web.Config) (*web.Site, error) {
	templates, err := fs.Sub(files, "pages")
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, err
	}
	s := &site{inbox: in, zone: zone, now: shell.Now}
	shell.Service, shell.Templates, shell.Navigation = "inbox.service", templates, navigation()
	shell.Pages = append(shell.Pages, signin.Acting(web.Instead(s.pages(), "AMBIGUOUS", s.which))...)
	notices.Add(&shell, notices.Inbox)
	return web.New(shell)
}

// Roles are the roles at an inbox, by their short codes.
func Roles() []string { return []string{dutyWorker, teamManager} }
