// Package envelope seals, signs, verifies, discloses and opens notifications. It is pure: no store, no network, no
// clock of its own.
//
// What it guarantees:
//   - A statement is verified over the exact bytes that were signed (DSSE), with a payload type of its own per kind,
//     so no statement passes for one of another kind.
//   - A section opens only with the recipient's key, under its own path, notification and sender. A changed byte is
//     refused, or yields the identical manifest and sections.
//   - Disclose only removes. What is released is a subset of what the desk signed, byte for byte, and carries neither
//     the facts of a child left out nor the facts for the hub alone.
//   - Digests are listed in sorted order and every plaintext starts with 32 random bytes, so that neither the order
//     nor the digest of a dropped section tells anything.
//
// What it does not: it does not know whether the sender had consent (package consent and the policy do), whether a key
// is the right one for a child (package directory does), or whether a notification was seen before (its callers do).
// docs/formats.md describes every byte.
package envelope

import "encoding/binary"

// lengthPrefixed concatenates the parts, each after its length as a 4-byte big-endian number. It is injective: no two
// lists of parts give the same bytes.
func lengthPrefixed(parts ...string) []byte {
	size := 0
	for _, p := range parts {
		size += 4 + len(p)
	}
	out := make([]byte, 0, size)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}
