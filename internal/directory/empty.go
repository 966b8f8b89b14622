package directory

import (
	"google.golang.org/protobuf/encoding/protowire"

	"postern/internal/fault"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// Empty is the directory of a party that has none yet: number 0, nobody takes part, every question answers "no".
func Empty() *Directory { return &Directory{revision: &posternv1.DirectoryRevision{}} }

// StoredNumber is the number of the revision that Save wrote, 0 for none. It is a point read that leaves everything else of
// the revision where it is, so that every transaction can make sure that its decision rests on the directory in force.
func StoredNumber(r store.Reader, ks store.Keyspace) (uint64, error) {
	signed, err := r.Get(ks, keyRevision)
	if err != nil || signed == nil {
		return 0, err
	}
	payload, err := lastField(signed, 1, protowire.BytesType) // Signed.payload
	if err != nil {
		return 0, err
	}
	revision, _ := protowire.ConsumeBytes(payload)
	number, err := lastField(revision, 2, protowire.VarintType) // DirectoryRevision.number
	if err != nil || number == nil {
		return 0, err
	}
	n, _ := protowire.ConsumeVarint(number)
	return n, nil
}

// lastField returns the last value of a field of a serialized message, as it is encoded: the one that a decoder keeps. It is
// nil when there is none of this type.
func lastField(b []byte, wanted protowire.Number, of protowire.Type) (value []byte, err error) {
	for len(b) > 0 {
		at, kind, n := protowire.ConsumeTag(b)
		if n >= 0 {
			b = b[n:]
			n = protowire.ConsumeFieldValue(at, kind, b)
		}
		if n < 0 {
			return nil, fault.New(fault.Internal, "DIRECTORY_STORED", "The stored directory cannot be read.").Because(protowire.ParseError(n))
		}
		if at == wanted && kind == of {
			value = b[:n]
		}
		b = b[n:]
	}
	return value, nil
}
