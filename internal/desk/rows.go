package desk

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
)

// hubDestination is the spool's one destination.
const hubDestination = "hub"

// join makes a key of parts that hold no zero byte.
func join(parts ...string) []byte { return []byte(strings.Join(parts, "\x00")) }

func (d *Desk) seal(ks store.Keyspace, key string, m proto.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fault.From(err)
	}
	return d.cfg.Vault.Seal(string(ks), []byte(key), b)
}

func (d *Desk) unseal(ks store.Keyspace, key string, sealed []byte, m proto.Message) error {
	b, err := d.cfg.Vault.Open(string(ks), []byte(key), sealed)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fault.New(fault.Internal, "BAD_RECORD", "A record of this desk cannot be read.").Because(err)
	}
	return nil
}

// load reads and opens one record; a missing one is notHere.
func (d *Desk) load(s store.Reader, ks store.Keyspace, key string, m proto.Message) error {
	sealed, err := s.Get(ks, []byte(key))
	if err != nil {
		return err
	}
	if sealed == nil {
		return notHere
	}
	return d.unseal(ks, key, sealed, m)
}

var notHere = fault.New(fault.NotFound, "NOT_FOUND", "This desk has no notification by that name. Check the reference; `postern desk list` shows all.")

// change rewrites the state of a notification. fn must be free of effects: it may run again, and then the record is
// sealed again under another random key, which changes nothing that is read.
func (d *Desk) change(ctx context.Context, id string, fn func(store.Tx, *localv1.Notification) error) error {
	return d.promised().Update(ctx, func(tx store.Tx) error {
		n := &localv1.Notification{}
		if err := d.load(tx, schema.DeskNotification, id, n); err != nil {
			return err
		}
		before := proto.CloneOf(n)
		if err := fn(tx, n); err != nil {
			return err
		}
		return d.put(tx, before, n)
	})
}

// put writes a notification as it is now, given as it was before (nil for a new one), and keeps its place among those
// that are to be submitted again: the one place where that index is written.
func (d *Desk) put(tx store.Tx, before, n *localv1.Notification) error {
	sealed, err := d.seal(schema.DeskNotification, n.GetId(), n)
	if err != nil {
		return err
	}
	if err := tx.Put(schema.DeskNotification, []byte(n.GetId()), sealed); err != nil {
		return err
	}
	was, now := dueKey(before), dueKey(n)
	if was != nil && !bytes.Equal(was, now) {
		if err := tx.Delete(schema.DeskDue, was); err != nil {
			return err
		}
	}
	if now == nil {
		return nil
	}
	return tx.Put(schema.DeskDue, now, []byte{1})
}

// dueKey is the key of a notification among those that are to be submitted again; nil when it is not.
func dueKey(n *localv1.Notification) []byte {
	at, ok := submitAgainAt(n)
	if !ok {
		return nil
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(max(at.Unix(), 0))), n.GetId()...)
}

// promised is the store for what follows from work that was taken before: a desk whose disk is full takes no form, and
// must still bring to its end what it has. A withdrawal is of no use to the person while an answer before it in the line
// finds no room.
func (d *Desk) promised() store.Store { return store.Reserved(d.cfg.Store) }

// find resolves an id or a reference to the id of one notification of this desk.
func (d *Desk) find(s store.Snapshot, name string) (string, error) {
	if envelope.ValidID(name) {
		return name, nil
	}
	ref, err := envelope.ParseReference(name)
	if err != nil {
		return "", err
	}
	var ids []string
	prefix := join(ref, "")
	err = s.Scan(schema.DeskReference, prefix, join(ref, "\xff"), func(key, _ []byte) (bool, error) {
		ids = append(ids, string(key[len(prefix):]))
		return true, nil
	})
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", notHere
	case len(ids) > 1:
		return "", fault.New(fault.Precondition, "AMBIGUOUS", "More than one notification has this reference. Use the id.")
	}
	return ids[0], nil
}

var sequenceKey = []byte("sequence")

// nextSequence is the number of the next spool item, from 1.
func nextSequence(r store.Reader) (uint64, error) {
	row, err := r.Get(schema.DeskMeta, sequenceKey)
	if err != nil || row == nil {
		return 1, err
	}
	return binary.BigEndian.Uint64(row), nil
}

func putSequence(tx store.Tx, next uint64) error {
	return tx.Put(schema.DeskMeta, sequenceKey, binary.BigEndian.AppendUint64(nil, next))
}
