// Package delivery is the hub's way out: the outbox, which takes only what the ledger has just recorded, and the
// courier, which sends it and records the answer.
//
// It guarantees: nothing enters the outbox without the ledger's entry of the same transaction, and nothing is sent
// without that event's receipt, whose core must show SHARE for exactly the sections in hand; no send begins on a
// decision that rests on what is not in force any more; a line has one send under way at most; a slow or dead inbox
// delays no line but its own, and a delivery that always fails none but itself; and a delivery leaves the outbox only
// in the transaction that records what became of it and tells the desk. On the wire a delivery may come more than once:
// an inbox answers the same one the same.
//
// A delivery is in one of three queues. The outbox holds what is to be sent. What was acknowledged is kept for the days
// of its agreement, for an inbox that was restored from an older copy. What was given up is parked until somebody sends
// it again, for as long. Inboxes that are sent to and inboxes that collect differ in who opens the connection, and in
// nothing else: both go through begin and settle.
//
// It does not decide, cannot read what it sends, and does not learn addresses from anybody but the directory of the
// moment. What an inbox says reaches a desk only as the signed acknowledgement or as UNDELIVERED, in whole hours.
package delivery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
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
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Sender hands one delivery to an inbox and returns its answer. The connection must be with exactly the party `to`;
// the answer need not be verified. Package rpc implements it.
type Sender interface {
	Send(ctx context.Context, to identity.Party, address string, d *posternv1.Delivery) (*posternv1.DeliverResponse, error)
}

// Decider decides again on what waits too long. The hub is it.
type Decider interface {
	// Basis reads what every decision rests on at this moment. It is called inside the transaction that begins a send.
	Basis(r store.Reader) (Basis, error)
	// DecideAgain decides once more on a notification in the outbox, records that, and in the same transaction puts what
	// may still go in the place of what waited (Replace) or takes it out (Cancel, or GiveUp where a send had begun).
	DecideAgain(ctx context.Context, notificationID string) error
	// HeldUntil is until when what this event released is kept back at the latest, or LetGo; zero for not at all. It is
	// called inside the transaction that puts it into the outbox, and for what is there when the hub starts.
	HeldUntil(r store.Reader, notificationID string, event [16]byte) (time.Time, error)
}

// Basis is what a decision rests on and what can change under it.
type Basis struct {
	Policy    string `json:"policy"`    // the revision of the bundle
	Directory uint64 `json:"directory"` // the number of the revision
}

// Config says what a Delivery works with. Fields without a default are required.
type Config struct {
	Store     store.Store // the hub's database, for reading; writes go through Ledger
	Ledger    *ledger.Ledger
	Vault     *vault.Vault
	Sender    Sender
	Decider   Decider                     // nil: what has gone stale is given up
	Anchors   *identity.Anchors           // to verify the inboxes' answers
	Directory func() *directory.Directory // the one in use now; nil while there is none
	Clock     func() time.Time
	Rand      io.Reader // for jitter
	Log       *slog.Logger

	Backoff     queue.Backoff // between attempts at one delivery, and at an inbox whose breaker is open; default 1 s to 5 min
	SendTimeout time.Duration // for one send, and for the answer to a collected delivery; default 20 s
	IdlePoll    time.Duration // how long Run sleeps at most; default 1 s
	Tries       uint32        // a delivery that failed so often by itself is parked; default 8: some four minutes with the default backoff
	BreakAfter  uint32        // failures of an inbox in a row that open its breaker; default 3: one lost connection is no outage
	Gather      time.Duration // over how long what teams cause is gathered before desks hear of it; default an hour, which divides a day
	Rate        rate.Limit    // sends a second to one inbox; default 50: an inbox is one small machine, and 50 clear a whole country's worst day in 20 s
	Burst       int           // sends at once after a pause; default 100: a morning's post of one authority without waiting
	MaxInFlight int           // sends under way at once; default 256: more than there are authorities, so that no line waits for another's end, and at 256 KiB each no more than 64 MiB
}

// Delivery is a hub's outbox and courier. Its methods may be called from any goroutine.
type Delivery struct {
	cfg    Config
	outbox *queue.Queue // to be sent
	parked *queue.Queue // given up
	kept   *queue.Queue // acknowledged, by delivery number
	wake   chan struct{}

	mu      sync.Mutex                       // owns the fields below, and reads of cfg.Rand
	lanes   map[string]*lane                 // by destination; there are never more than authorities
	busy    int                              // lanes with an attempt under way
	changed chan struct{}                    // closed and made anew when there may be work
	known   map[string][]*posternv1.KnownLog // what each inbox said to know of our logs
}

// New makes a Delivery. It starts nothing.
func New(c Config) *Delivery {
	if c.Backoff == (queue.Backoff{}) {
		c.Backoff = queue.Backoff{Base: time.Second, Max: 5 * time.Minute}
	}
	c.SendTimeout = cmp.Or(c.SendTimeout, 20*time.Second)
	c.IdlePoll = cmp.Or(c.IdlePoll, time.Second)
	c.Gather = cmp.Or(c.Gather, time.Hour)
	c.Tries = cmp.Or(c.Tries, 8)
	c.BreakAfter = cmp.Or(c.BreakAfter, 3)
	c.Rate = cmp.Or(c.Rate, 50)
	c.Burst = cmp.Or(c.Burst, 100)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 256)
	return &Delivery{
		cfg:     c,
		outbox:  queue.New(queue.Config{Keyspace: schema.HubOutbox}),
		parked:  queue.New(queue.Config{Keyspace: schema.HubParked}),
		kept:    queue.New(queue.Config{Keyspace: schema.HubKept}),
		wake:    make(chan struct{}, 1),
		lanes:   map[string]*lane{},
		changed: make(chan struct{}),
		known:   map[string][]*posternv1.KnownLog{},
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
	Basis          Basis                         // what it was decided on
	Begun          bool                          // whether a send of it may have begun that this hub knows nothing of
	Held           time.Time                     // until when it is kept back at the latest, or LetGo; zero for not at all
	Until          time.Time                     // an earlier end than the decision's own, such as that of the permission; zero for none
	First          [16]byte                      // of what was decided again, the first decision on its manifest; zero for none
	PassedOn       [16]byte                      // of what another team passes on, the decision by which that team got it; zero for none. Its desk hears nothing of it

	had waiting // what Replace takes the place of
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
	ValidUntil     time.Time `json:"valid_until"`           // no send begins on this decision from then on; of a stop request, the end of all attempts
	Failures       uint32    `json:"bad_answers,omitempty"` // attempts that failed by the delivery itself, not by the way to it
	Stop           []byte    `json:"stop,omitempty"`        // of a stop request: the SHA-256 of its payload
	Basis          Basis     `json:"basis"`
	Number         uint64    `json:"number,omitempty"`       // under which the last attempt was made
	Acknowledged   []byte    `json:"acknowledged,omitempty"` // once the inbox has had it: its signed acknowledgement
	Returned       uint32    `json:"returned,omitempty"`     // how often it was brought back to an inbox that had lost it
	Settled        [16]byte  `json:"settled,omitzero"`       // the event of what became of it
	Content        uint64    `json:"content"`                // the place under which its content lies, wherever the item goes
	Why            string    `json:"why,omitempty"`          // it was given up
	ParkTime       time.Time `json:"park_time,omitzero"`
	EraseTime      time.Time `json:"erase_time,omitzero"` // when its content goes
	Held           bool      `json:"held,omitempty"`      // it is kept back until it is due, or LetGo
	First          [16]byte  `json:"first,omitzero"`      // the event whose receipt goes along, at whose time the desk's certificate is judged: the first decision, or a withdrawal
	PassedOn       [16]byte  `json:"passed_on,omitzero"`  // of what another team passes on, the decision by which that team got it
	SeenTime       time.Time `json:"seen_time,omitzero"`  // of what was put by a clock that was ahead: when that was found
}

// passedOn reports whether another team passes it on.
func (w waiting) passedOn() bool { return w.PassedOn != [16]byte{} }

// silent reports whether its desk hears nothing of it. Of a stop request the desk was told when it was asked, and of what
// the inbox had before when it had it; of what was passed on it hears nothing at all. Otherwise it would hear what
// happens at the inboxes.
func (w waiting) silent() bool { return w.Stop != nil || w.again() || w.passedOn() }

// releaseName is the name under which it is kept where it stands.
func (w waiting) releaseName(authority string) string {
	if w.passedOn() {
		return PassedOnName(w.NotificationID, authority)
	}
	return w.NotificationID
}

// subject is what an answer must be about: the stop request, or the manifest.
func (w waiting) subject() []byte {
	if w.Stop != nil {
		return w.Stop
	}
	return w.ManifestSHA256
}

// contentKey is where the content of an item lies.
func (w waiting) contentKey(it queue.Item) []byte {
	return queue.Item{Destination: it.Destination, Sequence: w.Content}.Key()
}

// again reports whether the inbox has had it before and has lost it since.
func (w waiting) again() bool { return w.Acknowledged != nil }

func (w waiting) bytes() ([]byte, error) {
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fault.From(err)
	}
	return b, nil
}

func readWaiting(it queue.Item) (w waiting, err error) {
	if err := json.Unmarshal(it.Body, &w); err != nil {
		return w, fault.New(fault.Internal, "OUTBOX_ITEM", "A delivery in the outbox cannot be read.").Because(err)
	}
	if w.Content == 0 { // of a hub before format 5, in its first place still
		w.Content = it.Sequence
	}
	return w, nil
}

// readItem reads an item of a line and what is about it; queue.ErrGone when it is not there any more.
func readItem(r store.Reader, q *queue.Queue, it queue.Item) (queue.Item, waiting, error) {
	it, err := q.Get(r, it)
	if err != nil {
		return it, waiting{}, err
	}
	w, err := readWaiting(it)
	return it, w, err
}

// Enqueue puts a notification into the outbox in the transaction tx, released by the entry e that tx itself recorded:
// the zero Entry, one of another transaction, one that has released something already, and one that does not share
// exactly these sections are refused. The caller calls Wake after the commit.
func (d *Delivery) Enqueue(tx *ledger.Tx, e ledger.Entry, out Outgoing) error {
	core, err := admit(tx, e, out)
	if err != nil {
		return err
	}
	place, err := next(tx, schema.HubSequence, out.Authority)
	if err != nil {
		return err
	}
	return d.enqueue(tx, e, core, out, queue.Item{Destination: out.Authority, Sequence: afterStops | place, EnqueueTime: d.cfg.Clock()})
}

// Replace is Enqueue in the place, and with the age, of a release that waits or is kept: the same notification decided
// again. What its inbox has acknowledged before stays so. It returns queue.ErrGone when the release is not there any more.
func (d *Delivery) Replace(tx *ledger.Tx, e ledger.Entry, rel Release, out Outgoing) error {
	if out.Authority != rel.Authority {
		return errNotShare
	}
	core, err := admit(tx, e, out)
	if err != nil {
		return err
	}
	old, w, err := readItem(tx, d.outbox, rel.item())
	if errors.Is(err, queue.ErrGone) {
		return d.narrow(tx, e, rel, out)
	}
	if err != nil {
		return err
	}
	if _, err := d.Cancel(tx, rel); err != nil {
		return err
	}
	if w.Held {
		out.Held = old.DueTime
	}
	out.had = w
	return d.enqueue(tx, e, core, out, old)
}

// admit checks that an entry releases this and nothing else, and returns what it records for the parties.
func admit(tx *ledger.Tx, e ledger.Entry, out Outgoing) (*logv1.Core, error) {
	if !e.In(tx) {
		return nil, errNoEntry
	}
	core := e.Core()
	if out.Authority == "" || out.NotificationID == "" || !bytes.Equal(out.ManifestSHA256, core.GetManifestSha256()) ||
		!covers(core, out.Notification) {
		return nil, errNotShare
	}
	return core, nil
}

// enqueue puts what was admitted in the place that it has by `at`.
func (d *Delivery) enqueue(tx *ledger.Tx, e ledger.Entry, core *logv1.Core, out Outgoing, at queue.Item) error {
	until := core.GetValidUntilTime().AsTime()
	if !out.Until.IsZero() && out.Until.Before(until) {
		until = out.Until
	}
	w := waiting{NotificationID: out.NotificationID, ManifestSHA256: out.ManifestSHA256, Sender: out.Sender.URI(), ValidUntil: until, Basis: out.Basis, First: out.First, PassedOn: out.PassedOn, Held: !out.Held.IsZero(),
		Acknowledged: out.had.Acknowledged, Returned: out.had.Returned, SeenTime: out.had.SeenTime}
	at.DueTime = d.cfg.Clock()
	if end := d.deadline(pending{item: at, about: w}); out.Held.After(end) {
		out.Held = end // so that the desk hears in time that it was not delivered
	}
	if out.Held.After(at.DueTime) {
		at.DueTime = out.Held
	}
	return d.put(tx, e, at, out.Begun, &posternv1.Delivery{Decision: out.Decision, Content: &posternv1.Delivery_Notification{Notification: out.Notification}}, w)
}

// afterStops is in the place of every notification: a stop request goes before whatever else waits for its inbox.
const afterStops = 1 << 62

// put writes body and queue item of a delivery, in the place and with the age of `at`.
func (d *Delivery) put(tx *ledger.Tx, e ledger.Entry, at queue.Item, begun bool, content *posternv1.Delivery, w waiting) error {
	event := e.EventID()
	// A delivery's id is its event's 16 random bytes as a UUID: the transaction may run again without drawing another.
	id, err := envelope.NewID(bytes.NewReader(event[:]))
	if err != nil {
		return err
	}
	if !e.Release(tx) {
		return errReleased
	}
	content.DeliveryId, w.EventID, w.Content = id, event, at.Sequence
	if err := d.putContent(tx, w.contentKey(at), content); err != nil {
		return err
	}
	if w.Stop == nil {
		if err := putRelease(tx, w.releaseName(at.Destination), Release{Authority: at.Destination, Sequence: at.Sequence, DeliveryID: id, EventID: event, Manifest: w.ManifestSHA256, Begun: begun}); err != nil {
			return err
		}
	}
	about, err := w.bytes()
	if err != nil {
		return err
	}
	return d.outbox.Put(tx, queue.Item{Destination: at.Destination, Sequence: at.Sequence, ID: id, Body: about, EnqueueTime: at.EnqueueTime, DueTime: at.DueTime})
}

// putContent writes what a delivery sends. Sealing draws random values, so another run of the transaction writes other
// bytes; both open to the same.
func (d *Delivery) putContent(tx *ledger.Tx, key []byte, content *posternv1.Delivery) error {
	body, err := proto.MarshalOptions{}.MarshalAppend(vault.Room(proto.Size(content)), content)
	if err != nil {
		return fault.From(err)
	}
	sealed, err := d.cfg.Vault.SealIn(body, nil, string(schema.HubOutboxBody), key)
	if err != nil {
		return err
	}
	return tx.PutOwn(schema.HubOutboxBody, key, sealed)
}

// Wake tells Run, and whoever collects, that there may be work. It never blocks.
func (d *Delivery) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // already told
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next Wake.
func (d *Delivery) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Destination is the state of one line of the outbox.
type Destination struct {
	Authority  string    // the GSS code
	Waiting    uint32    // how many deliveries wait
	Oldest     time.Time // since when the oldest waits
	OldestStop time.Time // since when the oldest stop request waits; zero for none
	Breaker    Breaker   // whether sends to it are kept back because it does not answer
}

// Status lists the lines that are not empty, by GSS code.
func (d *Delivery) Status(ctx context.Context) ([]Destination, error) {
	var all []Destination
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		items, err := d.outbox.List(s)
		for _, it := range items {
			if n := len(all); n == 0 || all[n-1].Authority != it.Destination {
				all = append(all, Destination{Authority: it.Destination, Oldest: it.EnqueueTime, Breaker: d.breaker(it.Destination)})
			}
			last := &all[len(all)-1]
			last.Waiting++
			if it.EnqueueTime.Before(last.Oldest) { // a clock may have been set back
				last.Oldest = it.EnqueueTime
			}
			if it.Sequence < afterStops && (last.OldestStop.IsZero() || it.EnqueueTime.Before(last.OldestStop)) {
				last.OldestStop = it.EnqueueTime
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
