package world

import (
	"context"
	"time"

	"postern/internal/fault"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// action is something that may happen next.
type action struct {
	name   string
	weight int // how often, on the average over histories
	do     func(*World)
}

// actions are all that can happen by itself; what the network and the disks do happens within them.
var actions = []action{
	{"take a form", 6, (*World).take},
	{"take a form again", 1, (*World).takeAgain},
	{"withdraw", 3, (*World).withdraw},
	{"withdraw elsewhere", 1, (*World).withdrawElsewhere},
	{"spool", 14, (*World).stepSpool},
	{"updates", 8, (*World).stepUpdates},
	{"directory", 1, (*World).stepDirectory},
	{"policy", 1, (*World).stepPolicy},
	{"deliver", 14, (*World).stepDelivery},
	{"reports", 6, (*World).stepReports},
	{"resume", 4, (*World).stepResume},
	{"collect", 8, (*World).stepCollect},
	{"redirects", 2, (*World).stepRedirects},
	{"retention", 1, (*World).stepRetention},
	{"clocks", 4, (*World).stepClocks},
	{"the check is done", 3, (*World).setGate},
	{"telephone", 3, (*World).telephone},
	{"consider", 3, (*World).consider},
	{"pass on", 6, (*World).passOn},
	{"send a dead letter again", 2, (*World).requeue},
	{"restore an inbox", 3, (*World).restoreInbox},
	{"answer a stop", 2, (*World).answerStop},
	{"late message", 8, (*World).lateMessage},
	{"time", 10, (*World).time},
	{"reply", 2, (*World).reply},
	{"audit", 1, (*World).audit},
	{"clock", 2, (*World).setClock},
	{"change the directory", 2, (*World).changeDirectory},
	{"change the policy", 2, (*World).changePolicy},
	{"renew a certificate", 1, (*World).renewOne},
	{"back up", 1, (*World).backUp},
	{"put back", 2, (*World).putBack},
	{"lose the hub's disk", 1, (*World).loseHub},
	{"crash", 2, (*World).crashOne},
	{"restart", 8, (*World).restartOne},
}

// act lets the next action happen.
func (w *World) act() {
	total := 0
	for _, n := range w.swarm.weights {
		total += n
	}
	n := w.rand.IntN(total)
	for i, a := range actions {
		if n -= w.swarm.weights[i]; n < 0 {
			a.do(w)
			return
		}
	}
}

// alone makes a step of a party that its process makes one at a time.
func (w *World) alone(party, name string, step func(context.Context) (bool, error)) {
	key := party + " " + name
	if w.busy[key] || w.parties[party].down {
		return
	}
	w.busy[key] = true
	did, err := step(w.ctx())
	delete(w.busy, key)
	if did || err != nil {
		w.say("%s %s: %s", party, name, result(did, err))
	}
}

func (w *World) stepSpool() {
	prison := pick(w, prisons)
	w.alone("desk-"+prison, "spool", w.Desk(prison).StepSpool)
}

func (w *World) stepUpdates() {
	prison := pick(w, prisons)
	w.alone("desk-"+prison, "updates", w.Desk(prison).StepUpdates)
}

func (w *World) stepDirectory() {
	prison := pick(w, prisons)
	w.alone("desk-"+prison, "directory", w.Desk(prison).StepDirectory)
}

func (w *World) stepReports() {
	code := pick(w, authorities)
	w.alone("inbox-"+code, "reports", w.Inbox(code).StepReports)
}

func (w *World) stepResume() {
	// One that collects says how far it holds all whenever it collects, and not otherwise.
	if code := pick(w, authorities); !w.collects(code) {
		w.alone("inbox-"+code, "resume", w.Inbox(code).StepResume)
	}
}

func (w *World) stepCollect() {
	code := pick(w, authorities)
	w.alone("inbox-"+code, "collect", w.Inbox(code).StepCollect)
}

func (w *World) stepRetention() { w.alone("hub", "retention", w.Hub.StepRetention) }

// stepDelivery may begin while another is under way: each line has its own.
func (w *World) stepDelivery() {
	if w.parties["hub"].down {
		return
	}
	did, err := w.courier(w.ctx())
	if did || err != nil {
		w.say("hub delivery: %s", result(did, err))
	}
}

// courier makes a step of the hub's courier, and knows when it began.
func (w *World) courier(ctx context.Context) (bool, error) {
	w.sends = append(w.sends, w.tick())
	defer func() { w.sends = w.sends[:len(w.sends)-1] }()
	return w.Hub.StepDelivery(ctx)
}

func (w *World) lateMessage() {
	var ready []int
	for i, l := range w.late {
		if l.isReady() {
			ready = append(ready, i)
		}
	}
	if len(ready) > 0 {
		w.arrive(pick(w, ready))
	}
}

func (w *World) time() {
	d := pick(w, []time.Duration{time.Second, time.Second, 10 * time.Second, testkit.MaxWait, testkit.MaxWait, 10 * testkit.MaxWait, 5 * time.Hour})
	if w.chance(w.swarm.leap) {
		d = pick(w, []time.Duration{30 * time.Hour, 8 * 24 * time.Hour})
	}
	w.Clock.Advance(d)
}

func (w *World) crashOne() {
	p := w.parties[pick(w, w.names())]
	if p.down {
		return
	}
	w.count("crash of a " + kindOf(p))
	w.say("%s crashes", p.name)
	w.crash(p)
}

// runs reports whether a party's process runs and has its database.
func (w *World) runs(name string) bool { return !w.parties[name].down && !w.parties[name].sick }

func kindOf(p *party) string { kind, _ := split(p.name); return kind }

func (w *World) restartOne() {
	p := w.parties[pick(w, w.names())]
	if !p.down && !p.sick {
		return
	}
	w.count("restart of a " + kindOf(p))
	w.say("%s starts again", p.name)
	w.crash(p) // a sick one ends first
	w.restart(p)
}

// take hands in a new form.
func (w *World) take() {
	prison := pick(w, prisons)
	f := w.newForm(prison)
	if len(w.ledger.forms) >= maxForms {
		return
	}
	w.ledger.forms[f.GetFormId()] = family{prison, f}
	w.ledger.order = append(w.ledger.order, f.GetFormId())
	w.handIn(prison, f, true)
}

// maxForms bounds a history.
const maxForms = 8

func (w *World) takeAgain() {
	if len(w.ledger.order) == 0 {
		return
	}
	f := w.ledger.forms[pick(w, w.ledger.order)]
	w.count("a form twice")
	w.handIn(f.prison, f.form, false)
}

func (w *World) handIn(prison string, f *posternv1.Form, first bool) {
	if !w.runs("desk-" + prison) {
		return
	}
	_, ids, err := w.Desk(prison).Desk.Take(w.ctx(), testkit.FormJSON(w.t, f), staff)
	w.say("desk-%s takes %s: %v %s", prison, f.GetFormId()[:8], short(ids), reason(err))
	if fault.KindOf(err) == fault.Invalid && first { // later its dates may be wrong by a clock set right
		w.fails("desk-%s takes no form any more: %v", prison, fault.From(err).Fields) // such as one that lost its directory
	}
	if err == nil {
		w.ledger.taken(prison, ids)
	}
}

func short(ids []string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id[:8])
	}
	return out
}

// withdraw takes back all or a part of a notification at its own desk.
func (w *World) withdraw() {
	n, paths := w.aNotification(), w.scope()
	if n == nil || !w.runs("desk-"+n.prison) {
		return
	}
	w.takeBack(n.prison, n, &localv1.WithdrawNotificationRequest{Id: n.id, Paths: paths, Method: byPhone})
}

// withdrawElsewhere takes back at another prison, with the code on the slip.
func (w *World) withdrawElsewhere() {
	n, paths := w.aNotification(), w.scope()
	if n == nil || !w.runs("desk-"+n.prison) {
		return
	}
	other := prisons[0]
	if other == n.prison {
		other = prisons[1]
	}
	if !w.runs("desk-" + other) {
		return
	}
	slip := w.Desk(n.prison).Get(n.id).GetNotification().GetSlipCode()
	w.takeBack(other, n, &localv1.WithdrawNotificationRequest{Id: n.id, Paths: paths, Method: byPhone, SlipCode: slip})
}

const byPhone = posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE

func (w *World) takeBack(prison string, n *notification, req *localv1.WithdrawNotificationRequest) {
	n.tried = true
	_, err := w.Desk(prison).Withdraw(w.ctx(), req, staff)
	w.count("withdrawal")
	w.say("desk-%s withdraws %s %v: %s", prison, n.id[:8], req.GetPaths(), reason(err))
	if err == nil {
		w.ledger.withdrawn(prison, n, req.GetPaths())
	}
}

// holdsBack is where a history turns: the network keeps a notification that is on its way to a team, and most people
// withdraw it meanwhile, and are heard at once. Then the request to stop overtakes it, and the copy comes after that, or
// when the network gives up all that it has.
func (w *World) holdsBack(to, what string, request []byte, handle func() ([]byte, error)) bool {
	n := w.ledger.manifests[manifestOf(w.ledger.delivery(request))]
	if n == nil || !w.chance(w.swarm.hold) {
		return false
	}
	w.count("notification held back")
	w.say("%s is held back", what)
	_, code := split(to)
	_, stopped := n.at(code)
	w.late = append(w.late, late{to, what, func() {
		if whole(*stopped) {
			w.count("late copy of what its team was asked to stop")
		}
		_, _ = handle()
	}, func() bool { return whole(*stopped) }})
	if w.rand.IntN(3) > 0 {
		w.changesMind(n)
	}
	return true
}

// whileSending is the other one: between the courier's look at its outbox and the beginning of a send.
func (w *World) whileSending() {
	for _, id := range w.ledger.takenOrder {
		if n := w.ledger.notifications[id]; n.began == 0 && n.decision.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && len(n.gone) == 0 {
			w.changesMind(n)
			return
		}
	}
}

// changesMind has a person withdraw, and the hub hear of it.
func (w *World) changesMind(n *notification) {
	if !w.runs("desk-"+n.prison) || !w.ledger.learn(n) {
		return
	}
	w.takeBack(n.prison, n, &localv1.WithdrawNotificationRequest{Id: n.id, Method: byPhone})
	for range 3 {
		w.alone("desk-"+n.prison, "spool", w.Desk(n.prison).StepSpool)
	}
}

// aNotification is one that a desk has acknowledged to its staff, or nil.
func (w *World) aNotification() *notification {
	if len(w.ledger.takenOrder) == 0 {
		return nil
	}
	if n := w.ledger.notifications[pick(w, w.ledger.takenOrder)]; w.ledger.learn(n) {
		return n
	}
	return nil
}

func (w *World) scope() []string {
	if w.rand.IntN(2) == 0 {
		return nil
	}
	return pick(w, [][]string{{"child/1"}, {"child/2"}, {"child/1/school"}, {"child/1/needs", "parent/birth"}, {"child/2/phone"}})
}

// answerStop is the team's answer to a stop request that it has.
func (w *World) answerStop() {
	code := pick(w, authorities)
	answer := pick(w, []posternv1.StopAnswerCode{posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED, posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_DUTY})
	if !w.runs("inbox-" + code) {
		return
	}
	for _, item := range w.Inbox(code).Items() {
		if item.GetStop() != nil && item.GetStop().GetAnswer() == 0 {
			_, err := w.Inbox(code).AnswerStop(w.ctx(), &localv1.AnswerStopRequest{Id: item.GetId(), Answer: answer})
			w.count("answer to a stop")
			w.say("inbox-%s answers the stop of %s: %s", code, item.GetId()[:8], reason(err))
			return
		}
	}
}
