package world

import (
	"context"
	"os"

	"postern/internal/fault"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func (w *World) stepClocks() {
	prison := pick(w, prisons)
	w.alone("desk-"+prison, "clocks", w.Desk(prison).StepClocks)
}

// atTheCounter does what ends in an attempt to send: it shares the desk's spool with the desk's own loop, and not while
// that is at it.
func (w *World) atTheCounter(prison string, do func(context.Context) error) (did bool, err error) {
	key := "desk-" + prison + " spool"
	if w.busy[key] {
		return false, nil
	}
	w.busy[key] = true
	defer delete(w.busy, key)
	return true, do(rpc.WithLocalUID(w.ctx(), uint32(os.Getuid())))
}

// ofAForm is a notification about which somebody at its desk does something, or nil.
func (w *World) ofAForm() *notification {
	n := w.aNotification()
	if n == nil || !w.runs("desk-"+n.prison) {
		return nil
	}
	return n
}

// setGate is the colleague who does the public-protection check.
func (w *World) setGate() {
	found := pick(w, []posternv1.Gate{posternv1.Gate_GATE_NO_HOLD, posternv1.Gate_GATE_NO_HOLD, posternv1.Gate_GATE_HOLD})
	n := w.ofAForm()
	if n == nil || !n.standard || w.ledger.checked[n.form] != 0 || w.ledger.forms[n.form].form.GetGate() == posternv1.Gate_GATE_NO_HOLD {
		return
	}
	did, err := w.atTheCounter(n.prison, func(ctx context.Context) error {
		w.ledger.checked[n.form] = found // whatever is answered: it may have been taken
		_, err := w.Desk(n.prison).SetGate(ctx, &localv1.SetGateRequest{Id: n.id, Gate: found})
		return err
	})
	if !did {
		return
	}
	w.count("check done")
	w.say("desk-%s: the check of %s found %v: %s", n.prison, n.id[:8], found, reason(err))
}

// telephone is somebody who calls the front door, and is answered. What is urgent goes after any call, whatever anybody
// objected to, unless the safeguarding lead thought otherwise.
func (w *World) telephone() {
	n := w.ofAForm()
	if n == nil || !n.standard && !w.urgent(n) {
		return
	}
	if paths := w.scope(); w.rand.IntN(4) == 0 { // somebody thinks again while somebody else telephones
		w.takeBack(n.prison, n, &localv1.WithdrawNotificationRequest{Id: n.id, Paths: paths, Method: byPhone})
		if !w.runs("desk-" + n.prison) {
			return
		}
	}
	did, err := w.atTheCounter(n.prison, func(ctx context.Context) error {
		w.ledger.called[n.form] = true
		_, err := w.Desk(n.prison).RecordCall(ctx, &localv1.RecordCallRequest{Id: n.id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED})
		return err
	})
	if !did {
		return
	}
	w.count("call recorded")
	w.say("desk-%s: a call about %s was answered: %s", n.prison, n.id[:8], reason(err))
	ended := err != nil && fault.From(err).Reason == "ENDED"
	if !w.urgent(n) || err != nil && !ended {
		return
	}
	switch at := w.Desk(n.prison).Get(n.id).GetNotification(); {
	case len(at.GetConsiderations()) > 0 || at.GetState() == localv1.State_STATE_CLOSED:
	case err == nil:
		n.rung = true
		if len(n.asked) > 0 {
			w.count("call about what is urgent and objected to")
		}
	default:
		w.fails("a call about %s, which is urgent and %v, is not taken", n.id, at.GetState())
	}
}

func (w *World) urgent(n *notification) bool {
	return w.ledger.forms[n.form].form.GetRoute() == posternv1.Route_ROUTE_URGENT
}

// requeue is the operator, who sends again what was given up.
func (w *World) requeue() {
	which := w.rand.IntN(1 << 20)
	if !w.runs("hub") {
		return
	}
	list, err := w.Hub.ListDeadLetters(w.ctx(), &localv1.ListDeadLettersRequest{})
	if err != nil || len(list.GetDeadLetters()) == 0 {
		return
	}
	letter := list.GetDeadLetters()[which%len(list.GetDeadLetters())]
	_, err = w.Hub.Requeue(w.ctx(), &localv1.RequeueRequest{Id: letter.GetId()})
	w.count("dead letter sent again")
	w.say("the operator sends %s again: %s", letter.GetNotificationId()[:8], reason(err))
	if err != nil && !uncertain(err) && fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Exhausted {
		w.fails("a dead letter may not be sent again: %v", err)
	}
}
