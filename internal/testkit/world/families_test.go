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
// want of permission or because of who they are, and some not yet; every name in it is its own. Now and then it is a
// family that must be told about at once, or that the safeguarding lead decided about.
func (w *World) newForm(prison string) *posternv1.Form {
	now := w.Clock.Now().Add(w.parties["desk-"+prison].skew)
	codes := []string{testkit.Bristol, testkit.Bristol, testkit.Bristol, testkit.Lancashire, testkit.Lancashire, testkit.Wrexham}
	var live []string
	for range 1 + w.rand.IntN(4) {
		live = append(live, pick(w, codes))
	}
	kind := w.rand.IntN(12)
	var f *posternv1.Form
	switch kind {
	case 0:
		f = formtest.Urgent(live[0], len(live))
		f.Urgency.Calls[0].CallTime = timestamppb.New(now.Add(-20 * time.Minute).Truncate(time.Second))
		if w.rand.IntN(2) == 0 {
			f.Urgency.Calls = nil // and it waits for one
		}
	case 1:
		f = formtest.Duty(live[0], len(live))
		f.Consideration.ConsiderTime = timestamppb.New(now.Add(-time.Hour).Truncate(time.Second))
	default:
		f = formtest.New(live...)
	}
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
	agreed := formtest.Consent(0, sections...)
	if w.rand.IntN(4) == 0 { // they named the teams that may be told, and no other
		agreed.FollowsChild, agreed.Authorities = false, slices.Compact(slices.Sorted(slices.Values(live)))
	}
	agreed.GiveTime = timestamppb.New(now.Add(-30 * time.Minute).Truncate(time.Second))
	for i, c := range f.GetChildren() {
		c.Identity.GivenName, c.Identity.FamilyName = w.word(), w.word()
		c.Home.AddressLines = []string{fmt.Sprintf("%d %s Steps", i+1, w.word())}
		c.Carer.Name = w.word() + " " + w.word()
		who := w.rand.IntN(8)
		if i == 0 || w.rand.IntN(4) > 0 {
			agreed.Children = append(agreed.Children, uint32(i+1))
		}
		if f.GetRoute() > posternv1.Route_ROUTE_STANDARD {
			continue
		}
		switch who {
		case 0: // grown up
			c.Identity.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: grownUp}
		case 1: // a carer who is a child
			c.Carer.IsAdult = posternv1.Answer_ANSWER_NO
		case 2: // nobody knows, so somebody has to telephone first
			c.Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
		}
	}
	if f.GetRoute() <= posternv1.Route_ROUTE_STANDARD {
		f.Consent = agreed
		if kind < 4 {
			f.Gate = posternv1.Gate_GATE_NOT_DONE
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
	standard bool                        // it goes by permission
	plain    bool                        // nothing about it waits for anybody
	children []uint32                    // by their numbers in the notification
	sections map[string]*posternv1.Child // by path; nil for the parent's
}

// expect is what may be shared of these children of a form, by their numbers in it, with what has been done about it so
// far: the check that holds nothing back, and a call.
func (l *ledger) expect(f family, authority string, numbers []uint32) expectation {
	form, route := f.form, f.form.GetRoute()
	e := expectation{standard: route <= posternv1.Route_ROUTE_STANDARD, plain: route <= posternv1.Route_ROUTE_STANDARD && form.GetGate() == posternv1.Gate_GATE_NO_HOLD,
		sections: map[string]*posternv1.Child{}}
	checked := form.GetGate() == posternv1.Gate_GATE_NO_HOLD || l.checked[form.GetFormId()] == posternv1.Gate_GATE_NO_HOLD
	if e.standard && (!checked || !agreed(f.prison, authority)) || authority == testkit.Wrexham {
		return e
	}
	for i, n := range numbers {
		c := form.GetChildren()[n-1]
		waits := c.GetCarer().GetIsAdult() != posternv1.Answer_ANSWER_YES // until somebody has telephoned
		e.plain = e.plain && !waits
		if e.standard && (!slices.Contains(form.GetConsent().GetChildren(), n) || c.GetIdentity().GetDateOfBirth() == grownUp ||
			waits && !l.called[form.GetFormId()]) {
			continue
		}
		if route == posternv1.Route_ROUTE_DUTY && !slices.Contains(form.GetConsideration().GetNotMoreDetrimental(), n) {
			continue
		}
		e.children = append(e.children, uint32(i+1))
		for _, s := range goes(form) {
			if path := s.Path(i + 1); s.PerChild && (route != posternv1.Route_ROUTE_DUTY || slices.Contains(form.GetConsideration().GetPaths(), s.Path(int(n)))) {
				e.sections[path] = c
			}
		}
	}
	if len(e.children) == 0 {
		return e
	}
	for _, s := range goes(form) {
		if !s.PerChild && (route != posternv1.Route_ROUTE_DUTY || slices.Contains(form.GetConsideration().GetPaths(), s.Pattern)) {
			e.sections[s.Pattern] = nil
		}
	}
	return e
}

// goes are the sections that go by the route of a form: those that are permitted, those of which a child in danger cannot
// do without, or any that the safeguarding lead named.
func goes(f *posternv1.Form) (all []section.Section) {
	for _, s := range section.All() {
		switch {
		case f.GetRoute() == posternv1.Route_ROUTE_URGENT && s.Urgent, f.GetRoute() == posternv1.Route_ROUTE_DUTY,
			f.GetRoute() <= posternv1.Route_ROUTE_STANDARD && slices.Contains(f.GetConsent().GetSections(), s.Pattern):
			all = append(all, s)
		}
	}
	return all
}

// agreed says with whom each prison has an agreement.
func agreed(prison, authority string) bool {
	return authority == testkit.Bristol || authority == testkit.Lancashire && prison == testkit.HMPParc
}

// grownUp is the birth of a son or daughter of nineteen.
const grownUp = "2007-05-01"
