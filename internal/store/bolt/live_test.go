package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
)

// Live is a run of bytes of a database file that mean something, and what they are.
type Live struct {
	Class    string
	From, To int
}

// LiveBytes returns the bytes of a file that are neither slack nor free pages.
func LiveBytes(file []byte) (all []Live, err error) {
	m, err := readMeta(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	l := live{pager: &pager{file: bytes.NewReader(file), meta: m}}
	for i := range int64(2) {
		l.add("meta page", int(i*m.pageSize), pageHeader+64)
	}
	if err := l.tree(m.root); err != nil {
		return nil, err
	}
	buckets, err := l.buckets(context.Background())
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		if b.root != 0 {
			if err := l.tree(b.root); err != nil {
				return nil, err
			}
		}
	}
	list, _, err := l.page(m.freelist, freelistPage)
	if err != nil {
		return nil, err
	}
	l.add("free list", int(int64(m.freelist)*m.pageSize), pageHeader+8*int(binary.NativeEndian.Uint16(list[10:])))
	return l.all, nil
}

type live struct {
	*pager
	all []Live
}

func (l *live) add(class string, at, size int) { l.all = append(l.all, Live{class, at, at + size}) }

func (l *live) tree(id uint64) error {
	page, kind, err := l.page(id, branchPage|leafPage)
	if err != nil {
		return err
	}
	list, err := l.elements(page, kind, int(int64(id)*l.pageSize))
	if err != nil || kind == leafPage {
		return err
	}
	for _, e := range list {
		if err := l.tree(e.child); err != nil {
			return err
		}
	}
	return nil
}

// elements adds the elements of a page that lies at an offset of the file.
func (l *live) elements(page []byte, kind uint16, at int) ([]element, error) {
	list, err := elements(page, kind, 0, nil, nil)
	if err != nil {
		return nil, err
	}
	l.add("page header", at, pageHeader)
	if kind == branchPage {
		l.add("branch element", at+pageHeader, len(list)*elementSize)
	} else {
		l.add("leaf element", at+pageHeader, len(list)*elementSize)
	}
	for _, e := range list {
		where := func(part []byte) int { return at + cap(page) - cap(part) } // a part of one array ends where it ends
		l.add("key", where(e.key), len(e.key))
		switch {
		case kind == branchPage:
		case e.flags != bucketElement:
			l.add("value", where(e.value), len(e.value)-checksumSize)
			l.add("checksum", where(e.value)+len(e.value)-checksumSize, checksumSize)
		default:
			l.add("bucket header", where(e.value), bucketHeader)
			if inline := e.value[bucketHeader:]; len(inline) > 0 {
				if _, err := l.elements(inline, leafPage, where(inline)); err != nil {
					return nil, err
				}
			}
		}
	}
	return list, nil
}
