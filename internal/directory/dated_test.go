package directory_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// later adds a second entry of Lancashire, with another name and numbers, from a day on; the first ends as told.
func later(w *world, end, start string) {
	w.writeYAML(func(yaml string) string {
		at, rest := strings.Index(yaml, "  - code: E10000017"), strings.Index(yaml, "prisons:")
		second := strings.NewReplacer("01632 96001", "01632 96005", "Lancashire County Council", "North Lancashire").Replace(yaml[at:rest])
		second = strings.ReplaceAll(second, "start_date: 2026-09-01\n    end_date: 2027-08-31", "start_date: "+start)
		first := strings.ReplaceAll(yaml[at:rest], "end_date: 2027-08-31", end)
		return yaml[:at] + first + second + yaml[rest:]
	})
}

func TestOfSeveralEntriesTheOneOfTheDayCounts(t *testing.T) {
	w := newWorld(t)
	later(w, "end_date: 2027-03-31", "2027-04-01")
	d := w.directory(1)
	for day, want := range map[string]string{
		"2026-08-01": "Lancashire County Council", // before the first: a name is still found
		"2026-09-01": "Lancashire County Council", "2027-03-31": "Lancashire County Council", "2027-04-01": "North Lancashire", "2030-01-01": "North Lancashire",
	} {
		at, err := time.Parse(time.RFC3339, day+"T10:00:00Z")
		must(t, err)
		a, ok := d.At(at).Authority(lancs)
		if !ok || a.GetName() != want {
			t.Errorf("on %s it is %q", day, a.GetName())
		}
		_, phone, _ := d.PhoneNow(lancs, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING, at)
		if moved := strings.HasPrefix(phone, "01632 96005"); phone == "" || moved != (want == "North Lancashire") {
			t.Errorf("on %s the number is %s", day, phone)
		}
	}
	if n := len(d.Authorities()); n != 3 {
		t.Errorf("%d entries", n)
	}
}

func TestEntriesOfOneAuthorityDoNotOverlap(t *testing.T) {
	for end, start := range map[string]string{"end_date: 2027-04-01": "2027-04-01", "": "2027-04-01", "end_date: 2027-08-31": "2026-10-10"} {
		w := newWorld(t)
		later(w, end, start)
		_, err := directory.ReadYAML(w.path("directory.yaml"))
		f := fault.From(err).Fields
		if len(f) != 1 || f[0].Path != "authorities[2].start_date" || !strings.Contains(f[0].Reason, "authorities[1]") {
			t.Errorf("%q, then %s: %v", end, start, err)
		}
	}
}

func TestANewEntryDoesNotChangeThePast(t *testing.T) {
	w := newWorld(t)
	before := w.directory(1)
	if got := directory.Backdated(nil, before); got != nil {
		t.Errorf("a first directory: %v", got)
	}
	for start, want := range map[string]int{"2026-10-04": 1, "2026-10-05": 0, "2027-04-01": 0} {
		later(w, "end_date: 2026-10-03", start)
		next := w.directory(2)
		got := directory.Backdated(before, next)
		if len(got) != want || want == 1 && got[0].Path != "authorities[2].start_date" {
			t.Errorf("an entry from %s on, made on 2026-10-05: %v", start, got)
		}
		if again := directory.Backdated(next, w.directory(3)); again != nil {
			t.Errorf("what is in force already: %v", again)
		}
	}
}

func TestAnUnservedCatchmentIsNamed(t *testing.T) {
	d := newWorld(t).directory(1)
	codes := []string{bristol, lancs, "W06000006"}
	if got := d.Unserved(codes, morning); !slices.Equal(got, []string{lancs, "W06000006"}) {
		t.Errorf("unserved: %v; Lancashire has no key and Wrexham no entry", got)
	}
	if got := d.Unserved(codes, morning.AddDate(0, 2, 0)); !slices.Equal(got, codes) {
		t.Errorf("after the key has ended: %v", got)
	}
}
