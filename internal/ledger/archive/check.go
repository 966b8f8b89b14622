package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	logv1 "postern/proto/postern/log/v1"
)

// bundle is the place of up to 256 entries: three files.
type bundle struct {
	origin string
	folder string
	n      uint64
	width  int
}

func (b bundle) names() [3]string {
	return [...]string{entriesName(b.folder, b.n, b.width), hashesName(b.folder, 0, b.n, b.width), bodiesName(b.folder, b.n, b.width)}
}

// result is what came of checking a bundle.
type result struct {
	row    []hash     // of the entries
	first  logv1.Kind // of the first of them
	ends   []string   // the checkpoints that the first of them names, where it opens a generation and has a body
	absent int        // entries without a body
	err    error
}

// buffers are reused from bundle to bundle: what they hold is gone when the next one is checked.
type buffers struct {
	files  [3][]byte
	leaves [width]verify.Leaf
}

// checking is a bundle under check.
type checking struct {
	bundle
	*folder
	*buffers
	row    []hash
	ends   []string
	absent int
}

// The files of a bundle, in the order of names.
const (
	inEntries = iota
	inTile
	inBodies
)

// checkBundle checks that the entries are well-formed, that the tile has their hashes, that the bodies open them, and
// that the files are as the manifest says. The digests come last, because they cannot say which entry it is; they
// decide who is to blame when two of the files disagree.
func (f *folder) checkBundle(b bundle) result {
	c := checking{bundle: b, folder: f, buffers: f.buffers.Get().(*buffers), row: make([]hash, 0, b.width)}
	defer f.buffers.Put(c.buffers)
	err := c.run()
	return result{c.row, c.leaves[0].Kind, c.ends, c.absent, err}
}

func (c *checking) run() error {
	for i, name := range c.names() {
		var err error
		if c.files[i], err = c.file(name, c.files[i]); err != nil {
			return wrong(fault.From(err).Reason, "Log %s, entry %d: %s", c.origin, c.n*width, fault.From(err).Message).Because(err)
		}
	}
	for _, part := range []func() error{c.entries, c.opened} {
		if err := part(); err != nil {
			return err
		}
	}
	for i, name := range c.names() {
		// The leaves fix every byte of bodies that are all there. Their digest would be half of the work, and say nothing.
		if i == inBodies && c.absent == 0 && c.checks(bodies) && c.sized(name, c.files[i]) {
			continue
		}
		if !c.asListed(i) {
			last := c.n*width + uint64(c.width) - 1
			return wrong("FILE_CHANGED", "Log %s, entries %d to %d: %s is not as the manifest says.", c.origin, c.n*width, last, name)
		}
	}
	return nil
}

// asListed reports whether one of the files is as the manifest says.
func (c *checking) asListed(i int) bool { return c.folder.intact(c.names()[i], c.files[i]) }

// entries checks the entries against the tile.
func (c *checking) entries() error {
	rest, tile := c.files[inEntries], c.files[inTile]
	for i := range c.width {
		entry, after, ok := cutEntry(rest)
		if !ok {
			return c.at(i, "ENTRY_MISSING", "%s ends before it does.", c.names()[inEntries])
		}
		rest = after
		h := leafHash(entry)
		if end := (i + 1) * len(h); c.checks(tiles) && (len(tile) < end || hash(tile[end-len(h):end]) != h) {
			switch {
			case !c.asListed(inEntries):
				return c.at(i, "ENTRY_WRONG", "it is not the entry that was exported; see %s.", c.names()[inEntries])
			case len(tile) < end:
				return c.at(i, "TILE_WRONG", "its hash is missing in %s.", c.names()[inTile])
			case !c.asListed(inTile):
				return c.at(i, "TILE_WRONG", "its hash in %s was changed.", c.names()[inTile])
			}
			return c.at(i, "TILE_WRONG", "its hash in %s is not its own.", c.names()[inTile])
		}
		var err error
		if c.leaves[i], err = verify.ParseLeaf(entry); err != nil {
			return c.at(i, "ENTRY_WRONG", "%s", fault.From(err).Message).Because(err)
		}
		c.row = append(c.row, h)
	}
	if len(rest) > 0 {
		return c.at(c.width, "ENTRY_WRONG", "%s holds more than the %d entries that belong there.", c.names()[inEntries], c.width)
	}
	if c.checks(tiles) && len(tile) != c.width*len(hash{}) {
		return c.at(c.width, "TILE_WRONG", "%s holds more than the hashes of %d entries.", c.names()[inTile], c.width)
	}
	return nil
}

// opened checks that each body opens its leaf.
func (c *checking) opened() error {
	rest := c.files[inBodies]
	for i := range c.width {
		body, present, after, ok := cutBody(rest)
		if !ok {
			return c.at(i, "BODY_MISSING", "its body in %s is damaged or missing.", c.names()[inBodies])
		}
		rest = after
		if !present {
			c.absent++
			continue
		}
		if !c.checks(bodies) {
			continue
		}
		if err := verify.Body(c.leaves[i], body.Opening, body.Core, body.Details); err != nil {
			if !c.asListed(inEntries) && c.asListed(inBodies) {
				return c.at(i, "ENTRY_WRONG", "it is not the entry that was exported; see %s.", c.names()[inEntries])
			}
			return c.at(i, "BODY_WRONG", "its body in %s does not open it. %s", c.names()[inBodies], fault.From(err).Message).Because(err)
		}
		if i == 0 && c.leaves[i].Kind == logv1.Kind_KIND_GENERATION_OPENED {
			core := &logv1.Core{}
			if err := proto.Unmarshal(body.Core, core); err != nil {
				return c.at(i, "BODY_WRONG", "what it says of the log before it cannot be read.").Because(err)
			}
			c.ends = core.GetFollowsCheckpoints()
		}
	}
	if len(rest) > 0 {
		return c.at(c.width, "BODY_WRONG", "%s holds more than the bodies of %d entries.", c.names()[inBodies], c.width)
	}
	return nil
}

// at is a fault at one entry of the bundle.
func (c *checking) at(i int, reason, format string, args ...any) *fault.Error {
	return wrong(reason, "Log %s, entry %d: "+format, append([]any{c.origin, c.n*width + uint64(i)}, args...)...)
}

func digest(data []byte) string {
	d := sha256.Sum256(data)
	return hex.EncodeToString(d[:])
}

// readAll reads at most limit bytes into buf, which is replaced when it is too small; size is how many there should be.
func readAll(r io.Reader, size, limit int64, buf []byte) ([]byte, error) {
	if want := min(size, limit) + 1; int64(cap(buf)) < want { // one more, to see the end
		buf = make([]byte, 0, want)
	}
	buf = buf[:0]
	for int64(len(buf)) < limit {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(int64(cap(buf)), limit)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return buf, nil
}
