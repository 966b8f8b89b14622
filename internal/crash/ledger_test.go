//go:build crash

package crash

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	localv1 "postern/proto/postern/local/v1"
)

// ledger is what the driver knows by itself, outside every party. Whatever a party forgets stands here still.
type ledger struct {
	mu        sync.Mutex
	forms     map[string]*form           // by form id
	order     []string                   // form ids as they were first handed in
	withdrawn map[string]bool            // notification id → its withdrawal was acknowledged; false: it was only tried
	shown     map[string]map[string]bool // inbox → notification id → whether the team was seen to be asked to stop
}

// form is a form that was handed in at a desk.
type form struct {
	desk string
	json []byte
	ids  []string // its notifications, once it was acknowledged
}

func newLedger() *ledger {
	return &ledger{forms: map[string]*form{}, withdrawn: map[string]bool{}, shown: map[string]map[string]bool{}}
}

// handIn notes a form before it is handed in for the first time.
func (l *ledger) handIn(id, desk string, json []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forms[id] = &form{desk: desk, json: json}
	l.order = append(l.order, id)
}

// acknowledged notes that a desk took a form; another answer to the same form than before is returned as a finding.
func (l *ledger) acknowledged(id string, ids []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.forms[id]
	if f.ids != nil && !slices.Equal(f.ids, ids) {
		return []string{fmt.Sprintf("lost: form %s was %v and is now %v", id, f.ids, ids)}
	}
	f.ids = ids
	return nil
}

// counts are how many forms and withdrawals were acknowledged.
func (l *ledger) counts() (forms, notifications, withdrawals int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.forms {
		if f.ids != nil {
			forms, notifications = forms+1, notifications+len(f.ids)
		}
	}
	for _, acknowledged := range l.withdrawn {
		if acknowledged {
			withdrawals++
		}
	}
	return forms, notifications, withdrawals
}

// seen is what a person sees in every list of every party at one moment.
type seen struct {
	desks   map[string][]*localv1.Notification // by desk
	inboxes map[string][]*localv1.Item         // by inbox
}

// notification finds a desk's notification.
func (s seen) notification(desk, id string) *localv1.Notification {
	i := slices.IndexFunc(s.desks[desk], func(n *localv1.Notification) bool { return n.GetId() == id })
	if i < 0 {
		return nil
	}
	return s.desks[desk][i]
}

// items are an inbox's items about a notification.
func (s seen) items(inbox, id string) []*localv1.Item {
	var found []*localv1.Item
	for _, i := range s.inboxes[inbox] {
		if i.GetId() == id {
			found = append(found, i)
		}
	}
	return found
}

// open says what has not come to its end yet; empty when everything has. It does not judge.
func (l *ledger) open(s seen) string {
	for desk, notifications := range s.desks {
		for _, n := range notifications {
			if n.GetAuthority() != "" && inboxOf(n.GetAuthority()) == "" {
				continue
			}
			switch n.GetState() {
			case localv1.State_STATE_QUEUED, localv1.State_STATE_ACCEPTED:
				if n.GetElsewhere() {
					break
				}
				return fmt.Sprintf("%s at %s is still %s", n.GetId(), desk, n.GetState())
			case localv1.State_STATE_STOP_ASKED:
				for _, i := range s.items(inboxOf(n.GetAuthority()), n.GetId()) {
					if i.GetStop() == nil {
						return fmt.Sprintf("the team has not been asked to stop using %s", n.GetId())
					}
				}
			}
			for _, w := range n.GetWithdrawals() {
				if w.GetAnswer() == nil {
					return fmt.Sprintf("a withdrawal of %s at %s is still queued", n.GetId(), desk)
				}
			}
		}
	}
	return ""
}

// judge compares what is seen, once everything has come to its end, with the ledger; it returns what does not hold.
func (l *ledger) judge(s seen) (findings []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	for _, id := range l.order {
		f := l.forms[id]
		for _, n := range f.ids {
			if s.notification(f.desk, n) == nil {
				found("lost: %s was acknowledged and %s does not have it", n, f.desk)
			}
		}
	}
	sent := map[string]*localv1.Notification{}
	for _, desk := range slices.Sorted(maps.Keys(s.desks)) {
		parts := map[[2]string]bool{}
		for _, n := range s.desks[desk] {
			if n.GetElsewhere() { // another prison's: here is only that somebody wanted to withdraw it
				continue
			}
			sent[n.GetId()] = n
			part := [2]string{n.GetFormId(), n.GetAuthority()}
			if parts[part] {
				found("twice: form %s makes two notifications to %s", n.GetFormId(), n.GetAuthority())
			}
			parts[part] = true
			l.judgeOne(s, n, found)
		}
	}
	for _, inbox := range slices.Sorted(maps.Keys(s.inboxes)) {
		l.judgeInbox(inbox, s, sent, found)
	}
	return findings
}

// judgeOne judges one notification: what its desk says of it, against what its team is shown.
func (l *ledger) judgeOne(s seen, n *localv1.Notification, found func(string, ...any)) {
	inbox := inboxOf(n.GetAuthority())
	if n.GetAuthority() != "" && inbox == "" {
		return
	}
	items := s.items(inbox, n.GetId())
	if len(items) > 1 {
		found("twice: %s is shown %d times", n.GetId(), len(items))
	}
	visible := len(items) > 0 && items[0].GetStop() == nil
	switch n.GetState() {
	case localv1.State_STATE_DELIVERED:
		if !visible {
			found("lost: %s is delivered and the team does not see it", n.GetId())
		}
	case localv1.State_STATE_STOP_ASKED:
		if visible {
			found("shown: %s was withdrawn and the team sees it", n.GetId())
		}
	case localv1.State_STATE_WITHDRAWN, localv1.State_STATE_WITHHELD, localv1.State_STATE_REFERRED, localv1.State_STATE_WAITING:
		if len(items) > 0 {
			found("shown: %s is %s and the team has it", n.GetId(), n.GetState())
		}
	default:
		found("lost: %s is %s at the end", n.GetId(), n.GetState())
	}
	if acknowledged, tried := l.withdrawn[n.GetId()]; acknowledged && visible {
		found("lost: the withdrawal of %s was acknowledged and the team sees it", n.GetId())
	} else if stopped := len(n.GetWithdrawals()) > 0; stopped && !tried {
		found("shown: %s is withdrawn and nobody withdrew it", n.GetId())
	} else if acknowledged && !stopped {
		found("lost: the withdrawal of %s was acknowledged and is not there", n.GetId())
	}
}

// judgeInbox holds an inbox's list against what it showed before, and against what was ever sent.
func (l *ledger) judgeInbox(inbox string, s seen, sent map[string]*localv1.Notification, found func(string, ...any)) {
	before := l.shown[inbox]
	if before == nil {
		before = map[string]bool{}
		l.shown[inbox] = before
	}
	for id, stopped := range before {
		items := s.items(inbox, id)
		if len(items) == 0 {
			found("lost: %s was shown at %s and is gone", id, inbox)
		} else if stopped && items[0].GetStop() == nil {
			found("shown: %s came back into view at %s", id, inbox)
		}
	}
	for _, i := range s.inboxes[inbox] {
		if sent[i.GetId()] == nil {
			found("shown: %s is at %s and no desk sent it", i.GetId(), inbox)
		}
		before[i.GetId()] = i.GetStop() != nil
	}
}
