package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"

	"postern/internal/fault"
	"postern/internal/store"
)

// Verify reads a database file that no process has open, from the first page to the last: both meta pages, every page
// used exactly once or free, every key in its place, every record against its checksum, and every keyspace against its
// tally, so that a record that is missing is found as well as one that is changed. It writes nothing, and unlike bbolt
// survives whatever the file holds.
//
// Errors: store.ErrCorrupt naming the first fault; fault.Unavailable STORE_LOCKED or STORE_UNUSABLE; fault.Precondition
// STORE_OTHER_KIND or STORE_NEWER.
func Verify(ctx context.Context, c Config) (store.Report, error) {
	file, err := os.Open(c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return store.Report{}, fault.Newf(fault.NotFound, "STORE_MISSING", "There is no database %s.", c.Path)
	}
	if err != nil {
		return store.Report{}, unusable(c.Path, err)
	}
	defer file.Close()
	if err := lock(file, syscall.LOCK_SH); err != nil {
		return store.Report{}, err
	}
	return verify(ctx, file, c.Schema)
}

// lock takes bbolt's lock on a file, at once or not at all. It ends when the file is closed.
func lock(file *os.File, how int) error {
	switch err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return locked(file.Name())
	case err != nil:
		return unusable(file.Name(), err)
	}
	return nil
}

// verify is Verify on a file that does not change meanwhile.
func verify(ctx context.Context, file *os.File, schema store.Schema) (store.Report, error) {
	p, err := newPager(file)
	if err != nil {
		return store.Report{}, err
	}
	p.met = make([]bool, p.high)
	buckets, err := p.buckets(ctx)
	if err != nil {
		return store.Report{}, err
	}
	if err := readable(file, buckets); err != nil {
		return store.Report{}, err
	}
	found := map[store.Keyspace]tally{}
	own := map[store.Keyspace]map[string][]byte{schemaSpace: {}, tallySpace: {}}
	for _, b := range buckets {
		var t tally
		err := p.records(ctx, b, func(leaf []element) error {
			for _, e := range leaf {
				value, err := unwrapElement(b.name, e)
				if err != nil {
					return err
				}
				t.add(e.value)
				if own[b.name] != nil {
					own[b.name][string(e.key)] = slices.Clone(value)
				}
			}
			return nil
		})
		if err != nil {
			return store.Report{}, err
		}
		found[b.name] = t
	}
	if err := p.free(); err != nil {
		return store.Report{}, err
	}
	if name := own[schemaSpace][string(nameKey)]; name != nil { // before anything is called damaged that is only another's
		if err := adoptable(file.Name(), schema, name, own[schemaSpace][string(versionKey)]); err != nil {
			return store.Report{}, err
		}
	}
	report := store.Report{Revision: p.revision, Bytes: int64(p.high) * p.pageSize}
	report.Records, err = compare(found, own, schema)
	return report, err
}

// compare holds what was found against the tallies, and returns how many records there are.
func compare(found map[store.Keyspace]tally, own map[store.Keyspace]map[string][]byte, schema store.Schema) (records uint64, err error) {
	version := own[schemaSpace][string(versionKey)]
	if len(own[schemaSpace]) != 2 || len(version) != 8 || len(own[tallySpace]) != len(found)-len(own) {
		return 0, damaged("it lacks a keyspace, or does not know it")
	}
	for _, ks := range slices.Sorted(maps.Keys(own[tallySpace])) {
		t, ok := found[store.Keyspace(ks)]
		switch {
		case !ok:
			return 0, damaged("keyspace %s is missing", ks)
		case string(own[tallySpace][ks]) != string(t.bytes()):
			return 0, damaged("keyspace %s lacks records, or has some that were deleted", ks)
		}
		records += t.records
	}
	for _, ks := range schema.Keyspaces {
		if _, ok := found[ks]; !ok && binary.BigEndian.Uint64(version) == schema.Version {
			return 0, damaged("keyspace %s is missing", ks)
		}
	}
	return records, nil
}

// readable says whether a file with these buckets has the layout that this package writes.
func readable(file *os.File, buckets []bucket) error {
	has := func(ks store.Keyspace) bool {
		return slices.ContainsFunc(buckets, func(b bucket) bool { return b.name == ks })
	}
	switch {
	case has(schemaSpace):
		return nil
	case has(beforeSpace):
		return older(file.Name())
	}
	return notADatabase(file.Name(), nil)
}

// unwrapElement returns the value of a record as the pager found it.
func unwrapElement(ks store.Keyspace, e element) ([]byte, error) {
	if e.flags != 0 || !whole(ks, e.key, e.value) {
		return nil, store.Corrupt(ks, e.key)
	}
	return valueOf(e.value), nil
}

// samples is how many leaf pages of each keyspace a start reads beside the first and the last.
const samples = 2

// sample reads both meta pages and some leaf pages of each keyspace: the cheap part of verify, at every start, on other
// pages each time. The file is locked by bbolt.
func sample(ctx context.Context, file *os.File) error {
	p, err := newPager(file)
	if err != nil {
		return err
	}
	buckets, err := p.buckets(ctx)
	if err != nil {
		return err
	}
	if err := readable(file, buckets); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(p.revision, p.high))
	picks := []func(int) int{func(int) int { return 0 }, func(n int) int { return n - 1 }}
	for range samples {
		picks = append(picks, random.IntN)
	}
	for _, b := range buckets {
		for _, pick := range picks {
			leaf := b.inline
			if b.root != 0 {
				if leaf, err = p.descend(b.root, pick); err != nil {
					return err
				}
			}
			for _, e := range leaf {
				if _, err := unwrapElement(b.name, e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
