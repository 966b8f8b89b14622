package envelope

import (
	"time"

	posternv1 "postern/proto/postern/v1"
)

// The most that a statement of receptions may say: a year and a day, and more people a day than any prison can take.
const (
	maxReceptionDays = 366
	maxReceived      = 1000
)

// checkReceptions checks that the days are days, in order and none to come, and that the counts can be true. A day ends
// an hour earlier in UTC than in a British summer, so a count of today is taken up to the end of the day after it began.
func checkReceptions(r *posternv1.Receptions, at time.Time) error {
	last := at.Add(maxSkew + time.Hour).UTC().Format(time.DateOnly)
	previous := ""
	for _, day := range r.GetDays() {
		date := day.GetReceiveDate()
		if t, err := time.Parse(time.DateOnly, date); err != nil || t.Format(time.DateOnly) != date || date <= previous || date > last {
			return malformed("BAD_RECEPTIONS", "The days of the receptions are not days in order, up to today.")
		}
		if day.GetReceived() > maxReceived {
			return malformed("BAD_RECEPTIONS", "More people are said to have come on one day than a prison can take.")
		}
		previous = date
	}
	if n := len(r.GetDays()); n == 0 || n > maxReceptionDays {
		return malformed("BAD_RECEPTIONS", "The receptions are of no day, or of more than a year.")
	}
	return nil
}
