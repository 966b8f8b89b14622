package inbox

import (
	"slices"
	"time"

	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// turn is a time at which a team is to act about an item: since when, and by when. The zero turn is for what is answered.
type turn struct{ since, due time.Time }

// turnOf is the team's turn about an item. It is due at the end of a working day, which its settings count. What is urgent,
// a stop request, what was passed on and did not arrive, and a reply that the prison does not hear, are due on the same day.
func turnOf(i *localv1.Item, s *localv1.TeamSettings, zone *time.Location) turn {
	t, days := turn{since: i.GetReceiveTime().AsTime()}, int(s.GetAnswerDays())
	if more := i.GetMoreTime(); more != nil {
		t.since = more.AsTime()
	}
	from := t.since
	switch StandingOf(i) {
	case StopAsked:
		t.since, days = i.GetStop().GetReceiveTime().AsTime(), 0
		from = t.since
	case Astray:
		if at := i.GetWork().GetUnheardTime(); at != nil {
			t.since, from = at.AsTime(), at.AsTime()
		}
		days = 0
		for _, p := range i.GetPassedOn() {
			if at := p.GetPassTime().AsTime(); DidNotArrive(p) && at.After(t.since) {
				t.since = at
			}
		}
	case Urgent:
		days = 0
	case Answered, PassedOn, Withdrawn, Over:
		return turn{}
	}
	t.due = endOfWorkingDay(s, from.In(zone), days)
	return t
}

// Standing is where an item stands with the team, in the order in which a team turns to them.
type Standing int

const (
	Urgent    Standing = iota // it came by the urgent route, and nobody has answered
	StopAsked                 // the person withdrew, and the team has not said what it did
	Astray                    // what was passed on, or answered, did not arrive: somebody must telephone
	Elsewhere                 // the team answered that it is not in its area, and nobody has passed it on
	Fresh                     // nobody has answered
	Answered                  // answered, and what came of it is not recorded
	PassedOn                  // every child of it was passed on
	Withdrawn                 // withdrawn, and that is answered
	Over                      // what came of it is recorded
)

// StandingOf says where an item stands. An answer and an outcome are about what had come and what had gone astray by then:
// what comes or goes astray later is to be done all the same. Who of a family was not passed on stays to be done here.
func StandingOf(i *localv1.Item) Standing {
	replied := doneSince(i, func(d *localv1.Deed) bool { return d.GetReplied() != nil })
	switch stop := i.GetStop(); {
	case stop != nil && stop.GetAnswer() == 0:
		return StopAsked
	case stop != nil && len(stop.GetPaths()) == 0:
		return Withdrawn
	case i.GetWork().GetUnheardTime() != nil:
		return Astray
	case i.GetWork().GetOutcome() != 0 && doneSince(i, func(d *localv1.Deed) bool { return d.GetOutcome() != 0 }):
		return Over
	case slices.ContainsFunc(i.GetPassedOn(), DidNotArrive):
		return Astray
	case len(i.GetPassedOn()) > 0 && len(staying(i)) == 0:
		return PassedOn
	case replied && i.GetWork().GetReply().GetCode() == posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA:
		return Elsewhere
	case replied && i.GetWork().GetReply() != nil:
		return Answered
	case i.GetRoute() == plain.Enum(posternv1.Route_ROUTE_URGENT):
		return Urgent
	default:
		return Fresh
	}
}

// doneSince reports whether somebody did something about an item after more of it came, and after what was passed on of it
// went astray. Where neither is so, what was done counts whenever it was.
func doneSince(i *localv1.Item, which func(*localv1.Deed) bool) bool {
	since := i.GetMoreTime().AsTime()
	for _, p := range i.GetPassedOn() {
		if end := p.GetEndTime(); DidNotArrive(p) && end.AsTime().After(since) {
			since = end.AsTime()
		}
	}
	deeds := i.GetWork().GetDeeds()
	return !since.After(time.Unix(0, 0)) || slices.ContainsFunc(deeds, func(d *localv1.Deed) bool { return which(d) && !d.GetTime().AsTime().Before(since) })
}

// staying are the children of an item who were passed on to nobody.
func staying(i *localv1.Item) []uint32 {
	return slices.DeleteFunc(slices.Clone(i.GetChildNumbers()), func(n uint32) bool {
		return slices.ContainsFunc(i.GetPassedOn(), func(p *localv1.PassedOn) bool { return wentAlong(p, n) })
	})
}

// WithAnother reports whether a child is with another team, or on the way to it.
func WithAnother(i *localv1.Item, child uint32) bool {
	return slices.ContainsFunc(i.GetPassedOn(), func(p *localv1.PassedOn) bool { return !DidNotArrive(p) && wentAlong(p, child) })
}

// wentAlong reports whether a child is among those who were passed on.
func wentAlong(p *localv1.PassedOn, child uint32) bool {
	return len(p.GetChildren()) == 0 || slices.Contains(p.GetChildren(), child)
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
	spans := spansOf(s, day)
	if len(spans) == 0 {
		return at, false
	}
	return spans[len(spans)-1].closes, true
}

// span is a time in which the team reads its inbox without a break.
type span struct{ opens, closes time.Time }

// spansOf are the spans of the day of a moment, in order and apart.
func spansOf(s *localv1.TeamSettings, day time.Time) (all []span) {
	date, weekday := day.Format(time.DateOnly), uint32((int(day.Weekday())+6)%7+1)
	if slices.ContainsFunc(s.GetHolidays(), func(h *localv1.Holiday) bool { return h.GetDate() == date }) {
		return nil
	}
	at := func(clock string) (time.Time, bool) {
		c, err := time.Parse("15:04", clock)
		return time.Date(day.Year(), day.Month(), day.Day(), c.Hour(), c.Minute(), 0, 0, day.Location()), err == nil
	}
	for _, h := range s.GetHours() {
		opens, ok := at(h.GetOpens())
		closes, too := at(h.GetCloses())
		if ok && too && opens.Before(closes) && slices.Contains(h.GetDays(), weekday) {
			all = append(all, span{opens, closes})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.opens.Compare(b.opens) })
	var apart []span
	for _, next := range all {
		if n := len(apart) - 1; n >= 0 && !next.opens.After(apart[n].closes) {
			if next.closes.After(apart[n].closes) {
				apart[n].closes = next.closes
			}
			continue
		}
		apart = append(apart, next)
	}
	return apart
}

// reads reports whether the team reads its inbox at a moment; one without hours does at any.
func reads(s *localv1.TeamSettings, now time.Time) bool {
	return len(s.GetHours()) == 0 || slices.ContainsFunc(spansOf(s, now), func(at span) bool { return !now.Before(at.opens) && now.Before(at.closes) })
}

// halfway is when half of the time in which the team reads its inbox has gone by, of that between two moments. A night or
// a weekend in between does not count: nobody was there to read. Without such time it is the middle.
func halfway(s *localv1.TeamSettings, from, to time.Time) time.Time {
	var inside []span
	total := time.Duration(0)
	for day := from; !day.After(to.AddDate(0, 0, 1)); day = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, day.Location()) {
		for _, at := range spansOf(s, day) {
			if at.opens.Before(from) {
				at.opens = from
			}
			if at.closes.After(to) {
				at.closes = to
			}
			if at.opens.Before(at.closes) {
				inside, total = append(inside, at), total+at.closes.Sub(at.opens)
			}
		}
	}
	left := total / 2
	for _, at := range inside {
		if long := at.closes.Sub(at.opens); long < left {
			left -= long
			continue
		}
		return at.opens.Add(left)
	}
	return from.Add(to.Sub(from) / 2)
}
