package outlet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postern/internal/fault"
)

// Folder is a folder that a case system imports from. It is one file system's, and a local one: a network share may
// rename a file and say that it did not.
type Folder struct{ Dir string }

// staging is where files are until they are whole; importers pass over what begins with a dot.
const staging = ".postern"

// names are the files of a parcel. They hold a reference, and no person.
func (Folder) names(p Parcel) []string {
	base := fmt.Sprintf("%s_%s_%s", p.Reference, strings.ToLower(string(p.Kind)), p.Name()[:8])
	return []string{base + ".json", base + ".csv"}
}

func folderFault(err error) error {
	if err == nil {
		return nil
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = fmt.Errorf("%s: %w", at.Op, at.Err) // without the path: a folder may be named after somebody
	}
	return fault.New(fault.Unavailable, "FOLDER", "The folder for the case system cannot be written to. Check that it is there, may be written to, and has room.").Because(err)
}

// Check reports whether the folder is there and takes files.
func (f Folder) Check() error {
	info, err := os.Stat(f.Dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is a file")
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(f.Dir, staging), 0o700)
	}
	return folderFault(err)
}

// Stage writes the files of a parcel out of sight, and returns when they would survive a power cut. Again is as once.
func (f Folder) Stage(p Parcel) error {
	if err := f.Check(); err != nil {
		return err
	}
	for i, content := range [][]byte{p.JSON, p.CSV} {
		if err := write(filepath.Join(f.Dir, staging, f.names(p)[i]), content); err != nil {
			return folderFault(err)
		}
	}
	return folderFault(syncDir(filepath.Join(f.Dir, staging)))
}

// Release moves the staged files to where the importer sees them. What is no longer staged was moved before, so after a
// crash it is called again, and nothing appears twice; a parcel must not be staged again once it was to be released.
func (f Folder) Release(p Parcel) error {
	for _, name := range f.names(p) {
		err := os.Rename(filepath.Join(f.Dir, staging, name), filepath.Join(f.Dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return folderFault(errors.Unwrap(err)) // a rename's error is no PathError, and quotes both
		}
	}
	if err := syncDir(f.Dir); err != nil {
		return folderFault(err)
	}
	return folderFault(syncDir(filepath.Join(f.Dir, staging)))
}

// Discard removes what was staged and shall not be seen.
func (f Folder) Discard(p Parcel) error {
	for _, name := range f.names(p) {
		if err := os.Remove(filepath.Join(f.Dir, staging, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return folderFault(err)
		}
	}
	return nil
}

// write makes a file that owner and group may read, whole and synced.
func write(path string, content []byte) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}

func syncDir(path string) (err error) {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return dir.Sync()
}
