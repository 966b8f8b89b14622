package desk

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// SetGate sets the public-protection check for all notifications of a form: it is about the person, and not about where
// a child lives. What waited for it is submitted again and tried once, for a few seconds.
func (d *Desk) SetGate(ctx context.Context, req *localv1.SetGateRequest) (*localv1.SetGateResponse, error) {
	by, err := d.signedInAs(ctx, posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION, "set the public-protection check")
	if err != nil {
		return nil, err
	}
	if g := req.GetGate(); g != posternv1.Gate_GATE_NO_HOLD && g != posternv1.Gate_GATE_HOLD {
		return nil, fault.InvalidFields("BAD_GATE", "The result of the check cannot be taken like this.", []fault.Field{{
			Path: "gate", Reason: "It is not said what the check found.", Fix: "Use NO_HOLD or HOLD."}})
	}
	ids, err := d.setGate(ctx, req, by)
	if err != nil {
		return nil, err
	}
	all, err := d.goOn(ctx, ids)
	return &localv1.SetGateResponse{Notifications: all}, err
}

func (d *Desk) setGate(ctx context.Context, req *localv1.SetGateRequest, by Staff) (ids []string, err error) {
	set := &localv1.GateSetting{Gate: req.GetGate(), StaffId: by.ID, SetTime: d.now()}
	d.submit.Lock()
	defer d.submit.Unlock()
	all, err := d.family(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	changed := 0
	for _, n := range all {
		ids = append(ids, n.GetId())
		if n.GetGate().GetGate() == req.GetGate() {
			changed++ // it was set before, and the answer is the same
			continue
		}
		if n.GetAuthority() == "" || !open(n) {
			continue
		}
		changed++
		err := d.change(ctx, n.GetId(), func(_ store.Tx, n *localv1.Notification) error {
			n.Gate, n.Changes = set, n.GetChanges()+1
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if changed == 0 {
		return nil, ended(all[0], "wait for the check")
	}
	return ids, nil
}

// RecordCall records a call about a notification. What waited for it is submitted again and tried once.
func (d *Desk) RecordCall(ctx context.Context, req *localv1.RecordCallRequest) (*localv1.RecordCallResponse, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := d.recordCall(ctx, req, by)
	if err != nil {
		return nil, err
	}
	all, err := d.goOn(ctx, ids)
	return &localv1.RecordCallResponse{Notifications: all}, err
}

func (d *Desk) recordCall(ctx context.Context, req *localv1.RecordCallRequest, by Staff) (ids []string, err error) {
	d.submit.Lock()
	defer d.submit.Unlock()
	n, err := d.named(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	call, err := d.call(n, req, by)
	if err != nil {
		return nil, err
	}
	if !recorded(n, call) && (n.GetAuthority() == "" || !takesCalls(n)) {
		return nil, ended(n, "be telephoned about")
	}
	places, err := d.whereItBelongs(ctx, n, call)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		ids = append(ids, p.id)
		err := d.change(ctx, p.id, func(_ store.Tx, n *localv1.Notification) error {
			if recorded(n, p.call) {
				return nil // the same call again
			}
			n.Calls = append(n.Calls, p.call)
			if heedsCalls(n) {
				n.Changes++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func recorded(n *localv1.Notification, call *localv1.RecordedCall) bool {
	return slices.ContainsFunc(n.GetCalls(), func(c *localv1.RecordedCall) bool { return proto.Equal(c, call) })
}

// place is a notification and a call as it is recorded there, with the number that its child has there.
type place struct {
	id   string
	call *localv1.RecordedCall
}

// whereItBelongs is where a call is recorded: in the notification that was named, in those in which the children that it is
// about go on, however often they did, and in those that were sealed again.
func (d *Desk) whereItBelongs(ctx context.Context, n *localv1.Notification, call *localv1.RecordedCall) ([]place, error) {
	all := []place{{n.GetId(), call}}
	for i := 0; i < len(all); i++ {
		n, err := d.named(ctx, all[i].id)
		if err != nil {
			return nil, err
		}
		if n.GetResealedBy() != "" {
			all = append(all, place{n.GetResealedBy(), all[i].call})
		}
		one := &localv1.Notification{Calls: []*localv1.RecordedCall{all[i].call}}
		for _, f := range n.GetFollowups() {
			for _, there := range callsOf(one, f.GetChildNumbers()) {
				all = append(all, place{f.GetId(), there})
			}
		}
	}
	return all, nil
}

// maxCallAge is how long ago a call may have been made that is recorded now.
const maxCallAge = 7 * 24 * time.Hour

// maxWords bounds a text of a record.
const maxWords = 200

// call is a call as it is recorded: the number of the front door at that hour where none is given.
func (d *Desk) call(n *localv1.Notification, req *localv1.RecordCallRequest, by Staff) (*localv1.RecordedCall, error) {
	now := d.cfg.Clock()
	c := &localv1.RecordedCall{CallTime: req.GetCallTime(), Result: req.GetResult(), Number: strings.TrimSpace(req.GetNumber()),
		Who: strings.TrimSpace(req.GetWho()), Reference: strings.TrimSpace(req.GetReference()), ChildNumber: req.GetChildNumber(), StaffId: by.ID}
	if c.GetCallTime() == nil {
		c.CallTime = d.now()
	}
	if c.GetNumber() == "" && c.GetResult() == posternv1.CallResult_CALL_RESULT_EMERGENCY_999 {
		c.Number = emergencyNumber
	} else if c.GetNumber() == "" {
		_, c.Number, _ = d.directory.Load().PhoneNow(n.GetAuthority(), d.doorFor(n), c.GetCallTime().AsTime())
	}
	var fields []fault.Field
	wrong := func(is bool, path, reason, fix string) {
		if is {
			fields = append(fields, fault.Field{Path: path, Reason: reason, Fix: fix})
		}
	}
	_, known := posternv1.CallResult_name[int32(c.GetResult())]
	wrong(!known || c.GetResult() == posternv1.CallResult_CALL_RESULT_UNSPECIFIED, "result", "It is not said how the call ended.", "Use ANSWERED, NO_ANSWER or EMERGENCY_999.")
	at := c.GetCallTime().AsTime()
	wrong(!c.GetCallTime().IsValid() || at.After(now.Add(time.Minute)) || at.Before(now.Add(-maxCallAge)), "call_time",
		"This is not the time of a call in the last seven days.", "Give the time of the call, or leave it out for now.")
	wrong(c.GetNumber() == "", "number", "It is not known which number was called.", "Give the number.")
	wrong(int(c.GetChildNumber()) > len(n.GetFormChildren()), "child_number", "There is no child with this number.", "Children count from 1; leave it out for all of them.")
	for path, text := range map[string]string{"number": c.GetNumber(), "who": c.GetWho(), "reference": c.GetReference()} {
		wrong(len(text) > maxWords, path, "This is too long.", "Shorten it.")
	}
	return c, fault.InvalidFields("BAD_CALL", "The call cannot be recorded like this.", fields)
}

// takesCalls reports whether a call still belongs to a notification, as it is kept or as it is shown: it may go, or a person has
// to telephone about it.
func takesCalls(n *localv1.Notification) bool {
	if n.GetErasure() != nil {
		return false
	}
	switch n.GetState() {
	case stateAccepted, stateDelivered, stateUndelivered:
		return true
	}
	if slices.ContainsFunc(n.GetTasks(), func(t *localv1.Task) bool {
		return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR
	}) {
		return true
	}
	return open(n) || slices.ContainsFunc(obligations(n), func(o *posternv1.Obligation) bool {
		return o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR && !done(n, o)
	})
}

// heedsCalls reports whether a call may change what the hub decides: it has not decided yet, or a call is among what it
// needs.
func heedsCalls(n *localv1.Notification) bool {
	if n.GetDecision() == nil {
		return true
	}
	for _, o := range obligations(n) {
		switch o.GetKind() {
		case posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR, posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE,
			posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR:
			return true
		}
	}
	for _, c := range n.GetDecision().GetChildren() {
		for _, need := range c.GetNeeds() {
			if need == "call" {
				return true
			}
		}
	}
	return false
}

// goOn submits again what is due of these, tries once, and returns them as they are then, with those in which children of
// them go on. If the hub does not answer, all of it is safe here and goes by itself.
func (d *Desk) goOn(ctx context.Context, ids []string) (all []*localv1.Notification, err error) {
	for _, id := range ids {
		n, err := d.named(ctx, id)
		if err != nil {
			return nil, err
		}
		if at, due := submitAgainAt(n); !due || at.After(d.cfg.Clock()) {
			continue
		}
		if err := d.submitAgain(ctx, id); err != nil {
			return nil, err
		}
	}
	if all, err = d.show(ctx, ids); err != nil {
		return nil, err
	}
	ids = nil
	for _, n := range all {
		ids = append(ids, n.GetId())
	}
	d.drain(ctx, ids)
	return d.show(ctx, ids)
}

// show loads notifications as whoever asks may see them, and after them those in which children of them go on, each once.
func (d *Desk) show(ctx context.Context, ids []string) (all []*localv1.Notification, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		all = nil
		for queue := slices.Clone(ids); len(queue) > 0; queue = queue[1:] {
			if slices.ContainsFunc(all, func(n *localv1.Notification) bool { return n.GetId() == queue[0] }) {
				continue
			}
			n := &localv1.Notification{}
			if err := d.load(s, schema.DeskNotification, queue[0], n); err != nil {
				return err
			}
			shown, err := d.shown(s, n)
			if err != nil {
				return err
			}
			all, queue = append(all, d.forReader(ctx, shown)), append(queue, withFollowups(n)[1:]...)
		}
		return nil
	})
	return all, err
}

// named loads a notification by its id or its reference.
func (d *Desk) named(ctx context.Context, name string) (n *localv1.Notification, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		n, err = d.byName(s, name)
		return err
	})
	return n, err
}

// family loads a notification by its name and all others of its form, the one that was named first.
func (d *Desk) family(ctx context.Context, name string) (all []*localv1.Notification, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		n, err := d.byName(s, name)
		if err != nil {
			return err
		}
		of, err := d.ofForm(s, n.GetFormId())
		all = []*localv1.Notification{n}
		for _, other := range of {
			if other.GetId() != n.GetId() {
				all = append(all, other)
			}
		}
		return err
	})
	return all, err
}

func withFollowups(n *localv1.Notification) []string {
	ids := []string{n.GetId()}
	for _, f := range n.GetFollowups() {
		ids = append(ids, f.GetId())
	}
	return ids
}

// ended says that a notification has come to its end, so that nothing of it can still be done.
func ended(n *localv1.Notification, what string) error {
	if n.GetElsewhere() {
		return fault.New(fault.Precondition, "ENDED", "Another prison sent this; nothing of it can be done here but to withdraw it.")
	}
	if n.GetErasure() != nil {
		return erased(n)
	}
	return fault.Newf(fault.Precondition, "ENDED", "Nothing of this notification is left to %s: it is %s. If a child needs help now, telephone the front door.",
		what, plain.Words(plain.Enum(n.GetState())))
}

func (d *Desk) now() *timestamppb.Timestamp {
	return timestamppb.New(d.cfg.Clock().Truncate(time.Second))
}
