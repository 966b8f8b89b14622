package inbox

import (
	"cmp"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	// renewBefore is how long before its end a key gets a successor: time enough for a desk that is cut off to hear.
	renewBefore = 30 * 24 * time.Hour
	// forgetAfter is how long after its end a private key can still be needed: a notification may be thirty days on its
	// way, and what a hub had given up on it may send again for ninety.
	forgetAfter = 120 * 24 * time.Hour
)

// ring is the recipient keys of an inbox. The private keys open what was sealed; of those with a statement the one of
// the highest version is current.
type ring struct {
	mu        sync.Mutex // owns what follows
	private   map[string]*envelope.RecipientPrivate
	statement map[string]*statement
}

// statement is the public statement of a key.
type statement struct {
	*posternv1.RecipientKey
	signed *posternv1.Signed
}

// openRing reads the statements beside the private keys; without a folder the ring only opens.
func openRing(private map[string]*envelope.RecipientPrivate, dir string) (*ring, error) {
	r := &ring{private: maps.Clone(private), statement: map[string]*statement{}}
	if dir == "" {
		return r, nil
	}
	for id := range private {
		b, err := os.ReadFile(filepath.Join(dir, id+".signed"))
		if os.IsNotExist(err) {
			continue // a crash came between the two files: nobody was told of this key
		}
		if err != nil {
			return nil, fault.New(fault.Precondition, "KEY_FILE", "A recipient key's statement cannot be read. Check who may read the key folder.").Because(err)
		}
		if err := r.read(id, b); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// read adds the statement of a private key.
func (r *ring) read(id string, b []byte) error {
	s := &statement{RecipientKey: &posternv1.RecipientKey{}, signed: &posternv1.Signed{}}
	if proto.Unmarshal(b, s.signed) != nil || proto.Unmarshal(s.signed.GetPayload(), s.RecipientKey) != nil || s.GetKeyId() != id {
		return fault.Newf(fault.Precondition, "KEY_FILE", "The statement %s.signed in the key folder is damaged or of another key. Restore it from the key backup.", id)
	}
	r.statement[id] = s
	return nil
}

// key returns a private key by its id.
func (r *ring) key(id string) (*envelope.RecipientPrivate, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.private[id]
	return k, ok
}

// all lists the keys with a statement, newest first.
func (r *ring) all() []*statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.statement), func(a, b *statement) int { return cmp.Compare(b.GetVersion(), a.GetVersion()) })
}

// newestMade is when the newest key was made.
func (r *ring) newestMade() (at time.Time) {
	for _, s := range r.statement {
		if made := s.GetCreateTime().AsTime(); made.After(at) {
			at = made
		}
	}
	return at
}

// rotate makes the key that follows the current one. It is on disk when it returns, so that whoever hears of it can be
// answered.
func (in *Inbox) rotate() (*statement, error) {
	if in.cfg.KeyDir == "" {
		return nil, fault.New(fault.Precondition, "NO_KEY_FOLDER", "This inbox has no folder for its keys. Set recipient_keys in its configuration.")
	}
	in.rotating.Lock()
	defer in.rotating.Unlock()
	all := in.ring.all()
	if len(all) == 0 {
		return nil, fault.New(fault.Precondition, "NO_STATEMENT", "The key folder holds no statement of the current key, so nothing can follow it. Restore the .signed file from the key backup.")
	}
	current := all[0]
	predecessor, ok := in.ring.key(current.GetKeyId())
	if !ok {
		return nil, fault.New(fault.Precondition, "NO_RECIPIENT_KEY", "The current key's private part is not there. Restore its .key file from the key backup.")
	}
	k, err := envelope.GenerateRecipient()
	if err != nil {
		return nil, err
	}
	now := in.cfg.Clock().Truncate(time.Second)
	if !now.Before(in.cfg.Identity.Leaf().NotAfter) { // nobody would take it, and what follows it neither
		return nil, fault.New(fault.Precondition, "CERTIFICATE_TIME", "By the clock here the certificate of this inbox has ended, so nobody would take a recipient key that it signs. Set the clock right, or renew the certificate.")
	}
	signed, err := k.Succeed(in.cfg.Identity, predecessor, current.GetVersion()+1, now, now.Add(keyLife))
	if err != nil {
		return nil, err
	}
	if _, err := writeKey(in.cfg.KeyDir, k, signed); err != nil {
		return nil, err
	}
	s := &statement{RecipientKey: &posternv1.RecipientKey{}, signed: signed}
	if err := proto.Unmarshal(signed.GetPayload(), s.RecipientKey); err != nil {
		return nil, fault.From(err)
	}
	in.ring.mu.Lock()
	defer in.ring.mu.Unlock()
	in.ring.private[k.KeyID()], in.ring.statement[k.KeyID()] = k, s
	in.cfg.Log.Info("recipient key made", "key", k.KeyID(), "version", s.GetVersion())
	return s, nil
}

var publishedKey = []byte("published recipient key")

// StepKeys does the next thing that the recipient keys need: a successor for one that ends soon, forgetting one that nothing
// can come for any more, whatever the hub says, publishing the newest. It reports whether there was something. A clock that
// is ahead forgets nothing: package lapse says by which time.
func (in *Inbox) StepKeys(ctx context.Context) (bool, error) {
	all := in.ring.all()
	if in.cfg.KeyDir == "" || len(all) == 0 {
		return false, nil
	}
	now, err := in.lapse.Now(ctx)
	if err != nil {
		return false, err
	}
	for _, old := range all[1:] {
		if old.GetExpireTime().AsTime().Add(forgetAfter).Before(now) {
			return true, in.forget(old.GetKeyId())
		}
	}
	if all[0].GetExpireTime().AsTime().Before(in.cfg.Clock().Add(renewBefore)) {
		_, err := in.rotate()
		return err == nil, err
	}
	published, err := in.published(ctx)
	if err != nil {
		return false, err
	}
	// The first is in the operator's directory. Any other is published once more after each start: a hub that lost its disk, or
	// was put back from a copy, may not know it, and after a new generation of its logs every inbox starts again.
	if id := all[0].GetKeyId(); all[0].GetVersion() > 1 && (published != id || !in.announced.Load()) {
		// A crash before it is noted publishes it again, and the hub answers the same.
		if err := in.publish(ctx, all[0]); err != nil {
			return false, err
		}
		if in.announced.Store(true); published != id {
			return true, in.cfg.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(schema.InboxMeta, publishedKey, []byte(id)) })
		}
	}
	return false, nil
}

// publish publishes a key. A hub that does not know the one before it is told of all before it first, once after each start:
// it takes those that follow one another from the one in its directory on.
func (in *Inbox) publish(ctx context.Context, newest *statement) error {
	say := func(signed *posternv1.Signed) error {
		_, err := in.cfg.Hub.PublishKey(ctx, &posternv1.PublishKeyRequest{RecipientKey: signed})
		return err
	}
	err := say(newest.signed)
	if err == nil || fault.From(err).Reason != directory.KeyNotContinued || in.toldChain.Load() {
		return err
	}
	before, err := statements(in.cfg.KeyDir)
	if err != nil {
		return err
	}
	for _, s := range before {
		if s.GetVersion() >= newest.GetVersion() {
			break
		}
		if err := say(s.signed); err != nil && fault.KindOf(err) != fault.Precondition { // that is of one that it knows
			return err
		}
	}
	in.toldChain.Store(true)
	return say(newest.signed)
}

// statements are those of all keys that were ever made in a folder, by version.
func statements(dir string) (all []*statement, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.signed"))
	if err != nil {
		return nil, fault.From(err)
	}
	r := &ring{statement: map[string]*statement{}}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fault.New(fault.Precondition, "KEY_FILE", "A recipient key's statement cannot be read. Check who may read the key folder.").Because(err)
		}
		if err := r.read(strings.TrimSuffix(filepath.Base(name), ".signed"), b); err != nil {
			return nil, err
		}
	}
	all = r.all()
	slices.Reverse(all)
	return all, nil
}

func (in *Inbox) published(ctx context.Context) (id string, err error) {
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		b, err := s.Get(schema.InboxMeta, publishedKey)
		id = string(b)
		return err
	})
	return id, err
}

// forget deletes a private key. Its statement, which says nothing to anybody, stays: a hub that lost its disk sees by it how
// the keys follow one another.
func (in *Inbox) forget(id string) error {
	in.ring.mu.Lock()
	defer in.ring.mu.Unlock()
	if err := os.Remove(filepath.Join(in.cfg.KeyDir, id+".key")); err != nil && !os.IsNotExist(err) {
		return fault.New(fault.Precondition, "KEY_FILE", "An old recipient key cannot be deleted. Check who may write to the key folder.").Because(err)
	}
	delete(in.ring.private, id)
	delete(in.ring.statement, id)
	in.cfg.Log.Info("recipient key forgotten", "key", id)
	return nil
}

// Rotate makes a new recipient key now. Publishing it is the next step's, at once when the inbox serves.
func (in *Inbox) Rotate(ctx context.Context, _ *localv1.RotateRequest) (*localv1.RotateResponse, error) {
	s, err := in.rotate()
	if err != nil {
		return nil, err
	}
	if _, err := in.StepKeys(ctx); err != nil {
		in.cfg.Log.WarnContext(ctx, "recipient key not published yet, trying again", "reason", fault.From(err).Reason)
	}
	published, err := in.published(ctx)
	return &localv1.RotateResponse{Key: in.ringKey(s, published)}, err
}

// ListRing lists the recipient keys, newest first.
func (in *Inbox) ListRing(ctx context.Context, _ *localv1.ListRingRequest) (*localv1.ListRingResponse, error) {
	published, err := in.published(ctx)
	out := &localv1.ListRingResponse{}
	for _, s := range in.ring.all() {
		out.Keys = append(out.Keys, in.ringKey(s, published))
	}
	return out, err
}

func (in *Inbox) ringKey(s *statement, published string) *localv1.RingKey {
	return &localv1.RingKey{
		KeyId: s.GetKeyId(), Version: s.GetVersion(), ExpireTime: s.GetExpireTime(), Published: published == s.GetKeyId() || s.GetVersion() == 1,
		ForgetTime: timestamppb.New(s.GetExpireTime().AsTime().Add(forgetAfter)), Statement: filepath.Join(in.cfg.KeyDir, s.GetKeyId()+".signed"),
	}
}
