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
		{Path: "/", Name: "inbox.home", Get: s.home, Post: s.assign},
		{Path: "/notifications/{reference}", Name: "inbox.notification", Get: s.show, Post: s.answerStop},
		{Path: "/notifications/{reference}/file/{kind}", Name: "inbox.download", Get: s.download},
		{Path: "/notifications/{reference}/assign", Name: "inbox.given", Get: s.ask(s.givenForm), Post: s.take(s.givenForm, "inbox.assigned_done", s.give)},
		{Path: "/notifications/{reference}/reply", Name: "inbox.reply_page", Get: s.ask(s.replyForm), Post: s.take(s.replyForm, "inbox.reply_done", s.reply)},
		{Path: "/notifications/{reference}/outcome", Name: "inbox.outcome_page", Get: s.ask(s.outcomeForm), Post: s.take(s.outcomeForm, "inbox.saved", s.outcome)},
		{Path: "/notifications/{reference}/told", Name: "inbox.told_page", Get: s.ask(s.toldForm), Post: s.take(s.toldForm, "inbox.saved", s.tell)},
		{Path: "/notifications/{reference}/redirect", Name: "inbox.where", Get: s.where, Post: s.passOn},
		{Path: "/team", Name: "inbox.team", Get: s.team},
		{Path: "/team/settings", Name: "inbox.settings", Roles: []string{teamManager}, Get: s.askSettings, Post: s.takeSettings},
		{Path: "/team/test", Name: "inbox.send_test", Roles: []string{teamManager}, Post: s.sendTest},
	}
}

// navigation is what stands under the name of the service.
func navigation() []web.Link {
	return []web.Link{
		{Text: "inbox.home", Href: "/"},
		{Text: "inbox.team", Href: "/team"},
	}
}
