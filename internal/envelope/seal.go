package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// Plain is one section before sealing or after opening.
type Plain struct {
	Path    string
	Message proto.Message
}

// Draft is a notification before sealing. Manifest holds all but what sealing fills in: the facts and section digests,
// suite, key id and encapsulated key.
type Draft struct {
	Manifest *posternv1.Manifest
	Children []*posternv1.ChildFacts
	Hub      *posternv1.HubFacts // nil for a statement without facts
	Sections []Plain
	// Withdrawn is the SHA-256 of the manifest that a withdrawal withdraws, where the sender knows it.
	Withdrawn []byte
}

const (
	saltSize   = 32 // random bytes at the start of every section plaintext and facts block
	headerSize = saltSize + 4
	keySize    = 32
)

// Seal seals the sections to the recipient's key, salts the facts and signs the manifest. With no recipient key
// nothing is sealed and suite and key fields stay empty: then a draft with sections is refused.
func Seal(d Draft, key *posternv1.RecipientKey, signer *identity.Identity) (*posternv1.SealedNotification, error) {
	m := proto.CloneOf(d.Manifest)
	n := &posternv1.SealedNotification{}
	for _, f := range factsBlocks(d) {
		f.Salt = random(saltSize)
		b, err := proto.Marshal(f)
		if err != nil {
			return nil, fault.From(err)
		}
		n.Facts = append(n.Facts, b)
		m.FactsSha256 = append(m.FactsSha256, digest(b))
	}
	slices.SortFunc(m.FactsSha256, slices.Compare)
	if key == nil && len(d.Sections) > 0 {
		return nil, fault.New(fault.Precondition, "NO_RECIPIENT_KEY", "There is no key to seal to, so no section may be sealed.")
	}
	if key != nil {
		offer := m.GetOffer()
		if offer == nil {
			return nil, fault.New(fault.Internal, "SEAL_WITHOUT_OFFER", "Only an offer has sections.")
		}
		offer.Suite, offer.RecipientKeyId = SuiteHybrid, key.GetKeyId()
		enc, sealed, err := sealSections(d.Sections, key, m.GetNotificationId(), signer.Party().URI())
		if err != nil {
			return nil, err
		}
		offer.EncapsulatedKey, n.Sections = enc, sealed
		for _, s := range sealed {
			offer.SectionsSha256 = append(offer.SectionsSha256, SectionDigest(s))
		}
		slices.SortFunc(offer.SectionsSha256, slices.Compare)
	}
	payload, err := proto.Marshal(m)
	if err != nil {
		return nil, fault.From(err)
	}
	if w := m.GetWithdrawal(); w != nil {
		if n.StopRequest, err = signStopRequest(w, d.Withdrawn, signer); err != nil {
			return nil, err
		}
	}
	n.Manifest, err = SignStatement(signer, TypeManifest, payload)
	return n, err
}

func factsBlocks(d Draft) []*posternv1.FactsBlock {
	var blocks []*posternv1.FactsBlock
	for _, c := range d.Children {
		blocks = append(blocks, &posternv1.FactsBlock{Facts: &posternv1.FactsBlock_Child{Child: c}})
	}
	if d.Hub != nil {
		blocks = append(blocks, &posternv1.FactsBlock{Facts: &posternv1.FactsBlock_Hub{Hub: d.Hub}})
	}
	return blocks
}

func sealSections(sections []Plain, key *posternv1.RecipientKey, id, sender string) ([]byte, []*posternv1.SealedSection, error) {
	public, err := hpke.MLKEM768X25519().NewPublicKey(key.GetPublicKey())
	if err != nil {
		return nil, nil, unverified("BAD_KEY", "The recipient key is not a key.").Because(err)
	}
	enc, context, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ExportOnly(), lengthPrefixed(id, sender, key.GetKeyId()))
	if err != nil {
		return nil, nil, fault.From(err)
	}
	var out []*posternv1.SealedSection
	sealed := map[string]bool{}
	for _, s := range sections {
		if sealed[s.Path] {
			return nil, nil, fault.New(fault.Internal, "SECTION_TWICE", "A section is there twice.")
		}
		sealed[s.Path] = true
		plaintext, err := pad(s)
		if err != nil {
			return nil, nil, err
		}
		sectionKey, err := context.Export(string(lengthPrefixed(s.Path)), keySize)
		if err != nil {
			return nil, nil, fault.From(err)
		}
		aead, err := newAEAD(sectionKey)
		if err != nil {
			return nil, nil, err
		}
		// A zero nonce is safe because every key is used once: one fresh HPKE context a notification, one key a path.
		ciphertext := aead.Seal(nil, make([]byte, aead.NonceSize()), plaintext, lengthPrefixed(id, s.Path))
		out = append(out, &posternv1.SealedSection{Path: s.Path, Ciphertext: ciphertext})
	}
	return enc, out, nil
}

// pad lays out a section: 32 random bytes, the length of the message, the message, zeros up to the section's one size.
func pad(s Plain) ([]byte, error) {
	sec, ok := section.Lookup(s.Path)
	if !ok {
		return nil, fault.New(fault.Internal, "UNKNOWN_SECTION", "There is no such section.")
	}
	body, err := proto.Marshal(s.Message)
	if err != nil {
		return nil, fault.From(err)
	}
	if headerSize+len(body) > sec.PaddedSize {
		return nil, fault.InvalidFields("SECTION_TOO_LONG", "A part of the form is too long to send.", []fault.Field{
			{Path: section.FieldPath(s.Path), Reason: "Too long.", Fix: "Shorten the text."}})
	}
	out := make([]byte, sec.PaddedSize)
	copy(out, random(saltSize))
	binary.BigEndian.PutUint32(out[saltSize:], uint32(len(body)))
	copy(out[headerSize:], body)
	return out, nil
}

// unpad is the inverse of pad and refuses every other layout.
func unpad(path string, plaintext []byte) (proto.Message, error) {
	bad := unverified("BAD_SECTION", "A section is not what its path says.")
	sec, ok := section.Lookup(path)
	if !ok || len(plaintext) != sec.PaddedSize {
		return nil, bad
	}
	size := binary.BigEndian.Uint32(plaintext[saltSize:])
	if uint64(headerSize)+uint64(size) > uint64(len(plaintext)) {
		return nil, bad
	}
	body, zeros := plaintext[headerSize:headerSize+size], plaintext[headerSize+size:]
	for _, z := range zeros {
		if z != 0 {
			return nil, bad
		}
	}
	m := sec.New()
	if err := unmarshalStrict(body, m, "section"); err != nil {
		return nil, err
	}
	return m, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fault.From(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fault.From(err)
	}
	return aead, nil
}

// SectionDigest is SHA-256(length-prefixed path || ciphertext).
func SectionDigest(s *posternv1.SealedSection) []byte {
	var prefix [64]byte
	h := sha256.New()
	h.Write(append(binary.BigEndian.AppendUint32(prefix[:0], uint32(len(s.GetPath()))), s.GetPath()...))
	h.Write(s.GetCiphertext())
	return h.Sum(nil)
}

func digest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the process rather than return weak bytes
	return b
}
