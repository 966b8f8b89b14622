package delivery

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
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
	EventID    [16]byte `json:"event_id"`         // the decision that released it
	Manifest   []byte   `json:"manifest"`         // its SHA-256
	Begun      bool     `json:"begun"`            // whether a send of this notification ever began
	Number     uint64   `json:"number,omitempty"` // of the delivery that the inbox acknowledged, once it has

	// Earlier manifests of this notification that the team may have: a hub that lost its disk may have sent them.
	Earlier [][]byte `json:"earlier,omitempty"`
}

// Manifests are all under which the team may have the notification, the newest first.
func (r Release) Manifests() [][]byte { return append([][]byte{r.Manifest}, r.Earlier...) }

func (r Release) item() queue.Item {
	return queue.Item{Destination: r.Authority, Sequence: r.Sequence, ID: r.DeliveryID}
}

// keptItem is a release once its inbox has acknowledged it.
func (r Release) keptItem() queue.Item {
	return queue.Item{Destination: r.Authority, Sequence: r.Number, ID: r.DeliveryID}
}

// PassedOnName is the name of what a team passed on to an authority, for Release: beside the first delivery of the
// notification, and apart from it.
func PassedOnName(notificationID, authority string) string { return notificationID + "/" + authority }

// releaseKey is the key of a release: right behind the notification, with which it is written and read.
func releaseKey(name string) []byte { return append([]byte(name), 0) }

// Release returns where a notification stands, by its id or its PassedOnName, and whether anything of it was ever
// released.
func (d *Delivery) Release(r store.Reader, name string) (rel Release, ok bool, err error) {
	row, err := r.Get(schema.HubNotification, releaseKey(name))
	if err != nil || row == nil {
		return rel, false, err
	}
	if err := json.Unmarshal(row, &rel); err != nil {
		return rel, false, fault.New(fault.Internal, "RELEASE_ROW", "Where a notification stands cannot be read.").Because(err)
	}
	return rel, true, nil
}

// putRelease writes where a notification stands. What ever began stays begun, whichever delivery it was, and under
// whichever manifest.
func putRelease(tx store.Tx, name string, rel Release) error {
	var earlier Release
	row, err := tx.Get(schema.HubNotification, releaseKey(name))
	if err != nil {
		return err
	}
	if row != nil && json.Unmarshal(row, &earlier) != nil {
		earlier.Begun = true // a row that cannot be read must not hide a send
	}
	rel.Earlier = slices.Concat(earlier.Earlier, rel.Earlier)
	if earlier.Begun && len(earlier.Manifest) > 0 {
		rel.Earlier = append(rel.Earlier, earlier.Manifest)
	}
	rel.Begun = rel.Begun || earlier.Begun
	slices.SortFunc(rel.Earlier, bytes.Compare)
	rel.Earlier = slices.CompactFunc(slices.DeleteFunc(rel.Earlier, func(m []byte) bool { return bytes.Equal(m, rel.Manifest) }), bytes.Equal)
	b, err := json.Marshal(rel)
	if err != nil {
		return fault.From(err)
	}
	return tx.PutOwn(schema.HubNotification, releaseKey(name), b)
}

// MaybeSent counts a notification as begun, whatever is released of it now: a hub before this one may have sent it. rel is
// where it stands when nothing was released yet. It returns where it stands now.
func (d *Delivery) MaybeSent(tx *ledger.Tx, notificationID string, rel Release) (Release, error) {
	now, ok, err := d.Release(tx, notificationID)
	if err != nil {
		return rel, err
	}
	if ok {
		now.Earlier = append(now.Earlier, append(rel.Earlier, rel.Manifest)...)
		rel = now
	}
	rel.Begun = true
	if err := putRelease(tx, notificationID, rel); err != nil {
		return rel, err
	}
	rel, _, err = d.Release(tx, notificationID)
	return rel, err
}

// Waits reports whether a release is still in the outbox.
func (d *Delivery) Waits(r store.Reader, rel Release) (bool, error) {
	return d.outbox.Holds(r, rel.item())
}

// Had reports whether the inbox of a release has acknowledged it, whether it is kept or comes again.
func (d *Delivery) Had(r store.Reader, rel Release) (bool, error) {
	if kept, err := d.kept.Holds(r, rel.keptItem()); kept || err != nil {
		return kept, err
	}
	_, w, err := readItem(r, d.outbox, rel.item())
	if errors.Is(err, queue.ErrGone) {
		return false, nil
	}
	return w.again(), err
}

// Cancel takes a release out of the outbox, or from among what was given up, with its content. It reports whether it was
// there. A send of it that has begun is not called back: its answer finds the delivery gone.
func (d *Delivery) Cancel(tx *ledger.Tx, rel Release) (bool, error) {
	for _, q := range []*queue.Queue{d.outbox, d.parked} {
		if was, err := d.drop(tx, q, rel.item()); was || err != nil {
			return was, err
		}
	}
	return false, nil
}

// Forget deletes what is kept of a release that was acknowledged: it does not come again to an inbox that has lost it.
func (d *Delivery) Forget(tx *ledger.Tx, rel Release) error {
	_, err := d.drop(tx, d.kept, rel.keptItem())
	return err
}

// narrow is Replace of what its inbox has acknowledged. By itself it sends nothing: an inbox that loses it gets what is left.
func (d *Delivery) narrow(tx *ledger.Tx, e ledger.Entry, rel Release, out Outgoing) error {
	it, w, err := readItem(tx, d.kept, rel.keptItem())
	if err != nil {
		return err
	}
	if !e.Release(tx) {
		return errReleased
	}
	w.EventID, w.First = e.EventID(), out.First
	content := &posternv1.Delivery{DeliveryId: it.ID, Decision: out.Decision, Content: &posternv1.Delivery_Notification{Notification: out.Notification}}
	if err := d.putContent(tx, w.contentKey(it), content); err != nil {
		return err
	}
	if it.Body, err = w.bytes(); err != nil {
		return err
	}
	if err := d.kept.Retry(tx, it); err != nil {
		return err
	}
	rel.EventID = w.EventID
	return putRelease(tx, w.releaseName(it.Destination), rel)
}

// drop takes an item out of a queue with its content, and reports whether it was there.
func (d *Delivery) drop(tx *ledger.Tx, q *queue.Queue, it queue.Item) (bool, error) {
	it, w, err := readItem(tx, q, it)
	if errors.Is(err, queue.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := q.Remove(tx, it); err != nil {
		return false, err
	}
	return true, tx.Delete(schema.HubOutboxBody, w.contentKey(it))
}

// GiveUp ends a release that waits, after a send of it had begun and a decision made again lets nothing of it go any
// more: the team may have it or not, so the desk hears UNDELIVERED and a person telephones. Its content is deleted.
func (d *Delivery) GiveUp(tx *ledger.Tx, rel Release) error {
	it, w, err := readItem(tx, d.outbox, rel.item())
	if err != nil {
		return err
	}
	now := d.cfg.Clock()
	_, err = tx.Record(ledger.Received, ledger.Event{
		Kind:    logv1.Kind_KIND_UNDELIVERED,
		Time:    now,
		Core:    &logv1.Core{ManifestSha256: w.ManifestSHA256, FollowsEvent: w.EventID[:]},
		Details: &logv1.Details{NotificationId: w.NotificationID, Sender: senderOf(w.Sender), Authority: it.Destination, DeliveryId: it.ID, Refusal: "NOT_TO_BE_SENT_ANY_MORE"},
	})
	if err != nil {
		return err
	}
	u := replyUndelivered()
	u.NotificationId = w.NotificationID
	if err := d.Tell(tx, ByHub, w.Sender, u, now); err != nil {
		return err
	}
	_, err = d.Cancel(tx, rel)
	return err
}

// Content opens what a release in the outbox would send, or what is kept of one that was acknowledged; nil when it is not
// there any more, and OUTBOX_BODY when it is and its content is lost.
func (d *Delivery) Content(r store.Reader, rel Release) (*posternv1.Delivery, error) {
	it, err := d.outbox.Get(r, rel.item())
	if errors.Is(err, queue.ErrGone) {
		it, err = d.kept.Get(r, rel.keptItem())
	}
	if errors.Is(err, queue.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w, err := readWaiting(it)
	if err != nil {
		return nil, err
	}
	sealed, err := r.Get(schema.HubOutboxBody, w.contentKey(it))
	if err == nil && sealed == nil {
		err = errNoBody
	}
	if err != nil {
		return nil, err
	}
	return d.unseal(it, w, sealed)
}

// StopLife is how long a stop request is tried. It is not the authority's patience that ends it, nor a decision: a
// person has withdrawn, and the team must hear.
const StopLife = 90 * 24 * time.Hour

// Stop is a stop request for a team that may have a notification.
type Stop struct {
	Authority      string // the GSS code of the team
	NotificationID string
	ManifestSHA256 []byte            // of the notification's manifest
	Withdrawn      [16]byte          // the event of the withdrawal
	Sender         string            // the URI of its desk, for the auditors who may see that prison's
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
	place, err := next(tx, schema.HubSequence, s.Authority)
	if err != nil {
		return err
	}
	return d.put(tx, e, queue.Item{Destination: s.Authority, Sequence: place, EnqueueTime: d.cfg.Clock(), DueTime: d.cfg.Clock()}, false, &posternv1.Delivery{Content: &posternv1.Delivery_StopRequest{StopRequest: s.Request}}, waiting{
		NotificationID: s.NotificationID, ManifestSHA256: s.ManifestSHA256, Sender: s.Sender, First: s.Withdrawn, Stop: subject[:], ValidUntil: d.cfg.Clock().Add(StopLife)})
}

var errNotStop = fault.New(fault.Internal, "NOT_A_STOP", "Only the stop request that the entry records can be sent.")
