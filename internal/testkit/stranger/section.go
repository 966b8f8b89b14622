package stranger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	posternv1 "postern/proto/postern/v1"
)

// kindOfSection is a row of the page's table of sections.
type kindOfSection struct {
	size  int
	empty proto.Message
}

func sections() map[string]kindOfSection {
	return map[string]kindOfSection{
		"parent/name":            {1024, &posternv1.ParentName{}},
		"parent/birth":           {256, &posternv1.ParentBirth{}},
		"parent/custody":         {256, &posternv1.ParentCustody{}},
		"parent/language":        {256, &posternv1.ParentLanguage{}},
		"parent/wishes":          {256, &posternv1.ParentWishes{}},
		"child/{n}/identity":     {1536, &posternv1.ChildIdentity{}},
		"child/{n}/relationship": {256, &posternv1.ChildRelationship{}},
		"child/{n}/home":         {3072, &posternv1.ChildHome{}},
		"child/{n}/carer":        {1024, &posternv1.ChildCarer{}},
		"child/{n}/safety":       {2560, &posternv1.ChildSafety{}},
		"child/{n}/phone":        {256, &posternv1.ChildPhone{}},
		"child/{n}/school":       {1024, &posternv1.ChildSchool{}},
		"child/{n}/knowledge":    {256, &posternv1.ChildKnowledge{}},
		"child/{n}/needs":        {1536, &posternv1.ChildNeeds{}},
		"child/{n}/worker":       {1024, &posternv1.ChildWorker{}},
		"urgency":                {6144, &posternv1.Urgency{}},
	}
}

// lookup finds the kind of a path, and the child it is of, 0 for none.
func lookup(path string) (k kindOfSection, child int, err error) {
	pattern := path
	if m := regexp.MustCompile(`^child/([1-9][0-9]*)/([a-z]+)$`).FindStringSubmatch(path); m != nil {
		if child, err = strconv.Atoi(m[1]); err != nil || child > 16 {
			return k, 0, errors.New("no number of a child")
		}
		pattern = "child/{n}/" + m[2]
	} else if strings.HasPrefix(path, "child/") {
		return k, 0, errors.New("no path of a section")
	}
	k, ok := sections()[pattern]
	if !ok {
		return k, 0, errors.New("no path of a section")
	}
	return k, child, nil
}

// DigestOfSection is what a manifest lists of a sealed section.
func DigestOfSection(path string, ciphertext []byte) []byte {
	return hash(append(Frame(path), ciphertext...))
}

// KeyID is the id of a recipient's public key.
func KeyID(publicKey []byte) string { return hex.EncodeToString(hash(publicKey)[:8]) }

// Sealing is the HPKE context of one notification, at either end: it seals and opens its sections.
type Sealing struct {
	id     string
	export func(context string, length int) ([]byte, error)
	sealed map[string]bool // a path is sealed once: its key has one nonce
}

func info(id, sender, keyID string) []byte { return Frame(id, sender, keyID) }

// NewSealing is a desk's end of a new context.
func NewSealing(publicKey []byte, id, sender string) (*Sealing, []byte, error) {
	recipient, err := hpke.MLKEM768X25519().NewPublicKey(publicKey)
	if err != nil {
		return nil, nil, err
	}
	encapsulated, context, err := hpke.NewSender(recipient, hpke.HKDFSHA256(), hpke.ExportOnly(), info(id, sender, KeyID(publicKey)))
	if err != nil {
		return nil, nil, err
	}
	return &Sealing{id, context.Export, map[string]bool{}}, encapsulated, nil
}

// Unsealing is an inbox's end of a context.
func Unsealing(seed, encapsulated []byte, id, sender, keyID string) (*Sealing, error) {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, err
	}
	context, err := hpke.NewRecipient(encapsulated, private, hpke.HKDFSHA256(), hpke.ExportOnly(), info(id, sender, keyID))
	if err != nil {
		return nil, err
	}
	return &Sealing{id, context.Export, map[string]bool{}}, nil
}

// Key is the key of one section.
func (s *Sealing) Key(path string) ([]byte, error) { return s.export(string(Frame(path)), 32) }

func (s *Sealing) cipher(path string) (cipher.AEAD, error) {
	key, err := s.Key(path)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// SealPlaintext seals a plaintext as it is, also one that no honest desk would seal.
func (s *Sealing) SealPlaintext(path string, plaintext []byte) (*posternv1.SealedSection, error) {
	c, err := s.cipher(path)
	if err != nil {
		return nil, err
	}
	return &posternv1.SealedSection{Path: path, Ciphertext: c.Seal(nil, make([]byte, 12), plaintext, Frame(s.id, path))}, nil
}

// Seal seals the message of a section.
func (s *Sealing) Seal(path string, m proto.Message) (*posternv1.SealedSection, error) {
	k, _, err := lookup(path)
	if err != nil {
		return nil, err
	}
	if s.sealed[path] {
		return nil, fmt.Errorf("%s was sealed before", path)
	}
	s.sealed[path] = true
	if m.ProtoReflect().Descriptor() != k.empty.ProtoReflect().Descriptor() {
		return nil, fmt.Errorf("%s is not a %s", path, m.ProtoReflect().Descriptor().Name())
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, 32)
	rand.Read(salt)
	plaintext, err := Plaintext(path, salt, b)
	if err != nil {
		return nil, err
	}
	return s.SealPlaintext(path, plaintext)
}

// Plaintext lays out the message of a section behind its salt.
func Plaintext(path string, salt, message []byte) ([]byte, error) {
	k, _, err := lookup(path)
	if err != nil || len(salt) != 32 || 36+len(message) > k.size {
		return nil, errors.Join(err, fmt.Errorf("%s cannot be laid out", path))
	}
	plaintext := make([]byte, k.size)
	copy(plaintext, salt)
	binary.BigEndian.PutUint32(plaintext[32:], uint32(len(message)))
	copy(plaintext[36:], message)
	return plaintext, nil
}

// OpenPlaintext opens what was sealed under a path, and does not look into it.
func (s *Sealing) OpenPlaintext(sealed *posternv1.SealedSection) ([]byte, error) {
	c, err := s.cipher(sealed.GetPath())
	if err != nil {
		return nil, err
	}
	return c.Open(nil, make([]byte, 12), sealed.GetCiphertext(), Frame(s.id, sealed.GetPath()))
}

// Open is the message of a sealed section.
func (s *Sealing) Open(sealed *posternv1.SealedSection) (proto.Message, error) {
	k, _, err := lookup(sealed.GetPath())
	if err != nil {
		return nil, err
	}
	plaintext, err := s.OpenPlaintext(sealed)
	if err != nil {
		return nil, err
	}
	if len(plaintext) != k.size {
		return nil, errors.New("not of the size of its kind")
	}
	length := int(binary.BigEndian.Uint32(plaintext[32:]))
	if length > k.size-36 || len(bytes.Trim(plaintext[36+length:], "\x00")) > 0 {
		return nil, errors.New("not filled up with zeros")
	}
	m := k.empty
	return m, read(plaintext[36:36+length], m)
}
