package delivery

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// PutUpdate adds u to what a desk is told, at the end of its list. at is cut to the whole hour here, for every
// update: minutes would say how fast a team reads.
func PutUpdate(tx store.Tx, party string, u *posternv1.Update, at time.Time) error {
	n, err := next(tx, schema.HubUpdateSequence, party)
	if err != nil {
		return err
	}
	u.UpdateTime = timestamppb.New(at.UTC().Truncate(time.Hour))
	b, err := proto.Marshal(u)
	if err != nil {
		return fault.From(err)
	}
	return tx.Put(schema.HubUpdate, updateKey(party, n), b)
}

// Updates returns what a desk was told after the update numbered `after` (0 for all), oldest first and at most limit,
// and the number of the last one returned; `after` itself when there is none.
func Updates(s store.Snapshot, party string, after uint64, limit int) (updates []*posternv1.Update, last uint64, err error) {
	last = after
	from, to := updateKey(party, after+1), store.PrefixEnd(append([]byte(party), 0))
	err = s.Scan(schema.HubUpdate, from, to, func(k, v []byte) (bool, error) {
		if len(updates) >= limit {
			return false, nil
		}
		u := &posternv1.Update{}
		if err := proto.Unmarshal(v, u); err != nil {
			return false, fault.New(fault.Internal, "STORED_UPDATE", "A stored update cannot be read.").Because(err)
		}
		updates, last = append(updates, u), binary.BigEndian.Uint64(k[len(k)-8:])
		return true, nil
	})
	if err != nil {
		return nil, after, err
	}
	return updates, last, nil
}

// UpdateMark is a digest of the update numbered n, by which a place in a list is known again: after a hub's database was
// put back, the same number may be another update. It is zero for 0, and ok is false when there is no such update.
func UpdateMark(r store.Reader, party string, n uint64) (mark [8]byte, ok bool, err error) {
	if n == 0 {
		return mark, true, nil
	}
	row, err := r.Get(schema.HubUpdate, updateKey(party, n))
	if err != nil || row == nil {
		return mark, false, err
	}
	sum := sha256.Sum256(row)
	copy(mark[:], sum[:])
	return mark, true, nil
}

func updateKey(party string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(party), 0), n)
}
