package bolt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"

	"postern/internal/store"
)

// room keeps space back for what must not fail. Two reserves, each Config.Reserve bytes: ordinary Updates are refused
// while the volume has less than one of them free, so that neither they nor anything else the process writes meets a
// full disk; and a file of that size beside the database is removed when an Update with the right to it finds the disk
// full nevertheless, because another program has filled it. The writer alone uses room.
type room struct {
	path    string // of the file that holds space
	reserve int64
	maxSize int64
	held    bool // the file is there, with its blocks
}

// growth is by how many bytes a file that uses so many grows: each time costs a sync of its own, so a large one does it
// seldom.
func growth(used int64) int64 { return min(max(used/8, 1<<20), 32<<20) }

// admit refuses an ordinary Update of a database that uses so many bytes.
func (r *room) admit(used int64) error {
	if r.maxSize > 0 && used > r.maxSize-r.reserve-growth(used) {
		return store.Full(nil)
	}
	if r.reserve == 0 {
		return nil
	}
	if !r.held {
		if err := r.restore(); err != nil {
			return store.Full(err)
		}
	}
	if free, ok := freeBytes(filepath.Dir(r.path)); ok && free < r.reserve {
		return store.Full(nil)
	}
	return nil
}

// restore makes the file, where that leaves as much free again.
func (r *room) restore() error {
	if info, err := os.Stat(r.path); err == nil && info.Size() == r.reserve {
		r.held = true
		return nil
	}
	if free, ok := freeBytes(filepath.Dir(r.path)); ok && free < 2*r.reserve {
		return syscall.ENOSPC
	}
	return r.hold()
}

// hold makes the file.
func (r *room) hold() (err error) {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // one of another configuration may be larger
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if r.held = err == nil; !r.held {
			_ = os.Remove(r.path)
		}
	}()
	err = syscall.Fallocate(int(f.Fd()), 0, 0, r.reserve)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		_, err = f.WriteAt(make([]byte, r.reserve), 0)
	}
	return err
}

// release gives the held space back to the volume; false when there is none.
func (r *room) release() bool {
	held := r.held
	r.held = false
	return held && os.Remove(r.path) == nil
}

// freeBytes is what the volume has left for this process; false when it does not say.
func freeBytes(dir string) (int64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * s.Bsize, true
}

// ranOut says whether a commit failed because there was no space, and certainly wrote nothing: it failed at a write,
// not at a sync, and the meta page, which is written last, is not that of the transaction.
func (s *database) ranOut(failed error, revision uint64) bool {
	if errors.Is(failed, berrors.ErrMaxSizeReached) {
		return true // while pages were being laid out in memory
	}
	if path, ok := errors.AsType[*fs.PathError](failed); !ok || path.Op != "write" || !noSpace(failed) {
		return false
	}
	m, err := readMeta(s.file)
	return err == nil && m.revision < revision
}

// noSpace says whether a write found no room: on the volume, in a quota, or under the largest size of a file.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
