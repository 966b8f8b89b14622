package form

import (
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	posternv1 "postern/proto/postern/v1"
)

// Again takes a form that was checked when it was taken and is sent again later. It is not checked a second time: what
// was good stays good, though a date has passed or the directory has changed since. Only whether the consent has ended
// is judged anew.
func Again(f *posternv1.Form, now time.Time) *Checked {
	c := &checker{form: proto.CloneOf(f), env: Env{Now: now}, today: mustDate(Today(now))}
	c.dates("", c.form.ProtoReflect()) // what is kept has dates as they were typed
	f = c.form
	return &Checked{typed: f, form: f, expired: !consent.Expiry(f.GetConsent()).After(now)}
}

// Earlier is a part as it was sent before: to whom, about which children by their numbers in the form, and what the
// authority rested on then.
type Earlier struct {
	Authority          string
	Children           []uint32
	Source             posternv1.DestinationSource
	PostcodeVintage    string
	DestinationChecked bool
}

// PartOf is such a part once more. The consent is projected under the given id.
func (c *Checked) PartOf(e Earlier, consentID string) Part {
	if c.form.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED {
		return c.enquiryPart()
	}
	// A copy: what a postcode told is not in the form as it was typed.
	again := &Checked{typed: c.typed, form: proto.CloneOf(c.form), places: make([]place, len(c.form.GetChildren())), expired: c.expired}
	numbers := make([]int, len(e.Children))
	for i, n := range e.Children {
		numbers[i] = int(n)
		again.places[n-1] = place{e.Source, e.PostcodeVintage, e.DestinationChecked}
		again.form.Children[n-1].Authority = e.Authority
	}
	return again.part(e.Authority, numbers, consentID)
}
