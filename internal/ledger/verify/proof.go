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
	var b strings.Builder
	b.WriteString(proofHeader + "\n")
	if len(p.Extra) > 0 {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(p.Extra) + "\n")
	}
	b.WriteString("index " + strconv.FormatUint(p.Index, 10) + "\n")
	for _, h := range p.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	return b.String() + "\n" + p.Checkpoint
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

func hash64(s string) (h [sha256.Size]byte, ok bool) {
	b, ok := decode64(s)
	if !ok || len(b) != sha256.Size {
		return h, false
	}
	return [sha256.Size]byte(b), true
}
