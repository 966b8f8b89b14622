package form

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// FactsConfig is what facts need beyond the part.
type FactsConfig struct {
	// Today is the civil date on which ages are reckoned, such as Today(now).
	Today string
	// DeskKey is the desk's own secret for references; at least 32 random bytes that never change and never leave.
	DeskKey []byte
	// FirstSubmit is when this content was first submitted; the zero time leaves it unset.
	FirstSubmit time.Time
	// SlipCode is the code on the person's slip; empty when there is none.
	SlipCode string
}

// Facts draws from a part what the hub may know: the facts of each child, and those for the hub alone. They hold ages,
// answers, whether things are known, and references that only this desk's key can make; never a value of a section.
//
// The references are HMAC-SHA256 under DeskKey, each under its own label: subject_ref of the prison number; child_refs,
// one a child in order, of the prison number with the child's name (in lower case, spaces folded) and birth, so that
// they link a child to this parent and to nobody else; content_ref of all that the part says without ids, times, calls
// and the gate, so that the same story told twice is one story.
func Facts(p Part, cfg FactsConfig) ([]*posternv1.ChildFacts, *posternv1.HubFacts) {
	number := strings.ToUpper(strings.TrimSpace(p.content.GetPrisonNumber()))
	hub := &posternv1.HubFacts{
		SubjectRef: cfg.reference("subject", number),
		ContentRef: cfg.reference("content", number, p.Authority, canonical(p.content)),
		Gate:       p.content.GetGate(),
		Calls:      callFacts(p.content),
	}
	withoutConsent(p.content, hub)
	if !cfg.FirstSubmit.IsZero() {
		hub.FirstSubmitTime = timestamppb.New(cfg.FirstSubmit)
	}
	if cfg.SlipCode != "" {
		sum := sha256.Sum256([]byte(cfg.SlipCode))
		hub.SlipCodeSha256 = sum[:]
	}
	if p.Enquiry != nil {
		return nil, hub
	}
	hub.PostcodeVintage, hub.DestinationChecked = p.PostcodeVintage, p.DestinationChecked
	hub.Known = knownOf(p.content, 0)
	children := make([]*posternv1.ChildFacts, len(p.Children))
	for i, child := range p.content.GetChildren() {
		children[i] = childFacts(child, cfg.Today)
		children[i].Number = uint32(i + 1)
		children[i].Known = knownOf(p.content, i+1)
		children[i].SameAddressGroup = p.groups[i]
		hub.ChildRefs = append(hub.ChildRefs, cfg.reference("child", number, canonicalIdentity(child.GetIdentity(), i+1)))
	}
	return children, hub
}

// childFacts are the facts that one child's sections tell on their own. The inbox draws them again from what it opens.
//
// The carer is known when the section says who has the child: by name, or by what they are to the child. A question
// nobody asked, and a section that is not known, are answered NOT_KNOWN, so that policy sees one word for it.
func childFacts(child *posternv1.Child, today string) *posternv1.ChildFacts {
	facts := &posternv1.ChildFacts{
		AsOfDate:               today,
		CarerKnown:             posternv1.Answer_ANSWER_NO,
		CarerIsAdult:           posternv1.Answer_ANSWER_NOT_KNOWN,
		PrimaryCarerBefore:     posternv1.Answer_ANSWER_NOT_KNOWN,
		LivedWithBefore:        posternv1.Answer_ANSWER_NOT_KNOWN,
		ParentalResponsibility: posternv1.Answer_ANSWER_NOT_KNOWN,
		InCare:                 child.GetInCare(),
		AddressConfidential:    child.GetAddressConfidential(),
	}
	if inYears, unborn, ok := age(child.GetIdentity(), today); ok && unborn {
		facts.Age = &posternv1.ChildFacts_Unborn{Unborn: true}
	} else if ok {
		facts.Age = &posternv1.ChildFacts_AgeYears{AgeYears: inYears}
	}
	facts.OutwardCodeOnly = outwardOnly(child.GetHome())
	if carer := child.GetCarer(); carer.GetProvenance().GetKnown() == known {
		if !blank(carer.GetName()) || carer.GetRelationship() != posternv1.Relationship_RELATIONSHIP_UNSPECIFIED {
			facts.CarerKnown = posternv1.Answer_ANSWER_YES
		}
		facts.CarerIsAdult = answer(carer.GetIsAdult())
	}
	if r := child.GetRelationship(); r.GetProvenance().GetKnown() == known {
		facts.PrimaryCarerBefore = answer(r.GetPrimaryCarerBefore())
		facts.LivedWithBefore = answer(r.GetLivedWithBefore())
		facts.ParentalResponsibility = answer(r.GetParentalResponsibility())
	}
	return facts
}

func answer(a posternv1.Answer) posternv1.Answer {
	if a == posternv1.Answer_ANSWER_UNSPECIFIED {
		return posternv1.Answer_ANSWER_NOT_KNOWN
	}
	return a
}

// knownOf lists for every section of a child, or of the parent for 0, whether it is known. A section that is not in the
// form was not asked about.
func knownOf(f *posternv1.Form, child int) []*posternv1.SectionKnown {
	var all []*posternv1.SectionKnown
	for _, s := range section.All() {
		urgent := s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT
		if s.PerChild != (child > 0) || urgent && f.GetRoute() != posternv1.Route_ROUTE_URGENT {
			continue
		}
		k := &posternv1.SectionKnown{Path: s.Path(child), Known: posternv1.Known_KNOWN_NOT_ASKED}
		if m, ok := section.Get(f, k.Path); ok {
			k.Known = m.(sourced).GetProvenance().GetKnown()
		}
		all = append(all, k)
	}
	return all
}

// reference is HMAC-SHA256 over the label and the length-prefixed values.
func (c FactsConfig) reference(label string, values ...string) []byte {
	h := hmac.New(sha256.New, c.DeskKey)
	for _, v := range append([]string{"postern/v1/" + label}, values...) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(v))))
		h.Write([]byte(v))
	}
	return h.Sum(nil)
}

// canonical is the content of a part as bytes: without ids, times, calls and the gate, which change while the story
// stays the same. The form has no maps and no unknown fields, so a deterministic marshal is stable; should a later
// library marshal differently, a repeated story is at worst taken for a new one.
func canonical(f *posternv1.Form) string {
	f = proto.CloneOf(f)
	f.FormId, f.PrisonNumber, f.Gate, f.Calls = "", "", 0, nil
	if f.Urgency != nil {
		f.Urgency.Calls = nil
	}
	if f.Consideration != nil {
		f.Consideration.ConsiderTime = nil
	}
	if f.Tonight != nil {
		f.Tonight.AskTime = nil
	}
	if f.Consent != nil {
		f.Consent.Id, f.Consent.GiveTime, f.Consent.ExpireTime = "", nil, nil
		if f.Consent.Withdrawal != nil {
			f.Consent.Withdrawal.WithdrawTime = nil
		}
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		panic(fmt.Sprintf("form: a checked form does not marshal: %v", err)) // Check refuses invalid UTF-8, the only cause
	}
	return string(b)
}

// canonicalIdentity is who a child is, told twice: the same child gives the same words. A child of whom nothing is
// known is told from others by its number.
func canonicalIdentity(id *posternv1.ChildIdentity, number int) string {
	if id.GetProvenance().GetKnown() != known {
		return fmt.Sprintf("unknown %d", number)
	}
	return fmt.Sprintf("%q %q %q %d %q", fold(id.GetGivenName()), fold(id.GetFamilyName()), id.GetDateOfBirth(),
		id.GetAgeYears(), id.GetDueDate())
}

// SameChild reports whether two forms about one parent describe one child: by the same name, however it is typed, and the
// same birth. Of a child of whom nothing is known nobody can say.
func SameChild(a, b *posternv1.ChildIdentity) bool {
	return a.GetProvenance().GetKnown() == known && canonicalIdentity(a, 0) == canonicalIdentity(b, 0)
}

// fold makes two ways of typing the same name or address equal: in lower case, with single spaces.
func fold(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }
