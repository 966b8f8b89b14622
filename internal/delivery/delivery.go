// Package delivery is the hub's way out: the outbox, which takes only what the ledger has just recorded, and the
// courier, which sends it and records the answer.
//
// It guarantees: nothing enters the outbox without the ledger's entry of the same transaction, and nothing is sent
// without that event's receipt, whose core must show SHARE for exactly the sections in hand; a line has one send under
// way at most and keeps its order; a slow or dead inbox delays no line but its own; and a delivery leaves the outbox
// only in the transaction that records what became of it and tells the desk. On the wire a delivery may come more than
// once: an inbox answers the same one the same.
//
// It does not decide, cannot read what it sends, and does not learn addresses from anybody but the directory of the
// moment. What an inbox says reaches a desk only as the signed acknowledgement or as UNDELIVERED, in whole hours.
package delivery

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/vault"
	posternv1 "postern/proto/postern/v1"
)

// Sender hands one delivery to an inbox and returns its answer. The connection must be with exactly the party `to`;
// the answer need not be verified. Package rpc implements it.
type Sender interface {
	Send(ctx context.Context, to identity.Party, address string, d *posternv1.Delivery) (*posternv1.DeliverResponse, error)
}

// Config says what a Delivery works with. Fields without a default are required.
type Config struct {
	Store     store.Store // the hub's database, for reading; writes go through Ledger
	Ledger    *ledger.Ledger
	Vault     *vault.Vault
	Sender    Sender
	Anchors   *identity.Anchors           // to verify the inboxes' answers
	Directory func() *directory.Directory // the one in use now; nil while there is none
	Clock     func() time.Time
	Rand      io.Reader // for jitter
	Log       *slog.Logger

	Backoff     queue.Backoff // default 1 s to 5 min
	SendTimeout time.Duration // for one send; default 20 s
	IdlePoll    time.Duration // how long Run sleeps at most; default 1 s
	BadAnswers  uint32        // after so many answers that do not verify, a delivery is given up; default 8
}

// Delivery is a hub's outbox and courier. Its methods may be called from any goroutine.
type Delivery struct {
	cfg   Config
	queue *queue.Queue
	wake  chan struct{}

	mu   sync.Mutex          // owns busy, and reads of cfg.Rand
	busy map[string]struct{} // destinations with an attempt under way
}

// New makes a Delivery. It starts nothing.
func New(c Config) *Delivery {
	if c.Backoff == (queue.Backoff{}) {
		c.Backoff = queue.Backoff{Base: time.Second, Max: 5 * time.Minute}
	}
	if c.SendTimeout == 0 {
		c.SendTimeout = 20 * time.Second
	}
	if c.IdlePoll == 0 {
		c.IdlePoll = time.Second
	}
	if c.BadAnswers == 0 {
		c.BadAnswers = 8
	}
	return &Delivery{
		cfg:   c,
		queue: queue.New(queue.Config{Keyspace: schema.HubOutbox}),
		wake:  make(chan struct{}, 1),
		busy:  map[string]struct{}{},
	}
}

// Outgoing is one notification that was decided to be shared.
type Outgoing struct {
	Authority      string                        // the GSS code of the recipient
	NotificationID string                        // its id
	ManifestSHA256 []byte                        // SHA-256 of the manifest exactly as the desk signed it
	Sender         identity.Party                // the desk that is told what becomes of it
	Decision       *posternv1.Decision           // cut to released children, their reasons and obligations
	Notification   *posternv1.SealedNotification // as disclosed: released facts and sections only
}

// The faults of Enqueue and EnqueueStop; each is a mistake in the program, so nothing of the transaction may be kept.
var (
	errNoEntry  = fault.New(fault.Internal, "NO_ENTRY", "Nothing may be sent that is not recorded in the same transaction.")
	errReleased = fault.New(fault.Internal, "ENTRY_USED", "One entry of the ledger releases one delivery.")
	errNotShare = fault.New(fault.Internal, "NOT_A_SHARE", "Only what the entry shares, and until when, can be sent.")
)

// waiting is the body of a queue item: what the courier must know without opening the sealed delivery. It names
// organisations and ids only. New fields are added, none change.
type waiting struct {
	EventID        [16]byte  `json:"event_id"`
	NotificationID string    `json:"notification_id"`
	ManifestSHA256 []byte    `json:"manifest_sha256"`
	Sender         string    `json:"sender"`
	ValidUntil     time.Time `json:"valid_until"`
	BadAnswers     uint32    `json:"bad_answers,omitempty"`
	Stop           []byte    `json:"stop,omitempty"` // of a stop request: the SHA-256 of its payload
}

// subject is what an answer must be about: the stop request, or the manifest.
func (w waiting) subject() []byte {
	if w.Stop != nil {
		return w.Stop
	}
	return w.ManifestSHA256
}

// Enqueue puts a notification into the outbox in the transaction tx, released by the entry e that tx itself recorded:
// the zero Entry, one of another transaction, one that has released something already, and one that does not share
// exactly these sections are refused. The caller calls Wake after the commit.
func (d *Delivery) Enqueue(tx *ledger.Tx, e ledger.Entry, out Outgoing) error {
	if !e.In(tx) {
		return errNoEntry
	}
	core := e.Core()
	if out.Authority == "" || out.NotificationID == "" || !bytes.Equal(out.ManifestSHA256, core.GetManifestSha256()) ||
		!covers(core, out.Notification) {
		return errNotShare
	}
	return d.put(tx, e, out.Authority,
		&posternv1.Delivery{Decision: out.Decision, Content: &posternv1.Delivery_Notification{Notification: out.Notification}},
		waiting{NotificationID: out.NotificationID, ManifestSHA256: out.ManifestSHA256, Sender: out.Sender.URI(), ValidUntil: core.GetValidUntilTime().AsTime()})
}

// put writes body and queue item of a delivery under the next number of the authority's line.
func (d *Delivery) put(tx *ledger.Tx, e ledger.Entry, authority string, content *posternv1.Delivery, w waiting) error {
	event := e.EventID()
	// A delivery's id is its event's 16 random bytes as a UUID: the transaction may run again without drawing another.
	id, err := envelope.NewID(bytes.NewReader(event[:]))
	if err != nil {
		return err
	}
	if !e.Release(tx) {
		return errReleased
	}
	sequence, err := next(tx, schema.HubSequence, authority)
	if err != nil {
		return err
	}
	content.DeliveryId, content.Sequence, w.EventID = id, sequence, event
	body, err := proto.Marshal(content)
	if err != nil {
		return fault.From(err)
	}
	now := d.cfg.Clock()
	item := queue.Item{Destination: authority, Sequence: sequence, ID: id, EnqueueTime: now, DueTime: now}
	// Seal draws random values, so another run of the transaction writes other bytes; both open to the same.
	sealed, err := d.cfg.Vault.Seal(string(schema.HubOutboxBody), item.Key(), body)
	if err != nil {
		return err
	}
	if err := tx.Put(schema.HubOutboxBody, item.Key(), sealed); err != nil {
		return err
	}
	if w.Stop == nil {
		if err := putRelease(tx, w.NotificationID, Release{authority, sequence, id, event, w.ManifestSHA256, false}); err != nil {
			return err
		}
	}
	if item.Body, err = json.Marshal(w); err != nil {
		return fault.From(err)
	}
	return d.queue.Put(tx, item)
}

// Wake tells Run that there may be work. It never blocks.
func (d *Delivery) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // already told
	}
}

// Destination is the state of one line of the outbox.
type Destination struct {
	Authority string    // the GSS code
	Waiting   uint32    // how many deliveries wait
	Oldest    time.Time // since when the oldest waits
}

// Status lists the lines that are not empty, by GSS code.
func (d *Delivery) Status(ctx context.Context) ([]Destination, error) {
	var all []Destination
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		items, err := d.queue.List(s)
		for _, it := range items {
			if n := len(all); n == 0 || all[n-1].Authority != it.Destination {
				all = append(all, Destination{Authority: it.Destination, Oldest: it.EnqueueTime})
			}
			last := &all[len(all)-1]
			last.Waiting++
			if it.EnqueueTime.Before(last.Oldest) { // a clock may have been set back
				last.Oldest = it.EnqueueTime
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// next counts up the sequence kept under name, from 1.
func next(tx store.Tx, ks store.Keyspace, name string) (uint64, error) {
	b, err := tx.Get(ks, []byte(name))
	if err != nil {
		return 0, err
	}
	n := uint64(1)
	if len(b) == 8 {
		n += binary.BigEndian.Uint64(b)
	}
	return n, tx.Put(ks, []byte(name), binary.BigEndian.AppendUint64(nil, n))
}
