package engine

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// lock is what no policy opens: a section goes only if it was offered, if the route has the authority to share it, and
// if it is the parent's or belongs to a child that is shared; and not past the end of that authority. A child of whom
// nothing is left to go is referred to a person. lock returns the paths it held back: for a sound policy, none.
func lock(in *Input, d *posternv1.Decision) (held []string) {
	free := authorised(in)
	sharing := map[int]bool{}
	for _, c := range d.GetChildren() {
		sharing[int(c.GetNumber())] = c.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
	}
	going := map[int]bool{} // the children of whom something goes
	may := func(path string) bool {
		n, ofChild := section.ChildOf(path)
		ok := slices.Contains(free, path) && (sharing[n] || !ofChild)
		going[n] = going[n] || ok
		return ok
	}
	kept := d.GetPaths()[:0:0]
	for _, path := range d.GetPaths() {
		if may(path) {
			kept = append(kept, path)
		} else {
			held = append(held, path)
		}
	}
	d.Paths = kept
	for _, c := range d.GetChildren() {
		if c.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && !going[int(c.GetNumber())] {
			c.Outcome = posternv1.Outcome_OUTCOME_REFER_TO_PERSON
			c.Reasons = append(c.Reasons, policyError(lockedText))
			c.DueTime = earlier(c.GetDueTime(), tomorrow(in))
			d.DueTime = earlier(d.GetDueTime(), c.GetDueTime())
		}
	}
	if len(held) > 0 {
		slices.Sort(held)
		d.Reasons = append(d.Reasons, policyError(lockedText, held...))
	}
	if d.Outcome = overall(d); d.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		d.Paths, d.ValidUntilTime, d.Priority = nil, nil, false
	} else if end, ends := authorityEnds(in); ends && d.GetValidUntilTime().AsTime().After(end) {
		d.ValidUntilTime = timestamppb.New(end)
	}
	return held
}

// authorised are the paths that the route has the authority to share, of those that were offered.
func authorised(in *Input) (free []string) {
	now, err := time.Parse(time.RFC3339, in.Now)
	if end, ends := authorityEnds(in); err != nil || in.Statement != "OFFER" || ends && !now.Before(end) {
		return nil
	}
	var may func(child int, s Sections) []string
	switch in.Route {
	case "STANDARD":
		may = in.byPermission
	case "URGENT":
		may = in.inAnEmergency
	case "DUTY":
		may = in.byConsideration
	default:
		return nil
	}
	add := func(child int, s Sections) {
		for _, path := range pathsOf(child, common(s.Offered, may(child, s))) {
			if in.Route == "URGENT" || !forEmergencies(path) {
				free = append(free, path)
			}
		}
	}
	add(0, in.Parent)
	for _, c := range in.Children {
		if c.Number > 0 {
			add(c.Number, c.Sections)
		}
	}
	return free
}

// byPermission is what the person agreed to tell about the children they named, where the data-sharing agreement
// includes it; never the home of a child whose address is confidential or who is in care.
func (in *Input) byPermission(child int, s Sections) []string {
	switch {
	case in.Consent.State != "GIVEN" || !in.Agreement.InForce:
		return nil
	case child == 0:
		return common(s.Permitted, in.Agreement.Parent)
	case !slices.Contains(in.Consent.Children, child):
		return nil
	}
	free := common(s.Permitted, in.Agreement.Child)
	if c := in.child(child); c.InCare || c.AddressConfidential {
		free = slices.DeleteFunc(free, func(name string) bool { return name == "home" })
	}
	return free
}

// inAnEmergency is the minimum, the urgent section and what helps to find and reach a child tonight, once somebody who
// may authorise it gave a reason.
func (in *Input) inAnEmergency(child int, _ Sections) []string {
	if in.Urgency.Reason == "" || !slices.Contains([]string{"ORDERLY_OFFICER", "DUTY_GOVERNOR", "SAFEGUARDING_LEAD"}, in.Urgency.AuthorisedRole) {
		return nil
	}
	var free []string
	for _, s := range section.Of(child > 0) {
		if s.Urgent {
			free = append(free, s.Name)
		}
	}
	return free
}

// byConsideration is what the person who considered it named, about the children for whom they found telling not more
// detrimental.
func (in *Input) byConsideration(child int, s Sections) []string {
	if in.Consideration == nil || child > 0 && !slices.Contains(in.Consideration.NotMoreDetrimental, child) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Offered), func(name string) bool {
		return !slices.Contains(in.Consideration.Paths, sectionPath(child, name))
	})
}

// forEmergencies reports whether a section belongs to the urgent route and to no other.
func forEmergencies(path string) bool {
	s, _ := section.Lookup(path)
	return s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT
}

// child is the facts of a child by its number.
func (in *Input) child(number int) Child {
	if i := slices.IndexFunc(in.Children, func(c Child) bool { return c.Number == number }); i >= 0 {
		return in.Children[i]
	}
	return Child{}
}

// common returns what both lists have.
func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// authorityEnds is when the permission ends, on the route of permission; long past when that cannot be read. Other
// routes end when the policy says.
func authorityEnds(in *Input) (end time.Time, ends bool) {
	if in.Route != "STANDARD" {
		return time.Time{}, false
	}
	end, err := time.Parse(time.RFC3339, in.Consent.ExpireTime)
	if err != nil {
		return time.Time{}, true
	}
	return end, true
}

// phone sees to it that the telephone call about a child who may be alone is an obligation, whatever the policy decided
// and whether it could decide at all.
func phone(in *Input, d *posternv1.Decision) {
	if in.Route != "STANDARD" && in.Route != "URGENT" {
		return
	}
	number := in.Recipient.Safeguarding.PhoneNow
	if number == "" {
		number = in.Recipient.EarlyHelp.PhoneNow
	}
	for _, c := range in.Children {
		told := slices.ContainsFunc(d.GetObligations(), func(o *posternv1.Obligation) bool {
			return o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR && (o.GetChildNumber() == 0 || int(o.GetChildNumber()) == c.Number)
		})
		if told || in.Route == "STANDARD" && c.settled() || in.answered(c.Number) {
			continue
		}
		o := &posternv1.Obligation{Kind: posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR, PhoneNumber: number, ChildNumber: uint32(c.Number)}
		if now, err := time.Parse(time.RFC3339, in.Now); err == nil {
			o.DueTime = timestamppb.New(now) // at once
			d.DueTime = earlier(d.GetDueTime(), o.GetDueTime())
		}
		d.Obligations = append(d.Obligations, o)
	}
}

// Calls are the telephone calls about children who may be alone that no policy can do without: by the duty as by permission,
// since what a person decides to share is no call. Their time is for whoever asks.
func Calls(in *Input) []*posternv1.Obligation {
	d, about := &posternv1.Decision{}, *in
	if about.Route == "DUTY" {
		about.Route = "STANDARD"
	}
	phone(&about, d)
	for _, o := range d.GetObligations() {
		o.DueTime = nil
	}
	return d.GetObligations()
}

// settled reports whether nothing suggests that a child may be alone, or with somebody under 18.
func (c Child) settled() bool {
	elsewhere := c.CarerIsAdult != "NO" && c.PrimaryCarerBefore == "NO" && c.LivedWithBefore == "NO"
	return c.CarerIsAdult == "YES" || elsewhere || c.Unborn || c.InCare
}

// answered reports whether a call about a child, or about all, was answered. In an emergency one call is about all.
func (in *Input) answered(child int) bool {
	return slices.ContainsFunc(in.Calls, func(c Call) bool {
		return (c.Result == "ANSWERED" || c.Result == "EMERGENCY_999") && (c.Child == 0 || c.Child == child || in.Route == "URGENT")
	})
}

// overall is SHARE if any child's is, else the strongest of the children's; the decision's own when there is no child.
func overall(d *posternv1.Decision) posternv1.Outcome {
	strongest := d.GetOutcome()
	for i, c := range d.GetChildren() {
		switch o := c.GetOutcome(); {
		case o == posternv1.Outcome_OUTCOME_SHARE:
			return o
		case i == 0 || strength(o) > strength(strongest):
			strongest = o
		}
	}
	return strongest
}

// strength orders what nothing goes with: REFER_TO_PERSON over WAIT over WITHHOLD.
func strength(o posternv1.Outcome) int {
	return slices.Index([]posternv1.Outcome{posternv1.Outcome_OUTCOME_WITHHOLD, posternv1.Outcome_OUTCOME_WAIT,
		posternv1.Outcome_OUTCOME_REFER_TO_PERSON}, o)
}
