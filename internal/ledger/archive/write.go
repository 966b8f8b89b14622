package archive

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
	posternv1 "postern/proto/postern/v1"
)

// Writer brings a folder up to date: Begin each log that has grown, Add its new entries, then Commit. Until Commit the
// folder stands for what it held before.
//
// What a crash leaves is told by the file `incomplete`, which is there while a Writer works. New files have names that
// no manifest lists yet, and the manifest is replaced by one rename, which is the moment of the commit; the checkpoint
// files, which are the only others to be replaced, stand in the manifest too. So the next Writer puts the checkpoints
// back as the manifest has them, removes what it does not list, and goes on from there.
type Writer struct {
	Config
	dir     *disk
	old     *folder // nil for a new folder
	logs    []*Log
	changed bool
}

// Open opens an export in a folder for writing, making the folder when it is not there, and checks all that it holds.
// A folder with other things in it is refused: Precondition NOT_AN_EXPORT; one that another Writer has open:
// Unavailable EXPORT_BUSY. Close the Writer when done.
func Open(ctx context.Context, path string, c Config) (*Writer, error) {
	d, err := openDisk(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{Config: c, dir: d}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Reader is a Writer without a folder: what is added to it is checked and handed to Each, and nothing is kept. End it
// instead of a Commit.
func Reader(c Config) *Writer { return &Writer{Config: c} }

// End is Commit for a Reader. What Each was handed may be believed only after it.
func (w *Writer) End() (*Report, error) {
	report := &Report{}
	for _, l := range w.logs {
		if err := l.end(); err != nil {
			return nil, err
		}
		report.Logs = append(report.Logs, l.LogReport)
	}
	return report, nil
}

func (w *Writer) open(ctx context.Context) error {
	fsys := w.dir.FS()
	_, err := fs.Stat(fsys, manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return w.empty(fsys)
	}
	if _, err := fs.Stat(fsys, incompleteName); err == nil {
		if err := w.mend(fsys); err != nil {
			return err
		}
	}
	w.old, err = check(ctx, fsys, w.Config, nil) // a log may be new
	return err
}

// empty accepts a folder with nothing in it, or with what a first Writer that crashed has left.
func (w *Writer) empty(fsys fs.FS) error {
	_, err := fs.Stat(fsys, incompleteName)
	if err == nil {
		return w.dir.removeUnlisted(func(string) bool { return false })
	}
	names, err := fs.ReadDir(fsys, ".")
	if err == nil && len(names) > 0 {
		return fault.New(fault.Precondition, "NOT_AN_EXPORT", "The folder has other things in it and is no export. Name a new or empty folder.")
	}
	return err
}

// mend makes the folder again what its manifest says, after a crash.
func (w *Writer) mend(fsys fs.FS) error {
	f := &folder{Config: w.Config, fsys: fsys}
	data, err := f.read(manifestName, maxManifest, nil)
	if err != nil {
		return err
	}
	m, _, err := openManifest(data, w.Anchors)
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, l := range m.Files {
		listed[l.Path] = true
	}
	for _, g := range m.Logs {
		if err := w.dir.write(g.Folder+"/"+checkpointName, []byte(g.Checkpoint)); err != nil {
			return err
		}
	}
	return w.dir.removeUnlisted(func(name string) bool { return listed[name] })
}

// Head is the checkpoint up to which the folder holds a log; false when it has none of it.
func (w *Writer) Head(origin string) (verify.Head, bool) {
	if l := w.held(origin); l != nil {
		return l.Head, true
	}
	return verify.Head{}, false
}

func (w *Writer) held(origin string) *log {
	if w.old == nil {
		return nil
	}
	for _, l := range w.old.logs {
		if l.Origin == origin {
			return l
		}
	}
	return nil
}

// Begin begins the log of a signed checkpoint. The checkpoint must hold, and continue what the folder has: p proves it,
// and Commit computes it again from the entries.
func (w *Writer) Begin(checkpoint string, p *posternv1.ConsistencyProof) (*Log, error) {
	head, err := verify.Checkpoint(checkpoint, w.Keys)
	if err != nil {
		return nil, err
	}
	l := &Log{w: w, LogReport: LogReport{Head: head, Signed: checkpoint}}
	old := w.held(head.Origin)
	if old == nil {
		l.Folder = folderOf(head.Origin, w.taken)
	} else {
		l.Folder, l.Absent, l.oldSize = old.Folder, old.Absent, old.Size
		if head.Size == old.Size && head.Root == old.Root {
			l.Signed, l.done = old.Signed, true // other signatures on the same tree are no news
			l.files = w.old.below(l.Folder)
			w.logs = append(w.logs, l)
			return l, nil
		}
		if err := verify.Continues(old.Head, head, p); err != nil {
			return nil, err
		}
		if err := l.resume(old); err != nil {
			return nil, err
		}
	}
	w.logs = append(w.logs, l)
	w.changed = true
	if w.dir == nil {
		return l, nil
	}
	return l, w.dir.mark()
}

func (w *Writer) taken(name string) bool {
	old := w.old != nil && slices.ContainsFunc(w.old.logs, func(l *log) bool { return l.Folder == name })
	return old || slices.ContainsFunc(w.logs, func(l *Log) bool { return l.Folder == name })
}

// Commit signs what the folder now holds, when anything has changed, and returns it. Every log that was begun must be
// complete and have the root of its checkpoint.
func (w *Writer) Commit(by *identity.Identity, at time.Time) (*Report, error) {
	m := &manifest{Version: manifestVersion, Time: at.UTC().Truncate(time.Second).Format(time.RFC3339)}
	report := &Report{By: by.Party(), Time: at.UTC().Truncate(time.Second)}
	for _, l := range w.logs {
		if err := l.end(); err != nil {
			return nil, err
		}
		report.Logs = append(report.Logs, l.LogReport)
		m.Logs = append(m.Logs, manifestLog{l.Folder, l.Origin, l.Signed})
		m.Files = append(m.Files, l.files...)
	}
	if w.old != nil { // a log that was not begun stays as it is
		for i, l := range w.old.logs {
			if slices.ContainsFunc(w.logs, func(begun *Log) bool { return begun.Origin == l.Origin }) {
				continue
			}
			report.Logs = append(report.Logs, l.LogReport)
			m.Logs = append(m.Logs, w.old.manifest.Logs[i])
			m.Files = append(m.Files, w.old.below(l.Folder)...)
		}
	}
	slices.SortFunc(report.Logs, func(a, b LogReport) int { return cmp.Compare(a.Folder, b.Folder) })
	if !w.changed && w.old != nil {
		same := w.old.report()
		report.By, report.Time = same.By, same.Time
		return report, w.dir.unmark()
	}
	slices.SortFunc(m.Logs, func(a, b manifestLog) int { return cmp.Compare(a.Folder, b.Folder) })
	slices.SortFunc(m.Files, func(a, b file) int { return cmp.Compare(a.Path, b.Path) })
	return report, w.sign(m, by)
}

// sign writes the manifest and then what follows from it.
func (w *Writer) sign(m *manifest, by *identity.Identity) error {
	data, err := m.seal(by)
	if err != nil {
		return err
	}
	// What is signed is what a reader will judge; a certificate that does not hold would make an export of no use.
	if _, _, err := openManifest(data, w.Anchors); err != nil {
		return err
	}
	if err := w.dir.sync(); err != nil { // every file that the manifest lists is durable before it
		return err
	}
	if err := w.dir.write(manifestName, data); err != nil {
		return err
	}
	if err := w.dir.sync(); err != nil {
		return err
	}
	// A crash from here on leaves old checkpoints and old partial files; mend does the same as the rest of this.
	return errors.Join(w.mend(w.dir.FS()), w.dir.sync(), w.dir.unmark())
}

// Close releases the folder. Without a Commit it becomes again what it was.
func (w *Writer) Close() error {
	if w.dir == nil {
		return nil
	}
	if !w.dir.marked {
		return w.dir.close()
	}
	fsys := w.dir.FS()
	undo := w.empty
	if w.old != nil {
		undo = w.mend
	}
	err := undo(fsys)
	if err == nil {
		err = w.dir.unmark()
	}
	return errors.Join(err, w.dir.close())
}

// below are the listed files of a log's folder.
func (f *folder) below(name string) []file {
	var all []file
	for _, l := range f.manifest.Files {
		if strings.HasPrefix(l.Path, name+"/") {
			all = append(all, l)
		}
	}
	return all
}

// Log is one log that a Writer brings up to date.
type Log struct {
	LogReport
	w       *Writer
	oldSize uint64
	done    bool // nothing has grown
	tree    tree
	files   []file // of the new manifest, in no order

	row             []hash // of the bundle that is being filled
	entries, bodies []byte // of the same
}

// OldSize is how many entries the folder held before.
func (l *Log) OldSize() uint64 { return l.oldSize }

// Next is the index of the entry to Add next.
func (l *Log) Next() uint64 {
	if l.done {
		return l.Size
	}
	return l.tree.size + uint64(len(l.row))
}

// resume takes up the last bundle when it is not full, and keeps the files that stay.
func (l *Log) resume(old *log) error {
	l.tree = old.tree.clone()
	f, replaced := l.w.old, map[string]bool{l.Folder + "/" + checkpointName: true}
	if n := int(l.tree.size % width); n > 0 {
		b := bundle{l.Origin, l.Folder, l.tree.size / width, n}
		var err error
		if l.entries, err = f.read(b.names()[inEntries], maxFile, nil); err != nil {
			return err
		}
		if l.bodies, err = f.read(b.names()[inBodies], maxFile, nil); err != nil {
			return err
		}
		l.row, l.tree.rows[0] = slices.Clone(l.tree.rows[0]), nil
		for _, name := range b.names() {
			replaced[name] = true
		}
	}
	_ = l.tree.partial(func(level int, n uint64, row []hash) error {
		replaced[hashesName(l.Folder, level, n, len(row))] = true
		return nil
	})
	l.tree.size -= uint64(len(l.row))
	for _, kept := range f.below(l.Folder) {
		if !replaced[kept.Path] {
			l.files = append(l.files, kept)
		}
	}
	return nil
}

// Add adds the next entry, with the body that must open it, or nil.
func (l *Log) Add(entry []byte, body *Body) error {
	at := l.Next()
	if at >= l.Size {
		return wrong("ENTRY_UNKNOWN", "Log %s, entry %d: the checkpoint covers only %d entries.", l.Origin, at, l.Size)
	}
	leaf, err := verify.ParseLeaf(entry)
	if err == nil && at == 0 {
		if err := l.w.opens(l.Origin, leaf.Kind); err != nil {
			return err
		}
	}
	if err == nil && body != nil {
		err = verify.Body(leaf, body.Opening, body.Core, body.Details)
	}
	if err != nil {
		f := fault.From(err)
		return wrong(f.Reason, "Log %s, entry %d: %s", l.Origin, at, f.Message).Because(err)
	}
	if body == nil {
		l.Absent++
	}
	if l.w.Each != nil {
		if err := l.w.Each(Entry{Origin: l.Origin, Index: at, Leaf: leaf, Body: body}); err != nil {
			return err
		}
	}
	l.row = append(l.row, leafHash(entry))
	l.entries, l.bodies = appendEntry(l.entries, entry), appendBody(l.bodies, body)
	if len(l.row) == width {
		return l.flush()
	}
	return nil
}

// flush writes the bundle that was filled, and every tile that it completes.
func (l *Log) flush() error {
	b := bundle{l.Origin, l.Folder, l.tree.size / width, len(l.row)}
	for i, data := range [...][]byte{inEntries: l.entries, inTile: joined(l.row), inBodies: l.bodies} {
		if err := l.put(b.names()[i], data); err != nil {
			return err
		}
	}
	err := l.tree.add(l.row, l.putTile)
	l.row, l.entries, l.bodies = nil, l.entries[:0], l.bodies[:0]
	return err
}

func (l *Log) putTile(level int, n uint64, row []hash) error {
	return l.put(hashesName(l.Folder, level, n, len(row)), joined(row))
}

func (l *Log) put(name string, data []byte) error {
	if l.w.dir == nil {
		return nil
	}
	l.files = append(l.files, file{name, int64(len(data)), digest(data)})
	return l.w.dir.write(name, data)
}

// end writes what is left and holds the tree against the checkpoint. The checkpoint's own file is written by sign.
func (l *Log) end() error {
	if l.done {
		return nil
	}
	if l.Next() != l.Size {
		return wrong("LOG_SHORTER", "Log %s: its checkpoint covers %d entries, but only %d came.", l.Origin, l.Size, l.Next())
	}
	if l.Size == 0 {
		if err := l.w.opens(l.Origin, 0); err != nil {
			return err
		}
	}
	data := []byte(l.Signed)
	l.files = append(l.files, file{l.Folder + "/" + checkpointName, int64(len(data)), digest(data)})
	if len(l.row) > 0 {
		if err := l.flush(); err != nil {
			return err
		}
	}
	if err := l.tree.partial(l.putTile); err != nil {
		return err
	}
	if l.tree.root() != l.Root {
		return wrong("ROOT_WRONG", "Log %s: the %d entries that came are not those that its checkpoint was signed over.", l.Origin, l.Size)
	}
	return nil
}

func (t *tree) clone() tree {
	c := tree{size: t.size}
	for _, row := range t.rows {
		c.rows = append(c.rows, slices.Clone(row))
	}
	return c
}

// bodyOf is the body of an exported entry, or nil.
func bodyOf(b *posternv1.ExportedBody) *Body {
	if b == nil {
		return nil
	}
	return &Body{Opening: b.GetOpening(), Core: b.GetCore(), Details: b.GetDetails()}
}

// AddExported is Add for an entry as a hub sends it. It must have the next index.
func (l *Log) AddExported(e *posternv1.ExportedEntry) error {
	if e.GetIndex() != l.Next() {
		return wrong("ENTRY_MISSING", "Log %s, entry %d: the hub sent entry %d in its place.", l.Origin, l.Next(), e.GetIndex())
	}
	return l.Add(e.GetLeaf(), bodyOf(e.GetBody()))
}
