package postcode

import (
	"fmt"
	"regexp"
	"strings"

	"postern/internal/fault"
)

// column is a column that the importer looks for. The Office for National Statistics puts the year into the names of
// columns that hold codes of areas, so they are known by pattern.
type column struct {
	what, expected string
	pattern        *regexp.Regexp
	optional       bool
}

// The columns, by number.
const (
	colPostcode = iota
	colEnded
	colCounty
	colAuthority
	colStarted
	colUser
	columnCount
)

var columns = [columnCount]column{
	colPostcode:  {"the postcode", "pcds (or pcd, pcd7, pcd2, pcd8)", regexp.MustCompile(`^(pcds|pcd|pcd7|pcd2|pcd8)$`), false},
	colEnded:     {"the month of termination", "doterm", regexp.MustCompile(`^doterm$`), false},
	colCounty:    {"the county", "oscty (or cty25cd with the year of the codes)", regexp.MustCompile(`^(oscty|cty|cty([0-9]{2})cd)$`), false},
	colAuthority: {"the local authority", "oslaua (or lad25cd with the year of the codes)", regexp.MustCompile(`^(oslaua|laua|lad([0-9]{2})cd)$`), false},
	colStarted:   {"the month of introduction", "dointr", regexp.MustCompile(`^dointr$`), true},
	colUser:      {"the type of user", "usertype", regexp.MustCompile(`^usertype$`), true},
}

// match finds the columns in a header. The year is that of the codes, empty for the older names without one.
func match(header []string) (at [columnCount]int, year string, err error) {
	var faults []fault.Field
	years := map[string]bool{}
	for n, c := range columns {
		at[n] = -1
		var found []string
		for i, name := range header {
			m := c.pattern.FindStringSubmatch(clean(name))
			if m == nil {
				continue
			}
			if found = append(found, clean(name)); at[n] < 0 || clean(name) == "pcds" {
				at[n] = i
			}
			if n == colCounty || n == colAuthority {
				years[m[len(m)-1]] = true
			}
		}
		switch {
		case len(found) == 0 && !c.optional:
			faults = append(faults, fault.Field{Path: "header", Reason: "no column for " + c.what + ": expected " + c.expected + ".",
				Fix: "Use the ONS Postcode Directory as it was published. " + resembling(header, n)})
		case len(found) > 1 && n != colPostcode:
			faults = append(faults, fault.Field{Path: "header", Reason: fmt.Sprintf("more than one column for %s: %s.", c.what, strings.Join(found, ", ")),
				Fix: "Keep the one of the year that the whole file is of."})
		}
	}
	if len(years) > 1 && len(faults) == 0 {
		faults = append(faults, fault.Field{Path: "header", Reason: "the codes of county and local authority are of different years.",
			Fix: "Use a file whose codes are all of one year."})
	}
	for y := range years {
		year = y
	}
	return at, year, fault.InvalidFields("POSTCODE_HEADER", "This file's columns are not those of an ONS Postcode Directory that this version knows.", faults)
}

func clean(name string) string {
	return strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
}

// stems are what a column's name of another year would most likely still hold.
var stems = [columnCount]string{colPostcode: "pcd", colEnded: "term", colCounty: "cty", colAuthority: "la"}

// resembling names the columns of the file that may be the one that is missed.
func resembling(header []string, n int) string {
	var like []string
	for _, name := range header {
		if s := clean(name); stems[n] != "" && strings.Contains(s, stems[n]) && len(like) < 8 {
			like = append(like, fmt.Sprintf("%.40q", s))
		}
	}
	if len(like) == 0 {
		return fmt.Sprintf("None of the file's %d columns resembles it.", len(header))
	}
	return "Unknown here: " + strings.Join(like, ", ") + "."
}
