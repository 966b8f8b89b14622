package site

import (
	"html/template"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// happened is one thing that happened to a notification.
type happened struct {
	at    time.Time
	hour  bool // known to the hour: what a team causes is told so
	label string
	by    string // staff id
	text  string
}

// timeline is what happened to a notification, the newest first: what was done at this desk, what the hub decided, and
// of the team only the closed set that a desk may hear, by the hour. It is made of what the reader may see, so where the
// check has not let a form go there is no decision in it, whatever was found.
func timeline(r *web.Request, n *localv1.Notification) ui.Timeline {
	var all []happened
	add := func(at *timestamppb.Timestamp, h happened) {
		if at != nil {
			h.at = at.AsTime()
			all = append(all, h)
		}
	}
	if !n.GetElsewhere() {
		add(n.GetCreateTime(), happened{label: r.T("case.was_taken")})
	}
	if g := n.GetGate(); g != nil {
		add(g.GetSetTime(), happened{label: r.T(gateWords[g.GetGate()]), by: g.GetStaffId()})
	}
	for _, c := range n.GetCalls() {
		text := ""
		if c.GetWho() != "" {
			text = r.T("case.spoke_to", "who", plain.Visible(c.GetWho()))
		}
		if c.GetReference() != "" {
			text += " " + r.T("case.their_reference", "reference", plain.Visible(c.GetReference()))
		}
		add(c.GetCallTime(), happened{label: r.T(callWords[c.GetResult()], "number", plain.Visible(c.GetNumber())), by: c.GetStaffId(), text: strings.TrimSpace(text)})
	}
	for _, c := range n.GetConsiderations() {
		label := "case.decided_not_to_share"
		if c.GetShare() {
			label = "case.decided_to_share"
		}
		add(c.GetCodes().GetConsiderTime(), happened{label: r.T(label), by: c.GetCodes().GetStaffId(), text: plain.Visible(c.GetReasons())})
	}
	if v := n.GetReview(); v != nil {
		add(v.GetReviewTime(), happened{label: r.T("case.was_reviewed"), by: v.GetStaffId(), text: plain.Visible(v.GetFindings())})
	}
	if m := n.GetMove(); m != nil {
		add(m.GetRecordTime(), happened{label: r.T("case.was_moved", "prison", movedTo(r, m)), by: m.GetStaffId()})
	}
	if d := n.GetDecision(); d != nil && !n.GetResubmitting() {
		add(d.GetDecideTime(), happened{label: r.T("case.hub_decided", "outcome", plain.OutcomeIn(r.Language, d.GetOutcome()))})
	}
	for _, w := range n.GetWithdrawals() {
		label := "case.was_withdrawn"
		if desk.Objects(w) {
			label = "case.was_objected"
		}
		add(w.GetTakeTime(), happened{label: r.T(label, "what", scopeWords(r, w.GetPaths(), nil)), text: cameOf(r, w)})
		if !refused(w.GetAnswer()) {
			add(w.GetAnswer().GetDecideTime(), happened{label: r.T("case.withdrawal_answered")})
		}
		add(w.GetReadTime(), happened{label: r.T("case.was_read"), by: w.GetReadStaffId()})
	}
	if m := n.GetManual(); m != nil {
		add(m.GetSendTime(), happened{label: r.T("case.was_sent_by_hand", "how", r.T(manualWords[m.GetHow()])), by: m.GetStaffId(), text: plain.Visible(m.GetTo())})
	}
	if id, ok := reached[n.GetState()]; ok && n.GetManual() == nil && n.GetSupersededBy() == "" {
		add(n.GetUpdateTime(), happened{hour: true, label: r.T(id)})
	}
	slices.Reverse(all) // of two in the same second, the one that is told later is the later one
	slices.SortStableFunc(all, func(a, b happened) int { return b.at.Compare(a.at) })
	var t ui.Timeline
	for _, h := range all {
		t.Items = append(t.Items, h.event(r))
	}
	t.HeadingLevel = 3
	return t
}

func (h happened) event(r *web.Request) ui.Event {
	e := ui.Event{Label: h.label, Time: h.at.UTC().Format(time.RFC3339), Date: r.When(h.at)}
	if h.hour {
		e.Time, e.Date = h.at.UTC().Truncate(time.Hour).Format(time.RFC3339), r.T("case.in_the_hour", "date", r.Date(h.at), "time", r.Clock(h.at.Truncate(time.Hour)))
	}
	if h.by != "" {
		e.Byline = r.T("case.by_staff", "id", plain.Visible(h.by))
	}
	if h.text != "" {
		e.Text = template.HTML(`<p class="govuk-body">` + template.HTMLEscapeString(h.text) + `</p>`)
	}
	return e
}

// reached are the states that somebody else than this desk brings about.
var reached = map[localv1.State]string{
	localv1.State_STATE_DELIVERED: "case.was_delivered", localv1.State_STATE_UNDELIVERED: "case.was_undelivered",
	localv1.State_STATE_STOP_ASKED: "case.was_stop_asked", localv1.State_STATE_CLOSED: "case.was_closed",
}

var gateWords = map[posternv1.Gate]string{posternv1.Gate_GATE_NO_HOLD: "case.was_no_hold", posternv1.Gate_GATE_HOLD: "case.was_hold"}

var callWords = map[posternv1.CallResult]string{
	posternv1.CallResult_CALL_RESULT_ANSWERED: "case.call_answered", posternv1.CallResult_CALL_RESULT_NO_ANSWER: "case.call_no_answer",
	posternv1.CallResult_CALL_RESULT_EMERGENCY_999: "case.call_999",
}

var manualWords = map[localv1.ManualRoute]string{
	localv1.ManualRoute_MANUAL_ROUTE_PHONE: "case.how_phone", localv1.ManualRoute_MANUAL_ROUTE_POST: "case.how_post",
	localv1.ManualRoute_MANUAL_ROUTE_SECURE_MAIL: "case.how_mail", localv1.ManualRoute_MANUAL_ROUTE_PORTAL: "case.how_portal",
	localv1.ManualRoute_MANUAL_ROUTE_BY_HAND: "case.how_hand",
}

// scopeWords name what was withdrawn: all of it, or children and sections.
func scopeWords(r *web.Request, paths, children []string) string {
	if len(paths) == 0 {
		return r.T("case.all_of_it")
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = plain.PathWordsIn(r.Language, p)
		if number, ok := wholeChild(p); ok {
			names[i] = numberedChild(r, children, number)
		}
	}
	return strings.Join(names, ", ")
}

// refused reports whether an answer says that the hub did not take something.
func refused(d *posternv1.Decision) bool {
	return slices.ContainsFunc(d.GetReasons(), func(x *posternv1.Reason) bool { return x.GetRuleId() == "hub_refused" })
}

// cameOf says what came of a withdrawal.
func cameOf(r *web.Request, w *localv1.TakenWithdrawal) string {
	if w.GetAnswer() == nil {
		return r.T("case.withdrawal_queued")
	}
	if refused(w.GetAnswer()) {
		return r.T("case.withdrawal_refused")
	}
	if w.GetObjection() { // whatever a hub that does not know it says
		return r.T("case.answer_objection")
	}
	var out []string
	for _, x := range w.GetAnswer().GetReasons() {
		text := ruleWords(r, x)
		if id := hubAnswers[x.GetRuleId()]; id != "" {
			text = r.T(id)
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, " ")
}

// hubAnswers are the words for what the hub answers to a withdrawal, by its rules.
var hubAnswers = map[string]string{"withdrawn": "case.answer_withdrawn", "stop_asked": "case.answer_stop_asked", "objection_recorded": "case.answer_objection"}

// replies say what the team let the prison know, of the closed set that may flow back.
func replies(r *web.Request, n *localv1.Notification) []string {
	switch n.GetReply().GetCode() {
	case posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT:
		return []string{r.T("case.reply_accepted")}
	case posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL:
		out := []string{r.T("case.reply_detail")}
		for _, p := range n.GetReply().GetPaths() {
			out = append(out, plain.PathWordsIn(r.Language, p))
		}
		return out
	}
	return nil
}
