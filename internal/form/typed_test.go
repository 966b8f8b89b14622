package form_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// born checks a form with a child's date of birth as typed and returns the date that was understood, or what was said.
func born(t interface{ Fatal(...any) }, typed string) string {
	f := formtest.New(formtest.Bristol)
	f.Children[0].Identity.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: typed}
	checked, err := form.Check(f, formtest.Env())
	if err == nil {
		return opened(checked.Parts(newIDs())[0])["child/1/identity"].(*posternv1.ChildIdentity).GetDateOfBirth()
	}
	fields := fault.From(err).Fields
	if len(fields) != 1 || fields[0].Path != "children[0].identity.date_of_birth" {
		t.Fatal("the faults are ", fields)
	}
	return fields[0].Reason
}

func TestDatesAsPeopleWriteThem(t *testing.T) {
	reason := func(id string) string { r, _ := words.English.Fault(id, nil); return r }
	for typed, want := range map[string]string{
		"2019-02-03": "2019-02-03", "3/2/2019": "2019-02-03", "03/02/2019": "2019-02-03", "3 Feb 2019": "2019-02-03",
		"03.02.19": "2019-02-03", "3-2-19": "2019-02-03", "3rd of February, 2019": "2019-02-03", "Feb 3, 2019": "2019-02-03",
		"3 CHWEFROR 2019": "2019-02-03", "3ydd o Chwef 2019": "2019-02-03", "1af Mai 2019": "2019-05-01", "2019/2/3": "2019-02-03",
		"  3 / 2 / 2019  ": "2019-02-03", "3 Sept 2019": "2019-09-03", "29/2/2020": "2020-02-29", "3\u00a0Feb\u00a02019": "2019-02-03",
		"2/13/2019": reason("form.date_month_first"), "29/2/2019": reason("form.date_no_day"), "31 Nov 2019": reason("form.date_no_day"),
		"Feb 2019": reason("form.date_part"), "2019": reason("form.date_part"), "3/2": reason("form.date_part"),
		"03022019": reason("form.not_date"), "last spring": reason("form.not_date"), "3/2/219": reason("form.not_date"),
		"0/2/2019": reason("form.not_date"), "3 Quintember 2019": reason("form.not_date"), "3/2/2019 3/2/2019": reason("form.not_date"),
		"13/13/2019": reason("form.not_date"), "3/2/27": reason("form.birth_future"),
	} {
		if got := born(t, typed); got != want {
			t.Errorf("%q is read as %q, want %q", typed, got, want)
		}
	}
}

// Whatever way a date is written, it is the same date.
func TestOneDateInEveryHand(t *testing.T) {
	welsh := []string{"", "Ionawr", "Chwefror", "Mawrth", "Ebrill", "Mai", "Mehefin", "Gorffennaf", "Awst", "Medi", "Hydref", "Tachwedd", "Rhagfyr"}
	rapid.Check(t, func(t *rapid.T) {
		day := formtest.Now.AddDate(0, 0, -rapid.IntRange(1, 8000).Draw(t, "days old"))
		for _, layout := range []string{time.DateOnly, "2/1/2006", "02/01/06", "2.1.2006", "2 Jan 2006", "2 January 06", "Jan 2 2006", "2006/1/2"} {
			if got := born(t, day.Format(layout)); got != day.Format(time.DateOnly) {
				t.Fatalf("%s is read as %s", day.Format(layout), got)
			}
		}
		if got := born(t, fmt.Sprintf("%d %s %d", day.Day(), welsh[day.Month()], day.Year())); got != day.Format(time.DateOnly) {
			t.Fatalf("the Welsh month of %v is read as %s", day, got)
		}
	})
}

func TestAYearOfTwoFiguresIsTheOneThatIsMeant(t *testing.T) {
	f := formtest.New(formtest.Bristol)
	f.Parent.Birth.DateOfBirth, f.Reception.ReceiveDate = "3/2/94", "21.11.26"
	f.Children[0].Identity.Born = &posternv1.ChildIdentity_DueDate{DueDate: "1 Mar 27"}
	p := parts(t, f)[0]
	got := opened(p)
	if got["parent/birth"].(*posternv1.ParentBirth).GetDateOfBirth() != "1994-02-03" || p.Reception.GetReceiveDate() != "2026-11-21" ||
		got["child/1/identity"].(*posternv1.ChildIdentity).GetDueDate() != "2027-03-01" {
		t.Errorf("read as %v, %v", got, p.Reception)
	}
}

func TestTheAgeIsThatOfTheDay(t *testing.T) {
	for typed, want := range map[string]uint32{"22/11/2020": 6, "23/11/2020": 5, "29/2/2024": 2, "22 Nov 2026": 0} {
		f := formtest.New(formtest.Bristol)
		f.Children[0].Identity.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: typed}
		facts, _ := form.Facts(parts(t, f)[0], config())
		if got := facts[0].GetAgeYears(); got != want {
			t.Errorf("born %s: %d, want %d", typed, got, want)
		}
	}
}
