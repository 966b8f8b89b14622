package engine

import (
	"cmp"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // dates and hours are Europe/London's, on machines without a time zone database too

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/plain"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// Facts is what an Input is made of: a verified statement with its facts blocks, and what the directory says of its
// parties today.
type Facts struct {
	Manifest           *posternv1.Manifest
	Children           []*posternv1.ChildFacts
	Hub                *posternv1.HubFacts
	OfferedPaths       []string // the paths of the sealed sections
	CallerPrison       string
	PrisonKnown        bool
	PrisonJurisdiction string
	Recipient          Recipient
	Agreement          *posternv1.DataSharingAgreement // in force today between the two; nil for none
	AgreementEnds      string                          // the last day it holds, which may be before its own; its own when empty
	Ends               string                          // the last day of the recipient's entry in the directory; empty when it is open
	Now                time.Time
}

// NewInput writes facts down as policy reads them: sections by name under the child they belong to, what the permission
// covers as package consent says, moments for civil dates. It trusts the facts to be the statement's own.
func NewInput(f Facts) *Input {
	m, offer, c := f.Manifest, f.Manifest.GetOffer(), f.Manifest.GetOffer().GetConsent()
	in := &Input{
		Now:               moment(f.Now.Truncate(time.Second)),
		Today:             f.Now.In(london()).Format(time.DateOnly),
		Statement:         "OFFER",
		Route:             plain.Enum(offer.GetRoute()),
		DestinationSource: plain.Enum(offer.GetDestinationSource()),
		ChangeReason:      plain.Enum(offer.GetChangeReason()),
		Supersedes:        m.GetSupersedes() != "",
		FirstSubmitTime:   firstSubmitted(f),
		Gate:              plain.Enum(f.Hub.GetGate()),
		Caller:            Caller{PrisonID: f.CallerPrison, Jurisdiction: f.PrisonJurisdiction, Known: f.PrisonKnown},
		Reception: Reception{
			Reason: plain.Enum(m.GetReception().GetReason()), ReceiveDate: m.GetReception().GetReceiveDate()},
		Consent:   consentFacts(c),
		Recipient: f.Recipient,
		Agreement: agreementFacts(f),
		Parent:    sections(f, 0, f.Hub.GetKnown()),
		Urgency: Urgency{
			Reason: plain.Enum(f.Hub.GetUrgencyReason()), AuthorisedRole: plain.Enum(f.Hub.GetAuthorisedRole())},
		Consideration: consideration(f.Hub.GetConsideration()),
	}
	if e := m.GetEnquiry(); e != nil {
		in.Statement = "ENQUIRY"
		in.Enquiry = Enquiry{plain.Enum(e.GetOutcome()), e.GetAskAgainDate(), plain.Enum(e.GetNotAskedReason())}
	}
	if in.Recipient.Authority == "" {
		in.Recipient.Authority = offer.GetAuthority()
	}
	for _, facts := range f.Children {
		child := childFacts(facts)
		child.Sections = sections(f, child.Number, facts.GetKnown())
		in.Children = append(in.Children, child)
	}
	for _, call := range f.Hub.GetCalls() {
		in.Calls = append(in.Calls, Call{stamp(call.GetCallTime()), plain.Enum(call.GetResult()), int(call.GetChildNumber())})
	}
	return in
}

// firstSubmitted is when waiting began. A statement that does not say is as old as its manifest, and one that does not
// say that either came now: no clock that does not matter to a route may stand in its way.
func firstSubmitted(f Facts) string {
	for _, t := range []*timestamppb.Timestamp{f.Hub.GetFirstSubmitTime(), f.Manifest.GetCreateTime()} {
		if t != nil {
			return stamp(t)
		}
	}
	return moment(f.Now.Truncate(time.Second))
}

func childFacts(f *posternv1.ChildFacts) Child {
	c := Child{
		Number:                 int(f.GetNumber()),
		Unborn:                 f.GetUnborn(),
		AsOfDate:               f.GetAsOfDate(),
		CarerKnown:             plain.Enum(f.GetCarerKnown()),
		CarerIsAdult:           plain.Enum(f.GetCarerIsAdult()),
		PrimaryCarerBefore:     plain.Enum(f.GetPrimaryCarerBefore()),
		LivedWithBefore:        plain.Enum(f.GetLivedWithBefore()),
		ParentalResponsibility: plain.Enum(f.GetParentalResponsibility()),
		InCare:                 f.GetInCare(),
		AddressConfidential:    f.GetAddressConfidential(),
		SameAddressGroup:       int(f.GetSameAddressGroup()),
		OutwardCodeOnly:        f.GetOutwardCodeOnly(),
	}
	if age, ok := f.GetAge().(*posternv1.ChildFacts_AgeYears); ok {
		years := int(age.AgeYears)
		c.AgeYears = &years
	}
	return c
}

// sections says of every section of a child, or of the parent for 0, whether it is known, offered and permitted. Facts
// about another child's sections are left out: a child's facts speak for that child.
func sections(f Facts, child int, known []*posternv1.SectionKnown) Sections {
	all := section.Of(child > 0)
	out := Sections{Known: make(map[string]string, len(all)), Offered: make([]string, 0, len(all)), Permitted: make([]string, 0, len(all))}
	for i := range all {
		s := &all[i]
		path := s.Path(child)
		out.Known[s.Name] = ""
		for _, k := range known {
			if k.GetPath() == path {
				out.Known[s.Name] = plain.Enum(k.GetKnown())
			}
		}
		if slices.Contains(f.OfferedPaths, path) {
			out.Offered = append(out.Offered, s.Name)
		}
		if consent.Covers(f.Manifest.GetOffer().GetConsent(), path) {
			out.Permitted = append(out.Permitted, s.Name)
		}
	}
	return out
}

func consentFacts(c *posternv1.Consent) Consent {
	if c == nil {
		return Consent{}
	}
	out := Consent{
		State:           plain.Enum(c.GetState()),
		Jurisdiction:    c.GetJurisdiction(),
		CapacityConcern: c.GetCapacityConcern(),
		GrantorUnder18:  c.GetGrantorUnder_18(),
		Understood:      plain.Enum(c.GetUnderstood()),
		GiveTime:        stamp(c.GetGiveTime()),
		ExpireTime:      moment(consent.Expiry(c)),
		AskAgainDate:    c.GetAskAgainDate(),
		Authorities:     slices.Clone(c.GetAuthorities()),
		FollowsChild:    c.GetFollowsChild(),
	}
	for _, n := range c.GetChildren() {
		out.Children = append(out.Children, int(n))
	}
	return out
}

func agreementFacts(f Facts) Agreement {
	a := f.Agreement
	if a == nil {
		return Agreement{}
	}
	out := Agreement{InForce: true, ID: a.GetId(), EndDate: cmp.Or(f.AgreementEnds, a.GetEndDate())}
	last := out.EndDate
	if f.Ends != "" && f.Ends < last {
		last = f.Ends
	}
	if end, err := time.ParseInLocation(time.DateOnly, last, london()); err == nil {
		out.EndTime = moment(end.AddDate(0, 0, 1)) // otherwise "", which no rule takes for a moment
	}
	out.Parent, out.Child = included(a, false), included(a, true)
	return out
}

// included are the sections of a child, or else the others, that an agreement includes, by name.
func included(a *posternv1.DataSharingAgreement, child bool) []string {
	all := section.Of(child)
	out := make([]string, 0, len(all))
	for i := range all {
		if slices.Contains(a.GetSections(), all[i].Pattern) {
			out = append(out, all[i].Name)
		}
	}
	return out
}

func consideration(c *posternv1.Consideration) *Consideration {
	if c == nil {
		return nil
	}
	out := &Consideration{
		Law: plain.Enum(c.GetLaw()), Relevant: plain.Enum(c.GetRelevant()), HelpsFunction: c.GetHelpsFunction(),
		ParentTold: plain.Enum(c.GetParentTold()), Paths: slices.Clone(c.GetPaths()), Role: plain.Enum(c.GetRole()),
		Time: stamp(c.GetConsiderTime()),
	}
	for _, n := range c.GetNotMoreDetrimental() {
		out.NotMoreDetrimental = append(out.NotMoreDetrimental, int(n))
	}
	return out
}

// london is where civil dates and hours are reckoned.
var london = sync.OnceValue(func() *time.Location {
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic("engine: the time zone database built into the program lacks Europe/London") // a broken build, not an input
	}
	return place
})

// moment is a time as RFC 3339 in UTC; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return moment(t.AsTime())
}
