package site

import "postern/internal/web"

// The roles at a desk, for Page.Roles and Link.Roles.
const (
	receptionOfficer = "RECEPTION_OFFICER"
	resettlement     = "RESETTLEMENT"
	publicProtection = "PUBLIC_PROTECTION"
	orderlyOfficer   = "ORDERLY_OFFICER"
	dutyGovernor     = "DUTY_GOVERNOR"
	safeguardingLead = "SAFEGUARDING_LEAD"
)

// pages is every page of the desk, and the one place where a page is declared: its path, its name, which is also the id
// of its title and the event of its being seen, who may see it, and what it does. Without Roles it is for everybody with
// a role at this desk.
func (s *site) pages() []web.Page {
	return []web.Page{
		{Path: "/", Name: "desk.home", Get: s.home},
		{Path: "/drafts", Name: "desk.begin", Roles: fillsIn, Post: s.begin},
		{Path: "/drafts/{draft}", Name: "desk.tasks", Roles: fillsIn, Get: s.tasks},
		s.page(s.child()), s.page(s.lives()), s.page(s.carer()), s.page(s.safety()), s.page(s.more()), s.page(s.parent()), s.page(s.basis()),
		{Path: "/drafts/{draft}/children/{child}/remove", Name: "fill.remove_child", Roles: fillsIn, Get: s.removal, Post: s.remove},
		{Path: "/drafts/{draft}/check", Name: "fill.check", Roles: fillsIn, Get: s.check, Post: s.send},
		{Path: "/drafts/{draft}/sent", Name: "fill.sent", Roles: fillsIn, Get: s.sent},
		{Path: "/notifications/{reference}/slip", Name: "fill.slip", Roles: fillsIn, Get: s.slip},
		{Path: "/drafts/{draft}/drop", Name: "desk.drop", Roles: fillsIn, Get: s.dropping, Post: s.drop},
		s.page(s.tonight()), s.page(s.person()), s.page(s.children()), s.page(s.permission()), s.page(s.adjust()),
		{Path: "/drafts/{draft}/outcome", Name: "desk.outcome", Roles: fillsIn, Get: s.outcome, Post: s.record},
		{Path: "/drafts/{draft}/recorded", Name: "desk.recorded_title", Roles: fillsIn, Get: s.recorded},
		{Path: "/arrivals", Name: "desk.arrivals", Roles: fillsIn, Get: s.arrivals},
		{Path: "/explain", Name: "desk.explain", Roles: fillsIn, Get: s.explain},
		{Path: "/practice", Name: "desk.practise", Roles: fillsIn, Get: s.practise},
		{Path: "/drafts/{draft}/numbers", Name: "desk.numbers", Roles: fillsIn, Get: s.numbers},
		{Path: "/tonight", Name: "case.tonight", Get: s.everywhere},
		{Path: "/concern", Name: "case.concern", Roles: fillsIn, Get: s.concern, Post: s.beginConcern},
		s.page(s.urgency()), s.page(s.urgentCalls()), s.page(s.authorised()), s.page(s.sought()),
		{Path: "/notifications", Name: "case.list", Get: s.notifications, Post: s.find},
		{Path: "/notifications.csv", Name: "case.csv", Get: s.notificationsCSV},
		{Path: "/notifications/{reference}", Name: "case.notification", Get: s.notification},
		{Path: "/notifications/{reference}/withdraw", Name: "case.withdraw", Get: s.withdraw, Post: s.doWithdraw},
		{Path: "/notifications/{reference}/withdrawn", Name: "case.withdrawn", Get: s.withdrawn},
		{Path: "/notifications/{reference}/correct", Name: "case.correct", Roles: fillsIn, Post: s.correct},
		{Path: "/notifications/{reference}/call", Name: "case.call", Get: s.call, Post: s.doCall},
		{Path: "/notifications/{reference}/request", Name: "case.request", Get: s.request},
		{Path: "/notifications/{reference}/close-manual", Name: "case.close_manual", Get: s.closeManual, Post: s.doCloseManual},
		{Path: "/withdraw", Name: "case.by_slip", Get: s.withdrawBySlip, Post: s.doWithdrawBySlip},
		{Path: "/decisions", Name: "case.decisions", Roles: []string{safeguardingLead}, Get: s.decisions},
		{Path: "/notifications/{reference}/consider", Name: "case.consider", Roles: []string{safeguardingLead}, Get: s.consider, Post: s.doConsider},
		{Path: "/notifications/{reference}/review", Name: "case.review", Roles: []string{safeguardingLead}, Get: s.review, Post: s.doReview},
		{Path: "/notifications/{reference}/moved", Name: "case.moved", Roles: fillsIn, Get: s.move, Post: s.doMove},
		{Path: "/notifications/{reference}/objections", Name: "case.objections", Roles: []string{safeguardingLead}, Post: s.readObjections},
		{Path: "/protection", Name: "case.protection", Roles: []string{publicProtection}, Get: s.protection},
		{Path: "/protection/{reference}", Name: "case.gate", Roles: []string{publicProtection}, Get: s.gate, Post: s.setGate},
	}
}

// navigation is what stands under the name of the service.
func navigation() []web.Link {
	return []web.Link{
		{Text: "desk.home", Href: "/"},
		{Text: "desk.arrivals", Href: "/arrivals", Roles: fillsIn},
		{Text: "case.list", Href: "/notifications"},
		{Text: "case.concern", Href: "/concern", Roles: fillsIn},
		{Text: "case.decisions", Href: "/decisions", Roles: []string{safeguardingLead}},
		{Text: "case.protection", Href: "/protection", Roles: []string{publicProtection}},
	}
}
