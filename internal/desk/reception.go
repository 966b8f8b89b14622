package desk

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The rules of the public-protection check, and the words that every form reads by which the check has not let go.
const (
	ruleHold    = "gate_hold"
	ruleNotDone = "gate_not_done"
	checkWords  = "A colleague checks every form before it goes."
	checkNeed   = "public_protection_check"
)

// mayKnow reports whether a member of staff may know what public protection found: whoever sets the check, and the
// safeguarding lead, who decides on what it holds.
func (s Staff) mayKnow() bool {
	for _, role := range []posternv1.StaffRole{posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION} {
		if _, ok := s.as(role); ok {
			return true
		}
	}
	return false
}

// forReader is a notification as whoever is signed in may see it, without what the desk keeps for itself.
func (d *Desk) forReader(ctx context.Context, n *localv1.Notification) *localv1.Notification {
	n = proto.CloneOf(n)
	n.EarlierManifestSha256, n.Foreseen = nil, nil
	if by, err := d.signedIn(ctx); err == nil && by.mayKnow() {
		return n
	}
	return forReception(n)
}

// forReception is all that reception may see of a notification. One that the public-protection check holds, one whose
// check is not done and one whose check is overdue are the same to it, in every field: they wait. What else was found
// stays, and what has to be done by telephone; when it was decided, and until when, does not, because a hold is decided
// at another hour than a form that waits. What the safeguarding lead wrote down is for them.
func forReception(n *localv1.Notification) *localv1.Notification {
	out := proto.CloneOf(n)
	out.Gate, out.Changes, out.ChangesTold = nil, 0, 0
	for _, c := range out.GetConsiderations() {
		c.Reasons = ""
	}
	if out.GetReview() != nil {
		out.Review.Findings = ""
	}
	if !awaitsCheck(out.GetDecision()) {
		return out
	}
	out.Decision = uncertain(out.GetDecision())
	switch out.GetState() {
	case stateQueued, stateWaiting, stateReferred:
		out.State = stateWaiting
	}
	out.UpdateTime, out.ResubmitTime, out.Resubmitting = out.GetCreateTime(), nil, false
	out.DueTime, out.Overdue = nil, false
	for _, t := range out.GetTasks() {
		if !countsFromTheForm(t.GetKind()) {
			t.DueTime, t.Overdue = nil, false
		}
	}
	return out
}

// countsFromTheForm reports whether the time of something to do is reckoned from when the form came, whatever was decided since
// and when.
func countsFromTheForm(k posternv1.ObligationKind) bool {
	switch k {
	case posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR, posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR,
		posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE:
		return true
	}
	return false
}

// awaitsCheck reports whether a decision rests on the public-protection check in whatever way.
func awaitsCheck(d *posternv1.Decision) bool {
	on := func(r *posternv1.Reason) bool { return r.GetRuleId() == ruleHold || r.GetRuleId() == ruleNotDone }
	return slices.ContainsFunc(d.GetReasons(), on) || slices.ContainsFunc(d.GetChildren(), func(c *posternv1.ChildDecision) bool {
		return slices.ContainsFunc(c.GetReasons(), on)
	})
}

// uncertain is a decision that rests on the check, without what the check found: nothing goes, and everybody waits.
func uncertain(d *posternv1.Decision) *posternv1.Decision {
	out := &posternv1.Decision{Outcome: posternv1.Outcome_OUTCOME_WAIT, Reasons: withoutFinding(d.GetReasons()), FirstNotificationId: d.GetFirstNotificationId()}
	for _, o := range d.GetObligations() { // until when and by which number was decided at some hour: the tasks say it as of now
		if o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR {
			continue // only a decision made late has it
		}
		out.Obligations = append(out.Obligations, &posternv1.Obligation{Kind: o.GetKind(), ChildNumber: o.GetChildNumber()})
	}
	for _, c := range d.GetChildren() {
		out.Children = append(out.Children, &posternv1.ChildDecision{Number: c.GetNumber(), Outcome: posternv1.Outcome_OUTCOME_WAIT,
			Reasons: withoutFinding(c.GetReasons()), Needs: []string{checkNeed}})
	}
	return out
}

func withoutFinding(reasons []*posternv1.Reason) (out []*posternv1.Reason) {
	for _, r := range reasons {
		if r.GetRuleId() == ruleHold || r.GetRuleId() == ruleNotDone {
			r = &posternv1.Reason{RuleId: ruleNotDone, Text: checkWords, Law: r.GetLaw()}
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b *posternv1.Reason) int { return strings.Compare(a.GetRuleId(), b.GetRuleId()) })
	return out
}
