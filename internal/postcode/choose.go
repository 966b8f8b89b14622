package postcode

// Source says what an authority rests on.
type Source uint8

// The sources.
const (
	Nothing     Source = iota // nobody knows the authority yet
	TableAlone                // the postcode table; staff chose none
	StaffAlone                // the choice of staff; the table could not tell
	Both                      // both, and they agree
	Differ                    // both, and they do not agree: a person decides
	CannotServe               // the postcode is of a place that no authority of England or Wales serves
)

// Choose puts the table's answer beside the choice of staff, which may be empty, and says which authority is meant and
// what that rests on. Where the two differ it is the choice of staff that is returned, with Differ: whoever sends may
// not send by itself. An outward code counts as the table's answer only when it leaves one authority; where it leaves
// several, a choice among them is StaffAlone, and one that is not among them differs.
func Choose(a Answer, staff string) (authority string, source Source) {
	switch {
	case a.Place != Unknown && a.Place != EnglandAndWales:
		return staff, CannotServe
	case a.Authority != "" && staff == "":
		return a.Authority, TableAlone
	case a.Authority != "" && staff == a.Authority:
		return staff, Both
	case a.Authority != "":
		return staff, Differ
	case staff == "":
		return "", Nothing
	case len(a.Candidates) > 0 && !a.leaves(staff):
		return staff, Differ
	}
	return staff, StaffAlone
}

func (a Answer) leaves(authority string) bool {
	for _, c := range a.Candidates {
		if c.Authority == authority {
			return true
		}
	}
	return false
}
