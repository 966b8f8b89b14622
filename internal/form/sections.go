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
		c.add(at+".provenance.known", "It is not said whether this is known.", "Use one of "+answers(p.GetKnown().Descriptor())+".")
	}
	c.pastDate(at+".provenance.as_of_date", p.GetAsOfDate(), 30)
	filled := hasContents(m.ProtoReflect())
	switch {
	case p.GetKnown() == known && !filled:
		c.add(at, "This is marked as known, but nothing is given.", "Fill it in, or mark it KNOWN_NOT_KNOWN, KNOWN_NOT_ASKED or KNOWN_DECLINED.")
	case p.GetKnown() != known && p.GetKnown() != posternv1.Known_KNOWN_UNSPECIFIED && filled:
		c.add(at, "This is marked as not known, but something is given.", "Mark it KNOWN_KNOWN, or clear it.")
	}
	if proto.Size(m) > s.PaddedSize-sealingRoom {
		c.add(at, "This section is too long.", "Say it in fewer words.")
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
		c.add("parent.name", "The name is missing.", "Give the family name, or the only name.")
	}
	if c.section("parent/birth") {
		c.pastDate("parent.birth.date_of_birth", p.GetBirth().GetDateOfBirth(), 120)
	}
	c.section("parent/custody")
	if c.section("parent/language") {
		c.language("parent.language.language", p.GetLanguage().GetLanguage())
	}
	c.section("parent/wishes")
}

// children checks every child, up to the limit.
func (c *checker) children() {
	all := c.form.GetChildren()
	if len(all) == 0 {
		c.add("children", "No child is described.", "Describe each child, or use ENQUIRY_OUTCOME_DECLINED if the person would rather not say.")
	}
	for i, child := range all[:min(len(all), MaxChildren)] {
		c.child(i+1, child)
	}
}

func (c *checker) child(n int, child *posternv1.Child) {
	at := fmt.Sprintf("children[%d].", n-1)
	path := func(name string) string { return fmt.Sprintf("child/%d/%s", n, name) }
	c.place(n, child)
	if child.GetAuthority() == "" {
		c.add(at+"authority", "It is not said which authority the child lives in.", "Give the code of the authority, such as E06000023 for Bristol.")
	} else {
		c.authority(at+"authority", child.GetAuthority())
	}
	if c.section(path("identity")) {
		c.identity(at+"identity.", child.GetIdentity())
	}
	if c.section(path("relationship")) {
		c.relationship(at+"relationship.", child.GetRelationship())
	}
	if c.section(path("home")) {
		c.home(at+"home", n, child)
	}
	c.section(path("carer"))
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
	case districtShape.MatchString(code):
		c.add(path, "This is the code of a district council, which has no children's services.",
			"Use the code of the county, which begins with E10.")
	case !authorityShape.MatchString(code):
		c.add(path, "This is not the code of an authority with children's services in England or Wales.",
			"Use a code that begins with E06, E08, E09, E10 or W06, such as E06000023 for Bristol.")
	case c.env.Authority == nil:
	default:
		if _, ok := c.env.Authority(code); !ok {
			c.add(path, "This authority is not in the directory.",
				"Check the code. If it is right, Postern cannot send there yet: telephone the front door of that council.")
		}
	}
}

func (c *checker) identity(at string, id *posternv1.ChildIdentity) {
	switch id.GetBorn().(type) {
	case nil:
		c.add(at+"date_of_birth", "It is not said when the child was born.",
			"Give one of date_of_birth, age_years if the date is not known, or due_date for an unborn child.")
	case *posternv1.ChildIdentity_DateOfBirth:
		c.birth(at+"date_of_birth", id.GetDateOfBirth())
	case *posternv1.ChildIdentity_AgeYears:
		if id.GetAgeYears() >= tooOldForUs {
			c.add(at+"age_years", "This is not the age of a child.", "Check the age; leave out a son or daughter who is an adult.")
		}
	case *posternv1.ChildIdentity_DueDate:
		c.due(at+"due_date", id.GetDueDate())
		return // an unborn child may have no name
	}
	if blank(id.GetGivenName()) && blank(id.GetFamilyName()) && blank(id.GetKnownAs()) {
		c.add(at+"family_name", "The child's name is missing.", "Give the name, or mark the section KNOWN_NOT_KNOWN.")
	}
}

func (c *checker) birth(path, value string) {
	born, ok := c.date(path, value)
	switch {
	case value == "":
		c.add(path, "The date of birth is empty.", "Write it as year, month and day, or give age_years if it is not known.")
	case !ok:
	case born.After(c.today):
		c.add(path, "This date of birth is in the future.", "Check the date; for an unborn child, give due_date.")
	case years(born, c.today) >= tooOldForUs:
		c.add(path, "This is not the date of birth of a child.", "Check the year; leave out a son or daughter who is an adult.")
	}
}

// due checks the date on which an unborn child is due; a birth may be some weeks late.
func (c *checker) due(path, value string) {
	due, ok := c.date(path, value)
	switch {
	case value == "":
		c.add(path, "The date on which the child is due is empty.", "Write it as year, month and day; about the right week is enough.")
	case !ok:
	case due.Before(c.today.AddDate(0, 0, -28)):
		c.add(path, "This date is more than four weeks ago.", "If the child is born, give date_of_birth.")
	case due.After(c.today.AddDate(0, 10, 0)):
		c.add(path, "This date is more than ten months away.", "Check the year, month and day.")
	}
}

func (c *checker) relationship(at string, r *posternv1.ChildRelationship) {
	pr := r.GetParentalResponsibility()
	if r.GetAgreesToEarlyHelp() == posternv1.Answer_ANSWER_YES &&
		pr != posternv1.Answer_ANSWER_YES && pr != posternv1.Answer_ANSWER_SHARED {
		c.add(at+"agrees_to_early_help", "Only somebody with parental responsibility can agree to early help for a child.",
			"Clear this answer; the team asks whoever has it.")
	}
}

// home checks where a child lives. n is the child's number.
func (c *checker) home(at string, n int, child *posternv1.Child) {
	switch {
	case child.GetAddressConfidential():
		c.add(at, "This child's address is confidential, so Postern does not take it.",
			"Clear it, mark it KNOWN_DECLINED, and telephone the front door.")
	case child.GetInCare():
		c.add(at, "This child is in care, so Postern does not take the address: the authority that cares for the child has it.",
			"Clear it and mark it KNOWN_NOT_ASKED.")
	}
	h := child.GetHome()
	for i, line := range h.GetAddressLines() {
		if blank(line) {
			c.add(fmt.Sprintf("%s.address_lines[%d]", at, i), "This line is empty.", "Remove it.")
		}
	}
	if h.GetSameAsChild() == 0 {
		return
	}
	at += ".same_as_child"
	if int(h.GetSameAsChild()) >= n {
		c.add(at, "This is not the number of an earlier child.", "Give the number of a child above this one; the first child of the form is 1.")
		return
	}
	other := c.form.GetChildren()[h.GetSameAsChild()-1]
	switch {
	case len(h.GetAddressLines()) > 0 || h.GetPostcode() != "":
		c.add(at, "The home is given twice: as another child's and in full.", "Clear the address and postcode, or clear this number.")
	case other.GetHome().GetProvenance().GetKnown() != known:
		c.add(at, "The home of that child is not given.", "Give it there, or give the address here.")
	case other.GetAuthority() != child.GetAuthority():
		c.add(at, "The two children are said to live together, but in different authorities.", "Check the authority of both.")
	}
}

func (c *checker) phone(path, value string) {
	if !phoneShape.MatchString(phoneMarks.Replace(value)) {
		c.add(path, "This is not a telephone number.", "Write all of it with the area code, such as 01632 960001; spaces do not matter.")
	}
}

func (c *checker) needs(path string, codes []posternv1.Need) {
	for i, code := range codes {
		if slices.Contains(codes[:i], code) {
			c.add(fmt.Sprintf("%s[%d]", path, i), "This is given twice.", "Give each kind of help once.")
		}
	}
}
