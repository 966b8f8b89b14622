package stranger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Hash is a node of a tree.
type Hash [sha256.Size]byte

func leafHash(leaf []byte) Hash { return sha256.Sum256(append([]byte{0}, leaf...)) }

func nodeHash(left, right Hash) Hash {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// Checkpoint is a signed state of a log.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
	Note   string // as signed
}

// Keys are verifier keys of logs, by origin.
type Keys map[string]ed25519.PublicKey

// ReadKeys reads verifier keys: origin, id and base64 of 01 and the public key, with a plus between.
func ReadKeys(texts ...string) (Keys, error) {
	keys := Keys{}
	for _, t := range texts {
		origin, rest, _ := strings.Cut(strings.TrimSpace(t), "+")
		id, text, ok := strings.Cut(rest, "+")
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if !ok || err != nil || len(b) != 1+ed25519.PublicKeySize || b[0] != 1 {
			return nil, fmt.Errorf("%q is no verifier key", t)
		}
		keys[origin] = b[1:]
		if hex.EncodeToString(keys.id(origin)) != id {
			return nil, fmt.Errorf("%q has another id", t)
		}
	}
	return keys, nil
}

// id is how signatures name the key of a log.
func (k Keys) id(origin string) []byte {
	return digest([]byte(origin + "\n\x01" + string(k[origin])))[:4]
}

// decimal reads a number in its one spelling.
func decimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err == nil && strconv.FormatUint(n, 10) != s {
		err = fmt.Errorf("%q is another spelling", s)
	}
	return n, err
}

// readHash reads a hash in its one spelling.
func readHash(s string) (h Hash, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(h) || base64.StdEncoding.EncodeToString(b) != s {
		return h, fmt.Errorf("%q is no hash", s)
	}
	return Hash(b), nil
}

// Checkpoint verifies a signed checkpoint of one of the logs whose keys we hold.
func (k Keys) Checkpoint(text string) (*Checkpoint, error) {
	body, signatures, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(body, "\n")
	if !ok || len(lines) != 3 || !utf8.ValidString(text) {
		return nil, errors.New("a checkpoint has three lines and signatures")
	}
	c := &Checkpoint{Origin: lines[0], Note: text}
	var err error
	if c.Size, err = decimal(lines[1]); err != nil {
		return nil, err
	}
	if c.Root, err = readHash(lines[2]); err != nil {
		return nil, err
	}
	if k[c.Origin] == nil {
		return nil, k.none(c.Origin)
	}
	return c, k.signed(c.Origin, body+"\n", signatures)
}

// errNoKey says that a checkpoint is of one of our logs, and that we lack the key.
var errNoKey = errors.New("no key of that log")

// none is why a checkpoint of an origin without a key does not hold.
func (k Keys) none(origin string) error {
	for known := range k {
		if first(known) == first(origin) {
			return errNoKey
		}
	}
	return fmt.Errorf("%q is no log of ours", origin)
}

// first is the origin of the first generation of a log.
func first(origin string) string {
	if i := strings.LastIndexByte(origin, '/'); i > 0 {
		if n, err := decimal(origin[i+1:]); err == nil && n > 1 {
			return origin[:i]
		}
	}
	return origin
}

// signed looks for the signature of a log's key among the lines, each of which must be well formed.
func (k Keys) signed(origin, body, lines string) error {
	if !strings.HasSuffix(lines, "\n") {
		return errors.New("the last line has no end")
	}
	held := false
	for line := range strings.Lines(lines) {
		name, text, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "— "), "\n"), " ")
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if !strings.HasPrefix(line, "— ") || !ok || name == "" || strings.ContainsFunc(name, notInNames) || err != nil || len(b) < 5 {
			return errors.New("no signature line")
		}
		if name != origin || string(b[:4]) != string(k.id(origin)) {
			continue // of a key that we do not know
		}
		if !ed25519.Verify(k[origin], []byte(body), b[4:]) {
			return errors.New("the signature does not hold")
		}
		held = true
	}
	if !held {
		return errNoKey
	}
	return nil
}

// notInNames reports whether a rune is in no name of a key.
func notInNames(r rune) bool { return r == '+' || r < ' ' || unicode.IsSpace(r) }

// included checks that a leaf is at an index of a tree (RFC 9162, section 2.1.3.2).
func included(leaf Hash, index uint64, path []Hash, c *Checkpoint) error {
	if index >= c.Size {
		return fmt.Errorf("index %d of %d", index, c.Size)
	}
	at, last, h := index, c.Size-1, leaf
	for _, p := range path {
		switch {
		case last == 0:
			return errors.New("the path is too long")
		case at&1 == 1 || at == last:
			h = nodeHash(p, h)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		default:
			h = nodeHash(h, p)
		}
		at, last = at>>1, last>>1
	}
	if last != 0 || h != c.Root {
		return errors.New("the path does not lead to the root")
	}
	return nil
}

// consistent checks that one tree begins another, larger one (RFC 9162, section 2.1.4.2).
func consistent(path []Hash, old, now *Checkpoint) error {
	if old.Size&(old.Size-1) == 0 {
		path = append([]Hash{old.Root}, path...)
	}
	if len(path) == 0 {
		return errors.New("no proof")
	}
	at, last := old.Size-1, now.Size-1
	down := bits.TrailingZeros64(^at)
	at, last = at>>down, last>>down
	was, is := path[0], path[0]
	for _, p := range path[1:] {
		switch {
		case last == 0:
			return errors.New("the proof is too long")
		case at&1 == 1 || at == last:
			was, is = nodeHash(p, was), nodeHash(p, is)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		default:
			is = nodeHash(is, p)
		}
		at, last = at>>1, last>>1
	}
	if last != 0 || was != old.Root || is != now.Root {
		return errors.New("the proof does not lead to both roots")
	}
	return nil
}
