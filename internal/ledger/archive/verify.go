package archive

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
	logv1 "postern/proto/postern/log/v1"
)

// Verify checks a whole folder, whose top is fsys, and says what it holds. It reads everything once, in memory that
// does not grow with the logs but for the list of files. A fault of kind Unverified names the first thing that does not
// hold.
func Verify(ctx context.Context, fsys fs.FS, c Config) (*Report, error) {
	if _, err := fs.Stat(fsys, incompleteName); err == nil {
		return nil, wrong("EXPORT_INCOMPLETE", "An export into this folder did not finish. Run it again.")
	}
	f, err := check(ctx, fsys, c, c.Keys.Origins())
	if err != nil {
		return nil, err
	}
	return f.report(), nil
}

// folder is a folder that was checked.
type folder struct {
	Config
	fsys     fs.FS
	manifest *manifest
	by       identity.Party
	listed   map[string]file
	used     map[string]bool // what belongs to a log, of listed
	logs     []*log
	lost     []string // origins of which there is a later generation only
	buffers  sync.Pool
}

// log is one log of it.
type log struct {
	LogReport
	ends []string // of logs before it, which its first entry names
	tree tree
}

// check checks a folder, in which there must be the logs of some origins and of the known checkpoints.
func check(ctx context.Context, fsys fs.FS, c Config, origins []string) (*folder, error) {
	f := &folder{Config: c, fsys: fsys, listed: map[string]file{}, used: map[string]bool{}}
	f.buffers.New = func() any { return new(buffers) }
	data, err := f.read(manifestName, maxManifest, nil)
	if err != nil {
		return nil, err
	}
	if f.manifest, f.by, err = openManifest(data, c.Anchors); err != nil {
		return nil, err
	}
	for _, l := range f.manifest.Files {
		f.listed[l.Path] = l
	}
	if err := f.complete(origins); err != nil {
		return nil, err
	}
	for _, g := range f.manifest.Logs {
		l, err := f.checkLog(ctx, g)
		if err != nil {
			return nil, err
		}
		f.logs = append(f.logs, l)
	}
	for _, l := range f.logs {
		l.Ended = f.named(l.Origin)
	}
	return f, f.leftOver()
}

// named is the size of the largest end of a log that a later one names.
func (f *folder) named(origin string) (size uint64) {
	for _, later := range f.logs {
		for _, end := range later.ends {
			if h, err := verify.ReadHead(end); err == nil && h.Origin == origin && verify.Succeeds(origin, later.Origin) {
				size = max(size, h.Size)
			}
		}
	}
	return size
}

func (f *folder) report() *Report {
	r := &Report{By: f.by, Lost: f.lost}
	r.Time, _ = time.Parse(time.RFC3339, f.manifest.Time) // openManifest has parsed it
	for _, l := range f.logs {
		r.Logs = append(r.Logs, l.LogReport)
	}
	return r
}

// complete finds a log that should be there and is not. One that a later generation has followed may be lost, unless a
// checkpoint of it is known; opens holds the later one to that.
func (f *folder) complete(origins []string) error {
	has := func(is func(string) bool) bool {
		return slices.ContainsFunc(f.manifest.Logs, func(g manifestLog) bool { return is(g.Origin) })
	}
	lacks := func(origin string) bool { return !has(func(o string) bool { return o == origin }) }
	for _, k := range f.Known {
		if lacks(k.Origin) {
			return wrong("LOG_MISSING", "The export lacks the log %s.", k.Origin)
		}
	}
	for _, origin := range origins {
		switch {
		case !lacks(origin):
		case has(func(o string) bool { return verify.Succeeds(origin, o) }):
			f.lost = append(f.lost, origin)
		default:
			return wrong("LOG_MISSING", "The export lacks the log %s.", origin)
		}
	}
	return nil
}

// checkLog recomputes a log's tree from its entries.
func (f *folder) checkLog(ctx context.Context, g manifestLog) (*log, error) {
	l := &log{LogReport: LogReport{Folder: g.Folder, Signed: g.Checkpoint}}
	var err error
	if l.Head, err = f.checkpoint(g); err != nil {
		return nil, err
	}
	tile := func(level int, n uint64, row []hash) error { return f.compareTile(l, level, n, row) }
	var first logv1.Kind
	err = f.bundles(ctx, l, func(b bundle, r result) error {
		if r.err != nil {
			return r.err
		}
		for _, name := range b.names() {
			f.used[name] = true
		}
		if b.n == 0 {
			first, l.ends = r.first, r.ends
		}
		l.Absent += uint64(r.absent)
		if err := f.continues(l, r.row); err != nil {
			return err
		}
		return l.tree.add(r.row, tile)
	})
	if err != nil {
		return nil, err
	}
	if err := f.opens(l.Origin, first); err != nil {
		return nil, err
	}
	if err := l.tree.partial(tile); err != nil {
		return nil, err
	}
	if err := f.continues(l, nil); err != nil {
		return nil, err
	}
	if f.checks(roots) && l.tree.root() != l.Root {
		return nil, wrong("ROOT_WRONG", "Log %s: its %d entries are not those that its checkpoint was signed over.", l.Origin, l.Size)
	}
	return l, nil
}

// opens checks that a later generation begins with how the one before it ended, by the kind of its first entry, 0 for none:
// a log that does not cannot stand for one that is not there.
func (c Config) opens(origin string, first logv1.Kind) error {
	if _, n := verify.Generation(origin); c.checks(openings) && n > 1 && first != logv1.Kind_KIND_GENERATION_OPENED {
		return wrong("GENERATION_WRONG", "Log %s, entry 0: it does not open a new generation, as the first of this log must.", origin)
	}
	return nil
}

// checkpoint reads and checks the checkpoint of a log.
func (f *folder) checkpoint(g manifestLog) (verify.Head, error) {
	name := g.Folder + "/" + checkpointName
	data, err := f.file(name, nil)
	if err != nil {
		return verify.Head{}, inLog(g.Origin, err)
	}
	f.used[name] = true
	head, err := verify.Checkpoint(string(data), f.Keys)
	if err != nil {
		return head, inLog(g.Origin, err)
	}
	if head.Origin != g.Origin {
		return head, wrong("CHECKPOINT_WRONG", "Log %s: its checkpoint is of the log %s.", g.Origin, head.Origin)
	}
	if !f.checks(digests) || string(data) == g.Checkpoint && f.intact(name, data) {
		return head, nil
	}
	signed, err := verify.Checkpoint(g.Checkpoint, f.Keys)
	switch {
	case err != nil:
		return head, wrong("CHECKPOINT_WRONG", "Log %s: its checkpoint is not the one in the manifest, which does not hold either.", g.Origin)
	case head.Size < signed.Size:
		return head, wrong("CHECKPOINT_WRONG", "Log %s: an older checkpoint was put back, of %d entries instead of %d.", g.Origin, head.Size, signed.Size)
	case head.Size == signed.Size && head.Root != signed.Root:
		return head, wrong("SPLIT_VIEW", "Log %s: there are two signed checkpoints of %d entries with different roots. Keep both and telephone the hub.", g.Origin, head.Size)
	}
	return head, wrong("CHECKPOINT_WRONG", "Log %s: its checkpoint is not the one in the manifest.", g.Origin)
}

// continues holds the known checkpoints of a log against its tree: those that lie within row, the bundle that comes
// next, or, without one, those of the tree as it stands.
func (f *folder) continues(l *log, row []hash) error {
	for _, k := range f.Known {
		if k.Origin != l.Origin || !f.checks(known) {
			continue
		}
		if k.Size > l.Size {
			return wrong("LOG_SHORTER", "Log %s: it has %d entries; a known checkpoint has %d. Keep both and telephone the hub.", l.Origin, l.Size, k.Size)
		}
		at := l.tree.size
		var root hash
		switch {
		case k.Size == at:
			root = l.tree.root()
		case at < k.Size && k.Size-at < uint64(len(row)):
			root = l.tree.rootWith(row[:k.Size-at])
		default:
			continue
		}
		if root != k.Root {
			return wrong("SPLIT_VIEW", "Log %s: its first %d entries are not those of a known checkpoint of that size. Keep both and telephone the hub.", l.Origin, k.Size)
		}
	}
	return nil
}

// compareTile compares a tile above the lowest level with the file that should hold it.
func (f *folder) compareTile(l *log, level int, n uint64, row []hash) error {
	name := hashesName(l.Folder, level, n, len(row))
	data, err := f.file(name, nil)
	if err != nil {
		return inLog(l.Origin, err)
	}
	f.used[name] = true
	if !f.checks(tiles) {
		return nil
	}
	want := joined(row)
	for i := range row {
		if end := (i + 1) * len(hash{}); len(data) < end || hash(data[end-len(hash{}):end]) != row[i] {
			first := (n*width + uint64(i)) << (height * level)
			return wrong("TILE_WRONG", "Log %s, entries %d to %d: the hash over them in %s is not theirs.",
				l.Origin, first, first+1<<(height*level)-1, name)
		}
	}
	if len(data) != len(want) || !f.intact(name, data) {
		return wrong("TILE_WRONG", "Log %s: %s is not as the manifest says.", l.Origin, name)
	}
	return nil
}

// leftOver finds files without a place.
func (f *folder) leftOver() error {
	if !f.checks(listing) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(f.listed)) {
		if !f.used[name] {
			return wrong("FILE_UNKNOWN", "%s is in the manifest, but no entry of a log belongs there.", name)
		}
	}
	return fs.WalkDir(f.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return unreadable(name, err)
		case d.IsDir():
			return nil
		case !f.used[name] && name != manifestName && name != incompleteName:
			return wrong("FILE_UNKNOWN", "%.200q is in the folder and not in the manifest.", name)
		case !d.Type().IsRegular():
			return notPlain(name)
		}
		return nil
	})
}

// bundles checks every bundle of a log, several at a time, and calls each with what came of it, in order.
func (f *folder) bundles(ctx context.Context, l *log, each func(bundle, result) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type job struct {
		bundle
		out chan result
	}
	jobs := make(chan job, runtime.GOMAXPROCS(0))
	go func() { // ends with ctx
		defer close(jobs)
		for n := uint64(0); n*width < l.Size; n++ {
			j := job{bundle{l.Origin, l.Folder, n, int(min(width, l.Size-n*width))}, make(chan result, 1)}
			select {
			case jobs <- j: // bounds how many are under way
			case <-ctx.Done():
				return
			}
			go func() { j.out <- f.checkBundle(j.bundle) }()
		}
	}()
	for j := range jobs {
		if err := each(j.bundle, <-j.out); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// file reads a listed file, and no more of it than shows that it is too long.
func (f *folder) file(name string, buf []byte) ([]byte, error) {
	l, ok := f.listed[name]
	if !ok && f.checks(listing) {
		return nil, wrong("FILE_UNLISTED", "%s is not in the manifest.", name)
	}
	limit := l.Size
	if !ok {
		limit = maxFile
	}
	return f.read(name, limit+1, buf)
}

// intact reports whether a file is as long as the manifest says and has its digest.
func (f *folder) intact(name string, data []byte) bool {
	return f.sized(name, data) && (!f.checks(digests) || digest(data) == f.listed[name].SHA256)
}

// sized reports whether a file is as long as the manifest says.
func (f *folder) sized(name string, data []byte) bool {
	return !f.checks(digests) || int64(len(data)) == f.listed[name].Size
}

// read reads a plain file, at most limit bytes of it, into buf when that is large enough. It looks before it opens: whoever
// opens a named pipe waits for a writer, for as long as there is none.
func (f *folder) read(name string, limit int64, buf []byte) ([]byte, error) {
	if info, err := fs.Lstat(f.fsys, name); err != nil {
		return nil, unreadable(name, err)
	} else if !info.Mode().IsRegular() {
		return nil, notPlain(name)
	}
	r, err := f.fsys.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	defer r.Close()
	var data []byte
	info, err := r.Stat()
	if err == nil {
		data, err = readAll(r, info.Size(), limit, buf)
	}
	if err != nil {
		return nil, unreadable(name, err)
	}
	return data, nil
}

func notPlain(name string) error { return wrong("FILE_UNKNOWN", "%s is no plain file.", name) }

func unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return wrong("FILE_MISSING", "%s is missing.", name).Because(err)
	}
	return wrong("FILE_UNREADABLE", "%s cannot be read.", name).Because(err)
}

// inLog names the log in a fault.
func inLog(origin string, err error) error {
	f := fault.From(err)
	return wrong(f.Reason, "Log %s: %s", origin, f.Message).Because(err)
}
