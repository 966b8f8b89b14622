package form_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/consent"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// parts checks a form that must be good and splits it.
func parts(t interface{ Fatal(...any) }, f *posternv1.Form) []form.Part {
	checked, err := form.Check(f, formtest.Env())
	if err != nil {
		t.Fatal(err)
	}
	return checked.Parts(newIDs())
}

// config is what facts need, the same for every test.
func config() form.FactsConfig {
	return form.FactsConfig{
		Today: form.Today(formtest.Now), DeskKey: bytes.Repeat([]byte{7}, 32), FirstSubmit: formtest.Now, SlipCode: "larch-42",
	}
}

// wire is everything of a part that may leave the desk, as bytes.
func wire(t interface{ Fatal(...any) }, p form.Part) []byte {
	children, hub := form.Facts(p, config())
	messages := []proto.Message{hub, p.Consent, p.Reception, p.LawfulBasis, p.Enquiry}
	for _, c := range children {
		messages = append(messages, c)
	}
	for _, s := range p.Sections {
		messages = append(messages, s.Message)
	}
	var all []byte
	for _, m := range messages {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal("an accepted form does not marshal: ", err)
		}
		all = append(all, b...)
	}
	for _, s := range p.Sections {
		all = append(all, s.Path...)
	}
	return append(all, p.NoticeVersion+p.Authority...)
}

func TestSplittingCoversEachChildAndAuthorityOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Valid(t)
		var children []int
		authorities, ids := map[string]bool{}, map[string]bool{f.GetConsent().GetId(): true}
		for _, p := range parts(t, f) {
			if authorities[p.Authority] || ids[p.Consent.GetId()] {
				t.Fatalf("the authority %s or the consent %s comes twice", p.Authority, p.Consent.GetId())
			}
			authorities[p.Authority], ids[p.Consent.GetId()] = true, true
			for i, c := range p.Children {
				if c.Number != i+1 || f.GetChildren()[c.FormNumber-1].GetAuthority() != p.Authority {
					t.Fatalf("child %d of %s is numbered %d", c.FormNumber, p.Authority, c.Number)
				}
				children = append(children, c.FormNumber)
			}
			if p.Route != posternv1.Route_ROUTE_STANDARD || p.Enquiry != nil || !proto.Equal(p.Reception, f.GetReception()) {
				t.Fatalf("the part of %s is not an offer on the standard route", p.Authority)
			}
		}
		slices.Sort(children)
		for i := range f.GetChildren() {
			if len(children) != len(f.GetChildren()) || children[i] != i+1 {
				t.Fatalf("of %d children, %v are in parts", len(f.GetChildren()), children)
			}
		}
	})
}

func TestAPartHoldsExactlyWhatTheConsentCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Valid(t)
		ended := !consent.Expiry(f.GetConsent()).After(formtest.Now)
		for _, p := range parts(t, f) {
			sealed := map[string]proto.Message{}
			for _, s := range p.Sections {
				if sealed[s.Path] != nil {
					t.Fatalf("%s is sealed twice", s.Path)
				}
				if !consent.Covers(p.Consent, s.Path) {
					t.Fatalf("%s is sealed, but the projection does not cover it", s.Path)
				}
				sealed[s.Path] = s.Message
			}
			for _, c := range append(p.Children, form.PartChild{}) { // the last stands for the parent
				for _, s := range section.All() {
					if s.PerChild != (c.Number > 0) {
						continue
					}
					m, present := section.Get(f, s.Path(c.FormNumber))
					want := present && !ended && consent.Reaches(f.GetConsent(), p.Authority) &&
						consent.Covers(f.GetConsent(), s.Path(c.FormNumber))
					got := sealed[s.Path(c.Number)]
					if (got != nil) != want {
						t.Fatalf("%s of the form is sealed: %v, want %v", s.Path(c.FormNumber), got != nil, want)
					}
					if home, _ := m.(*posternv1.ChildHome); want && home.GetSameAsChild() == 0 && !proto.Equal(got, m) {
						t.Fatalf("%s changed on its way from\n%v to\n%v", s.Path(c.FormNumber), m, got)
					}
				}
			}
		}
	})
}

func TestNoPartTellsOfAnotherAuthority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Valid(t)
		all := parts(t, f)
		for _, p := range all {
			said := wire(t, p)
			for _, other := range []string{formtest.Bristol, formtest.Lancashire, formtest.Wrexham} {
				if other != p.Authority && bytes.Contains(said, []byte(other)) {
					t.Fatalf("the part of %s says %s", p.Authority, other)
				}
			}
			if bytes.Contains(said, []byte(f.GetConsent().GetId())) || f.GetFormId() != "" && bytes.Contains(said, []byte(f.GetFormId())) {
				t.Fatal("a part carries the id of the form or of its consent")
			}
			for n := len(p.Children) + 1; n <= form.MaxChildren; n++ {
				if bytes.Contains(said, fmt.Appendf(nil, "child/%d", n)) || slices.Contains(p.Consent.GetChildren(), uint32(n)) {
					t.Fatalf("the part of %s has %d children and mentions child %d", p.Authority, len(p.Children), n)
				}
			}
		}
		// The world without the other authority's children looks the same to this one, but for references and ids.
		if first := all[0]; len(all) > 1 {
			alone := proto.CloneOf(f)
			cutTo(alone, first)
			checked, err := form.Check(alone, formtest.Env())
			if err != nil {
				return // the person agreed to tell only about the other children: no such world
			}
			if again := checked.Parts(newIDs()); !bytes.Equal(wire(t, again[0]), wire(t, first)) {
				t.Fatalf("the part of %s differs when the others are not there", first.Authority)
			}
		}
	})
}

// cutTo removes the children of other authorities from a form.
func cutTo(f *posternv1.Form, p form.Part) {
	old := f.GetChildren()
	f.Children = nil
	renumbered := map[int]int{}
	for _, c := range p.Children {
		child := old[c.FormNumber-1]
		if same := child.GetHome().GetSameAsChild(); same != 0 {
			child.Home.SameAsChild = uint32(renumbered[int(same)])
		}
		f.Children = append(f.Children, child)
		renumbered[c.FormNumber] = c.Number
	}
	var children []uint32
	for _, n := range f.GetConsent().GetChildren() {
		if renumbered[int(n)] != 0 {
			children = append(children, uint32(renumbered[int(n)]))
		}
	}
	slices.Sort(children)
	var sections []string
	for _, s := range f.GetConsent().GetSections() {
		if n, ok := section.ChildOf(s); ok {
			if renumbered[n] == 0 {
				continue
			}
			s = strings.Replace(s, fmt.Sprintf("child/%d/", n), fmt.Sprintf("child/%d/", renumbered[n]), 1)
		}
		sections = append(sections, s)
	}
	f.Consent.Children, f.Consent.Sections = children, sections
	var calls []*posternv1.Call
	for _, call := range f.GetCalls() {
		if n := int(call.GetChildNumber()); n == 0 || renumbered[n] != 0 {
			call.ChildNumber = uint32(renumbered[n])
			calls = append(calls, call)
		}
	}
	f.Calls = calls
}

func TestARefusalBecomesAnEnquiryWithoutDestination(t *testing.T) {
	f := formtest.Declined()
	f.AskAgainDate = "2026-11-24"
	f.Consent = &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_DECLINED, Authorities: []string{formtest.Bristol}}
	all := parts(t, f)
	if len(all) != 1 {
		t.Fatalf("%d parts, want one", len(all))
	}
	p := all[0]
	want := &posternv1.Enquiry{Outcome: posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED, AskAgainDate: "2026-11-24"}
	if !proto.Equal(p.Enquiry, want) || p.Authority != "" || p.Consent != nil || p.Children != nil || p.Sections != nil {
		t.Errorf("the part of a refusal is %+v", p)
	}
	if bytes.Contains(wire(t, p), []byte(formtest.Bristol)) {
		t.Error("the refusal names an authority")
	}
	children, hub := form.Facts(p, config())
	if children != nil || hub.GetChildRefs() != nil || hub.GetKnown() != nil || len(hub.GetSubjectRef()) != 32 {
		t.Errorf("the facts of a refusal are %v and %v", children, hub)
	}
}

func TestAHomeGivenAsAnotherChildsTravelsInFull(t *testing.T) {
	f := formtest.New(formtest.Bristol, formtest.Bristol, formtest.Bristol)
	for i := 1; i < 3; i++ { // the third lives with the second, who lives with the first
		f.Children[i].Home = &posternv1.ChildHome{Provenance: f.Children[i].Home.Provenance, SameAsChild: uint32(i)}
	}
	f.Consent.Children = []uint32{3} // and only of the third may be told
	p := parts(t, f)[0]
	at := slices.IndexFunc(p.Sections, func(s form.PartSection) bool { return s.Path == "child/3/home" })
	if at < 0 || !proto.Equal(p.Sections[at].Message, f.Children[0].Home) {
		t.Fatalf("the home of child 3 is not among %v as child 1's", p.Sections)
	}
	children, _ := form.Facts(p, config())
	for _, c := range children {
		if c.GetSameAddressGroup() != 1 {
			t.Errorf("child %d is in group %d", c.GetNumber(), c.GetSameAddressGroup())
		}
	}
}

func TestAConsentThatHasEndedSealsNothing(t *testing.T) {
	f := formtest.New(formtest.Bristol)
	f.Consent.GiveTime = timestamppb.New(formtest.Now.Add(-consent.Term))
	if p := parts(t, f)[0]; len(p.Sections) != 0 || len(p.Consent.GetSections()) == 0 {
		t.Errorf("%d sections are sealed; the consent shows %d", len(p.Sections), len(p.Consent.GetSections()))
	}
	f.Consent.GiveTime = timestamppb.New(formtest.Now.Add(-consent.Term + time.Second))
	if p := parts(t, f)[0]; len(p.Sections) == 0 {
		t.Error("a consent in its last second seals nothing")
	}
}
