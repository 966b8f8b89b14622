package ledger

import (
	"encoding/binary"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
)

const (
	tileHeight = 8               // C2SP tlog-tiles
	tileWidth  = 1 << tileHeight // hashes in a full tile
)

// leafKey is the key of a leaf.
func leafKey(t tree, index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(t)}, index)
}

// eventID makes the id of an event: its place and 8 random bytes, enciphered as one block under a key of the vault. So an
// event is found by its id without a row for that, whose random keys would cost a page each; and to everybody but this
// hub an id is 16 random bytes, that tell neither place nor number of events.
func (l *Ledger) eventID(t tree, index uint64, random [16]byte) (id [verify.EventIDSize]byte) {
	binary.BigEndian.PutUint64(id[:8], index)
	id[0] = byte(t) // an index has 7 bytes
	copy(id[8:], random[:8])
	l.places.Encrypt(id[:], id[:])
	return id
}

// placeOf undoes eventID. What is no id of this hub's gives any place, whose event has another id.
func (l *Ledger) placeOf(id [verify.EventIDSize]byte) (t tree, index uint64) {
	l.places.Decrypt(id[:], id[:])
	t, id[0] = tree(id[0]), 0
	return t, binary.BigEndian.Uint64(id[:8])
}

// tileKey is the key of a tile. It lacks the width: a partial tile is rewritten in place until it is full.
func tileKey(t tree, level int, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(t), byte(level)}, n)
}

// edge is the right edge of a tree: on each level the hashes of the tile that is not full yet. Level l holds hashes
// of perfect subtrees of 256^l leaves. It is all that is needed to append and to compute the root.
//
// A copy shares the arrays of the rows: both may append, and only one of the two may be kept. Nothing below a row's
// length is ever overwritten.
type edge struct {
	size uint64
	rows [][]tlog.Hash
}

func (e *edge) copy() edge { return edge{e.size, slices.Clone(e.rows)} }

// width returns how many hashes the tree has on a level, in all its tiles.
func width(size uint64, level int) uint64 { return size >> (tileHeight * level) }

// add appends the hash of a leaf, and calls full for every tile that it completes.
func (e *edge) add(h tlog.Hash, full func(level int, n uint64, row []tlog.Hash) error) error {
	e.size++
	for level := 0; ; level++ {
		if level == len(e.rows) {
			e.rows = append(e.rows, nil)
		}
		e.rows[level] = append(e.rows[level], h)
		row := e.rows[level]
		if len(row) < tileWidth {
			return nil
		}
		if err := full(level, width(e.size, level+1)-1, row); err != nil {
			return err
		}
		h, e.rows[level] = subtree(row), nil
	}
}

// partial calls put for each partial tile that the tree has and the smaller tree of size old had not in this form.
func (e *edge) partial(old uint64, put func(level int, n uint64, row []tlog.Hash) error) error {
	for level, row := range e.rows {
		if len(row) > 0 && width(old, level) != width(e.size, level) {
			if err := put(level, width(e.size, level+1), row); err != nil {
				return err
			}
		}
	}
	return nil
}

// root returns the root of the tree (RFC 6962 section 2.1): the perfect subtrees joined from the right.
func (e *edge) root() tlog.Hash {
	root, some := tlog.Hash(verify.EmptyRoot), false
	for _, row := range e.rows {
		for n := len(row); n > 0; {
			w := n & -n
			h := subtree(row[n-w : n])
			if n -= w; some {
				h = tlog.NodeHash(h, root)
			}
			root, some = h, true
		}
	}
	return root
}

// subtree returns the root over a power of two of hashes.
func subtree(row []tlog.Hash) tlog.Hash {
	if len(row) == 1 {
		return row[0]
	}
	half := len(row) / 2
	return tlog.NodeHash(subtree(row[:half]), subtree(row[half:]))
}

func joinTile(row []tlog.Hash) []byte {
	data := make([]byte, 0, len(row)*tlog.HashSize)
	for _, h := range row {
		data = append(data, h[:]...)
	}
	return data
}

func splitTile(data []byte) []tlog.Hash {
	row := make([]tlog.Hash, 0, len(data)/tlog.HashSize)
	for h := range slices.Chunk(data, tlog.HashSize) {
		row = append(row, tlog.Hash(h))
	}
	return row
}

// tileAt is the place of a tile in a tree.
type tileAt struct {
	level int
	n     int64
}

// edgeTiles are tiles of a tree in memory: each partial one, and the full ones that the newest batch completed. With
// them a receipt for an event of that batch is cut without reading the store. A map is never changed once published.
type edgeTiles map[tileAt]pyramid

// pyramid is a tile with the hashes of all perfect subtrees within it, by height, so that the receipts of a batch do
// not each hash the same subtrees again.
type pyramid [tileHeight][]tlog.Hash

func newPyramid(row []tlog.Hash) (p pyramid) {
	for height := range p {
		if height > 0 {
			below := row
			row = make([]tlog.Hash, len(below)/2)
			for i := range row {
				row[i] = tlog.NodeHash(below[2*i], below[2*i+1])
			}
		}
		p[height] = row
	}
	return p
}

// hash returns the hash that is the n-th of its height in the tree; false when the tile does not have it.
func (p pyramid) hash(height int, n int64) (tlog.Hash, bool) {
	n &= tileWidth>>height - 1
	if n >= int64(len(p[height])) {
		return tlog.Hash{}, false
	}
	return p[height][n], true
}

// tiles returns the partial tiles of an edge.
func (e *edge) tiles() edgeTiles {
	t := edgeTiles{}
	for level, row := range e.rows {
		if len(row) > 0 {
			t[tileAt{level, int64(width(e.size, level+1))}] = newPyramid(row)
		}
	}
	return t
}

// replaced returns the tiles after a batch that wrote fresh: a level on which it wrote nothing has not changed.
func (t edgeTiles) replaced(fresh edgeTiles) edgeTiles {
	next := maps.Clone(fresh)
	written := map[int]bool{}
	for at := range fresh {
		written[at.level] = true
	}
	for at, tile := range t {
		if !written[at.level] {
			next[at] = tile
		}
	}
	return next
}

// stored reads the hashes of a log's tree from its tiles, those in memory first, and remembers what it read for as long
// as it lives. The tiles may be those of a larger tree: what a smaller one needs is in them too.
func stored(r store.Reader, of tree, memory edgeTiles) tlog.HashReader {
	read := map[tileAt][]byte{}
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			t := tlog.TileForIndex(tileHeight, index)
			at := tileAt{t.L, t.N}
			if tile, ok := memory[at]; ok {
				level, n := tlog.SplitStoredHashIndex(index)
				if hashes[i], ok = tile.hash(level-tileHeight*t.L, n); !ok {
					return nil, corrupt(of.log(), "a tile of the tree in memory is too short")
				}
				continue
			}
			data, ok := read[at]
			var err error
			if !ok {
				if data, err = r.Get(schema.HubTile, tileKey(of, t.L, uint64(t.N))); err != nil {
					return nil, err
				}
				read[at] = data
			}
			if hashes[i], err = tlog.HashFromTile(t, data, index); err != nil { // also when data is missing or too short
				return nil, corrupt(of.log(), "a tile of the tree is missing or too short").Because(err)
			}
		}
		return hashes, nil
	})
}
