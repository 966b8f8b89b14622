package subject

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/section"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// defaults is why each section is held back, by whether the person said it or a record has it.
var defaults = map[string][2]Why{
	"parent/name": {}, "parent/birth": {}, "parent/custody": {}, "parent/language": {}, "parent/wishes": {}, "child/{n}/relationship": {},
	"child/{n}/identity": {Said, ThirdParty}, "child/{n}/carer": {Said, ThirdParty}, "child/{n}/knowledge": {Said, ThirdParty}, "child/{n}/needs": {Said, ThirdParty},
	"child/{n}/home": {Whereabouts, Whereabouts}, "child/{n}/phone": {Whereabouts, Whereabouts}, "child/{n}/school": {Whereabouts, Whereabouts},
	"child/{n}/safety": {Whereabouts, Whereabouts}, "child/{n}/worker": {Whereabouts, Whereabouts}, "urgency": {Safeguarding, Safeguarding},
}

// Each section has its default, and one that comes later has to be given one here; until then it is held back.
func TestEverySectionHasItsDefault(t *testing.T) {
	for _, s := range section.All() {
		want, known := defaults[s.Pattern]
		if !known {
			t.Errorf("%s has no default", s.Pattern)
		}
		for i, basis := range []posternv1.Basis{posternv1.Basis_BASIS_PARENT_SAID, posternv1.Basis_BASIS_RECORD} {
			m := s.New()
			p := &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: basis}
			m.ProtoReflect().Set(m.ProtoReflect().Descriptor().Fields().ByName("provenance"), protoreflect.ValueOfMessage(p.ProtoReflect()))
			if got := ofSection(s, m); got != want[i] {
				t.Errorf("%s by %v is %q, want %q", s.Pattern, basis, got, want[i])
			}
		}
	}
	later := section.Section{Pattern: "child/{n}/later", PerChild: true}
	if got := ofSection(later, &posternv1.ChildIdentity{}); got == Given || got == Said {
		t.Errorf("what nobody said is %q", got)
	}
	if got := ofSection(later, &posternv1.Provenance{}); got != ThirdParty {
		t.Errorf("a section that came later is %q", got)
	}
	for _, need := range []*posternv1.ChildNeeds{{Codes: []posternv1.Need{posternv1.Need_NEED_HEALTH}}, {Codes: []posternv1.Need{posternv1.Need_NEED_DISABILITY}}, {CommunicationNeeds: "signs"}} {
		need.Provenance = &posternv1.Provenance{Basis: posternv1.Basis_BASIS_PARENT_SAID}
		if got := ofSection(section.Section{PerChild: true}, need); got != Harm {
			t.Errorf("%v is %q", need, got)
		}
	}
}

// What somebody typed is text on a page and no part of it, in a title never; and of the same comes the same.
func TestNothingTypedActsOnAPage(t *testing.T) {
	const typed = "<script>alert(1)</script>\u202e"
	f := &posternv1.Form{FormId: "5d0c8f5e-2b7a-4c0e-9a34-71d2c6f0b8e1", PrisonNumber: "A0001ZZ", Parent: &posternv1.Parent{Name: &posternv1.ParentName{FamilyName: typed}}}
	held := Held{Prison: typed, StaffID: typed, MakeTime: time.Unix(1<<30, 0), Forms: []Form{{Form: f}}}
	for _, lang := range []words.Language{"", words.Welsh} {
		files, _, err := held.Files(lang)
		again, _, _ := held.Files(lang)
		if err != nil || len(files) != 6 || files[len(files)-1].Name != Index {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for i, one := range files {
			if !bytes.Equal(one.Content, again[i].Content) {
				t.Errorf("%s is another the second time", one.Name)
			}
			if strings.HasSuffix(one.Name, ".html") && (bytes.Contains(one.Content, []byte("<script")) || bytes.Contains(one.Content, []byte("\u202e")) ||
				bytes.Count(one.Content, []byte("alert(1)")) == 0) {
				t.Errorf("%s: %s", one.Name, one.Content)
			}
		}
		title, _, _ := strings.Cut(string(files[0].Content), "</title>")
		if strings.Contains(title, "alert") {
			t.Errorf("the title is %s", title)
		}
	}
	if f.GetParent().GetName().GetFamilyName() != typed {
		t.Error("the form was changed")
	}
}
