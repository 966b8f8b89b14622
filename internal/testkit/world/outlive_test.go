package world

import (
	"maps"
	"slices"
	"time"

	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// outlive is most of a year later: desks have erased what was finished, and people take back all the same.
func (w *World) outlive() {
	for range 300 { // the longest of permission and grace, a day at a time: desks erase nothing by a clock that leaps
		w.Clock.Advance(23 * time.Hour)
		for _, prison := range prisons {
			for more := true; more; {
				var err error
				if more, err = w.Desk(prison).StepErase(w.ctx()); err != nil {
					w.fails("desk-%s does not erase: %s", prison, reason(err))
					return
				}
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(w.identities)) {
		w.renew(path)
	}
	var erased []*notification
	for _, id := range w.ledger.takenOrder {
		n := w.ledger.notifications[id]
		at := w.Desk(n.prison).Get(id).GetNotification()
		done := slices.Contains([]localv1.State{localv1.State_STATE_WITHDRAWN, localv1.State_STATE_STOP_ASKED}, at.GetState())
		switch {
		case at.GetErasure() != nil:
			w.count("erased at a desk")
			if erased = append(erased, n); done {
				continue
			}
			w.takeBack(n.prison, n, &localv1.WithdrawNotificationRequest{Id: id, Method: byPhone})
		case done && len(at.GetTasks()) == 0:
			w.count("finished, and kept with what is not")
		}
	}
	for range 4 {
		w.Clock.Advance(2 * testkit.MaxWait)
		w.settle()
	}
	for _, n := range erased {
		at := w.Desk(n.prison).Get(n.id).GetNotification()
		if n.standard && whole(n.asked) && !slices.Contains([]localv1.State{localv1.State_STATE_WITHDRAWN, localv1.State_STATE_STOP_ASKED}, at.GetState()) {
			w.fails("%s was erased and taken back, and ends as %v", n.id, at.GetState())
		}
	}
	for _, code := range authorities {
		w.look(code)
	}
}
