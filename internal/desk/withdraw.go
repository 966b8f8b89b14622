package desk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// withdrawals is the spool's line for withdrawals. It is its own, and goes first: a withdrawal never waits behind a
// notification that cannot be sent.
const withdrawals = "withdrawals"

// withdrawalLife is how long a withdrawal may be on its way: a right does not run out while the line is cut.
const withdrawalLife = 10 * 365 * 24 * time.Hour

// The rule ids by which the hub says what became of a withdrawal.
const (
	ruleWithdrawn = "withdrawn"
	ruleStopAsked = "stop_asked"
	ruleRefused   = "hub_refused"
	ruleObjection = "objection_recorded"
)

// WithdrawNotification takes a withdrawal and tries once, for a few seconds, to get the hub's answer.
func (d *Desk) WithdrawNotification(ctx context.Context, req *localv1.WithdrawNotificationRequest) (*localv1.WithdrawNotificationResponse, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	id, err := d.Withdraw(ctx, req, by)
	if err != nil {
		return nil, err
	}
	attempt, cancel := context.WithTimeout(ctx, firstAttempt)
	defer cancel()
	out := &localv1.WithdrawNotificationResponse{}
	for trying := true; ; {
		// Read after the last step too: the loop may have taken the item from under us, and have its answer.
		out.Notification = &localv1.Notification{}
		err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
			return errors.Join(d.load(s, schema.DeskNotification, id, out.Notification), d.addChain(s, out.Notification))
		})
		if err != nil || !trying || !slices.ContainsFunc(out.GetNotification().GetWithdrawals(), pendingWithdrawal) {
			out.Notification = d.forReader(ctx, out.GetNotification())
			return out, err // if still pending: safe in the spool, and the answer says so
		}
		worked, err := d.stepSpool(attempt, anyTime)
		trying = worked && err == nil
	}
}

// itself is who takes a withdrawal when the desk carries over what a person had said before. No person is without a role.
func (d *Desk) itself() Staff { return Staff{ID: d.cfg.Unit} }

// carries reports whether it is the desk that takes a withdrawal.
func (d *Desk) carries(by Staff) bool { return by.ID == d.itself().ID && by.Role == d.itself().Role }

// pathsThere are the paths of a withdrawal by the numbers that these children have where they go on; touched is false
// when it says nothing about them. None for all is none there, too.
func pathsThere(paths []string, children []uint32) (there []string, touched bool) {
	for _, p := range paths {
		parts := strings.SplitN(p, "/", 3)
		if parts[0] != "child" {
			there = append(there, p)
			continue
		}
		if i := slices.IndexFunc(children, func(n uint32) bool { return strconv.Itoa(int(n)) == parts[1] }); i >= 0 {
			parts[1] = strconv.Itoa(i + 1)
			there = append(there, strings.Join(parts, "/"))
		}
	}
	return there, len(paths) == 0 || len(there) > 0
}

func pendingWithdrawal(w *localv1.TakenWithdrawal) bool { return w.GetAnswer() == nil }

// Withdraw takes a withdrawal: signed and on disk when it returns, and a notification that is still in the spool is
// never sent for the first time after it. It returns the id under which the desk shows it. The same again, or a part of
// what was withdrawn before, changes nothing. What it says holds for the chain.
func (d *Desk) Withdraw(ctx context.Context, req *localv1.WithdrawNotificationRequest, by Staff) (string, error) {
	id, paths, err := d.withdrawOne(ctx, req, by)
	if err != nil {
		return "", err
	}
	d.resealing.Store(true)
	return id, d.withdrawFurther(ctx, id, &localv1.WithdrawNotificationRequest{Paths: paths, Method: req.GetMethod()}, by)
}

// withdrawOne takes a withdrawal of one notification. It returns its id, and what is taken back of it: none for all.
func (d *Desk) withdrawOne(ctx context.Context, req *localv1.WithdrawNotificationRequest, by Staff) (id string, paths []string, err error) {
	if paths, err = scope(req); err != nil {
		return "", nil, err
	}
	d.submit.Lock()
	defer d.submit.Unlock()
	n, digest, err := d.target(ctx, req)
	if err == nil && !d.carries(by) { // what the desk carries over was said, and stands
		err = notInIt(n, paths)
	}
	if err != nil {
		return "", nil, err
	}
	if leavesNoChild(n, paths) {
		paths = nil
	}
	if withdrawnBefore(n, paths) {
		return n.GetId(), paths, nil
	}
	wid, err := envelope.NewID(d.cfg.Rand)
	if err != nil {
		return "", nil, err
	}
	stated := &posternv1.Withdrawal{Withdraws: n.GetId(), Paths: paths, Method: req.GetMethod()}
	if n.GetElsewhere() {
		if stated.Withdraws, stated.SlipCode, err = named(req); err != nil {
			return "", nil, err
		}
		if n.Id == "" { // the first time: under the notification's own id where we know it
			n.Id, n.Reference = wid, stated.GetWithdraws()
			if envelope.ValidID(stated.GetWithdraws()) {
				n.Id, n.Reference = stated.GetWithdraws(), envelope.Reference(stated.GetWithdraws())
			}
		}
	}
	now := d.cfg.Clock().Truncate(time.Second)
	message, err := envelope.Seal(envelope.Draft{Withdrawn: digest, Manifest: &posternv1.Manifest{
		NotificationId: wid, Audience: d.cfg.Identity.Party().Domain,
		CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.Add(withdrawalLife)),
		Sender: d.sender(by), Statement: &posternv1.Manifest_Withdrawal{Withdrawal: stated},
	}}, nil, d.cfg.Identity)
	if err != nil {
		return "", nil, err
	}
	taken := &localv1.TakenWithdrawal{Id: wid, Paths: paths, Method: req.GetMethod(), TakeTime: timestamppb.New(now),
		Objection: !n.GetElsewhere() && !d.byPermission(ctx, n.GetId()), Carried: d.carries(by)}
	return n.GetId(), paths, d.keepWithdrawal(ctx, n, taken, message)
}

// scope is what is withdrawn, each once and in order.
func scope(req *localv1.WithdrawNotificationRequest) ([]string, error) {
	var fields []fault.Field
	if _, known := posternv1.WithdrawalMethod_name[int32(req.GetMethod())]; !known || req.GetMethod() == posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_UNSPECIFIED {
		fields = append(fields, fault.Field{Path: "method", Reason: "It is not said how the person withdrew.", Fix: "Use FACE_TO_FACE, PHONE, PAPER or OTHER."})
	}
	for _, p := range req.GetPaths() {
		if !section.Scope(p) {
			fields = append(fields, fault.Field{Path: "paths", Reason: "There is no such child or section.", Fix: "Use child/2 for a child, child/2/phone or parent/birth for one section."})
		}
	}
	paths := slices.Compact(slices.Sorted(slices.Values(req.GetPaths())))
	return paths, fault.InvalidFields("BAD_WITHDRAWAL", "The withdrawal cannot be taken like this.", fields)
}

// notInIt names paths of children that a notification of this desk does not have: nobody is to believe that one was taken
// back who goes in another. How many children another prison's has, only the hub knows.
func notInIt(n *localv1.Notification, paths []string) error {
	var fields []fault.Field
	for _, p := range paths {
		child, ok := section.ChildOf(p)
		if !ok {
			child, ok = section.ChildOf(p + "/home")
		}
		if ok && !n.GetElsewhere() && child > len(n.GetFormChildren()) {
			fields = append(fields, fault.Field{Path: "paths", Reason: "There is no child " + strconv.Itoa(child) + " in it.", Fix: "Children are numbered as `postern desk status` shows them."})
		}
	}
	return fault.InvalidFields("NO_CHILD", "The withdrawal cannot be taken like this.", fields)
}

// target finds what is withdrawn: a notification of this desk, with the digest of its manifest, or another prison's,
// of which there is nothing here but what was withdrawn before.
func (d *Desk) target(ctx context.Context, req *localv1.WithdrawNotificationRequest) (n *localv1.Notification, digest []byte, err error) {
	n = &localv1.Notification{}
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		id, err := d.find(s, req.GetId())
		if err == nil {
			err = d.load(s, schema.DeskNotification, id, n)
		}
		if errors.Is(err, notHere) && req.GetSlipCode() != "" {
			n = &localv1.Notification{Elsewhere: true, State: localv1.State_STATE_QUEUED}
			return nil
		}
		if err != nil || n.GetElsewhere() {
			return err
		}
		if _, digest, err = d.signed(s, n); len(n.GetMaybeSentSha256()) > 0 {
			digest = nil // the team may have another manifest than the newest, so that in the hub's log counts
		}
		return err
	})
	switch {
	case errors.Is(err, notHere):
		return nil, nil, fault.New(fault.NotFound, "NOT_FOUND", "This desk has no notification by that name. If another prison sent it, give the code on the person's slip too: --code.")
	case err != nil:
		return nil, nil, err
	case n.GetAuthority() == "" && !n.GetElsewhere():
		return nil, nil, fault.New(fault.Precondition, "NOTHING_TO_WITHDRAW", "Nothing about a child was offered to anybody, so there is nothing to withdraw.")
	case n.GetElsewhere() && req.GetSlipCode() == "":
		return nil, nil, fault.New(fault.Precondition, "NO_SLIP_CODE", "Another prison sent this. Give the code on the person's slip: --code.")
	}
	return n, digest, nil
}

// named is how another prison's notification is named to the hub: by its id or reference, and the code.
func named(req *localv1.WithdrawNotificationRequest) (name, code string, err error) {
	if name = req.GetId(); !envelope.ValidID(name) {
		if name, err = envelope.ParseReference(name); err != nil {
			return "", "", err
		}
	}
	code, err = envelope.ParseSlipCode(req.GetSlipCode())
	return name, code, err
}

// says reports whether a decision rests on a rule.
func says(d *posternv1.Decision, rule string) bool {
	return slices.ContainsFunc(d.GetReasons(), func(r *posternv1.Reason) bool { return r.GetRuleId() == rule })
}

// keepWithdrawal writes the withdrawal, its place in the spool, and takes the notification out of the spool if all of it
// is withdrawn, in one transaction. A submission under way may still reach the hub: then the withdrawal comes after it.
// What a hub that is gone may have sent stays: only by it the next one learns whom to ask to stop.
func (d *Desk) keepWithdrawal(ctx context.Context, n *localv1.Notification, taken *localv1.TakenWithdrawal, message *posternv1.SealedNotification) error {
	sealed, err := d.seal(schema.DeskMessage, taken.GetId(), message)
	if err != nil {
		return err
	}
	queued, err := d.queued(ctx, n.GetId())
	if err != nil {
		return err
	}
	if len(taken.GetPaths()) > 0 || len(queued) > 0 && !d.byPermission(ctx, n.GetId()) {
		queued = nil
	}
	// With the space that a full disk keeps back: a right is not refused for want of room.
	err = store.Reserved(d.cfg.Store).Update(ctx, func(tx store.Tx) error {
		for _, item := range queued {
			if err := d.spool.Remove(tx, item); err != nil && !errors.Is(err, queue.ErrGone) {
				return err
			}
		}
		if err := errors.Join(d.enqueue(tx, withdrawals, taken.GetId(), n.GetId()), tx.Put(schema.DeskMessage, []byte(taken.GetId()), sealed)); err != nil {
			return err
		}
		return d.putTaken(tx, n, taken)
	})
	if err != nil {
		return err
	}
	// A crash here: the withdrawal is on its way and the clerk saw an error. The same again changes nothing.
	if err := failpoint.Hit(failpoint.DeskWithdrawal); err != nil {
		return err
	}
	d.nudge()
	return nil
}

// putTaken adds a withdrawal to its notification, as it is by now; another prison's begins here.
func (d *Desk) putTaken(tx store.Tx, n *localv1.Notification, taken *localv1.TakenWithdrawal) error {
	current := &localv1.Notification{}
	err := d.load(tx, schema.DeskNotification, n.GetId(), current)
	before := proto.CloneOf(current)
	if errors.Is(err, notHere) && n.GetElsewhere() {
		before, current, err = nil, proto.CloneOf(n), nil
		current.CreateTime = taken.GetTakeTime()
		err = tx.Put(schema.DeskReference, join(current.GetReference(), current.GetId()), []byte{1})
	}
	if err != nil {
		return err
	}
	current.Withdrawals, current.UpdateTime = append(current.Withdrawals, taken), taken.GetTakeTime()
	return d.put(tx, before, current)
}

// byPermission reports whether a notification of this desk goes by permission. What does not is not undone by a
// withdrawal: that is an objection, and is recorded.
func (d *Desk) byPermission(ctx context.Context, id string) bool {
	message, m := &posternv1.SealedNotification{}, &posternv1.Manifest{}
	if n, err := d.named(ctx, id); err == nil && n.GetErasure() != nil {
		return n.GetRoute() <= posternv1.Route_ROUTE_STANDARD
	}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error { return d.load(s, schema.DeskMessage, id, message) })
	if err == nil {
		err = proto.Unmarshal(message.GetManifest().GetPayload(), m)
	}
	return err != nil || m.GetOffer().GetRoute() <= posternv1.Route_ROUTE_STANDARD
}

// beforeObjection is the spool item of a notification that does not go by permission, and waits still: the hub must know
// it before it hears of the objection, or would take that for a withdrawal.
func (d *Desk) beforeObjection(ctx context.Context, withdrawal queue.Item) (it queue.Item, ok bool, err error) {
	id := string(withdrawal.Body)
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		it, ok, err = d.spool.Find(s, hubDestination, id)
		return err
	})
	return it, ok && err == nil && !d.byPermission(ctx, id), err
}

// queued lists the spool items of a notification that no hub can have heard of.
func (d *Desk) queued(ctx context.Context, id string) (items []queue.Item, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		all, err := d.spool.List(s)
		items = slices.DeleteFunc(all, func(it queue.Item) bool {
			return it.Destination != hubDestination || it.ID != id || resubmitted(it) || bytes.Equal(it.Body, maybeHad)
		})
		return err
	})
	return items, err
}

// submitWithdrawal submits one withdrawal and keeps the answer. A crash before the answer is kept submits the same
// manifest again, and the hub answers the same.
func (d *Desk) submitWithdrawal(ctx context.Context, item queue.Item) error {
	if first, ok, err := d.beforeObjection(ctx, item); ok || err != nil {
		if err == nil {
			err = d.submitItem(ctx, first)
		}
		return err
	}
	message, err := d.message(ctx, item.ID)
	if err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.DeskWithdraw); err != nil {
		return err
	}
	told, err := d.toldBefore(ctx, item)
	if err != nil {
		return err
	}
	answer, err := d.ask(ctx, message, told, d.checkWithdrawn)
	if fault.From(err).Reason == stoppedReason {
		return err
	}
	if err == nil {
		err = failpoint.Hit(failpoint.DeskWithdrawn)
	}
	if err == nil {
		return d.settleWithdrawal(ctx, item, answer.GetDecision(), answer.GetReceipt())
	}
	if f := fault.From(err); forGood(f) {
		text := "The hub did not accept this withdrawal. " + f.Message + " If it was sent, telephone the team and ask it to stop."
		if f.Kind == fault.NotFound {
			text = "The hub knows no notification by this name and code. Check both on the person's slip and withdraw again."
		}
		return d.settleWithdrawal(ctx, item, &posternv1.Decision{
			Outcome:    posternv1.Outcome_OUTCOME_REFER_TO_PERSON,
			Reasons:    []*posternv1.Reason{{RuleId: ruleRefused, Text: text}},
			DecideTime: timestamppb.New(d.cfg.Clock().Truncate(time.Second)),
		}, nil)
	}
	return d.postpone(ctx, item, err)
}

// toldBefore reports whether a hub has answered a withdrawal before: then this one has lost it.
func (d *Desk) toldBefore(ctx context.Context, item queue.Item) (bool, error) {
	n, err := d.named(ctx, string(item.Body))
	return slices.ContainsFunc(n.GetWithdrawals(), func(w *localv1.TakenWithdrawal) bool { return w.GetId() == item.ID && w.GetAnswer() != nil }), err
}

// checkWithdrawn verifies that the withdrawal is in the sent log.
func (d *Desk) checkWithdrawn(message *posternv1.SealedNotification, answer *posternv1.SubmitResponse) (*verify.Event, error) {
	event, err := verify.Receipt(answer.GetReceipt(), d.cfg.LogKeys)
	if err != nil {
		return nil, err
	}
	manifest := sha256.Sum256(message.GetManifest().GetPayload())
	if event.Kind != logv1.Kind_KIND_WITHDRAWN || !bytes.Equal(event.Core.GetManifestSha256(), manifest[:]) ||
		event.Core.GetOutcome() != answer.GetDecision().GetOutcome() || !proto.Equal(event.Core.GetEventTime(), answer.GetDecision().GetDecideTime()) {
		return nil, fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The hub's receipt is not about this withdrawal. Stop using this hub and telephone its operator.")
	}
	return event, nil
}

// settleWithdrawal keeps the hub's answer with its receipt, sets the state, and takes the item off the spool, in one
// transaction. Of what a hub answers that had lost a withdrawal only the receipt is kept: what was answered first stands.
func (d *Desk) settleWithdrawal(ctx context.Context, item queue.Item, answer *posternv1.Decision, receipt *posternv1.Receipt) error {
	now, permission := timestamppb.New(d.cfg.Clock().Truncate(time.Second)), d.byPermission(ctx, string(item.Body))
	return d.change(ctx, string(item.Body), func(tx store.Tx, n *localv1.Notification) error {
		for _, w := range n.GetWithdrawals() {
			if w.GetId() != item.ID || w.GetAnswer() != nil {
				continue
			}
			if w.Answer = answer; permission || n.GetElsewhere() { // a hub that does not know it cannot say that this undoes nothing
				n.State = after(n.GetState(), answered(n, len(w.GetPaths()) == 0, answer))
			}
		}
		n.UpdateTime = now
		if receipt != nil {
			b, err := proto.Marshal(receipt)
			if err != nil {
				return fault.From(err)
			}
			if err := tx.Put(schema.DeskReceipt, []byte(item.ID), b); err != nil {
				return err
			}
		}
		return d.spool.Remove(tx, item)
	})
}

// applyDecision takes a decision made again, or that another prison took the withdrawal. Without a receipt of our own
// notification it is only the hub's word, and is not believed. It returns the parts of which the log has that they were taken back;
// which parts, the hub says. An objection, which takes nothing back, is returned for this desk to take too.
func (d *Desk) applyDecision(tx store.Tx, n *localv1.Notification, decision *posternv1.Decision, receipt *posternv1.Receipt) (parts []string, objection *localv1.WithdrawNotificationRequest, err error) {
	event, err := verify.Receipt(receipt, d.cfg.LogKeys)
	if err != nil {
		return nil, nil, err
	}
	message, manifest, err := d.signed(tx, n)
	if err != nil {
		return nil, nil, err
	}
	subject := func(b []byte) bool { return bytes.Equal(event.Core.GetSubjectSha256(), b) }
	// By an earlier manifest too: it may have been made again meanwhile. What goes by an order since then is not undone by that.
	ours := subject(manifest) || slices.ContainsFunc(n.GetEarlierManifestSha256(), subject) && n.GetRoute() != posternv1.Route_ROUTE_DUTY
	switch {
	case event.Kind == logv1.Kind_KIND_WITHDRAWN && event.Core.GetOutcome() == posternv1.Outcome_OUTCOME_WITHHOLD && says(decision, ruleWithdrawn) && ours:
		n.TakenBackElsewhereTime = d.now()
		if at := event.Core.GetEventTime(); at.AsTime().Before(n.GetTakenBackElsewhereTime().AsTime()) {
			n.TakenBackElsewhereTime = at // by a clock that is ahead nobody could agree again for as long
		}
		if parts = pathsWithdrawn(decision); len(parts) > 0 {
			leaveOut(n, parts)
		} else {
			n.State, n.TakenBackElsewhere = after(n.GetState(), withdrawn), true
		}
		return parts, nil, nil
	case event.Kind == logv1.Kind_KIND_WITHDRAWN && event.Core.GetOutcome() == posternv1.Outcome_OUTCOME_REFER_TO_PERSON && says(decision, ruleObjection) &&
		subject(manifest) && n.GetRoute() > posternv1.Route_ROUTE_STANDARD: // of what goes by permission it would be a withdrawal
		paths := slices.DeleteFunc(pathsOf(decision, ruleObjection), func(p string) bool { return !section.Scope(p) })
		return nil, &localv1.WithdrawNotificationRequest{Id: n.GetId(), Paths: paths, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_OTHER}, nil
	case event.Kind == logv1.Kind_KIND_DECIDED && n.GetErasure() != nil:
		return nil, nil, nil // it was decided, and is over; the list of updates is read again from its beginning
	case event.Kind == logv1.Kind_KIND_DECIDED && bytes.Equal(event.Core.GetManifestSha256(), manifest) && proves(event.Core, decision, message):
		b, err := proto.Marshal(receipt)
		if err != nil {
			return nil, nil, fault.From(err)
		}
		n.Decision, n.State = decision, after(n.GetState(), again(decision.GetOutcome()))
		d.settled(n)
		return nil, nil, tx.Put(schema.DeskReceipt, []byte(n.GetId()), b)
	}
	return nil, nil, fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The receipt of the update is not about this notification.")
}
