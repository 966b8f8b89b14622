package directory

import (
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

var keyRevision = []byte("revision")

func keyEntry(n int) []byte { return binary.BigEndian.AppendUint32([]byte("entry"), uint32(n)) }

// Save writes a signed revision with its entries over the one before, exactly as they came. The caller has opened them
// and compared the numbers.
func Save(tx store.Tx, ks store.Keyspace, signed *posternv1.Signed, entries [][]byte) error {
	old, err := stored(tx, ks)
	if err != nil {
		return err
	}
	b, err := proto.Marshal(signed)
	if err != nil {
		return fault.From(err)
	}
	if err := tx.Put(ks, keyRevision, b); err != nil {
		return err
	}
	for i, e := range entries {
		if err := tx.Put(ks, keyEntry(i), e); err != nil {
			return err
		}
	}
	for i := len(entries); i < count(old); i++ {
		if err := tx.Delete(ks, keyEntry(i)); err != nil {
			return err
		}
	}
	return nil
}

// Load returns the revision that Save wrote, for Open to verify again; not ok when there is none.
func Load(r store.Reader, ks store.Keyspace) (signed *posternv1.Signed, entries [][]byte, ok bool, err error) {
	signed, err = stored(r, ks)
	if err != nil || signed == nil {
		return nil, nil, false, err
	}
	entries = make([][]byte, count(signed))
	for i := range entries {
		if entries[i], err = r.Get(ks, keyEntry(i)); err != nil {
			return nil, nil, false, err
		}
	}
	return signed, entries, true, nil
}

func stored(r store.Reader, ks store.Keyspace) (*posternv1.Signed, error) {
	b, err := r.Get(ks, keyRevision)
	if err != nil || b == nil {
		return nil, err
	}
	s := &posternv1.Signed{}
	if err := proto.Unmarshal(b, s); err != nil {
		return nil, fault.New(fault.Internal, "DIRECTORY_STORED", "The stored directory cannot be read.").Because(err)
	}
	return s, nil
}

// count is how many entries a stored revision has; its payload was verified before it was stored.
func count(s *posternv1.Signed) int {
	r := &posternv1.DirectoryRevision{}
	if proto.Unmarshal(s.GetPayload(), r) != nil {
		return 0
	}
	return len(r.GetEntriesSha256())
}
