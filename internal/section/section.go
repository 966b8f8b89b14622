// Package section is the table of sections: the units of consent, policy and sealing.
//
// The table is read from the options in form.proto and from nowhere else, so a section cannot exist without a path, a
// class and a padded size. Paths look like `child/2/home` (`child/{n}/home` as a pattern); the form calls the same
// thing children[1].home, and FieldPath is the one function that converts.
package section

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	posternv1 "postern/proto/postern/v1"
)

// Section is one row of the table.
type Section struct {
	Pattern    string                 // such as "parent/name" or "child/{n}/home"
	Name       string                 // the last part of the pattern, such as "home"
	Class      posternv1.SectionClass // when it may travel at all
	PaddedSize int                    // bytes of plaintext after padding, the same for every value
	PerChild   bool                   // whether the pattern has a child's number
	Urgent     bool                   // whether it goes on the urgent route, without consent

	field protoreflect.FieldDescriptor
	paths []string // by the child's number, as far as spelt
}

// spelt is up to which child the table holds the paths: one more than a form has.
const spelt = 17

// Path returns the path of the section for a child's number; a section of the parent ignores it.
func (s Section) Path(child int) string {
	if !s.PerChild {
		return s.Pattern
	}
	if child >= 0 && child < len(s.paths) {
		return s.paths[child]
	}
	return strings.Replace(s.Pattern, "{n}", strconv.Itoa(child), 1)
}

// New returns an empty message of the section's type.
func (s Section) New() proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(s.field.Message().FullName())
	if err != nil {
		panic(fmt.Sprintf("section: %s is linked without its type: %v", s.Pattern, err)) // a broken build, not an input
	}
	return t.New().Interface()
}

// All returns the table in the order of the form: the parent's sections, a child's sections, urgency.
func All() []Section { return table() }

var table = sync.OnceValue(func() []Section {
	var all []Section
	for _, m := range []proto.Message{(*posternv1.Parent)(nil), (*posternv1.Child)(nil), (*posternv1.Form)(nil)} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			rule, _ := proto.GetExtension(f.Options(), posternv1.E_Section).(*posternv1.SectionRule)
			if rule == nil {
				continue
			}
			s := Section{
				Pattern:    rule.GetPath(),
				Name:       rule.GetPath()[strings.LastIndexByte(rule.GetPath(), '/')+1:],
				Class:      rule.GetSectionClass(),
				PaddedSize: int(rule.GetPaddedSize()),
				PerChild:   strings.Contains(rule.GetPath(), "{n}"),
				Urgent:     rule.GetAlsoUrgent() || rule.GetSectionClass() != posternv1.SectionClass_SECTION_CLASS_PERMITTED,
				field:      f,
			}
			for n := 0; s.PerChild && n < spelt; n++ {
				s.paths = append(s.paths, strings.Replace(s.Pattern, "{n}", strconv.Itoa(n), 1))
			}
			all = append(all, s)
		}
	}
	return all
})

// Of returns the sections of a child, or else the others, in the order of All; callers must not change them.
func Of(child bool) []Section { return halves()[child] }

var halves = sync.OnceValue(func() map[bool][]Section {
	m := map[bool][]Section{}
	for _, s := range table() {
		m[s.PerChild] = append(m[s.PerChild], s)
	}
	return m
})

var byPattern = sync.OnceValue(func() map[string]Section {
	m := map[string]Section{}
	for _, s := range table() {
		m[s.Pattern] = s
	}
	return m
})

// byPath has the sections by their paths, as far as spelt.
var byPath = sync.OnceValue(func() map[string]Section {
	m := map[string]Section{}
	for _, s := range Of(false) {
		m[s.Pattern] = s
	}
	for _, s := range Of(true) {
		for _, path := range s.paths[1:] {
			m[path] = s
		}
	}
	return m
})

// splitChild takes a child's path such as child/2/home apart. A number is 1 to 99 without a leading zero, so every path
// has one spelling.
func splitChild(path string) (number int, name string, ok bool) {
	rest, ok := strings.CutPrefix(path, "child/")
	digits, name, found := strings.Cut(rest, "/")
	if !ok || !found || name == "" || len(digits) < 1 || len(digits) > 2 || digits[0] == '0' {
		return 0, "", false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, "", false
		}
		number = 10*number + int(digits[i]-'0')
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && c != '_' {
			return 0, "", false
		}
	}
	return number, name, true
}

// Lookup returns the section that a path such as `child/2/home` belongs to.
func Lookup(path string) (Section, bool) {
	if s, ok := byPath()[path]; ok {
		return s, true
	}
	if _, name, ok := splitChild(path); ok {
		return ByPattern("child/{n}/" + name)
	}
	return Section{}, false
}

// ByPattern returns the section of a pattern such as `child/{n}/home`.
func ByPattern(pattern string) (Section, bool) {
	s, ok := byPattern()[pattern]
	return s, ok
}

// ChildOf returns the child's number in a path, and whether the path has one.
func ChildOf(path string) (int, bool) {
	n, _, ok := splitChild(path)
	return n, ok
}

// Scope reports whether path names something a person can withdraw: one child, as child/2, or one section.
func Scope(path string) bool {
	if _, ok := Lookup(path); ok {
		return true
	}
	_, ok := ChildOf(path + "/home")
	return ok
}

// FieldPath returns the field of the form for a section path: children[1].home for child/2/home.
func FieldPath(path string) string {
	if n, name, ok := splitChild(path); ok {
		return fmt.Sprintf("children[%d].%s", n-1, name)
	}
	return strings.ReplaceAll(path, "/", ".")
}

// Get returns the section at path in a form, and whether it is set.
func Get(f *posternv1.Form, path string) (proto.Message, bool) {
	s, ok := Lookup(path)
	if !ok {
		return nil, false
	}
	var holder proto.Message = f
	switch s.field.ContainingMessage().Name() {
	case "Parent":
		holder = f.GetParent()
	case "Child":
		n, _ := ChildOf(path)
		if n > len(f.GetChildren()) {
			return nil, false
		}
		holder = f.GetChildren()[n-1]
	}
	m := holder.ProtoReflect()
	if !m.IsValid() || !m.Has(s.field) {
		return nil, false
	}
	return m.Get(s.field).Message().Interface(), true
}

// Read reads an opened section, as the control sockets and the records of desk and inbox hold it. Its path says which
// message it is; an error means that another version of this program wrote it, and holds nothing of the section.
func Read(path string, content []byte) (proto.Message, error) {
	s, ok := Lookup(path)
	if !ok {
		return nil, errors.New("section: this version does not know a section it holds")
	}
	m := s.New()
	if proto.Unmarshal(content, m) != nil {
		return nil, errors.New("section: an opened section cannot be read")
	}
	return m, nil
}
