package form_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/words"
)

func TestReceptionsAreReadDayByDay(t *testing.T) {
	days, err := form.Receptions([]byte("\ufeffDate, Received\r\n21/11/2026,14\r\n\"20 Nov 2026\", 0\n"), formtest.Now, words.English)
	if err != nil || len(days) != 2 || days[0].GetReceiveDate() != "2026-11-20" || days[1].GetReceived() != 14 {
		t.Fatal(days, err)
	}
}

func TestEveryFaultyLineOfReceptionsIsNamed(t *testing.T) {
	for file, want := range map[string][]string{
		"":                            {"line 1"},
		"day,people\n21/11/2026,14\n": {"line 1"},
		"date,received\n":             {"line 2"},
		"date,received\n21/11/2026\n22/11/2026,1,2\n":    {"line 2", "line 3"},
		"date,received\n31/11/2026,x\n23/11/2026,1001\n": {"line 2, date", "line 2, received", "line 3, date", "line 3, received"},
		"date,received\n21/11/2026,1\n\n21 Nov 26,2\n":   {"line 4"},
		"date,received\n21/11/2026,-1\n":                 {"line 2, received"},
		"date,received\n\"21/11/2026,1\n":                {"line 2"},
		"date,received\n21/11/2026,1\xff\n":              {"line 1"},
	} {
		for _, lang := range []words.Language{words.English, words.Welsh} {
			_, err := form.Receptions([]byte(file), formtest.Now, lang)
			var got []string
			for _, f := range fault.From(err).Fields {
				got = append(got, strings.Replace(f.Path, "llinell", "line", 1))
				if strings.Contains(f.Path, "llinell") != (lang == words.Welsh) {
					t.Errorf("%q: in %s a fault is at %q", file, lang, f.Path)
				}
				if f.Reason == "" || f.Fix == "" || strings.Contains(f.Reason+f.Fix, "[") {
					t.Errorf("%q: %+v", file, f)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q: faults at %q, want %q", file, got, want)
			}
		}
	}
}

// Whatever the file, every day of it is read or a line is named.
func TestNoDayOfReceptionsIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, lines := "date,received\n", 0
		for i := range rapid.IntRange(0, 20).Draw(t, "days") {
			file += rapid.SampledFrom([]string{
				fmt.Sprintf("%s,%d\n", formtest.Now.AddDate(0, 0, -i).Format("2/1/2006"), i), "nonsense\n", "1/1/2026,\n"}).Draw(t, "line")
			lines++
		}
		days, err := form.Receptions([]byte(file), formtest.Now, words.English)
		if (err == nil) == (len(fault.From(err).Fields) > 0 && err != nil) || err == nil && len(days) != lines {
			t.Fatalf("%d days of %d lines, %v", len(days), lines, err)
		}
	})
}
