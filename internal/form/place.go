package form

import (
	"errors"
	"fmt"
	"strings"

	"postern/internal/postcode"
	posternv1 "postern/proto/postern/v1"
)

// place is what the postcode and the choice of staff say of one child.
type place struct {
	source  posternv1.DestinationSource
	vintage string // of the table that answered; empty where none did
	checked bool   // staff chose another authority than the postcode's, and say that they have checked it
}

// elsewhere are the places that no authority of England and Wales serves, by the words that say where to turn.
var elsewhere = map[postcode.Place]string{
	postcode.Scotland: "form.scotland", postcode.NorthernIreland: "form.northern_ireland", postcode.Guernsey: "form.channel_islands",
	postcode.Jersey: "form.channel_islands", postcode.IsleOfMan: "form.isle_of_man", postcode.Forces: "form.bfpo",
	postcode.Overseas: "form.overseas", postcode.NonGeographic: "form.non_geographic",
}

// slips are the words for what was typed instead of a postcode.
var slips = map[postcode.Kind]string{
	postcode.Empty: "form.postcode_empty", postcode.NotAPostcode: "form.postcode_shape", postcode.LetterForZero: "form.postcode_letter_for_figure",
	postcode.ZeroForLetter: "form.postcode_figure_for_letter", postcode.CutShort: "form.postcode_cut_short",
}

// codesElsewhere are the beginnings of the codes of councils and islands outside England and Wales.
var codesElsewhere = map[string]string{"S12": "form.scotland", "S92": "form.scotland", "N09": "form.northern_ireland", "N92": "form.northern_ireland",
	"L93": "form.channel_islands", "M83": "form.isle_of_man"}

// place finds the authority of child n from the postcode and the choice of staff, and notes what it rests on. It runs
// for every child in order, so that a home given as another child's finds that child's postcode.
func (c *checker) place(n int, child *posternv1.Child) {
	at := fmt.Sprintf("children[%d].", n-1)
	answer, slipped := postcode.Answer{}, false
	if typed := c.postcodeOf(n); typed != "" {
		p, err := postcode.Parse(typed)
		var slip *postcode.Slip
		if errors.As(err, &slip) {
			slipped = true                           // the first thing to mend
			if child.GetHome().GetPostcode() != "" { // or the other child's field says so
				c.add(at+"home.postcode", slips[slip.Kind])
			}
		} else {
			answer = c.env.Postcodes.Lookup(p)
		}
	}
	authority, source := postcode.Choose(answer, child.GetAuthority())
	found := place{vintage: answer.Vintage}
	switch source {
	case postcode.TableAlone:
		child.Authority, found.source = authority, posternv1.DestinationSource_DESTINATION_SOURCE_POSTCODE_TABLE
	case postcode.Both:
		found.source = posternv1.DestinationSource_DESTINATION_SOURCE_BOTH
	case postcode.StaffAlone:
		found.source = posternv1.DestinationSource_DESTINATION_SOURCE_STAFF_CHOICE
	case postcode.Differ:
		found.source, found.checked = posternv1.DestinationSource_DESTINATION_SOURCE_STAFF_CHOICE, true
		if !child.GetAuthorityChecked() {
			found.source = 0
			c.add(at+"authority", "form.authority_differs", "table", c.names(answer), "chosen", c.name(child.GetAuthority()))
		}
	case postcode.CannotServe:
		c.add(at+"home.postcode", elsewhere[answer.Place])
	default:
		if !slipped {
			c.nowhere(at, answer)
		}
	}
	if found.source != 0 && child.GetAuthority() != "" {
		c.authority(at+"authority", child.GetAuthority())
	}
	c.places = append(c.places, found)
}

// PlaceOf is what the postcode of child n's home says of where the child lives, or that of the earlier child whose home it
// is. Where there is none that can be read, nothing is known.
func PlaceOf(f *posternv1.Form, n int, postcodes *postcode.Table) postcode.Answer {
	p, err := postcode.Parse((&checker{form: f}).postcodeOf(n))
	if err != nil {
		return postcode.Answer{}
	}
	return postcodes.Lookup(p)
}

// nowhere says that nothing tells the authority, and what would.
func (c *checker) nowhere(at string, answer postcode.Answer) {
	switch {
	case answer.Postcode == postcode.Postcode{}:
		c.add(at+"authority", "form.authority_missing")
	case !answer.Postcode.Whole():
		c.add(at+"authority", "form.outward_authority")
	default:
		c.add(at+"authority", "form.postcode_unknown")
	}
}

// postcodeOf is the postcode of a child's home, or of the earlier child whose home it is; empty where none is given.
func (c *checker) postcodeOf(n int) string {
	for steps := 0; n > 0 && steps < MaxChildren; steps++ {
		h := c.form.GetChildren()[n-1].GetHome()
		if h.GetSameAsChild() == 0 || int(h.GetSameAsChild()) >= n {
			return h.GetPostcode()
		}
		n = int(h.GetSameAsChild())
	}
	return ""
}

// settle notes what the authority of a part rests on: the weakest of its children's.
func (p *Part) settle(places []place, numbers []int) {
	strength := map[posternv1.DestinationSource]int{
		posternv1.DestinationSource_DESTINATION_SOURCE_STAFF_CHOICE:   1,
		posternv1.DestinationSource_DESTINATION_SOURCE_POSTCODE_TABLE: 2,
		posternv1.DestinationSource_DESTINATION_SOURCE_BOTH:           3,
	}
	for _, n := range numbers {
		child := places[n-1]
		if p.Source == 0 || strength[child.source] < strength[p.Source] {
			p.Source = child.source
		}
		p.PostcodeVintage = max(p.PostcodeVintage, child.vintage)
		p.DestinationChecked = p.DestinationChecked || child.checked
	}
}

// name is what an authority is called, or its code.
func (c *checker) name(code string) string {
	if c.env.Authority != nil {
		if a, ok := c.env.Authority(code); ok && a.GetName() != "" {
			return a.GetName()
		}
	}
	return code
}

// names are the authorities that a postcode may belong to.
func (c *checker) names(a postcode.Answer) string {
	if a.Authority != "" {
		return c.name(a.Authority)
	}
	var all []string
	for _, candidate := range a.Candidates {
		if candidate.Authority != "" {
			all = append(all, c.name(candidate.Authority))
		}
	}
	return strings.Join(all, ", ")
}

// outwardOnly reports whether only the first half of the postcode of a home is known.
func outwardOnly(h *posternv1.ChildHome) bool {
	code, err := postcode.Parse(h.GetPostcode())
	return h.GetProvenance().GetKnown() == known && err == nil && !code.Whole()
}
