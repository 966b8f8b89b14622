package desk

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// AtGate is a form at the public-protection check: the check is about the person, and one for all its notifications.
type AtGate struct {
	Notifications []*localv1.Notification // those of the form that the check still matters to, the oldest first
	Person        Person
	Gate          posternv1.Gate // what was found; NOT_DONE when nobody has looked
}

// ListAtGate lists the forms that the public-protection check still matters to, those that nobody has looked at first and
// then the oldest, for whoever does it. What goes without the check, by the routes without permission, is not among them.
func (d *Desk) ListAtGate(ctx context.Context) ([]AtGate, error) {
	if _, err := d.signedInAs(ctx, posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION, "see what waits for the public-protection check"); err != nil {
		return nil, err
	}
	var out []AtGate
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		out = nil
		forms := map[string]int{}
		return s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
			n := &localv1.Notification{}
			if err := d.unseal(schema.DeskNotification, string(key), sealed, n); err != nil {
				return false, err
			}
			gate, at, err := d.gateOf(s, n)
			if err != nil || !at {
				return err == nil, err
			}
			shown, err := d.inList(s, n)
			if err != nil {
				return false, err
			}
			i, known := forms[n.GetFormId()]
			if !known {
				f := &posternv1.Form{}
				if err := d.loadIfThere(s, schema.DeskForm, n.GetFormId(), f); err != nil {
					return false, err
				}
				i = len(out)
				forms[n.GetFormId()] = i
				out = append(out, AtGate{Person: personOf(f), Gate: gate})
			}
			out[i].Notifications = append(out[i].Notifications, shown)
			return true, nil
		})
	})
	oldest := func(a, b *localv1.Notification) int {
		return a.GetCreateTime().AsTime().Compare(b.GetCreateTime().AsTime())
	}
	for _, g := range out {
		slices.SortStableFunc(g.Notifications, oldest)
	}
	slices.SortStableFunc(out, func(a, b AtGate) int {
		if (a.Gate == posternv1.Gate_GATE_HOLD) != (b.Gate == posternv1.Gate_GATE_HOLD) {
			return int(a.Gate) - int(b.Gate)
		}
		return oldest(a.Notifications[0], b.Notifications[0])
	})
	return out, err
}

// gateOf is what the check of a notification found, and whether it is at the gate: open, and neither cleared nor going
// without the check.
func (d *Desk) gateOf(s store.Snapshot, n *localv1.Notification) (gate posternv1.Gate, at bool, err error) {
	if !open(n) || n.GetAuthority() == "" {
		return 0, false, nil
	}
	message := &posternv1.SealedNotification{}
	if err := d.load(s, schema.DeskMessage, n.GetId(), message); err != nil {
		return 0, false, err
	}
	facts, err := hubFacts(message)
	if err != nil {
		return 0, false, err
	}
	gate = facts.GetGate()
	if set := n.GetGate().GetGate(); set != posternv1.Gate_GATE_UNSPECIFIED {
		gate = set
	}
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(message.GetManifest().GetPayload(), m); err != nil {
		return 0, false, fault.New(fault.Internal, "BAD_RECORD", "A record of this desk cannot be read.").Because(err)
	}
	return gate, gate != posternv1.Gate_GATE_NO_HOLD && m.GetOffer().GetRoute() <= posternv1.Route_ROUTE_STANDARD, nil
}
