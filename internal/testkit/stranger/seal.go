package stranger

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "postern/proto/postern/v1"
)

// sectionRow is a row of the table of sections.
type sectionRow struct {
	path, class string
	size        int
	urgent      bool // permitted, and goes on the urgent route too
	of          func(*pb.Form, *pb.Child) proto.Message
	empty       func() proto.Message
}

func row[T proto.Message](path, class string, size int, urgent bool, of func(*pb.Form, *pb.Child) T) sectionRow {
	var none T
	return sectionRow{path, class, size, urgent,
		func(f *pb.Form, c *pb.Child) proto.Message {
			m := of(f, c)
			if !m.ProtoReflect().IsValid() {
				return nil
			}
			if h, ok := any(m).(*pb.ChildHome); ok && h.SameAsChild != 0 {
				h = proto.Clone(h).(*pb.ChildHome)
				h.SameAsChild = 0 // it stands in full: the other child may stay behind
				return h
			}
			return m
		},
		func() proto.Message { return none.ProtoReflect().New().Interface() },
	}
}

var sectionTable = []sectionRow{
	row("parent/name", "M", 1024, false, func(f *pb.Form, _ *pb.Child) *pb.ParentName { return f.GetParent().GetName() }),
	row("parent/birth", "P", 256, true, func(f *pb.Form, _ *pb.Child) *pb.ParentBirth { return f.GetParent().GetBirth() }),
	row("parent/custody", "P", 256, false, func(f *pb.Form, _ *pb.Child) *pb.ParentCustody { return f.GetParent().GetCustody() }),
	row("parent/language", "P", 256, false, func(f *pb.Form, _ *pb.Child) *pb.ParentLanguage { return f.GetParent().GetLanguage() }),
	row("parent/wishes", "P", 256, false, func(f *pb.Form, _ *pb.Child) *pb.ParentWishes { return f.GetParent().GetWishes() }),
	row("child/{n}/identity", "M", 1536, false, func(_ *pb.Form, c *pb.Child) *pb.ChildIdentity { return c.GetIdentity() }),
	row("child/{n}/relationship", "M", 256, false, func(_ *pb.Form, c *pb.Child) *pb.ChildRelationship { return c.GetRelationship() }),
	row("child/{n}/home", "M", 3072, false, func(_ *pb.Form, c *pb.Child) *pb.ChildHome { return c.GetHome() }),
	row("child/{n}/carer", "M", 1024, false, func(_ *pb.Form, c *pb.Child) *pb.ChildCarer { return c.GetCarer() }),
	row("child/{n}/safety", "M", 2560, false, func(_ *pb.Form, c *pb.Child) *pb.ChildSafety { return c.GetSafety() }),
	row("child/{n}/phone", "P", 256, true, func(_ *pb.Form, c *pb.Child) *pb.ChildPhone { return c.GetPhone() }),
	row("child/{n}/school", "P", 1024, true, func(_ *pb.Form, c *pb.Child) *pb.ChildSchool { return c.GetSchool() }),
	row("child/{n}/knowledge", "P", 256, false, func(_ *pb.Form, c *pb.Child) *pb.ChildKnowledge { return c.GetKnowledge() }),
	row("child/{n}/needs", "P", 1536, false, func(_ *pb.Form, c *pb.Child) *pb.ChildNeeds { return c.GetNeeds() }),
	row("child/{n}/worker", "P", 1024, true, func(_ *pb.Form, c *pb.Child) *pb.ChildWorker { return c.GetWorker() }),
	row("urgency", "U", 6144, true, func(f *pb.Form, _ *pb.Child) *pb.Urgency { return f.GetUrgency() }),
}

var childPath = regexp.MustCompile(`^child/([1-9][0-9]?)(/[a-z]+)?$`)

// rowOf finds the row of a path and the child it belongs to, 0 for none.
func rowOf(path string) (*sectionRow, int) {
	pattern, n := path, 0
	if m := childPath.FindStringSubmatch(path); m != nil && m[2] != "" {
		n, _ = strconv.Atoi(m[1])
		pattern = "child/{n}" + m[2]
	} else if strings.Contains(path, "{") {
		return nil, 0
	}
	for _, r := range sectionTable {
		if r.path == pattern && n <= 16 {
			return &r, n
		}
	}
	return nil, 0
}

// at is the path for a child.
func (r sectionRow) at(n int) string {
	return strings.Replace(r.path, "{n}", strconv.Itoa(n), 1)
}

func (r sectionRow) ofChild() bool { return strings.HasPrefix(r.path, "child/") }

// covers says whether a withdrawn path, such as child/2 or child/2/phone, takes a section with it.
func covers(withdrawn, path string) bool {
	return withdrawn == path || strings.HasPrefix(path, withdrawn+"/")
}

// Plaintext lays a section out at the length of its path; the salt is 32 random bytes.
func Plaintext(path string, salt, message []byte) ([]byte, error) {
	r, _ := rowOf(path)
	if r == nil {
		return nil, refuse("BAD_PATH", "%q", path)
	}
	if 36+len(message) > r.size {
		return nil, refuse("BAD_SECTION", "%d bytes do not fit in %d", len(message), r.size)
	}
	out := slices.Concat(salt, u32(len(message)), message)
	return append(out, make([]byte, r.size-len(out))...), nil
}

// unpad reads a plaintext back, strictly.
func unpad(plain []byte, r *sectionRow) (proto.Message, error) {
	if len(plain) != r.size {
		return nil, refuse("BAD_SECTION", "%d bytes, not %d", len(plain), r.size)
	}
	n := binary.BigEndian.Uint32(plain[32:])
	if uint64(n) > uint64(len(plain)-36) {
		return nil, refuse("BAD_SECTION", "too long")
	}
	for _, b := range plain[36+n:] {
		if b != 0 {
			return nil, refuse("BAD_SECTION", "padding is not zero")
		}
	}
	m := r.empty()
	return m, parseKnown(plain[36:36+n], m)
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // keys are 32 bytes
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has blocks of 16
	}
	return a
}

var zeroNonce = make([]byte, 12)

// KeyID is the id of a recipient key: the first 16 hex digits of SHA-256.
func KeyID(public []byte) string { return hex.EncodeToString(digest(public))[:16] }

// Sealing is one HPKE context, at either end: it derives a key for each path. No path may be sealed twice in one.
type Sealing struct {
	id     string // of the notification
	export func(context string, length int) ([]byte, error)
}

// NewSealing starts a context to a recipient's public key, and returns the key that it encapsulates.
func NewSealing(public []byte, id, sender string) (*Sealing, []byte, error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	enc, s, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.ExportOnly(), Frame(id, sender, KeyID(public)))
	if err != nil {
		return nil, nil, err
	}
	return &Sealing{id, s.Export}, enc, nil
}

// Unsealing is the same context at the recipient, whose private key is a seed of 32 bytes.
func Unsealing(seed, enc []byte, id, sender, keyID string) (*Sealing, error) {
	key, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, err
	}
	r, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.ExportOnly(), Frame(id, sender, keyID))
	if err != nil {
		return nil, err
	}
	return &Sealing{id, r.Export}, nil
}

// Key is the section key of a path.
func (s *Sealing) Key(path string) ([]byte, error) { return s.export(string(Frame(path)), 32) }

// SealPlaintext seals any bytes for a path.
func (s *Sealing) SealPlaintext(path string, plain []byte) (*pb.SealedSection, error) {
	key, err := s.Key(path)
	if err != nil {
		return nil, err
	}
	return &pb.SealedSection{Path: path, Ciphertext: gcm(key).Seal(nil, zeroNonce, plain, Frame(s.id, path))}, nil
}

// Seal seals a message for its path.
func (s *Sealing) Seal(path string, m proto.Message) (*pb.SealedSection, error) {
	plain, err := Plaintext(path, random(32), mustMarshal(m))
	if err != nil {
		return nil, err
	}
	return s.SealPlaintext(path, plain)
}

// Open opens a section and reads it.
func (s *Sealing) Open(sealed *pb.SealedSection) (proto.Message, error) {
	key, err := s.Key(sealed.Path)
	if err != nil {
		return nil, err
	}
	return openSection(key, s.id, sealed)
}

// openUnder opens one ciphertext with its section key.
func openUnder(key []byte, id string, s *pb.SealedSection) ([]byte, error) {
	plain, err := gcm(key).Open(nil, zeroNonce, s.Ciphertext, Frame(id, s.Path))
	if err != nil {
		return nil, refuse("BAD_SECTION", "%s does not open", s.Path)
	}
	return plain, nil
}

// openSection opens a section with its key and reads it.
func openSection(key []byte, id string, s *pb.SealedSection) (proto.Message, error) {
	r, _ := rowOf(s.Path)
	if r == nil {
		return nil, refuse("BAD_PATH", "%q", s.Path)
	}
	plain, err := openUnder(key, id, s)
	if err != nil {
		return nil, err
	}
	return unpad(plain, r)
}

// DigestOfSection is SHA-256(Frame(path) ‖ ciphertext).
func DigestOfSection(path string, ciphertext []byte) []byte {
	return digest(append(Frame(path), ciphertext...))
}
