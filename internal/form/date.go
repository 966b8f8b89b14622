package form

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // the day in London must not depend on the files of the machine

	posternv1 "postern/proto/postern/v1"
)

var london = sync.OnceValue(func() *time.Location {
	l, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic(fmt.Sprintf("form: the time zones linked into the program lack London: %v", err)) // a broken build
	}
	return l
})

// Today returns the civil date in Europe/London at a moment, such as 2026-11-22.
func Today(now time.Time) string { return InLondon(now).Format(time.DateOnly) }

// InLondon is a moment by the clocks of Europe/London, where a day later is the same hour of the next day.
func InLondon(t time.Time) time.Time { return t.In(london()) }

// parseDate reads a civil date as midnight UTC.
func parseDate(s string) (time.Time, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil && t.Year() > 0
}

// mustDate reads a date that we wrote ourselves.
func mustDate(s string) time.Time {
	t, _ := parseDate(s)
	return t
}

// years returns the whole years from one civil date to another, and 0 when the second is not later. Somebody born on
// 29 February turns a year older on 1 March of a common year.
func years(from, to time.Time) int {
	n := to.Year() - from.Year()
	if to.Month() < from.Month() || to.Month() == from.Month() && to.Day() < from.Day() {
		n--
	}
	return max(n, 0)
}

// age returns a child's age in whole years on a civil day, or that the child is unborn. An age that was given in years
// grows with the whole years since the section's as_of_date: it is then the least the child can be. ok is false when
// the section does not tell.
func age(id *posternv1.ChildIdentity, day string) (inYears uint32, unborn, ok bool) {
	if id.GetProvenance().GetKnown() != posternv1.Known_KNOWN_KNOWN {
		return 0, false, false
	}
	on, dated := parseDate(day)
	switch id.GetBorn().(type) {
	case *posternv1.ChildIdentity_DateOfBirth:
		born, valid := parseDate(id.GetDateOfBirth())
		return uint32(years(born, on)), false, valid && dated
	case *posternv1.ChildIdentity_AgeYears:
		if asOf, valid := parseDate(id.GetProvenance().GetAsOfDate()); valid && dated {
			return id.GetAgeYears() + uint32(years(asOf, on)), false, true
		}
		return id.GetAgeYears(), false, true
	case *posternv1.ChildIdentity_DueDate:
		return 0, true, true
	default:
		return 0, false, false
	}
}

// pastDate checks a date that may be empty and lies between today and so many years ago.
func (c *checker) pastDate(path, value string, limit int) {
	t, ok := parseDate(value)
	switch {
	case !ok:
	case t.After(c.today):
		c.add(path, "form.date_future")
	case t.Before(c.today.AddDate(-limit, 0, 0)):
		c.add(path, "form.date_old", "limit", limit)
	}
}
