package world

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/form/formtest"
	"postern/internal/section"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// family is a form that somebody filled in.
type family struct {
	prison string
	form   *posternv1.Form
}

// minimum are the sections without which nobody can help a child, so that leaving one out would be a question of policy
// and not of this simulator.
var minimum = []string{"parent/name", "child/{n}/identity", "child/{n}/relationship", "child/{n}/home", "child/{n}/carer", "child/{n}/safety"}

// newForm draws a family: up to four children in up to three authorities, of whom some are not to be told about, for
// want of permission or because of who they are; every name in it is its own.
func (w *World) newForm(prison string) *posternv1.Form {
	now := w.Clock.Now().Add(w.parties["desk-"+prison].skew)
	codes := []string{testkit.Bristol, testkit.Bristol, testkit.Bristol, testkit.Lancashire, testkit.Lancashire, testkit.Wrexham}
	var live []string
	for range 1 + w.rand.IntN(4) {
		live = append(live, pick(w, codes))
	}
	f := formtest.New(live...)
	f.FormId = w.uuid()
	f.PrisonNumber = fmt.Sprintf("A%04dZ%c", w.rand.IntN(10000), 'A'+w.rand.IntN(26))
	f.Reception.ReceiveDate = now.AddDate(0, 0, -1).Format(time.DateOnly)
	f.Tonight.AskTime = timestamppb.New(now.Add(-time.Hour).Truncate(time.Second))
	f.Parent.Name.GivenName, f.Parent.Name.FamilyName = w.word(), w.word()
	sections := slices.Clone(minimum)
	for _, s := range formtest.Sections() {
		if w.rand.IntN(2) == 0 && !slices.Contains(sections, s) {
			sections = append(sections, s)
		}
	}
	f.Consent = formtest.Consent(0, sections...)
	f.Consent.GiveTime = timestamppb.New(now.Add(-30 * time.Minute).Truncate(time.Second))
	for i, c := range f.GetChildren() {
		c.Identity.GivenName, c.Identity.FamilyName = w.word(), w.word()
		c.Home.AddressLines = []string{fmt.Sprintf("%d %s Steps", i+1, w.word())}
		c.Carer.Name = w.word() + " " + w.word()
		switch w.rand.IntN(8) {
		case 0: // grown up
			c.Identity.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: grownUp}
		case 1: // a carer who is a child
			c.Carer.IsAdult = posternv1.Answer_ANSWER_NO
		}
		if i == 0 || w.rand.IntN(4) > 0 {
			f.Consent.Children = append(f.Consent.Children, uint32(i+1))
		}
	}
	return f
}

// word makes a name that nobody has.
func (w *World) word() string {
	b := []byte("Q")
	for range 9 {
		b = append(b, byte('a'+w.rand.IntN(26)))
	}
	w.words[string(b)] = true
	return string(b)
}

func (w *World) uuid() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(w.rand.IntN(256))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// expectation is what may be shared of a family with one authority: the oracle's own reading of consent, agreement and
// the rules about a child, which knows nothing of the engine's.
type expectation struct {
	children []uint32                    // by their numbers in the notification
	sections map[string]*posternv1.Child // by path; nil for the parent's
}

func expect(f family, authority string) expectation {
	e := expectation{sections: map[string]*posternv1.Child{}}
	if !agreed(f.prison, authority) {
		return e
	}
	number := uint32(0)
	for i, c := range f.form.GetChildren() {
		if c.GetAuthority() != authority {
			continue
		}
		number++
		if !slices.Contains(f.form.GetConsent().GetChildren(), uint32(i+1)) || c.GetIdentity().GetDateOfBirth() == grownUp ||
			c.GetCarer().GetIsAdult() != posternv1.Answer_ANSWER_YES {
			continue
		}
		e.children = append(e.children, number)
		for _, pattern := range f.form.GetConsent().GetSections() {
			if s, _ := section.ByPattern(pattern); s.PerChild {
				e.sections[s.Path(int(number))] = c
			}
		}
	}
	if len(e.children) == 0 {
		return e
	}
	for _, pattern := range f.form.GetConsent().GetSections() {
		if s, _ := section.ByPattern(pattern); !s.PerChild {
			e.sections[s.Pattern] = nil
		}
	}
	return e
}

// agreed says with whom each prison has an agreement.
func agreed(prison, authority string) bool {
	return authority == testkit.Bristol || authority == testkit.Lancashire && prison == testkit.HMPParc
}

// grownUp is the birth of a son or daughter of nineteen.
const grownUp = "2007-05-01"
