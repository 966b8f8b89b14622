package engine

import (
	"time"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// samples are inputs that any bundle must decide without an error: an ordinary family, the same without an agreement,
// an enquiry, and nothing at all.
func samples() map[string]*Input {
	alone := family()
	alone.Agreement = Agreement{}
	return map[string]*Input{
		"a family whose parent gave permission": family(),
		"no data-sharing agreement":             alone,
		"a parent who said no": {
			Now: alone.Now, Today: alone.Today, Statement: "ENQUIRY", Caller: alone.Caller, Enquiry: Enquiry{Outcome: "DECLINED"}},
		"an empty statement": {Now: alone.Now, Today: alone.Today},
	}
}

// family is a mother with two children, everything known, permitted and in the agreement.
func family() *Input {
	now := time.Date(2026, time.November, 23, 10, 0, 0, 0, time.UTC)
	in := &Input{
		Now: moment(now), Today: now.Format(time.DateOnly), Statement: "OFFER", Route: "STANDARD", Gate: "NO_HOLD",
		DestinationSource: "BOTH", FirstSubmitTime: moment(now),
		Caller:    Caller{PrisonID: "BLI", Jurisdiction: "GB-ENG", Known: true},
		Reception: Reception{Reason: "NEW_ADMISSION", ReceiveDate: "2026-11-22"},
		Consent: Consent{
			State: "GIVEN", Jurisdiction: "GB-ENG", Understood: "YES", GiveTime: moment(now.Add(-time.Hour)),
			ExpireTime: moment(now.Add(90 * 24 * time.Hour)), Children: []int{1, 2}, Authorities: []string{"E06000023"}},
		Recipient: Recipient{
			Authority: "E06000023", Known: true, Enrolled: true, Jurisdiction: "GB-ENG", AgeLimit: 18,
			EarlyHelp:    FrontDoor{"First Response", "01632 960123", true},
			Safeguarding: FrontDoor{"First Response", "01632 960124", true}},
		Agreement: Agreement{InForce: true, ID: "BLI-E06000023", EndDate: "2027-03-31", EndTime: "2027-03-31T23:00:00Z"},
	}
	every := func(perChild bool) Sections {
		out := Sections{Known: map[string]string{}}
		for _, s := range section.Of(perChild) {
			out.Known[s.Name] = "KNOWN"
			if s.Class != posternv1.SectionClass_SECTION_CLASS_URGENT {
				out.Offered = append(out.Offered, s.Name)
			}
		}
		out.Permitted = out.Offered
		return out
	}
	in.Parent = every(false)
	for n := 1; n <= 2; n++ {
		age := 4 * n
		in.Children = append(in.Children, Child{
			Number: n, AgeYears: &age, AsOfDate: "2026-11-22", CarerKnown: "YES", CarerIsAdult: "YES", PrimaryCarerBefore: "YES",
			LivedWithBefore: "YES", ParentalResponsibility: "YES", SameAddressGroup: 1, Sections: every(true)})
	}
	in.Agreement.Parent, in.Agreement.Child = in.Parent.Offered, in.Children[0].Offered
	return in
}
