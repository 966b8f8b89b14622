package stranger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// u32 is four bytes, most significant first.
func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// lp puts its length before each part.
func Frame(parts ...string) []byte {
	out := []byte{}
	for _, p := range parts {
		out = append(append(out, u32(len(p))...), p...)
	}
	return out
}

func digest(b []byte) []byte {
	d := sha256.Sum256(b)
	return d[:]
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// newUUID is a version 4 UUID, lower case with hyphens.
func newUUID() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// checkCharacter is the Luhn check modulo 32 that makes the sum leave 1.
func checkCharacter(body string) byte {
	sum := 0
	for i := range len(body) {
		v := strings.IndexByte(alphabet, body[i])
		if (len(body)-1-i)%2 == 0 {
			v *= 2
			v = v/32 + v%32
		}
		sum += v
	}
	return alphabet[((1-sum)%32+32)%32]
}

// Reference is what a notification is called on the telephone: PN-XXXX-XXXX.
func Reference(id string) (string, error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(raw) != 16 {
		return "", fmt.Errorf("no UUID: %q", id)
	}
	bits := binary.BigEndian.Uint64(raw) >> 29
	body := make([]byte, 7)
	for i := 6; i >= 0; i-- {
		body[i], bits = alphabet[bits&31], bits>>5
	}
	s := string(body) + string(checkCharacter(string(body)))
	return "PN-" + s[:4] + "-" + s[4:], nil
}

// squeeze takes away what people put between characters.
func squeeze(typed string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(typed))
}

// checked says whether s is of the alphabet and its last character is the check of the others.
func checked(s string, size int) bool {
	return len(s) == size && strings.Trim(s, alphabet) == "" && checkCharacter(s[:size-1]) == s[size-1]
}

// ReadReference reads a reference as typed.
func ReadReference(typed string) (string, bool) {
	s := squeeze(typed)
	if len(s) == 10 && strings.HasPrefix(s, "PN") {
		s = s[2:]
	}
	if !checked(s, 8) {
		return "", false
	}
	return "PN-" + s[:4] + "-" + s[4:], true
}

// NewSlipCode is nine random characters and a check character, written 7K3F9-2MQXK.
func NewSlipCode() string {
	b := random(9)
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b[:5]) + "-" + string(b[5:]) + string(checkCharacter(string(b)))
}

// ReadSlipCode reads a slip code as typed.
func ReadSlipCode(typed string) (string, bool) {
	s := squeeze(typed)
	if !checked(s, 10) {
		return "", false
	}
	return s[:5] + "-" + s[5:], true
}

// parseKnown parses a message and refuses, at any depth, a field or an enum value that this program does not know.
func parseKnown(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return refuse("MALFORMED", "%v", err)
	}
	if !knownOnly(m.ProtoReflect()) {
		return refuse("UNKNOWN_CONTENT", "%s holds what this version does not know", m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

func knownOnly(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return false
	}
	ok := true
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		one := func(v protoreflect.Value) bool {
			switch {
			case f.Enum() != nil:
				return f.Enum().Values().ByNumber(v.Enum()) != nil
			case f.Message() != nil:
				return knownOnly(v.Message())
			}
			return true
		}
		if f.IsList() {
			for i := range v.List().Len() {
				ok = ok && one(v.List().Get(i))
			}
		} else {
			ok = ok && one(v)
		}
		return ok
	})
	return ok
}

// Refused is a rule that does not hold, with the reason of the page.
type Refused struct{ Reason, Text string }

// Error is the reason and what is wrong.
func (r *Refused) Error() string { return r.Reason + ": " + r.Text }

func refuse(reason, format string, args ...any) error {
	return &Refused{reason, fmt.Sprintf(format, args...)}
}

// mustMarshal serializes what this program made itself.
func mustMarshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // only a string that is not UTF-8, which every caller has checked
	}
	return b
}
