package directory

import (
	"time"

	posternv1 "postern/proto/postern/v1"
)

// Ending is an agreement that ends for at least one pair of its parties with nothing after it.
type Ending struct {
	*posternv1.DataSharingAgreement
	Prison, Authority string // the first such pair
}

// Ending lists the agreements that are in force on a day and end within so many days, where no other agreement of the
// same prison and authority goes on. An authority that shares nothing any more hears of no child, and says nothing.
func (d *Directory) Ending(now time.Time, days int) []Ending {
	today, last := day(now, 0), day(now, days)
	var all []Ending
	for _, a := range d.agreements {
		if a.GetStartDate() > today || a.GetEndDate() < today || a.GetEndDate() > last {
			continue
		}
		end, err := time.ParseInLocation(time.DateOnly, a.GetEndDate(), london())
		if err != nil {
			continue // Open has refused a directory with such a date
		}
		if prison, authority, found := d.pairWithout(a, day(end, 1)); found {
			all = append(all, Ending{a.DataSharingAgreement, prison, authority})
		}
	}
	return all
}

// pairWithout finds a prison and an authority that both signed a and have no agreement on a date.
func (d *Directory) pairWithout(a agreement, date string) (prison, authority string, found bool) {
	for _, prison := range a.GetPrisons() {
		for _, authority := range a.GetAuthorities() {
			_, goesOn := d.Agreement(prison, authority, date)
			if a.prisons[prison] && a.authorities[authority] && !goesOn {
				return prison, authority, true
			}
		}
	}
	return "", "", false
}

// day is a civil date in London, so many days later.
func day(t time.Time, later int) string {
	return t.In(london()).AddDate(0, 0, later).Format(time.DateOnly)
}
