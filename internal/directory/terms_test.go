package directory_test

import (
	"strings"
	"testing"
	"time"
)

func TestEnding(t *testing.T) {
	w := newWorld(t)
	d := w.directory(1)
	if all := d.Agreements(); len(all) != 1 || all[0].GetId() != "bristol-2026" {
		t.Fatalf("agreements: %v", all)
	}
	at := func(date string) time.Time { return value(time.Parse(time.DateTime, date+" 12:00:00"))(t) }
	for date, want := range map[string]bool{
		"2026-10-05": false, "2027-07-01": false, "2027-07-02": true, "2027-08-31": true, "2027-09-01": false, "2026-08-31": false,
	} {
		found := d.Ending(at(date), 60)
		if (len(found) == 1) != want {
			t.Errorf("on %s: %v", date, found)
		}
		// Lancashire is named in it and has not signed, so nothing between it and the prison ends.
		if len(found) == 1 && (found[0].Prison != "BLI" || found[0].Authority != bristol || found[0].GetEndDate() != "2027-08-31") {
			t.Errorf("on %s: %+v", date, found[0])
		}
	}

	// The next one, signed by the same, goes on: nothing ends. Signed by one of them alone, it does not count.
	next := agreement()
	next.Id, next.StartDate, next.EndDate = "bristol-2027", "2027-09-01", "2028-08-31"
	for signers, want := range map[string]int{desk + " " + inbox: 0, desk: 1} {
		w := newWorld(t)
		w.write("agreements/next.pb", w.agree(next, strings.Fields(signers)...))
		w.writeYAML(func(yaml string) string {
			return strings.Replace(yaml, "  - file: agreements/bristol.pb\n", "  - file: agreements/bristol.pb\n  - file: agreements/next.pb\n", 1)
		})
		d := w.directory(1)
		if len(d.Agreements()) != 2 {
			t.Fatalf("agreements: %v", d.Agreements())
		}
		if got := d.Ending(at("2027-08-01"), 60); len(got) != want {
			t.Errorf("signed by %s: %v", signers, got)
		}
	}
}

func TestReviewDue(t *testing.T) {
	w := newWorld(t) // it is to be reviewed on 1 March 2027, and ends on 31 August
	d := w.directory(1)
	for date, want := range map[string]int{"2026-08-31": 0, "2026-10-05": 0, "2027-02-28": 0, "2027-03-01": 1, "2027-08-31": 1, "2027-09-01": 0} {
		at := value(time.Parse(time.DateTime, date+" 12:00:00"))(t)
		if due := d.ReviewDue(at); len(due) != want {
			t.Errorf("on %s: %v", date, due)
		}
	}
}
