package stranger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	posternv1 "postern/proto/postern/v1"
)

// Sync reads the whole directory and pins the recipient key of each authority.
func (d *Desk) Sync(ctx context.Context) error {
	q := &posternv1.ListAuthoritiesRequest{KnownRevision: d.revision, KnownLogs: d.Log.Known()}
	var revision *posternv1.Signed
	var entries [][]byte
	for {
		a, err := d.Hub.Directory.ListAuthorities(ctx, q)
		if err != nil {
			return err
		}
		if err := d.follow(ctx, a.GetCheckpoint(), a.GetConsistency()); err != nil {
			return err
		}
		if a.GetRevision() == nil {
			return nil // we hold the newest
		}
		if revision != nil && !proto.Equal(revision, a.GetRevision()) {
			return errors.New("the directory changed between two pages: ask again")
		}
		revision, entries = a.GetRevision(), append(entries, a.GetEntries()...)
		if q.PageToken, q.KnownLogs = a.GetNextPageToken(), d.Log.Known(); q.PageToken == "" {
			return d.take(revision, entries)
		}
	}
}

// take checks a directory and keeps what we need of it.
func (d *Desk) take(signed *posternv1.Signed, entries [][]byte) error {
	r := &posternv1.DirectoryRevision{}
	if err := proto.Unmarshal(signed.GetPayload(), r); err != nil {
		return err
	}
	at := r.GetCreateTime().AsTime()
	who, err := d.Trust.Signer(signed, directoryType, at)
	if err != nil {
		return err
	}
	if who.Kind != "operator" || r.GetAudience() != d.Trust.Domain || at.After(d.Clock()) || r.GetNumber() <= d.revision ||
		len(r.GetEntriesSha256()) != len(entries) {
		return errors.New("no directory for us")
	}
	keys := map[string]*posternv1.RecipientKey{}
	for i, b := range entries {
		e := &posternv1.DirectoryEntry{}
		if err := proto.Unmarshal(b, e); err != nil || !bytes.Equal(hash(b), r.GetEntriesSha256()[i]) {
			return errors.Join(err, errors.New("an entry that the directory does not list"))
		}
		signed := e.GetAuthority().GetRecipientKey()
		if signed == nil {
			continue
		}
		k, err := d.Trust.readKey(signed, at)
		if err != nil || k.GetAuthority() != e.GetAuthority().GetCode() {
			return errors.Join(err, errors.New("not the key of the authority"))
		}
		if keys[k.GetAuthority()], err = d.pin(k, signed); err != nil {
			return err
		}
	}
	d.revision, d.pins = r.GetNumber(), keys
	return nil
}

// readKey checks a recipient key as such; whether it follows another is not looked at.
func (t *Trust) readKey(s *posternv1.Signed, at time.Time) (*posternv1.RecipientKey, error) {
	if s.GetPayloadType() != payloadType(recipientKeyType) || len(s.GetSignatures()) == 0 || len(s.GetSignatures()) > 2 {
		return nil, errors.New("no signed recipient key")
	}
	who, err := t.signer(s, s.GetSignatures()[0], at)
	if err != nil {
		return nil, err
	}
	k := &posternv1.RecipientKey{}
	if err := read(s.GetPayload(), k); err != nil {
		return nil, err
	}
	if who.Kind != "inbox" || who.ID != k.GetAuthority() || k.GetKeyId() != KeyID(k.GetPublicKey()) || k.GetSuite() != 1 ||
		len(k.GetContinuityKey()) != 32 || k.GetVersion() == 0 {
		return nil, errors.New("no recipient key of who signed it")
	}
	return k, nil
}

// Keys reads the recipient keys that inboxes have published since.
func (d *Desk) Keys(ctx context.Context) error {
	for {
		a, err := d.Hub.Directory.ListKeys(ctx, &posternv1.ListKeysRequest{KnownNumber: d.keys})
		if err != nil {
			return err
		}
		for _, signed := range a.GetRecipientKeys() {
			claims := &posternv1.RecipientKey{}
			if err := read(signed.GetPayload(), claims); err != nil {
				return err
			}
			k, err := d.Trust.readKey(signed, claims.GetCreateTime().AsTime())
			if err != nil {
				return err
			}
			if d.pins[k.GetAuthority()], err = d.pin(k, signed); err != nil {
				return err
			}
		}
		if d.keys = a.GetNumber(); len(a.GetRecipientKeys()) == 0 {
			return nil
		}
	}
}

// pin is the key to go on with: a new one of its authority if it follows the one that we have.
func (d *Desk) pin(k *posternv1.RecipientKey, signed *posternv1.Signed) (*posternv1.RecipientKey, error) {
	old := d.pins[k.GetAuthority()]
	switch {
	case old == nil:
		return k, nil
	case k.GetVersion() < old.GetVersion(), proto.Equal(k, old):
		return old, nil // replayed, or the same again: it changes nothing
	case k.GetVersion() == old.GetVersion():
		return nil, errors.New("the recipient key was swapped")
	case len(signed.GetSignatures()) != 2:
		return nil, errors.New("a person has to compare the new recipient key with the authority")
	}
	by := signed.GetSignatures()[1]
	if len(by.GetCertificates()) > 0 || !ed25519.Verify(old.GetContinuityKey(), Encode(signed.GetPayloadType(), signed.GetPayload()), by.GetSignature()) {
		return nil, errors.New("the new recipient key does not follow the one that we have")
	}
	return k, nil
}

// Key is the pinned recipient key of an authority, nil for none.
func (d *Desk) Key(authority string) *posternv1.RecipientKey { return d.pins[authority] }
