package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// Tell tells a desk what of u may flow back (Valve), in the transaction of its cause. The time is cut to the whole hour.
//
// What the hub or a desk caused, and an acknowledgement, is told at once. Whatever else a team or its inbox caused is
// gathered until the hour is over: minutes would say how fast a team reads, and the order of two updates within the hour
// which family it looked at first. Of one notification only the last that was said within the hour is told.
func (d *Delivery) Tell(tx store.Tx, by Cause, desk string, u *posternv1.Update, at time.Time) error {
	back, err := Valve(by, u)
	if err != nil {
		return err
	}
	if by == ByHub && back.GetReply().GetCode() == posternv1.ReplyCode_REPLY_CODE_UNDELIVERED {
		if err := tx.Put(schema.HubTold, toldKey(back.GetNotificationId(), by), []byte{1}); err != nil {
			return err
		}
	}
	back.UpdateTime = timestamppb.New(at.UTC().Truncate(time.Hour))
	if by == ByHub || back.GetAcknowledgement() != nil {
		return putUpdate(tx, desk, back)
	}
	b, err := proto.Marshal(back)
	if err != nil {
		return fault.From(err)
	}
	return tx.Put(schema.HubGathered, d.gatheredKey(desk, at, by, back.GetNotificationId()), b)
}

// gatheredKey orders what is gathered by hour, then by notification, whatever the order in which it came.
func (d *Delivery) gatheredKey(desk string, at time.Time, by Cause, notification string) []byte {
	key := binary.BigEndian.AppendUint64(append([]byte(desk), 0), uint64(at.UTC().Truncate(d.cfg.Gather).Unix()))
	return append(key, toldKey(notification, by)...)
}

// toldKey is what is told of a notification by one cause.
func toldKey(notification string, by Cause) []byte { return append([]byte(notification), 0, byte(by)) }

// ToldUndelivered reports whether the desk of a notification was told that it was not delivered, and not since that it was.
// An inbox causes no other reply.
func (d *Delivery) ToldUndelivered(r store.Reader, notificationID string) (bool, error) {
	for _, by := range []Cause{ByInbox, ByHub} {
		told, err := r.Get(schema.HubTold, toldKey(notificationID, by))
		if err != nil {
			return false, err
		}
		if told != nil {
			rel, _, err := d.Release(r, notificationID)
			return rel.Number == 0, err // an acknowledgement is told at once
		}
	}
	return false, nil
}

// TellGathered adds to a desk's list what was gathered in the hours that are over, in one order, and leaves out what says
// the same as the last of its kind that the desk was told of that notification. Whoever lists updates calls it before.
func (d *Delivery) TellGathered(ctx context.Context, desk string) error {
	prefix := append([]byte(desk), 0)
	to := d.gatheredKey(desk, d.cfg.Clock(), 0, "")
	for {
		var due [][]byte
		err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
			due = nil
			return s.Scan(schema.HubGathered, prefix, to, func(key, _ []byte) (bool, error) {
				due = append(due, bytes.Clone(key))
				return len(due) < chunk, nil
			})
		})
		if err != nil || len(due) == 0 {
			return err
		}
		err = d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
			for _, key := range due {
				if err := tellGathered(tx, desk, key, len(prefix)); err != nil {
					return err
				}
			}
			return nil
		})
		// A crash just here: the desk finds them in its list the next time, and they are gathered no more.
		if err != nil {
			return err
		}
	}
}

func tellGathered(tx store.Tx, desk string, key []byte, prefix int) error {
	row, err := tx.Get(schema.HubGathered, key)
	if err != nil || row == nil {
		return err // another call was first
	}
	u := &posternv1.Update{}
	if err := proto.Unmarshal(row, u); err != nil {
		return fault.New(fault.Internal, "STORED_UPDATE", "A stored update cannot be read.").Because(err)
	}
	said, err := proto.Marshal(u.GetReply())
	if err != nil {
		return fault.From(err)
	}
	if err := tx.Delete(schema.HubGathered, key); err != nil {
		return err
	}
	of := key[prefix+8:] // notification ‖ 0 ‖ cause
	last, err := tx.Get(schema.HubTold, of)
	if err != nil || bytes.Equal(last, said) && last != nil {
		return err
	}
	if err := tx.Put(schema.HubTold, of, said); err != nil {
		return err
	}
	return putUpdate(tx, desk, u)
}

// putUpdate adds u at the end of a desk's list.
func putUpdate(tx store.Tx, party string, u *posternv1.Update) error {
	n, err := next(tx, schema.HubUpdateSequence, party)
	if err != nil {
		return err
	}
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
