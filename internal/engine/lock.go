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
		ok := free[path] && (sharing[n] || !ofChild)
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
			d.DueTime = earlier(d.GetDueTime(), tomorrow(in))
		}
	}
	if len(held) > 0 {
		slices.Sort(held)
		d.Reasons = append(d.Reasons, policyError(lockedText, held...))
	}
	if d.Outcome = overall(d); d.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		d.Paths, d.ValidUntilTime = nil, nil
	} else if end := authorityEnds(in); d.GetValidUntilTime().AsTime().After(end) {
		d.ValidUntilTime = timestamppb.New(end)
	}
	return held
}

// authorised is the set of paths that the route has the authority to share. Only STANDARD has any: what was offered,
// what the person agreed to tell about the children they named, what the data-sharing agreement includes.
func authorised(in *Input) map[string]bool {
	free := map[string]bool{}
	now, err := time.Parse(time.RFC3339, in.Now)
	if err != nil || in.Statement != "OFFER" || in.Route != "STANDARD" || in.Consent.State != "GIVEN" || !in.Agreement.InForce ||
		!now.Before(authorityEnds(in)) {
		return free
	}
	add := func(child int, s Sections, agreed []string) {
		for _, path := range pathsOf(child, common(s.Offered, s.Permitted, agreed)) {
			free[path] = true
		}
	}
	add(0, in.Parent, in.Agreement.Parent)
	for _, c := range in.Children {
		if c.Number > 0 && slices.Contains(in.Consent.Children, c.Number) {
			add(c.Number, c.Sections, in.Agreement.Child)
		}
	}
	return free
}

// common returns what all three lists have.
func common(a, b, c []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) || !slices.Contains(c, s) })
}

// authorityEnds is when the permission ends; long past when that cannot be read.
func authorityEnds(in *Input) time.Time {
	end, err := time.Parse(time.RFC3339, in.Consent.ExpireTime)
	if err != nil {
		return time.Time{}
	}
	return end
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
