package sheet

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

func TestNoCellIsAFormula(t *testing.T) {
	for _, hostile := range []string{"=1+1", "+44 117", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u200b=1", "\ufeff =1", "＝1", "|calc", "%0"} {
		if got := Cell(hostile); got != "'"+hostile {
			t.Errorf("%q becomes %q", hostile, got)
		}
	}
	for _, plain := range []string{"", "Ffion Ŵyn", "PN-7K3F-9Q2M", "1 = 1", "a-b", " a", "'quoted'"} {
		if got := Cell(plain); got != plain {
			t.Errorf("%q becomes %q", plain, got)
		}
	}
}

// FuzzCSV: whatever is in a cell, the file reads back as the same rows, and no cell of it begins as a formula does.
func FuzzCSV(f *testing.F) {
	f.Add("reference", "=HYPERLINK(\"x\")", "a,b\"c\"\nd")
	f.Add("", "\r", " \t")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		row := []string{a, b, c}
		read, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(CSV([]string{"x", "y", "z"}, [][]string{row}), []byte("\ufeff")))).ReadAll()
		if err != nil || len(read) != 2 {
			t.Fatalf("%q: %d rows, %v", row, len(read), err)
		}
		for i, cell := range read[1] {
			if want := Cell(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(row[i])); cell != want {
				t.Errorf("%q reads as %q", row[i], cell)
			}
			if trimmed := strings.TrimLeft(cell, " \u00a0\u200b\ufeff"); trimmed != "" && slices.Contains([]rune("=+-@\t"), []rune(trimmed)[0]) {
				t.Errorf("%q begins as a formula does", cell)
			}
		}
	})
}
