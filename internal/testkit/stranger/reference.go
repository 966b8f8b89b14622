package stranger

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
)

const letters = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// remainder is the Luhn sum modulo 32 of letters whose last is the check character.
func remainder(text string) int {
	sum := 0
	for i := range text {
		v := strings.IndexByte(letters, text[len(text)-1-i])
		if i%2 == 1 {
			v = 2*v/32 + 2*v%32
		}
		sum += v
	}
	return sum % 32
}

// checked is text with its check character behind it.
func checked(text string) string {
	for i := range letters {
		if whole := text + letters[i:i+1]; remainder(whole) == 1 {
			return whole
		}
	}
	panic("one of 32 values makes any remainder of 32")
}

// Reference is what people say on the telephone for the id of a notification.
func Reference(id string) (string, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(b) != 16 {
		return "", errors.New("no id")
	}
	var bits uint64
	for _, x := range b[:5] {
		bits = bits<<8 | uint64(x)
	}
	var text []byte
	for shift := 35; shift > 0; shift -= 5 {
		text = append(text, letters[bits>>shift&31])
	}
	whole := checked(string(text))
	return "PN-" + whole[:4] + "-" + whole[4:], nil
}

// ReadReference is a reference in its own spelling, from what somebody typed.
func ReadReference(typed string) (string, error) {
	text := strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(typed))
	if len(text) == 10 {
		var ok bool
		if text, ok = strings.CutPrefix(text, "PN"); !ok {
			return "", errors.New("ten characters that do not begin with PN")
		}
	}
	if len(text) != 8 || strings.Trim(text, letters) != "" || remainder(text) != 1 {
		return "", errors.New("no reference")
	}
	return "PN-" + text[:4] + "-" + text[4:], nil
}

// NewSlipCode is a code for the person's paper.
func NewSlipCode() string {
	random, text := make([]byte, 9), make([]byte, 9)
	rand.Read(random)
	for i, b := range random {
		text[i] = letters[b&31]
	}
	whole := checked(string(text))
	return whole[:5] + "-" + whole[5:]
}
