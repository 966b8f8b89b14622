package directory

import (
	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// Empty is the directory of a party that has none yet: number 0, nobody takes part, every question answers "no".
func Empty() *Directory { return &Directory{revision: &posternv1.DirectoryRevision{}} }

// StoredNumber is the number of the revision that Save wrote, 0 for none. It is a point read, so that a transaction
// can make sure that a decision rests on the directory in force.
func StoredNumber(r store.Reader, ks store.Keyspace) (uint64, error) {
	s, err := stored(r, ks)
	if err != nil || s == nil {
		return 0, err
	}
	d := &posternv1.DirectoryRevision{}
	if err := proto.Unmarshal(s.GetPayload(), d); err != nil {
		return 0, fault.New(fault.Internal, "DIRECTORY_STORED", "The stored directory cannot be read.").Because(err)
	}
	return d.GetNumber(), nil
}
