package accesslog

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Question is which events to list; what is empty leaves nothing out.
type Question struct {
	Who, Subject, Service string // as an Event has them, in large or small letters
	Since, Until          time.Time
}

func (q Question) fits(e Event) bool {
	is := func(asked, has string) bool { return asked == "" || strings.EqualFold(asked, has) }
	return is(q.Who, e.Who) && is(q.Subject, e.Subject) && is(q.Service, e.Service) &&
		(q.Since.IsZero() || !e.When.Before(q.Since)) && (q.Until.IsZero() || e.When.Before(q.Until))
}

// Search lists events of several folders, newest first: at most limit of them after the first skip, and whether there are
// more. It reads a month at a time and no month that cannot hold an answer. The folders may be copies that other sites
// handed over; nothing in them is changed, and a line that is no event is left out.
func Search(dirs []string, q Question, skip, limit int) (found []Event, more bool, err error) {
	in := map[string][]string{} // folders by month
	for _, dir := range dirs {
		all, err := monthsIn(dir)
		if err != nil {
			return nil, false, errRead(err)
		}
		for _, m := range all {
			in[m] = append(in[m], dir)
		}
	}
	newestFirst := slices.Sorted(maps.Keys(in))
	slices.Reverse(newestFirst)
	for _, month := range newestFirst {
		if !q.Since.IsZero() && month < q.Since.UTC().Format(monthName) || !q.Until.IsZero() && month > q.Until.UTC().Format(monthName) {
			continue
		}
		var fits []Event
		for _, dir := range in[month] {
			readMonth(filepath.Join(dir, month+ending), func(e Event, failed error) bool {
				if failed != nil {
					err = failed
				} else if q.fits(e) {
					fits = append(fits, e)
				}
				return failed == nil
			})
		}
		if err != nil {
			return nil, false, err
		}
		slices.Reverse(fits) // of one moment, what was written last comes first
		slices.SortStableFunc(fits, func(a, b Event) int { return b.When.Compare(a.When) })
		passed := min(skip, len(fits))
		skip -= passed
		found = append(found, fits[passed:]...)
		if len(found) > limit {
			return found[:limit], true, nil
		}
	}
	return found, false, nil
}
