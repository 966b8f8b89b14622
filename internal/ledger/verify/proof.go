package verify

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	maxHashes   = 64      // no tree of ours is deeper
	maxProof    = 1 << 18 // bytes of a proof that anybody may make us read
)

// Proof is a transparency log proof (C2SP tlog-proof): that a leaf is in the tree of a checkpoint.
type Proof struct {
	Extra      []byte // not authenticated; absent when empty
	Index      uint64
	Hashes     [][sha256.Size]byte // from the leaf's sibling to the root's child (RFC 6962 section 2.1.1)
	Checkpoint string              // the signed note
}

// Text returns the proof in its one spelling.
func (p Proof) Text() string {
	b := make([]byte, 0, len(proofHeader)+base64.StdEncoding.EncodedLen(len(p.Extra))+(hashText+1)*len(p.Hashes)+len(p.Checkpoint)+64)
	b = append(append(b, proofHeader...), '\n')
	if len(p.Extra) > 0 {
		b = append(base64.StdEncoding.AppendEncode(append(b, "extra "...), p.Extra), '\n')
	}
	b = append(strconv.AppendUint(append(b, "index "...), p.Index, 10), '\n')
	for _, h := range p.Hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return string(append(append(b, '\n'), p.Checkpoint...))
}

// ParseProof reads a proof without judging it. It accepts one spelling only: Text gives it back unchanged.
func ParseProof(text string) (Proof, error) {
	var p Proof
	malformed := refuse("PROOF_MALFORMED", "The proof is not a transparency log proof.")
	if len(text) > maxProof {
		return p, malformed
	}
	head, checkpoint, ok := strings.Cut(text, "\n\n")
	if !ok || checkpoint == "" {
		return p, malformed
	}
	p.Checkpoint = checkpoint
	lines := strings.Split(head, "\n")
	if lines[0] != proofHeader {
		return p, malformed
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		if p.Extra, ok = decode64(lines[0][len("extra "):]); !ok || len(p.Extra) == 0 {
			return p, malformed
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || len(lines)-1 > maxHashes {
		return p, malformed
	}
	index, ok := strings.CutPrefix(lines[0], "index ")
	if !ok {
		return p, malformed
	}
	if p.Index, ok = decimal(index); !ok {
		return p, malformed
	}
	p.Hashes = make([][sha256.Size]byte, 0, len(lines)-1)
	for _, line := range lines[1:] {
		h, ok := hash64(line)
		if !ok {
			return p, malformed
		}
		p.Hashes = append(p.Hashes, h)
	}
	return p, nil
}

// decimal reads a number without sign, spaces or leading zeroes.
func decimal(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

// decode64 reads base64 in its one spelling; the standard decoder alone would pass unused bits and line breaks.
func decode64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return b, err == nil && base64.StdEncoding.EncodeToString(b) == s
}

// hashText is the length of a hash in base64.
const hashText = 44

// hash64 is decode64 of a hash.
func hash64(s string) (h [sha256.Size]byte, ok bool) {
	if len(s) != hashText {
		return h, false
	}
	var text, again [hashText]byte
	var b [hashText / 4 * 3]byte
	copy(text[:], s)
	if n, err := base64.StdEncoding.Decode(b[:], text[:]); err != nil || n != len(h) {
		return h, false
	}
	base64.StdEncoding.Encode(again[:], b[:len(h)])
	return [sha256.Size]byte(b[:len(h)]), again == text
}
