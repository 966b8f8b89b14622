package directory

import (
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // opening hours must not depend on what a machine has installed

	posternv1 "postern/proto/postern/v1"
)

var london = sync.OnceValue(func() *time.Location {
	l, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic("directory: built without time zone data") // a broken build, not an input
	}
	return l
})

// FrontDoor returns the front door of an authority with a role.
func (d *Directory) FrontDoor(code string, role posternv1.FrontDoorRole) (*posternv1.FrontDoor, bool) {
	a, _ := d.Authority(code)
	for _, f := range a.GetFrontDoors() {
		if f.GetRole() == role {
			return f, true
		}
	}
	return nil, false
}

// PhoneNow returns who answers for an authority's front door at a time, and the number: the front door in its hours in
// London, the out-of-hours team otherwise. Both are empty only for an authority or role that is not there. Bank
// holidays are not known: on one, a front door's own number is given in its usual hours.
func (d *Directory) PhoneNow(code string, role posternv1.FrontDoorRole, at time.Time) (name, phone string, inHours bool) {
	f, ok := d.At(at).FrontDoor(code, role)
	if !ok {
		return "", "", false
	}
	if open(f.GetHours(), at) {
		return f.GetName(), f.GetPhone(), true
	}
	return f.GetOutOfHoursName(), f.GetOutOfHoursPhone(), false
}

// open says whether a time falls within the hours: from opens on, up to but not at closes, by the clock on the wall.
func open(hours []*posternv1.OpeningHours, at time.Time) bool {
	at = at.In(london())
	day, clock := uint32((int(at.Weekday())+6)%7+1), at.Format("15:04")
	return slices.ContainsFunc(hours, func(h *posternv1.OpeningHours) bool {
		return slices.Contains(h.GetDays(), day) && h.GetOpens() <= clock && clock < h.GetCloses()
	})
}
