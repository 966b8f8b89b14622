package world

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// look judges what a team sees: each notification once, only what may be seen of it, and nothing that was withdrawn.
func (w *World) look(code string) {
	if !w.runs("inbox-" + code) {
		return
	}
	inView, children := map[string]int{}, map[string]string{} // by form and number, under which id
	for _, item := range w.Inbox(code).Items() {
		n := w.ledger.notifications[item.GetId()]
		if n == nil || n.authority != code && n.copies[code] == nil {
			w.fails("inbox-%s shows %s, which is not for it", code, item.GetId())
			continue
		}
		stopped := n.stopped
		if n.authority != code {
			stopped = n.copies[code].stopped
			w.lookAtCopy(code, n, item)
		}
		if len(item.GetPaths()) == 0 {
			continue
		}
		if inView[n.id]++; inView[n.id] > 1 {
			w.fails("inbox-%s shows %s twice", code, n.id)
		}
		if int(item.GetChildren()) > len(n.children) {
			w.fails("inbox-%s is told of %d children of %s; %d may be", code, item.GetChildren(), n.id, len(n.children))
		}
		for _, p := range item.GetPaths() {
			if n.holds(stopped, p) {
				w.fails("inbox-%s acknowledged to stop, and shows %s of %s", code, p, n.id)
			}
			if number, ok := section.ChildOf(p); ok && strings.HasSuffix(p, "/identity") && number <= len(n.numbers) {
				child := fmt.Sprint(n.form, " ", n.numbers[number-1])
				if other := children[child]; other != "" && (w.toldUndelivered(n.id) || w.toldUndelivered(other)) {
					w.count("sent anew since it had been given up, and there both times")
				} else if other != "" {
					w.fails("inbox-%s shows child %d of %s, whom it has by %s too", code, number, n.id, other)
				}
				children[child] = n.id
			}
		}
	}
}

// judge is the last judgement, when everything has healed and come to rest.
func (w *World) judge() {
	for _, id := range w.ledger.takenOrder {
		w.judgeNotification(w.ledger.notifications[id])
		w.judgeLine(w.ledger.notifications[id])
	}
	w.judgeWhatGoesOn()
	for _, code := range authorities {
		w.judgeInbox(code)
	}
	w.judgeLogs()
	w.judgeSent()
	w.judgeHub()
	w.judgePolicies()
}

// toldUndelivered reports whether a desk was told that a notification did not arrive, which it may have done all the same.
func (w *World) toldUndelivered(id string) bool {
	at := w.Desk(w.ledger.notifications[id].prison).Get(id).GetNotification()
	return at.GetState() == localv1.State_STATE_UNDELIVERED || at.GetReply().GetCode() == posternv1.ReplyCode_REPLY_CODE_UNDELIVERED
}

// judgeNotification asks the desk how it ended: nothing that was acknowledged may be lost.
func (w *World) judgeNotification(n *notification) {
	w.ledger.learn(n)
	if n.decision == nil {
		n.decision = n.before // the next hub was not told of it, since it was finished
	}
	at := w.Desk(n.prison).Get(n.id).GetNotification()
	for _, c := range at.GetConsiderations() {
		if c.GetAnswer() == nil && !c.GetShare() {
			w.fails("what was decided not to be shared of %s never came to the hub", n.id)
		}
	}
	if at.GetState() == localv1.State_STATE_WAITING && !n.plain {
		w.fails("%s waits for ever: due %v, told %d of %d, %v", n.id, at.GetResubmitTime().AsTime(), at.GetChangesTold(), at.GetChanges(), at.GetDecision().GetChildren())
	}
	w.judgeOrder(n, at)
	is := func(states ...localv1.State) bool { return slices.Contains(states, at.GetState()) }
	wrong := func(why string) { w.fails("%s ends as %v: %s", n.id, at.GetState(), why); w.say("the desk has %v", at) }
	if n.standard && whole(n.asked) && !whole(n.gone) {
		wrong("its withdrawal never came to the hub")
	}
	switch {
	case whole(n.gone) && len(n.delivered) == 0 && is(localv1.State_STATE_WITHHELD, localv1.State_STATE_REFERRED) && (n.lost || says(at.GetDecision(), "withdrawn")):
		// Another prison's withdrawal. Then it was submitted once more, and the hub's answer says what became of it; or its
		// desk had finished with it, and the next hub does not know whom to tell.
	case whole(n.gone):
		if !is(localv1.State_STATE_WITHDRAWN, localv1.State_STATE_STOP_ASKED) {
			wrong("it was withdrawn")
		} else if len(n.delivered) > 0 && !is(localv1.State_STATE_STOP_ASKED) {
			wrong("the team had it, and nobody asked it to stop")
		}
	case n.decision == nil && n.expired && is(localv1.State_STATE_REFERRED):
		w.count("too old when it came, and the desk was told")
	case n.decision == nil:
		wrong("the hub never decided")
	case n.before.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && is(localv1.State_STATE_UNDELIVERED),
		n.before.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && is(localv1.State_STATE_DELIVERED) && len(n.delivered) > 0:
		w.count("ended at the hub that was lost")
	case n.decision.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE && n.rung && n.authority != testkit.Wrexham && !n.lost && len(at.GetConsiderations()) == 0:
		wrong("it is urgent, somebody telephoned, and it did not go")
	case n.decision.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE:
		if !is(localv1.State_STATE_WITHHELD, localv1.State_STATE_REFERRED, localv1.State_STATE_WAITING) {
			wrong("the hub decided " + n.decision.GetOutcome().String())
		}
	case is(localv1.State_STATE_DELIVERED):
		if len(n.delivered) == 0 {
			wrong("the team never said so")
		}
	case is(localv1.State_STATE_UNDELIVERED):
		w.count("undelivered, and the desk was told")
	case n.mayNarrow(w) && is(localv1.State_STATE_WITHHELD, localv1.State_STATE_REFERRED, localv1.State_STATE_WAITING):
		// decided again, without what was withdrawn
	default:
		wrong("the hub decided to share it")
	}
}

// judgeWhatGoesOn looks at every notification that was made of a family after something had been taken back of one before it,
// such as for a child who waited, or to a new key: none of that may have been sent in it, under whatever number.
func (w *World) judgeWhatGoesOn() {
	for _, id := range w.ledger.takenOrder {
		n := w.ledger.notifications[id]
		if w.parties["desk-"+n.prison].back {
			continue // by its dates what was there before is made after
		}
		at := w.Desk(n.prison).Get(n.id).GetNotification()
		for _, taken := range at.GetWithdrawals() {
			for _, other := range slices.Sorted(maps.Keys(w.ledger.notifications)) {
				next := w.ledger.notifications[other]
				if !n.standard || len(next.numbers) == 0 || taken.GetObjection() || next == n || next.key() != n.key() || len(next.sent) == 0 {
					continue
				}
				after := w.Desk(next.prison).Get(next.id).GetNotification()
				ordered := slices.ContainsFunc(after.GetConsiderations(), func(c *localv1.RecordedConsideration) bool { return c.GetShare() })
				if ordered || !after.GetCreateTime().AsTime().After(taken.GetTakeTime().AsTime().Add(time.Second)) {
					continue
				}
				w.count("made after something was taken back")
				for path := range next.sent {
					if back := n.inForm(taken.GetPaths()); back.holds(next.inForm([]string{path})[0]) {
						w.fails("%s of %s was sent, and had been taken back of %s as %v", path, next.id, n.id, taken.GetPaths())
					}
				}
			}
		}
	}
}

// inForm gives paths of a notification the numbers of its form.
func (n *notification) inForm(paths []string) (out scope) {
	for _, p := range paths {
		parts := strings.SplitN(p, "/", 3)
		if i, err := strconv.Atoi(parts[1]); err == nil && i <= len(n.numbers) {
			parts[1] = strconv.Itoa(int(n.numbers[i-1]))
		}
		out = append(out, strings.Join(parts, "/"))
	}
	return out
}

// mayNarrow reports whether a decision made again may have let nothing go: something was withdrawn, an agreement ended,
// or the permission ran out.
func (n *notification) mayNarrow(w *World) bool {
	return len(n.gone) > 0 || len(w.revisions) > 1 || w.everStopped(n.prison) || w.Clock.Now().Sub(n.made) > 6*24*time.Hour
}

// judgeInbox looks for what the team acknowledged, and whether it says what the family said.
func (w *World) judgeInbox(code string) {
	w.look(code)
	here := map[string]bool{}
	for _, item := range w.Inbox(code).Items() {
		here[item.GetId()] = true
		opened, err := w.Inbox(code).GetItem(w.ctx(), &localv1.GetItemRequest{Id: item.GetId()})
		if err != nil {
			w.fails("inbox-%s cannot show %s: %v", code, item.GetId(), err)
			continue
		}
		n := w.ledger.notifications[item.GetId()]
		w.judgeCopy(code, n, opened)
		for _, s := range opened.GetSections() {
			if n.holds(n.gone, s.GetPath()) {
				w.fails("%s of %s is in view at inbox-%s, and was withdrawn", s.GetPath(), n.id, code)
			}
			if c := n.copies[code]; n.authority == code && n.holds(n.stopped, s.GetPath()) || c != nil && n.holds(c.stopped, s.GetPath()) {
				w.fails("inbox-%s acknowledged to stop, and holds %s of %s", code, s.GetPath(), n.id)
			}
			if !w.says(n, s) {
				w.fails("inbox-%s shows in %s of %s what the family did not say", code, s.GetPath(), n.id)
			}
		}
	}
	w.judgeWords(code)
	for _, id := range w.ledger.takenOrder {
		if n := w.ledger.notifications[id]; w.ledger.has(code, n) && !here[id] {
			w.fails("inbox-%s acknowledged %s and does not have it", code, id)
		}
	}
}

// says reports whether a section holds this child's names and no other's.
func (w *World) says(n *notification, s *localv1.OpenedSection) bool {
	row, ok := section.Lookup(s.GetPath())
	child, may := n.sections[s.GetPath()]
	if !ok || !may {
		return false
	}
	m := row.New()
	w.ledger.read(s.GetContent(), m)
	switch m := m.(type) {
	case *posternv1.ChildIdentity:
		return m.GetGivenName() == child.GetIdentity().GetGivenName() && m.GetFamilyName() == child.GetIdentity().GetFamilyName()
	case *posternv1.ChildHome:
		return slices.Equal(m.GetAddressLines(), child.GetHome().GetAddressLines())
	case *posternv1.ChildCarer:
		return m.GetName() == child.GetCarer().GetName()
	}
	return true
}

// judgeLogs holds every checkpoint and receipt that anybody was shown against the logs as they are now.
func (w *World) judgeLogs() {
	if err := w.Ledger.CheckAll(w.ctx()); err != nil {
		w.fails("the ledger: %v", err)
	}
	var trees [3]tree // by the log byte
	w.scan(schema.HubLeaf, func(key, leaf []byte) { trees[key[0]].add(leaf) })
	for _, head := range w.ledger.checkpoints {
		log, ok := w.Ledger.LogOf(head.Origin)
		if !ok {
			w.fails("a checkpoint of %s was shown, which is no log of ours", head.Origin)
		} else if t := trees[log]; head.Size >= uint64(len(t.roots)) && head.Size > 0 {
			w.fails("a checkpoint of %s was shown with %d leaves; it has %d", head.Origin, head.Size, len(t.leaves))
		} else if head.Size > 0 && t.roots[head.Size] != head.Root {
			w.fails("the checkpoint of %s with %d leaves is of another log", head.Origin, head.Size)
		}
	}
	for _, p := range w.ledger.leaves {
		log, _ := w.Ledger.LogOf(p.origin)
		if t := trees[log]; p.index >= uint64(len(t.leaves)) || !bytes.Equal(t.leaves[p.index], p.leaf) {
			w.fails("a receipt was given for leaf %d of %s, which is not there", p.index, p.origin)
		}
	}
}

// tree is RFC 6962 once more, by other code than the ledger's: the root after each leaf.
type tree struct {
	leaves [][]byte
	peaks  [][32]byte // of the full subtrees, the largest first
	roots  [][32]byte // by size
}

func (t *tree) add(leaf []byte) {
	if t.roots == nil {
		t.roots = [][32]byte{sha256.Sum256(nil)}
	}
	t.leaves = append(t.leaves, leaf)
	t.peaks = append(t.peaks, sha256.Sum256(append([]byte{0}, leaf...)))
	for n := len(t.leaves); n%2 == 0; n /= 2 {
		last := len(t.peaks) - 1
		t.peaks = append(t.peaks[:last-1], node(t.peaks[last-1], t.peaks[last]))
	}
	root := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		root = node(t.peaks[i], root)
	}
	t.roots = append(t.roots, root)
}

func node(l, r [32]byte) [32]byte { return sha256.Sum256(slices.Concat([]byte{1}, l[:], r[:])) }

// judgeHub looks for what should be gone from the hub, and for what should never have come to it.
func (w *World) judgeHub() {
	bodies, items := 0, 0
	w.scan(schema.HubOutboxBody, func(_, _ []byte) { bodies++ })
	for _, ks := range []store.Keyspace{schema.HubOutbox, schema.HubKept, schema.HubParked} {
		w.scan(ks, func(_, row []byte) {
			items++
			w.judgeItem(ks, row)
		})
	}
	if bodies != items {
		w.fails("the hub holds the ciphertext of %d deliveries, and %d are to be sent, kept or looked at", bodies, items)
	}
	for _, ks := range schema.Hub.Keyspaces {
		w.scan(ks, func(key, value []byte) { w.canary(string(ks), slices.Concat(key, value)) })
	}
	w.canary("the logs", w.Log.Bytes())
}

// judgeItem looks at one delivery that the hub still has: nothing waits any more, and nothing is left of what was
// withdrawn whole.
func (w *World) judgeItem(ks store.Keyspace, row []byte) {
	var item struct {
		Body []byte `json:"body"`
	}
	var about struct {
		NotificationID string `json:"notification_id"`
		Stop           []byte `json:"stop"`
	}
	if err := errors.Join(json.Unmarshal(row, &item), json.Unmarshal(item.Body, &about)); err != nil {
		w.fails("a delivery at the hub cannot be read: %v", err)
		return
	}
	if ks == schema.HubOutbox {
		w.fails("%s still waits at the hub", about.NotificationID)
	}
	if n := w.ledger.notifications[about.NotificationID]; about.Stop == nil && whole(n.gone) {
		w.fails("the ciphertext of %s, which was withdrawn, is still at the hub", about.NotificationID)
	}
}

func (w *World) scan(ks store.Keyspace, fn func(key, value []byte)) {
	err := w.Store.View(w.ctx(), func(s store.Snapshot) error {
		return s.Scan(ks, nil, nil, func(k, v []byte) (bool, error) { fn(k, v); return true, nil })
	})
	if err != nil {
		w.fails("the hub's database cannot be read: %v", err)
	}
}

// names matches what word makes; so do random letters now and then.
var names = regexp.MustCompile(`Q[a-z]{9}`)

// canary looks for a family's name where none may be.
func (w *World) canary(where string, b []byte) {
	for _, found := range names.FindAll(b, -1) {
		if w.words[string(found)] {
			w.fails("a name stands in %s", where)
		}
	}
}
