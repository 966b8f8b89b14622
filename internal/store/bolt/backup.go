package bolt

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"postern/internal/fault"
	"postern/internal/store"
)

// Backup writes a copy of the newest committed state to a new file while the store is used, makes it durable and
// verifies it whole before it gets its name. The copy is a database like any other, with nothing in it that was deleted or
// replaced before.
//
// Errors: fault.Exists STORE_BACKUP_EXISTS when there is such a file; store.ErrCorrupt when the copy, and so the
// database, is damaged: then there is no file; store.ErrFull when it has no room.
func (s *database) Backup(ctx context.Context, path string) (store.Report, error) {
	if _, err := os.Lstat(path); err == nil {
		return store.Report{}, alreadyThere(path)
	}
	copied, report, err := s.copy(ctx, path, blank)
	if err != nil {
		return store.Report{}, err
	}
	defer os.Remove(copied)
	err = os.Link(copied, path) // unlike a rename, never over another file
	switch {
	case errors.Is(err, fs.ErrExist): // somebody else's copy, since we looked
		return store.Report{}, alreadyThere(path)
	case err != nil:
		return store.Report{}, unusable(path, err)
	}
	return report, syncDir(filepath.Dir(path))
}

func alreadyThere(path string) error {
	return fault.Newf(fault.Exists, "STORE_BACKUP_EXISTS", "There is a file %s already. Name another one.", path)
}

// Scrub makes a copy beside the database, verifies it whole and removes it.
func (s *database) Scrub(ctx context.Context) (store.Report, error) {
	copied, report, err := s.copy(ctx, s.path, func(*os.File) error { return nil })
	if err != nil {
		return store.Report{}, err
	}
	return report, os.Remove(copied)
}

// blank overwrites the free pages of a copy, where what was deleted would last as long as the copy does.
func blank(file *os.File) error {
	p, err := newPager(file)
	if err != nil {
		return err
	}
	zeros := make([]byte, p.pageSize)
	return p.eachFree(func(id uint64) error {
		if _, err := file.WriteAt(zeros, int64(id)*p.pageSize); err != nil {
			return copyFailed(file.Name(), err)
		}
		return nil
	})
}

// copy makes a verified copy under another name than path, after finish has had it. Of one that is no good nothing stays.
func (s *database) copy(ctx context.Context, path string, finish func(*os.File) error) (name string, report store.Report, err error) {
	if err := s.ready(ctx); err != nil {
		return "", store.Report{}, err
	}
	if err := s.metaWhole(ctx); err != nil {
		return "", store.Report{}, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return "", store.Report{}, unusable(path, err)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	tx, err := s.begin(ctx, false)
	if err != nil {
		return "", store.Report{}, err
	}
	var failed error
	damage := guarded(func() { _, failed = tx.btx.WriteTo(interruptible{ctx, file}) })
	tx.end()
	switch {
	case damage != nil:
		return "", store.Report{}, store.ErrCorrupt.Because(damage)
	case ctx.Err() != nil:
		return "", store.Report{}, ctx.Err()
	case failed != nil:
		return "", store.Report{}, copyFailed(path, failed)
	}
	if err := finish(file); err != nil {
		return "", store.Report{}, err
	}
	if err := file.Sync(); err != nil {
		return "", store.Report{}, copyFailed(path, err)
	}
	report, err = verify(ctx, file, s.schema)
	return file.Name(), report, err
}

// metaWhole checks the meta pages in the file: the copy gets new ones, from memory. It waits until no commit is under way.
func (s *database) metaWhole(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := readMeta(s.file)
	return err
}

// copyFailed is the fault of a copy that could not be written, or read from the database.
func copyFailed(path string, cause error) error {
	if noSpace(cause) {
		return fault.Newf(fault.Exhausted, store.ErrFull.Reason, "There is no room for a copy of the database in %s.", filepath.Dir(path)).Because(cause)
	}
	return unusable(path, cause)
}

// interruptible is a writer that ends with a context.
type interruptible struct {
	ctx  context.Context
	file *os.File
}

func (w interruptible) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.file.Write(b)
}
