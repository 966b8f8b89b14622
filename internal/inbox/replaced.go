package inbox

import (
	"bytes"
	"context"
	"errors"

	"postern/internal/envelope"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
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
		key, _, err := in.find(s, replaces(m))
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

// A hub shares one manifest under an id, ever. One that lost its disk does not know any more what it shared, and the next
// one may share another, which the desk made since. What the team has of one id it sees once: the one of the newer log.

// sameID finds what is here of the id of a delivery, by the same prison and under other manifests. newer says that it was
// shared after the delivery was, which is then a late copy. The caller holds in.showing until the item is kept.
func (in *Inbox) sameID(ctx context.Context, d *posternv1.Delivery, v *envelope.Verified) (before [][]byte, newer bool, err error) {
	id := v.Manifest().GetNotificationId()
	prefix := join(envelope.Reference(id), id, "")
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		before, newer = nil, false
		return s.Scan(schema.InboxReference, prefix, join(envelope.Reference(id), id, "\xff"), func(key, _ []byte) (bool, error) {
			manifest := bytes.Clone(key[len(prefix):])
			sealed, err := s.Get(schema.InboxItem, manifest)
			if err != nil || sealed == nil || bytes.Equal(manifest, v.ManifestSHA256()) {
				return true, err
			}
			item, err := in.openItem(manifest, sealed)
			if err != nil || item.GetItem().GetPrisonId() != v.Manifest().GetSender().GetPrisonId() {
				return true, err
			}
			before = append(before, manifest)
			newer = newer || in.sharedAfter(item.GetReceipt(), d.GetReceipt())
			return true, nil
		})
	})
	return before, newer, err
}

// sharedAfter reports whether one receipt is of a later generation of the log than another, or of a later leaf.
func (in *Inbox) sharedAfter(one, other *posternv1.Receipt) bool {
	a, err := verify.Receipt(one, in.cfg.AllLogs)
	if err != nil {
		return false // of a log that is not followed any more
	}
	b, err := verify.Receipt(other, in.cfg.AllLogs)
	if err != nil {
		return true
	}
	_, m := verify.Generation(a.Origin)
	_, n := verify.Generation(b.Origin)
	return m > n || m == n && a.Index > b.Index
}

// takePlace removes what an item takes the place of. To whom the team passed that on stays on the page; and what it was
// asked to stop of it, it has stopped: nothing of that is here any more.
func (in *Inbox) takePlace(tx store.Tx, item *localv1.GetItemResponse, before [][]byte) error {
	for _, manifest := range before {
		sealed, err := tx.Get(schema.InboxItem, manifest) // as it is by now: a stop request may have come
		if err != nil {
			return err
		}
		if sealed == nil { // gone already
			continue
		}
		old, err := in.openItem(manifest, sealed)
		if err != nil {
			return err
		}
		item.Item.PassedOn = append(item.Item.PassedOn, old.GetItem().GetPassedOn()...)
		row := append(join(old.GetItem().GetReference(), old.GetItem().GetId(), ""), manifest...)
		if err := errors.Join(tx.Delete(schema.InboxItem, manifest), tx.Delete(schema.InboxSealed, manifest), tx.Delete(schema.InboxReference, row)); err != nil {
			return err
		}
		stop := old.GetItem().GetStop()
		if stop == nil || stop.GetAnswer() != posternv1.StopAnswerCode_STOP_ANSWER_CODE_UNSPECIFIED {
			continue
		}
		answer, err := in.stopAnswer(stop.GetDeliveryId(), old.GetItem().GetId(), manifest, posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED)
		if err != nil {
			return err
		}
		if err := in.spoolReport(tx, stop.GetDeliveryId(), answer); err != nil {
			return err
		}
	}
	return nil
}
