package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"postern/internal/fault"
	"postern/internal/store"
)

// pager reads the pages of a bbolt file one by one. It believes nothing: every number read from the file is checked
// against the file's bounds before it is used, no page is met twice, and nothing is mapped into memory. So, unlike
// bbolt's own check, it cannot be led outside the file, into a loop or to a fault that ends the process.
//
// The layout is version 2 of bbolt's, in the byte order of the machine. A page starts with 16 bytes: its number (8),
// kind (2), count of elements (2), count of further pages that belong to it (4). Pages 0 and 1 are meta pages, written
// in turn. In a branch page each element is 16 bytes: offset of the key from the element (4), length (4), child (8); in
// a leaf page: flags (4), offset (4), length of key (4) and value (4), the value following the key. A bucket is a leaf
// element with flag 1 whose value is the number of its root page (8) and a sequence (8); a bucket with root 0 is small
// and has its only page in the rest of the value.
type pager struct {
	file io.ReaderAt
	meta
	met []bool // pages met so far; nil: not counted, for samples
}

const (
	pageHeader    = 16
	elementSize   = 16
	bucketHeader  = 16
	branchPage    = 1
	leafPage      = 2
	metaPage      = 4
	freelistPage  = 16
	bucketElement = 1
	maxDepth      = 64
	maxOverflow   = 64 << 20 // bytes; the largest node has two records
)

// meta is what a meta page says.
type meta struct {
	pageSize             int64
	root, freelist, high uint64 // pages; high is past the last one
	revision             uint64 // number of the transaction that wrote it
}

// newPager reads the meta pages of a file and compares its size with what they say.
func newPager(file *os.File) (*pager, error) {
	m, err := readMeta(file)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, unusable(file.Name(), err)
	}
	if info.Size()/m.pageSize < int64(m.high) {
		return nil, damaged("it has %d bytes and should have %d", info.Size(), int64(m.high)*m.pageSize)
	}
	return &pager{file: file, meta: m}, nil
}

// damaged is an ErrCorrupt that says what does not hold.
func damaged(format string, args ...any) error {
	return fault.Newf(fault.Internal, store.ErrCorrupt.Reason,
		"The database file is damaged: %s. Stop, keep a copy of the file, and restore the newest backup.", fmt.Sprintf(format, args...))
}

// readMeta returns the newest meta page. Both must be whole: one is a sector of the disk, which a power cut leaves old
// or new, so a broken one is damage, and the older one in its place would hide the last transaction.
func readMeta(file io.ReaderAt) (newest meta, err error) {
	var page [pageHeader + 64]byte
	for i := range uint64(2) {
		if _, err := file.ReadAt(page[:], int64(i)*newest.pageSize); err != nil {
			return meta{}, unread("meta page %d", err, i)
		}
		word := func(at int) uint64 { return binary.NativeEndian.Uint64(page[pageHeader+at:]) }
		half := func(at int) uint32 { return binary.NativeEndian.Uint32(page[pageHeader+at:]) }
		sum := fnv.New64a()
		_, _ = sum.Write(page[pageHeader : pageHeader+56])
		if binary.NativeEndian.Uint64(page[:]) != i || binary.NativeEndian.Uint64(page[8:]) != header(metaPage, 0) ||
			half(0) != 0xED0CDAED || half(4) != 2 || word(56) != sum.Sum64() {
			return meta{}, damaged("meta page %d is not what was written", i)
		}
		m := meta{pageSize: int64(half(8)), root: word(16), freelist: word(32), high: word(40), revision: word(48)}
		if m.pageSize < 512 || m.pageSize > 64<<10 || m.high < 4 || i == 1 && m.pageSize != newest.pageSize {
			return meta{}, damaged("meta page %d does not make sense", i)
		}
		if i == 0 || m.revision > newest.revision {
			newest = m
		}
	}
	return newest, nil
}

// header is the second half of the header of a page that is alone.
func header(kind, count uint16) uint64 {
	var b [8]byte
	binary.NativeEndian.PutUint16(b[:], kind)
	binary.NativeEndian.PutUint16(b[2:], count)
	return binary.NativeEndian.Uint64(b[:])
}

func unread(what string, err error, args ...any) error {
	what = fmt.Sprintf(what, args...)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends before %s", what)
	}
	return fault.From(damaged("%s cannot be read", what)).Because(err)
}

// page reads a page of one of the kinds, with those that belong to it.
func (p *pager) page(id uint64, kinds uint16) (page []byte, kind uint16, err error) {
	if id < 2 || id >= p.high {
		return nil, 0, damaged("a page is said to be at %d, outside the file", id)
	}
	page = make([]byte, p.pageSize)
	if _, err := p.file.ReadAt(page, int64(id)*p.pageSize); err != nil {
		return nil, 0, unread("page %d", err, id)
	}
	kind = binary.NativeEndian.Uint16(page[8:])
	more := uint64(binary.NativeEndian.Uint32(page[12:]))
	most := uint64(maxOverflow / p.pageSize)
	if kind == freelistPage {
		most = p.high * 8 / uint64(p.pageSize) // 8 bytes a page
	}
	if binary.NativeEndian.Uint64(page) != id || kind&kinds == 0 || kind&(kind-1) != 0 || more > most || id+more >= p.high {
		return nil, 0, damaged("page %d is not the page that belongs there", id)
	}
	for i := range more + 1 {
		if err := p.meet(id + i); err != nil {
			return nil, 0, err
		}
	}
	if more > 0 {
		page = append(page, make([]byte, int64(more)*p.pageSize)...)
		if _, err := p.file.ReadAt(page[p.pageSize:], int64(id+1)*p.pageSize); err != nil {
			return nil, 0, unread("page %d", err, id+1)
		}
	}
	return page, kind, nil
}

// meet counts a page as used, or as free.
func (p *pager) meet(id uint64) error {
	if p.met == nil {
		return nil
	}
	if p.met[id] {
		return damaged("page %d is used twice", id)
	}
	p.met[id] = true
	return nil
}

// element is one key of a page: with a child in a branch page, with flags and value in a leaf page.
type element struct {
	key, value []byte
	child      uint64
	flags      uint32
}

// elements reads the elements of a branch or leaf page, whose keys must ascend from `from` on and below `to`.
func elements(page []byte, kind uint16, id uint64, from, to []byte) ([]element, error) {
	n := int(binary.NativeEndian.Uint16(page[10:]))
	end := pageHeader + n*elementSize
	if end > len(page) || n == 0 && kind == branchPage {
		return nil, damaged("page %d has an impossible number of keys", id)
	}
	list := make([]element, n)
	for i := range list {
		at := pageHeader + i*elementSize
		raw := page[at : at+elementSize]
		var e element
		var offset, keySize, valueSize uint64
		if kind == branchPage {
			offset, keySize = uint64(binary.NativeEndian.Uint32(raw)), uint64(binary.NativeEndian.Uint32(raw[4:]))
			e.child = binary.NativeEndian.Uint64(raw[8:])
		} else {
			e.flags = binary.NativeEndian.Uint32(raw)
			offset, keySize = uint64(binary.NativeEndian.Uint32(raw[4:])), uint64(binary.NativeEndian.Uint32(raw[8:]))
			valueSize = uint64(binary.NativeEndian.Uint32(raw[12:]))
		}
		start := uint64(at) + offset
		if start < uint64(end) || keySize == 0 || start+keySize+valueSize > uint64(len(page)) {
			return nil, damaged("a key of page %d is outside it", id)
		}
		e.key = page[start : start+keySize]
		e.value = page[start+keySize : start+keySize+valueSize]
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 || bytes.Compare(e.key, from) < 0 || to != nil && bytes.Compare(e.key, to) >= 0 {
			return nil, damaged("the keys of page %d are out of order", id)
		}
		list[i] = e
	}
	return list, nil
}

// walk calls fn for the elements of each leaf page of a tree, in order.
func (p *pager) walk(ctx context.Context, id uint64, from, to []byte, depth int, fn func(leaf []element) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return damaged("page %d is below itself", id)
	}
	page, kind, err := p.page(id, branchPage|leafPage)
	if err != nil {
		return err
	}
	list, err := elements(page, kind, id, from, to)
	if err != nil {
		return err
	}
	if kind == leafPage {
		return fn(list)
	}
	for i, e := range list {
		below := to
		if i+1 < len(list) {
			below = list[i+1].key
		}
		if err := p.walk(ctx, e.child, e.key, below, depth+1, fn); err != nil {
			return err
		}
	}
	return nil
}

// descend reads one leaf page of a tree: at each branch pick chooses one of n children.
func (p *pager) descend(id uint64, pick func(n int) int) ([]element, error) {
	var from, to []byte
	for range maxDepth {
		page, kind, err := p.page(id, branchPage|leafPage)
		if err != nil {
			return nil, err
		}
		list, err := elements(page, kind, id, from, to)
		if err != nil || kind == leafPage {
			return list, err
		}
		i := pick(len(list))
		id, from = list[i].child, list[i].key
		if i+1 < len(list) {
			to = list[i+1].key
		}
	}
	return nil, damaged("page %d is below itself", id)
}

// bucket is one keyspace of the file.
type bucket struct {
	name   store.Keyspace
	root   uint64    // page; 0: inline
	inline []element // the records of a small bucket
}

// buckets reads what the root of the file names.
func (p *pager) buckets(ctx context.Context) ([]bucket, error) {
	var list []bucket
	err := p.walk(ctx, p.root, nil, nil, 0, func(leaf []element) error {
		for _, e := range leaf {
			if e.flags != bucketElement || len(e.value) < bucketHeader {
				return damaged("its list of keyspaces is not what was written")
			}
			b := bucket{name: store.Keyspace(e.key), root: binary.NativeEndian.Uint64(e.value)}
			page := e.value[bucketHeader:]
			inline := b.root == 0 && len(page) >= pageHeader && binary.NativeEndian.Uint64(page) == 0 &&
				binary.NativeEndian.Uint64(page[8:]) == header(leafPage, binary.NativeEndian.Uint16(page[10:]))
			if binary.NativeEndian.Uint64(e.value[8:]) != 0 || b.root == 0 && !inline { // nobody here uses sequences
				return damaged("a keyspace is not what was written")
			}
			if inline {
				var err error
				if b.inline, err = elements(page, leafPage, p.root, nil, nil); err != nil {
					return err
				}
			}
			list = append(list, b)
		}
		return nil
	})
	return list, err
}

// records calls fn for the records of a keyspace, a page at a time.
func (p *pager) records(ctx context.Context, b bucket, fn func([]element) error) error {
	if b.root == 0 {
		return fn(b.inline)
	}
	return p.walk(ctx, b.root, nil, nil, 0, fn)
}

// free counts the pages of the free list; then each page of the file must have been met once.
func (p *pager) free() error {
	err := p.eachFree(p.meet)
	if err != nil {
		return err
	}
	for id := uint64(2); id < p.high; id++ {
		if !p.met[id] {
			return damaged("page %d is neither used nor free", id)
		}
	}
	return nil
}

// eachFree calls fn with each page of the free list.
func (p *pager) eachFree(fn func(id uint64) error) error {
	page, _, err := p.page(p.freelist, freelistPage)
	if err != nil {
		return err
	}
	ids := page[pageHeader:]
	n := uint64(binary.NativeEndian.Uint16(page[10:]))
	if n == 0xFFFF { // more than fit the count: it is in the first 8 bytes
		n, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return damaged("the list of free pages is longer than its page")
	}
	for i := range n {
		id := binary.NativeEndian.Uint64(ids[i*8:])
		if id < 2 || id >= p.high {
			return damaged("a free page is said to be at %d, outside the file", id)
		}
		if err := fn(id); err != nil {
			return err
		}
	}
	return nil
}
