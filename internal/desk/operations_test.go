package desk_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/postcode"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// found is the level of a check's finding that has the words.
func found(t *testing.T, d *testkit.Desk, check, words string) localv1.Level {
	t.Helper()
	r, err := d.Examine(t.Context(), &localv1.ExamineRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.GetFindings() {
		if f.GetCheck() == check && strings.Contains(f.GetWords()+" "+f.GetFix(), words) {
			return f.GetLevel()
		}
	}
	t.Errorf("no finding %s with %q in %v", check, words, r.GetFindings())
	return 0
}

func TestADeskExaminesItself(t *testing.T) {
	x, d := opened(t)
	d.Take(family())
	x.Settle()
	if found(t, d, "directory", "well") != localv1.Level_LEVEL_OK || found(t, d, "spool", "0 wait") != localv1.Level_LEVEL_OK ||
		found(t, d, "staff", "may use") != localv1.Level_LEVEL_OK {
		t.Error("a desk that is well does not say so")
	}

	// The hub does not answer: what waits is told after a while, and the desk is ready all the same.
	d.Link.Down(true)
	d.Take(family())
	x.Clock.Advance(11 * time.Minute)
	if found(t, d, "spool", "1 wait for the hub, the oldest since") != localv1.Level_LEVEL_WARNING {
		t.Error("a spool that stands still is well")
	}
	for _, c := range d.Checks() {
		if err := c.Holds(t.Context()); err != nil {
			t.Errorf("not ready without the hub: %s: %v", c.Name, err)
		}
	}
	d.Restart(func(c *desk.Config) { c.Staff = nil })
	if found(t, d, "staff", "Name the users") != localv1.Level_LEVEL_PROBLEM {
		t.Error("a desk that nobody may use is well")
	}
}

// TestAnUnservedCatchmentShows: of the postcode table's authorities, those that nothing can be sent to are named.
func TestAnUnservedCatchmentShows(t *testing.T) {
	_, d := opened(t)
	table := must(postcode.Sample())(t)
	d.Restart(func(c *desk.Config) { c.Postcodes = table })
	codes := table.Authorities()
	served := 0
	for _, code := range []string{testkit.Bristol, testkit.Lancashire} {
		if slices.Contains(codes, code) {
			served++
		}
	}
	want := fmt.Sprintf("nothing can be sent to %d of the %d authorities", len(codes)-served, len(codes))
	if served != 2 || found(t, d, "catchment", want) != localv1.Level_LEVEL_OK || found(t, d, "catchment", "manual route: E06000008 ") != localv1.Level_LEVEL_OK {
		t.Error("a catchment that nobody serves does not show")
	}
	d.Restart(func(c *desk.Config) { c.Postcodes = nil })
	r := must(d.Examine(t.Context(), &localv1.ExamineRequest{}))(t)
	for _, f := range r.GetFindings() {
		if f.GetCheck() == "catchment" {
			t.Errorf("without a table the catchment is not known, and it says %q", f.GetWords())
		}
	}
}

func TestAnAgreementPastItsReviewShows(t *testing.T) {
	x, d := opened(t)
	due := func() (ids []string) {
		for _, f := range must(d.Examine(t.Context(), &localv1.ExamineRequest{}))(t).GetFindings() {
			if id, is := strings.CutPrefix(f.GetCheck(), "review of "); is && f.GetLevel() == localv1.Level_LEVEL_WARNING && strings.Contains(f.GetFix(), "sign the next version") {
				ids = append(ids, id)
			}
		}
		return ids
	}
	if early := due(); len(early) > 0 {
		t.Errorf("to be reviewed already: %v", early)
	}
	x.Clock.Advance(366 * 24 * time.Hour)
	if late := due(); len(late) != 1 {
		t.Errorf("a year on, to be reviewed: %v; want the one of this prison", late)
	}
}

func TestADeskWithoutADirectoryIsNotReady(t *testing.T) {
	x := testkit.NewExchange(t, func(c *testkit.Config) { c.NoDirectory = true })
	if found(t, x.Desk(testkit.HMPBristol), "directory", "see whether the hub answers") != localv1.Level_LEVEL_PROBLEM {
		t.Error("a desk that knows no authority is well")
	}
}
