package engine

import (
	"slices"
	"time"

	"postern/internal/section"
)

// The rules told a second time, in Go: what may go by which route. The policy and the locks are judged by it.

// mayShare says, without the policy and without the locks, whether a child may be shared at all.
func mayShare(in *Input, c Child) bool {
	if in.Statement != "OFFER" || !in.Caller.Known || !in.Recipient.Known || !in.Recipient.Enrolled || in.Recipient.Jurisdiction == "GB-SCT" {
		return false
	}
	free := freePaths(in)
	something := slices.ContainsFunc(c.Offered, func(name string) bool { return free[sectionPath(c.Number, name)] })
	switch in.Route {
	case "STANDARD":
		return byPermission(in, c, free)
	case "URGENT":
		return something && len(in.Calls) > 0
	case "DUTY":
		return something && duty(in)
	}
	return false
}

func byPermission(in *Input, c Child, free map[string]bool) bool {
	now, _ := time.Parse(time.RFC3339, in.Now)
	until, err := time.Parse(time.RFC3339, in.Consent.ExpireTime)
	ends, err2 := time.Parse(time.RFC3339, in.Agreement.EndTime)
	if err != nil || err2 != nil || !now.Before(until) || !now.Before(ends) {
		return false
	}
	goes := func(name string) bool { return c.Known[name] == "KNOWN" && free[sectionPath(c.Number, name)] }
	return in.Gate == "NO_HOLD" && !in.AlreadyNotified && (!in.Redirected || in.Consent.FollowsChild) &&
		in.Consent.State == "GIVEN" && in.Consent.Understood == "YES" && !in.Consent.CapacityConcern && !in.Consent.GrantorUnder18 &&
		(in.Consent.FollowsChild || slices.Contains(in.Consent.Authorities, in.Recipient.Authority)) &&
		in.Agreement.InForce && slices.Contains(in.Consent.Children, c.Number) && !c.AddressConfidential &&
		(c.AgeYears == nil || *c.AgeYears < 18) && !mustBePhoned(in, c) &&
		in.Parent.Known["name"] == "KNOWN" && free["parent/name"] && goes("identity") && (c.InCare || goes("home")) &&
		(c.InCare || c.Known["safety"] != "KNOWN" || goes("safety"))
}

func duty(in *Input) bool {
	c := in.Consideration
	if c == nil || c.Relevant != "YES" || c.HelpsFunction == "" || c.ParentTold != "YES" && c.ParentTold != "NO" || c.Role != "SAFEGUARDING_LEAD" {
		return false
	}
	england := in.Caller.Jurisdiction == "GB-ENG" && in.Recipient.Jurisdiction == "GB-ENG"
	return england && c.Law == "DUTY_S16LA" && in.Today >= "2026-09-30" || !england && c.Law == "PUBLIC_TASK"
}

// mustBePhoned says whether a child may be alone, or with somebody under 18, and nobody who was called has answered.
func mustBePhoned(in *Input, c Child) bool {
	for _, call := range in.Calls {
		if (call.Result == "ANSWERED" || call.Result == "EMERGENCY_999") && (call.Child == 0 || call.Child == c.Number) {
			return false
		}
	}
	if in.Route != "STANDARD" || c.Unborn || c.InCare || c.CarerIsAdult == "YES" {
		return false
	}
	return c.CarerIsAdult == "NO" || c.PrimaryCarerBefore != "NO" || c.LivedWithBefore != "NO"
}

// freePaths is what the route has the authority to share of what was offered, read off the input line by line.
func freePaths(in *Input) map[string]bool {
	out := map[string]bool{}
	for _, s := range section.All() {
		for n := 0; n <= len(in.Children); n++ {
			if s.PerChild != (n > 0) {
				continue
			}
			of, agreed, ofChild := in.Parent, in.Agreement.Parent, true
			var c Child
			if n > 0 {
				c = in.Children[n-1]
				of, agreed, ofChild = c.Sections, in.Agreement.Child, slices.Contains(in.Consent.Children, n)
			}
			free := false
			switch in.Route {
			case "STANDARD":
				free = slices.Contains(of.Permitted, s.Name) && slices.Contains(agreed, s.Name) && ofChild &&
					in.Consent.State == "GIVEN" && in.Agreement.InForce && (s.Name != "home" || !c.InCare && !c.AddressConfidential)
			case "URGENT":
				role := in.Urgency.AuthorisedRole
				free = in.Urgency.Reason != "" && (role == "ORDERLY_OFFICER" || role == "DUTY_GOVERNOR" || role == "SAFEGUARDING_LEAD") &&
					slices.Contains([]string{"parent/name", "parent/birth", "urgency", "child/{n}/identity", "child/{n}/relationship",
						"child/{n}/home", "child/{n}/carer", "child/{n}/safety", "child/{n}/phone", "child/{n}/school", "child/{n}/worker"}, s.Pattern)
			case "DUTY":
				free = in.Consideration != nil && slices.Contains(in.Consideration.Paths, s.Path(n)) &&
					(n == 0 || slices.Contains(in.Consideration.NotMoreDetrimental, n))
			}
			free = free && (in.Route == "URGENT" || s.Pattern != "urgency")
			out[s.Path(n)] = free && slices.Contains(of.Offered, s.Name)
		}
	}
	return out
}
