package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"postern/internal/schema"
	"postern/internal/store"
)

// naive is RFC 6962 section 2.1 as it is written, and nothing else.
func naive(leaves [][]byte) [32]byte {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := naive(leaves[:k]), naive(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// tiles is what putTile has written.
type tiles map[string][]byte

func (m tiles) Get(_ store.Keyspace, key []byte) ([]byte, error) { return m[string(key)], nil }

func (m tiles) put(level int, n uint64, row []tlog.Hash) error {
	m[string(tileKey(tree(Sent), level, n))] = joinTile(row)
	return nil
}

// grow appends leaves as one batch.
func (m tiles) grow(tb rapid.TB, e *edge, leaves [][]byte) {
	old := e.size
	for _, leaf := range leaves {
		check(tb, e.add(tlog.RecordHash(leaf), m.put))
	}
	check(tb, e.partial(old, m.put))
}

func someLeaves(from, n int) [][]byte {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = binary.BigEndian.AppendUint64(nil, uint64(from+i))
	}
	return leaves
}

// TestEdgeIsTheNaiveTree: however leaves fall into batches, root and tiles are those of the definition, and all proofs
// hold by two independent implementations.
func TestEdgeIsTheNaiveTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, e := tiles{}, edge{}
		var leaves [][]byte
		var sizes []int
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, 300), 1, 4).Draw(t, "batches") {
			batch := someLeaves(len(leaves), n)
			leaves = append(leaves, batch...)
			before := e.copy()
			maps.Clone(m).grow(t, &before, someLeaves(1<<20, 3)) // a batch that is rolled back leaves nothing in the edge
			m.grow(t, &e, batch)
			sizes = append(sizes, len(leaves))
			if got, want := e.root(), tlog.Hash(naive(leaves)); got != want {
				t.Fatalf("root of %d leaves is %v, not %v", len(leaves), got, want)
			}
			again, err := loadEdge(m, tree(Sent), e.size)
			check(t, err)
			if again.root() != e.root() {
				t.Fatalf("the edge of %d leaves as stored has another root", e.size)
			}
		}
		size := len(leaves)
		reader := stored(m, tree(Sent), nil)
		root := e.root()
		for range 20 {
			index := rapid.IntRange(0, size-1).Draw(t, "index")
			provesInclusion(t, reader, leaves, index, size, root)
		}
		for _, older := range sizes {
			provesConsistency(t, reader, older, size, naive(leaves[:older]), root)
		}
	})
}

// TestEveryProofOfSmallTrees is exhaustive where trees change shape most.
func TestEveryProofOfSmallTrees(t *testing.T) {
	const most = 40
	m, e := tiles{}, edge{}
	leaves := someLeaves(0, most)
	for size := 1; size <= most; size++ {
		m.grow(t, &e, leaves[size-1:size])
		root, reader := e.root(), stored(m, tree(Sent), nil)
		for i := range size {
			provesInclusion(t, reader, leaves, i, size, root)
			provesConsistency(t, reader, i+1, size, naive(leaves[:i+1]), root)
		}
	}
	// Old trees can still be proven from the tiles of the newest.
	reader := stored(m, tree(Sent), nil)
	for size := 1; size <= most; size++ {
		provesInclusion(t, reader, leaves, size/2, size, naive(leaves[:size]))
	}
}

// TestThreeLevels passes the size where a third level of tiles begins.
func TestThreeLevels(t *testing.T) {
	m, e := tiles{}, edge{}
	const size = 1<<16 + 257
	leaves := someLeaves(0, size)
	m.grow(t, &e, leaves[:1<<16-1])
	m.grow(t, &e, leaves[1<<16-1:1<<16+1])
	m.grow(t, &e, leaves[1<<16+1:])
	root := e.root()
	if root != tlog.Hash(naive(leaves)) {
		t.Fatal("the root is not that of the naive tree")
	}
	reader := stored(m, tree(Sent), nil)
	for _, i := range []int{0, 255, 256, 1<<16 - 1, 1 << 16, size - 1} {
		provesInclusion(t, reader, leaves, i, size, root)
		provesConsistency(t, reader, i+1, size, naive(leaves[:i+1]), root)
	}
	check(t, checkTiles(m, e))
	for key := range m {
		for _, at := range []int{0, len(m[key]) - 1} {
			m[key][at] ^= 1
			again, err := loadEdge(m, tree(Sent), size)
			check(t, err)
			if wrong := again.root() != root || checkTiles(m, again) != nil; !wrong && onEdge(key, size) {
				t.Fatalf("a change in tile %x is not seen at the start", key)
			}
			m[key][at] ^= 1
		}
	}
	if loaded, err := loadEdge(tiles{}, tree(Sent), size); err == nil {
		t.Fatalf("an edge without tiles was loaded: %d rows", len(loaded.rows))
	}
}

// checkTiles is the part of checkEdge that needs no leaves.
func checkTiles(m tiles, e edge) error {
	whole := leafless{m, e.size}
	return checkEdge(whole, tree(Sent), e)
}

// leafless answers reads of leaves with those of someLeaves.
type leafless struct {
	tiles
	size uint64
}

func (l leafless) Get(ks store.Keyspace, key []byte) ([]byte, error) {
	if ks == schema.HubLeaf {
		return key[1:], nil // someLeaves: a leaf is its index
	}
	return l.tiles.Get(ks, key)
}

// onEdge reports whether the start looks at a tile: the last full and the partial one of each level.
func onEdge(key string, size uint64) bool {
	level, n := int(key[1]), binary.BigEndian.Uint64([]byte(key[2:]))
	return n+1 >= width(size, level+1)
}

func provesInclusion(tb rapid.TB, r tlog.HashReader, leaves [][]byte, index, size int, root [32]byte) {
	tb.Helper()
	p, err := tlog.ProveRecord(int64(size), int64(index), r)
	check(tb, err)
	hash := tlog.RecordHash(leaves[index])
	check(tb, tlog.CheckRecord(p, int64(size), root, int64(index), hash))
	check(tb, proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), hash[:], byteSlices(p), root[:]))
}

func provesConsistency(tb rapid.TB, r tlog.HashReader, older, newer int, oldRoot, newRoot [32]byte) {
	tb.Helper()
	p, err := tlog.ProveTree(int64(newer), int64(older), r)
	check(tb, err)
	check(tb, tlog.CheckTree(p, int64(newer), newRoot, int64(older), oldRoot))
	check(tb, proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(older), uint64(newer), byteSlices(p), oldRoot[:], newRoot[:]))
}

func byteSlices(hashes []tlog.Hash) [][]byte {
	out := make([][]byte, 0, len(hashes))
	for _, h := range hashes {
		out = append(out, h[:])
	}
	return out
}
