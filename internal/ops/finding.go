package ops

import (
	"context"
	"fmt"
	"math"
	"time"

	"postern/internal/fault"
	localv1 "postern/proto/postern/local/v1"
)

// OK is the finding that something is well.
func OK(check, words string) *localv1.Finding {
	return &localv1.Finding{Check: check, Level: localv1.Level_LEVEL_OK, Words: words}
}

// Warning is the finding that something works and somebody should look at it in time.
func Warning(check, words, fix string) *localv1.Finding {
	return &localv1.Finding{Check: check, Level: localv1.Level_LEVEL_WARNING, Words: words, Fix: fix}
}

// Problem is the finding that something does not work, or soon will not.
func Problem(check, words, fix string) *localv1.Finding {
	return &localv1.Finding{Check: check, Level: localv1.Level_LEVEL_PROBLEM, Words: words, Fix: fix}
}

// Fault is the finding of an error: its public words, which name the fix. One with faulty fields is for Faults.
func Fault(check string, err error) *localv1.Finding {
	return Problem(check, fault.From(err).Error(), "")
}

// Faults are the findings of an error: one for each faulty field, with its fix, and one for an error without fields.
func Faults(check string, err error) []*localv1.Finding {
	var out []*localv1.Finding
	for _, f := range fault.From(err).Fields {
		out = append(out, Problem(check, f.Path+": "+f.Reason, f.Fix))
	}
	if len(out) == 0 {
		out = append(out, Fault(check, err))
	}
	return out
}

// Examine runs checks as findings: what holds with the words for it, what does not with its own.
func Examine(ctx context.Context, checks []Check) []*localv1.Finding {
	var out []*localv1.Finding
	for _, c := range checks {
		if err := c.Holds(ctx); err != nil {
			out = append(out, Faults(c.Name, err)...)
		} else {
			out = append(out, OK(c.Name, "well"))
		}
	}
	return out
}

// Days is how many whole days are left until end; negative after it.
func Days(end, now time.Time) int { return int(math.Floor(end.Sub(now).Hours() / 24)) }

// The days before an end at which somebody is told, from the first to the last.
const (
	soonDays = 30
	lateDays = 7 // from here on it is a problem: what takes a week to renew will not be ready
)

// Band is which of the warnings about an end is due: 30, 14, 7 or 1 days ahead, 0 once it is over, and -1 before all
// of them. It changes only when there is something new to say.
func Band(end, now time.Time) int {
	left := end.Sub(now)
	if left <= 0 {
		return 0
	}
	for _, days := range []int{1, lateDays, 14, soonDays} {
		if left <= time.Duration(days)*24*time.Hour {
			return days
		}
	}
	return -1
}

// Expiry is the finding about something that ends: well until 30 days before, then a warning, and a problem from 7 days
// before. what begins a sentence, such as "The certificate".
func Expiry(check, what string, end, now time.Time, fix string) *localv1.Finding {
	date, days := end.UTC().Format("2 January 2006"), Days(end, now)
	words := fmt.Sprintf("%s holds until %s: %d days.", what, date, days)
	switch band := Band(end, now); {
	case band < 0:
		return OK(check, words)
	case band == 0:
		return Problem(check, fmt.Sprintf("%s ended on %s.", what, date), fix)
	case band <= lateDays:
		return Problem(check, words, fix)
	}
	return Warning(check, words, fix)
}
