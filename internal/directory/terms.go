package directory

import (
	"fmt"
	"slices"
	"time"

	"postern/internal/fault"
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

// ReviewDue lists the agreements that are in force on a day and whose day of review has come: they hold all the same, and
// somebody is to look at them and sign a next version.
func (d *Directory) ReviewDue(now time.Time) []*posternv1.DataSharingAgreement {
	today := day(now, 0)
	var due []*posternv1.DataSharingAgreement
	for _, a := range d.agreements {
		if a.GetStartDate() <= today && today <= a.GetEndDate() && a.GetReviewDate() <= today {
			due = append(due, a.DataSharingAgreement)
		}
	}
	return due
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

// Backdated lists entries of next that would change the past: of authorities that current does not have from that day, and
// that start before the day on which next was made. Decisions of the past were made without them, and a directory that
// says otherwise would make liars of them. Nothing is backdated in a first directory.
func Backdated(current, next *Directory) (faults []fault.Field) {
	if current == nil || current.Number() == 0 {
		return nil
	}
	today := day(next.revision.GetCreateTime().AsTime(), 0)
	for i, a := range next.authorities {
		known := slices.ContainsFunc(current.entries[a.GetCode()], func(b *posternv1.Authority) bool { return b.GetStartDate() == a.GetStartDate() })
		if !known && a.GetStartDate() < today {
			faults = append(faults, fault.Field{Path: fmt.Sprintf("authorities[%d].start_date", i), Reason: "is before today, and the directory in force has no such entry.",
				Fix: "Give the day from which it holds, today or later."})
		}
	}
	return faults
}

// Unserved lists those of the codes to which nothing can be sent at a time: the directory does not name them, or they
// are not enrolled then.
func (d *Directory) Unserved(codes []string, at time.Time) []string {
	return slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return d.Enrolled(code, at) })
}
