// Package sheet writes rows for a spreadsheet: CSV (RFC 4180) that opens as text.
//
// It guarantees that no cell is a formula: a spreadsheet takes what begins with one of a few signs for one, and what a
// parent said would then run on the desk of who opens the file. Such a cell gets an apostrophe in front, as OWASP
// advises on CSV injection; Cell says which. It does not say what belongs in a row.
package sheet

import (
	"bytes"
	"encoding/csv"
	"strings"
)

// Cell is a value as it stands in a cell. It differs from the value by an apostrophe in front, where that begins with
// what a spreadsheet reads as a formula, or with white space that hides one.
func Cell(value string) string {
	if value != "" && strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", []rune(value)[0]) {
		return "'" + value
	}
	if trimmed := strings.TrimLeft(value, " \u00a0\u200b\ufeff"); trimmed != value && trimmed != "" && Cell(trimmed) != trimmed {
		return "'" + value
	}
	return value
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// CSV is the rows under their head, each ended by CR LF, with a byte order mark in front: without it a spreadsheet
// misreads what is not ASCII, such as the circumflex of a Welsh name.
func CSV(head []string, rows [][]string) []byte {
	var b bytes.Buffer
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	for _, row := range append([][]string{head}, rows...) {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = Cell(lineEnds.Replace(v))
		}
		_ = w.Write(cells) // into memory: it cannot fail
	}
	w.Flush()
	return b.Bytes()
}
