package hub

import (
	"postern/internal/envelope"
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
// the same; "" when there is none, or when anything of that one was withdrawn since: the person may give it again.
func sentBefore(r store.Reader, v *envelope.Verified) (row []byte, first string, err error) {
	key := contentKey(v)
	if key == nil {
		return nil, "", nil
	}
	if row, err = r.Get(schema.HubContent, key); err != nil || row == nil || string(row) == v.Manifest().GetNotificationId() {
		return row, "", err
	}
	tomb, err := readTombstone(r, v.Sender().URI(), string(row))
	if err != nil || tomb != nil {
		return row, "", err
	}
	return row, string(row), nil
}

// indexContent remembers by which notification this content was shared.
func indexContent(tx store.Tx, v *envelope.Verified, o posternv1.Outcome) error {
	key := contentKey(v)
	if key == nil || o != posternv1.Outcome_OUTCOME_SHARE {
		return nil
	}
	return tx.Put(schema.HubContent, key, []byte(v.Manifest().GetNotificationId()))
}
