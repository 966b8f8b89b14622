package desk

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// StepReseal seals again what could not be delivered and was sealed to a recipient key that has changed since: the team
// may have had no key to open it. It goes under a new id that replaces the old, with all that came in meanwhile, and the
// team shows one of the two. What has expired stays as it is: a person has telephoned by then. It also carries a withdrawal of the old one over to the new. It reports whether there was
// anything; it looks only after an update or a key came, or at a start.
func (d *Desk) StepReseal(ctx context.Context) (bool, error) {
	if !d.resealing.CompareAndSwap(true, false) {
		return false, nil
	}
	again, failed := false, error(nil)
	var all []*localv1.Notification
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		all = nil
		return s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
			n := &localv1.Notification{}
			err := d.unseal(schema.DeskNotification, string(key), sealed, n)
			if n.GetResealedBy() != "" || n.GetState() == stateUndelivered && n.GetErasure() == nil {
				all = append(all, n)
			}
			return true, err
		})
	})
	for _, n := range all {
		did, err := d.resealOrFollow(ctx, n)
		again, failed = again || did, errors.Join(failed, err)
	}
	if err = errors.Join(err, failed); err != nil {
		d.resealing.Store(true) // the next step tries what failed again
	}
	return again, err
}

func (d *Desk) resealOrFollow(ctx context.Context, n *localv1.Notification) (bool, error) {
	if n.GetResealedBy() == "" {
		return d.reseal(ctx, n.GetId())
	}
	req := &localv1.WithdrawNotificationRequest{Id: n.GetResealedBy(), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_OTHER}
	next, err := d.named(ctx, req.GetId())
	if err != nil {
		return false, err
	}
	if !back(n) {
		there := partsTakenBack(next)
		req.Paths = slices.DeleteFunc(partsTakenBack(n), func(p string) bool { return len(there) > 0 && consent.Withdrawn(there, p) })
	}
	if !back(n) && len(req.GetPaths()) == 0 || back(next) || withdrawnBefore(next, req.GetPaths()) {
		return false, nil
	}
	_, _, err = d.withdrawOne(ctx, req, d.itself())
	return err == nil, err
}

// reseal makes a notification again to the key of now. It leaves alone what is sealed to that key already, what the
// person has withdrawn, and what goes on in other notifications: there a person telephones.
func (d *Desk) reseal(ctx context.Context, id string) (bool, error) {
	d.submit.Lock() // or a withdrawal or a form that puts this one right could come between
	defer d.submit.Unlock()
	n, message, f := &localv1.Notification{}, &posternv1.SealedNotification{}, &posternv1.Form{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		return errors.Join(d.load(s, schema.DeskNotification, id, n), d.load(s, schema.DeskMessage, id, message), d.load(s, schema.DeskForm, n.GetFormId(), f))
	})
	if err != nil {
		return false, err
	}
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(message.GetManifest().GetPayload(), m); err != nil {
		return false, fault.From(err)
	}
	key, ok := d.directory.Load().RecipientKey(n.GetAuthority())
	at := d.cfg.Clock()
	if !ok || !at.Before(key.GetExpireTime().AsTime()) || !at.Before(m.GetExpireTime().AsTime()) || !mayReseal(n, m, key) {
		return false, nil
	}
	c, err := d.composeResealed(n, m, message, f)
	if err != nil {
		return false, err
	}
	sealed, err := d.seal(schema.DeskMessage, c.state.GetId(), c.message)
	if err != nil {
		return false, err
	}
	err = d.change(ctx, id, func(tx store.Tx, now *localv1.Notification) error {
		if !proto.Equal(n, now) {
			d.resealing.Store(true) // an update came meanwhile: look again
			return nil
		}
		now.ResealedBy = c.state.GetId()
		return d.putNew(tx, c, sealed)
	})
	d.nudge()
	return err == nil, err
}

func mayReseal(n *localv1.Notification, m *posternv1.Manifest, key *posternv1.RecipientKey) bool {
	return n.GetState() == stateUndelivered && n.GetResealedBy() == "" && n.GetSupersededBy() == "" && n.GetManual() == nil && !n.GetElsewhere() &&
		!takenBack(n) && len(n.GetFollowups()) == 0 && m.GetOffer().GetRecipientKeyId() != "" && m.GetOffer().GetRecipientKeyId() != key.GetKeyId()
}

// composeResealed makes the same notification under a new id: same children under the same numbers, same sender, what the
// person took back left out, and the clocks from when it was first submitted.
func (d *Desk) composeResealed(n *localv1.Notification, m *posternv1.Manifest, message *posternv1.SealedNotification, f *posternv1.Form) (composed, error) {
	facts, err := hubFacts(message)
	if err != nil {
		return composed{}, err
	}
	consentID, err := envelope.NewID(d.cfg.Rand)
	if err != nil {
		return composed{}, err
	}
	how := making{slipCode: n.GetSlipCode(), first: facts.GetFirstSubmitTime().AsTime(), sender: m.GetSender(),
		replaces: n.GetId(), reason: posternv1.ChangeReason_CHANGE_REASON_KEY_CHANGED, withdrawn: partsTakenBack(n)}
	part := form.Again(withCasework(f, n, orderOf(n)), d.cfg.Clock()).PartOf(earlierPart(n, m, facts, n.GetFormChildren()), consentID)
	c, err := d.composePart(part, n.GetFormId(), d.directory.Load(), how)
	if err != nil {
		return c, err
	}
	c.state.Reseals, c.state.LeftOutPaths = n.GetId(), how.withdrawn
	c.state.Gate, c.state.Calls, c.state.Considerations = n.GetGate(), n.GetCalls(), n.GetConsiderations()
	c.state.Review, c.state.Move = n.GetReview(), n.GetMove()
	return c, nil
}
