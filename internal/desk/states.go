package desk

import (
	"slices"
	"strings"

	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The states, for the tables below.
const (
	stateQueued      = localv1.State_STATE_QUEUED
	stateWaiting     = localv1.State_STATE_WAITING
	stateWithheld    = localv1.State_STATE_WITHHELD
	stateReferred    = localv1.State_STATE_REFERRED
	stateAccepted    = localv1.State_STATE_ACCEPTED
	stateDelivered   = localv1.State_STATE_DELIVERED
	stateUndelivered = localv1.State_STATE_UNDELIVERED
	stateWithdrawn   = localv1.State_STATE_WITHDRAWN
	stateStopAsked   = localv1.State_STATE_STOP_ASKED
	stateClosed      = localv1.State_STATE_CLOSED

	statePartWithdrawn = localv1.State_STATE_PART_WITHDRAWN
)

// StateWords says what a state means to the person at the counter.
func StateWords(s localv1.State) string { return StateWordsIn(words.English, s) }

// StateWordsIn is StateWords in a language.
func StateWordsIn(lang words.Language, s localv1.State) string {
	return lang.Text("state."+strings.ToLower(plain.Enum(s)), nil)
}

// StandsIn is what a notification's state means, as its reader sees it: of one that waits, for what.
func StandsIn(lang words.Language, n *localv1.Notification) string {
	if ObjectedElsewhere(n) {
		return lang.Text("state.objected_elsewhere", nil)
	}
	if what := WaitsFor(n); what != "" {
		return lang.Text("state.waiting_"+what, nil)
	}
	return StateWordsIn(lang, n.GetState())
}

// WaitsFor is what a notification waits for where that is not the check, by what its reader may see of it: "call" or "ask".
// Whatever rests on the check waits for that alone, or a hold would read otherwise than a wait.
func WaitsFor(n *localv1.Notification) string {
	d := n.GetDecision()
	if n.GetState() != stateWaiting || awaitsCheck(d) {
		return ""
	}
	needs := func(need string) bool {
		return slices.ContainsFunc(d.GetChildren(), func(c *posternv1.ChildDecision) bool { return slices.Contains(c.GetNeeds(), need) })
	}
	switch {
	case needs("call"):
		return "call"
	case needs(askNeed) || slices.ContainsFunc(d.GetObligations(), func(o *posternv1.Obligation) bool {
		return o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN
	}):
		return "ask"
	}
	return ""
}

// event is something that a desk hears and that may move a notification on; its text stands in docs/states.md.
type event string

// The events. Whatever else a desk hears leaves the state as it is; so does a withdrawal of a part of what it sent itself.
const (
	decidedShare    event = "the hub decides SHARE"
	decidedWait     event = "the hub decides WAIT"
	decidedWithhold event = "the hub decides WITHHOLD"
	decidedRefer    event = "the hub decides REFER_TO_PERSON, or refuses the statement for good"
	againShare      event = "the hub decides again: SHARE"
	againWait       event = "the hub decides again: WAIT"
	againWithhold   event = "the hub decides again: WITHHOLD"
	againRefer      event = "the hub decides again: REFER_TO_PERSON"
	acknowledged    event = "the team's acknowledgement"
	undelivered     event = "the hub's reply UNDELIVERED, or it no longer takes what a hub before it had taken"
	withdrawn       event = "a withdrawal is recorded, and nothing had begun to be sent"
	stopAsked       event = "a withdrawal is recorded, and the team is asked to stop"
	partWithdrawn   event = "a withdrawal of a part of another prison's is recorded"
	notWithdrawn    event = "the hub refuses a withdrawal taken for another prison"
	closed          event = "the hub's reply CLOSED"
	submittedAgain  event = "what was missing came, or the time was up: the desk submits again"
	replaced        event = "a form that puts it right was taken"
	notToShare      event = "the safeguarding lead considered it and decided not to share"
	sentByHand      event = "a person sent it by the manual route and closed it"
)

// moves is the one table of what moves a notification from a state to another. What is not in it changes nothing: the
// hub's updates can come late, twice, or before its answer, and none of them takes back what a stronger one has shown.
// In particular the team's own signature stands against a hub that says that it could not deliver, or that nothing was
// sent; and a decision made again, which only narrows, moves what was accepted and nothing that went on since.
var moves = map[localv1.State]map[event]localv1.State{
	stateQueued: {
		decidedShare: stateAccepted, decidedWait: stateWaiting, decidedWithhold: stateWithheld, decidedRefer: stateReferred,
		againShare: stateAccepted, againWait: stateWaiting, againWithhold: stateWithheld, againRefer: stateReferred,
		acknowledged: stateDelivered, undelivered: stateUndelivered,
		withdrawn: stateWithdrawn, stopAsked: stateStopAsked, notWithdrawn: stateReferred, partWithdrawn: statePartWithdrawn, closed: stateClosed,
	},
	stateWaiting: {
		submittedAgain: stateQueued, replaced: stateClosed, notToShare: stateWithheld,
		withdrawn: stateWithdrawn, stopAsked: stateStopAsked, closed: stateClosed,
	},
	stateWithheld: {submittedAgain: stateQueued, replaced: stateClosed, withdrawn: stateWithdrawn, stopAsked: stateStopAsked, closed: stateClosed},
	stateReferred: {
		submittedAgain: stateQueued, replaced: stateClosed, notToShare: stateWithheld, sentByHand: stateClosed,
		withdrawn: stateWithdrawn, stopAsked: stateStopAsked, partWithdrawn: statePartWithdrawn, closed: stateClosed,
	},
	stateAccepted: {
		againWait: stateWaiting, againWithhold: stateWithheld, againRefer: stateReferred,
		acknowledged: stateDelivered, undelivered: stateUndelivered,
		withdrawn: stateWithdrawn, stopAsked: stateStopAsked, closed: stateClosed,
	},
	stateDelivered:   {stopAsked: stateStopAsked, closed: stateClosed},
	stateUndelivered: {acknowledged: stateDelivered, sentByHand: stateClosed, withdrawn: stateWithdrawn, stopAsked: stateStopAsked, closed: stateClosed},
	stateWithdrawn:   {stopAsked: stateStopAsked, closed: stateClosed},
	stateStopAsked:   {closed: stateClosed},
	stateClosed:      {},

	statePartWithdrawn: {withdrawn: stateWithdrawn, stopAsked: stateStopAsked, closed: stateClosed},
}

// after is the state that follows s when e is heard.
func after(s localv1.State, e event) localv1.State {
	if to, ok := moves[s][e]; ok {
		return to
	}
	return s
}

// decided is the event of the hub's answer to a submission.
func decided(o posternv1.Outcome) event {
	return byOutcome(o, decidedShare, decidedWait, decidedWithhold, decidedRefer)
}

// again is the event of a decision made again.
func again(o posternv1.Outcome) event {
	return byOutcome(o, againShare, againWait, againWithhold, againRefer)
}

func byOutcome(o posternv1.Outcome, share, wait, withhold, refer event) event {
	switch o {
	case posternv1.Outcome_OUTCOME_SHARE:
		return share
	case posternv1.Outcome_OUTCOME_WAIT:
		return wait
	case posternv1.Outcome_OUTCOME_WITHHOLD:
		return withhold
	}
	return refer
}

// replied is the event of a reply; none for one that moves nothing, such as a stop that was asked for a part.
func replied(r *posternv1.Reply) event {
	switch r.GetCode() {
	case posternv1.ReplyCode_REPLY_CODE_UNDELIVERED:
		return undelivered
	case posternv1.ReplyCode_REPLY_CODE_STOP_ASKED:
		if len(r.GetPaths()) == 0 {
			return stopAsked
		}
	case posternv1.ReplyCode_REPLY_CODE_CLOSED:
		return closed
	}
	return ""
}

// answered is the event of the hub's answer to a withdrawal. Of our own notification a part withdrawn leaves the rest
// where it is; of another prison's nothing is known here but that part, and what came of it says nothing of the rest.
func answered(n *localv1.Notification, whole bool, answer *posternv1.Decision) event {
	took := says(answer, ruleStopAsked) || says(answer, ruleWithdrawn)
	switch {
	case says(answer, ruleRefused) && n.GetElsewhere():
		return notWithdrawn
	case !whole && took && n.GetElsewhere():
		return partWithdrawn
	case !whole:
		return ""
	case says(answer, ruleStopAsked):
		return stopAsked
	case took:
		return withdrawn
	}
	return ""
}
