package stranger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// LogKey is a key that checks the notes of a log.
type LogKey struct {
	Origin string
	hash   []byte // the four bytes that stand before a signature by this key
	public ed25519.PublicKey
}

// ParseLogKey reads name+hash+key.
func ParseLogKey(text string) (*LogKey, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not name+hash+key")
	}
	id, err1 := hex.DecodeString(parts[1])
	key, err2 := base64.StdEncoding.DecodeString(parts[2])
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	want := hash(append([]byte(parts[0]+"\n"), key...))[:4]
	if len(key) != 33 || key[0] != 1 || !bytes.Equal(id, want) {
		return nil, errors.New("not an Ed25519 key of this name")
	}
	return &LogKey{parts[0], id, key[1:]}, nil
}

// Checkpoint is what a log's hub signed.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   []byte
	Note   string
}

// ReadCheckpoint reads a note that one of the keys has signed.
func ReadCheckpoint(note string, keys []*LogKey) (*Checkpoint, error) {
	text, signatures, ok := strings.Cut(note, "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(lines) != 3 || !strings.HasSuffix(signatures, "\n") {
		return nil, errors.New("no signed note of three lines")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err2 != nil || strconv.FormatUint(size, 10) != lines[1] || len(root) != sha256.Size {
		return nil, errors.New("no size or no root")
	}
	signed := false
	for line := range strings.Lines(signatures) {
		var name, signature string
		if n, err := fmt.Sscanf(line, "— %s %s\n", &name, &signature); n != 2 || err != nil {
			return nil, errors.New("no line of a signature")
		}
		b, err := base64.StdEncoding.DecodeString(signature)
		if err != nil || len(b) < 5 {
			return nil, errors.New("no signature")
		}
		for _, k := range keys {
			if k.Origin != lines[0] || name != k.Origin || !bytes.Equal(b[:4], k.hash) {
				continue
			}
			if !ed25519.Verify(k.public, []byte(text+"\n"), b[4:]) {
				return nil, errors.New("a signature of the log does not hold")
			}
			signed = true
		}
	}
	if !signed {
		return nil, errors.New("not signed by a key that we know")
	}
	return &Checkpoint{lines[0], size, root, note}, nil
}

// LeafHash and node are the hashes of RFC 6962.
func LeafHash(leaf []byte) []byte    { return hash(append([]byte{0}, leaf...)) }
func node(left, right []byte) []byte { return hash(append(append([]byte{1}, left...), right...)) }

// included says whether hashes lead from a leaf to the root of a tree (RFC 9162, 2.1.3.2).
func included(leaf []byte, index, size uint64, hashes [][]byte, root []byte) bool {
	if index >= size {
		return false
	}
	at, last, r := index, size-1, leaf
	for _, h := range hashes {
		if last == 0 {
			return false
		}
		if at&1 == 1 || at == last {
			r = node(h, r)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			r = node(r, h)
		}
		at, last = at>>1, last>>1
	}
	return last == 0 && bytes.Equal(r, root)
}

// continues says whether hashes show that a tree is the beginning of a larger one (RFC 9162, 2.1.4.2).
func continues(first, second uint64, root1, root2 []byte, hashes [][]byte) bool {
	switch {
	case first == 0:
		return len(hashes) == 0 // an empty tree begins every tree
	case first == second:
		return len(hashes) == 0 && bytes.Equal(root1, root2)
	case first > second:
		return false
	}
	if first&(first-1) == 0 {
		hashes = append([][]byte{root1}, hashes...)
	}
	if len(hashes) == 0 {
		return false
	}
	at, last := first-1, second-1
	for at&1 == 1 {
		at, last = at>>1, last>>1
	}
	r1, r2 := hashes[0], hashes[0]
	for _, h := range hashes[1:] {
		if last == 0 {
			return false
		}
		if at&1 == 1 || at == last {
			r1, r2 = node(h, r1), node(h, r2)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			r2 = node(r2, h)
		}
		at, last = at>>1, last>>1
	}
	return last == 0 && bytes.Equal(r1, root1) && bytes.Equal(r2, root2)
}

// Proven is what a receipt proves.
type Proven struct {
	Kind       logv1.Kind
	EventID    []byte
	Core       *logv1.Core
	Checkpoint *Checkpoint
}

// ReadReceipt checks a receipt with the keys of the logs that it may be of.
func ReadReceipt(r *posternv1.Receipt, keys []*LogKey) (*Proven, error) {
	leaf := r.GetLeaf()
	if len(leaf) != 54 || leaf[0] != 1 || leaf[17] == 0 {
		return nil, errors.New("no leaf of version 1")
	}
	mac := hmac.New(sha256.New, r.GetOpening())
	mac.Write(hash(r.GetCore()))
	mac.Write(r.GetDetailsSha256())
	if len(r.GetOpening()) != 32 || len(r.GetDetailsSha256()) != 32 || !bytes.Equal(mac.Sum(nil), leaf[22:]) {
		return nil, errors.New("the commitment does not open")
	}
	core := &logv1.Core{}
	if err := proto.Unmarshal(r.GetCore(), core); err != nil {
		return nil, err
	}
	hour := core.GetEventTime().GetSeconds() / 3600
	if !core.GetEventTime().IsValid() || hour != int64(binary.BigEndian.Uint32(leaf[18:22])) {
		return nil, errors.New("the hour is not that of the event")
	}
	c, err := proof(r.GetTlogProof(), LeafHash(leaf), keys)
	if err != nil {
		return nil, err
	}
	return &Proven{logv1.Kind(leaf[17]), leaf[1:17], core, c}, nil
}

// proof checks a tlog-proof of a leaf.
func proof(text string, leaf []byte, keys []*LogKey) (*Checkpoint, error) {
	head, note, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || len(lines) > 66 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, errors.New("no tlog-proof")
	}
	decimal, ok := strings.CutPrefix(lines[1], "index ")
	index, err := strconv.ParseUint(decimal, 10, 63)
	if !ok || err != nil || strconv.FormatUint(index, 10) != decimal {
		return nil, errors.New("no index")
	}
	var hashes [][]byte
	for _, line := range lines[2:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != sha256.Size {
			return nil, errors.New("no hash")
		}
		hashes = append(hashes, h)
	}
	c, err := ReadCheckpoint(note, keys)
	if err != nil {
		return nil, err
	}
	if !included(leaf, index, c.Size, hashes, c.Root) {
		return nil, errors.New("the proof does not lead to the root")
	}
	return c, nil
}

// Witness remembers the largest checkpoint of each log that a party may see.
type Witness struct {
	Keys []*LogKey
	seen map[string]*Checkpoint
}

// NewWitness knows keys and no checkpoint yet.
func NewWitness(keys ...*LogKey) *Witness { return &Witness{keys, map[string]*Checkpoint{}} }

// Known is what every request says.
func (w *Witness) Known() (known []*posternv1.KnownLog) {
	for _, k := range w.Keys {
		if c := w.seen[k.Origin]; c != nil {
			known = append(known, &posternv1.KnownLog{Origin: c.Origin, Size: c.Size})
		}
	}
	return known
}

// errUnproven says that a checkpoint came without a proof that it is of one log with what we know: nothing is wrong yet, and
// GetCheckpoint has to be asked.
var errUnproven = errors.New("no proof that the checkpoint is of one log with the one we know")

// Follow remembers a checkpoint if it continues what is known. Another error than errUnproven says that the log is not
// one log.
func (w *Witness) Follow(c *Checkpoint, proofs []*posternv1.ConsistencyProof) error {
	old := w.seen[c.Origin]
	switch {
	case old == nil:
		w.seen[c.Origin] = c
		return nil
	case c.Size < old.Size:
		return errUnproven // an answer that was long on its way, or worse
	case c.Size == old.Size && !bytes.Equal(c.Root, old.Root):
		return errors.New("the log has two roots of one size")
	case c.Size == old.Size:
		return nil
	}
	for _, p := range proofs {
		if p.GetOrigin() != c.Origin || p.GetOldSize() != old.Size || p.GetNewSize() != c.Size {
			continue
		}
		if !continues(old.Size, c.Size, old.Root, c.Root, p.GetHashes()) {
			return errors.New("the log does not continue what it was")
		}
		w.seen[c.Origin] = c
		return nil
	}
	return errUnproven
}
