package engine

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"postern/internal/section"
)

// inputs draws inputs that a desk and a directory could give, mostly good enough to be shared: a property that nothing
// is ever shared would hold for the wrong reason.
func inputs() *rapid.Generator[*Input] {
	return rapid.Custom(func(t *rapid.T) *Input {
		in := family()
		rarely := func(label string) bool { return seldom(t, label) }
		mostly := func(label, good string, others ...string) string {
			if !rarely(label) {
				return good
			}
			return rapid.SampledFrom(others).Draw(t, label+" otherwise")
		}
		hours := func(label string) string {
			at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(-48, 24*20).Draw(t, label)) * time.Hour)
			return moment(at)
		}
		in.Statement = mostly("statement", "OFFER", "ENQUIRY", "")
		in.Route = mostly("route", rapid.SampledFrom([]string{"STANDARD", "STANDARD", "URGENT", "DUTY"}).Draw(t, "way"), "", "NEW")
		in.Gate = mostly("gate", "NO_HOLD", "HOLD", "NOT_DONE", "")
		in.AlreadyNotified, in.Redirected = rapid.IntRange(0, 4).Draw(t, "sent before") == 4, rarely("redirected")
		in.FirstSubmitTime = hours("submitted")
		in.Today = mostly("today", "2026-11-23", "2026-09-29")
		in.Enquiry.Outcome = rapid.SampledFrom([]string{"", "CHILDREN", "DECLINED", "NO_CHILDREN", "NOT_ASKED"}).Draw(t, "enquiry")
		in.Caller.Known = !rarely("unknown prison")
		in.Caller.Jurisdiction = mostly("sender's jurisdiction", "GB-ENG", "GB-WLS")
		in.Consent.State = mostly("state", "GIVEN", "DECLINED", "NOT_ASKED", "WITHDRAWN", "")
		in.Consent.Understood = mostly("understood", "YES", "NO", "")
		in.Consent.CapacityConcern, in.Consent.GrantorUnder18 = rarely("capacity"), rarely("under 18")
		in.Consent.ExpireTime = mostly("expiry", hours("expires"), "", "soon", "2026-13-01T00:00:00Z")
		in.Consent.Authorities = []string{mostly("authority", "E06000023", "E10000017")}
		in.Consent.FollowsChild = rarely("follows")
		in.Consent.Children = nil
		for n := 1; n <= 4; n++ {
			if !rarely("child not covered") {
				in.Consent.Children = append(in.Consent.Children, n)
			}
		}
		in.Recipient.Enrolled = !rarely("not enrolled")
		in.Recipient.Jurisdiction = mostly("jurisdiction", "GB-ENG", "GB-WLS", "GB-SCT")
		in.Agreement.InForce = !rarely("no agreement")
		in.Agreement.EndTime = mostly("agreement ends", hours("ends"), "")
		in.Agreement.Parent, in.Agreement.Child = names(t, "agreed", false), names(t, "agreed", true)
		in.Parent = sectionsOf(t, false)
		in.Calls, in.Urgency, in.Consideration = calls(t), urgency(mostly), aConsideration(t, mostly)
		in.Children = nil
		for n := 1; n <= rapid.IntRange(0, 4).Draw(t, "children"); n++ {
			in.Children = append(in.Children, aChild(t, n, rarely))
		}
		return in
	})
}

// calls are none, or a few about any child, most of them answered.
func calls(t *rapid.T) (out []Call) {
	for range rapid.IntRange(0, 3).Draw(t, "calls") {
		out = append(out, Call{Time: "2026-11-23T09:50:00Z", Child: rapid.IntRange(0, 3).Draw(t, "about"),
			Result: rapid.SampledFrom([]string{"ANSWERED", "NO_ANSWER", "EMERGENCY_999", ""}).Draw(t, "result")})
	}
	return out
}

func urgency(mostly func(string, string, ...string) string) Urgency {
	return Urgency{mostly("reason", "CHILD_MAY_BE_ALONE", ""), mostly("role", "DUTY_GOVERNOR", "RECEPTION_OFFICER", "")}
}

func aConsideration(t *rapid.T, mostly func(string, string, ...string) string) *Consideration {
	if seldom(t, "nobody considered") {
		return nil
	}
	c := &Consideration{
		Law: mostly("law", "DUTY_S16LA", "PUBLIC_TASK", ""), Relevant: mostly("relevant", "YES", "NO", ""),
		HelpsFunction: mostly("helps", "ca1989.s17", ""), ParentTold: mostly("told", "NO", "YES", "NOT_KNOWN"),
		Role: mostly("who", "SAFEGUARDING_LEAD", "DUTY_GOVERNOR"), Time: "2026-11-23T09:40:00Z",
	}
	for n := 0; n <= 4; n++ {
		if n > 0 && rapid.IntRange(0, 3).Draw(t, "more detrimental") < 3 {
			c.NotMoreDetrimental = append(c.NotMoreDetrimental, n)
		}
		for _, s := range section.All() {
			if s.PerChild == (n > 0) && rapid.Bool().Draw(t, "named") {
				c.Paths = append(c.Paths, s.Path(n))
			}
		}
	}
	return c
}

func aChild(t *rapid.T, n int, rarely func(string) bool) Child {
	c := Child{
		Number: n, AsOfDate: "2026-11-23", CarerKnown: "YES",
		CarerIsAdult:           rapid.SampledFrom([]string{"YES", "YES", "YES", "YES", "NO", "NOT_KNOWN", ""}).Draw(t, "adult"),
		PrimaryCarerBefore:     rapid.SampledFrom([]string{"YES", "NO", "SHARED", "NOT_KNOWN"}).Draw(t, "carer before"),
		LivedWithBefore:        rapid.SampledFrom([]string{"YES", "NO", "SHARED", "NOT_KNOWN"}).Draw(t, "lived with"),
		ParentalResponsibility: rapid.SampledFrom([]string{"YES", "NO", "NOT_KNOWN"}).Draw(t, "responsible"),
		InCare:                 rarely("in care"),
		AddressConfidential:    rarely("confidential"),
		Unborn:                 rarely("unborn"),
		OutwardCodeOnly:        rarely("outward code"),
		Sections:               sectionsOf(t, true),
	}
	if !c.Unborn && !rarely("age unknown") {
		age := rapid.IntRange(0, 17).Draw(t, "age")
		if rapid.IntRange(0, 9).Draw(t, "grown up") == 9 {
			age = 18
		}
		c.AgeYears = &age
	}
	return c
}

func sectionsOf(t *rapid.T, perChild bool) Sections {
	s := Sections{Known: map[string]string{}, Offered: names(t, "offered", perChild), Permitted: names(t, "permitted", perChild)}
	for _, row := range section.All() {
		if row.PerChild == perChild {
			s.Known[row.Name] = "KNOWN"
			if seldom(t, row.Name) {
				s.Known[row.Name] = rapid.SampledFrom([]string{"NOT_KNOWN", "NOT_ASKED", "DECLINED", ""}).Draw(t, row.Name+" state")
			}
		}
	}
	return s
}

// seldom is true once in 64: rapid draws small numbers more often than others, but bits evenly.
func seldom(t *rapid.T, label string) bool {
	for range 6 {
		if !rapid.Bool().Draw(t, label) {
			return false
		}
	}
	return true
}

// names draws the names of most sections of a child, or of the parent, sorted.
func names(t *rapid.T, label string, perChild bool) []string {
	var out []string
	for _, s := range section.All() {
		if s.PerChild == perChild && !seldom(t, label+" without "+s.Name) {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}
