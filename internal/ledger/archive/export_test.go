package archive

import (
	"io/fs"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"postern/internal/identity"
)

// Part names a part of the check.
type Part = part

// The parts of the check that a test can leave out, to see what finds what.
const (
	Digests  = digests
	Listing  = listing
	Roots    = roots
	Tiles    = tiles
	Bodies   = bodies
	Known    = known
	Openings = openings
)

// Without is the config with parts of the check left out.
func (c Config) Without(p Part) Config {
	c.off |= p
	return c
}

// The readers and writers of bundles, for tests that build folders by hand.
var (
	AppendEntry = appendEntry
	CutEntry    = cutEntry
	AppendBody  = appendBody
	CutBody     = cutBody
	FolderOf    = folderOf
	TileName    = tileName
)

// OpenManifest reads a manifest as Verify does.
func OpenManifest(data []byte, a *identity.Anchors) error {
	_, _, err := openManifest(data, a)
	return err
}

// Resign makes the manifest of a folder anew, over the files as they are now: what an auditor could do who lies.
func Resign(files fstest.MapFS, by *identity.Identity, at time.Time) error {
	m := &manifest{Version: manifestVersion, Time: at.Format(time.RFC3339)}
	for name, f := range files {
		if name == manifestName {
			continue
		}
		m.Files = append(m.Files, file{name, int64(len(f.Data)), digest(f.Data)})
		if folder, ok := strings.CutSuffix(name, "/"+checkpointName); ok {
			origin, _, _ := strings.Cut(string(f.Data), "\n")
			m.Logs = append(m.Logs, manifestLog{folder, origin, string(f.Data)})
		}
	}
	slices.SortFunc(m.Logs, func(a, b manifestLog) int { return strings.Compare(a.Folder, b.Folder) })
	slices.SortFunc(m.Files, func(a, b file) int { return strings.Compare(a.Path, b.Path) })
	data, err := m.seal(by)
	files[manifestName] = &fstest.MapFile{Data: data}
	return err
}

// Rehash writes the tiles of a log anew, from its entries as they are now.
func Rehash(files fstest.MapFS, folder string, size uint64) error {
	var t tree
	put := func(level int, n uint64, row []hash) error {
		files[hashesName(folder, level, n, len(row))] = &fstest.MapFile{Data: joined(row)}
		return nil
	}
	for n := uint64(0); n*width < size; n++ {
		b := bundle{"", folder, n, int(min(width, size-n*width))}
		data, err := fs.ReadFile(files, b.names()[inEntries])
		if err != nil {
			return err
		}
		var row []hash
		for entry, rest, ok := cutEntry(data); ok; entry, rest, ok = cutEntry(rest) {
			row = append(row, leafHash(entry))
		}
		if err := put(0, n, row); err != nil {
			return err
		}
		if err := t.add(row, put); err != nil {
			return err
		}
	}
	return t.partial(put)
}

// Abandon leaves the folder as a killed process does.
func (w *Writer) Abandon() error { return w.dir.close() }
