package form

import (
	"fmt"

	"postern/internal/consent"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// consent checks the consent of a form that describes children.
func (c *checker) consent() {
	a := c.form.GetConsent()
	if a == nil {
		c.add("consent", "It is not said what the person agreed to.",
			"Record the consent. If the person said no, send no children: use ENQUIRY_OUTCOME_DECLINED.")
		return
	}
	switch a.GetState() {
	case posternv1.ConsentState_CONSENT_STATE_UNSPECIFIED:
		c.add("consent.state", "It is not said whether the person agreed.", "Use one of "+answers(a.GetState().Descriptor())+".")
	case posternv1.ConsentState_CONSENT_STATE_DECLINED:
		c.add("consent.state", "The person said no, so this form is not sent.",
			"Remove the children and the parent and set enquiry to ENQUIRY_OUTCOME_DECLINED; the safeguarding lead then considers what the prison already holds.")
	case posternv1.ConsentState_CONSENT_STATE_GIVEN:
		c.given(a)
	}
	c.consentDetails(a)
}

// given checks what a consent must say for anybody to know what was agreed, by whom and when.
func (c *checker) given(a *posternv1.Consent) {
	missing := func(is bool, path, reason, fix string) {
		if is {
			c.add("consent."+path, reason, fix)
		}
	}
	missing(a.GetUnderstood() == posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_UNSPECIFIED, "understood",
		"It is not said whether the person could say back what they agreed to.", "Ask, then use CONSENT_UNDERSTOOD_YES or CONSENT_UNDERSTOOD_NO.")
	missing(a.GetGiveTime() == nil, "give_time", "It is not said when the person agreed.", "Write the time as in 2026-11-22T18:05:00Z.")
	missing(a.GetMethod() == posternv1.ConsentMethod_CONSENT_METHOD_UNSPECIFIED, "method",
		"It is not said how the person agreed.", "Use one of "+answers(a.GetMethod().Descriptor())+".")
	missing(len(a.GetChildren()) == 0, "children", "It is not said which children the person agreed to tell about.",
		"Give their numbers; the first child of the form is 1.")
	missing(len(a.GetSections()) == 0, "sections", "It is not said what the person agreed to tell.",
		"Name the sections, such as parent/name or child/{n}/home.")
	missing(len(a.GetAuthorities()) == 0 && !a.GetFollowsChild(), "authorities", "It is not said who may be told.",
		"Name the authorities, or set follows_child for the team where the child lives.")
	missing(a.GetJurisdiction() == "", "jurisdiction", "The law under which the person agreed is missing.", "Use GB-ENG or GB-WLS.")
}

// consentDetails checks whatever a consent says, in any state.
func (c *checker) consentDetails(a *posternv1.Consent) {
	c.uuid("consent.id", a.GetId())
	if j := a.GetJurisdiction(); j != "" && j != "GB-ENG" && j != "GB-WLS" {
		c.add("consent.jurisdiction", "Postern works in England and Wales only.", "Use GB-ENG or GB-WLS.")
	}
	seen := map[uint32]bool{}
	for i, n := range a.GetChildren() {
		path := fmt.Sprintf("consent.children[%d]", i)
		switch {
		case n == 0 || int(n) > len(c.form.GetChildren()):
			c.add(path, "There is no child with this number.", "Children count from 1, in the order of the form.")
		case seen[n]:
			c.add(path, "This child is named twice.", "Name each child once.")
		}
		seen[n] = true
	}
	for i, s := range a.GetSections() {
		c.consentSection(fmt.Sprintf("consent.sections[%d]", i), s, seen)
	}
	for i, code := range a.GetAuthorities() {
		c.authority(fmt.Sprintf("consent.authorities[%d]", i), code)
	}
	c.language("consent.notice.language", a.GetNotice().GetLanguage())
	if a.GetExpireTime() != nil && a.GetGiveTime() != nil && !consent.Expiry(a).After(a.GetGiveTime().AsTime()) {
		c.add("consent.expire_time", "The consent ends before it begins.", "Check both times, or leave this one out: a consent then lasts 90 days.")
	}
	c.laterDate("consent.ask_again_date", a.GetAskAgainDate())
	c.withdrawal(a.GetWithdrawal())
}

// consentSection checks one entry of what the person agreed to tell, given the numbers of the children they named.
func (c *checker) consentSection(path, entry string, children map[uint32]bool) {
	s, known := section.ByPattern(entry)
	if !known {
		s, known = section.Lookup(entry)
		if n, ok := section.ChildOf(entry); known && ok {
			switch {
			case n > len(c.form.GetChildren()):
				c.add(path, "There is no child with this number.", "Children count from 1, in the order of the form.")
			case !children[uint32(n)]:
				c.add(path, "The person did not agree to tell about this child.", "Add the child's number to consent.children, or remove the section.")
			}
		}
	}
	switch {
	case !known:
		c.add(path, "There is no such section.", "Use parent/name and the like, child/{n}/home for every child, or child/2/home for one.")
	case s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT:
		c.add(path, "The urgent section goes without consent, by its own route.", "Remove it from the consent.")
	}
}

func (c *checker) withdrawal(w *posternv1.ConsentWithdrawal) {
	if w == nil {
		return
	}
	if w.GetWithdrawTime() == nil {
		c.add("consent.withdrawal.withdraw_time", "It is not said when the person withdrew.", "Write the time as in 2026-11-22T18:05:00Z.")
	}
	if w.GetMethod() == posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_UNSPECIFIED {
		c.add("consent.withdrawal.method", "It is not said how the person withdrew.", "Use one of "+answers(w.GetMethod().Descriptor())+".")
	}
	for i, p := range w.GetPaths() {
		_, known := section.Lookup(p)
		n, ofChild := section.ChildOf(p)
		if whole, ok := section.ChildOf(p + "/home"); ok {
			n, ofChild, known = whole, true, true
		}
		if !known || ofChild && n > len(c.form.GetChildren()) {
			c.add(fmt.Sprintf("consent.withdrawal.paths[%d]", i), "There is no such child or section.",
				"Use child/2 for a child, child/2/home for one section.")
		}
	}
}
