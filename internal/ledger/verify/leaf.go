package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	logv1 "postern/proto/postern/log/v1"
)

// The sizes of the parts of a receipt, in bytes.
const (
	LeafSize    = 54 // a leaf: 1 version, 16 event id, 1 kind, 4 hour, 32 commitment
	OpeningSize = 32 // the random key of a record
	EventIDSize = 16 // the random id of an event

	leafVersion = 1
)

// Leaf is what the Merkle tree holds of an event: nothing that names or singles out a person.
//
// The encoding never changes. Another layout needs another version byte, so that no two readings of one leaf exist.
type Leaf struct {
	EventID    [EventIDSize]byte
	Kind       logv1.Kind // 1 to 255; a kind from a newer hub is kept as its number
	Hour       uint32     // whole hours since the Unix epoch
	Commitment [sha256.Size]byte
}

// HourOf returns the hour of t as a leaf counts it; ok is false for a time that a leaf cannot hold.
func HourOf(t time.Time) (hour uint32, ok bool) {
	s := t.Unix()
	if s < 0 || s/3600 > 1<<32-1 {
		return 0, false
	}
	return uint32(s / 3600), true
}

// Time returns the beginning of the leaf's hour, in UTC.
func (l Leaf) Time() time.Time { return time.Unix(int64(l.Hour)*3600, 0).UTC() }

// Bytes returns the 54 bytes of the leaf.
func (l Leaf) Bytes() []byte {
	b := make([]byte, 0, LeafSize)
	b = append(b, leafVersion)
	b = append(b, l.EventID[:]...)
	b = append(b, byte(l.Kind))
	b = binary.BigEndian.AppendUint32(b, l.Hour)
	return append(b, l.Commitment[:]...)
}

// ParseLeaf reads the bytes of a leaf. What it accepts, Bytes gives back unchanged.
func ParseLeaf(b []byte) (Leaf, error) {
	var l Leaf
	switch {
	case len(b) != LeafSize:
		return l, refuse("LEAF_MALFORMED", "The leaf is not %d bytes long.", LeafSize)
	case b[0] != leafVersion:
		return l, refuse("LEAF_VERSION", "The leaf has a version this program does not know. Update the program.")
	case b[17] == 0:
		return l, refuse("LEAF_MALFORMED", "The leaf does not say what kind of event it is.")
	}
	copy(l.EventID[:], b[1:17])
	l.Kind = logv1.Kind(b[17])
	l.Hour = binary.BigEndian.Uint32(b[18:22])
	copy(l.Commitment[:], b[22:])
	return l, nil
}

// Commitment binds core and details, by their SHA-256, under the random key of the record. Whoever lacks the key
// learns nothing from it and cannot test a guess; whoever holds it cannot open it to anything else.
//
// It is HMAC-SHA256 (RFC 2104) written out: with a key and a message of fixed length it is two hashes of fixed length,
// and verifying a log is a tenth faster than through package hmac.
func Commitment(opening [OpeningSize]byte, coreSHA256, detailsSHA256 [sha256.Size]byte) [sha256.Size]byte {
	var inner [sha256.BlockSize + 2*sha256.Size]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		var k byte
		if i < OpeningSize {
			k = opening[i]
		}
		inner[i], outer[i] = k^0x36, k^0x5c
	}
	copy(inner[sha256.BlockSize:], coreSHA256[:])
	copy(inner[sha256.BlockSize+sha256.Size:], detailsSHA256[:])
	digest := sha256.Sum256(inner[:])
	copy(outer[sha256.BlockSize:], digest[:])
	return sha256.Sum256(outer[:])
}
