package form

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// withoutConsent reports whether the route rests on something else than the person's consent.
func (c *checker) withoutConsent() bool { return restsOnOther(c.form.GetRoute()) }

func (c *Checked) withoutConsent() bool { return restsOnOther(c.form.GetRoute()) }

func restsOnOther(r posternv1.Route) bool {
	return r == posternv1.Route_ROUTE_URGENT || r == posternv1.Route_ROUTE_DUTY
}

// route checks what the route needs, and that nothing of another route is there.
func (c *checker) route() {
	f := c.form
	if c.withoutConsent() {
		c.oneAuthority()
	}
	switch {
	case f.GetRoute() == posternv1.Route_ROUTE_URGENT:
		c.urgency()
	case f.GetUrgency() != nil:
		c.add("urgency", "form.urgency_elsewhere")
	}
	switch {
	case f.GetRoute() == posternv1.Route_ROUTE_DUTY:
		c.considered()
	case f.GetConsideration() != nil || f.GetConsiderationReasons() != "":
		c.add("consideration", "form.consideration_elsewhere")
	}
}

// oneAuthority keeps a form without consent to one authority: its words and its reasons are about one recipient, and
// would tell each of the others.
func (c *checker) oneAuthority() {
	f := c.form
	if f.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED {
		c.add("route", "form.enquiry_route")
		return
	}
	for i, child := range f.GetChildren() {
		if child.GetAuthority() != f.GetChildren()[0].GetAuthority() {
			c.add(fmt.Sprintf("children[%d].authority", i), "form.one_authority")
		}
	}
}

// urgency checks the urgent section: why it cannot wait, who said so, who authorised it. A call need not have been made
// yet: policy waits for it.
func (c *checker) urgency() {
	u := c.form.GetUrgency()
	if !c.section("urgency") {
		c.add("urgency", "form.urgency_missing")
		return
	}
	missing := c.missing("urgency.")
	missing(u.GetReason() == posternv1.UrgencyReason_URGENCY_REASON_UNSPECIFIED, "reason", "form.urgency_reason", "answers", answers(u.GetReason().Descriptor()))
	missing(blank(u.GetWhatWasSaid()), "what_was_said", "form.what_was_said")
	missing(blank(u.GetSaidBy()), "said_by", "form.said_by")
	missing(blank(u.GetAuthorisedBy().GetStaffId()), "authorised_by.staff_id", "form.authorised_staff")
	missing(!slices.Contains([]posternv1.StaffRole{posternv1.StaffRole_STAFF_ROLE_ORDERLY_OFFICER, posternv1.StaffRole_STAFF_ROLE_DUTY_GOVERNOR,
		posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD}, u.GetAuthorisedBy().GetRole()), "authorised_by.role", "form.authorised_role")
	missing(u.GetConsentSought() == posternv1.Answer_ANSWER_UNSPECIFIED, "consent_sought", "form.consent_sought")
	missing(u.GetConsentSought() == posternv1.Answer_ANSWER_NO && blank(u.GetConsentNotSoughtReason()), "consent_not_sought_reason", "form.consent_not_sought")
	missing(u.GetParentTold() == posternv1.Answer_ANSWER_UNSPECIFIED, "parent_told", "form.parent_told")
	missing(u.GetParentTold() == posternv1.Answer_ANSWER_NO && blank(u.GetParentNotToldReason()), "parent_not_told_reason", "form.parent_not_told")
	for i, call := range u.GetCalls() {
		c.urgencyCall(fmt.Sprintf("urgency.calls[%d].", i), call)
	}
}

// shortNumbers are the numbers of the emergency services and of the police, too short for the shape of the others.
var shortNumbers = []string{"999", "112", "101", "111"}

func (c *checker) urgencyCall(at string, call *posternv1.UrgencyCall) {
	missing := c.missing(at)
	number := phoneMarks.Replace(call.GetNumber())
	missing(!phoneShape.MatchString(number) && !slices.Contains(shortNumbers, number), "number", "form.call_number")
	missing(call.GetCallTime() == nil, "call_time", "form.call_time")
	missing(call.GetResult() == posternv1.CallResult_CALL_RESULT_UNSPECIFIED, "result", "form.call_result", "answers", answers(call.GetResult().Descriptor()))
	missing(call.GetResult() == posternv1.CallResult_CALL_RESULT_ANSWERED && blank(call.GetWho()), "who", "form.call_who")
}

// considered checks what a person decided on the duty to share. Whether it is enough to share on is for policy. A form that puts
// another right may leave it open: then it is considered anew, and nothing goes until it is.
func (c *checker) considered() {
	d := c.form.GetConsideration()
	if d == nil && c.form.GetSupersedes() != "" && blank(c.form.GetConsiderationReasons()) {
		return
	}
	if d == nil {
		c.add("consideration", "form.consideration_missing")
		return
	}
	missing := c.missing("consideration.")
	missing(d.GetLaw() == posternv1.ConsiderationLaw_CONSIDERATION_LAW_UNSPECIFIED, "law", "form.consider_law", "answers", answers(d.GetLaw().Descriptor()))
	missing(d.GetRelevant() != posternv1.Answer_ANSWER_YES && d.GetRelevant() != posternv1.Answer_ANSWER_NO, "relevant", "form.consider_relevant")
	missing(d.GetHelpsFunction() == "", "helps_function", "form.consider_function")
	c.code("consideration.helps_function", d.GetHelpsFunction(), "ca1989.s17")
	missing(d.GetParentTold() != posternv1.Answer_ANSWER_YES && d.GetParentTold() != posternv1.Answer_ANSWER_NO, "parent_told", "form.parent_told")
	missing(blank(d.GetStaffId()), "staff_id", "form.consider_staff")
	missing(d.GetRole() != posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, "role", "form.consider_role")
	missing(d.GetConsiderTime() == nil, "consider_time", "form.consider_time")
	missing(len(d.GetReasonsSha256()) > 0, "reasons_sha256", "form.consider_digest")
	missing(len(d.GetNotMoreDetrimental()) > 0 && len(d.GetPaths()) == 0, "paths", "form.consider_paths")
	if blank(c.form.GetConsiderationReasons()) {
		c.add("consideration_reasons", "form.consider_reasons")
	}
	seen := map[uint32]bool{}
	for i, n := range d.GetNotMoreDetrimental() {
		c.childNumber(fmt.Sprintf("consideration.not_more_detrimental[%d]", i), n, seen)
	}
	for i, entry := range d.GetPaths() {
		c.consideredPath(fmt.Sprintf("consideration.paths[%d]", i), entry, seen)
	}
}

// consideredPath checks one section that a person decided to share, given the children of whom they may be told.
func (c *checker) consideredPath(path, entry string, children map[uint32]bool) {
	s, known := section.Lookup(entry)
	n, ofChild := section.ChildOf(entry)
	switch {
	case !known || n > len(c.form.GetChildren()):
		c.add(path, "form.consider_section")
	case s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT:
		c.add(path, "form.consider_urgent")
	case ofChild && !children[uint32(n)]:
		c.add(path, "form.consider_child")
	}
}

// permits reports whether the route lets a section of the part go: on consent what it covers, without it the sections of
// an urgent message, or those that a person decided to share.
func (p *Part) permits(path string) bool {
	s, _ := section.Lookup(path)
	switch p.Route {
	case posternv1.Route_ROUTE_URGENT:
		return Urgently(s, p.content.GetUrgency().GetReason())
	case posternv1.Route_ROUTE_DUTY:
		return slices.Contains(p.content.GetConsideration().GetPaths(), path)
	default:
		return consent.Covers(p.Consent, path)
	}
}

// Urgently reports whether a section goes on the urgent route, for that reason: the school only to have a child collected.
func Urgently(s section.Section, reason posternv1.UrgencyReason) bool {
	return s.Urgent && (s.Name != "school" || reason == posternv1.UrgencyReason_URGENCY_REASON_COLLECT_FROM_SCHOOL)
}

// projectConsideration is a consideration with the numbers of a part, without children and sections of other parts.
func projectConsideration(d *posternv1.Consideration, renumbered map[int]int) *posternv1.Consideration {
	if d == nil {
		return nil
	}
	out := proto.CloneOf(d)
	out.NotMoreDetrimental, out.Paths = nil, nil
	for _, n := range d.GetNotMoreDetrimental() {
		if here, ok := renumbered[int(n)]; ok {
			out.NotMoreDetrimental = append(out.NotMoreDetrimental, uint32(here))
		}
	}
	for _, path := range d.GetPaths() {
		s, _ := section.Lookup(path)
		n, ofChild := section.ChildOf(path)
		if here, ok := renumbered[n]; ok || !ofChild {
			out.Paths = append(out.Paths, s.Path(here))
		}
	}
	return out
}

// withoutConsent fills in what the hub may know of a route that rests on something else than consent: codes, and the
// digest of reasons whose words stay on the desk.
func withoutConsent(content *posternv1.Form, hub *posternv1.HubFacts) {
	switch content.GetRoute() {
	case posternv1.Route_ROUTE_URGENT:
		hub.UrgencyReason = content.GetUrgency().GetReason()
		hub.AuthorisedRole = content.GetUrgency().GetAuthorisedBy().GetRole()
	case posternv1.Route_ROUTE_DUTY:
		if content.GetConsideration() == nil {
			return // nobody has considered it yet
		}
		hub.Consideration = proto.CloneOf(content.GetConsideration())
		sum := sha256.Sum256([]byte(content.GetConsiderationReasons()))
		hub.Consideration.ReasonsSha256 = sum[:]
	}
}

// callFacts are the calls as policy sees them: those of the form, and those of the urgent section without number, name
// and words. A call that is told in both places is one call.
func callFacts(content *posternv1.Form) []*posternv1.Call {
	calls := proto.CloneOf(content).GetCalls()
	for _, u := range content.GetUrgency().GetCalls() {
		call := &posternv1.Call{CallTime: proto.CloneOf(u.GetCallTime()), Result: u.GetResult()}
		if !slices.ContainsFunc(calls, func(other *posternv1.Call) bool {
			return proto.Equal(other.GetCallTime(), call.GetCallTime()) && other.GetResult() == call.GetResult()
		}) {
			calls = append(calls, call)
		}
	}
	return calls
}

// childNumber checks a child's number in a list that names each once, and notes it as seen.
func (c *checker) childNumber(path string, n uint32, seen map[uint32]bool) {
	switch {
	case n == 0 || int(n) > len(c.form.GetChildren()):
		c.add(path, "form.child_number")
	case seen[n]:
		c.add(path, "form.child_twice")
	}
	seen[n] = true
}
