package site

import "postern/internal/web"

// The roles at an auditor, for Page.Roles and Link.Roles.
const anAuditor = "AUDITOR"

// pages is every page of the auditor, and the one place where a page is declared: its path, its name, which is also the
// id of its title and the event of its being seen, who may see it, and what it does. Without Roles it is for everybody
// with a role at this auditor.
func (s *site) pages() []web.Page {
	return []web.Page{
		{Path: "/", Name: "audit.home", Get: s.search},
		{Path: "/events/{id}", Name: "audit.event_page", Get: s.event},
		{Path: "/events/{id}/receipt", Name: "audit.receipt", Get: s.receipt},
		{Path: "/coverage", Name: "audit.coverage", Get: s.coverage},
		{Path: "/logs", Name: "audit.logs", Get: s.logs, Post: s.compare},
		{Path: "/access", Name: "audit.access", Get: s.access, Post: s.askAccess},
		{Path: "/export", Name: "audit.export", Get: s.exporting, Post: s.export},
		{Path: "/searches", Name: "audit.searches", Get: s.searches},
		{Path: "/searches/new", Name: "audit.search_new", Get: s.nameSearch, Post: s.saveSearch},
		{Path: "/searches/{id}/delete", Name: "audit.search_delete", Post: s.deleteSearch},
	}
}

// navigation is what stands under the name of the service.
func navigation() []web.Link {
	return []web.Link{
		{Text: "audit.home", Href: "/"},
		{Text: "audit.coverage", Href: "/coverage"},
		{Text: "audit.logs", Href: "/logs"},
		{Text: "audit.access", Href: "/access"},
		{Text: "audit.searches", Href: "/searches"},
	}
}
