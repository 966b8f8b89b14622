package desk

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What the desk holds of a family lives until its business is finished, and some time more. A form, the forms that put it
// right, and all that was made of them are one chain and end together: until then a withdrawal of one reaches the others by
// what the forms say. What remains names nobody, and is enough to take permission back by.

// FormLife is how long a form is kept after its business was finished, where the configuration says nothing.
const FormLife = 90 * 24 * time.Hour

// eraseEvery is how often the desk looks for what to erase.
const eraseEvery = time.Hour

// StepErase erases every chain whose time has come, each in one transaction, and reports whether there was any. A clock that
// is ahead erases nothing: package lapse says by which time.
func (d *Desk) StepErase(ctx context.Context) (bool, error) {
	now := d.cfg.Clock()
	if last := time.Unix(d.looked.Load(), 0); !now.Before(last) && now.Sub(last) < eraseEvery {
		return false, nil
	}
	over, err := d.lapse.Now(ctx)
	if err != nil {
		return false, err
	}
	chains, spooled, err := d.toErase(ctx, now, over)
	count := 0
	for _, c := range chains {
		did, failed := d.erase(ctx, c, spooled)
		if err = errors.Join(err, failed); did {
			count++
		}
	}
	if count > 0 {
		d.cfg.Log.InfoContext(ctx, "what was finished is erased", "chains", count)
	}
	if err == nil && len(chains) == 0 { // what changed meanwhile is looked at again at once
		d.looked.Store(now.Unix())
	}
	return count > 0 && err == nil, err
}

// ending is a notification that is to be erased.
type ending struct {
	*localv1.Notification
	left   *localv1.Notification // what remains
	others [][]byte              // the keys of its content
}

// toErase finds the chains whose time has come at over, to be erased now, and the number of the next spool item by then.
func (d *Desk) toErase(ctx context.Context, now, over time.Time) (out [][]ending, spooled uint64, err error) {
	var failed error // one that cannot be read does not keep the others
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		out, failed = nil, nil
		if spooled, err = nextSequence(s); err != nil {
			return err
		}
		needed, err := d.needed(s)
		if err != nil {
			return err
		}
		all, err := d.unerased(s)
		if err != nil {
			return err
		}
		for _, chain := range chainsOf(all) {
			due, err := d.eraseAt(s, chain, needed)
			if err == nil && (due.IsZero() || over.Before(due)) {
				continue
			}
			var ends []ending
			if err == nil {
				ends, err = d.remains(s, chain, now)
			}
			if failed = errors.Join(failed, err); err == nil {
				out = append(out, ends)
			}
		}
		return d.addContent(s, out)
	})
	return out, spooled, errors.Join(err, failed)
}

// unerased are the notifications of this desk's forms that were not erased.
func (d *Desk) unerased(s store.Snapshot) (all []*localv1.Notification, err error) {
	err = s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
		n := &localv1.Notification{}
		err := d.unseal(schema.DeskNotification, string(key), sealed, n)
		if n.GetErasure() == nil && !n.GetElsewhere() {
			all = append(all, n)
		}
		return true, err
	})
	return all, err
}

// needed are the ids of notifications of which something is in the spool, and of forms that a draft belongs to or puts right.
func (d *Desk) needed(s store.Snapshot) (map[string]bool, error) {
	out := map[string]bool{}
	items, err := d.spool.List(s)
	for _, it := range items {
		out[it.ID] = true
		if it.Destination != hubDestination {
			out[string(it.Body)] = true
		}
	}
	if err != nil {
		return nil, err
	}
	return out, s.Scan(schema.DeskDraft, nil, nil, func(key, _ []byte) (bool, error) {
		draft, err := d.loadDraft(s, string(key))
		if fault.KindOf(err) == fault.NotFound { // its time has passed
			return true, nil
		}
		out[draft.GetForm().GetFormId()], out[draft.GetForm().GetSupersedes()] = true, true
		for _, id := range draft.GetNotificationIds() {
			out[id] = true
		}
		return true, err
	})
}

// chainsOf sorts notifications into their chains.
func chainsOf(all []*localv1.Notification) (out [][]*localv1.Notification) {
	head := map[string]string{} // of a name, another of its chain, or itself
	var find func(name string) string
	find = func(name string) string {
		if head[name] == "" || head[name] == name {
			return name
		}
		head[name] = find(head[name])
		return head[name]
	}
	for _, n := range all {
		for _, name := range namesIn(n) {
			head[find(name)] = find(n.GetId())
		}
	}
	at := map[string]int{}
	for _, n := range all {
		i, known := at[find(n.GetId())]
		if !known {
			i, out = len(out), append(out, nil)
			at[find(n.GetId())] = i
		}
		out[i] = append(out[i], n)
	}
	return out
}

// eraseAt is when a chain is to be erased; zero while something of it is owed.
func (d *Desk) eraseAt(s store.Snapshot, chain []*localv1.Notification, needed map[string]bool) (time.Time, error) {
	var last time.Time
	for _, n := range chain {
		if slices.ContainsFunc(namesIn(n), func(id string) bool { return needed[id] }) {
			return time.Time{}, nil
		}
		if owed, err := d.owed(s, n); err != nil || owed {
			return time.Time{}, err
		}
		for _, at := range moments(n) {
			if at.IsValid() && at.AsTime().After(last) {
				last = at.AsTime()
			}
		}
		_, end, err := d.permission(s, n)
		if err != nil {
			return time.Time{}, err
		}
		detail := n.GetReply().GetCode() == posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL && n.GetSupersededBy() == "" && n.GetState() != stateClosed
		if end.IsZero() && detail { // the team waits for what it asked for as long as a permission holds
			end = n.GetUpdateTime().AsTime().Add(consent.Term)
		}
		if end.After(last) && !back(n) {
			last = end
		}
	}
	return last.Add(d.formLife()), nil
}

func (d *Desk) formLife() time.Duration {
	if d.cfg.FormLife == 0 {
		return FormLife
	}
	return d.cfg.FormLife
}

// owed reports whether anything of a notification may still go, waits for the hub, or is for a person to do. That permission
// is to be asked for again is not, once the safeguarding lead has decided that it stays here.
func (d *Desk) owed(s store.Snapshot, n *localv1.Notification) (bool, error) {
	switch n.GetState() {
	case stateQueued, stateWaiting, stateReferred, stateAccepted:
		return true, nil
	}
	if open(n) || byHand(n) || unanswered(n) || unreadObjection(n) || slices.ContainsFunc(n.GetWithdrawals(), pendingWithdrawal) {
		return true, nil
	}
	if n.GetState() != stateWithdrawn && n.GetState() != stateStopAsked && slices.ContainsFunc(n.GetWithdrawals(), func(w *localv1.TakenWithdrawal) bool {
		return says(w.GetAnswer(), ruleRefused) && !withdrawnBefore(n, w.GetPaths())
	}) {
		return true, nil
	}
	shown, err := d.shown(s, n)
	return slices.ContainsFunc(shown.GetTasks(), func(t *localv1.Task) bool {
		return t.GetKind() != posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN || lastConsidered(n, false) == nil
	}), err
}

// moments are when something happened to a notification, by this desk's clock or a person's word.
func moments(n *localv1.Notification) []*timestamppb.Timestamp {
	all := []*timestamppb.Timestamp{n.GetCreateTime(), n.GetUpdateTime(), n.GetTakenBackElsewhereTime(), n.GetGate().GetSetTime(),
		n.GetReview().GetReviewTime(), n.GetManual().GetSendTime()}
	for _, w := range n.GetWithdrawals() {
		all = append(all, w.GetTakeTime(), w.GetReadTime())
	}
	for _, c := range n.GetConsiderations() {
		all = append(all, c.GetCodes().GetConsiderTime())
	}
	for _, c := range n.GetCalls() {
		all = append(all, c.GetCallTime())
	}
	return all
}

// permission is what was signed of a notification, and when the permission in it ends: zero where nobody gave one.
func (d *Desk) permission(s store.Reader, n *localv1.Notification) (message *posternv1.SealedNotification, end time.Time, err error) {
	message, m := &posternv1.SealedNotification{}, &posternv1.Manifest{}
	if err := d.load(s, schema.DeskMessage, n.GetId(), message); err != nil {
		return nil, end, err
	}
	if err := proto.Unmarshal(message.GetManifest().GetPayload(), m); err != nil {
		return nil, end, fault.New(fault.Internal, "BAD_RECORD", "A record of this desk cannot be read.").Because(err)
	}
	if c := m.GetOffer().GetConsent(); c.GetState() == posternv1.ConsentState_CONSENT_STATE_GIVEN {
		end = consent.Expiry(c)
	}
	return message, end, nil
}

// addContent adds to each notification the keys under which its content is found.
func (d *Desk) addContent(s store.Snapshot, chains [][]ending) error {
	by := map[string]*ending{}
	for _, chain := range chains {
		for i := range chain {
			by[chain[i].GetId()] = &chain[i]
		}
	}
	if len(by) == 0 {
		return nil
	}
	return s.Scan(schema.DeskContent, nil, nil, func(key, _ []byte) (bool, error) {
		if e := by[string(key[max(0, len(key)-idSize):])]; e != nil {
			e.others = append(e.others, slices.Clone(key))
		}
		return true, nil
	})
}

// erase erases a chain in one transaction, unless something came of it meanwhile, or anything was spooled: a hub that has
// lost what it knew may be told of it again. A crash leaves all of it or what remains.
func (d *Desk) erase(ctx context.Context, chain []ending, spooled uint64) (erased bool, err error) {
	d.submit.Lock() // or a withdrawal, a call or a form that puts it right could come between
	defer d.submit.Unlock()
	err = d.promised().Update(ctx, func(tx store.Tx) error {
		erased = false
		if next, err := nextSequence(tx); err != nil || next != spooled {
			return err
		}
		for _, e := range chain {
			now := &localv1.Notification{}
			if err := d.load(tx, schema.DeskNotification, e.GetId(), now); err != nil || !proto.Equal(e.Notification, now) {
				return err
			}
		}
		for _, e := range chain {
			err := errors.Join(d.put(tx, e.Notification, e.left), tx.Delete(schema.DeskMessage, []byte(e.GetId())), tx.Delete(schema.DeskForm, []byte(e.GetFormId())))
			for _, key := range e.others {
				err = errors.Join(err, tx.Delete(schema.DeskContent, key))
			}
			for _, c := range e.GetConsiderations() { // it has long expired; what was withdrawn stays, and names nobody
				err = errors.Join(err, tx.Delete(schema.DeskMessage, []byte(c.GetId())))
			}
			if err != nil {
				return err
			}
		}
		erased = true
		return nil
	})
	return erased && err == nil, err
}
