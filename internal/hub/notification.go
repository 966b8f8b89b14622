package hub

import (
	"context"
	"crypto/sha256"
	"slices"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// notification is what a hub keeps of a notification beside its events: one row, written with each decision.
type notification struct {
	event   [16]byte          // of the last decision
	outcome posternv1.Outcome // and its outcome
	sender  string            // the URI of its desk
	route   posternv1.Route   // unspecified for an enquiry
	slip    []byte            // SHA-256 of the code on the person's slip; empty when there is none
}

// decidedNotification is the row of a notification that was just decided.
func decidedNotification(v *envelope.Verified, outcome posternv1.Outcome, event [16]byte) notification {
	return notification{event, outcome, v.Sender().URI(), v.Manifest().GetOffer().GetRoute(), v.Hub().GetSlipCodeSha256()}
}

// put writes the row: event (16 bytes), outcome, route and the length of the slip's hash (1 byte each), that hash, and
// the sender's URI.
func (n notification) put(tx store.Tx, id string) error {
	row := append(n.event[:], byte(n.outcome), byte(n.route), byte(len(n.slip)))
	return tx.PutOwn(schema.HubNotification, []byte(id), slices.Concat(row, n.slip, []byte(n.sender)))
}

// readNotification finds a notification by its id; ok is false when the hub does not know it.
func readNotification(r store.Reader, id string) (n notification, ok bool, err error) {
	row, err := r.Get(schema.HubNotification, []byte(id))
	if err != nil || row == nil {
		return n, false, err
	}
	const head = len(n.event) + 3
	if len(row) < head || (row[head-1] != 0 && row[head-1] != sha256.Size) || len(row) < head+int(row[head-1]) {
		return n, false, fault.New(fault.Internal, "NOTIFICATION_ROW", "What the hub keeps of a notification cannot be read.")
	}
	rest := row[head:]
	slip := int(row[head-1])
	return notification{[16]byte(row[:16]), posternv1.Outcome(row[16]), string(rest[slip:]), posternv1.Route(row[17]), rest[:slip:slip]}, true, nil
}

// decidedRow is what a hub keeps of a manifest: by which event it decided on it first, which is what the same manifest is
// answered with when it comes again, and by which it stands now. A manifest names its sender and its notification, and is
// verified before it gets here, so that its digest alone tells that it is the same.
type decidedRow struct{ first, newest [16]byte }

// decidedKey is the key of a manifest: behind its notification, with which it is written and read.
func decidedKey(id string, manifest []byte) []byte {
	return slices.Concat([]byte(id), []byte{1}, manifest)
}

func (d decidedRow) put(tx store.Tx, id string, manifest []byte) error {
	return tx.PutOwn(schema.HubNotification, decidedKey(id, manifest), slices.Concat(d.first[:], d.newest[:]))
}

// readDecided finds what was decided on a manifest of a notification; ok is false when nothing was.
func readDecided(r store.Reader, id string, manifest []byte) (d decidedRow, ok bool, err error) {
	row, err := r.Get(schema.HubNotification, decidedKey(id, manifest))
	if err != nil || row == nil {
		return d, false, err
	}
	if len(row) != len(d.first)+len(d.newest) {
		return d, false, fault.New(fault.Internal, "DECIDED_ROW", "What the hub keeps of a manifest cannot be read.")
	}
	return decidedRow{[16]byte(row[:16]), [16]byte(row[16:])}, true, nil
}

// notificationIDs resolves a notification id or a reference, which may name several notifications of this hub.
func (h *Hub) notificationIDs(ctx context.Context, name string) ([]string, error) {
	if envelope.ValidID(name) {
		return []string{name}, nil
	}
	from, to, err := envelope.IDsOf(name)
	if err != nil {
		return nil, err
	}
	var ids []string
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		return s.Scan(schema.HubNotification, []byte(from), []byte(to), func(id, _ []byte) (bool, error) {
			if len(id) == idLength { // else it is a release or a manifest
				ids = append(ids, string(id))
			}
			return true, nil
		})
	})
	return ids, err
}
