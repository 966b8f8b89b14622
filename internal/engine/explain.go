package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	posternv1 "postern/proto/postern/v1"
)

// Explain decides an input, as JSON, and tells the decision in words for somebody who does not read rules: what was
// asked, what goes, what stays and why, what a person must do.
func Explain(ctx context.Context, e *Engine, inputJSON []byte) (string, error) {
	in, err := ParseInput(inputJSON)
	if err != nil {
		return "", err
	}
	d, _ := e.Decide(ctx, in)
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	say("What was asked")
	say("  %s", request(in))
	if in.Statement == "OFFER" && in.Route == "STANDARD" {
		say("  %s", permission(in))
		say("  %s", agreed(in))
	}
	say("")
	say("What was decided: %s", verdicts[d.GetOutcome()])
	if d.GetValidUntilTime() != nil {
		say("  It may be acted upon until %s.", clock(d.GetValidUntilTime()))
	}
	if d.GetDueTime() != nil {
		say("  Somebody must act by %s.", clock(d.GetDueTime()))
	}
	tell(say, d.GetReasons())
	for _, c := range d.GetChildren() {
		say("")
		say("Child %d: %s", c.GetNumber(), verdicts[c.GetOutcome()])
		own := slices.DeleteFunc(slices.Clone(c.GetReasons()), func(r *posternv1.Reason) bool { return said(d.GetReasons(), r) })
		if tell(say, own); len(own) == 0 {
			say("  Because: see above.")
		}
		if len(c.GetNeeds()) > 0 {
			say("  It waits for: %s.", strings.Join(c.GetNeeds(), ", "))
		}
	}
	if len(d.GetPaths()) > 0 {
		say("")
		say("Sections that go:\n  %s", strings.Join(d.GetPaths(), "\n  "))
	}
	if stay := staying(in, d); len(stay) > 0 {
		say("")
		say("Sections that stay in the prison:\n  %s", strings.Join(stay, "\n  "))
	}
	if len(d.GetObligations()) > 0 {
		say("")
		say("What a person must do:")
	}
	for _, o := range d.GetObligations() {
		about := ""
		if o.GetChildNumber() > 0 {
			about = fmt.Sprintf(" for child %d", o.GetChildNumber())
		}
		if o.GetPhoneNumber() != "" {
			about += ", telephone " + o.GetPhoneNumber()
		}
		say("  %s%s, by %s.", duties[o.GetKind()], about, clock(o.GetDueTime()))
	}
	say("")
	say("Decided with rules %s by %s.", d.GetPolicyRevision()[:12], d.GetEngineVersion())
	return b.String(), nil
}

var verdicts = map[posternv1.Outcome]string{
	posternv1.Outcome_OUTCOME_SHARE:           "it may go.",
	posternv1.Outcome_OUTCOME_WAIT:            "it waits for something ordinary that is missing.",
	posternv1.Outcome_OUTCOME_WITHHOLD:        "nothing goes, and there is nothing to do.",
	posternv1.Outcome_OUTCOME_REFER_TO_PERSON: "nothing goes; it needs a decision by the safeguarding lead.",
}

var duties = map[posternv1.ObligationKind]string{
	posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE:        "Ask for support by the manual route",
	posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR:    "Telephone the front door",
	posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE:         "Call the police",
	posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY:       "Consider whether there is a duty to share",
	posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN:           "Ask the person again",
	posternv1.ObligationKind_OBLIGATION_KIND_REVIEW:              "Review the decision",
	posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR: "Alert the duty governor",
}

func request(in *Input) string {
	if in.Statement == "ENQUIRY" {
		return fmt.Sprintf("Prison %s says how it ended when somebody was asked about children: %s.", in.Caller.PrisonID, in.Enquiry.Outcome)
	}
	what := fmt.Sprintf("%d children", len(in.Children))
	if len(in.Children) == 1 {
		what = "1 child"
	}
	return fmt.Sprintf("Prison %s offers to tell authority %s about %s, by the %s route, on %s.",
		in.Caller.PrisonID, in.Recipient.Authority, what, strings.ToLower(in.Route), in.Today)
}

func permission(in *Input) string {
	switch {
	case in.Consent.State != "GIVEN":
		return fmt.Sprintf("Permission: not given (%s).", in.Consent.State)
	case in.Consent.Understood != "YES":
		return "Permission: given, but the person could not say back what to."
	default:
		return fmt.Sprintf("Permission: given, until %s.", readable(in.Consent.ExpireTime))
	}
}

// readable is a moment as clock tells it, or as it stands when it is none.
func readable(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return at
	}
	return clock(timestamppb.New(t))
}

func agreed(in *Input) string {
	if !in.Agreement.InForce {
		return "Data-sharing agreement: none in force."
	}
	return fmt.Sprintf("Data-sharing agreement: %s, in force until the end of %s.", in.Agreement.ID, in.Agreement.EndDate)
}

// tell lists reasons with the sections they are about and the law they stand for.
func tell(say func(string, ...any), reasons []*posternv1.Reason) {
	for _, r := range reasons {
		say("  Because: %s", r.GetText())
		if len(r.GetPaths()) > 0 {
			say("    About: %s", strings.Join(r.GetPaths(), ", "))
		}
		say("    Rule %s; %s.", r.GetRuleId(), r.GetLaw())
	}
}

func said(reasons []*posternv1.Reason, r *posternv1.Reason) bool {
	return slices.ContainsFunc(reasons, func(s *posternv1.Reason) bool { return proto.Equal(s, r) })
}

// staying lists the sections that were offered and do not go.
func staying(in *Input, d *posternv1.Decision) []string {
	offered := pathsOf(0, in.Parent.Offered)
	for _, c := range in.Children {
		offered = append(offered, pathsOf(c.Number, c.Offered)...)
	}
	slices.Sort(offered)
	return slices.DeleteFunc(offered, func(path string) bool { return slices.Contains(d.GetPaths(), path) })
}
