package envelope_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/envelope"
)

// alphabet is what docs/formats.md says a reference is written in.
const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

func drawID(t *rapid.T) string {
	return value(envelope.NewID(bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))))(t)
}

// TestReferencesAreReadInAnySpelling: lower case, spaces and hyphens anywhere, with or without PN.
func TestReferencesAreReadInAnySpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reference := envelope.Reference(drawID(t))
		if len(reference) != len("PN-7K3F-9Q2M") || reference[:3] != "PN-" || reference[7] != '-' {
			t.Fatalf("%q is not a reference", reference)
		}
		code := strings.ReplaceAll(reference[3:], "-", "")
		if strings.Trim(code, alphabet) != "" || strings.ContainsAny(code, "0O1I") {
			t.Fatalf("%q has a character that sounds or looks like another", reference)
		}
		if rapid.Bool().Draw(t, "with PN") {
			code = "PN" + code
		}
		var typed strings.Builder
		for _, c := range code {
			typed.WriteString(strings.Repeat(rapid.SampledFrom([]string{"", " ", "-", " - "}).Draw(t, "between"), rapid.IntRange(0, 2).Draw(t, "times")))
			if rapid.Bool().Draw(t, "lower") {
				c |= 0x20 // a letter in lower case; a digit stays
			}
			typed.WriteRune(c)
		}
		if got, err := envelope.ParseReference(typed.String() + " "); err != nil || got != reference {
			t.Fatalf("ParseReference(%q) = %q, %v, want %q", typed.String(), got, err, reference)
		}
	})
}

// TestAReferenceThatBeginsWithPN: the code may itself begin with the letters of the prefix.
func TestAReferenceThatBeginsWithPN(t *testing.T) {
	const reference = "PN-PNPN-PNPT"
	for _, typed := range []string{reference, "PNPN-PNPT", "pnpnpnpt", "PN PN PN PN PT"} {
		if got, err := envelope.ParseReference(typed); err != nil || got != reference {
			t.Errorf("ParseReference(%q) = %q, %v, want %q", typed, got, err, reference)
		}
	}
}

// TestEveryWrongCharacterIsFound, whichever it is, wherever it is and whatever it should be.
func TestEveryWrongCharacterIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reference := envelope.Reference(drawID(t))
		for _, i := range []int{3, 4, 5, 6, 8, 9, 10, 11} {
			for _, c := range alphabet + "01OIa -\x00" {
				wrong := []byte(reference)
				wrong[i] = byte(c)
				if got, err := envelope.ParseReference(string(wrong)); err == nil && got != reference {
					t.Fatalf("%q is taken for %q", wrong, got)
				}
			}
		}
	})
}

// TestSwapsOfNeighboursAreFound: all but one pair of the 992, the first and the last character of the alphabet.
func TestSwapsOfNeighboursAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reference := envelope.Reference(drawID(t))
		at := []int{3, 4, 5, 6, 8, 9, 10, 11}
		for n := range len(at) - 1 {
			i, j := at[n], at[n+1]
			swapped := []byte(reference)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			unseen := strings.Contains("2Z2", string([]byte{reference[i], reference[j]}))
			if _, err := envelope.ParseReference(string(swapped)); err == nil != (unseen || reference[i] == reference[j]) {
				t.Fatalf("%q for %q: %v", swapped, reference, err)
			}
		}
	})
}

func TestWhatIsNoReference(t *testing.T) {
	for _, typed := range []string{"", " ", "PN", "PN-", "PN-7K3F", "PN-7K3F-9Q2", "PN-7K3F-9Q2MM", "PN-0K3F-9Q2M", "PM-7K3F-9Q2M",
		"PNPN-7K3F-9Q2M", "7K3F.9Q2M", "PN-7K3F-9Q2M\x00", "９Ｑ２Ｍ９Ｑ２Ｍ", "9b2f8a64-0c3e-4d6f-9a51-1c7e2d3b4a59"} {
		if got, err := envelope.ParseReference(typed); err == nil {
			t.Errorf("ParseReference(%q) = %q", typed, got)
		} else {
			refusedAs(t, err, "BAD_REFERENCE")
		}
	}
}

// TestTwoNotificationsMayShareAReference: it holds the first 35 bits of the id and no more, so it is never a key.
func TestTwoNotificationsMayShareAReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "another")
		copy(b, a[:4])
		b[4] = a[4]&^0x1f | b[4]&0x1f
		first, second := value(envelope.NewID(bytes.NewReader(a)))(t), value(envelope.NewID(bytes.NewReader(b)))(t)
		if envelope.Reference(first) != envelope.Reference(second) {
			t.Fatalf("%s and %s have the same 35 bits and not the same reference", first, second)
		}
		b[4] ^= 0x20
		if third := value(envelope.NewID(bytes.NewReader(b)))(t); envelope.Reference(first) == envelope.Reference(third) {
			t.Fatalf("%s and %s differ in bit 35 and not in their reference", first, third)
		}
	})
}

// TestIDs: what NewID makes is valid, and an id has one spelling.
func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := newID(t)
		if !envelope.ValidID(id) || seen[id] {
			t.Fatalf("%q is not valid, or there twice", id)
		}
		seen[id] = true
	}
	const id = "9b2f8a64-0c3e-4d6f-9a51-1c7e2d3b4a59"
	if !envelope.ValidID(id) {
		t.Errorf("%s is not valid", id)
	}
	for _, other := range []string{"", strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), id + "\n", " " + id,
		"9b2f8a64-0c3e-1d6f-9a51-1c7e2d3b4a59", "9b2f8a64-0c3e-7d6f-9a51-1c7e2d3b4a59", "9b2f8a64-0c3e-4d6f-1a51-1c7e2d3b4a59",
		"9b2f8a64-0c3e-4d6f-ca51-1c7e2d3b4a59", "00000000-0000-0000-0000-000000000000", "9b2f8a64_0c3e_4d6f_9a51_1c7e2d3b4a59", id[:35]} {
		if envelope.ValidID(other) {
			t.Errorf("%q is valid", other)
		}
	}
	if _, err := envelope.NewID(failing{}); err == nil {
		t.Error("an id without randomness")
	}
	if r := envelope.Reference("not an id"); r != "" {
		t.Errorf("the reference of nothing is %q", r)
	}
}

// failing is a source of randomness that has none.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("none left") }

// TestTheIDsOfAReference: an id is in the range of a reference exactly when it has that reference.
func TestTheIDsOfAReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, other := drawID(t), []byte(drawID(t))
		// An id that begins alike tells more than one drawn at random.
		copy(other, id[:rapid.IntRange(0, len(id)-1).Draw(t, "alike")])
		from, to, err := envelope.IDsOf(strings.ToLower(envelope.Reference(id)))
		if err != nil || id < from || id >= to {
			t.Fatalf("%s is not in [%s, %s): %v", id, from, to, err)
		}
		in := string(other) >= from && string(other) < to
		if same := envelope.Reference(string(other)) == envelope.Reference(id); in != same {
			t.Fatalf("%s in [%s, %s): %v, has the reference: %v", other, from, to, in, same)
		}
	})
	if _, _, err := envelope.IDsOf("PN-7K3F-9Q2N"); err == nil {
		t.Error("a wrong check character gives ids")
	}
}
