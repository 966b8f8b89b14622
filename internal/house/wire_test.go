package house

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	posternv1 "postern/proto/postern/v1"
)

// wire is every .proto file of postern.v1, found through the registry so that a new file cannot be forgotten.
func wire() []protoreflect.FileDescriptor {
	var files []protoreflect.FileDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage(posternv1.File_postern_v1_form_proto.Package(), func(f protoreflect.FileDescriptor) bool {
		files = append(files, f)
		return true
	})
	return files
}

// classes is the class of every section. It is written down a second time on purpose: moving a section to another class
// changes what may be told about a child, and must be done twice to be done.
var classes = map[posternv1.SectionClass][]string{
	posternv1.SectionClass_SECTION_CLASS_MINIMUM: {"parent/name", "child/{n}/identity", "child/{n}/relationship",
		"child/{n}/home", "child/{n}/carer", "child/{n}/safety"},
	posternv1.SectionClass_SECTION_CLASS_PERMITTED: {"parent/birth", "parent/custody", "parent/language", "parent/wishes",
		"child/{n}/phone", "child/{n}/school", "child/{n}/knowledge", "child/{n}/needs", "child/{n}/worker"},
	posternv1.SectionClass_SECTION_CLASS_URGENT: {"urgency"},
}

func TestEveryMethodNamesItsCallers(t *testing.T) {
	methods, findings := callers(wire())
	if methods < 11 {
		t.Errorf("%d methods found; is the registry complete?", methods)
	}
	for _, f := range findings {
		t.Errorf("%s\n\twhy: access is denied unless the method names the role, so a method without callers is a mistake", f)
	}
}

// callers counts the methods, and reports those that name no caller, the same one twice, or a role that calls nothing.
func callers(files []protoreflect.FileDescriptor) (methods int, findings []string) {
	for _, f := range files {
		for _, s := range each(f.Services()) {
			for _, m := range each(s.Methods()) {
				methods++
				roles, _ := proto.GetExtension(m.Options(), posternv1.E_Callers).([]posternv1.Role)
				if len(roles) == 0 {
					findings = append(findings, fmt.Sprintf("%s names no callers", m.FullName()))
				}
				for i, r := range roles {
					if r == posternv1.Role_ROLE_UNSPECIFIED || r == posternv1.Role_ROLE_OPERATOR || slices.Contains(roles[:i], r) ||
						posternv1.Role_name[int32(r)] == "" {
						findings = append(findings, fmt.Sprintf("%s names the caller %v, which calls nothing or is named twice", m.FullName(), r))
					}
				}
			}
		}
	}
	return methods, findings
}

func TestEverySectionHasItsRule(t *testing.T) {
	for _, f := range sections(wire(), classes) {
		t.Errorf("%s\n\twhy: the section is the unit of consent, policy and sealing; one without its rule would travel unasked or not at all", f)
	}
}

// sections reports faults in section messages (those with a Provenance), in the fields that hold them, and in the
// classes of their paths.
func sections(files []protoreflect.FileDescriptor, classes map[posternv1.SectionClass][]string) []string {
	var findings []string
	say := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	provenance := (*posternv1.Provenance)(nil).ProtoReflect().Descriptor().FullName()
	owed := map[protoreflect.FullName]bool{} // section messages still without a field that holds them
	var fields []protoreflect.FieldDescriptor
	for _, f := range files {
		for _, m := range each(f.Messages()) {
			for _, field := range each(m.Fields()) {
				fields = append(fields, field)
				if field.Message() != nil && field.Message().FullName() == provenance {
					owed[m.FullName()] = true
					if field.Number() != 1 || field.Name() != "provenance" || field.IsList() {
						say("%s: Provenance must be field 1, called provenance", field.FullName())
					}
				}
			}
		}
	}
	isSection := maps.Clone(owed)
	found := map[string]posternv1.SectionClass{}
	for _, f := range fields {
		rule, _ := proto.GetExtension(f.Options(), posternv1.E_Section).(*posternv1.SectionRule)
		holds := f.Message() != nil && isSection[f.Message().FullName()]
		switch {
		case rule == nil && holds:
			say("%s holds a section and has no section option", f.FullName())
			delete(owed, f.Message().FullName())
		case rule != nil && !holds:
			say("%s has a section option and its type has no provenance", f.FullName())
		case rule != nil:
			if f.IsList() || !owed[f.Message().FullName()] {
				say("%s: one section message is held by one field, once", f.FullName())
			}
			delete(owed, f.Message().FullName())
			if want := pathOf(f); rule.GetPath() != want {
				say("%s has path %q, want %q", f.FullName(), rule.GetPath(), want)
			}
			if _, twice := found[rule.GetPath()]; twice {
				say("%s: path %q is taken", f.FullName(), rule.GetPath())
			}
			if rule.GetPaddedSize() == 0 {
				say("%s has no padded size", f.FullName())
			}
			found[rule.GetPath()] = rule.GetSectionClass()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(owed)) {
		say("%s has a provenance and no field of the form holds it", name)
	}
	return append(findings, classFaults(found, classes)...)
}

// pathOf is the path that a field of the form must have: children are numbered, the rest is called as in the form.
func pathOf(f protoreflect.FieldDescriptor) string {
	switch holder := f.ContainingMessage().Name(); holder {
	case "Form":
		return string(f.Name())
	case "Child":
		return "child/{n}/" + string(f.Name())
	default:
		return strings.ToLower(string(holder)) + "/" + string(f.Name())
	}
}

// classFaults compares the classes that the options give with the table.
func classFaults(found map[string]posternv1.SectionClass, classes map[posternv1.SectionClass][]string) []string {
	var findings []string
	want := map[string]posternv1.SectionClass{}
	for class, paths := range classes {
		for _, p := range paths {
			if other, twice := want[p]; twice {
				findings = append(findings, fmt.Sprintf("table: %s is in %v and in %v", p, class, other))
			}
			want[p] = class
			if _, ok := found[p]; !ok {
				findings = append(findings, fmt.Sprintf("%s is in the table and no field has it", p))
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(found)) {
		if class, ok := want[p]; !ok || class != found[p] {
			findings = append(findings, fmt.Sprintf("%s has class %v and the table says %v", p, found[p], class))
		}
	}
	return findings
}

// TestWireRulesCanFail is the negative control: each sample is one .proto file as a descriptor, with one fault.
func TestWireRulesCanFail(t *testing.T) {
	const note = `message_type { name: "Note" field { name: "provenance" number: 1 type: TYPE_MESSAGE type_name: ".postern.v1.Provenance" } }`
	holder := func(options string) string {
		return note + `message_type { name: "Child" field { name: "note" number: 9 type: TYPE_MESSAGE type_name: ".sample.Note" options { ` + options + ` } } }`
	}
	const good = `[postern.v1.section] { path: "child/{n}/note" section_class: SECTION_CLASS_URGENT padded_size: 256 }`
	minimum := map[posternv1.SectionClass][]string{posternv1.SectionClass_SECTION_CLASS_MINIMUM: {"child/{n}/note"}}
	urgent := map[posternv1.SectionClass][]string{posternv1.SectionClass_SECTION_CLASS_URGENT: {"child/{n}/note"}}
	for what, c := range map[string]struct {
		file    string
		classes map[posternv1.SectionClass][]string
		want    string // "" for none
	}{
		"fine":                {holder(good), urgent, ""},
		"no option":           {holder(""), nil, "has no section option"},
		"another class":       {holder(good), minimum, "the table says"},
		"not in the table":    {holder(good), nil, "the table says"},
		"no padded size":      {holder(strings.Replace(good, "256", "0", 1)), urgent, "no padded size"},
		"another path":        {holder(strings.Replace(good, "/note", "/home", 1)), map[posternv1.SectionClass][]string{3: {"child/{n}/home"}}, "has path"},
		"nobody holds it":     {note, nil, "no field of the form holds it"},
		"an invented section": {"", urgent, "no field has it"},
		"provenance is field 2": {strings.Replace(holder(good), "number: 1", "number: 2", 1), urgent,
			"must be field 1"},
		"two classes": {holder(good), map[posternv1.SectionClass][]string{3: {"child/{n}/note", "child/{n}/note"}}, "is in"},
		"no provenance": {strings.Replace(holder(good), "Provenance", "Reception", 1), nil,
			"its type has no provenance"},
	} {
		t.Run("section/"+what, func(t *testing.T) {
			expect(t, sections(sample(t, c.file), c.classes), c.want)
		})
	}
	method := func(options string) string {
		return `service { name: "S" method { name: "M" input_type: ".postern.v1.Form" output_type: ".postern.v1.Form" options { ` + options + ` } } }`
	}
	for what, c := range map[string]struct{ options, want string }{
		"fine":        {`[postern.v1.callers]: [ROLE_DESK, ROLE_INBOX]`, ""},
		"no callers":  {"", "sample.S.M names no callers"},
		"twice":       {`[postern.v1.callers]: [ROLE_DESK, ROLE_DESK]`, "named twice"},
		"unspecified": {`[postern.v1.callers]: ROLE_UNSPECIFIED`, "calls nothing"},
		"an operator": {`[postern.v1.callers]: ROLE_OPERATOR`, "calls nothing"},
	} {
		t.Run("callers/"+what, func(t *testing.T) {
			_, findings := callers(sample(t, method(c.options)))
			expect(t, findings, c.want)
		})
	}
}

// sample links the text form of a file descriptor.
func sample(t *testing.T, text string) []protoreflect.FileDescriptor {
	t.Helper()
	var d descriptorpb.FileDescriptorProto
	header := `name: "sample.proto" package: "sample" syntax: "proto3" dependency: "postern/v1/form.proto" `
	if err := prototext.Unmarshal([]byte(header+text), &d); err != nil {
		t.Fatal(err)
	}
	f, err := protodesc.NewFile(&d, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return []protoreflect.FileDescriptor{f}
}

func expect(t *testing.T, findings []string, want string) {
	t.Helper()
	if want == "" && len(findings) == 0 {
		return
	}
	if want == "" || len(findings) != 1 || !strings.Contains(findings[0], want) {
		t.Errorf("findings %q, want one with %q", findings, want)
	}
}

// list is what every list of descriptors offers.
type list[T any] interface {
	Len() int
	Get(i int) T
}

func each[T any](l list[T]) []T {
	all := make([]T, l.Len())
	for i := range all {
		all[i] = l.Get(i)
	}
	return all
}
