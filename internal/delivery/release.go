package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Release is where the newest delivery of a notification stands. It outlives the delivery: that a send ever began is
// never forgotten.
type Release struct {
	Authority  string   `json:"authority"`
	Sequence   uint64   `json:"sequence"`
	DeliveryID string   `json:"delivery_id"`
	EventID    [16]byte `json:"event_id"` // the decision that released it
	Manifest   []byte   `json:"manifest"` // its SHA-256
	Begun      bool     `json:"begun"`    // whether a send of this notification ever began
}

func (r Release) item() queue.Item {
	return queue.Item{Destination: r.Authority, Sequence: r.Sequence, ID: r.DeliveryID}
}

// Release returns where a notification stands, and whether anything of it was ever released.
func (d *Delivery) Release(r store.Reader, notificationID string) (rel Release, ok bool, err error) {
	row, err := r.Get(schema.HubRelease, []byte(notificationID))
	if err != nil || row == nil {
		return rel, false, err
	}
	if err := json.Unmarshal(row, &rel); err != nil {
		return rel, false, fault.New(fault.Internal, "RELEASE_ROW", "Where a notification stands cannot be read.").Because(err)
	}
	return rel, true, nil
}

// putRelease writes where a notification stands. What ever began stays begun, whichever delivery it was.
func putRelease(tx store.Tx, notificationID string, rel Release) error {
	var earlier Release
	row, err := tx.Get(schema.HubRelease, []byte(notificationID))
	if err != nil {
		return err
	}
	if row != nil && json.Unmarshal(row, &earlier) != nil {
		earlier.Begun = true // a row that cannot be read must not hide a send
	}
	rel.Begun = rel.Begun || earlier.Begun
	b, err := json.Marshal(rel)
	if err != nil {
		return fault.From(err)
	}
	return tx.Put(schema.HubRelease, []byte(notificationID), b)
}

// Waits reports whether a release is still in the outbox.
func (d *Delivery) Waits(r store.Reader, rel Release) (bool, error) {
	return d.queue.Holds(r, rel.item())
}

// Cancel takes a release out of the outbox, with its content. It reports whether it was there. A send of it that has
// begun is not called back: its answer finds the delivery gone.
func (d *Delivery) Cancel(tx *ledger.Tx, rel Release) (bool, error) {
	switch err := d.queue.Remove(tx, rel.item()); err {
	case nil:
		return true, tx.Delete(schema.HubOutboxBody, rel.item().Key())
	case queue.ErrGone:
		return false, nil
	default:
		return false, err
	}
}

// Content opens what a release in the outbox would send; nil when it is not there any more.
func (d *Delivery) Content(r store.Reader, rel Release) (*posternv1.Delivery, error) {
	sealed, err := r.Get(schema.HubOutboxBody, rel.item().Key())
	if err != nil || sealed == nil {
		return nil, err
	}
	return d.unseal(rel.item(), sealed)
}

// begin is the transaction without which no send starts: the delivery is still in the outbox, was not withdrawn or
// replaced (that takes it out), is not stale, and from here on counts as begun. It returns queue.ErrGone when there is
// nothing to send any more.
//
// Whatever commits before it, the ledger's order is the truth: a withdrawal before begin leaves nothing to send, and one
// after it finds the send begun and asks the team to stop.
func (d *Delivery) begin(ctx context.Context, p pending) error {
	return d.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		held, err := d.queue.Holds(tx, p.item)
		if err != nil {
			return err
		}
		if !held {
			return queue.ErrGone
		}
		if !d.cfg.Clock().Before(p.about.ValidUntil) {
			return errNotCovered
		}
		if p.about.Stop != nil {
			return nil
		}
		rel, ok, err := d.Release(tx, p.about.NotificationID)
		if err != nil || (ok && rel.Begun) {
			return err
		}
		return putRelease(tx, p.about.NotificationID, Release{p.item.Destination, p.item.Sequence, p.item.ID, p.about.EventID, p.about.ManifestSHA256, true})
		// A crash just here counts as begun what was never sent: the team may be asked to stop what it never got. The
		// other way round it would never be asked.
	})
}

// StopLife is how long a stop request is tried. It is not the authority's patience that ends it, nor a decision: a
// person has withdrawn, and the team must hear.
const StopLife = 90 * 24 * time.Hour

// Stop is a stop request for a team that may have a notification.
type Stop struct {
	Authority      string // the GSS code of the team
	NotificationID string
	ManifestSHA256 []byte            // of the notification's manifest
	Request        *posternv1.Signed // as the desk signed it
}

// EnqueueStop puts a stop request at the end of an authority's line, released by the entry e of kind stop_asked that tx
// itself recorded about this manifest and this request.
func (d *Delivery) EnqueueStop(tx *ledger.Tx, e ledger.Entry, s Stop) error {
	if !e.In(tx) {
		return errNoEntry
	}
	subject := sha256.Sum256(s.Request.GetPayload())
	if e.Kind() != logv1.Kind_KIND_STOP_ASKED || s.Authority == "" || s.NotificationID == "" || s.Request.GetPayloadType() != envelope.TypeStopRequest ||
		!bytes.Equal(s.ManifestSHA256, e.Core().GetManifestSha256()) || !bytes.Equal(subject[:], e.Core().GetSubjectSha256()) {
		return errNotStop
	}
	return d.put(tx, e, s.Authority, &posternv1.Delivery{Content: &posternv1.Delivery_StopRequest{StopRequest: s.Request}}, waiting{
		NotificationID: s.NotificationID, ManifestSHA256: s.ManifestSHA256, Stop: subject[:], ValidUntil: d.cfg.Clock().Add(StopLife)})
}

var errNotStop = fault.New(fault.Internal, "NOT_A_STOP", "Only the stop request that the entry records can be sent.")
