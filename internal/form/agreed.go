package form

import (
	"fmt"
	"slices"

	"postern/internal/consent"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// consent checks the consent of a form that describes children.
func (c *checker) consent() {
	a := c.form.GetConsent()
	if a == nil && c.withoutConsent() {
		return
	}
	if a == nil {
		c.add("consent", "form.consent_missing")
		return
	}
	switch a.GetState() {
	case posternv1.ConsentState_CONSENT_STATE_UNSPECIFIED:
		c.add("consent.state", "form.consent_state", "answers", answers(a.GetState().Descriptor()))
	case posternv1.ConsentState_CONSENT_STATE_DECLINED:
		if c.withoutConsent() {
			break // the person said no and somebody with the right to decided all the same
		}
		c.add("consent.state", "form.consent_declined")
	case posternv1.ConsentState_CONSENT_STATE_GIVEN:
		c.given(a)
	}
	c.consentDetails(a)
}

// given checks what a consent must say for anybody to know what was agreed, by whom and when.
func (c *checker) given(a *posternv1.Consent) {
	missing := c.missing("consent.")
	missing(a.GetUnderstood() == posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_UNSPECIFIED, "understood", "form.understood")
	missing(a.GetGiveTime() == nil, "give_time", "form.give_time")
	missing(a.GetMethod() == posternv1.ConsentMethod_CONSENT_METHOD_UNSPECIFIED, "method", "form.consent_method", "answers", answers(a.GetMethod().Descriptor()))
	missing(len(a.GetChildren()) == 0, "children", "form.consent_children")
	missing(len(a.GetSections()) == 0, "sections", "form.consent_sections")
	missing(len(a.GetAuthorities()) == 0 && !a.GetFollowsChild(), "authorities", "form.consent_authorities")
	missing(a.GetJurisdiction() == "", "jurisdiction", "form.jurisdiction_missing")
}

// consentDetails checks whatever a consent says, in any state.
func (c *checker) consentDetails(a *posternv1.Consent) {
	c.uuid("consent.id", a.GetId())
	if j := a.GetJurisdiction(); j != "" && j != "GB-ENG" && j != "GB-WLS" {
		c.add("consent.jurisdiction", "form.jurisdiction")
	}
	seen := map[uint32]bool{}
	for i, n := range a.GetChildren() {
		c.childNumber(fmt.Sprintf("consent.children[%d]", i), n, seen)
	}
	for i, s := range a.GetSections() {
		c.consentSection(fmt.Sprintf("consent.sections[%d]", i), s, seen)
	}
	for i, code := range a.GetAuthorities() {
		c.authority(fmt.Sprintf("consent.authorities[%d]", i), code)
	}
	c.language("consent.notice.language", a.GetNotice().GetLanguage())
	if a.GetExpireTime() != nil && a.GetGiveTime() != nil && !consent.Expiry(a).After(a.GetGiveTime().AsTime()) {
		c.add("consent.expire_time", "form.consent_ends")
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
				c.add(path, "form.child_number")
			case !children[uint32(n)]:
				c.add(path, "form.not_about_child")
			}
		}
	}
	switch {
	case !known:
		c.add(path, "form.no_section")
	case s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT:
		c.add(path, "form.urgent_consented")
	}
}

func (c *checker) withdrawal(w *posternv1.ConsentWithdrawal) {
	if w == nil {
		return
	}
	if w.GetWithdrawTime() == nil {
		c.add("consent.withdrawal.withdraw_time", "form.withdraw_time")
	}
	if w.GetMethod() == posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_UNSPECIFIED {
		c.add("consent.withdrawal.method", "form.withdraw_method", "answers", answers(w.GetMethod().Descriptor()))
	}
	for i, p := range w.GetPaths() {
		_, known := section.Lookup(p)
		n, ofChild := section.ChildOf(p)
		if whole, ok := section.ChildOf(p + "/home"); ok {
			n, ofChild, known = whole, true, true
		}
		if !known || ofChild && n > len(c.form.GetChildren()) {
			c.add(fmt.Sprintf("consent.withdrawal.paths[%d]", i), "form.withdraw_path")
		}
	}
}

// special reports whether the form shares data of a special category: that a child needs help with health or a
// disability, or is not born yet.
func (c *checker) special() bool {
	f := c.form
	for i, child := range f.GetChildren() {
		goes := func(name string) bool {
			path := fmt.Sprintf("child/%d/%s", i+1, name)
			switch f.GetRoute() {
			case posternv1.Route_ROUTE_URGENT:
				return name != "needs" // which helps nobody tonight
			case posternv1.Route_ROUTE_DUTY:
				return slices.Contains(f.GetConsideration().GetPaths(), path)
			}
			return consent.Covers(f.GetConsent(), path)
		}
		health := slices.ContainsFunc(child.GetNeeds().GetCodes(), func(n posternv1.Need) bool {
			return n == posternv1.Need_NEED_HEALTH || n == posternv1.Need_NEED_DISABILITY
		})
		if health && goes("needs") || child.GetIdentity().GetDueDate() != "" && goes("identity") {
			return true
		}
	}
	return false
}
