package ledger

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// own are the keyspaces that only the ledger writes.
var own = [...]store.Keyspace{schema.HubLeaf, schema.HubTile, schema.HubLog, schema.HubRecord, schema.HubTerm}

// marshal writes what is hashed: once, and never again from the message. With sized it does so right after marshal.Size.
var (
	marshal = proto.MarshalOptions{Deterministic: true}
	sized   = proto.MarshalOptions{Deterministic: true, UseCachedSize: true}
)

// Tx is one op's part of a batch. It reads what earlier ops and itself wrote, and its writes are taken back unless the
// op returns nil: one that errs or panics leaves no trace. It is the op's own: valid until the op returns, on its
// goroutine. Tx implements store.Tx.
type Tx struct {
	ledger *Ledger
	batch  *batch
	store  store.Reader // beneath the writes of the batch and of the one before
	p      *pending
	next   perLog[uint64] // the index of each log's next leaf
	leaves []leaf
	closed bool
}

type place struct {
	keyspace store.Keyspace
	key      string
}

type write struct {
	place
	value  []byte // nil deletes
	before int    // the number of the last write to the same place before it, from 1; 0 for none
	over   bool   // a later one is there
}

// overlay is writes that the store does not have yet, in order. What was written to a place last is what counts.
type overlay struct {
	list   []write
	latest map[place]int // the number of the last write to a place, from 1
}

// newOverlay has room for some writes.
func newOverlay(writes int) overlay {
	return overlay{make([]write, 0, writes), make(map[place]int, writes)}
}

func (o *overlay) add(at place, value []byte) {
	before := o.latest[at]
	if before > 0 {
		o.list[before-1].over = true
	}
	o.list = append(o.list, write{at, value, before, false})
	o.latest[at] = len(o.list)
}

// undo takes back all but the first n writes.
func (o *overlay) undo(n int) {
	for i, w := range slices.Backward(o.list[n:]) {
		if w.before == 0 {
			delete(o.latest, w.place)
		} else {
			o.latest[w.place] = w.before
			o.list[w.before-1].over = false
		}
		o.list[n+i] = write{}
	}
	o.list = o.list[:n]
}

// get returns a copy of what was written to a place, nil where it was deleted; false when nothing was.
func (o *overlay) get(ks store.Keyspace, key []byte) ([]byte, bool) {
	i := o.latest[place{ks, string(key)}]
	if i == 0 {
		return nil, false
	}
	return slices.Clone(o.list[i-1].value), true
}

// effective are the writes that count, in order.
func (o *overlay) effective() iter.Seq[write] {
	return func(yield func(write) bool) {
		for _, w := range o.list {
			if !w.over && !yield(w) {
				return
			}
		}
	}
}

type leaf struct {
	log   Log
	index uint64
	bytes []byte
	noted noted
}

var errClosed = fault.New(fault.Internal, "LEDGER_TX_CLOSED", "The program used a transaction of the ledger after its end.")

// Get returns the value under key, or nil when there is none: from the writes of the op's own batch or of the batch before,
// or from the store. A snapshot that has the batch before already says the same as its writes. The slice is the caller's
// own.
func (tx *Tx) Get(ks store.Keyspace, key []byte) ([]byte, error) {
	if tx.closed {
		return nil, errClosed
	}
	for b := tx.batch; b != nil; b = b.after {
		if value, ok := b.writes.get(ks, key); ok {
			return value, nil
		}
	}
	return tx.store.Get(ks, key)
}

// Put writes a record over any that is there. The ledger's own keyspaces are refused: Record writes them.
func (tx *Tx) Put(ks store.Keyspace, key, value []byte) error {
	return tx.PutOwn(ks, key, append(make([]byte, 0, len(value)+8), value...)) // with room for the engine's checksum
}

// PutOwn is Put without a copy, as store.Tx has it.
func (tx *Tx) PutOwn(ks store.Keyspace, key, value []byte) error {
	if err := tx.check(ks); err != nil {
		return err
	}
	return tx.put(ks, key, value)
}

// Delete removes a record; one that is not there is no error. The ledger's own keyspaces are refused.
func (tx *Tx) Delete(ks store.Keyspace, key []byte) error {
	if err := tx.check(ks); err != nil {
		return err
	}
	if err := store.CheckKey(key); err != nil {
		return err
	}
	tx.batch.writes.add(place{ks, string(key)}, nil)
	return nil
}

// check finds at once what would otherwise fail the whole batch when the writes are applied.
func (tx *Tx) check(ks store.Keyspace) error {
	switch {
	case tx.closed:
		return errClosed
	case slices.Contains(own[:], ks):
		return fault.Newf(fault.Internal, "LEDGER_KEYSPACE", "Only the ledger writes the keyspace %s.", ks)
	case !slices.Contains(schema.Hub.Keyspaces, ks):
		return store.ErrUnknownKeyspace
	}
	return nil
}

// put takes over the value: nobody changes it afterwards.
func (tx *Tx) put(ks store.Keyspace, key, value []byte) error {
	if err := store.CheckRecord(key, value); err != nil {
		return err
	}
	tx.batch.writes.add(place{ks, string(key)}, value)
	return nil
}

// Event is what an op records.
type Event struct {
	Kind    logv1.Kind
	Time    time.Time      // when it was decided or happened; the time of the Append when zero
	Core    *logv1.Core    // what the parties may see; Record fills in event_time, from Time
	Details *logv1.Details // what auditors may see, without the salt, which Record puts before it
}

// Entry is the right to release, within the transaction that records why. Only Record makes a valid one.
type Entry struct {
	tx   *Tx
	id   [verify.EventIDSize]byte
	kind logv1.Kind
	core *logv1.Core

	place   []byte
	used    *bool // whether it has released
	log     Log
	index   uint64
	receipt *posternv1.Receipt // all but the proof
}

// In reports whether the entry was made in tx, which is still open. It is false in every other transaction, in a later
// run of the same op, and for the zero Entry.
func (e Entry) In(tx *Tx) bool { return e.tx != nil && e.tx == tx && !tx.closed }

// Release spends the entry: true the first time within the transaction that made it, and false ever after. So one entry
// releases one thing, which is filed under its event, however often the caller asks.
func (e Entry) Release(tx *Tx) bool {
	if !e.In(tx) || *e.used {
		return false
	}
	*e.used = true
	return true
}

// EventID returns the id of the recorded event.
func (e Entry) EventID() [verify.EventIDSize]byte { return e.id }

// Place returns where the event is in the logs, 9 bytes that no other event has: of the events of one log a later one has
// a greater place.
func (e Entry) Place() []byte { return slices.Clone(e.place) }

// Kind returns the kind of the recorded event.
func (e Entry) Kind() logv1.Kind { return e.kind }

// Core returns what was recorded for the parties, which nobody changes; nil for the zero Entry.
func (e Entry) Core() *logv1.Core { return e.core }

// Record appends an event to a log. Core and details are not changed and may be reused. The event is in the log when
// the Append that runs the op returns nil, and not before.
func (tx *Tx) Record(g Log, ev Event) (Entry, error) {
	if tx.closed {
		return Entry{}, errClosed
	}
	if ev.Time.IsZero() {
		ev.Time = tx.p.time
	}
	hour, ok := verify.HourOf(ev.Time)
	if _, known := logv1.Kind_name[int32(ev.Kind)]; !ok || !known || ev.Kind == logv1.Kind_KIND_UNSPECIFIED ||
		ev.Core == nil || ev.Details == nil || ev.Details.Salt != nil || (g != Sent && g != Received) {
		return Entry{}, fault.New(fault.Internal, "LEDGER_EVENT", "The program tried to record an incomplete event.")
	}
	random, err := tx.random()
	if err != nil {
		return Entry{}, err
	}
	index := *tx.next.of(g)
	id := tx.ledger.eventID(tx.ledger.tree(g), index, random.id)
	core := proto.CloneOf(ev.Core)
	core.EventTime = timestamppb.New(ev.Time)
	coreBytes, err := marshal.Marshal(core)
	if err != nil {
		return Entry{}, err
	}
	// The record is written where it is sealed. Of the leaf there is only the place before the rest is there.
	salt := field(nil, 1, random.salt[:])
	size := len(salt) + marshal.Size(ev.Details)
	record := vault.Room(verify.LeafSize + len(coreBytes) + size + verify.OpeningSize + 4*maxFieldHead)
	record = field(record, 1, make([]byte, verify.LeafSize))
	leafAt := len(record) - verify.LeafSize
	record = field(record, 2, coreBytes)
	record = protowire.AppendVarint(protowire.AppendTag(record, 3, protowire.BytesType), uint64(size))
	detailsAt := len(record)
	if record, err = sized.MarshalAppend(append(record, salt...), ev.Details); err != nil {
		return Entry{}, err
	}
	if len(record) != detailsAt+size {
		return Entry{}, fault.New(fault.Internal, "LEDGER_EVENT", "The program changed an event while it was recorded.")
	}
	detailsSHA256 := sha256.Sum256(record[detailsAt:])
	record = field(record, 4, random.opening[:])
	l := verify.Leaf{EventID: id, Kind: ev.Kind, Hour: hour,
		Commitment: verify.Commitment(random.opening, sha256.Sum256(coreBytes), detailsSHA256)}
	leafBytes := l.Bytes()
	copy(record[leafAt:], leafBytes)
	at := leafKey(tx.ledger.tree(g), index)
	sealed, err := tx.ledger.vault.SealIn(record, &random.seal, string(schema.HubRecord), at)
	if err != nil {
		return Entry{}, err
	}

	for _, w := range []struct {
		ks         store.Keyspace
		key, value []byte
	}{
		{schema.HubRecord, at, sealed}, // first: the only one that can be too large, and an op may go on after an error
		{schema.HubLeaf, at, leafBytes},
	} {
		if err := tx.put(w.ks, w.key, w.value); err != nil {
			return Entry{}, err
		}
	}
	*tx.next.of(g)++
	tx.leaves = append(tx.leaves, leaf{g, index, leafBytes, tx.ledger.note(Logged{Log: g, Leaf: l, Core: core, Details: ev.Details})})
	return Entry{tx: tx, id: id, kind: ev.Kind, core: core, place: at, used: new(bool), log: g, index: index,
		receipt: &posternv1.Receipt{Leaf: leafBytes, Core: coreBytes, DetailsSha256: detailsSHA256[:], Opening: random.opening[:]}}, nil
}

// field appends a field of bytes.
func field(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// maxFieldHead is how many bytes stand before the value of a field at most, of those with low numbers.
const maxFieldHead = 1 + binary.MaxVarintLen32

// Random returns n random bytes for an op's purpose, such as the id of a delivery: the same on every run of the op and
// for the same purpose, drawn before the transaction. At most 8,160.
func (tx *Tx) Random(purpose string, n int) ([]byte, error) {
	return hkdf.Expand(sha256.New, tx.p.seed[:], "postern/ledger/op/v1\x00"+purpose, n)
}

// eventRandom are the random values of one event.
type eventRandom struct {
	id      [16]byte // of which eventID takes the first half
	opening [verify.OpeningSize]byte
	salt    [32]byte
	seal    vault.Seed
}

// random expands the Append's seed into what the op's next event needs, the same on every run of the op.
func (tx *Tx) random() (e eventRandom, err error) {
	info := binary.BigEndian.AppendUint64([]byte("postern/ledger/event/v1\x00"), uint64(len(tx.leaves)))
	b, err := hkdf.Expand(sha256.New, tx.p.seed[:], string(info), binary.Size(e))
	if err != nil {
		return e, err
	}
	for _, value := range [][]byte{e.id[:], e.opening[:], e.salt[:], e.seal[:]} {
		b = b[copy(value, b):]
	}
	return e, nil
}
