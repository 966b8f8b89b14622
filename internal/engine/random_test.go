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
		in.Route = mostly("route", "STANDARD", "URGENT", "DUTY", "", "NEW")
		in.Gate = mostly("gate", "NO_HOLD", "HOLD", "NOT_DONE", "")
		in.AlreadyNotified = rarely("already notified")
		in.Enquiry.Outcome = rapid.SampledFrom([]string{"", "DECLINED", "NO_CHILDREN"}).Draw(t, "enquiry")
		in.Caller.Known = !rarely("unknown prison")
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
		in.Children = nil
		for n := 1; n <= rapid.IntRange(0, 4).Draw(t, "children"); n++ {
			in.Children = append(in.Children, aChild(t, n, mostly, rarely))
		}
		return in
	})
}

func aChild(t *rapid.T, n int, mostly func(string, string, ...string) string, rarely func(string) bool) Child {
	c := Child{
		Number: n, AsOfDate: "2026-11-23", CarerKnown: "YES",
		CarerIsAdult:        mostly("adult", "YES", "NO", "NOT_KNOWN", ""),
		PrimaryCarerBefore:  rapid.SampledFrom([]string{"YES", "NO", "SHARED", "NOT_KNOWN"}).Draw(t, "carer before"),
		LivedWithBefore:     rapid.SampledFrom([]string{"YES", "NO", "SHARED", "NOT_KNOWN"}).Draw(t, "lived with"),
		InCare:              rarely("in care"),
		AddressConfidential: rarely("confidential"),
		Unborn:              rarely("unborn"),
		Sections:            sectionsOf(t, true),
	}
	if !c.Unborn && !rarely("age unknown") {
		age := rapid.IntRange(0, 17).Draw(t, "age")
		if rarely("grown up") {
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
