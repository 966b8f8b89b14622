// Package archive is the folder that `audit export` writes: both logs as anyone's tools can read them (C2SP tlog-tiles),
// what opens their leaves, and a manifest signed by the auditor who fetched them. It can be checked offline, years
// later, without the hub.
//
// It guarantees that Verify passes only a folder in which nothing was altered, swapped, dropped, added or put back since
// its manifest was signed; in which every entry is in the tree of a checkpoint that the log signed, every tile is the
// one of its entries, and every body opens its leaf; and which continues every checkpoint the caller says it knows. The
// fault names the first thing that does not hold. A Writer signs nothing that did not pass the same checks, and a crash
// leaves what was there before or what the next run mends.
//
// It does not know what an event means, nor why a body is absent: erased, or outside the auditor's scope. A whole folder
// can be replaced by its own older state, or by what a log that lies shows to this auditor alone; only a known
// checkpoint, or a witness, tells.
package archive

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
)

const (
	manifestName   = "manifest.json"
	incompleteName = "incomplete"  // there while a Writer works; what it holds is for mending only
	checkpointName = "checkpoint"  // of a log's folder
	height         = 8             // of a tile (C2SP tlog-tiles)
	width          = 1 << height   // hashes in a full tile, entries in a full bundle
	maxManifest    = 256 << 20     // bytes; some 20 million entries
	maxFile        = 256 * 1 << 20 // bytes; far above 256 bodies of the largest size a hub takes
)

// Config says what a folder is held against.
type Config struct {
	Keys    verify.Keys       // of every log that the folder must hold, but for those that a later generation in it has followed
	Anchors *identity.Anchors // whose auditors may sign a manifest
	Known   []verify.Head     // verified checkpoints seen elsewhere: the folder must continue each of them
	Each    func(Entry) error // hears of each entry that a Writer adds, in the order of its log; nil for nobody

	off part // of the checks; tests turn some off to show what finds what
}

// Entry is an entry of a log that was added, with the body that opens its leaf, or nil. That it is of the log is certain
// only when the whole log is: after a Commit.
type Entry struct {
	Origin string
	Index  uint64
	Leaf   verify.Leaf
	Body   *Body
}

// part is a set of the checks that Verify makes.
type part uint8

const (
	digests    part = 1 << iota // files have the digests in the manifest
	listing                     // the manifest lists all files and no others
	signatures                  // checkpoints are signed
	roots                       // entries have the root of the checkpoint
	tiles                       // tiles are those of the entries
	bodies                      // bodies open their leaves
	known                       // the logs continue the known checkpoints
	openings                    // a later generation begins as one
)

func (c Config) checks(p part) bool { return c.off&p == 0 }

// Report is what a folder holds.
type Report struct {
	Time time.Time      // when it was signed
	By   identity.Party // the auditor who signed it
	Logs []LogReport    // in the order of their folders
	Lost []string       // logs with a key of which the folder has a later generation only: whoever exported got nothing of them
}

// LogReport is what a folder holds of one log.
type LogReport struct {
	verify.Head
	Folder string
	Signed string // the checkpoint, as the log signed it
	Absent uint64 // entries without a body
	Ended  uint64 // the size of its largest end that a later log of the folder names: with less, the end is not here; 0 for none
}

// folders are the names a log's folder can have: plain on every file system, and none of the folder's own files.
var folders = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// folderOf chooses the folder of a log: the last part of its origin, such as sent, with a number behind it when that is
// taken.
func folderOf(origin string, taken func(string) bool) string {
	base := origin[strings.LastIndexByte(origin, '/')+1:]
	if !folders.MatchString(base) || base == incompleteName {
		base = "log"
	}
	name := base
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%.30s-%d", base, n)
	}
	return name
}

// number spells a tile's number (C2SP tlog-tiles): groups of three digits, all but the last after an x.
func number(n uint64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/", n%1000) + s
	}
	return s
}

// tileName is the path of tile n of a level, or of bundle n below another folder; w is its width.
func tileName(log, level string, n uint64, w int) string {
	name := log + "/" + level + "/" + number(n)
	if w < width {
		name += fmt.Sprintf(".p/%d", w)
	}
	return name
}

func hashesName(log string, level int, n uint64, w int) string {
	return tileName(log, fmt.Sprintf("tile/%d", level), n, w)
}

func entriesName(log string, n uint64, w int) string { return tileName(log, "tile/entries", n, w) }

func bodiesName(log string, n uint64, w int) string { return tileName(log, "bodies", n, w) }

// wrong is the fault of a folder that does not hold; message says where, and what.
func wrong(reason, format string, args ...any) *fault.Error {
	return fault.Newf(fault.Unverified, reason, format, args...)
}
