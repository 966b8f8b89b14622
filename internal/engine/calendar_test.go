package engine

import (
	"slices"
	"time"
)

// bankHolidays reckons the bank holidays of England and Wales in a year, sorted.
func bankHolidays(year int) []string {
	day := func(month time.Month, d int) time.Time { return time.Date(year, month, d, 0, 0, 0, 0, time.UTC) }
	first := func(from time.Time) time.Time { // the first Monday from a day on
		for from.Weekday() != time.Monday {
			from = from.AddDate(0, 0, 1)
		}
		return from
	}
	days := []time.Time{
		easter(year).AddDate(0, 0, -2), easter(year).AddDate(0, 0, 1),
		first(day(time.May, 1)), first(day(time.May, 25)), first(day(time.August, 25)),
	}
	for _, fixed := range []time.Time{day(time.January, 1), day(time.December, 25), day(time.December, 26)} {
		for fixed.Weekday() == time.Saturday || fixed.Weekday() == time.Sunday || slices.Contains(days, fixed) {
			fixed = fixed.AddDate(0, 0, 1) // a substitute day
		}
		days = append(days, fixed)
	}
	var dates []string
	for _, d := range days {
		dates = append(dates, d.Format(time.DateOnly))
	}
	slices.Sort(dates)
	return dates
}

// easter is Easter Sunday by the Gregorian computus.
func easter(year int) time.Time {
	a, b, c := year%19, year/100, year%100
	d, e := b/4, b%4
	g := (8*b + 13) / 25
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 19*l) / 433
	n := (h + l - 7*m + 90) / 25
	p := (h + l - 7*m + 33*n + 19) % 32
	return time.Date(year, time.Month(n), p, 0, 0, 0, 0, time.UTC)
}
