package form

import (
	"errors"
	"fmt"

	"postern/internal/postcode"
	posternv1 "postern/proto/postern/v1"
)

// place is what the postcode and the choice of staff say of one child.
type place struct {
	source  posternv1.DestinationSource
	vintage string // of the table that answered; empty where none did
	checked bool   // staff chose another authority than the postcode's, and say that they have checked it
}

// place finds the authority of child n from the postcode and the choice of staff, and notes what it rests on. It runs
// for every child in order, so that a home given as another child's finds that child's postcode.
func (c *checker) place(n int, child *posternv1.Child) {
	at := fmt.Sprintf("children[%d].", n-1)
	answer := postcode.Answer{}
	if typed := c.postcodeOf(n); typed != "" {
		p, err := postcode.Parse(typed)
		var slip *postcode.Slip
		if errors.As(err, &slip) {
			if child.GetHome().GetPostcode() != "" { // or the other child's field says so
				c.fields = append(c.fields, slip.Fault(at+"home.postcode"))
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
			c.add(at+"authority", "The postcode of this child's home is in another authority than this one.",
				"Check both. If the child does live in this authority, as may be near a boundary, set authority_checked to true.")
		}
	case postcode.CannotServe:
		c.add(at+"home.postcode", "No authority of England or Wales serves this postcode.", "Telephone the children's services of the place where the child lives.")
	}
	c.places = append(c.places, found)
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
