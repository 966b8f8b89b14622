package verify_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/ledger/verify"
)

// TestBodyJudgesAsOpenDoes: what opens a receipt's leaf passes, and nothing else does.
func TestBodyJudgesAsOpenDoes(t *testing.T) {
	l := newLog(t, origin, 5)
	for i := range 5 {
		r := l.receipt(t, i, 5)
		leaf, _, err := verify.Open(r)
		check(t, err)
		opening, core, details := r.GetOpening(), r.GetCore(), l.details[i]
		check(t, verify.Body(leaf, opening, core, details))
		changed := func(b []byte) []byte {
			b = bytes.Clone(b)
			b[len(b)/2] ^= 1
			return b
		}
		refused(t, verify.Body(leaf, changed(opening), core, details), "COMMITMENT_WRONG")
		refused(t, verify.Body(leaf, opening, changed(core), details), "COMMITMENT_WRONG")
		refused(t, verify.Body(leaf, opening, core, changed(details)), "COMMITMENT_WRONG")
		refused(t, verify.Body(leaf, opening, details, core), "COMMITMENT_WRONG")
		refused(t, verify.Body(leaf, opening[1:], core, details), "OPENING_MALFORMED")
		other := leaf
		other.Hour++
		refused(t, verify.Body(other, opening, core, details), "HOUR_WRONG")
	}
}

// TestCommitmentIsHMAC holds it against the standard library.
func TestCommitmentIsHMAC(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) []byte { return rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, name) }
		opening, core, details := draw("opening"), draw("core"), draw("details")
		m := hmac.New(sha256.New, opening)
		m.Write(core)
		m.Write(details)
		got := verify.Commitment([verify.OpeningSize]byte(opening), [32]byte(core), [32]byte(details))
		if !hmac.Equal(got[:], m.Sum(nil)) {
			rt.Fatalf("%x", got)
		}
	})
}
