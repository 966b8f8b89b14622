package stranger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "postern/proto/postern/v1"
)

// Directory is what a desk knows of authorities and their keys.
type Directory struct {
	Trust       *Trust
	Number      uint64
	Authorities map[string]*pb.Authority
	Pinned      map[string]*pb.RecipientKey
	Published   uint64 // the number of the last published key that was seen
}

// NewDirectory is a directory that knows nothing yet.
func NewDirectory(t *Trust) *Directory {
	return &Directory{Trust: t, Authorities: map[string]*pb.Authority{}, Pinned: map[string]*pb.RecipientKey{}}
}

// Key is the key to seal to, nil when there is none that is good now.
func (d *Directory) Key(authority string, now time.Time) *pb.RecipientKey {
	k := d.Pinned[authority]
	if d.Authorities[authority].GetRecipientKey() == nil || k == nil || !now.Before(k.ExpireTime.AsTime()) {
		return nil
	}
	return k
}

// Know takes a recipient key for granted, as after a person has compared it.
func (d *Directory) Know(authority string, public []byte, until time.Time) {
	d.Authorities[authority] = &pb.Authority{Code: authority, RecipientKey: &pb.Signed{}}
	d.Pinned[authority] = &pb.RecipientKey{KeyId: KeyID(public), Authority: authority, Version: 1, Suite: 1, PublicKey: public, ExpireTime: timestamppb.New(until)}
}

// ReadKey checks a signed recipient key, but not what it follows.
func (t *Trust) ReadKey(s *pb.Signed) (*pb.RecipientKey, error) {
	k := &pb.RecipientKey{}
	if err := parseKnown(s.GetPayload(), k); err != nil {
		return nil, err
	}
	if n := len(s.Signatures); n < 1 || n > 2 {
		return nil, refuse("NOT_ONE_SIGNATURE", "%d", n)
	}
	p, err := t.verifyFirst(s, TypeRecipientKey, k.CreateTime.AsTime())
	if err != nil {
		return nil, err
	}
	if p.URI != t.inboxURI(k.Authority) || k.KeyId != KeyID(k.PublicKey) || k.Suite != 1 || k.Version < 1 ||
		len(k.PublicKey) != 1216 || len(k.ContinuityKey) != ed25519.PublicKeySize || !k.ExpireTime.IsValid() {
		return nil, refuse("BAD_KEY", "of %s", p.URI)
	}
	return k, nil
}

// follows says whether a statement is signed by the continuity key of the key before it.
func follows(s *pb.Signed, before *pb.RecipientKey) bool {
	return len(s.Signatures) == 2 && len(s.Signatures[1].Certificates) == 0 &&
		ed25519.Verify(before.ContinuityKey, Encode(s.PayloadType, s.Payload), s.Signatures[1].Signature)
}

// offer takes a key into use when it may be.
func (d *Directory) offer(s *pb.Signed, k *pb.RecipientKey) error {
	pinned := d.Pinned[k.Authority]
	switch {
	case pinned == nil || k.Version > pinned.Version && follows(s, pinned):
		d.Pinned[k.Authority] = k
	case k.Version < pinned.Version:
		return refuse("REPLAYED_KEY", "%s version %d", k.Authority, k.Version)
	case k.Version == pinned.Version:
		if k.KeyId != pinned.KeyId || !bytes.Equal(k.ContinuityKey, pinned.ContinuityKey) {
			return refuse("SWAPPED_KEY", "%s version %d", k.Authority, k.Version)
		}
	}
	return nil // a newer key that does not follow waits for a person, and there is none here
}

// take checks a whole revision and uses it; should anything not hold, nothing changes.
func (d *Directory) take(s *pb.Signed, entries [][]byte, now time.Time) error {
	rev := &pb.DirectoryRevision{}
	if err := parseKnown(s.GetPayload(), rev); err != nil {
		return err
	}
	p, err := d.Trust.Verify(s, TypeDirectory, rev.CreateTime.AsTime())
	if err != nil {
		return err
	}
	if p.Kind != KindOperator || rev.Audience != d.Trust.Domain || rev.CreateTime.AsTime().After(now.Add(5*time.Minute)) ||
		len(entries) != len(rev.EntriesSha256) || rev.Number <= d.Number {
		return refuse("BAD_DIRECTORY", "number %d by %s with %d entries", rev.Number, p.URI, len(entries))
	}
	authorities := map[string]*pb.Authority{}
	type named struct {
		s *pb.Signed
		k *pb.RecipientKey
	}
	var keys []named
	for i, b := range entries {
		if !bytes.Equal(digest(b), rev.EntriesSha256[i]) {
			return refuse("BAD_DIRECTORY", "entry %d is another", i)
		}
		e := &pb.DirectoryEntry{}
		if err := parseKnown(b, e); err != nil {
			return err
		}
		a := e.GetAuthority()
		if a == nil {
			continue
		}
		authorities[a.Code] = a
		if a.RecipientKey == nil {
			continue
		}
		k, err := d.Trust.ReadKey(a.RecipientKey)
		if err != nil {
			return err
		}
		if k.Authority != a.Code {
			return refuse("BAD_DIRECTORY", "the key of %s in the entry of %s", k.Authority, a.Code)
		}
		keys = append(keys, named{a.RecipientKey, k})
	}
	d.Number, d.Authorities = rev.Number, authorities
	for _, k := range keys {
		_ = d.offer(k.s, k.k) // an older or another key changes nothing: the pinned one stays
	}
	return nil
}

// Sync fetches the directory, when there is a newer one, and the keys published since.
func (d *Directory) Sync(ctx context.Context, c pb.DirectoryServiceClient, log *Follower, now time.Time) error {
	if err := log.check(); err != nil {
		return err
	}
	var rev *pb.Signed
	var entries [][]byte
	for token := ""; ; {
		a, err := c.ListAuthorities(ctx, &pb.ListAuthoritiesRequest{PageToken: token, KnownRevision: d.Number, KnownLogs: log.known()})
		if err != nil {
			return log.heard(err)
		}
		cp, err := log.Keys.Checkpoint(a.Checkpoint)
		if err != nil {
			return err
		}
		if err := log.Accept(ctx, cp, a.Consistency); err != nil {
			return err
		}
		if a.Revision == nil {
			break
		}
		if rev != nil && !bytes.Equal(rev.Payload, a.Revision.Payload) {
			return errors.New("the directory changed between two pages")
		}
		rev, entries, token = a.Revision, append(entries, a.Entries...), a.NextPageToken
		if token == "" {
			if err := d.take(rev, entries, now); err != nil {
				return err
			}
			break
		}
	}
	for {
		a, err := c.ListKeys(ctx, &pb.ListKeysRequest{KnownNumber: d.Published})
		if err != nil {
			return log.heard(err)
		}
		for _, s := range a.RecipientKeys {
			if k, err := d.Trust.ReadKey(s); err == nil {
				_ = d.offer(s, k)
			}
		}
		if len(a.RecipientKeys) == 0 {
			return nil
		}
		d.Published = a.Number
	}
}
