package site

import "postern/internal/web"

// The roles at an inbox, for Page.Roles and Link.Roles.
const (
	dutyWorker  = "DUTY_WORKER"
	teamManager = "TEAM_MANAGER"
)

// pages is every page of the inbox, and the one place where a page is declared: its path, its name, which is also the id
// of its title and the event of its being seen, who may see it, and what it does. Without Roles it is for everybody with
// a role at this inbox.
func (s *site) pages() []web.Page {
	return []web.Page{
		{Path: "/", Name: "inbox.home", Get: s.home},
		{Path: "/notifications/{reference}", Name: "inbox.notification", Get: s.show, Post: s.answerStop},
	}
}

// navigation is what stands under the name of the service.
func navigation() []web.Link {
	return []web.Link{
		{Text: "inbox.home", Href: "/"},
	}
}
