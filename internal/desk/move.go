package desk

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A person who moves to another prison is no new reception there, and nothing of what this prison has taken goes along. What can
// only be done with them, which is to ask, is not to be done here any more; calls, the check, the safeguarding lead's decisions
// and what goes by hand need nobody to be here, and stay. Nobody is told: where somebody is, is said to a team by a person.

// unlisted names a prison that is not in the directory.
const unlisted = "OTHER"

// RecordMove records that the person has moved, for all that this desk has about them by now, or that they are back.
func (d *Desk) RecordMove(ctx context.Context, req *localv1.RecordMoveRequest) (*localv1.RecordMoveResponse, error) {
	by, err := d.fillsIn(ctx)
	if err != nil {
		return nil, err
	}
	move, err := d.moveTo(req.GetPrisonId(), by)
	if err != nil {
		return nil, err
	}
	ids, err := d.recordMove(ctx, req.GetId(), move)
	if err != nil {
		return nil, err
	}
	all, err := d.show(ctx, ids)
	return &localv1.RecordMoveResponse{Notifications: all}, err
}

// moveTo is a move as it is recorded; none to this prison.
func (d *Desk) moveTo(id string, by Staff) (*localv1.RecordedMove, error) {
	move := &localv1.RecordedMove{StaffId: by.ID, RecordTime: d.now()}
	if id == unlisted {
		return move, nil
	}
	if id == d.cfg.Identity.Party().ID {
		return nil, nil
	}
	prison, ok := d.directory.Load().At(d.cfg.Clock()).Prison(id)
	if !ok {
		return nil, fault.InvalidFields("BAD_MOVE", "The move cannot be recorded like this.", []fault.Field{{Path: "prison_id",
			Reason: "The directory has no prison by this id.", Fix: "Give its three letters, OTHER for a prison that is not in the directory, or this prison's for somebody who is back."}})
	}
	move.PrisonId, move.PrisonName = prison.GetId(), prison.GetName()
	return move, nil
}

func (d *Desk) recordMove(ctx context.Context, name string, move *localv1.RecordedMove) (ids []string, err error) {
	d.submit.Lock() // or a form that puts one of them right could come between, and know nothing of it
	defer d.submit.Unlock()
	n, err := d.named(ctx, name)
	if err != nil {
		return nil, err
	}
	if n.GetElsewhere() {
		return nil, ended(n, "do with the person")
	}
	if n.GetErasure() != nil {
		return nil, erased(n)
	}
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		ids, err = d.aboutSame(s, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error { // all of them, or none
		for _, id := range ids {
			n := &localv1.Notification{}
			if err := d.load(tx, schema.DeskNotification, id, n); err != nil {
				return err
			}
			if n.GetErasure() != nil {
				continue
			}
			before := proto.CloneOf(n)
			if was := n.GetMove(); (was == nil) == (move == nil) && was.GetPrisonId() == move.GetPrisonId() {
				continue // the same again
			}
			n.Move, n.UpdateTime = move, d.now()
			if err := d.put(tx, before, n); err != nil {
				return err
			}
		}
		return nil
	})
	return ids, err
}

// aboutSame are the ids of all notifications about the person whom one is about, that one first: those of its chain, and those
// of every form with the same prison number.
func (d *Desk) aboutSame(s store.Snapshot, n *localv1.Notification) ([]string, error) {
	chain, err := d.chain(s, n.GetId())
	if err != nil {
		return nil, err
	}
	var ids []string
	numbers := map[string]bool{}
	for _, l := range chain {
		ids = append(ids, l.GetId())
		numbers[strings.ToUpper(strings.TrimSpace(l.form.GetPrisonNumber()))] = true
	}
	delete(numbers, "")
	var forms []string
	err = s.Scan(schema.DeskForm, nil, nil, func(key, sealed []byte) (bool, error) {
		f := &posternv1.Form{}
		err := d.unseal(schema.DeskForm, string(key), sealed, f)
		if numbers[strings.ToUpper(strings.TrimSpace(f.GetPrisonNumber()))] {
			forms = append(forms, string(key))
		}
		return true, err
	})
	for _, id := range forms {
		if err != nil {
			return nil, err
		}
		var all []*localv1.Notification
		all, err = d.ofForm(s, id)
		for _, other := range all {
			for _, next := range []string{other.GetId(), other.GetResealedBy()} {
				if next != "" && !slices.Contains(ids, next) {
					ids = append(ids, next)
				}
			}
		}
	}
	return ids, err
}

// moved is the move that a form goes on with which puts others right.
func moved(earlier []prior) (move *localv1.RecordedMove) {
	for _, e := range earlier {
		if e.GetMove() != nil {
			move = e.GetMove()
		}
	}
	return move
}

// onlyAsks reports whether a notification waits for nothing but that the person, who is not here any more, is asked.
func onlyAsks(n *localv1.Notification) bool {
	if n.GetMove() == nil || n.GetState() != stateWaiting {
		return false
	}
	for _, c := range n.GetDecision().GetChildren() {
		if slices.ContainsFunc(c.GetNeeds(), func(need string) bool { return need != askNeed }) {
			return false
		}
	}
	return !slices.ContainsFunc(n.GetDecision().GetObligations(), func(o *posternv1.Obligation) bool {
		return o.GetKind() != posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN
	})
}

const askNeed = "ask_again"

// NotAskedHere reports whether a notification waits for an answer of somebody who is at another prison, so that nobody here asks.
func NotAskedHere(n *localv1.Notification) bool { return open(n) && onlyAsks(n) }

// movedAway reports whether the person of a draft that came to its end was recorded as moved.
func (d *Desk) movedAway(ctx context.Context, draft *localv1.Draft) (is bool, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		is = false
		for _, id := range draft.GetNotificationIds() {
			n := &localv1.Notification{}
			if err := d.loadIfThere(s, schema.DeskNotification, id, n); err != nil {
				return err
			}
			is = is || n.GetMove() != nil
		}
		return nil
	})
	return is, err
}
