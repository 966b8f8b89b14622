package world

import (
	"math"
	"testing"

	"github.com/anishathalye/porcupine"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// The states of one notification at the hub, for the model.
type lineState int

const (
	nothing        lineState = iota
	accepted                 // decided to be shared
	refused                  // decided not to be shared
	sending                  // a send has begun
	delivered                // the team has it
	withdrawn                // all of it, before a send began
	stopWanted               // all of it, after one began
	forgotten                // the hub lost its disk; one before it may have sent it
	withdrawnEarly           // all of it, before this hub was told of it
	stopEarly                // that, and the desk said that a hub before this one had it
	refusedNow               // decided not to be shared, and the desk said that a hub before this one may have
)

// What is asked of the line, and what it may answer.
type lineAsk string

const (
	askSubmit   lineAsk = "submit"
	askAgain    lineAsk = "submit to the next hub"
	askRemade   lineAsk = "submit what waited once more"
	askWithdraw lineAsk = "withdraw all"
	seeSend     lineAsk = "a send begins"
	seeTaken    lineAsk = "the team takes it"
	seeLoss     lineAsk = "the hub loses its disk"
)

type lineAnswer string

const (
	saidShare   lineAnswer = "it is shared"
	saidNothing lineAnswer = "nothing is shared"
	saidGone    lineAnswer = "nothing had begun to be sent"
	saidStop    lineAnswer = "the team is asked to stop"
	saidDone    lineAnswer = "done"
	saidNotSure lineAnswer = "nobody saw whether it did"
	unknown     lineAnswer = "" // the answer was an error: it may have been done, now or at any time later, or not
)

// line is the model: which answers are possible in which state, and what follows. Statements may be repeated for ever,
// and get the answer that they got; so a state says what was answered before too.
var line = porcupine.NondeterministicModel{
	Init: func() []any { return []any{nothing} },
	Step: func(state, input, output any) []any {
		s := state.(lineState)
		if output == saidNotSure {
			if t, ok := after(s, input.(lineAsk), saidDone); ok {
				return []any{s, t}
			}
			return []any{s}
		}
		if output == unknown {
			next := []any{s} // it was not done
			for _, o := range []lineAnswer{saidShare, saidNothing, saidGone, saidStop, saidDone} {
				if t, ok := after(s, input.(lineAsk), o); ok && t != s {
					next = append(next, t)
				}
			}
			return next
		}
		if t, ok := after(s, input.(lineAsk), output.(lineAnswer)); ok {
			return []any{t}
		}
		return nil
	},
	DescribeOperation: func(input, output any) string {
		return string(input.(lineAsk)) + ": " + string(output.(lineAnswer))
	},
}

// after is the state that follows, if the answer is possible.
func after(s lineState, ask lineAsk, answer lineAnswer) (lineState, bool) {
	if ask == seeLoss {
		return forgotten, answer == saidDone
	}
	type move struct {
		from   lineState
		ask    lineAsk
		answer lineAnswer
	}
	to, ok := map[move]lineState{
		{nothing, askSubmit, saidShare}:    accepted,
		{nothing, askSubmit, saidNothing}:  refused,
		{accepted, askSubmit, saidShare}:   accepted,
		{refused, askSubmit, saidNothing}:  refused,
		{accepted, askSubmit, saidNothing}: refused, // decided again, narrower
		{sending, askSubmit, saidNothing}:  sending,
		{refused, askWithdraw, saidStop}:   stopWanted, // a send had begun before
		{sending, askSubmit, saidShare}:    sending,
		{delivered, askSubmit, saidShare}:  delivered,
		{withdrawn, askSubmit, saidShare}:  withdrawn, // the answer of before
		{stopWanted, askSubmit, saidShare}: stopWanted,

		{withdrawn, askSubmit, saidNothing}: withdrawn, // it came after its withdrawal

		{nothing, askWithdraw, saidGone}:    withdrawn,
		{accepted, askWithdraw, saidGone}:   withdrawn,
		{refused, askWithdraw, saidGone}:    withdrawn,
		{withdrawn, askWithdraw, saidGone}:  withdrawn,
		{sending, askWithdraw, saidStop}:    stopWanted,
		{delivered, askWithdraw, saidStop}:  stopWanted,
		{stopWanted, askWithdraw, saidStop}: stopWanted,

		{accepted, seeSend, saidDone}:  sending,
		{sending, seeSend, saidDone}:   sending,
		{delivered, seeSend, saidDone}: delivered,

		{sending, seeTaken, saidDone}:    delivered,
		{delivered, seeTaken, saidDone}:  delivered,
		{stopWanted, seeTaken, saidDone}: stopWanted, // what was on its way

		{nothing, askRemade, saidShare}:          accepted, // its first answer is on its way still
		{nothing, askRemade, saidNothing}:        refused,
		{refused, askRemade, saidShare}:          accepted,
		{refused, askRemade, saidNothing}:        refused,
		{sending, askRemade, saidShare}:          sending, // the answer of before
		{delivered, askRemade, saidShare}:        delivered,
		{stopWanted, askRemade, saidNothing}:     stopWanted,
		{withdrawn, askRemade, saidNothing}:      withdrawn,
		{forgotten, askRemade, saidShare}:        accepted,
		{forgotten, askRemade, saidNothing}:      refused,
		{withdrawnEarly, askRemade, saidNothing}: withdrawnEarly,
		{stopEarly, askRemade, saidNothing}:      stopEarly,

		{nothing, askAgain, saidShare}:           sending,
		{nothing, askAgain, saidNothing}:         refusedNow, // its desk had not heard yet that the hub was another
		{accepted, askAgain, saidShare}:          sending,    // it counts as begun from then on
		{accepted, askAgain, saidNothing}:        refused,
		{refused, askAgain, saidNothing}:         refused,
		{sending, askAgain, saidShare}:           sending,
		{sending, askAgain, saidNothing}:         sending,
		{delivered, askAgain, saidShare}:         delivered,
		{delivered, askAgain, saidNothing}:       delivered,
		{withdrawn, askAgain, saidShare}:         withdrawn,
		{withdrawn, askAgain, saidNothing}:       stopEarly, // a desk that learned of a loss late takes nothing for sure
		{stopWanted, askAgain, saidShare}:        stopWanted,
		{stopWanted, askAgain, saidNothing}:      stopWanted,
		{forgotten, askSubmit, saidShare}:        accepted,
		{forgotten, askSubmit, saidNothing}:      refused,
		{forgotten, askAgain, saidShare}:         sending,
		{forgotten, askAgain, saidNothing}:       refusedNow,
		{refusedNow, askAgain, saidNothing}:      refusedNow,
		{refusedNow, askSubmit, saidNothing}:     refusedNow,
		{refusedNow, askRemade, saidNothing}:     refusedNow,
		{refusedNow, askRemade, saidShare}:       sending, // what is shared under its id counts as begun
		{refusedNow, askWithdraw, saidStop}:      stopWanted,
		{refusedNow, askWithdraw, saidGone}:      withdrawn, // of what nothing was sealed
		{forgotten, seeTaken, saidDone}:          forgotten, // what the hub before had sent
		{forgotten, askWithdraw, saidGone}:       withdrawnEarly,
		{withdrawnEarly, askWithdraw, saidGone}:  withdrawnEarly,
		{withdrawnEarly, seeTaken, saidDone}:     withdrawnEarly,
		{withdrawnEarly, askSubmit, saidNothing}: withdrawnEarly,
		{withdrawnEarly, askAgain, saidNothing}:  stopEarly,
		{stopEarly, askAgain, saidNothing}:       stopEarly,
		{stopEarly, askSubmit, saidNothing}:      stopEarly,
		{stopEarly, askWithdraw, saidGone}:       stopEarly,
		{stopEarly, askWithdraw, saidStop}:       stopEarly,
		{stopEarly, seeTaken, saidDone}:          stopEarly,
	}[move{s, ask, answer}]
	return to, ok
}

// tick is the order in which things are seen.
func (w *World) tick() int64 { w.ticks++; return w.ticks }

// did records an operation on a notification for the model. One whose outcome is unknown may still happen, so it never
// returns.
func (n *notification) did(ask lineAsk, answer lineAnswer, call, returned int64) {
	if answer == unknown {
		returned = math.MaxInt64
	}
	n.ops = append(n.ops, porcupine.Operation{Input: ask, Output: answer, Call: call, Return: returned})
}

// mayHaveBegun records that the hub failed where a send may have begun and was not seen: its last commit arrived, and then
// the process was over. From then on it counts as begun.
func (l *ledger) mayHaveBegun() {
	since := l.w.tick()
	if len(l.w.sends) > 0 {
		since = l.w.sends[0]
	}
	for _, id := range l.takenOrder {
		if n := l.notifications[id]; len(n.ops) > 0 {
			n.did(seeSend, saidNotSure, since, l.w.tick())
		}
	}
}

// statement records what the hub answered to a statement, between two ticks.
func (l *ledger) statement(request []byte, out *posternv1.SubmitResponse, err error, call int64) {
	m, sum := l.submitted(request)
	ask, id, answer := askSubmit, m.GetNotificationId(), unknown
	req := &posternv1.SubmitRequest{}
	if l.read(request, req); req.GetResubmitted() {
		ask = askAgain
	}
	if wd := m.GetWithdrawal(); wd != nil {
		if len(wd.GetPaths()) > 0 {
			return
		}
		ask, id = askWithdraw, wd.GetWithdraws()
	}
	n := l.notifications[id]
	if m.GetConsidered() != nil || n != nil && ask == askWithdraw && !n.standard {
		return
	}
	switch {
	case n == nil || err != nil && !uncertain(err):
		if n != nil && fault.From(err).Reason == "EXPIRED" {
			n.expired = true
		}
		return // it was refused: nothing was done
	case err != nil:
	case ask == askWithdraw && says(out.GetDecision(), "stop_asked"):
		answer = saidStop
	case ask == askWithdraw:
		answer = saidGone
	case out.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE:
		answer = saidShare
	default:
		answer = saidNothing
	}
	if ask == askSubmit && answer != unknown {
		before, had := n.answers[sum]
		if had && before != answer {
			l.w.fails("the same manifest of %s was answered %q, and now %q", n.id, before, answer)
		}
		if n.answers[sum] = answer; had {
			return // nothing was done
		}
	}
	if ask == askSubmit && sum != n.first {
		ask = askRemade // also where nobody knows the answer
	}
	n.did(ask, answer, call, l.w.tick())
}

// uncertain reports whether what an error answers may have been done.
func uncertain(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Deadline, fault.Internal:
		return true
	}
	return false
}

func says(d *posternv1.Decision, rule string) bool {
	for _, r := range d.GetReasons() {
		if r.GetRuleId() == rule {
			return true
		}
	}
	return false
}

// judgeLine asks whether one order of what happened explains all that was seen of a notification.
func (w *World) judgeLine(n *notification) {
	if n.duty {
		return // what is ordered to be shared goes whatever was withdrawn before, and is not undone: the rules judge it
	}
	if !porcupine.CheckOperations(line.ToModel(), n.ops) {
		w.fails("no order explains what was seen of %s: %s", n.id, describe(n.ops))
	}
}

func describe(ops []porcupine.Operation) (all string) {
	for i, o := range ops {
		if i > 0 {
			all += ", "
		}
		all += line.DescribeOperation(o.Input, o.Output)
	}
	return all
}

// The model refuses what must not be, or it would judge nothing.
func TestTheModelKnowsWrong(t *testing.T) {
	n := &notification{}
	n.did(askSubmit, saidShare, 1, 2)
	n.did(askWithdraw, saidGone, 3, 6)
	n.did(seeSend, saidDone, 4, 5)
	if porcupine.CheckOperations(line.ToModel(), n.ops) {
		t.Error("a send during a withdrawal that found none begun passes")
	}
	n = &notification{}
	n.did(askSubmit, saidShare, 1, 2)
	n.did(askWithdraw, unknown, 3, 0)
	n.did(seeSend, saidDone, 4, 5)
	n.did(seeTaken, saidDone, 6, 7)
	n.did(askWithdraw, saidStop, 8, 9)
	if !porcupine.CheckOperations(line.ToModel(), n.ops) {
		t.Error("a withdrawal that failed, and was made again, does not pass")
	}
	n.did(seeSend, saidDone, 10, 11)
	if porcupine.CheckOperations(line.ToModel(), n.ops) {
		t.Error("a send after a withdrawal passes")
	}
}
