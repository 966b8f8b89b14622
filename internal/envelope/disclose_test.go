package envelope_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// subset draws some of the paths of a notification, and sometimes one it does not have.
func subset(t *rapid.T, v *envelope.Verified, name string) []string {
	var out []string
	for _, p := range v.Paths() {
		if rapid.Bool().Draw(t, name+" "+p) {
			out = append(out, p)
		}
	}
	if rapid.Bool().Draw(t, name+" and more") {
		out = append(out, "child/16/worker", "urgency", "no/such/section")
	}
	return out
}

// TestDiscloseOnlyRemoves: what is released is what was asked for and offered, byte for byte, with the facts of just the
// children in it and never those for the hub.
func TestDiscloseOnlyRemoves(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		n := w.seal(t, drawDraft(t, 5))
		before := value(proto.Marshal(n))(t)
		v := w.verify(t, n)
		paths := subset(t, v, "release")
		out, digests := v.Disclose(paths)

		if !proto.Equal(out.GetManifest(), n.GetManifest()) {
			t.Fatal("another manifest")
		}
		offered := byPath(n)
		released := map[int]bool{}
		for _, s := range out.GetSections() {
			if o := offered[s.GetPath()]; !slices.Contains(paths, s.GetPath()) || o == nil || !bytes.Equal(o.GetCiphertext(), s.GetCiphertext()) {
				t.Fatalf("%s was not asked for, or is not what the desk signed", s.GetPath())
			}
			if c, ok := section.ChildOf(s.GetPath()); ok {
				released[c] = true
			}
			delete(offered, s.GetPath())
		}
		if slices.ContainsFunc(slices.Collect(maps.Keys(offered)), func(p string) bool { return slices.Contains(paths, p) }) {
			t.Fatal("a section that was asked for is missing")
		}
		if !sorted(digests) || len(digests) != len(out.GetSections()) ||
			!slices.EqualFunc(digests, value(envelope.Verify(out, w.released()))(t).Digests(), bytes.Equal) {
			t.Fatal("the digests are not those of what is released")
		}
		checkFacts(t, n, out, released)
		if !bytes.Equal(before, value(proto.Marshal(n))(t)) {
			t.Fatal("Disclose changed the notification")
		}
	})
}

func byPath(n *posternv1.SealedNotification) map[string]*posternv1.SealedSection {
	m := map[string]*posternv1.SealedSection{}
	for _, s := range n.GetSections() {
		m[s.GetPath()] = s
	}
	return m
}

// checkFacts: one block of facts for each child with a released section, as the desk sent it, and nothing else.
func checkFacts(t *rapid.T, from, out *posternv1.SealedNotification, released map[int]bool) {
	for _, b := range out.GetFacts() {
		f := &posternv1.FactsBlock{}
		check(t, proto.Unmarshal(b, f))
		if f.GetHub() != nil {
			t.Fatal("facts for the hub alone were released")
		}
		if !released[int(f.GetChild().GetNumber())] {
			t.Fatalf("facts of child %d were released, who has no released section", f.GetChild().GetNumber())
		}
		if !slices.ContainsFunc(from.GetFacts(), func(o []byte) bool { return bytes.Equal(o, b) }) {
			t.Fatal("facts that the desk did not send")
		}
		delete(released, int(f.GetChild().GetNumber()))
	}
	if len(released) > 0 {
		t.Fatalf("children %v have a released section and no facts", released)
	}
}

// TestDiscloseIsMonotone: more paths release at least as much, and releasing twice releases what both allow.
func TestDiscloseIsMonotone(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		v := w.verify(t, w.seal(t, drawDraft(t, 3)))
		a, b := subset(t, v, "a"), subset(t, v, "b")
		narrow, _ := v.Disclose(a)
		wide, _ := v.Disclose(slices.Concat(a, b))
		for _, f := range narrow.GetFacts() {
			if !slices.ContainsFunc(wide.GetFacts(), func(g []byte) bool { return bytes.Equal(f, g) }) {
				t.Fatal("facts are lost by releasing more")
			}
		}
		for path := range byPath(narrow) {
			if byPath(wide)[path] == nil {
				t.Fatalf("%s is lost by releasing more", path)
			}
		}
		both, _ := value(envelope.Verify(wide, w.released()))(t).Disclose(a)
		if !proto.Equal(both, narrow) {
			t.Fatal("releasing a part of what was released is not that part")
		}
	})
}

func TestDiscloseNothing(t *testing.T) {
	w := newWorld(t)
	v := w.verify(t, w.seal(t, family(t)))
	for _, paths := range [][]string{nil, {}, {"child/3/home"}, {"child/{n}/relationship"}, {""}} {
		if out, digests := v.Disclose(paths); len(out.GetSections())+len(out.GetFacts())+len(digests) > 0 {
			t.Errorf("Disclose(%q) releases something", paths)
		}
	}
}

// TestTheHubsFactsNeverReachAnInbox: even one that does not look would not get them, and one that looks refuses.
func TestTheHubsFactsNeverReachAnInbox(t *testing.T) {
	w := newWorld(t)
	n := w.seal(t, family(t))
	v := w.verify(t, n)
	released, _ := v.Disclose(v.Paths())
	released.Facts = append(released.Facts, n.GetFacts()[2])
	_, err := envelope.Verify(released, w.released())
	refusedAs(t, err, "WRONG_FACTS")
}

// TestAnInboxWillNotTakeSectionsWithoutFacts: what is released of a child comes with what was decided on.
func TestAnInboxWillNotTakeSectionsWithoutFacts(t *testing.T) {
	w := newWorld(t)
	released, _ := w.verify(t, w.seal(t, family(t))).Disclose([]string{"child/1/phone"})
	released.Facts = nil
	_, err := envelope.Verify(released, w.released())
	refusedAs(t, err, "SECTION_WITHOUT_CHILD")
}

// TestADroppedPathIsNamedOnlyInTwoPlaces: what was offered and not released is named nowhere in what an inbox gets but
// in the projection of the consent, which is the person's own list, and in the `known` list of a child of whom something
// is released, which names every section of the form whatever was offered. docs/formats.md says so.
func TestADroppedPathIsNamedOnlyInTwoPlaces(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		d := family(t)
		for _, s := range d.Sections {
			d.Manifest.GetOffer().GetConsent().Sections = append(d.Manifest.GetOffer().GetConsent().Sections, s.Path)
		}
		for _, c := range d.Children {
			c.Known = []*posternv1.SectionKnown{{Path: section.All()[5].Path(int(c.GetNumber()))}}
		}
		d.Hub.Consideration = &posternv1.Consideration{Paths: d.Manifest.GetOffer().GetConsent().GetSections()}
		v := w.verify(t, w.seal(t, d))
		out, _ := v.Disclose(subset(t, v, "release"))

		m := proto.CloneOf(v.Manifest())
		m.GetOffer().Consent = nil
		rest := slices.Concat(value(proto.Marshal(m))(t), bytes.Join(withoutKnown(t, out.GetFacts()), nil))
		for _, s := range out.GetSections() {
			rest = append(rest, s.GetPath()+"\n"...)
		}
		for _, p := range v.Paths() {
			if byPath(out)[p] == nil && bytes.Contains(rest, []byte(p)) {
				t.Fatalf("%s was dropped, and is named", p)
			}
		}
		left := slices.DeleteFunc([]string{"child/1/", "child/2/"}, func(child string) bool {
			return slices.ContainsFunc(out.GetSections(), func(s *posternv1.SealedSection) bool { return strings.HasPrefix(s.GetPath(), child) })
		})
		for _, child := range left {
			if bytes.Contains(bytes.Join(out.GetFacts(), nil), []byte(child)) {
				t.Fatalf("%s was left out, and is named in the facts", child)
			}
		}
	})
}

func withoutKnown(t *rapid.T, blocks [][]byte) [][]byte {
	var out [][]byte
	for _, b := range blocks {
		f := &posternv1.FactsBlock{}
		check(t, proto.Unmarshal(b, f))
		f.GetChild().Known = nil
		out = append(out, value(proto.Marshal(f))(t))
	}
	return out
}
