package section_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// children is the largest number of children a form may have.
const children = 16

func TestTheTableIsInTheOrderOfTheForm(t *testing.T) {
	var got []string
	for _, s := range section.All() {
		got = append(got, s.Pattern)
	}
	want := []string{
		"parent/name", "parent/birth", "parent/custody", "parent/language", "parent/wishes",
		"child/{n}/identity", "child/{n}/relationship", "child/{n}/home", "child/{n}/carer", "child/{n}/safety",
		"child/{n}/phone", "child/{n}/school", "child/{n}/knowledge", "child/{n}/needs", "child/{n}/worker",
		"urgency",
	}
	if !slices.Equal(got, want) {
		t.Errorf("sections are\n%q, want\n%q", got, want)
	}
}

func TestWhatGoesOnTheUrgentRoute(t *testing.T) {
	var got []string
	for _, s := range section.All() {
		if s.Urgent {
			got = append(got, s.Pattern)
		}
	}
	want := []string{"parent/name", "parent/birth", "child/{n}/identity", "child/{n}/relationship", "child/{n}/home",
		"child/{n}/carer", "child/{n}/safety", "child/{n}/phone", "child/{n}/school", "child/{n}/worker", "urgency"}
	if !slices.Equal(got, want) {
		t.Errorf("on the urgent route go\n%q, want\n%q", got, want)
	}
}

func TestEveryRowIsComplete(t *testing.T) {
	for _, s := range section.All() {
		if s.Class == posternv1.SectionClass_SECTION_CLASS_UNSPECIFIED || s.PaddedSize <= 0 ||
			s.Name == "" || !strings.HasSuffix("/"+s.Pattern, "/"+s.Name) || s.PerChild != strings.HasPrefix(s.Pattern, "child/") {
			t.Errorf("incomplete row: %+v", s)
		}
		m, ok := s.New().(interface{ GetProvenance() *posternv1.Provenance })
		if !ok || m.GetProvenance() != nil {
			t.Errorf("%s: a new message is %T, want an empty section", s.Pattern, s.New())
		}
		if byPattern, ok := section.ByPattern(s.Pattern); !ok || byPattern.Name != s.Name || byPattern.Class != s.Class {
			t.Errorf("ByPattern(%q) = %+v, %t", s.Pattern, byPattern, ok)
		}
	}
}

func TestLookupTakesOneSpelling(t *testing.T) {
	for _, path := range []string{"", "/", "parent", "parent/", "parent/Name", "parent/name/", "/parent/name", "parent/name\n",
		"parent/home", "parent/1/name", "urgency/", "urgency/1", "child", "child/home", "child/home/1", "child//home",
		"child/0/home", "child/01/home", "child/-1/home", "child/+1/home", "child/1 /home", "child/1/home/", "child/1/home\n",
		"child/1/", "child/1/name", "child/1/Home", "child/100/home", "child/1.0/home", "child/١/home", "child/{n}/home",
		"child/{1}/home", "child/{n}/name", "children[0].home"} {
		if s, ok := section.Lookup(path); ok {
			t.Errorf("Lookup(%q) = %s, want none", path, s.Pattern)
		}
		if m, ok := section.Get(fullForm(), path); ok {
			t.Errorf("Get(%q) = %T, want none", path, m)
		}
	}
	for _, pattern := range []string{"child/1/home", "child/{m}/home", ""} {
		if _, ok := section.ByPattern(pattern); ok {
			t.Errorf("ByPattern(%q) found a section", pattern)
		}
	}
}

// TestPathsLeadToTheirSection walks every section of every child there can be.
func TestPathsLeadToTheirSection(t *testing.T) {
	form := fullForm()
	taken := map[proto.Message]string{}
	for _, s := range section.All() {
		numbers := []int{0}
		if s.PerChild {
			numbers = numbers[:0]
			for n := range children {
				numbers = append(numbers, n+1)
			}
		}
		for _, n := range numbers {
			path := s.Path(n)
			if found, ok := section.Lookup(path); !ok || found.Pattern != s.Pattern {
				t.Fatalf("Lookup(%q) = %q, %t", path, found.Pattern, ok)
			}
			if got, ok := section.ChildOf(path); ok != s.PerChild || got != n {
				t.Errorf("ChildOf(%q) = %d, %t", path, got, ok)
			}
			m, ok := section.Get(form, path)
			if !ok || m.ProtoReflect().Type() != s.New().ProtoReflect().Type() {
				t.Fatalf("Get(%q) = %T, %t, want %T", path, m, ok, s.New())
			}
			if other, twice := taken[m]; twice {
				t.Errorf("%s and %s are one message", other, path)
			}
			taken[m] = path
			if at := byField(t, form, section.FieldPath(path)); at != m {
				t.Errorf("FieldPath(%q) = %q, which is not the section that Get returns", path, section.FieldPath(path))
			}
		}
	}
	if want := 6 + 10*children; len(taken) != want {
		t.Errorf("%d sections in a full form, want %d", len(taken), want)
	}
}

func TestFieldPath(t *testing.T) {
	for path, want := range map[string]string{
		"child/2/home": "children[1].home", "child/16/safety": "children[15].safety",
		"parent/name": "parent.name", "urgency": "urgency",
	} {
		if got := section.FieldPath(path); got != want {
			t.Errorf("FieldPath(%q) = %q, want %q", path, got, want)
		}
	}
}

// TestGetIsTrueToTheForm: for any form, Get finds exactly the sections that are set, never a neighbour's, and does not
// change the form.
func TestGetIsTrueToTheForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		form := &posternv1.Form{}
		if rapid.Bool().Draw(t, "parent") {
			form.Parent = &posternv1.Parent{}
		}
		for range rapid.IntRange(0, 3).Draw(t, "children") {
			form.Children = append(form.Children, &posternv1.Child{})
		}
		set := map[string]proto.Message{}
		for _, s := range section.All() {
			for _, n := range []int{1, 2, 3} {
				path := s.Path(n)
				holder := holderOf(form, s, n)
				if holder == nil || set[path] != nil || !rapid.Bool().Draw(t, path) {
					continue
				}
				m := s.New()
				holder.Set(holder.Descriptor().Fields().ByName(protoreflect.Name(s.Name)), protoreflect.ValueOfMessage(m.ProtoReflect()))
				set[path] = m
			}
		}
		before := proto.Clone(form)
		for _, s := range section.All() {
			for n := 1; n <= children+1; n++ {
				path := s.Path(n)
				got, ok := section.Get(form, path)
				if want, isSet := set[path]; ok != isSet || ok && got != want {
					t.Fatalf("Get(%q) = %v, %t, set %t", path, got, ok, isSet)
				}
			}
		}
		if !proto.Equal(before, form) {
			t.Fatal("Get changed the form")
		}
	})
}

func TestGetOfNothing(t *testing.T) {
	for _, form := range []*posternv1.Form{nil, {}, {Children: []*posternv1.Child{nil}}} {
		for _, path := range []string{"parent/name", "child/1/home", "urgency"} {
			if m, ok := section.Get(form, path); ok || m != nil {
				t.Errorf("Get(%v, %q) = %v, %t", form, path, m, ok)
			}
		}
	}
}

// holderOf is the message that holds a section, nil when the form has none.
func holderOf(form *posternv1.Form, s section.Section, n int) protoreflect.Message {
	switch {
	case s.PerChild && n <= len(form.GetChildren()):
		return form.GetChildren()[n-1].ProtoReflect()
	case strings.HasPrefix(s.Pattern, "parent/") && form.GetParent() != nil:
		return form.GetParent().ProtoReflect()
	case !strings.Contains(s.Pattern, "/"):
		return form.ProtoReflect()
	}
	return nil
}

// fullForm has every section of every child.
func fullForm() *posternv1.Form {
	form := &posternv1.Form{Parent: &posternv1.Parent{}}
	for range children {
		form.Children = append(form.Children, &posternv1.Child{})
	}
	for _, s := range section.All() {
		for n := range children {
			holder := holderOf(form, s, n+1)
			holder.Mutable(holder.Descriptor().Fields().ByName(protoreflect.Name(s.Name)))
		}
	}
	return form
}

// fieldPart is one step of a field path: a field, or an element of a list.
var fieldPart = regexp.MustCompile(`^([a-z_]+)(?:\[(\d+)\])?$`)

// byField follows a field path by the names of the fields alone.
func byField(t *testing.T, form *posternv1.Form, path string) proto.Message {
	t.Helper()
	m := form.ProtoReflect()
	for part := range strings.SplitSeq(path, ".") {
		step := fieldPart.FindStringSubmatch(part)
		if step == nil {
			t.Fatalf("%q is not a field path", path)
		}
		v := m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(step[1])))
		if step[2] == "" {
			m = v.Message()
			continue
		}
		var i int
		if _, err := fmt.Sscan(step[2], &i); err != nil {
			t.Fatal(err)
		}
		m = v.List().Get(i).Message()
	}
	return m.Interface()
}

func TestScope(t *testing.T) {
	for path, want := range map[string]bool{"child/2": true, "child/2/home": true, "parent/birth": true, "child/0": false, "child/02": false,
		"child": false, "child/2/": false, "child/2/home/x": false, "parent": false, "child/{n}": false, "child/{n}/home": false, "": false} {
		if got := section.Scope(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
