package archive

import (
	"crypto/sha256"
	"encoding/binary"

	"postern/internal/ledger/verify"
)

// Body is what opens a leaf: the random key of the record, and the core and details that the leaf commits to.
type Body struct{ Opening, Core, Details []byte }

// A bundle of entries is C2SP tlog-tiles: each entry behind its length in two bytes, most significant first.

func appendEntry(b, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(entry))), entry...)
}

// cutEntry takes the first entry off a bundle.
func cutEntry(b []byte) (entry, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, b, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, b, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// A bundle of bodies has for each entry of its bundle, in order, either one zero byte, or a one and
//
//	opening (32) ‖ length of the core (4) ‖ core ‖ length of the details (4) ‖ details
//
// with lengths most significant byte first. Nothing is between bodies or after the last.

const (
	bodyAbsent  = 0
	bodyPresent = 1
)

// appendBody adds a body, or the mark that there is none.
func appendBody(b []byte, body *Body) []byte {
	if body == nil {
		return append(b, bodyAbsent)
	}
	b = append(b, bodyPresent)
	b = append(b, body.Opening...)
	for _, part := range [][]byte{body.Core, body.Details} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// cutBody takes the first body off a bundle; present is false for the mark that there is none. What it returns lies in
// the bundle.
func cutBody(b []byte) (body Body, present bool, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > bodyPresent {
		return body, false, b, false
	}
	present, rest = b[0] == bodyPresent, b[1:]
	if !present {
		return body, false, rest, true
	}
	if len(rest) < verify.OpeningSize {
		return body, false, b, false
	}
	body.Opening, rest = rest[:verify.OpeningSize], rest[verify.OpeningSize:]
	for _, part := range []*[]byte{&body.Core, &body.Details} {
		if len(rest) < 4 {
			return body, false, b, false
		}
		n := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(len(rest)) < uint64(n) {
			return body, false, b, false
		}
		*part, rest = rest[:n], rest[n:]
	}
	return body, true, rest, true
}

// hash is a node of a tree.
type hash = [sha256.Size]byte

// leafHash is the hash of an entry (RFC 6962 section 2.1).
func leafHash(entry []byte) hash {
	var b [1 + verify.LeafSize]byte
	if len(entry) > verify.LeafSize {
		return sha256.Sum256(append([]byte{0}, entry...))
	}
	return sha256.Sum256(b[:1+copy(b[1:], entry)])
}

// nodeHash is the hash over two nodes (RFC 6962 section 2.1).
func nodeHash(left, right hash) hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// subtree is the root over a power of two of nodes.
func subtree(row []hash) hash {
	if len(row) == 1 {
		return row[0]
	}
	half := len(row) / 2
	return nodeHash(subtree(row[:half]), subtree(row[half:]))
}

// tree is the right edge of a tree: on each level the nodes of the tile that is not full. Level l has the roots of
// perfect subtrees of 256^l entries. Written apart from the hub's own, so that a mistake in one is not in both.
type tree struct {
	size uint64
	rows [][]hash
}

// push adds a node on a level and calls full for each tile that it completes there and above.
func (t *tree) push(level int, h hash, full func(level int, n uint64, row []hash) error) error {
	for ; ; level++ {
		for level >= len(t.rows) {
			t.rows = append(t.rows, nil)
		}
		row := append(t.rows[level], h)
		if t.rows[level] = row; len(row) < width {
			return nil
		}
		t.rows[level] = nil
		if err := full(level, t.size>>(height*(level+1))-1, row); err != nil {
			return err
		}
		h = subtree(row)
	}
}

// add appends entries: the hashes of one bundle, from its beginning. The bundle may be part of a full one only when it
// is the last. full is called for each full tile above the lowest level.
func (t *tree) add(row []hash, full func(level int, n uint64, row []hash) error) error {
	t.size += uint64(len(row))
	if len(t.rows) == 0 {
		t.rows = append(t.rows, nil)
	}
	if len(row) < width {
		t.rows[0] = row
		return nil
	}
	return t.push(1, subtree(row), full)
}

// partial calls fn for each tile that is not full, above the lowest level.
func (t *tree) partial(fn func(level int, n uint64, row []hash) error) error {
	for level, row := range t.rows {
		if level == 0 || len(row) == 0 {
			continue
		}
		if err := fn(level, t.size>>(height*(level+1)), row); err != nil {
			return err
		}
	}
	return nil
}

// root is the root of the tree: the perfect subtrees joined from the right.
func (t *tree) root() hash {
	root, some := verify.EmptyRoot, false
	for _, row := range t.rows {
		for n := len(row); n > 0; {
			w := n & -n
			h := subtree(row[n-w : n])
			if n -= w; some {
				h = nodeHash(h, root)
			}
			root, some = h, true
		}
	}
	return root
}

// rootWith is the root with some entries of one more bundle, fewer than fill it.
func (t *tree) rootWith(row []hash) hash {
	with := tree{rows: [][]hash{row}}
	if len(t.rows) > 1 {
		with.rows = append(with.rows, t.rows[1:]...)
	}
	return with.root()
}

// joined is the file of a tile.
func joined(row []hash) []byte {
	b := make([]byte, 0, len(row)*sha256.Size)
	for _, h := range row {
		b = append(b, h[:]...)
	}
	return b
}
