package archive

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"postern/internal/fault"
)

// disk is the folder as files. Nothing is written outside it, whatever links it holds.
type disk struct {
	*os.Root
	top    *os.File        // holds the lock
	dirs   map[string]bool // in which names changed since the last sync
	marked bool            // incomplete is there
}

const (
	spare   = ".new" // behind the name of a file that is being written
	notDone = "An export into this folder is under way, or was stopped. Run `postern audit export` again.\n"
)

func openDisk(name string) (_ *disk, err error) {
	cannot := func(err error) error {
		return fault.New(fault.Precondition, "EXPORT_FOLDER", "The folder cannot be made or opened. Check its path and who may write there.").Because(err)
	}
	// What is exported is pseudonymous, and still personal data.
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, cannot(err)
	}
	d := &disk{dirs: map[string]bool{}}
	if d.Root, err = os.OpenRoot(name); err != nil {
		return nil, cannot(err)
	}
	if d.top, err = d.Open("."); err != nil {
		return nil, errors.Join(cannot(err), d.Root.Close())
	}
	if err := syscall.Flock(int(d.top.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fault.New(fault.Unavailable, "EXPORT_BUSY", "Another export writes into this folder.").Because(err), d.close())
	}
	_, err = d.Stat(incompleteName)
	d.marked = err == nil
	return d, nil
}

func (d *disk) close() error { return errors.Join(d.top.Close(), d.Root.Close()) }

// write replaces a file: readers see the old one or the new one, and so does whoever comes after a crash, once sync has
// returned.
func (d *disk) write(name string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fault.New(fault.Unavailable, "EXPORT_WRITE", "The export cannot be written. Is there space, and may you write there?").Because(err)
		}
	}()
	if err := d.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	if err := d.Remove(name + spare); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := d.OpenFile(name+spare, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // nothing that lies there is opened, such as a pipe
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	d.touched(name)
	return d.Rename(name+spare, name)
}

// touched remembers that names changed above a file.
func (d *disk) touched(name string) {
	for dir := path.Dir(name); !d.dirs[dir]; dir = path.Dir(dir) {
		d.dirs[dir] = true
	}
}

// sync makes the names that changed durable.
func (d *disk) sync() error {
	for dir := range d.dirs {
		f, err := d.Open(dir)
		if errors.Is(err, fs.ErrNotExist) { // removed since
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	clear(d.dirs)
	return nil
}

// mark says, durably, that the folder may hold more than its manifest lists.
func (d *disk) mark() error {
	if d.marked {
		return nil
	}
	if err := d.write(incompleteName, []byte(notDone)); err != nil {
		return err
	}
	d.marked = true
	return d.sync()
}

func (d *disk) unmark() error {
	if !d.marked {
		return nil
	}
	if err := d.sync(); err != nil {
		return err
	}
	if err := d.Remove(incompleteName); err != nil {
		return err
	}
	d.marked = false
	d.touched(incompleteName)
	return d.sync()
}

// removeUnlisted removes the files of an export that keep does not want, and folders that become empty. It leaves alone
// what no export writes.
func (d *disk) removeUnlisted(keep func(name string) bool) error {
	var dirs []string
	err := fs.WalkDir(d.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !ours(name, e.IsDir()) {
			return err
		}
		if e.IsDir() {
			dirs = append(dirs, name)
			return nil
		}
		if keep(name) {
			return nil
		}
		d.touched(name)
		return d.Remove(name)
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		if e, err := fs.ReadDir(d.FS(), dirs[i]); err == nil && len(e) == 0 {
			d.touched(dirs[i])
			err = d.Remove(dirs[i])
			if err != nil {
				return err
			}
		}
	}
	return err
}

// ours reports whether a Writer makes a file or folder of this name, apart from the manifest.
func ours(name string, dir bool) bool {
	top, rest, below := strings.Cut(name, "/")
	if !below && !dir {
		return name == manifestName+spare || name == incompleteName+spare
	}
	first, _, _ := strings.Cut(rest, "/")
	return folders.MatchString(top) &&
		(!below || first == "tile" || first == "bodies" || strings.TrimSuffix(first, spare) == checkpointName)
}
