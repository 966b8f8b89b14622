package envelope

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"postern/internal/fault"
)

// NewID draws the id of a notification: a random UUID (RFC 9562 version 4).
func NewID(rand io.Reader) (string, error) {
	id, err := uuid.NewRandomFromReader(rand)
	if err != nil {
		return "", fault.From(err)
	}
	return id.String(), nil
}

// ValidID reports whether id is a UUID version 4 in its one canonical spelling, so that one notification has one id.
func ValidID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.Version() == 4 && u.Variant() == uuid.RFC4122 && u.String() == id
}

// alphabet has no 0, 1, I or O, which sound or look alike on the telephone and on paper.
const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// Reference returns the reference of a notification for the telephone: `PN-`, the first 35 bits of the id and a check
// character (Luhn modulo 32), such as PN-7K3F-9Q2M. Two ids may share one, so it is never a key.
func Reference(id string) string {
	u, err := uuid.Parse(id)
	if err != nil {
		return ""
	}
	var bits uint64
	for _, b := range u[:5] {
		bits = bits<<8 | uint64(b)
	}
	bits >>= 5 // 40 bits read, 35 kept
	code := make([]byte, 7)
	for i := range code {
		code[i] = alphabet[bits>>(30-5*i)&31]
	}
	return "PN-" + string(code[:4]) + "-" + string(code[4:]) + string(check(code))
}

// ParseReference returns the one spelling of a reference as people type it: any case, with or without `PN`, spaces and
// hyphens. A wrong check character is an error that says so, so that a slip of the ear finds nothing rather than
// another family.
func ParseReference(s string) (string, error) {
	t := strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(strings.TrimSpace(s)))
	if len(t) == 10 { // a code of 8 may itself begin with PN
		t = strings.TrimPrefix(t, "PN")
	}
	bad := fault.New(fault.Invalid, "BAD_REFERENCE", "That is not a reference. A reference looks like PN-7K3F-9Q2M; check each character.")
	if len(t) != 8 {
		return "", bad
	}
	for i := range t {
		if strings.IndexByte(alphabet, t[i]) < 0 {
			return "", bad
		}
	}
	if check([]byte(t[:7])) != t[7] {
		return "", bad
	}
	return "PN-" + t[:4] + "-" + t[4:], nil
}

// IDsOf returns the ids that have a reference, as people type it: those with from <= id < to in their canonical spelling.
// So whoever keeps notifications in the order of their ids needs no index of references.
func IDsOf(reference string) (from, to string, err error) {
	ref, err := ParseReference(reference)
	if err != nil {
		return "", "", err
	}
	var bits uint64
	for _, c := range []byte(ref[3:7] + ref[8:11]) {
		bits = bits<<5 | uint64(strings.IndexByte(alphabet, c))
	}
	// 35 bits are eight hex digits, a hyphen, and all but the lowest bit of the ninth digit.
	first := fmt.Sprintf("%08x-", bits>>3)
	return first + fmt.Sprintf("%x", bits&7<<1), first + fmt.Sprintf("%x", bits&7<<1|1) + "g", nil
}

// check is the Luhn check character modulo 32 over the alphabet: it finds every single wrong character and nearly
// every swap of neighbours.
func check(code []byte) byte {
	sum, double := 0, true
	for i := len(code) - 1; i >= 0; i-- {
		v := strings.IndexByte(alphabet, code[i])
		if double {
			v *= 2
			v = v/32 + v%32
		}
		sum += v
		double = !double
	}
	return alphabet[(33-sum%32)%32] // 33, not 32, so that the example everybody quotes, PN-7K3F-9Q2M, is a reference
}
