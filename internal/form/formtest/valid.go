package formtest

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// Valid draws a valid form that describes children: one to five in up to three authorities, sections known, not known
// or left out, homes alone and shared, children in care, unborn or with a confidential address, text of many scripts,
// and a consent to some of it, rarely one that was never given.
func Valid(t *rapid.T) *posternv1.Form {
	codes := rapid.SliceOfN(rapid.SampledFrom([]string{Bristol, Lancashire, Wrexham}), 1, 5).Draw(t, "authorities")
	f := New(codes...)
	f.FormId = rapid.SampledFrom([]string{"", "4fd1b1c6-0f25-4a77-9d0b-6c6f1f0e7a11"}).Draw(t, "form id")
	f.PrisonNumber = rapid.StringMatching(`A00[0-9]{2}Z[A-Z]`).Draw(t, "prison number")
	varyAll(t, f)
	for range rapid.IntRange(0, 2).Draw(t, "calls") {
		f.Calls = append(f.Calls, &posternv1.Call{
			CallTime:    timestamppb.New(Now.Add(-time.Duration(rapid.IntRange(0, 600).Draw(t, "minutes ago")) * time.Minute)),
			Result:      posternv1.CallResult_CALL_RESULT_ANSWERED,
			ChildNumber: uint32(rapid.IntRange(0, len(codes)).Draw(t, "about child")),
		})
	}
	f.Consent = drawConsent(t, len(codes))
	return f
}

// Any draws a valid form of any kind: on consent, urgent, after a person considered the duty, or the outcome of asking.
func Any(t *rapid.T) *posternv1.Form {
	authority := rapid.SampledFrom([]string{Bristol, Lancashire, Wrexham})
	switch rapid.SampledFrom([]string{"consent", "consent", "urgent", "duty", "enquiry"}).Draw(t, "kind of form") {
	case "urgent":
		f := Urgent(authority.Draw(t, "authority"), rapid.IntRange(1, 4).Draw(t, "children"))
		f.Urgency.Reason = posternv1.UrgencyReason(rapid.Int32Range(1, 6).Draw(t, "why"))
		if rapid.Bool().Draw(t, "not yet phoned") {
			f.Urgency.Calls = nil
		}
		varyAll(t, f)
		f.Urgency.WhatWasSaid = Text().Draw(t, "what was said")
		return f
	case "duty":
		f := Duty(authority.Draw(t, "authority"), rapid.IntRange(1, 4).Draw(t, "children"))
		for n := range f.GetChildren()[1:] {
			if rapid.Bool().Draw(t, "this one too") {
				f.Consideration.NotMoreDetrimental = append(f.Consideration.NotMoreDetrimental, uint32(n+2))
				f.Consideration.Paths = append(f.Consideration.Paths, fmt.Sprintf("child/%d/identity", n+2))
			}
		}
		varyAll(t, f)
		return f
	case "enquiry":
		return Enquiry(posternv1.EnquiryOutcome(rapid.Int32Range(1, 4).Draw(t, "outcome")))
	default:
		return Valid(t)
	}
}

// varyAll varies every section of the parent and the children.
func varyAll(t *rapid.T, f *posternv1.Form) {
	for _, s := range section.All() {
		if !s.PerChild && s.Class != posternv1.SectionClass_SECTION_CLASS_URGENT {
			vary(t, f, s.Pattern)
		}
	}
	for i := range f.GetChildren() {
		drawChild(t, f, i)
	}
}

// vary leaves a section out, says that it is not known, or writes other words in it.
func vary(t *rapid.T, f *posternv1.Form, path string) {
	m, ok := section.Get(f, path)
	if !ok {
		return
	}
	switch rapid.SampledFrom([]string{"known", "known", "known", "not known", "left out"}).Draw(t, path) {
	case "known":
		rewrite(t, m.ProtoReflect())
	case "not known":
		proto.Reset(m)
		provenance := m.ProtoReflect().Descriptor().Fields().ByName("provenance")
		m.ProtoReflect().Set(provenance, protoreflect.ValueOfMessage((&posternv1.Provenance{
			Known: posternv1.Known(rapid.Int32Range(2, 4).Draw(t, "why")), // NOT_KNOWN, NOT_ASKED or DECLINED
		}).ProtoReflect()))
	case "left out":
		holder, field := holderOf(f, path)
		holder.Clear(field)
	}
}

// holderOf finds the message and field that hold a section.
func holderOf(f *posternv1.Form, path string) (protoreflect.Message, protoreflect.FieldDescriptor) {
	s, _ := section.Lookup(path)
	holder := f.GetParent().ProtoReflect()
	if n, ok := section.ChildOf(path); ok {
		holder = f.GetChildren()[n-1].ProtoReflect()
	}
	return holder, holder.Descriptor().Fields().ByName(protoreflect.Name(s.Name))
}

// texts are the fields of free text that may hold any words.
var texts = map[protoreflect.Name]bool{
	"given_name": true, "family_name": true, "name": true, "safe_manner": true, "safe_times": true,
	"setting_name": true, "communication_needs": true, "team_name": true,
}

// rewrite draws new words and answers for the fields of a known section.
func rewrite(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case !m.Has(f):
		case texts[f.Name()]:
			m.Set(f, protoreflect.ValueOfString(Text().Draw(t, string(f.Name()))))
		case f.Kind() == protoreflect.EnumKind && !f.IsList() && f.Name() != "parental_responsibility" && f.Name() != "agrees_to_early_help":
			n := rapid.IntRange(1, f.Enum().Values().Len()-1).Draw(t, string(f.Name()))
			m.Set(f, protoreflect.ValueOfEnum(f.Enum().Values().Get(n).Number()))
		}
	}
}

// Text draws a name or phrase that Check takes and an honest person may type: of any script, with quotes, line ends and
// marks of direction.
func Text() *rapid.Generator[string] {
	runes := []rune("abcXYZ ŵŷâéïßØłİıاבג漢字é'’\"-.<&\\\n\u200f\u202e\u2066😀")
	return rapid.Map(rapid.StringOfN(rapid.RuneFrom(runes), 5, 60, -1), func(s string) string { return "Q" + s + "q" })
}

func drawChild(t *rapid.T, f *posternv1.Form, i int) {
	child := f.GetChildren()[i]
	day := func(back int) string { return Now.AddDate(0, 0, -back).Format(time.DateOnly) }
	switch rapid.SampledFrom([]string{"born", "aged", "unborn"}).Draw(t, "birth") {
	case "born":
		child.Identity.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: day(rapid.IntRange(1, 8000).Draw(t, "days old"))}
	case "aged":
		child.Identity.Born = &posternv1.ChildIdentity_AgeYears{AgeYears: rapid.Uint32Range(0, 24).Draw(t, "age")}
	case "unborn":
		child.Identity.Born = &posternv1.ChildIdentity_DueDate{DueDate: day(-rapid.IntRange(-28, 290).Draw(t, "days to go"))}
	}
	for _, s := range section.All() {
		if s.PerChild {
			vary(t, f, s.Path(i+1))
		}
	}
	if c := child.GetCarer(); c.GetRelationship() == posternv1.Relationship_RELATIONSHIP_FOSTER_CARER {
		c.Relationship = posternv1.Relationship_RELATIONSHIP_CARER // else the child would have to be in care
	}
	if r := child.GetRelationship(); r.GetRelationship() == posternv1.Relationship_RELATIONSHIP_FOSTER_CARER {
		r.Relationship = posternv1.Relationship_RELATIONSHIP_STEP_PARENT // who may have responsibility
	}
	drawHome(t, f, i)
}

// drawHome puts a child in care or at an address of its own, a shared one, or that of an earlier child.
func drawHome(t *rapid.T, f *posternv1.Form, i int) {
	child := f.GetChildren()[i]
	if child.GetHome().GetProvenance().GetKnown() != posternv1.Known_KNOWN_KNOWN {
		child.InCare = rapid.Bool().Draw(t, "in care")
		child.AddressConfidential = rapid.Bool().Draw(t, "confidential")
		return
	}
	home := child.GetHome()
	home.Postcode = rapid.SampledFrom([]string{"", "ZZ99 3QT", "zz99 3qt", "ZZ99"}).Draw(t, "postcode")
	home.AddressLines = []string{fmt.Sprintf("%d Sixpenny Steps", rapid.IntRange(1, 3).Draw(t, "house")), "Lower Fernhollow"}
	if home.Postcode != "" && rapid.Bool().Draw(t, "postcode alone") {
		home.AddressLines = nil
	}
	for j, other := range f.GetChildren()[:i] {
		if other.GetAuthority() == child.GetAuthority() && other.GetHome().GetProvenance().GetKnown() == posternv1.Known_KNOWN_KNOWN &&
			rapid.Bool().Draw(t, "lives with the other") {
			home.AddressLines, home.Postcode, home.SameAsChild = nil, "", uint32(j+1)
			return
		}
	}
}

func drawConsent(t *rapid.T, children int) *posternv1.Consent {
	var entries []string
	for _, pattern := range Sections() {
		if s, _ := section.ByPattern(pattern); s.PerChild {
			entries = append(entries, s.Path(1)) // child 1 is always covered
		}
		entries = append(entries, pattern)
	}
	c := Consent(1, rapid.SliceOfNDistinct(rapid.SampledFrom(entries), 1, len(entries), rapid.ID[string]).Draw(t, "sections")...)
	if rapid.Bool().Draw(t, "everything") {
		c.Sections = Sections()
	}
	for n := 2; n <= children; n++ {
		if rapid.Bool().Draw(t, "covered") {
			c.Children = append(c.Children, uint32(n))
		}
	}
	if !rapid.Bool().Draw(t, "follows the child") {
		c.FollowsChild = false
		c.Authorities = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{Bristol, Lancashire, Wrexham}), 1, 3, rapid.ID[string]).Draw(t, "named")
	}
	switch rapid.IntRange(0, 9).Draw(t, "how firm") {
	case 0:
		c.State = posternv1.ConsentState_CONSENT_STATE_NOT_ASKED
	case 1:
		c.Understood = posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_NO
	case 2:
		c.ExpireTime = timestamppb.New(Now.Add(-time.Minute)) // it has ended
	case 3:
		c.ExpireTime = timestamppb.New(Now.AddDate(10, 0, 0))
	}
	return c
}
