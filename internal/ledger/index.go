package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
	"sync"

	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
)

// The index of events makes lists fast that look for few among many. It is no part of the logs: it is written behind
// them, a block of 256 events at a time, off the sequencer's path, and holds nothing that the records do not. What is not
// indexed yet is looked through. A row is written once and never again.
//
//	'n' ‖ log byte                        how many blocks of the tree are indexed, BE
//	'b' ‖ log byte ‖ ^block BE            the block: least and greatest hour, BE 4 each, and a Bloom filter of rare terms
//	't' ‖ term ‖ 0 ‖ log byte ‖ ^block BE the events of the block that have a common term: a bitmap of 32 bytes
//
// Block numbers are inverted, so that a scan upwards meets the newest first.

// Terms are what an event can be found by.
type Terms struct {
	Common []string // of a few hundred kinds at most in all, such as a prison; no zero bytes
	Rare   []string // of this event and few others, such as a notification's id
}

const (
	blockEvents = 256
	bloomBytes  = 512 // 16 bits for each event of a block: one block in two thousand is opened in vain
	bloomHashes = 8
)

type blockBits [blockEvents / 8]byte

func (b *blockBits) set(i uint64) { b[i/8] |= 1 << (i % 8) }

func (b *blockBits) and(other []byte) {
	for i := range b {
		if i < len(other) {
			b[i] &= other[i]
		} else {
			b[i] = 0
		}
	}
}

func (b *blockBits) or(other []byte) {
	for i := range min(len(b), len(other)) {
		b[i] |= other[i]
	}
}

// below keeps the first n.
func (b *blockBits) below(n uint64) {
	for i := n; i < blockEvents; i++ {
		b[i/8] &^= 1 << (i % 8)
	}
}

// last is the greatest set bit; false when there is none.
func (b *blockBits) last() (uint64, bool) {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0 {
			return uint64(8*i + bits.Len8(b[i]) - 1), true
		}
	}
	return 0, false
}

func countKey(t tree) []byte { return []byte{'n', byte(t)} }

func blockKey(t tree, block uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{'b', byte(t)}, ^block)
}

func termKey(term string, t tree, block uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("t"+term+"\x00"), byte(t)), ^block)
}

// bloom calls each with the bits of a rare term.
func bloom(term string, each func(bit uint32)) {
	sum := sha256.Sum256([]byte(term))
	for i := range bloomHashes {
		each(uint32(binary.BigEndian.Uint16(sum[2*i:])) % (bloomBytes * 8))
	}
}

func (r reading) indexed(t tree) (blocks uint64, err error) {
	row, err := r.snap.Get(schema.HubTerm, countKey(t))
	if err != nil || len(row) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(row), nil
}

// noted is what the index is made of: of one event, when it was and what it can be found by.
type noted struct {
	hour  uint32
	terms Terms
}

func (l *Ledger) note(e Logged) noted {
	if l.terms == nil {
		return noted{}
	}
	return noted{e.Leaf.Hour, l.terms(e)}
}

func (l *Ledger) noteAll(events []Logged) []noted {
	all := make([]noted, len(events))
	for i, e := range events {
		all[i] = l.note(e)
	}
	return all
}

// recent is what was noted of the newest events, so that the index of what was just written reads nothing again. What it
// lacks is read: after a start, and when the index has fallen far behind. The self-check holds every block of the index
// against the events in the store, whichever way it was made.
type recent struct {
	mu    sync.Mutex
	trees map[tree]*recentOf
}

type recentOf struct {
	from uint64 // the index of the first
	all  []noted
}

// maxRecent is how many events of a tree are remembered: some hundreds of bytes each.
const maxRecent = 8 * blockEvents

// remember notes the events of a batch that is durable.
func (l *Ledger) remember(leaves []leaf) {
	if l.terms == nil {
		return
	}
	l.recent.mu.Lock()
	defer l.recent.mu.Unlock()
	if l.recent.trees == nil {
		l.recent.trees = map[tree]*recentOf{}
	}
	for _, leaf := range leaves {
		t := l.tree(leaf.log)
		r := l.recent.trees[t]
		switch {
		case r == nil || r.from+uint64(len(r.all)) != leaf.index:
			r = &recentOf{from: leaf.index}
			l.recent.trees[t] = r
		case len(r.all) >= maxRecent:
			r.all, r.from = r.all[blockEvents:], r.from+blockEvents
		}
		r.all = append(r.all, leaf.noted)
	}
}

// recall is what was noted of a block; nil when some of it is not remembered. What is older is forgotten.
func (l *Ledger) recall(t tree, block uint64) []noted {
	l.recent.mu.Lock()
	defer l.recent.mu.Unlock()
	r := l.recent.trees[t]
	first := block * blockEvents
	if r == nil || first < r.from || first+blockEvents > r.from+uint64(len(r.all)) {
		return nil
	}
	r.all, r.from = r.all[first-r.from:], first
	return slices.Clone(r.all[:blockEvents])
}

// readBlock reads the events of a block.
func (r reading) readBlock(t tree, block uint64) ([]Logged, error) {
	events := make([]Logged, blockEvents)
	for i := range events {
		var err error
		if events[i], err = r.at(t, block*blockEvents+uint64(i)); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// blockRows are the rows of a block of events, by key.
func blockRows(t tree, block uint64, events []noted) map[string][]byte {
	least, greatest := uint32(1<<32-1), uint32(0)
	common, rare := map[string]*blockBits{}, make([]byte, bloomBytes)
	for i, e := range events {
		least, greatest = min(least, e.hour), max(greatest, e.hour)
		for _, term := range e.terms.Common {
			if common[term] == nil {
				common[term] = &blockBits{}
			}
			common[term].set(uint64(i))
		}
		for _, term := range e.terms.Rare {
			bloom(term, func(bit uint32) { rare[bit/8] |= 1 << (bit % 8) })
		}
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, least), greatest)
	rows := map[string][]byte{string(blockKey(t, block)): append(head, rare...)}
	for term, b := range common {
		rows[string(termKey(term, t, block))] = b[:]
	}
	return rows
}

// StepIndex indexes the next full block of events, and reports whether there was one.
func (l *Ledger) StepIndex(ctx context.Context) (worked bool, err error) {
	if l.terms == nil {
		return false, nil
	}
	var of tree
	var block uint64
	var rows map[string][]byte
	err = l.view(ctx, func(r reading) error {
		for _, t := range r.trees() {
			n, err := r.indexed(t)
			if err != nil {
				return err
			}
			if (n+1)*blockEvents > r.head(t).Size {
				continue
			}
			all := l.recall(t, n)
			if all == nil {
				events, err := r.readBlock(t, n)
				if err != nil {
					return err
				}
				all = l.noteAll(events)
			}
			of, rows, block = t, blockRows(t, n, all), n
			return nil
		}
		return nil
	})
	if err != nil || rows == nil {
		return false, err
	}
	return true, l.Append(ctx, func(tx *Tx) error {
		// The count last, in the same transaction: a block is indexed whole or not at all.
		for _, key := range slices.Sorted(maps.Keys(rows)) {
			if err := tx.put(schema.HubTerm, []byte(key), rows[key]); err != nil {
				return err
			}
		}
		return tx.put(schema.HubTerm, countKey(of), binary.BigEndian.AppendUint64(nil, block+1))
	})
}

// checkIndex holds the index of a block against its events.
func (r reading) checkIndex(t tree, block uint64, events []Logged) error {
	n, err := r.indexed(t)
	if err != nil || r.ledger.terms == nil || block >= n {
		return err
	}
	for key, want := range blockRows(t, block, r.ledger.noteAll(events)) {
		got, err := r.snap.Get(schema.HubTerm, []byte(key))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return corrupt(t.log(), "its index of events is not the one of its events")
		}
	}
	return nil
}

// Where narrows a list of events before their records are opened. What it leaves out fn never sees; what it lets through
// fn must still judge.
type Where struct {
	Leaf     func(verify.Leaf) bool // nil for every leaf
	From, To uint32                 // the least and greatest hour of a leaf; To 0 for no end
	Terms    Terms                  // all of which an event has; Rare may let others through
	Any      []string               // common terms of which an event has at least one; none for any event
}

// narrows reports whether the index can leave anything out.
func (w Where) narrows() bool {
	return len(w.Terms.Common)+len(w.Terms.Rare)+len(w.Any) > 0 || w.From > 0 || w.To != 0
}

// byTerm reports whether there is a term by which the next block can be asked for.
func (w Where) byTerm() bool { return len(w.Terms.Common)+len(w.Any) > 0 }

// What looking costs, against maxLook: a microsecond or two each.
const (
	rowLook   = 1 // a row that does not fit, a step to an older block, an event that is found
	blockLook = 8 // a block in which the terms do not come together
)

// lookup finds the newest event among the first n of a tree that the index lets through, and returns how many events are
// left with it. Where there is none found is false: nothing is left, or looks is used up, and the next call goes on from
// what is left. n is within what is indexed.
func (r reading) lookup(ctx context.Context, t tree, n uint64, w Where, looks *int) (left uint64, found bool, err error) {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return 0, false, err
		}
		block, ok, err := r.candidate(t, (n-1)/blockEvents, w, looks)
		if err != nil || !ok {
			return min(n, block*blockEvents), false, err
		}
		bits, err := r.inBlock(t, block, n, w)
		if err != nil {
			return 0, false, err
		}
		if i, ok := bits.last(); ok {
			*looks -= rowLook
			return block*blockEvents + i + 1, true, nil
		}
		*looks -= blockLook
		n = block * blockEvents
	}
	return 0, false, nil
}

// candidate is the newest block, at most the given one, in which every common term occurs and whose hours and rare terms
// fit. Where it found none, block is how many blocks it has not looked at.
func (r reading) candidate(t tree, block uint64, w Where, looks *int) (found uint64, ok bool, err error) {
	for {
		if *looks <= 0 {
			return block + 1, false, nil
		}
		next, ok, err := r.newestBlock(t, block, w)
		if err != nil || !ok {
			return 0, false, err
		}
		if next < block {
			block = next // every term must be looked for again, from there on
			*looks -= rowLook
			continue
		}
		fits := false
		err = r.snap.Scan(schema.HubTerm, blockKey(t, block), store.PrefixEnd([]byte{'b', byte(t)}), func(key, row []byte) (bool, error) {
			next = ^binary.BigEndian.Uint64(key[2:])
			if fits = w.fits(row); !fits {
				*looks -= rowLook
			}
			return !fits && !w.byTerm() && *looks > 0, nil // with a common term it is quicker to ask for its next block
		})
		switch {
		case err != nil:
			return 0, false, err
		case fits && next == block:
			return block, true, nil
		case fits:
			block = next
		case !w.byTerm():
			return next, false, nil // 0 when these were all
		case block == 0:
			return 0, false, nil
		default:
			block--
		}
	}
}

// newestBlock is the newest block, at most the given one, that may have every common term and one of Any: the least of
// those in which each occurs. ok is false when there is none.
func (r reading) newestBlock(t tree, block uint64, w Where) (next uint64, ok bool, err error) {
	next = block
	for _, term := range w.Terms.Common {
		at, ok, err := r.newestRow(termKey(term, t, next), termKey(term, t, 0))
		if err != nil || !ok {
			return 0, false, err
		}
		next = min(next, at)
	}
	newest, some := uint64(0), len(w.Any) == 0
	for _, term := range w.Any {
		at, ok, err := r.newestRow(termKey(term, t, next), termKey(term, t, 0))
		if err != nil {
			return 0, false, err
		}
		if ok {
			newest, some = max(newest, at), true
		}
	}
	if len(w.Any) > 0 {
		next = min(next, newest)
	}
	return next, some, nil
}

// newestRow is the block of the first row between two keys of one term.
func (r reading) newestRow(from, last []byte) (block uint64, ok bool, err error) {
	err = r.snap.Scan(schema.HubTerm, from, append(last, 0), func(key, _ []byte) (bool, error) {
		block, ok = ^binary.BigEndian.Uint64(key[len(key)-8:]), true
		return false, nil
	})
	return block, ok, err
}

// fits reports whether a block's row allows for what is looked for.
func (w Where) fits(row []byte) bool {
	if len(row) != 8+bloomBytes {
		return true // nothing is left out for a row that cannot be read
	}
	least, greatest := binary.BigEndian.Uint32(row), binary.BigEndian.Uint32(row[4:])
	if greatest < w.From || w.To != 0 && least > w.To {
		return false
	}
	may := true
	for _, term := range w.Terms.Rare {
		bloom(term, func(bit uint32) { may = may && row[8+bit/8]&(1<<(bit%8)) != 0 })
	}
	return may
}

// inBlock are the events of a block, below the first n of the tree, that have every common term and one of Any.
func (r reading) inBlock(t tree, block, n uint64, w Where) (found blockBits, err error) {
	for i := range found {
		found[i] = 0xff
	}
	found.below(min(blockEvents, n-block*blockEvents))
	for _, term := range w.Terms.Common {
		row, err := r.snap.Get(schema.HubTerm, termKey(term, t, block))
		if err != nil {
			return found, err
		}
		found.and(row)
	}
	if len(w.Any) == 0 {
		return found, nil
	}
	var one blockBits
	for _, term := range w.Any {
		row, err := r.snap.Get(schema.HubTerm, termKey(term, t, block))
		if err != nil {
			return found, err
		}
		one.or(row)
	}
	found.and(one[:])
	return found, nil
}
