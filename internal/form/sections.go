package form

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

var (
	authorityShape = regexp.MustCompile(`^(E06|E08|E09|E10|W06)[0-9]{6}$`)
	districtShape  = regexp.MustCompile(`^E07[0-9]{6}$`)
	phoneShape     = regexp.MustCompile(`^(\+|0)[0-9]{9,14}$`)
	phoneMarks     = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "")
)

const (
	known       = posternv1.Known_KNOWN_KNOWN
	tooOldForUs = 25 // years; whoever is as old as this is nobody's child to any authority
)

// sealingRoom is the number of bytes of a section's padded size that are not for its message: salt and length.
const sealingRoom = 64

// sourced is what every section has.
type sourced interface {
	proto.Message
	GetProvenance() *posternv1.Provenance
}

// section checks what holds for every section: where it comes from, that it has contents exactly when it is known, and
// that it fits. It reports whether the contents are there to be looked at.
func (c *checker) section(path string) bool {
	m, ok := section.Get(c.form, path)
	if !ok {
		return false
	}
	at := section.FieldPath(path)
	s, _ := section.Lookup(path)
	p := m.(sourced).GetProvenance()
	if p.GetKnown() == posternv1.Known_KNOWN_UNSPECIFIED {
		c.add(at+".provenance.known", "form.known", "answers", answers(p.GetKnown().Descriptor()))
	}
	c.pastDate(at+".provenance.as_of_date", p.GetAsOfDate(), 30)
	filled := hasContents(m.ProtoReflect())
	switch {
	case p.GetKnown() == known && !filled:
		c.add(at, "form.known_empty")
	case p.GetKnown() != known && p.GetKnown() != posternv1.Known_KNOWN_UNSPECIFIED && filled:
		c.add(at, "form.unknown_filled")
	}
	if proto.Size(m) > s.PaddedSize-sealingRoom {
		c.add(at, "form.section_long")
	}
	return p.GetKnown() == known && filled
}

// hasContents reports whether a section says anything beyond where it comes from. Blank text says nothing; a false
// does not either, unless it is one of several ways to say a thing.
func hasContents(m protoreflect.Message) bool {
	filled := false
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		filled = f.Name() != "provenance" && !(f.Kind() == protoreflect.StringKind && !f.IsList() && blank(v.String()))
		return !filled
	})
	return filled
}

// parent checks the parent's sections.
func (c *checker) parent() {
	p := c.form.GetParent()
	if c.section("parent/name") && blank(p.GetName().GetGivenName()) && blank(p.GetName().GetFamilyName()) {
		c.add("parent.name", "form.name")
	}
	if c.section("parent/birth") {
		c.pastDate("parent.birth.date_of_birth", p.GetBirth().GetDateOfBirth(), 120)
		c.parentAge(p.GetBirth().GetDateOfBirth())
	}
	c.section("parent/custody")
	if c.section("parent/language") {
		c.language("parent.language.language", p.GetLanguage().GetLanguage())
	}
	c.section("parent/wishes")
}

// youngest is the age below which nobody in England and Wales is held to answer for a crime.
const youngest = 10

// parentAge holds the date of birth against what is possible, and against the consent, which must say when somebody under
// 18 gave it.
func (c *checker) parentAge(date string) {
	born, ok := parseDate(date)
	switch age := years(born, c.today); {
	case !ok || born.After(c.today):
	case age < youngest:
		c.add("parent.birth.date_of_birth", "form.birth_parent")
	case age < 18 && c.form.GetConsent().GetState() == posternv1.ConsentState_CONSENT_STATE_GIVEN && !c.form.GetConsent().GetGrantorUnder_18():
		c.add("consent.grantor_under_18", "form.under_18")
	}
}

// children checks every child, up to the limit.
func (c *checker) children() {
	all := c.form.GetChildren()
	if len(all) == 0 {
		c.add("children", "form.no_children")
	}
	for i, child := range all[:min(len(all), MaxChildren)] {
		c.child(i+1, child)
	}
}

func (c *checker) child(n int, child *posternv1.Child) {
	at := fmt.Sprintf("children[%d].", n-1)
	path := func(name string) string { return fmt.Sprintf("child/%d/%s", n, name) }
	c.place(n, child)
	if c.section(path("identity")) {
		c.identity(at+"identity.", child.GetIdentity())
	}
	if c.section(path("relationship")) {
		c.relationship(at+"relationship.", child.GetRelationship())
	}
	if c.section(path("home")) {
		c.home(at+"home", n, child)
	}
	if c.section(path("carer")) && child.GetCarer().GetRelationship() == posternv1.Relationship_RELATIONSHIP_FOSTER_CARER && !child.GetInCare() {
		c.add(at+"carer.relationship", "form.foster_in_care")
	}
	if c.section(path("safety")) {
		c.language(at+"safety.language", child.GetSafety().GetLanguage())
	}
	if c.section(path("phone")) {
		c.phone(at+"phone.carer_phone", child.GetPhone().GetCarerPhone())
	}
	c.section(path("school"))
	c.section(path("knowledge"))
	if c.section(path("needs")) {
		c.needs(at+"needs.codes", child.GetNeeds().GetCodes())
	}
	c.section(path("worker"))
}

// authority checks a GSS code: of the kind that has children's services, and in the directory.
func (c *checker) authority(path, code string) {
	switch {
	case codesElsewhere[code[:min(3, len(code))]] != "":
		c.add(path, codesElsewhere[code[:3]])
	case districtShape.MatchString(code):
		c.add(path, "form.district")
	case !authorityShape.MatchString(code):
		c.add(path, "form.authority_code")
	case c.env.Authority == nil:
	default:
		if _, ok := c.env.Authority(code); !ok {
			c.add(path, "form.authority_unknown")
		}
	}
}

func (c *checker) identity(at string, id *posternv1.ChildIdentity) {
	switch id.GetBorn().(type) {
	case nil:
		c.add(at+"date_of_birth", "form.born_missing")
	case *posternv1.ChildIdentity_DateOfBirth:
		c.birth(at+"date_of_birth", id.GetDateOfBirth())
	case *posternv1.ChildIdentity_AgeYears:
		if id.GetAgeYears() >= tooOldForUs {
			c.add(at+"age_years", "form.age")
		}
	case *posternv1.ChildIdentity_DueDate:
		c.due(at+"due_date", id.GetDueDate())
		return // an unborn child may have no name
	}
	if blank(id.GetGivenName()) && blank(id.GetFamilyName()) && blank(id.GetKnownAs()) {
		c.add(at+"family_name", "form.child_name")
	}
}

func (c *checker) birth(path, value string) {
	born, ok := parseDate(value)
	switch {
	case value == "":
		c.add(path, "form.birth_empty")
	case !ok:
	case born.After(c.today):
		c.add(path, "form.birth_future")
	case years(born, c.today) >= tooOldForUs:
		c.add(path, "form.birth_adult")
	}
}

// due checks the date on which an unborn child is due; a birth may be some weeks late.
func (c *checker) due(path, value string) {
	due, ok := parseDate(value)
	switch {
	case value == "":
		c.add(path, "form.due_empty")
	case !ok:
	case due.Before(c.today.AddDate(0, 0, -28)):
		c.add(path, "form.due_past")
	case due.After(c.today.AddDate(0, 10, 0)):
		c.add(path, "form.due_far")
	}
}

func (c *checker) relationship(at string, r *posternv1.ChildRelationship) {
	pr := r.GetParentalResponsibility()
	if r.GetRelationship() == posternv1.Relationship_RELATIONSHIP_FOSTER_CARER && pr == posternv1.Answer_ANSWER_YES {
		c.add(at+"parental_responsibility", "form.foster_responsibility")
	}
	if r.GetAgreesToEarlyHelp() == posternv1.Answer_ANSWER_YES &&
		pr != posternv1.Answer_ANSWER_YES && pr != posternv1.Answer_ANSWER_SHARED {
		c.add(at+"agrees_to_early_help", "form.early_help")
	}
}

// home checks where a child lives. n is the child's number.
func (c *checker) home(at string, n int, child *posternv1.Child) {
	switch {
	case child.GetAddressConfidential():
		c.add(at, "form.home_confidential")
	case child.GetInCare():
		c.add(at, "form.home_in_care")
	}
	h := child.GetHome()
	for i, line := range h.GetAddressLines() {
		if blank(line) {
			c.add(fmt.Sprintf("%s.address_lines[%d]", at, i), "form.line_empty")
		}
	}
	if h.GetSameAsChild() == 0 {
		return
	}
	at += ".same_as_child"
	if int(h.GetSameAsChild()) >= n {
		c.add(at, "form.same_child")
		return
	}
	other := c.form.GetChildren()[h.GetSameAsChild()-1]
	switch {
	case len(h.GetAddressLines()) > 0 || h.GetPostcode() != "":
		c.add(at, "form.same_twice")
	case other.GetHome().GetProvenance().GetKnown() != known:
		c.add(at, "form.same_unknown")
	case other.GetAuthority() != child.GetAuthority():
		c.add(at, "form.same_elsewhere")
	}
}

func (c *checker) phone(path, value string) {
	if !phoneShape.MatchString(phoneMarks.Replace(value)) {
		c.add(path, "form.phone")
	}
}

func (c *checker) needs(path string, codes []posternv1.Need) {
	for i, code := range codes {
		if slices.Contains(codes[:i], code) {
			c.add(fmt.Sprintf("%s[%d]", path, i), "form.need_twice")
		}
	}
}
