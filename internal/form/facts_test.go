package form_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/form"
	"postern/internal/form/formtest"
	posternv1 "postern/proto/postern/v1"
)

const (
	yes      = posternv1.Answer_ANSWER_YES
	no       = posternv1.Answer_ANSWER_NO
	notKnown = posternv1.Answer_ANSWER_NOT_KNOWN
)

func TestTheFactsOfAnOrdinaryChild(t *testing.T) {
	children, hub := form.Facts(parts(t, formtest.New(formtest.Bristol))[0], config())
	c := children[0]
	if known := c.GetKnown(); len(known) != 10 || known[2].GetPath() != "child/1/home" || known[2].GetKnown() != posternv1.Known_KNOWN_KNOWN {
		t.Errorf("what is known of the child is %v", known)
	}
	c.Known = nil
	want := &posternv1.ChildFacts{
		Number: 1, Age: &posternv1.ChildFacts_AgeYears{AgeYears: 7}, AsOfDate: "2026-11-22",
		CarerKnown: yes, CarerIsAdult: yes, PrimaryCarerBefore: yes, LivedWithBefore: yes, ParentalResponsibility: yes,
	}
	if !proto.Equal(c, want) {
		t.Errorf("the facts are\n%v, want\n%v", c, want)
	}
	if hub.GetGate() != posternv1.Gate_GATE_NO_HOLD || !hub.GetFirstSubmitTime().AsTime().Equal(formtest.Now) ||
		len(hub.GetChildRefs()) != 1 || len(hub.GetKnown()) != 5 || len(hub.GetSlipCodeSha256()) != 32 {
		t.Errorf("the facts for the hub are %v", hub)
	}
}

func TestWhatIsNotSaidIsNotKnown(t *testing.T) {
	f := formtest.New(formtest.Bristol)
	f.Gate = 0
	f.Children[0] = &posternv1.Child{Authority: formtest.Bristol, InCare: true, AddressConfidential: true}
	children, hub := form.Facts(parts(t, f)[0], form.FactsConfig{Today: "2026-11-22", DeskKey: config().DeskKey})
	c := children[0]
	for _, k := range c.GetKnown() {
		if k.GetKnown() != posternv1.Known_KNOWN_NOT_ASKED {
			t.Errorf("%s, which is not in the form, is %v", k.GetPath(), k.GetKnown())
		}
	}
	c.Known = nil
	want := &posternv1.ChildFacts{
		Number: 1, AsOfDate: "2026-11-22", CarerKnown: no, CarerIsAdult: notKnown, PrimaryCarerBefore: notKnown,
		LivedWithBefore: notKnown, ParentalResponsibility: notKnown, InCare: true, AddressConfidential: true,
	}
	if !proto.Equal(c, want) {
		t.Errorf("the facts are\n%v, want\n%v", c, want)
	}
	if hub.GetGate() != posternv1.Gate_GATE_NOT_DONE || hub.GetFirstSubmitTime() != nil || hub.GetSlipCodeSha256() != nil {
		t.Errorf("the facts for the hub are %v", hub)
	}
}

func TestTheCarer(t *testing.T) {
	for name, tc := range map[string]struct {
		carer        *posternv1.ChildCarer
		known, adult posternv1.Answer
	}{
		"by name":         {&posternv1.ChildCarer{Name: "Gwladys Tattersby"}, yes, notKnown},
		"by relationship": {&posternv1.ChildCarer{Relationship: posternv1.Relationship_RELATIONSHIP_GRANDPARENT, IsAdult: yes}, yes, yes},
		"under 18":        {&posternv1.ChildCarer{Name: "Gwladys Tattersby", IsAdult: no}, yes, no},
		"some adult":      {&posternv1.ChildCarer{IsAdult: yes}, no, yes},
	} {
		t.Run(name, func(t *testing.T) {
			f := formtest.New(formtest.Bristol)
			tc.carer.Provenance = f.Children[0].Carer.Provenance
			f.Children[0].Carer = tc.carer
			children, _ := form.Facts(parts(t, f)[0], config())
			if c := children[0]; c.GetCarerKnown() != tc.known || c.GetCarerIsAdult() != tc.adult {
				t.Errorf("known %v, adult %v; want %v, %v", c.GetCarerKnown(), c.GetCarerIsAdult(), tc.known, tc.adult)
			}
		})
	}
}

func TestAge(t *testing.T) {
	for name, tc := range map[string]struct {
		born   func(*posternv1.ChildIdentity)
		today  string
		want   uint32
		unborn bool
	}{
		"the day before the birthday": {birth("2019-05-01"), "2027-04-30", 7, false},
		"the birthday":                {birth("2019-05-01"), "2027-05-01", 8, false},
		"born today":                  {birth("2026-11-22"), "2026-11-22", 0, false},
		"a leap day, on 28 February":  {birth("2016-02-29"), "2027-02-28", 10, false},
		"a leap day, on 1 March":      {birth("2016-02-29"), "2027-03-01", 11, false},
		"an age, the same year":       {aged(4), "2027-11-20", 4, false},
		"an age, a year on":           {aged(4), "2027-11-21", 5, false},
		"an age before it was said":   {aged(4), "2026-01-01", 4, false},
		"unborn": {func(id *posternv1.ChildIdentity) {
			id.Born = &posternv1.ChildIdentity_DueDate{DueDate: "2027-02-01"}
		}, "2026-11-22", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := formtest.New(formtest.Bristol)
			tc.born(f.Children[0].Identity)
			cfg := config()
			cfg.Today = tc.today
			children, _ := form.Facts(parts(t, f)[0], cfg)
			if c := children[0]; c.GetAgeYears() != tc.want || c.GetUnborn() != tc.unborn || c.GetAsOfDate() != tc.today {
				t.Errorf("the age is %v", c)
			}
		})
	}
}

func birth(date string) func(*posternv1.ChildIdentity) {
	return func(id *posternv1.ChildIdentity) { id.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: date} }
}

// aged is an age as of 2026-11-21, the day of reception.
func aged(n uint32) func(*posternv1.ChildIdentity) {
	return func(id *posternv1.ChildIdentity) { id.Born = &posternv1.ChildIdentity_AgeYears{AgeYears: n} }
}

func TestWhoLivesTogether(t *testing.T) {
	f := formtest.New(slices.Repeat([]string{formtest.Bristol}, 6)...)
	home := func(i int, postcode string, lines ...string) {
		f.Children[i].Home.AddressLines, f.Children[i].Home.Postcode = lines, postcode
	}
	home(0, "ZZ99", "1 Sixpenny Steps")
	home(1, "ZZ99 3QT", "2 Sixpenny Steps,", "Fernhollow")
	home(2, "ZZ99")
	home(3, "zz993qt", "2 sixpenny  steps", "FERNHOLLOW")
	home(4, "ZZ99")
	home(5, "")
	f.Children[5].Home.SameAsChild = 5
	children, _ := form.Facts(parts(t, f)[0], config())
	var got []uint32
	for _, c := range children {
		got = append(got, c.GetSameAddressGroup())
	}
	// An outward code alone does not make two homes one; being said to be one does.
	if want := []uint32{0, 1, 0, 1, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("the groups are %v, want %v", got, want)
	}
}

func TestFactsHoldNoValueOfASection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Valid(t)
		personal := append(leaves(f.GetParent()), f.GetPrisonNumber())
		for _, c := range f.GetChildren() {
			personal = append(personal, leaves(c, "authority")...)
		}
		for _, p := range parts(t, f) {
			children, hub := form.Facts(p, config())
			all := marshal(t, hub)
			for _, c := range children {
				c.AsOfDate = "" // the day of the reckoning, which may be that of a birth
				all = append(all, marshal(t, c)...)
			}
			for _, value := range personal {
				if len(value) >= 6 && bytes.Contains(all, []byte(value)) {
					t.Fatalf("the facts hold the value %q", value)
				}
			}
		}
	})
}

func marshal(t interface{ Fatal(...any) }, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// contents are the content references of a form's parts.
func contents(t interface{ Fatal(...any) }, f *posternv1.Form) string {
	var all []byte
	for _, p := range parts(t, f) {
		_, hub := form.Facts(p, config())
		all = append(all, hub.GetContentRef()...)
	}
	return string(all)
}

func TestTheSameStoryToldTwiceIsOneStory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Valid(t)
		again := proto.CloneOf(f)
		again.FormId, again.Consent.Id = "b0a7c7c2-9a3e-4d55-8f10-3f0d0f6d2c11", ""
		again.Tonight.AskTime = nil
		again.Consent.GiveTime = timestamppb.New(formtest.Now.Add(-2 * time.Hour))
		again.Gate, again.Calls = posternv1.Gate_GATE_HOLD, nil
		if contents(t, f) != contents(t, again) {
			t.Fatal("other ids and times made another story")
		}
	})
}

func TestAnotherStoryIsAnother(t *testing.T) {
	f := formtest.New(formtest.Bristol)
	seen := map[string]string{contents(t, f): "the story itself"}
	for name, edit := range map[string]func(*posternv1.Form){
		"another person":      func(f *posternv1.Form) { f.PrisonNumber = "A0009ZZ" },
		"another authority":   func(f *posternv1.Form) { f.Children[0].Authority = formtest.Wrexham },
		"another reception":   func(f *posternv1.Form) { f.Reception.ReceiveDate = "2026-11-20" },
		"another name":        func(f *posternv1.Form) { f.Children[0].Identity.KnownAs = "Perry" },
		"another answer":      func(f *posternv1.Form) { f.Children[0].Carer.IsAdult = no },
		"another child":       func(f *posternv1.Form) { f.Children = append(f.Children, proto.CloneOf(f.Children[0])) },
		"another consent":     func(f *posternv1.Form) { f.Consent.Sections = f.Consent.Sections[1:] },
		"in care":             func(f *posternv1.Form) { f.Children[0].Home = nil; f.Children[0].InCare = true },
		"without the home":    func(f *posternv1.Form) { f.Children[0].Home = nil },
		"another parent name": func(f *posternv1.Form) { f.Parent.Name.GivenName = "Morwena" },
	} {
		other := proto.CloneOf(f)
		edit(other)
		ref := contents(t, other)
		if was, ok := seen[ref]; ok {
			t.Errorf("%s looks like %s", name, was)
		}
		seen[ref] = name
	}
}

func TestReferencesLinkNobodyElse(t *testing.T) {
	refs := func(f *posternv1.Form, cfg form.FactsConfig) (all []string) {
		for _, p := range parts(t, f) {
			_, hub := form.Facts(p, cfg)
			all = append(all, string(hub.GetSubjectRef()))
			for _, ref := range hub.GetChildRefs() {
				all = append(all, string(ref))
			}
		}
		return all
	}
	f := formtest.New(formtest.Bristol, formtest.Lancashire)
	same := refs(f, config())
	if same[0] != same[2] || same[1] == same[3] {
		t.Error("one person must have one reference in both parts, two children two")
	}
	typed := proto.CloneOf(f)
	typed.PrisonNumber = " " + strings.ToLower(f.GetPrisonNumber()) + " "
	typed.Children[0].Identity.GivenName = " PEREGRINE-1 "
	if got := refs(typed, config()); !slices.Equal(got, same) {
		t.Error("the same person and children, typed otherwise, have other references")
	}
	other, desk := proto.CloneOf(f), config()
	other.PrisonNumber = "A0009ZZ"
	desk.DeskKey = bytes.Repeat([]byte{8}, 32)
	for name, got := range map[string][]string{"another parent": refs(other, config()), "another desk": refs(f, desk)} {
		for i := range got {
			if slices.Contains(same, got[i]) {
				t.Errorf("%s shares a reference", name)
			}
		}
	}
	strangers := formtest.New(formtest.Bristol, formtest.Bristol)
	strangers.Children[0].Identity, strangers.Children[1].Identity = nil, nil
	if got := refs(strangers, config()); got[1] == got[2] {
		t.Error("two children of whom nothing is known are taken for one")
	}
}

// opened is what an inbox opens of a part.
func opened(p form.Part) map[string]proto.Message {
	all := map[string]proto.Message{}
	for _, s := range p.Sections {
		all[s.Path] = s.Message
	}
	return all
}

func TestWhatIsOpenedAgreesWithItsFacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, p := range parts(t, formtest.Valid(t)) {
			children, _ := form.Facts(p, config())
			if wrong := form.CompareFacts(children, opened(p)); len(wrong) > 0 {
				t.Fatalf("%v contradict the facts they were made with", wrong)
			}
		}
	})
}

func TestWhatContradictsItsFactsIsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(map[string]proto.Message, []*posternv1.ChildFacts)
		want string
	}{
		"another age": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) {
			birth("2012-01-01")(m["child/1/identity"].(*posternv1.ChildIdentity))
		}, "child/1/identity"},
		"unborn": {func(_ map[string]proto.Message, f []*posternv1.ChildFacts) {
			f[0].Age = &posternv1.ChildFacts_Unborn{Unborn: true}
		}, "child/1/identity"},
		"a carer who is a child": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) {
			m["child/2/carer"].(*posternv1.ChildCarer).IsAdult = no
		}, "child/2/carer"},
		"a distant relation": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) {
			m["child/2/relationship"].(*posternv1.ChildRelationship).LivedWithBefore = no
		}, "child/2/relationship"},
		"known, but said not to be": {func(_ map[string]proto.Message, f []*posternv1.ChildFacts) {
			f[1].Known[6].Known = posternv1.Known_KNOWN_NOT_KNOWN
		}, "child/2/school"},
		"a child nobody spoke of": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) {
			m["child/3/school"] = m["child/2/school"]
		}, "child/3/school"},
		"a home that should not be": {func(_ map[string]proto.Message, f []*posternv1.ChildFacts) { f[0].AddressConfidential = true },
			"child/1/home"},
		"one home said to be two": {func(_ map[string]proto.Message, f []*posternv1.ChildFacts) {
			f[0].SameAddressGroup, f[1].SameAddressGroup = 0, 0
		}, "child/1/home child/2/home"},
		"two homes said to be one": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) {
			m["child/2/home"].(*posternv1.ChildHome).AddressLines = []string{"elsewhere"}
		}, "child/1/home child/2/home"},
		"a home that points elsewhere": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) {
			m["child/1/home"].(*posternv1.ChildHome).SameAsChild = 9
		}, "child/1/home"},
		"a home left behind": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) { delete(m, "child/1/home") }, ""},
		"a parent without facts": {func(m map[string]proto.Message, _ []*posternv1.ChildFacts) {
			m["parent/name"].(*posternv1.ParentName).FamilyName = "Other"
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := formtest.New(formtest.Bristol, formtest.Bristol)
			f.Children[1].Home = proto.CloneOf(f.Children[0].Home)
			p := parts(t, f)[0]
			children, _ := form.Facts(p, config())
			sections := opened(p)
			tc.edit(sections, children)
			if got := strings.Join(form.CompareFacts(children, sections), " "); got != tc.want {
				t.Errorf("named %q, want %q", got, tc.want)
			}
		})
	}
}

// A child is known again by name, however it is typed, and birth; of whom nothing is known nobody is.
func TestSameChild(t *testing.T) {
	child := func(edit func(*posternv1.ChildIdentity)) *posternv1.ChildIdentity {
		c := proto.CloneOf(formtest.New(formtest.Bristol).GetChildren()[0].GetIdentity())
		edit(c)
		return c
	}
	as := child(func(*posternv1.ChildIdentity) {})
	for name, c := range map[string]struct {
		edit func(*posternv1.ChildIdentity)
		same bool
	}{
		"typed otherwise": {func(c *posternv1.ChildIdentity) { c.GivenName = " PEREGRINE-1" }, true},
		"another name":    {func(c *posternv1.ChildIdentity) { c.GivenName = "Perry" }, false},
		"another birth":   {func(c *posternv1.ChildIdentity) { c.Born = &posternv1.ChildIdentity_AgeYears{AgeYears: 7} }, false},
		"not known":       {func(c *posternv1.ChildIdentity) { c.Provenance.Known = posternv1.Known_KNOWN_NOT_KNOWN }, false},
	} {
		if other := child(c.edit); form.SameChild(as, other) != c.same || form.SameChild(other, as) != c.same {
			t.Errorf("%s: the same is %v", name, !c.same)
		}
	}
	if form.SameChild(nil, nil) {
		t.Error("two of whom nothing is known are the same")
	}
}
