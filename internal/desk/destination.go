package desk

import (
	"cmp"
	"slices"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/postcode"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// Council is an authority as people who fill in a form choose it.
type Council struct {
	Code, Name, Team string
	Enrolled         bool // whether it can receive anything today
}

// Destination is where the notification about a child would go, as far as the form tells.
type Destination struct {
	Council                 // empty where nothing tells it
	Says    []Council       // what the postcode says; several for a first half that leaves several
	Place   postcode.Place  // where the postcode is
	Source  postcode.Source // what the choice rests on
	Ended   bool            // the postcode is no longer in use
	Many    bool            // the postcode is of one organisation or of boxes, where nobody may live
}

// Councils are the authorities of the directory, by name.
func (d *Desk) Councils(lang words.Language) (all []Council) {
	dir := d.directory.Load().At(d.cfg.Clock())
	seen := map[string]bool{}
	for _, a := range dir.Authorities() {
		if code := a.GetCode(); !seen[code] {
			seen[code] = true
			if _, today := dir.Authority(code); today {
				all = append(all, d.council(lang, dir, code))
			}
		}
	}
	slices.SortFunc(all, func(a, b Council) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Usual are the codes of the authorities that have an agreement with this prison today: those that its people's children
// live with most, as far as a directory can know.
func (d *Desk) Usual() (codes []string) {
	now := d.cfg.Clock()
	dir := d.directory.Load().At(now)
	for _, a := range dir.Authorities() {
		if _, agreed := dir.Agreement(d.cfg.Identity.Party().ID, a.GetCode(), form.Today(now)); agreed && !slices.Contains(codes, a.GetCode()) {
			codes = append(codes, a.GetCode())
		}
	}
	return codes
}

func (d *Desk) council(lang words.Language, dir *directory.Directory, code string) Council {
	a, _ := dir.Authority(code)
	door, _ := dir.FrontDoor(code, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP)
	return Council{Code: code, Name: cmp.Or(called(lang, a), code), Team: door.GetName(), Enrolled: dir.Enrolled(code, d.cfg.Clock())}
}

// Destination says where the notification about the n-th child of a form would go. It asks nobody: table and directory
// are on this machine, and the postcode does not leave it.
func (d *Desk) Destination(lang words.Language, f *posternv1.Form, n int) Destination {
	dir := d.directory.Load().At(d.cfg.Clock())
	answer := form.PlaceOf(f, n, d.cfg.Postcodes)
	code, source := postcode.Choose(answer, f.GetChildren()[n-1].GetAuthority())
	out := Destination{Place: answer.Place, Source: source, Ended: answer.Ended, Many: answer.Organisation}
	if code != "" {
		out.Council = d.council(lang, dir, code)
	}
	if answer.Authority != "" {
		out.Says = []Council{d.council(lang, dir, answer.Authority)}
		return out
	}
	for _, c := range answer.Candidates {
		if c.Authority != "" {
			out.Says = append(out.Says, d.council(lang, dir, c.Authority))
		}
	}
	return out
}

// Faults are what is missing in a form, or wrong with it, for it to be sent today.
func (d *Desk) Faults(lang words.Language, f *posternv1.Form) []fault.Field {
	_, err := d.check(lang, f, d.directory.Load().At(d.cfg.Clock()))
	if err == nil {
		return nil
	}
	return fault.From(err).Fields
}

// LawfulBasis is the basis of this desk where a form names none.
func (d *Desk) LawfulBasis() *posternv1.LawfulBasis { return d.cfg.Basis }
