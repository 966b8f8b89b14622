package accesslog_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/accesslog"
	"postern/internal/fault"
	"postern/internal/web"
)

func at(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func open(t *testing.T, dir string, now *time.Time) *accesslog.Log {
	t.Helper()
	l, err := accesslog.Open(accesslog.Config{Dir: dir, Service: "desk-BLI", Keep: 2, Clock: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// see records a page at the time of the log's clock.
func see(t *testing.T, l *accesslog.Log, now time.Time, person, about string) {
	t.Helper()
	if err := l.Viewed(t.Context(), web.Viewing{At: now, Request: "r1", Page: "desk.home", Method: "GET", Status: 200, Person: person, About: about}); err != nil {
		t.Fatal(err)
	}
}

func abouts(t *testing.T, l *accesslog.Log) (all []string) {
	t.Helper()
	for e, err := range l.Events() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Subject)
	}
	return all
}

func TestWhatSomebodySawIsKept(t *testing.T) {
	dir, now := t.TempDir(), at("2026-11-29")
	l := open(t, dir, &now)
	see(t, l, now, "AB12", "PN-1")
	see(t, l, now, "", "PN-2") // nobody is signed in: nothing is kept, or anybody could fill the disk
	again := open(t, dir, &now)
	see(t, again, now, "AB12", "PN-3")
	if got := abouts(t, again); !slices.Equal(got, []string{"PN-1", "PN-3"}) {
		t.Errorf("kept %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, "2026-11.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

// A crash leaves half a line. The next page must not be lost with it.
func TestALineThatWasCutOffHarmsNoOther(t *testing.T) {
	dir, now := t.TempDir(), at("2026-11-29")
	l := open(t, dir, &now)
	see(t, l, now, "AB12", "PN-1")
	see(t, l, now, "AB12", "PN-2")
	file := filepath.Join(dir, "2026-11.jsonl")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	second := strings.Index(string(whole), "\n") + 1
	for cut := second; cut < len(whole); cut++ {
		if err := os.WriteFile(file, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		after := open(t, dir, &now)
		see(t, after, now, "AB12", "PN-3")
		got := abouts(t, after)
		if got[0] != "PN-1" || got[len(got)-1] != "PN-3" {
			t.Fatalf("cut at %d: kept %q", cut, got)
		}
	}
}

func TestMonthsThatAreTooOldGo(t *testing.T) {
	dir, now := t.TempDir(), at("2026-08-31")
	l := open(t, dir, &now)
	for _, day := range []string{"2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30"} {
		now = at(day)
		see(t, l, now, "AB12", day)
	}
	if got := abouts(t, l); !slices.Equal(got, []string{"2026-09-30", "2026-10-31", "2026-11-30"}) {
		t.Errorf("kept %q", got)
	}
}

// A clock that is years ahead for some days, also over a restart, removes no month that is not too old.
func TestAClockThatIsAheadRemovesNoMonth(t *testing.T) {
	dir, now := t.TempDir(), at("2026-10-31")
	days := []string{"2026-10-31", "2026-11-30", "2031-11-30", "2031-11-30", "2026-12-01"}
	for _, day := range days {
		now = at(day)
		see(t, open(t, dir, &now), now, "AB12", day)
	}
	slices.Sort(days)
	if got := abouts(t, open(t, dir, &now)); !slices.Equal(got, days) {
		t.Errorf("kept %q", got)
	}
}

// A question finds what fits, newest first over months and folders, a page at a time, with nothing twice or left out.
func TestASearchGoesOverMonthsAndFolders(t *testing.T) {
	one, other, now := t.TempDir(), t.TempDir(), at("2026-09-01")
	desk, inbox := open(t, one, &now), open(t, other, &now)
	var want []string
	for i := range 90 {
		l, who := desk, "AB12"
		if i%3 == 0 {
			l, who = inbox, "CD34"
		}
		now = at("2026-09-01").Add(time.Duration(i) * 20 * time.Hour)
		about := "PN-" + now.Format("0102-15")
		see(t, l, now, who, about)
		if who == "AB12" && now.Before(at("2026-11-01")) {
			want = append([]string{about}, want...)
		}
	}
	q := accesslog.Question{Who: "ab12", Since: at("2026-09-01"), Until: at("2026-11-01")}
	var got []string
	for more := true; more; {
		var page []accesslog.Event
		var err error
		if page, more, err = accesslog.Search([]string{one, other}, q, len(got), 7); err != nil || len(page) == 0 || len(page) > 7 {
			t.Fatalf("a page of %d, %v", len(page), err)
		}
		for _, e := range page {
			got = append(got, e.Subject)
		}
	}
	if len(want) < 40 || !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if about, _, err := accesslog.Search([]string{one, other}, accesslog.Question{Subject: want[3], Service: "desk-BLI"}, 0, 7); err != nil || len(about) != 1 {
		t.Errorf("about one reference: %v, %v", about, err)
	}
	if _, _, err := accesslog.Search([]string{one, filepath.Join(other, "absent")}, q, 0, 7); fault.KindOf(err) != fault.Precondition {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestWhatCannotBeKeptIsAFault(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "access"), at("2026-11-29")
	l := open(t, dir, &now)
	if err := os.Mkdir(filepath.Join(dir, "2026-11.jsonl"), 0o700); err != nil { // where the file should be
		t.Fatal(err)
	}
	err := l.Viewed(t.Context(), web.Viewing{At: now, Person: "AB12", Page: "desk.home"})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
}

// Whatever is in the file, reading ends, and what was seen afterwards is kept.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"what":"PAGE_VIEW","subjectId":"PN-1"}` + "\n" + `{"what":`))
	f.Add([]byte("\n\n\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, now := t.TempDir(), at("2026-11-29")
		if err := os.WriteFile(filepath.Join(dir, "2026-11.jsonl"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, &now)
		see(t, l, now, "AB12", "PN-3")
		if got := abouts(t, l); got[len(got)-1] != "PN-3" {
			t.Errorf("kept %q", got)
		}
	})
}
