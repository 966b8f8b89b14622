package desk

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The rules of an urgent message about which nobody has telephoned, and of what no rule could decide.
const (
	ruleUnphoned  = "urgent_unphoned"
	ruleUndecided = "policy_error"
)

// emergencyNumber is the one number that is the same everywhere and at every hour.
const emergencyNumber = "999"

// shown is a notification as people see it: with what has to be done now, by the numbers of this hour, until when.
func (d *Desk) shown(s store.Snapshot, n *localv1.Notification) (*localv1.Notification, error) {
	n = proto.CloneOf(n)
	if n.GetErasure() != nil {
		return n, nil // nothing is left to do
	}
	now := d.cfg.Clock()
	for _, o := range obligations(n) {
		if !done(n, o) {
			n.Tasks = append(n.Tasks, d.task(n, o, now))
		}
	}
	if err := errors.Join(d.addPolice(s, n), d.askLater(s, n)); err != nil {
		return nil, err
	}
	alertGovernor(n)
	if n.Champion = nil; len(n.GetTasks()) > 0 || n.GetState() == stateUndelivered {
		a, _ := d.directory.Load().At(now).Authority(n.GetAuthority())
		n.Champion = a.GetChampion()
	}
	if due := n.GetDecision().GetDueTime(); due != nil && open(n) && !n.GetResubmitting() && undecided(n) && !onlyAsks(n) {
		n.DueTime, n.Overdue = due, !due.AsTime().After(now)
	}
	if due, owed := owedToAChild(n); owed && due != nil && (n.GetDueTime() == nil || due.AsTime().Before(n.GetDueTime().AsTime())) {
		n.DueTime, n.Overdue = due, !due.AsTime().After(now)
	}
	if !says(n.GetDecision(), "already_notified") {
		return n, nil
	}
	first, err := d.first(s, n)
	n.SameAs = first
	return n, err
}

// obligations are those of a decision, and the calls that wait for none and that no order to share takes away.
func obligations(n *localv1.Notification) []*posternv1.Obligation {
	all := slices.Clone(n.GetDecision().GetObligations())
	if n.GetDecision() != nil && n.GetRoute() != posternv1.Route_ROUTE_DUTY && !says(n.GetDecision(), ruleRefused) {
		return all
	}
	for _, call := range n.GetForeseen() {
		if !slices.ContainsFunc(all, func(o *posternv1.Obligation) bool {
			return o.GetKind() == call.GetKind() && o.GetChildNumber() == call.GetChildNumber()
		}) {
			all = append(all, call)
		}
	}
	return all
}

// alertGovernor adds what the policy says only in a decision that is made after the call was due, and whatever holds a
// notification here may have no such decision: nobody telephoned in time about a child who may be alone. An alert stands once,
// and where the policy's own would stand, or reception could tell the one that is held by it.
func alertGovernor(n *localv1.Notification) {
	if n.GetRoute() == posternv1.Route_ROUTE_URGENT && phonedByDecision(n.GetDecision()) {
		return // that nobody answers is for the police
	}
	for _, t := range slices.Clone(n.GetTasks()) {
		call := &posternv1.Obligation{ChildNumber: t.GetChildNumber()}
		if t.GetKind() != posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR || !t.GetOverdue() || insteadOfForm(n, call) {
			continue
		}
		alert := &localv1.Task{Kind: posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR, ChildNumber: t.GetChildNumber(), DueTime: t.GetDueTime(), Overdue: true}
		at, stands := 0, false
		for i, other := range n.GetTasks() {
			order := cmp.Or(cmp.Compare(other.GetChildNumber(), alert.GetChildNumber()), cmp.Compare(other.GetKind(), alert.GetKind()))
			if stands = stands || order == 0; order < 0 {
				at = i + 1
			}
		}
		if !stands {
			n.Tasks = slices.Insert(n.Tasks, at, alert)
		}
	}
}

// phonedByDecision reports whether the policy has decided on an urgent message and knew of a call.
func phonedByDecision(d *posternv1.Decision) bool {
	return d != nil && !slices.ContainsFunc([]string{ruleUnphoned, ruleUndecided, ruleRefused}, func(rule string) bool { return says(d, rule) })
}

// owedToAChild reports whether somebody has to telephone about a child, to alert somebody, or to look again at what was shared
// urgently, beside whatever the hub has decided or has not; and by when, where that is known. A call about what waits by a
// decision is on a list by that, unless the next decision is asked for.
func owedToAChild(n *localv1.Notification) (due *timestamppb.Timestamp, owed bool) {
	byDecision := n.GetDecision() != nil && open(n) && !n.GetResubmitting() && n.GetRoute() != posternv1.Route_ROUTE_DUTY
	for _, t := range n.GetTasks() {
		switch t.GetKind() {
		case posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR, posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE,
			posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR:
			if byDecision {
				continue
			}
		case posternv1.ObligationKind_OBLIGATION_KIND_REVIEW:
		default:
			continue
		}
		if owed = true; t.GetDueTime() != nil && (due == nil || t.GetDueTime().AsTime().Before(due.AsTime())) {
			due = t.GetDueTime()
		}
	}
	return due, owed
}

// addPolice adds what the hub cannot say any more: an urgent message went after one call that nobody answered, and nobody
// answered the next one either.
func (d *Desk) addPolice(s store.Snapshot, n *localv1.Notification) error {
	has := func(t *localv1.Task) bool { return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE }
	if len(n.GetCalls()) == 0 || slices.ContainsFunc(n.GetTasks(), has) {
		return nil
	}
	message := &posternv1.SealedNotification{}
	if err := d.load(s, schema.DeskMessage, n.GetId(), message); err != nil {
		return err
	}
	facts, err := hubFacts(message)
	if err != nil || facts.GetUrgencyReason() == posternv1.UrgencyReason_URGENCY_REASON_UNSPECIFIED {
		return err
	}
	// Calls are matched one by one, since two may have been made in the same minute.
	before, unanswered := slices.Clone(facts.GetCalls()), 0
	for _, c := range n.GetCalls() {
		if i := slices.IndexFunc(before, func(told *posternv1.Call) bool { return proto.Equal(told.GetCallTime(), c.GetCallTime()) }); i >= 0 {
			before = slices.Delete(before, i, i+1)
		}
		if c.GetResult() != posternv1.CallResult_CALL_RESULT_NO_ANSWER {
			return nil // somebody knows
		}
		unanswered++
	}
	for _, c := range before {
		if c.GetResult() != posternv1.CallResult_CALL_RESULT_NO_ANSWER {
			return nil
		}
		unanswered++
	}
	if unanswered > 1 && !done(n, &posternv1.Obligation{Kind: posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE}) {
		o := &posternv1.Obligation{Kind: posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE}
		n.Tasks = append([]*localv1.Task{d.task(n, o, d.cfg.Clock())}, n.Tasks...)
	}
	return nil
}

// askLater says until when the person is asked again where the hub is not asked once more, as under a hold: once the first day
// has passed that is the last, and nothing is overdue before.
func (d *Desk) askLater(s store.Snapshot, n *localv1.Notification) error {
	i := slices.IndexFunc(n.GetTasks(), func(t *localv1.Task) bool {
		return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN && t.GetOverdue()
	})
	if i < 0 || waits(n) {
		return nil
	}
	message, manifest := &posternv1.SealedNotification{}, &posternv1.Manifest{}
	if err := d.load(s, schema.DeskMessage, n.GetId(), message); err != nil {
		return err
	}
	facts, err := hubFacts(message)
	if err == nil {
		err = proto.Unmarshal(message.GetManifest().GetPayload(), manifest)
	}
	if err != nil {
		return err
	}
	since := facts.GetFirstSubmitTime().AsTime()
	if ended := consent.Expiry(manifest.GetOffer().GetConsent()); says(n.GetDecision(), "consent_expired") && ended.After(since) {
		since = ended
	}
	task := n.GetTasks()[i]
	due := form.InLondon(task.GetDueTime().AsTime())
	days := consent.AskAgain(due.AddDate(0, 0, -1)) // at the hour at which it is due
	if first, last := days[0], days[len(days)-1]; form.Today(first) == form.Today(consent.AskAgain(form.InLondon(since))[0]) {
		task.DueTime, task.Overdue = timestamppb.New(last), !last.After(d.cfg.Clock())
	}
	return nil
}

// undecided reports whether anything of a notification waits or needs a decision.
func undecided(n *localv1.Notification) bool {
	return n.GetState() == stateWaiting || n.GetState() == stateReferred || len(openChildren(n)) > 0
}

// inList is a notification as a list shows it: without what is for the person's slip or in somebody's words.
func (d *Desk) inList(s store.Snapshot, n *localv1.Notification) (*localv1.Notification, error) {
	n, err := d.shown(s, n)
	if err != nil {
		return nil, err
	}
	n.SlipCode = ""
	for _, c := range n.GetCalls() {
		c.Who, c.Reference = "", ""
	}
	for _, c := range n.GetConsiderations() {
		c.Reasons = ""
	}
	if n.GetReview() != nil {
		n.Review.Findings = ""
	}
	return n, nil
}

// task is an obligation as it stands now: a front door's number is that of this hour, whenever it was decided.
func (d *Desk) task(n *localv1.Notification, o *posternv1.Obligation, now time.Time) *localv1.Task {
	t := &localv1.Task{Kind: o.GetKind(), ChildNumber: o.GetChildNumber(), PhoneNumber: o.GetPhoneNumber(), DueTime: o.GetDueTime()}
	t.Overdue = t.GetDueTime() != nil && !t.GetDueTime().AsTime().After(now)
	switch o.GetKind() {
	case posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE:
		t.Name, t.PhoneNumber = "Police", cmp.Or(o.GetPhoneNumber(), emergencyNumber)
	case posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE, posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR:
		if name, phone, _ := d.directory.Load().PhoneNow(n.GetAuthority(), d.door(n, o), now); phone != "" {
			t.Name, t.PhoneNumber = name, phone
		}
	}
	return t
}

// door is the front door that an obligation means: the one whose number it names; where both have it, or neither, the one
// that is usual.
func (d *Desk) door(n *localv1.Notification, o *posternv1.Obligation) posternv1.FrontDoorRole {
	dir := d.directory.Load()
	for _, role := range []posternv1.FrontDoorRole{posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING} {
		front, ok := dir.FrontDoor(n.GetAuthority(), role)
		if ok && front.GetPhone() == o.GetPhoneNumber() {
			return role
		}
	}
	if o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE {
		return posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP
	}
	return posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING
}

// doorFor is the front door that is telephoned about a notification, by what its decision asks for.
func (d *Desk) doorFor(n *localv1.Notification) posternv1.FrontDoorRole {
	for _, o := range n.GetDecision().GetObligations() {
		switch o.GetKind() {
		case posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE, posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR:
			return d.door(n, o)
		}
	}
	return posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING
}

// done reports whether an obligation has been met, as far as the desk can see, or has fallen away. What is to be done for a
// child who may be alone does not fall away when permission is taken back, nor when the form went by post; where it goes on in
// another notification, it stands there. What was shared urgently is looked at again whatever became of it since.
func done(n *localv1.Notification, o *posternv1.Obligation) bool {
	over := n.GetSupersededBy() != "" || n.GetResealedBy() != "" || n.GetState() == stateClosed && n.GetManual() == nil ||
		slices.ContainsFunc(n.GetFollowups(), func(f *localv1.Followup) bool { return slices.Contains(f.GetChildNumbers(), o.GetChildNumber()) })
	taken := back(n) || childTakenBack(n, o.GetChildNumber())
	ended := over || taken || n.GetState() == stateClosed
	called := func(results ...posternv1.CallResult) bool {
		return slices.ContainsFunc(n.GetCalls(), func(c *localv1.RecordedCall) bool {
			about := c.GetChildNumber() == 0 || o.GetChildNumber() == 0 || c.GetChildNumber() == o.GetChildNumber()
			return about && slices.Contains(results, c.GetResult())
		})
	}
	reached := called(posternv1.CallResult_CALL_RESULT_ANSWERED, posternv1.CallResult_CALL_RESULT_EMERGENCY_999)
	switch o.GetKind() {
	case posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE:
		return over || reached // by whoever answered, somebody knows
	case posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR:
		return over || reached || taken && insteadOfForm(n, o)
	case posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR:
		return over || reached
	case posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE:
		return ended || n.GetManual() != nil || n.GetState() != stateReferred && n.GetState() != stateUndelivered
	case posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY:
		return ended || len(n.GetConsiderations()) > 0
	case posternv1.ObligationKind_OBLIGATION_KIND_REVIEW:
		return n.GetReview() != nil || n.GetResealedBy() != ""
	case posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN:
		return ended || n.GetMove() != nil
	}
	return ended
}

// insteadOfForm reports whether a call would say what the form cannot carry, and so goes by the same permission: a child
// whose address is confidential, and about whom nobody has to be called at once.
func insteadOfForm(n *localv1.Notification, call *posternv1.Obligation) bool {
	for _, c := range n.GetDecision().GetChildren() {
		if c.GetNumber() == call.GetChildNumber() {
			about := func(rule string) bool {
				return slices.ContainsFunc(c.GetReasons(), func(r *posternv1.Reason) bool { return r.GetRuleId() == rule })
			}
			return about("address_confidential") && !about("carer_absent")
		}
	}
	return false
}

// first is the reference of the notification that said the same first; empty when it is not at this desk any more.
func (d *Desk) first(s store.Snapshot, n *localv1.Notification) (reference string, err error) {
	message := &posternv1.SealedNotification{}
	if err := d.load(s, schema.DeskMessage, n.GetId(), message); err != nil {
		return "", err
	}
	facts, err := hubFacts(message)
	if err != nil {
		return "", err
	}
	ref := facts.GetContentRef()
	err = s.Scan(schema.DeskContent, ref, store.PrefixEnd(ref), func(key, _ []byte) (bool, error) {
		other := &localv1.Notification{}
		if err := d.load(s, schema.DeskNotification, string(key[len(ref):]), other); err != nil && !errors.Is(err, notHere) {
			return false, err
		}
		if other.GetId() != n.GetId() && other.GetShared() {
			reference = other.GetReference()
		}
		return reference == "", nil
	})
	return reference, err
}

// listed reports whether a notification, as it is shown, is among those that are asked for. What nobody decides any more needs
// a person all the same while somebody has to telephone about a child, or has not read what the person objected to; what could not be delivered needs none once another went
// in its place.
func listed(req *localv1.ListNotificationsRequest, n *localv1.Notification) bool {
	replaced := req.GetReferred() && n.GetState() == stateUndelivered && (n.GetSupersededBy() != "" || n.GetResealedBy() != "")
	if len(req.GetStates()) == 0 && !req.GetWaiting() && !req.GetReferred() || slices.Contains(req.GetStates(), n.GetState()) && !replaced {
		return true
	}
	_, owed := owedToAChild(n)
	return req.GetWaiting() && waits(n) || req.GetReferred() && (owed || unreadObjection(n)) ||
		req.GetReferred() && open(n) && (n.GetState() == stateReferred || len(openChildren(n, posternv1.Outcome_OUTCOME_REFER_TO_PERSON)) > 0)
}

// inQueue is the order of a list: what is due first of all where only what waits or needs a decision is asked for, and so
// what is overdue before everything else; otherwise the newest.
func inQueue(req *localv1.ListNotificationsRequest) func(a, b *localv1.Notification) int {
	newest := func(a, b *localv1.Notification) int {
		return b.GetCreateTime().AsTime().Compare(a.GetCreateTime().AsTime())
	}
	if !req.GetWaiting() && !req.GetReferred() {
		return newest
	}
	due := func(n *localv1.Notification) time.Time {
		if n.GetDueTime() == nil {
			return anyTime
		}
		return n.GetDueTime().AsTime()
	}
	return func(a, b *localv1.Notification) int { return cmp.Or(due(a).Compare(due(b)), newest(a, b)) }
}
