package inbox

import (
	"context"
	"errors"

	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// A desk that hears that a key was not known seals the same again to the next one, as a new notification that replaces
// the first. Whatever the hub and the line do, the team sees one of the two: the one that was opened first.

// replaces is the id of the notification that a manifest says again under another key; empty for none.
func replaces(m *posternv1.Manifest) string {
	if m.GetOffer().GetChangeReason() == posternv1.ChangeReason_CHANGE_REASON_KEY_CHANGED {
		return m.GetSupersedes()
	}
	return ""
}

// shown reports whether the other of the two is on the page already. The caller holds in.showing until the item is kept,
// so that of two that come at once one waits for the other.
func (in *Inbox) shown(ctx context.Context, m *posternv1.Manifest) (bool, error) {
	var there bool
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		row, err := s.Get(schema.InboxReplaced, []byte(m.GetNotificationId()))
		if there = string(row) == m.GetSender().GetPrisonId() && row != nil; err != nil || there || replaces(m) == "" {
			return err
		}
		key, err := in.find(s, replaces(m))
		if errors.Is(err, notHere) {
			return nil
		}
		if err != nil {
			return err
		}
		sealed, err := s.Get(schema.InboxItem, key)
		if err != nil || sealed == nil {
			return err
		}
		item, err := in.openItem(key, sealed)
		there = err == nil && item.GetItem().GetPrisonId() == m.GetSender().GetPrisonId()
		return err
	})
	return there, err
}

// keepAnswer keeps the answer to a delivery whose content is on the page already.
func (in *Inbox) keepAnswer(ctx context.Context, d *posternv1.Delivery, kept []byte, origin string) error {
	return in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := in.note(tx, d, origin); err != nil {
			return err
		}
		return tx.Put(schema.InboxDelivery, []byte(d.GetDeliveryId()), kept)
	})
}
