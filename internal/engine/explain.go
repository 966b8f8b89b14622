package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/plain"
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
	for _, line := range background(in) {
		say("  %s", line)
	}
	say("")
	say("What was decided: %s", verdict(d.GetOutcome(), len(in.Children) > 0))
	if d.GetValidUntilTime() != nil {
		say("  It may be acted upon until %s.", clock(d.GetValidUntilTime()))
	}
	if d.GetDueTime() != nil {
		say("  Somebody must act by %s.", clock(d.GetDueTime()))
	}
	if d.GetPriority() {
		say("  The team is asked to look at it before others.")
	}
	if d.GetFirstNotificationId() != "" {
		say("  The same was sent before, as notification %s.", d.GetFirstNotificationId())
	}
	tell(say, d.GetReasons())
	for _, c := range d.GetChildren() {
		tellChild(say, d, c)
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

// tellChild tells what was decided of one child, without the reasons that hold for all.
func tellChild(say func(string, ...any), d *posternv1.Decision, c *posternv1.ChildDecision) {
	say("")
	say("Child %d: %s", c.GetNumber(), verdict(c.GetOutcome(), true))
	own := slices.DeleteFunc(slices.Clone(c.GetReasons()), func(r *posternv1.Reason) bool { return said(d.GetReasons(), r) })
	if tell(say, own); len(own) == 0 {
		say("  Because: see above.")
	}
	if len(c.GetNeeds()) > 0 {
		say("  It waits for: %s.", waitsFor(c.GetNeeds()))
	}
	if c.GetDueTime() != nil {
		say("  Due: %s.", clock(c.GetDueTime()))
	}
}

// needed are the words for what a rule may wait for.
var needed = map[string]string{
	"ask_again":               "somebody to ask the parent again",
	"call":                    "a telephone call to the front door, on record",
	"public_protection_check": "the public-protection check",
}

func waitsFor(needs []string) string {
	words := make([]string, len(needs))
	for i, n := range needs {
		if words[i] = needed[n]; words[i] == "" {
			words[i] = n
		}
	}
	return strings.Join(words, "; ")
}

// verdict is an outcome in words. An enquiry offers nothing, so nothing of it goes.
func verdict(o posternv1.Outcome, offers bool) string {
	if o == posternv1.Outcome_OUTCOME_WITHHOLD && !offers {
		return "the answer is recorded, and there is nothing to do."
	}
	return verdicts[o]
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
		return fmt.Sprintf("Prison %s says how it ended when somebody was asked about children: %s.", in.Caller.PrisonID, plain.Words(in.Enquiry.Outcome))
	}
	what := fmt.Sprintf("%d children", len(in.Children))
	if len(in.Children) == 1 {
		what = "1 child"
	}
	asked := fmt.Sprintf("Prison %s offers to tell authority %s about %s, by the %s route, on %s.",
		in.Caller.PrisonID, in.Recipient.Authority, what, strings.ToLower(in.Route), in.Today)
	if in.Redirected {
		asked = fmt.Sprintf("What prison %s told another authority about %s, by the %s route, its team offers to pass on to authority %s, on %s.",
			in.Caller.PrisonID, what, strings.ToLower(in.Route), in.Recipient.Authority, in.Today)
	}
	return asked
}

// background is what the route asks for: permission and agreement, why it is urgent, or who considered it.
func background(in *Input) []string {
	if in.Statement != "OFFER" {
		return nil
	}
	switch in.Route {
	case "STANDARD":
		lines := []string{permission(in), agreed(in), checkDone(in)}
		if len(in.Calls) > 0 {
			lines = append(lines, telephoned(in))
		}
		return lines
	case "URGENT":
		return []string{emergency(in), telephoned(in)}
	case "DUTY":
		return []string{considered(in)}
	}
	return nil
}

func checkDone(in *Input) string {
	switch in.Gate {
	case "NO_HOLD":
		return "Public-protection check: done, and it holds nothing back."
	case "HOLD":
		return "Public-protection check: done, and a person must decide."
	}
	return "Public-protection check: not done yet."
}

func emergency(in *Input) string {
	if in.Urgency.Reason == "" || in.Urgency.AuthorisedRole == "" {
		return "Urgent: without a reason, or authorised by nobody."
	}
	return fmt.Sprintf("Urgent: %s; authorised by the %s.", plain.Words(in.Urgency.Reason), plain.Words(in.Urgency.AuthorisedRole))
}

func telephoned(in *Input) string {
	if len(in.Calls) == 0 {
		return "Calls: none on record."
	}
	var calls []string
	for _, c := range in.Calls {
		about := "all children"
		if c.Child > 0 {
			about = fmt.Sprintf("child %d", c.Child)
		}
		calls = append(calls, fmt.Sprintf("about %s on %s, %s", about, readable(c.Time), plain.Words(c.Result)))
	}
	return "Calls: " + strings.Join(calls, "; ") + "."
}

func considered(in *Input) string {
	c := in.Consideration
	if c == nil {
		return "Considered by a person: nothing on record."
	}
	law := map[string]string{"DUTY_S16LA": "the duty to share information", "PUBLIC_TASK": "telling as a public task"}[c.Law]
	if law == "" {
		law = "no law that is named"
	}
	told := map[string]string{"YES": "The parent was told.", "NO": "The parent was not told."}[c.ParentTold]
	if told == "" {
		told = "Whether the parent was told is not on record."
	}
	return fmt.Sprintf("Considered by the %s on %s: %s. %s", plain.Words(c.Role), readable(c.Time), law, told)
}

func permission(in *Input) string {
	switch {
	case in.Consent.State != "GIVEN":
		return fmt.Sprintf("Permission: not given (%s).", plain.Words(in.Consent.State))
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
