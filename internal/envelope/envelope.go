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

import (
	"encoding/binary"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/fault"
)

// lengthPrefixed concatenates the parts, each after its length as a 4-byte big-endian number. It is injective: no two
// lists of parts give the same bytes.
func lengthPrefixed(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}

// unmarshalStrict parses b and refuses fields and enum values that this version does not know: in signed statements
// the hub must understand all it decides on, so hubs upgrade first.
func unmarshalStrict(b []byte, m proto.Message, what string) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fault.Newf(fault.Invalid, "MALFORMED", "The %s cannot be read.", what).Because(err)
	}
	if !known(m.ProtoReflect()) {
		return fault.Newf(fault.Invalid, "UNKNOWN_CONTENT", "The %s holds a field or value this version does not know. Update this side first.", what)
	}
	return nil
}

// known reports whether m and all it holds have only fields and enum values of this version.
func known(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return false
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.EnumKind && f.Kind() != protoreflect.MessageKind || !m.Has(f) {
			continue // nothing in it can be new
		}
		v := m.Get(f)
		if !f.IsList() {
			if !knownValue(f, v) {
				return false
			}
			continue
		}
		for j := range v.List().Len() {
			if !knownValue(f, v.List().Get(j)) {
				return false
			}
		}
	}
	return true
}

func knownValue(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	if e := f.Enum(); e != nil {
		return e.Values().ByNumber(v.Enum()) != nil
	}
	return known(v.Message())
}
