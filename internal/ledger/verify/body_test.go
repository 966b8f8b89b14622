package verify_test

import (
	"bytes"
	"testing"

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
