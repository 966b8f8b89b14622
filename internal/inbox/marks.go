package inbox

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/postcode"
	"postern/internal/section"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A list must let a duty worker recognise a family that called, on a screen that others may pass: initials, a band of
// ages and the first half of a postcode, and nothing more.

// marked is a child of an item with the address it lives at, which does not leave this package.
type marked struct {
	*localv1.Mark
	address string
}

// marks are the children of an item.
func marks(item *localv1.GetItemResponse, now time.Time) ([]marked, error) {
	numbers := item.GetItem().GetChildNumbers()
	all := make([]marked, len(numbers))
	homes := map[uint32]*posternv1.ChildHome{}
	for i, n := range numbers {
		all[i].Mark = &localv1.Mark{ChildNumber: n}
	}
	for _, s := range item.GetSections() {
		n, _ := section.ChildOf(s.GetPath())
		at := slices.Index(numbers, uint32(n))
		if at < 0 {
			continue
		}
		m, err := section.Read(s.GetPath(), s.GetContent())
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *posternv1.ChildIdentity:
			all[at].Initials, all[at].AgeBand = initials(m.GetGivenName(), m.GetFamilyName()), ageBand(m, now)
		case *posternv1.ChildHome:
			homes[uint32(n)] = m
		}
	}
	for i := range all {
		h := homes[all[i].GetChildNumber()]
		if same := h.GetSameAsChild(); same > 0 {
			h = homes[same]
		}
		if p, err := postcode.Parse(h.GetPostcode()); err == nil {
			all[i].Area = p.Outward()
			if p.Whole() && len(h.GetAddressLines()) > 0 {
				all[i].address = p.String() + "\n" + spelled(h.GetAddressLines())
			}
		}
	}
	return all, nil
}

// spelled is an address without what people spell in more than one way: capitals, spaces and signs.
func spelled(lines []string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, strings.Join(lines, " "))
}

// initials are the first letters of names; a name that begins with no letter has none.
func initials(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		if r, _ := utf8.DecodeRuneInString(strings.TrimSpace(n)); unicode.IsLetter(r) {
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}

// ageBand is the band of a child's age today. An age in years that was written down is older today, by how much nobody
// knows: it counts as it is.
func ageBand(c *posternv1.ChildIdentity, now time.Time) localv1.AgeBand {
	years := int(c.GetAgeYears())
	switch born := c.GetBorn().(type) {
	case *posternv1.ChildIdentity_DueDate:
		return localv1.AgeBand_AGE_BAND_UNBORN
	case *posternv1.ChildIdentity_DateOfBirth:
		day, err := time.Parse(time.DateOnly, born.DateOfBirth)
		if err != nil {
			return localv1.AgeBand_AGE_BAND_UNSPECIFIED
		}
		years = now.Year() - day.Year()
		if day.AddDate(years, 0, 0).After(now) {
			years--
		}
	case nil:
		return localv1.AgeBand_AGE_BAND_UNSPECIFIED
	}
	switch {
	case years < 5:
		return localv1.AgeBand_AGE_BAND_0_TO_4
	case years < 11:
		return localv1.AgeBand_AGE_BAND_5_TO_10
	case years < 16:
		return localv1.AgeBand_AGE_BAND_11_TO_15
	default:
		return localv1.AgeBand_AGE_BAND_16_AND_OVER
	}
}

// group numbers the addresses of a list: children of one address have one number, whatever item they are in. Numbers say
// nothing but that: they are counted anew for every list.
func group(list [][]marked) {
	seen := map[string]uint32{}
	for _, item := range list {
		for _, m := range item {
			if m.address == "" {
				continue
			}
			if seen[m.address] == 0 {
				seen[m.address] = uint32(len(seen) + 1)
			}
			m.Household = seen[m.address]
		}
	}
}

// marksOf are the marks as they are shown.
func marksOf(all []marked) []*localv1.Mark {
	out := make([]*localv1.Mark, 0, len(all))
	for _, m := range all {
		out = append(out, m.Mark)
	}
	return slices.Clip(out)
}
