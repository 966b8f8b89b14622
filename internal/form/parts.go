package form

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// Part is what becomes one notification: an offer to one authority, or an enquiry to none.
type Part struct {
	// Authority is the GSS code of the recipient; empty for an enquiry.
	Authority string
	// Route is the route, never unspecified.
	Route posternv1.Route
	// Reception is why and when the person came to the prison.
	Reception *posternv1.Reception
	// NoticeVersion is the version of the privacy notice in use.
	NoticeVersion string
	// LawfulBasis is the basis where the form names one, or nil for the configured one.
	LawfulBasis *posternv1.LawfulBasis
	// Enquiry is the outcome of asking; nil for an offer.
	Enquiry *posternv1.Enquiry
	// Source is what the authority rests on, the weakest of its children's.
	Source posternv1.DestinationSource
	// PostcodeVintage is the vintage of the postcode table that answered for any child; empty where none did.
	PostcodeVintage string
	// DestinationChecked says that the authority is not the postcode's and a member of staff has checked it.
	DestinationChecked bool
	// Consent is the projection for the authority, under its own id; nil for an enquiry, and where another route has none.
	Consent *posternv1.Consent
	// Children are the authority's children, in the order of the form.
	Children []PartChild
	// Sections are the sections to seal: those present in the form that the route lets go now, parent's first.
	Sections []PartSection

	content *posternv1.Form // the form cut to this part, with the part's numbers; what the facts are drawn from
	groups  []uint32        // who lives together, by child
}

// PartChild is one child of a part.
type PartChild struct {
	Number     int // in the notification, from 1
	FormNumber int // in the form, from 1; it stays on the desk, since it tells of other children
}

// PartSection is one section to seal.
type PartSection struct {
	Path    string        // with the part's numbers, such as child/1/home
	Message proto.Message // the section; a home that was given as another child's has that address in full
}

// Parts splits the form: one part for each authority, in the order in which the form first names it, or one enquiry.
// Every child is in exactly one part. newID gives the id of each projected consent and must never repeat one. A part
// shares no memory with the form or with another part.
func (c *Checked) Parts(newID func() string) []Part {
	if c.form.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED {
		return []Part{c.enquiryPart()}
	}
	var order []string
	children := map[string][]int{}
	for i, child := range c.form.GetChildren() {
		code := child.GetAuthority()
		if children[code] == nil {
			order = append(order, code)
		}
		children[code] = append(children[code], i+1)
	}
	parts := make([]Part, len(order))
	for i, code := range order {
		parts[i] = c.part(code, children[code], newID())
	}
	return parts
}

func (c *Checked) enquiryPart() Part {
	content := c.content()
	return Part{
		Route:         content.GetRoute(),
		Reception:     content.GetReception(),
		NoticeVersion: content.GetNoticeVersion(),
		LawfulBasis:   content.GetLawfulBasis(),
		Enquiry: &posternv1.Enquiry{
			Outcome:        content.GetEnquiry(),
			AskAgainDate:   content.GetAskAgainDate(),
			NotAskedReason: content.GetNotAskedReason(),
		},
		content: content,
	}
}

// part makes the part of one authority from the numbers of its children in the form.
func (c *Checked) part(authority string, numbers []int, consentID string) Part {
	renumbered := map[int]int{}
	content := c.content()
	part := Part{
		Authority:     authority,
		Route:         content.GetRoute(),
		Reception:     content.GetReception(),
		NoticeVersion: content.GetNoticeVersion(),
		LawfulBasis:   content.GetLawfulBasis(),
		content:       content,
		groups:        addressGroups(c.form, numbers),
	}
	for i, n := range numbers {
		renumbered[n] = i + 1
		part.Children = append(part.Children, PartChild{Number: i + 1, FormNumber: n})
		content.Children = append(content.Children, withHome(c.form, n))
	}
	part.settle(c.places, numbers)
	content.Parent = proto.CloneOf(c.form.GetParent())
	content.Calls = callsAbout(c.form.GetCalls(), renumbered)
	content.Urgency = proto.CloneOf(c.form.GetUrgency())
	content.ConsiderationReasons = c.form.GetConsiderationReasons()
	content.Consideration = projectConsideration(c.form.GetConsideration(), renumbered)
	part.Consent = consent.Project(c.form.GetConsent(), authority, renumbered, consentID)
	content.Consent = proto.CloneOf(part.Consent)
	if c.expired && !c.withoutConsent() {
		return part // nothing is covered any more; the facts and the consent still go, and policy says what is needed
	}
	for _, s := range section.All() {
		if !s.PerChild {
			part.seal(s.Pattern)
		}
	}
	for _, child := range part.Children {
		for _, s := range section.All() {
			if s.PerChild {
				part.seal(s.Path(child.Number))
			}
		}
	}
	return part
}

// seal adds a section, if the form has it and the route lets it go.
func (p *Part) seal(path string) {
	if m, ok := section.Get(p.content, path); ok && p.permits(path) {
		p.Sections = append(p.Sections, PartSection{Path: path, Message: proto.Clone(m)})
	}
}

// content starts the cut form of a part: what belongs to every part.
func (c *Checked) content() *posternv1.Form {
	f := c.form
	content := &posternv1.Form{
		Reception:      proto.CloneOf(f.GetReception()),
		PrisonNumber:   f.GetPrisonNumber(),
		Tonight:        proto.CloneOf(f.GetTonight()),
		Enquiry:        f.GetEnquiry(),
		Route:          f.GetRoute(),
		Gate:           f.GetGate(),
		LawfulBasis:    proto.CloneOf(f.GetLawfulBasis()),
		NoticeVersion:  f.GetNoticeVersion(),
		AskAgainDate:   f.GetAskAgainDate(),
		NotAskedReason: f.GetNotAskedReason(),
	}
	if content.Route == posternv1.Route_ROUTE_UNSPECIFIED {
		content.Route = posternv1.Route_ROUTE_STANDARD
	}
	if content.Gate == posternv1.Gate_GATE_UNSPECIFIED {
		content.Gate = posternv1.Gate_GATE_NOT_DONE
	}
	return content
}

// withHome copies a child. A home given as an earlier child's gets that child's address, since the other child may stay
// behind; that they live together is one of the facts.
func withHome(f *posternv1.Form, n int) *posternv1.Child {
	child := proto.CloneOf(f.GetChildren()[n-1])
	for same := int(child.GetHome().GetSameAsChild()); same != 0; {
		other := f.GetChildren()[same-1].GetHome() // an earlier child each time: Check saw to that
		child.Home.AddressLines = slices.Clone(other.GetAddressLines())
		child.Home.Postcode = other.GetPostcode()
		same = int(other.GetSameAsChild())
	}
	if child.GetHome() != nil {
		child.Home.SameAsChild = 0
	}
	return child
}

// callsAbout keeps the calls about these children, or about all.
func callsAbout(calls []*posternv1.Call, renumbered map[int]int) []*posternv1.Call {
	var out []*posternv1.Call
	for _, call := range calls {
		n := int(call.GetChildNumber())
		if _, here := renumbered[n]; n == 0 || here {
			call = proto.CloneOf(call)
			call.ChildNumber = uint32(renumbered[n])
			out = append(out, call)
		}
	}
	return out
}
