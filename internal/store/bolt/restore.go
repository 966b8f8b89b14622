package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"postern/internal/fault"
	"postern/internal/store"
)

// RestoreConfig says what Restore does.
type RestoreConfig struct {
	Config        // the database that is replaced, or made
	From   string // the copy
	Force  bool   // also over a newer database, or one that this program cannot read
	// Accept looks at the copy, which lies verified beside the database, before it takes its place; optional.
	Accept func(ctx context.Context, copied string, verified store.Report) error
}

// Restore puts a copy in the place of a database that no process has open. The copy is copied, made durable, verified
// whole and, if Accept is there, accepted, before the old file is touched; the old file stays beside it under the name
// that is returned, "" when there was none. A crash leaves the old database or the new one.
//
// Errors: those of Verify, about the copy; fault.Unavailable STORE_LOCKED; fault.Precondition STORE_RESTORE_OLDER when
// the database in place is whole and newer, and STORE_NEWER, STORE_OLDER or STORE_OTHER_KIND when it is not this program's.
// A damaged one is replaced whatever its age: that is what a backup is for.
func Restore(ctx context.Context, c RestoreConfig) (aside string, report store.Report, err error) {
	copied, err := copyIn(ctx, c)
	if err != nil {
		return "", store.Report{}, err
	}
	defer os.Remove(copied)
	if report, err = Verify(ctx, Config{Path: copied, Schema: c.Schema}); err != nil {
		return "", store.Report{}, err
	}
	old, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = nil, nil
	}
	if err != nil {
		return "", store.Report{}, unusable(c.Path, err)
	}
	if old != nil {
		defer old.Close() // and with it the lock
		if err := replaceable(ctx, c, old, report); err != nil {
			return "", store.Report{}, err
		}
	}
	if c.Accept != nil {
		if err := c.Accept(ctx, copied, report); err != nil {
			return "", store.Report{}, err
		}
	}
	if old == nil {
		if err := os.Link(copied, c.Path); err != nil {
			return "", store.Report{}, unusable(c.Path, err)
		}
		return "", report, syncDir(filepath.Dir(c.Path))
	}
	// The old file gets its second name first, so that at no moment there is none under the database's own: a start
	// would take that for a first start.
	if aside, err = linkAside(c.Path); err != nil {
		return "", store.Report{}, err
	}
	if err := os.Rename(copied, c.Path); err != nil {
		return "", store.Report{}, unusable(c.Path, err)
	}
	return aside, report, syncDir(filepath.Dir(c.Path))
}

// copyIn makes a durable copy of c.From beside the database.
func copyIn(ctx context.Context, c RestoreConfig) (name string, err error) {
	from, err := os.Open(c.From)
	if err != nil {
		return "", fault.Newf(fault.NotFound, "STORE_MISSING", "The copy %s cannot be read.", c.From).Because(err)
	}
	defer from.Close()
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return "", unusable(c.Path, err)
	}
	to, err := os.CreateTemp(filepath.Dir(c.Path), filepath.Base(c.Path)+".new-*")
	if err != nil {
		return "", unusable(c.Path, err)
	}
	_, err = io.Copy(interruptible{ctx, to}, from)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return "", errors.Join(copyFailed(c.Path, err), os.Remove(to.Name()))
	}
	return to.Name(), nil
}

// replaceable locks the old database and says whether the copy may take its place.
func replaceable(ctx context.Context, c RestoreConfig, old *os.File, copied store.Report) error {
	if err := lock(old, syscall.LOCK_EX); err != nil {
		return err
	}
	if !inPlace(old, c.Path) {
		return locked(c.Path)
	}
	report, err := verify(ctx, old, c.Schema)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.Force || errors.Is(err, store.ErrCorrupt) || fault.From(err).Reason == "STORE_NOT_A_DATABASE":
		return nil
	case err != nil: // of a newer program, or another kind: that is no damage
		return err
	case report.Revision > copied.Revision:
		return fault.Newf(fault.Precondition, "STORE_RESTORE_OLDER",
			"The database in place is whole and %d transactions newer than the copy. To lose those, use --force; it is kept beside the new one.",
			report.Revision-copied.Revision)
	}
	return nil
}

// linkAside gives a file a second name that is not yet taken.
func linkAside(path string) (aside string, err error) {
	for n := 1; ; n++ {
		aside = fmt.Sprintf("%s.replaced-%d", path, n)
		if err := os.Link(path, aside); !errors.Is(err, fs.ErrExist) {
			if err != nil {
				return "", unusable(path, err)
			}
			return aside, nil
		}
	}
}
