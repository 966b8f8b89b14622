package verify

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// maxSize keeps tree arithmetic, which tlog does in int64, far from its edge.
const maxSize = 1 << 56

// EmptyRoot is the root of a log without leaves: SHA-256 of nothing (RFC 6962 section 2.1).
var EmptyRoot = sha256.Sum256(nil)

// Keys are the verifier keys a party trusts, each for the one log whose origin is the key's name. The zero Keys trust
// nothing.
type Keys struct{ byOrigin map[string][]note.Verifier }

// NewKeys reads verifier keys (C2SP signed-note: name+hash+key). Several for one origin are alternatives, for the time
// a log changes its key. A malformed or repeated one is an Invalid fault.
func NewKeys(vkeys ...string) (Keys, error) {
	k := Keys{byOrigin: map[string][]note.Verifier{}}
	for _, vkey := range vkeys {
		v, err := note.NewVerifier(strings.TrimSpace(vkey))
		if err != nil {
			return Keys{}, fault.New(fault.Invalid, "LOG_KEY_MALFORMED",
				"A verifier key of the log is malformed. Copy the whole line: name+hash+key.").Because(err)
		}
		same := func(o note.Verifier) bool { return o.KeyHash() == v.KeyHash() }
		if slices.ContainsFunc(k.byOrigin[v.Name()], same) {
			return Keys{}, fault.Newf(fault.Invalid, "LOG_KEY_REPEATED", "The verifier key of %s is given twice.", v.Name())
		}
		k.byOrigin[v.Name()] = append(k.byOrigin[v.Name()], v)
	}
	return k, nil
}

// Origins returns the origins of the logs that the keys are for, sorted.
func (k Keys) Origins() []string {
	var all []string
	for o := range k.byOrigin {
		all = append(all, o)
	}
	slices.Sort(all)
	return all
}

// Verifiers returns the keys for one origin, for those who must know which of them signed a note.
func (k Keys) Verifiers(origin string) note.Verifiers {
	return note.VerifierList(k.byOrigin[origin]...)
}

// Head is what a checkpoint states: the log, how many leaves it has, and the root of their tree.
type Head struct {
	Origin string
	Size   uint64
	Root   [sha256.Size]byte
}

// Generation takes an origin apart: a log of the n-th generation, from 2 on, has the origin of its first one, a slash and
// n. A log that ends without one is of the first.
func Generation(origin string) (first string, n uint64) {
	if i := strings.LastIndexByte(origin, '/'); i > 0 {
		if n, ok := decimal(origin[i+1:]); ok && n > 1 {
			return origin[:i], n
		}
	}
	return origin, 1
}

// SameLog reports whether two origins are of one log, in whatever generations.
func SameLog(a, b string) bool {
	x, _ := Generation(a)
	y, _ := Generation(b)
	return x == y
}

// Succeeds reports whether next is the origin of a later generation of the same log.
func Succeeds(origin, next string) bool {
	_, a := Generation(origin)
	_, b := Generation(next)
	return SameLog(origin, next) && b > a
}

// OriginOf is the origin of a log's n-th generation.
func OriginOf(first string, n uint64) string {
	if n <= 1 {
		return first
	}
	return first + "/" + strconv.FormatUint(n, 10)
}

// Text returns the note text of the checkpoint (C2SP tlog-checkpoint): three lines and no extension.
func (h Head) Text() string {
	return h.Origin + "\n" + strconv.FormatUint(h.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(h.Root[:]) + "\n"
}

// Checkpoint checks a signed checkpoint: three lines in their one spelling, signed by a key trusted for exactly that
// origin. Signatures of unknown keys are ignored, as the note format asks, so that witnesses may add theirs; extension
// lines are refused, because no log of ours writes any.
func Checkpoint(signed string, keys Keys) (Head, error) {
	text, _, ok := strings.Cut(signed, "\n\n")
	if !ok {
		return Head{}, refuse("CHECKPOINT_MALFORMED", "The checkpoint has no signature.")
	}
	h, err := parseHead(text)
	if err != nil {
		return Head{}, err
	}
	known := keys.byOrigin[h.Origin]
	if len(known) == 0 {
		return Head{}, refuse("ORIGIN_UNKNOWN", "The checkpoint is of a log that we hold no key for: %.100q. Compare the verifier keys here with those that the hub's operator reads out.", h.Origin)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(known...))
	var bad *note.InvalidSignatureError
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &bad):
		return Head{}, refuse("SIGNATURE_WRONG", "The signature on the checkpoint of %s does not hold.", h.Origin)
	case errors.As(err, &none):
		return Head{}, refuse("SIGNATURE_MISSING", "No key that we trust has signed this checkpoint of %s. Compare the verifier keys here with those that the hub's operator reads out.", h.Origin)
	case err != nil, n.Text != text+"\n": // a note's text may hold blank lines, ours may not: all that is signed was read
		return Head{}, refuse("CHECKPOINT_MALFORMED", "The checkpoint is not a signed note.")
	}
	for _, s := range n.Sigs {
		// The note format leaves the unused bits of base64 open; one signature shall have one spelling.
		if _, ok := decode64(s.Base64); !ok {
			return Head{}, refuse("SIGNATURE_WRONG", "The signature on the checkpoint of %s is misspelt.", h.Origin)
		}
	}
	return h, nil
}

// AddsSignature reports whether a signed checkpoint bears the signature of a key trusted for its origin that another one,
// of the same head, lacks: as from the day on which a log begins to change its key.
func AddsSignature(signed, other string, head Head, keys Keys) bool {
	by := func(signed string) (hashes []uint32) {
		n, err := note.Open([]byte(signed), keys.Verifiers(head.Origin))
		if err != nil {
			return nil // by no key that is trusted, or not any more
		}
		for _, s := range n.Sigs {
			hashes = append(hashes, s.Hash)
		}
		return hashes
	}
	has := by(other)
	return slices.ContainsFunc(by(signed), func(hash uint32) bool { return !slices.Contains(has, hash) })
}

// ReadHead reads what a signed checkpoint states and does not judge who signed it.
func ReadHead(signed string) (Head, error) {
	text, _, ok := strings.Cut(signed, "\n\n")
	if !ok {
		return Head{}, refuse("CHECKPOINT_MALFORMED", "The checkpoint has no signature.")
	}
	return parseHead(text)
}

// SplitCheckpoints takes apart a file of checkpoints, one after the other with an empty line between. A note has one
// empty line of its own, so the file is read in pairs of blocks. More empty lines between two notes, and around all of
// them, are passed over: a hub keeps its newest checkpoints in places of a fixed size.
func SplitCheckpoints(text string) ([]string, error) {
	var blocks []string
	for block := range strings.SplitSeq(text, "\n\n") {
		if block = strings.Trim(block, "\n"); block != "" {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) == 0 || len(blocks)%2 != 0 {
		return nil, refuse("CHECKPOINT_MALFORMED", "The file does not consist of signed checkpoints.")
	}
	var notes []string
	for i := 0; i < len(blocks); i += 2 {
		notes = append(notes, blocks[i]+"\n\n"+blocks[i+1]+"\n")
	}
	return notes, nil
}

// parseHead reads the text of a checkpoint without its last line end.
func parseHead(text string) (Head, error) {
	malformed := refuse("CHECKPOINT_MALFORMED", "The checkpoint does not consist of origin, size and root.")
	lines := strings.Split(text, "\n")
	if len(lines) != 3 || lines[0] == "" {
		return Head{}, malformed
	}
	size, ok := decimal(lines[1])
	root, ok2 := hash64(lines[2])
	if !ok || !ok2 || size > maxSize {
		return Head{}, malformed
	}
	return Head{Origin: lines[0], Size: size, Root: root}, nil
}

// Consistency checks that the tree of p.OldSize with oldRoot is the beginning of the tree of p.NewSize with newRoot
// (RFC 6962 section 2.1.2). It says nothing about who signed either: Continues takes verified checkpoints.
func Consistency(p *posternv1.ConsistencyProof, oldRoot, newRoot [sha256.Size]byte) error {
	wrong := refuse("CONSISTENCY_WRONG", "The log does not continue what it showed before. Stop, keep both checkpoints and telephone the hub.")
	if p.GetNewSize() > maxSize || p.GetOldSize() > p.GetNewSize() || len(p.GetHashes()) > maxHashes {
		return wrong
	}
	proof := make(tlog.TreeProof, 0, len(p.GetHashes()))
	for _, h := range p.GetHashes() {
		if len(h) != sha256.Size {
			return refuse("CONSISTENCY_MALFORMED", "The consistency proof is malformed.")
		}
		proof = append(proof, tlog.Hash(h))
	}
	if p.GetOldSize() == 0 {
		// Every tree continues the empty one, so there is nothing to prove; only the empty root may be claimed for it.
		if len(proof) != 0 || oldRoot != EmptyRoot || p.GetNewSize() == 0 && newRoot != EmptyRoot {
			return wrong
		}
		return nil
	}
	if tlog.CheckTree(proof, int64(p.GetNewSize()), newRoot, int64(p.GetOldSize()), oldRoot) != nil {
		return wrong
	}
	return nil
}

// Continues checks that newer continues older: the same log, not shorter, and p proves it. A party calls it before it
// replaces the head it remembers; a fault means that the log was rolled back or shows different people different
// things.
func Continues(older, newer Head, p *posternv1.ConsistencyProof) error {
	if older.Origin != newer.Origin || p.GetOrigin() != newer.Origin {
		return refuse("ORIGIN_DIFFERS", "The proof is of another log.")
	}
	if newer.Size < older.Size {
		return refuse("LOG_SHORTER", "The log %s is shorter than it was. Stop and telephone the hub.", newer.Origin)
	}
	if p.GetOldSize() != older.Size || p.GetNewSize() != newer.Size {
		return refuse("CONSISTENCY_MALFORMED", "The consistency proof is between other sizes than the checkpoints.")
	}
	return Consistency(p, older.Root, newer.Root)
}
