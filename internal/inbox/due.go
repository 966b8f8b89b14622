package inbox

import (
	"slices"
	"time"

	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// due is by when a team is to answer an item: at the end of a working day, which its settings count. What is urgent, a
// stop request, and what was passed on and did not arrive, are due on the same day. The zero time is for what is answered.
func due(i *localv1.Item, s *localv1.TeamSettings, zone *time.Location) time.Time {
	received, days := i.GetReceiveTime().AsTime().In(zone), int(s.GetAnswerDays())
	switch stop := i.GetStop(); {
	case stop != nil && stop.GetAnswer() == 0:
		received, days = stop.GetReceiveTime().AsTime().In(zone), 0
	case stop != nil && len(stop.GetPaths()) == 0, i.GetWork().GetOutcome() != 0:
		return time.Time{}
	case slices.ContainsFunc(i.GetPassedOn(), DidNotArrive):
		days = 0
	case i.GetWork().GetReply() != nil, len(i.GetPassedOn()) > 0:
		return time.Time{}
	case i.GetRoute() == plain.Enum(posternv1.Route_ROUTE_URGENT):
		days = 0
	}
	return endOfWorkingDay(s, received, days)
}

// DidNotArrive reports whether something passed on will not reach the other team: then nobody but the team that passed it
// on hears of it, and a person has to telephone.
func DidNotArrive(p *localv1.PassedOn) bool {
	return p.GetState() == posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED || p.GetState() == staysHere
}

// tooFar is longer than any row of holidays: a team without working days has every day for one.
const tooFar = 60

// endOfWorkingDay is when the team closes on the working day that comes so many working days after the day of a moment;
// for none, on that day or, when the team has closed for it, on its next working day.
func endOfWorkingDay(s *localv1.TeamSettings, from time.Time, days int) time.Time {
	day, next := from, func(d time.Time) time.Time {
		return time.Date(d.Year(), d.Month(), d.Day()+1, 0, 0, 0, 0, d.Location())
	}
	if days > 0 {
		day, days = next(day), days-1
	}
	for n := 0; n < tooFar; n++ {
		closes, works := closing(s, day)
		if works && closes.After(from) {
			if days == 0 {
				return closes
			}
			days--
		}
		day = next(day)
	}
	return from.AddDate(0, 0, days+1)
}

// closing is when the team closes on a day, and whether it works on it at all.
func closing(s *localv1.TeamSettings, day time.Time) (at time.Time, works bool) {
	date, weekday := day.Format(time.DateOnly), uint32((int(day.Weekday())+6)%7+1)
	if slices.ContainsFunc(s.GetHolidays(), func(h *localv1.Holiday) bool { return h.GetDate() == date }) {
		return at, false
	}
	for _, h := range s.GetHours() {
		clock, err := time.Parse("15:04", h.GetCloses())
		if err != nil || !slices.Contains(h.GetDays(), weekday) {
			continue
		}
		if t := time.Date(day.Year(), day.Month(), day.Day(), clock.Hour(), clock.Minute(), 0, 0, day.Location()); t.After(at) {
			at, works = t, true
		}
	}
	return at, works
}
