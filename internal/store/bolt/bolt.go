// Package bolt is the store in one file, on bbolt: the embedded default, for one process on one machine.
//
// Beyond the contract of package store it guarantees: every record is checked against its own checksum on every read,
// and a key found missing against both neighbours, because bbolt has no page checksums; a fault while reading the
// memory-mapped file is an ErrCorrupt, not the end of the process; a first start torn by a power cut leaves no
// database rather than half of one; a second process, a newer database and a database of another kind are refused.
//
// A read does not find every damage: a page whose header now counts fewer records, or a whole old page in the place of
// a new one, is well-formed, and its records are then missing, never wrong. Verify finds those too, by tallies kept of
// every keyspace; Open reads the meta pages and a sample, Scrub and Backup verify a whole hot copy.
//
// Space is kept back for what must not fail (Config.Reserve, store.Reserved). A commit that finds the disk full and
// certainly wrote nothing is a store.ErrFull, after which the store goes on; every other failed commit ends it.
//
// What Open returns has, beside the methods of store.Store:
//
//	Backup(ctx, path) (store.Report, error)   a verified copy in a new file
//	Scrub(ctx) (store.Report, error)          the same, and the copy is removed
//	Reserved() store.Store                    see store.Reserved
//
// # File
//
// Bucket "_schema2" holds "name" (the Schema's) and "version" (8 bytes, big endian); each keyspace is one bucket, and
// bucket "_tally" holds under its name how many records it has and the sum of their checksums modulo 2^64 (8 bytes
// each, big endian). Every value, those of "_schema2" and "_tally" included, is stored as
//
//	n bytes   value
//	8 bytes   XXH64(len(keyspace) as 4 bytes ‖ keyspace ‖ len(key) as 4 bytes ‖ key ‖ value), seed 0
//
// with numbers big endian. The checksum finds what breaks by itself; what somebody forges it does not, nor would any other
// that has no key: seals (package vault) and the log's tree do. Evolution: another layout of records is another name for
// bucket "_schema2", so that an older program refuses the file; "_schema" was that of checksums before the values, cut
// from SHA-256, and is refused by name.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/store"
)

// Config says which database to open.
type Config struct {
	Path    string       // the file; it and its folder are made, for the owner alone, when absent
	Schema  store.Schema // what the file must hold
	MaxSize int64        // the most bytes of the file; 0 for as many as the disk has
	// Reserve is how many bytes are kept back for store.Reserved: on the disk, as many again in the file Path.reserve,
	// and of MaxSize. 0 keeps nothing back.
	Reserve int64
}

const (
	lockWait    = 500 * time.Millisecond // a process that is just ending gets this long to let go
	schemaSpace = store.Keyspace("_schema2")
	beforeSpace = store.Keyspace("_schema") // of the layout before, which no program of today reads
	tallySpace  = store.Keyspace("_tally")
)

var (
	nameKey    = []byte("name")
	versionKey = []byte("version")
)

// leastMap is the least of the address space that a file is mapped into; see mapSize.
const leastMap = 16 << 30

// mapSize is how much address space a file of a size is mapped into, which takes no memory. A file that outgrows it is
// mapped anew, and for that bbolt waits until every reader has ended, while no other one begins: where one is a backup to a
// slow disk, the whole store would wait for it. So a file has room to grow fourfold before the next start.
func mapSize(file int64) int { return int(max(leastMap, 4*file)) }

// Open opens the database, making it when there is none.
//
// Errors: fault.Unavailable STORE_LOCKED when another process has it; fault.Precondition STORE_NEWER,
// STORE_OTHER_KIND or STORE_NOT_A_DATABASE when it is not this program's to open; store.ErrCorrupt when it is damaged.
func Open(ctx context.Context, c Config) (store.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch info, err := os.Stat(c.Path); {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(ctx, c); err != nil {
			if _, missing := os.Stat(c.Path); missing != nil {
				return nil, err
			} // else another process was faster, and its Open may have removed our temporary file
		}
	case err != nil:
		return nil, unusable(c.Path, err)
	case info.Size() == 0: // bbolt would make a fresh database of it, and the old one's loss would go unseen
		return nil, notADatabase(c.Path, nil)
	}
	s, err := open(c)
	if err != nil {
		return nil, err
	}
	if err = sample(ctx, s.file); err == nil {
		err = s.adopt(ctx)
	}
	if err == nil { // the folder's entry may be unsynced even for an old file, whose first start may have died before this
		err = syncDir(filepath.Dir(c.Path))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if c.Reserve > 0 {
		_ = s.room.restore() // where there is no room for it now, the first Update that could do harm is refused
	}
	// A crash during create leaves its temporary name behind, perhaps as a second name of this very file, under which
	// it would outlive its deletion. Holding the lock, nobody else needs one.
	strays, _ := filepath.Glob(c.Path + ".new-*")
	for _, stray := range strays {
		_ = os.Remove(stray)
	}
	return s, nil
}

// create makes an empty database under another name, so that a crash at any point leaves either no file at c.Path or a
// whole one, and then gives it its name without replacing a file that another process put there first.
func create(ctx context.Context, c Config) error {
	dir := filepath.Dir(c.Path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return unusable(c.Path, err)
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	temporary, err := os.CreateTemp(dir, filepath.Base(c.Path)+".new-*")
	if err != nil {
		return unusable(c.Path, err)
	}
	defer os.Remove(temporary.Name())
	if err := temporary.Close(); err != nil {
		return unusable(c.Path, err)
	}
	s, err := open(Config{Path: temporary.Name(), Schema: c.Schema})
	if err != nil {
		return err
	}
	if err := errors.Join(s.initialise(ctx), s.Close()); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.StoreCreate); err != nil {
		return unusable(c.Path, err)
	}
	if err := os.Link(temporary.Name(), c.Path); err != nil {
		return unusable(c.Path, err)
	}
	// A crash here: the next start finds a whole database, or none, if the folder's entry was not on the disk yet.
	return failpoint.Hit(failpoint.StoreLink)
}

// open opens a bbolt file as it is.
func open(c Config) (s *database, err error) {
	path := c.Path
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil { // bbolt panics on some damaged files, and leaves the lock taken and the file mapped
			if file != nil {
				_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) // closing does not: the mapping holds it too
				_ = file.Close()
			}
			s, err = nil, store.ErrCorrupt.Because(fmt.Errorf("opening %s: %v", path, r))
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return nil, unusable(path, err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         lockWait,
		NoSync:          noSync,
		NoFreelistSync:  false,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize(info.Size()),
		MaxSize:         int(c.MaxSize),
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			file = f
			return f, err
		},
	})
	switch {
	case err == nil && !inPlace(file, path): // replaced while we waited for its lock: what is written to it nobody would find
		return nil, errors.Join(locked(path), db.Close())
	case err == nil:
		db.AllocSize = int(growth(0))
		return newDatabase(db, file, c), nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, locked(path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, notADatabase(path, err)
	case errors.Is(err, syscall.ENOMEM):
		return nil, unmapped(path, err)
	default:
		return nil, unusable(path, err)
	}
}

// inPlace reports whether a file that was opened is the one under its name: a restore gives the name to another.
func inPlace(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(opened, now)
}

// initialise writes the schema into an empty database.
func (s *database) initialise(ctx context.Context) error {
	return s.write(ctx, false, func(tx *transaction) error {
		if err := errors.Join(tx.makeKeyspace(schemaSpace), tx.makeKeyspace(tallySpace)); err != nil {
			return err
		}
		if err := tx.put(schemaSpace, nameKey, []byte(s.schema.Name)); err != nil {
			return err
		}
		return s.extend(tx)
	})
}

// extend makes the keyspaces that the file lacks, with their tallies, and records the version.
func (s *database) extend(tx *transaction) error {
	for _, ks := range s.schema.Keyspaces {
		if has, err := tx.hasKeyspace(ks); err != nil {
			return err
		} else if has {
			continue
		}
		if err := errors.Join(tx.makeKeyspace(ks), tx.put(tallySpace, []byte(ks), tally{}.bytes())); err != nil {
			return err
		}
	}
	return tx.put(schemaSpace, versionKey, binary.BigEndian.AppendUint64(nil, s.schema.Version))
}

// adopt checks that an existing file is this kind of database and one the program can read, and extends an older one.
func (s *database) adopt(ctx context.Context) error {
	complete := true
	err := s.View(ctx, func(snapshot store.Snapshot) error {
		tx := snapshot.(*transaction)
		name, err := tx.get(schemaSpace, nameKey)
		if err != nil {
			return err
		}
		version, err := tx.get(schemaSpace, versionKey)
		if err != nil {
			return err
		}
		if err := adoptable(s.path, s.schema, name, version); err != nil {
			return err
		}
		complete = binary.BigEndian.Uint64(version) == s.schema.Version
		for _, ks := range s.schema.Keyspaces {
			has, err := tx.hasKeyspace(ks)
			if err != nil {
				return err
			}
			counted, err := tx.get(tallySpace, []byte(ks))
			if err != nil {
				return err
			}
			// Only an older file may lack a keyspace, and then its tally too: making it anew would hide what it held.
			if has != (counted != nil) || !has && complete {
				return damaged("keyspace %s is missing", ks)
			}
		}
		return nil
	})
	if err != nil || complete {
		return err
	}
	return s.write(ctx, false, s.extend)
}

// adoptable says whether a file that calls itself so is this kind of database and one the program can read.
func adoptable(path string, schema store.Schema, name, version []byte) error {
	if string(name) != schema.Name {
		return fault.Newf(fault.Precondition, "STORE_OTHER_KIND",
			"The file %s is the database of a %s, not of a %s. Check the data folder in the configuration.", path, name, schema.Name)
	}
	if len(version) != 8 {
		return store.Corrupt(schemaSpace, versionKey)
	}
	if v := binary.BigEndian.Uint64(version); v > schema.Version {
		return fault.Newf(fault.Precondition, "STORE_NEWER",
			"The database %s was written by a newer Postern (format %d; this program knows up to %d). Use the newer program.",
			path, v, schema.Version)
	} else if v < schema.Oldest {
		return fault.Newf(fault.Precondition, "STORE_OLDER",
			"The database %s was written by an older Postern (format %d; this program reads %d to %d). Use the program that wrote it, or start anew.",
			path, v, schema.Oldest, schema.Version)
	}
	return nil
}

// older is the fault of a file whose records are laid out as they were before.
func older(path string) error {
	return fault.Newf(fault.Precondition, "STORE_OLDER",
		"The database %s was written by an older Postern. Use the program that wrote it, or start anew.", path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return unusable(dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return unusable(dir, err)
	}
	return nil
}

func locked(path string) error {
	return fault.Newf(fault.Unavailable, "STORE_LOCKED",
		"The database %s is already open by another process. Use that one, or stop it first.", path)
}

func unusable(path string, cause error) error {
	return fault.Newf(fault.Unavailable, "STORE_UNUSABLE",
		"The database %s cannot be opened: %v. Check the folder, its owner and the free space.", path, cause).Because(cause)
}

// unmapped is the fault of a process that may not have the address space that mapSize asks for.
func unmapped(path string, cause error) error {
	return fault.Newf(fault.Unavailable, "STORE_UNUSABLE",
		"The database %s cannot be opened: it is mapped into at least %d GB of address space, and this process has a limit below that. Lift the limit (ulimit -v, or LimitAS= of the service); it takes no memory.",
		path, leastMap>>30).Because(cause)
}

func notADatabase(path string, cause error) error {
	return fault.Newf(fault.Precondition, "STORE_NOT_A_DATABASE",
		"The file %s is not a Postern database, or its beginning is destroyed. Check the data folder in the configuration, or restore the newest backup.",
		path).Because(cause)
}
