package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Logged is an event as the log holds it.
type Logged struct {
	Log     Log
	Origin  string // of its generation
	Index   uint64
	Leaf    verify.Leaf
	Record  *logv1.Record
	Core    *logv1.Core
	Details *logv1.Details

	tree tree
}

// reading is one read of the logs: a snapshot of the store, seen as far as the heads that were published before it was
// taken. The store may hold a batch that is not published yet; it is not shown.
type reading struct {
	Cut
	snap store.Snapshot
}

func (l *Ledger) view(ctx context.Context, fn func(reading) error) error {
	return l.Cut().view(ctx, fn) // cut before the snapshot, which so holds at least this much
}

func notFound() error {
	return fault.New(fault.NotFound, "EVENT_NOT_FOUND", "There is no such event in the log.")
}

// byID reads an event by its id.
func (r reading) byID(id [verify.EventIDSize]byte) (Logged, error) {
	t, index := r.ledger.placeOf(id)
	if t == 0 || t > r.ledger.base+tree(len(logs)) || index >= r.head(t).Size {
		return Logged{}, notFound()
	}
	e, err := r.at(t, index)
	if err == nil && e.Leaf.EventID != id {
		err = notFound()
	}
	return e, err
}

// at reads the event at an index below the head, and checks that its record opens its leaf.
func (r reading) at(t tree, index uint64) (Logged, error) {
	g := t.log()
	e := Logged{Log: g, Origin: r.head(t).Origin, Index: index, Record: new(logv1.Record), Details: new(logv1.Details), tree: t}
	leaf, err := r.snap.Get(schema.HubLeaf, leafKey(t, index))
	if err != nil {
		return e, err
	}
	if e.Leaf, err = verify.ParseLeaf(leaf); err != nil {
		return e, corrupt(g, "a leaf is missing or malformed").Because(err)
	}
	sealed, err := r.snap.Get(schema.HubRecord, leafKey(t, index))
	if err != nil {
		return e, err
	}
	if sealed == nil {
		return e, corrupt(g, "the record of a leaf is missing")
	}
	plain, err := r.ledger.vault.Open(string(schema.HubRecord), leafKey(t, index), sealed)
	if err != nil {
		return e, err
	}
	if proto.Unmarshal(plain, e.Record) != nil || !bytes.Equal(e.Record.Leaf, leaf) ||
		proto.Unmarshal(e.Record.Details, e.Details) != nil {
		return e, corrupt(g, "a record is not the one of its leaf")
	}
	if _, e.Core, err = verify.Open(e.receipt()); err != nil {
		return e, corrupt(g, "a record does not open its leaf").Because(err)
	}
	return e, nil
}

// receipt returns the event's receipt without the proof.
func (e Logged) receipt() *posternv1.Receipt {
	details := sha256.Sum256(e.Record.Details)
	return &posternv1.Receipt{Leaf: e.Record.Leaf, Core: e.Record.Core, DetailsSha256: details[:], Opening: e.Record.Opening}
}

// Receipt cuts the receipt of an event to the newest checkpoint. See Cut.Receipt.
func (l *Ledger) Receipt(ctx context.Context, id [verify.EventIDSize]byte) (*posternv1.Receipt, error) {
	return l.Cut().Receipt(ctx, id)
}

// ReceiptOf is Receipt for an event whose Append has returned nil a moment ago. See Cut.ReceiptOf.
func (l *Ledger) ReceiptOf(ctx context.Context, e Entry) (*posternv1.Receipt, error) {
	return l.Cut().ReceiptOf(ctx, e)
}

// single reads single records, each in a snapshot of its own: for what never changes once it is there.
type single struct {
	ctx   context.Context
	store store.Store
}

func (s single) Get(ks store.Keyspace, key []byte) (value []byte, err error) {
	err = s.store.View(s.ctx, func(snap store.Snapshot) error {
		value, err = snap.Get(ks, key)
		return err
	})
	return value, err
}

// cut adds the proof to a receipt.
func (l *Ledger) cut(ctx context.Context, head *published, t tree, index uint64, receipt *posternv1.Receipt, r store.Reader) (*posternv1.Receipt, error) {
	path, err := tlog.ProveRecord(int64(head.Size), int64(index), stored(r, t, head.tiles))
	if err != nil {
		return nil, err
	}
	p := verify.Proof{Index: index, Hashes: make([][32]byte, 0, len(path)), Checkpoint: head.checkpoint}
	for _, h := range path {
		p.Hashes = append(p.Hashes, h)
	}
	receipt.TlogProof = p.Text()
	// A receipt that does not hold would accuse us; better none. The signature was checked when it was made.
	if _, err := verify.ReceiptAt(receipt, head.checkpoint, head.Head); err != nil {
		l.log.ErrorContext(ctx, "a receipt failed its own check", "log", t.log().String(), "index", index, "error", err)
		return nil, corrupt(t.log(), "a proof cut from it does not hold").Because(err)
	}
	return receipt, nil
}

// Event returns everything the hub keeps of an event, with its place. NotFound EVENT_NOT_FOUND when no durable event
// has the id.
func (l *Ledger) Event(ctx context.Context, id [verify.EventIDSize]byte) (Logged, error) {
	var e Logged
	err := l.view(ctx, func(r reading) (err error) {
		e, err = r.byID(id)
		return err
	})
	if err != nil {
		return Logged{}, err
	}
	return e, nil
}

// Older reports whether an event of this hub is of a generation before the newest. It reads nothing, so an op may ask.
func (l *Ledger) Older(id [verify.EventIDSize]byte) bool {
	t, _ := l.placeOf(id)
	return t <= l.base
}

// Position is a place in the list of all events; the zero Position is before the newest. It is opaque, and stays valid
// while the logs grow.
type Position string

// Events calls fn for the events of both logs from the newest to the oldest, starting after a position, until fn has
// taken limit of them. It returns where to go on, or the zero Position at the end. After many events that fn did not
// take it may return early, with a position to go on from. Invalid BAD_POSITION for a Position it never returned.
func (l *Ledger) Events(ctx context.Context, after Position, limit int, fn func(Logged) (taken bool, err error)) (Position, error) {
	return l.Cut().Events(ctx, after, limit, Where{}, fn)
}

// maxSkip bounds how many leaves one call of Events passes over unopened.
const maxSkip = 1 << 18

// Events is Ledger.Events as far as the cut, narrowed.
func (c Cut) Events(ctx context.Context, after Position, limit int, where Where, fn func(Logged) (taken bool, err error)) (Position, error) {
	var next Position
	err := c.view(ctx, func(r reading) error {
		left, err := r.left(after)
		if err != nil {
			return err
		}
		newest, looks := make([]*Logged, len(left)), slices.Repeat([]int{c.ledger.maxLook}, len(left)) // one tree starves no other
		for taken, seen, skipped := 0, 0, 0; ; seen++ {
			if next = leftPosition(left); next == "" || taken >= limit || seen >= c.ledger.maxScan || skipped >= maxSkip {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			var e *Logged
			for i := range left {
				if newest[i] == nil {
					n, passed, err := r.skip(ctx, tree(i+1), left[i], where, &looks[i], maxSkip-skipped)
					if err != nil {
						return err
					}
					skipped += passed
					if left[i] = n; n == 0 || skipped >= maxSkip {
						continue
					}
					at, err := r.at(tree(i+1), n-1)
					if err != nil {
						return err
					}
					newest[i] = &at
				}
				if c := newest[i]; c != nil && (e == nil || c.time().After(e.time())) {
					e = c
				}
			}
			if e == nil || skipped >= maxSkip {
				continue // nothing is left, or enough was passed over: the next round says where to go on
			}
			left[e.tree-1]--
			newest[e.tree-1] = nil
			ok, err := fn(*e)
			if err != nil {
				return err
			}
			if ok {
				taken++
			}
		}
	})
	if err != nil {
		return "", err
	}
	return next, nil
}

// skip passes over the events of a tree that are not wanted, from the newest of the first n on, and returns how many are
// left then, and how many leaves it looked at for that: at most so many. What is indexed it looks up.
func (r reading) skip(ctx context.Context, t tree, n uint64, where Where, looks *int, most int) (left uint64, passed int, err error) {
	blocks, err := r.indexed(t)
	if err != nil {
		return n, 0, err
	}
	for n > 0 && passed < most {
		if n <= blocks*blockEvents && where.narrows() {
			found := false
			if n, found, err = r.lookup(ctx, t, n, where, looks); err != nil || n == 0 {
				return n, passed, err
			}
			if !found {
				return n, most, nil // looked up enough for one call
			}
		}
		if where.Leaf == nil {
			return n, passed, nil
		}
		b, err := r.snap.Get(schema.HubLeaf, leafKey(t, n-1))
		if err != nil {
			return n, passed, err
		}
		l, err := verify.ParseLeaf(b)
		if err != nil {
			return n, passed, corrupt(t.log(), "a leaf is missing or malformed").Because(err)
		}
		if where.Leaf(l) {
			return n, passed, nil
		}
		n, passed = n-1, passed+1
	}
	return n, passed, nil
}

func (e Logged) time() time.Time { return e.Core.GetEventTime().AsTime() }

// left returns how many events of each tree lie after the position.
func (r reading) left(p Position) ([]uint64, error) {
	var left []uint64
	for _, t := range r.trees() {
		left = append(left, r.head(t).Size)
	}
	if p == "" {
		return left, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(string(p))
	if err != nil || len(b) != 8*len(left) {
		return left, badPosition()
	}
	for i := range left {
		n := binary.BigEndian.Uint64(b[8*i:])
		if n > left[i] {
			return left, badPosition()
		}
		left[i] = n
	}
	return left, nil
}

func badPosition() error {
	return fault.New(fault.Invalid, "BAD_POSITION", "The page token is not one of ours. Start from the first page.")
}

func leftPosition(left []uint64) Position {
	var b []byte
	some := false
	for _, n := range left {
		b, some = binary.BigEndian.AppendUint64(b, n), some || n > 0
	}
	if !some {
		return ""
	}
	return Position(base64.RawURLEncoding.EncodeToString(b))
}

// Consistency proves that the newest checkpoint of a log continues its tree of oldSize leaves. Precondition LOG_AHEAD
// when the caller knows more leaves than there are: somebody's log was put back.
func (l *Ledger) Consistency(ctx context.Context, g Log, oldSize uint64) (*posternv1.ConsistencyProof, error) {
	_, _, p, err := l.HeadSince(ctx, l.Origin(g), oldSize)
	if err != nil {
		return nil, err
	}
	return p, nil
}
