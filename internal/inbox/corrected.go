package inbox

import (
	"bytes"

	"postern/internal/envelope"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A form that puts another right, or in which a child is new, comes beside what the team has already. It keeps both, and each
// names the other. They may come in any order, and either may never come; of that nothing is said.

// putReplaces records what a notification that is kept replaces, for whatever reason.
func putReplaces(tx store.Tx, m *posternv1.Manifest) error {
	old, prison := m.GetSupersedes(), m.GetSender().GetPrisonId()
	if old == "" {
		return nil
	}
	if err := tx.Put(schema.InboxReplaced, join(old, prison, m.GetNotificationId()), []byte{1}); err != nil || replaces(m) == "" {
		return err
	}
	return tx.Put(schema.InboxReplaced, []byte(old), []byte(prison))
}

// relate names, on an item as it is shown, those that it puts right and that put it right. They are those of the same prison
// alone: whatever another one signs, it does not stand on what this one sent.
func (in *Inbox) relate(s store.Snapshot, item *localv1.GetItemResponse) error {
	i, old, why := item.GetItem(), item.GetSignedSupersedes(), item.GetSignedChangeReason()
	item.SignedSupersedes, item.SignedChangeReason = "", 0
	i.Supersedes, i.ChangeReason, i.SupersededBy = "", 0, nil
	names := []string{i.GetId()}
	switch {
	case old == "":
	case sealedAgain(why):
		names = append(names, old) // what puts right the one whose place it took puts it right too
	default:
		here, err := in.shownAs(s, i.GetPrisonId(), old)
		if err != nil {
			return err
		}
		if here != "" {
			i.Supersedes, i.ChangeReason = here, why
		}
	}
	for _, name := range names {
		corrections, _, err := in.replacing(s, i.GetPrisonId(), name)
		if err != nil {
			return err
		}
		i.SupersededBy = append(i.SupersededBy, corrections...)
	}
	return nil
}

func sealedAgain(why posternv1.ChangeReason) bool {
	return why == posternv1.ChangeReason_CHANGE_REASON_KEY_CHANGED
}

// shownAs is the id under which the team has a notification of a prison: its own, or that of the same sealed again; empty where
// it has neither.
func (in *Inbox) shownAs(s store.Snapshot, prison, id string) (string, error) {
	item, err := in.sentBy(s, prison, id)
	if err != nil || item != nil {
		return item.GetItem().GetId(), err
	}
	_, again, err := in.replacing(s, prison, id)
	return again, err
}

// replacing are the ids of what the team has of a prison and that replaces a notification: what puts it right, and what is the
// same sealed again.
func (in *Inbox) replacing(s store.Snapshot, prison, id string) (corrections []string, again string, err error) {
	prefix := join(id, prison, "")
	err = s.Scan(schema.InboxReplaced, prefix, join(id, prison, "\xff"), func(key, _ []byte) (bool, error) {
		item, err := in.sentBy(s, prison, string(key[len(prefix):]))
		switch {
		case err != nil || item.GetSignedSupersedes() != id:
		case sealedAgain(item.GetSignedChangeReason()):
			again = item.GetItem().GetId()
		default:
			corrections = append(corrections, item.GetItem().GetId())
		}
		return true, err
	})
	return corrections, again, err
}

// sentBy is what the team has under an id from a prison, as it is kept; nil for nothing.
func (in *Inbox) sentBy(s store.Snapshot, prison, id string) (found *localv1.GetItemResponse, err error) {
	prefix := join(envelope.Reference(id), id, "")
	err = s.Scan(schema.InboxReference, prefix, join(envelope.Reference(id), id, "\xff"), func(key, _ []byte) (bool, error) {
		manifest := bytes.Clone(key[len(prefix):])
		sealed, err := s.Get(schema.InboxItem, manifest)
		if err != nil || sealed == nil {
			return true, err
		}
		item, err := in.openItem(manifest, sealed)
		if item.GetItem().GetPrisonId() == prison {
			found = item
		}
		return found == nil, err
	})
	return found, err
}
