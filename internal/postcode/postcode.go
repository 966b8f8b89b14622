// Package postcode says which children's services authority a postcode of England or Wales lies in, and of any other
// that it does not.
//
// Parse reads a postcode as people type it. Build makes a Table of the ONS Postcode Directory, Open reads one again, and
// Table.Lookup answers. A Table guarantees: it answers for exactly the postcodes of its file, ended ones too, and never
// from a neighbour; the county comes before the district; a table that was changed on its way is refused; it never
// changes and may be used from any goroutine.
//
// It does not say where a child lives: a postcode is placed by one point, and a boundary may run through a street. A
// person's choice is checked against it with Choose and, where the two differ, a person decides. Its faults repeat
// nothing of what was typed, since a postcode is part of an address.
package postcode

import (
	"regexp"
	"strings"

	"postern/internal/fault"
)

// Postcode is a postcode in its usual spelling, or an outward code alone, the part before the space. Only Parse makes one
// that is not empty.
type Postcode struct {
	outward, inward string
	place           Place // what the letters alone tell
}

// Outward is the part before the space, such as BS1.
func (p Postcode) Outward() string { return p.outward }

// Whole says whether it is a whole postcode and not an outward code alone.
func (p Postcode) Whole() bool { return p.inward != "" }

// String is the usual spelling: capitals and one space.
func (p Postcode) String() string { return strings.TrimSuffix(p.outward+" "+p.inward, " ") }

// The shapes of British postcodes. The letters of the last two places leave out those that are read for others.
var (
	outwardShape = regexp.MustCompile(`^[A-Z]{1,2}[0-9][0-9A-Z]?$`)
	inwardShape  = regexp.MustCompile(`^[0-9][ABD-HJLNP-UW-Z]{2}$`)
	forcesShape  = regexp.MustCompile(`^BFPO(CO)?[0-9]{1,4}$`)
)

// maxTyped is longer than any postcode with whatever may stand between its letters.
const maxTyped = 40

// Parse reads a postcode as people type it: small letters, no space or several, dots and dashes. An outward code alone
// is read too. The error is a Slip. A slip of O for 0, or of I for 1, is never put right silently: it would be another
// address.
func Parse(typed string) (Postcode, error) {
	if len(typed) > maxTyped {
		return Postcode{}, slips[NotAPostcode]
	}
	s := strings.Map(plainLetter, typed)
	halves := strings.Fields(s)
	s = strings.Join(halves, "")
	if s == "" {
		return Postcode{}, slips[Empty]
	}
	if special(s) {
		return Postcode{s, "", placeOf(s)}, nil
	}
	// "BS1 5" with its space is a piece of a postcode; "BS15" is another outward code.
	if last := halves[len(halves)-1]; cutShort.MatchString(last) && outwardShape.MatchString(strings.TrimSuffix(s, last)) {
		return Postcode{}, slips[CutShort]
	}
	if n := len(s) - 3; n > 0 && outwardShape.MatchString(s[:n]) && inwardShape.MatchString(s[n:]) {
		return Postcode{s[:n], s[n:], placeOf(s[:n])}, nil
	}
	if outwardShape.MatchString(s) {
		return Postcode{s, "", placeOf(s)}, nil
	}
	return Postcode{}, slip(s)
}

// plainLetter makes capitals, and spaces of what people put between the parts.
func plainLetter(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z':
		return r - 'a' + 'A'
	case r == '\t' || r == '-' || r == '.' || r == ',' || r == '\u00a0' || r == '\u2013':
		return ' '
	}
	return r
}

// Kind is a kind of slip, for a catalogue of words.
type Kind string

// The kinds of slip.
const (
	Empty         Kind = "POSTCODE_EMPTY"
	NotAPostcode  Kind = "POSTCODE_SHAPE"
	LetterForZero Kind = "POSTCODE_LETTER_FOR_FIGURE" // O where 0 must stand, or I or L for 1
	ZeroForLetter Kind = "POSTCODE_FIGURE_FOR_LETTER" // 0 where a letter must stand, or 1
	CutShort      Kind = "POSTCODE_CUT_SHORT"         // the first half and a piece of the second
)

// Slip says what is wrong with what was typed, without repeating any of it.
type Slip struct {
	Kind        Kind
	Reason, Fix string // sentences for a page, in English
}

// Error is the reason and the fix.
func (s *Slip) Error() string { return s.Reason + " " + s.Fix }

// Fault is the slip as a fault of a field.
func (s *Slip) Fault(path string) fault.Field {
	return fault.Field{Path: path, Reason: s.Reason, Fix: s.Fix}
}

var slips = map[Kind]*Slip{
	Empty:         {Empty, "No postcode is given.", "Write it as in ZZ99 1AA, or its first half alone if that is all that is known."},
	NotAPostcode:  {NotAPostcode, "This is not a postcode.", "Write it as in ZZ99 1AA, or its first half alone if that is all that is known."},
	LetterForZero: {LetterForZero, "A letter stands where a postcode has a figure.", "The second half begins with a figure: write the figure 0 and not the letter O, the figure 1 and not I or L."},
	ZeroForLetter: {ZeroForLetter, "A figure stands where a postcode has a letter.", "A postcode begins with a letter and ends with two: where a figure 0 or 1 was typed, write the letter that is meant."},
	CutShort:      {CutShort, "The second half of this postcode is not whole.", "It has a figure and two letters. Write all of it, or the first half alone if that is all that is known."},
}

// slip says what is most likely wrong with a text that is no postcode: the one exchange of O and 0, or of I, L and 1,
// that would make it one.
func slip(s string) *Slip {
	if n := len(s) - 3; n > 0 && n <= 4 {
		out, in := s[:n], s[n:]
		for _, o := range []string{out, figures(out)} {
			if outwardShape.MatchString(o) && inwardShape.MatchString(figure.Replace(in[:1])+in[1:]) {
				return slips[LetterForZero]
			}
			if outwardShape.MatchString(o) && figureAtEnd.MatchString(in) {
				return slips[ZeroForLetter]
			}
		}
		if outwardShape.MatchString(letter.Replace(out[:1])+out[1:]) && inwardShape.MatchString(in) {
			return slips[ZeroForLetter]
		}
	}
	for n := min(4, len(s)-1); n >= 2; n-- {
		if outwardShape.MatchString(s[:n]) && cutShort.MatchString(s[n:]) {
			return slips[CutShort]
		}
	}
	return slips[NotAPostcode]
}

var (
	figure      = strings.NewReplacer("O", "0", "I", "1", "L", "1")
	letter      = strings.NewReplacer("0", "O", "1", "I")
	figureAtEnd = regexp.MustCompile(`^[0-9]([0-9][A-Z]|[A-Z][0-9])$`)
	cutShort    = regexp.MustCompile(`^[0-9][A-Z]?$`)
)

// figures puts figures for letters after the area, which is one letter or two.
func figures(outward string) string {
	area := 1
	if len(outward) > 2 && outward[1] >= 'A' && outward[1] <= 'Z' && outward[1] != 'O' && outward[1] != 'I' {
		area = 2
	}
	return outward[:area] + figure.Replace(outward[area:])
}
