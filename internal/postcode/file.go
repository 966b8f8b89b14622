package postcode

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"postern/internal/fault"
)

const (
	magic     = "postern postcode table 1\n"
	extension = ".table"
)

// Open reads a table: a file, or of a folder the table of the newest vintage.
func Open(path string) (*Table, error) {
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*"+extension)); err != nil || len(files) == 0 {
			return nil, none(path, err)
		}
	}
	var newest *Table
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, none(path, err)
		}
		t, err := Read(b)
		if err != nil {
			return nil, fault.Newf(fault.Unverified, "BAD_POSTCODES", "The postcode table %s is damaged or is no postcode table. Make it again with `postern postcode build`.", f).Because(err)
		}
		if newest == nil || newest.info.Vintage < t.info.Vintage {
			newest = t
		}
	}
	return newest, nil
}

func none(path string, cause error) error {
	return fault.Newf(fault.NotFound, "NO_POSTCODES", "There is no postcode table at %s. Make one with `postern postcode build ONSPD.csv %s`.", path, path).Because(cause)
}

// Save writes the table's file and returns its path: the given one, or in a folder one named by the vintage. A table that
// is there already with other content stays: what a notification says it was routed by must be found again.
func (t *Table) Save(path string) (string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "postcodes-"+t.info.Vintage+extension)
	}
	if old, err := os.ReadFile(path); err == nil {
		if bytes.Equal(old, t.raw) {
			return path, nil
		}
		return "", fault.Newf(fault.Exists, "POSTCODES_EXIST", "%s is there already and is another table. Give a new name, or name a folder: each vintage then has its own file.", path)
	}
	// A crash before the rename leaves a file that no name leads to, and no table.
	f, err := os.CreateTemp(filepath.Dir(path), ".postcodes-*")
	if err == nil {
		defer os.Remove(f.Name())
		if _, err = f.Write(t.raw); err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = f.Chmod(0o644) // public data
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
	}
	if err != nil {
		return "", fault.Newf(fault.Precondition, "POSTCODES_NOT_WRITTEN", "The postcode table cannot be written to %s. Check the folder and its free space.", path).Because(err)
	}
	return path, nil
}

// Read reads a table from the bytes of its file, which it keeps. Whatever passes answers every look-up.
func Read(b []byte) (*Table, error) {
	bad := fault.New(fault.Unverified, "BAD_POSTCODES", "The postcode table is damaged or is no postcode table. Make it again with `postern postcode build`.")
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(b) < len(magic)+12+sha256.Size {
		return nil, bad
	}
	t := &Table{raw: b, digest: sha256.Sum256(b[:len(b)-sha256.Size])}
	if !bytes.Equal(t.digest[:], b[len(b)-sha256.Size:]) {
		return nil, bad
	}
	sizes, rest := rest[:12], rest[12:len(rest)-sha256.Size]
	head, sectors := uint64(binary.BigEndian.Uint32(sizes)), uint64(binary.BigEndian.Uint32(sizes[4:]))*uint64(sectorSize)
	exceptions := uint64(binary.BigEndian.Uint32(sizes[8:])) * exceptionSize
	if head+sectors+exceptions != uint64(len(rest)) {
		return nil, bad
	}
	if err := json.Unmarshal(rest[:head], &t.info); err != nil {
		return nil, bad.Because(err)
	}
	t.sectors, t.exceptions = rest[head:head+sectors], rest[head+sectors:]
	if !t.sound() {
		return nil, bad
	}
	return t, nil
}

// sound reads the keys and checks every number that a look-up follows, so that none can lead outside.
func (t *Table) sound() bool {
	authorities, exceptions := len(t.info.Authorities), uint64(len(t.exceptions)/exceptionSize)
	for i := range len(t.sectors) / sectorSize {
		s := t.sector(i)
		t.keys = append(t.keys, keyOf(s))
		last := uint64(binary.BigEndian.Uint32(s[offFirst:])) + uint64(binary.BigEndian.Uint16(s[offCount:]))
		ordered := i == 0 || t.keys[i-1] < t.keys[i]
		if int(binary.BigEndian.Uint16(s[offDefault:])) >= authorities || last > exceptions || !ordered {
			return false
		}
	}
	for i := range int(exceptions) {
		e := t.exceptions[i*exceptionSize:]
		if (int(e[1])<<8|int(e[2]))&0x7fff >= authorities {
			return false
		}
	}
	return true
}

// file puts the parts of a table together.
func file(info Info, sectors, exceptions []byte) ([]byte, error) {
	head, err := json.Marshal(info)
	if err != nil {
		return nil, fault.From(err)
	}
	b := make([]byte, 0, len(magic)+12+len(head)+len(sectors)+len(exceptions)+sha256.Size)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(sectors)/sectorSize))
	b = binary.BigEndian.AppendUint32(b, uint32(len(exceptions)/exceptionSize))
	b = append(append(append(b, head...), sectors...), exceptions...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// WriteTo writes the table's file.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(t.raw)
	return int64(n), err
}
