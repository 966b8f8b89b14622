package envelope

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// SuiteHybrid is the one sealing suite: HPKE (RFC 9180) with ML-KEM-768+X25519, HKDF-SHA256, export only, and
// AES-256-GCM per section. What is sealed stays sensitive for a child's lifetime: hence post-quantum.
const SuiteHybrid = 1

// RecipientPrivate is an inbox's private key and its continuity key. It never leaves the inbox.
type RecipientPrivate struct {
	keyID      string
	hpke       hpke.PrivateKey
	continuity ed25519.PrivateKey
}

// GenerateRecipient makes a new recipient key.
func GenerateRecipient() (*RecipientPrivate, error) {
	k, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fault.From(err)
	}
	_, continuity, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fault.From(err)
	}
	return &RecipientPrivate{keyID: KeyID(k.PublicKey().Bytes()), hpke: k, continuity: continuity}, nil
}

// KeyID is the id of a recipient key: the first 16 hex digits of the SHA-256 of its serialized public key.
func KeyID(publicKey []byte) string {
	sum := sha256.Sum256(publicKey)
	return hex.EncodeToString(sum[:8])
}

// KeyID returns the id of the key.
func (k *RecipientPrivate) KeyID() string { return k.keyID }

const (
	pemRecipient  = "POSTERN RECIPIENT KEY"
	pemContinuity = "POSTERN CONTINUITY KEY"
)

// MarshalPEM returns the private keys for a file of mode 0600.
func (k *RecipientPrivate) MarshalPEM() ([]byte, error) {
	b, err := k.hpke.Bytes()
	if err != nil {
		return nil, fault.From(err)
	}
	return append(marshalSecret(pemRecipient, b), marshalSecret(pemContinuity, k.continuity.Seed())...), nil
}

// ParseRecipient reads what MarshalPEM wrote. Any bytes of the right length are a key, so each block carries a digest:
// an inbox with a damaged file must not start with a key that nobody seals to.
func ParseRecipient(data []byte) (*RecipientPrivate, error) {
	bad := fault.New(fault.Invalid, "BAD_RECIPIENT_KEY", "The recipient key file cannot be read. Restore it from the key backup.")
	first, rest, ok := parseSecret(pemRecipient, data)
	second, _, ok2 := parseSecret(pemContinuity, rest)
	if !ok || !ok2 || len(second) != ed25519.SeedSize {
		return nil, bad
	}
	k, err := hpke.MLKEM768X25519().NewPrivateKey(first)
	if err != nil {
		return nil, bad.Because(err)
	}
	return &RecipientPrivate{KeyID(k.PublicKey().Bytes()), k, ed25519.NewKeyFromSeed(second)}, nil
}

const pemDigest = "Digest"

func marshalSecret(kind string, secret []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: map[string]string{pemDigest: KeyID(secret)}, Bytes: secret})
}

func parseSecret(kind string, data []byte) (secret, rest []byte, ok bool) {
	b, rest := pem.Decode(data)
	if b == nil || b.Type != kind || b.Headers[pemDigest] != KeyID(b.Bytes) {
		return nil, nil, false
	}
	return b.Bytes, rest, true
}

// Publish signs the statement of the public key with the inbox's certificate.
func (k *RecipientPrivate) Publish(i *identity.Identity, version uint32, now, expire time.Time) (*posternv1.Signed, error) {
	return k.publish(i, nil, version, now, expire)
}

// Succeed publishes the key as the one that follows predecessor: signed by the certificate and by the predecessor's
// continuity key, so that who holds the authority's certificate alone cannot put another key in its place.
func (k *RecipientPrivate) Succeed(i *identity.Identity, predecessor *RecipientPrivate, version uint32, now, expire time.Time) (*posternv1.Signed, error) {
	return k.publish(i, predecessor, version, now, expire)
}

func (k *RecipientPrivate) publish(i *identity.Identity, predecessor *RecipientPrivate, version uint32, now, expire time.Time) (*posternv1.Signed, error) {
	payload, err := proto.Marshal(&posternv1.RecipientKey{
		KeyId:         k.keyID,
		Authority:     i.Party().ID,
		Version:       version,
		Suite:         SuiteHybrid,
		PublicKey:     k.hpke.PublicKey().Bytes(),
		ContinuityKey: k.continuity.Public().(ed25519.PublicKey),
		CreateTime:    timestamppb.New(now),
		ExpireTime:    timestamppb.New(expire),
	})
	if err != nil {
		return nil, fault.From(err)
	}
	signed, err := SignStatement(i, TypeRecipientKey, payload)
	if err == nil && predecessor != nil {
		signed.Signatures = append(signed.Signatures, &posternv1.Signature{
			Signature: ed25519.Sign(predecessor.continuity, preAuthentication(TypeRecipientKey, payload))})
	}
	return signed, err
}

// Follows says whether a verified statement is signed by a predecessor's continuity key too.
func Follows(s *posternv1.Signed, predecessor *posternv1.RecipientKey) bool {
	if len(s.GetSignatures()) != 2 || len(predecessor.GetContinuityKey()) != ed25519.PublicKeySize {
		return false
	}
	return ed25519.Verify(predecessor.GetContinuityKey(), preAuthentication(TypeRecipientKey, s.GetPayload()), s.GetSignatures()[1].GetSignature())
}

// VerifyRecipientKey verifies the statement of a recipient key: signed by the inbox of the authority it names, with an
// id that is the digest of the key and a suite this version can seal to. It does not check expire_time: a sender does,
// with its own clock, and a receiver opens what was sealed before. A second signature, without certificates, is the
// predecessor's continuity key's, which only who knows the predecessor can verify: see Follows.
func VerifyRecipientKey(s *posternv1.Signed, a *identity.Anchors, at time.Time) (*posternv1.RecipientKey, error) {
	if n := len(s.GetSignatures()); n == 2 && len(s.GetSignatures()[1].GetCertificates()) == 0 {
		s = &posternv1.Signed{Payload: s.GetPayload(), PayloadType: s.GetPayloadType(), Signatures: s.GetSignatures()[:1]}
	}
	party, err := VerifyStatement(s, TypeRecipientKey, a, at)
	if err != nil {
		return nil, err
	}
	k := &posternv1.RecipientKey{}
	if err := unmarshalStrict(s.GetPayload(), k, "recipient key"); err != nil {
		return nil, err
	}
	if party.Role != posternv1.Role_ROLE_INBOX || party.ID != k.GetAuthority() {
		return nil, unverified("KEY_OF_ANOTHER", "The recipient key is not signed by the inbox of the authority it names.")
	}
	if k.GetSuite() != SuiteHybrid || KeyID(k.GetPublicKey()) != k.GetKeyId() || len(k.GetContinuityKey()) != ed25519.PublicKeySize {
		return nil, unverified("BAD_KEY", "The recipient key does not match its own id or suite.")
	}
	if _, err := hpke.MLKEM768X25519().NewPublicKey(k.GetPublicKey()); err != nil {
		return nil, unverified("BAD_KEY", "The recipient key is not a key.").Because(err)
	}
	return k, nil
}
