package inbox

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Half of a team's time lies within it, with as much of it before as after, whatever hours it has.
func TestHalfOfATeamsTime(t *testing.T) {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := &localv1.TeamSettings{}
		for n := range rapid.IntRange(1, 4).Draw(t, "lines") {
			opens := rapid.IntRange(0, 22).Draw(t, "opens")
			closes := rapid.IntRange(opens+1, 23).Draw(t, "closes")
			clock := func(h int) string { return time.Date(2026, 1, 1, h, 0, 0, 0, time.UTC).Format("15:04") }
			s.Hours = append(s.Hours, &posternv1.OpeningHours{Days: []uint32{uint32(rapid.IntRange(1, 7).Draw(t, "day")), uint32(n + 1)}, Opens: clock(opens), Closes: clock(closes)})
		}
		from := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 30*24*60).Draw(t, "from")) * time.Minute).In(zone)
		to := from.Add(time.Duration(rapid.IntRange(1, 20*24*60).Draw(t, "long")) * time.Minute)
		half := halfway(s, from, to)
		if half.Before(from) || half.After(to) {
			t.Fatalf("half of %v to %v is %v", from, to, half)
		}
		read := func(a, b time.Time) (minutes int) {
			for at := a; at.Before(b); at = at.Add(time.Minute) {
				if reads(s, at) {
					minutes++
				}
			}
			return minutes
		}
		if before, after := read(from, half), read(half, to); before-after > 1 || after-before > 1 {
			t.Fatalf("of %v to %v there are %d minutes before %v and %d after", from, to, before, half, after)
		}
	})
}
