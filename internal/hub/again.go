package hub

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// contentKey is the key under which the content of an offer by permission is found again: the sender and what it calls
// the content, which says nothing to anybody else and covers reception, children and authority. nil for whatever may be
// sent twice: other routes, and what says that it replaces an earlier notification.
func contentKey(v *envelope.Verified) []byte {
	m, ref := v.Manifest(), v.Hub().GetContentRef()
	if m.GetOffer().GetRoute() != posternv1.Route_ROUTE_STANDARD || m.GetSupersedes() != "" || len(ref) == 0 {
		return nil
	}
	return append(join(v.Sender().URI(), ""), ref...)
}

// sentBefore returns the row of the content of an offer, and the id of another notification by which its sender shared
// the same; "" when there is none, when anything of that one was withdrawn since, since the person may give it again, when
// it was decided again and nothing of it ever went, or when its desk was told that it was not delivered; nor once its
// permission has ended, however long the row is there after that: what is forgotten goes by package lapse.
func (h *Hub) sentBefore(r store.Reader, v *envelope.Verified) (row []byte, first string, err error) {
	key := contentKey(v)
	if key == nil {
		return nil, "", nil
	}
	row, err = r.Get(schema.HubContent, key)
	id, end := readContent(row)
	over := !end.IsZero() && !h.cfg.Clock().Before(end)
	if err != nil || row == nil || over || id == v.Manifest().GetNotificationId() {
		return row, "", err
	}
	tomb, err := readTombstone(r, v.Sender().URI(), id)
	if err != nil || tomb != nil {
		return row, "", err
	}
	known, _, err := readNotification(r, id)
	if err != nil || known.outcome != posternv1.Outcome_OUTCOME_SHARE {
		return row, "", err
	}
	// Not before the desk was told: a new notification must not be a way to ask what a team's inbox did.
	if undelivered, err := h.delivery.ToldUndelivered(r, id); err != nil || undelivered {
		return row, "", err
	}
	return row, id, nil
}

// A row of a content is the id of the notification, and until when it is remembered: Unix seconds, 8 bytes BE. A row of a
// format before 9 has no end.
const idLength = 36

func readContent(row []byte) (id string, end time.Time) {
	if len(row) == idLength+8 {
		end = time.Unix(int64(binary.BigEndian.Uint64(row[idLength:])), 0)
	}
	return string(row[:min(len(row), idLength)]), end
}

func contentRow(id string, end time.Time) []byte {
	return binary.BigEndian.AppendUint64([]byte(id), uint64(end.Unix()))
}

// indexContent remembers by which notification this content was shared, for as long as the permission holds that it was
// shared by: whoever gives it again after that means it to be told again.
func indexContent(tx store.Tx, v *envelope.Verified, o posternv1.Outcome) error {
	key := contentKey(v)
	if key == nil || o != posternv1.Outcome_OUTCOME_SHARE {
		return nil
	}
	m := v.Manifest()
	return tx.Put(schema.HubContent, key, contentRow(m.GetNotificationId(), permissionEnds(m.GetOffer())))
}

// forgetChunk is how many remembered contents one transaction forgets.
const forgetChunk = 64

// forgetContent forgets some of what was remembered of contents whose permission has ended, and reports whether there was
// any. It is an index of what the ledger holds, so its going is no event of its own. A row without an end gets the
// longest that there is.
func (h *Hub) forgetContent(ctx context.Context, now time.Time) (bool, error) {
	over := func(row []byte) bool { _, end := readContent(row); return !now.Before(end) } // without an end is long past
	var keys [][]byte
	err := h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		keys = nil
		return s.Scan(schema.HubContent, nil, nil, func(key, row []byte) (bool, error) {
			if over(row) {
				keys = append(keys, bytes.Clone(key))
			}
			return len(keys) < forgetChunk, nil
		})
	})
	if err != nil || len(keys) == 0 {
		return false, err
	}
	return true, h.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error { // it makes room
		for _, key := range keys {
			row, err := tx.Get(schema.HubContent, key)
			if err != nil {
				return err
			}
			switch id, end := readContent(row); {
			case row == nil || !over(row): // shared again meanwhile
			case end.IsZero():
				err = tx.Put(schema.HubContent, key, contentRow(id, now.Add(consent.Term)))
			default:
				err = tx.Delete(schema.HubContent, key)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
