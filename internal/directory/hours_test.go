package directory_test

import (
	"testing"
	"time"

	posternv1 "postern/proto/postern/v1"
)

const (
	earlyHelp    = posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP
	safeguarding = posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING
)

func TestTheNumberForThisHour(t *testing.T) {
	d := newWorld(t).directory(1)
	for _, c := range []struct {
		name    string
		code    string
		role    posternv1.FrontDoorRole
		at      string // UTC
		inHours bool
		phone   string
	}{
		{"Monday morning in summer time", bristol, earlyHelp, "2026-10-05T07:30:00Z", true, "01632 960001"},
		{"the minute before", bristol, earlyHelp, "2026-10-05T07:29:59Z", false, "01632 960002"},
		{"the last second", bristol, earlyHelp, "2026-10-05T15:59:59Z", true, "01632 960001"},
		{"closing time", bristol, earlyHelp, "2026-10-05T16:00:00Z", false, "01632 960002"},
		{"Friday closes earlier", bristol, earlyHelp, "2026-10-09T15:30:00Z", false, "01632 960002"},
		{"Saturday", bristol, earlyHelp, "2026-10-10T10:00:00Z", false, "01632 960002"},
		{"the same hour after the clocks went back", bristol, earlyHelp, "2026-10-26T07:30:00Z", false, "01632 960002"},
		{"an hour later then", bristol, earlyHelp, "2026-10-26T08:30:00Z", true, "01632 960001"},
		{"open round the clock", bristol, safeguarding, "2026-10-11T22:59:59Z", true, "01632 960003"},
		{"round the clock at midnight", bristol, safeguarding, "2026-10-11T23:00:00Z", true, "01632 960003"},
		{"listed days only", lancs, earlyHelp, "2026-10-06T10:00:00Z", false, "01632 960012"},
		{"a listed day", lancs, earlyHelp, "2026-10-07T10:00:00Z", true, "01632 960011"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, phone, inHours := d.PhoneNow(c.code, c.role, value(time.Parse(time.RFC3339, c.at))(t))
			if phone != c.phone || inHours != c.inHours || name == "" {
				t.Errorf("%q %s %v, want %s %v", name, phone, inHours, c.phone, c.inHours)
			}
		})
	}
	if name, phone, _ := d.PhoneNow("E06000001", earlyHelp, morning); name+phone != "" {
		t.Errorf("nobody's front door is %q %s", name, phone)
	}
	if _, ok := d.FrontDoor(bristol, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_UNSPECIFIED); ok {
		t.Error("there is a front door without a role")
	}
}

// Whatever the minute, somebody answers: there is no gap between in and out of hours.
func TestThereIsANumberForEveryHourOfAYear(t *testing.T) {
	d := newWorld(t).directory(1)
	for at := morning; at.Before(morning.AddDate(1, 0, 0)); at = at.Add(37 * time.Minute) {
		for _, code := range []string{bristol, lancs} {
			for _, role := range []posternv1.FrontDoorRole{earlyHelp, safeguarding} {
				if name, phone, _ := d.PhoneNow(code, role, at); name == "" || phone == "" {
					t.Fatalf("nobody at %v", at)
				}
			}
		}
	}
}
