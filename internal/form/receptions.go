package form

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postern/internal/fault"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// The most that a file of receptions may hold.
const (
	maxReceptionDays = 366
	maxReceived      = 1000
)

// Receptions reads how many people came to a prison, day by day: a first line `date,received`, then a line a day, with
// dates as people write them. Every faulty line is named with the fix, and one fault refuses the whole file: a day that
// is silently left out would look like one on which everybody was asked. The days come out in order.
func Receptions(file []byte, now time.Time, lang words.Language) ([]*posternv1.ReceptionDay, error) {
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	refuse := func(faults ...fault.Field) error {
		return fault.InvalidFields("RECEPTIONS_INVALID", lang.Text("receptions.refused", nil), faults)
	}
	if !utf8.Valid(file) {
		return nil, refuse(faulty(lang, atLine(lang, 1), "receptions.utf8"))
	}
	r := csv.NewReader(bytes.NewReader(file))
	r.FieldsPerRecord = -1
	var faults []fault.Field
	var days []*posternv1.ReceptionDay
	seen := map[string]int{}
	for n := 0; ; n++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				faults = append(faults, faulty(lang, atLine(lang, 1), "receptions.header"))
			}
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			faults = append(faults, faulty(lang, atLine(lang, syntax.Line), "receptions.quotes"))
			break // what follows a broken quote is anybody's guess
		}
		line, _ := r.FieldPos(0)
		at := atLine(lang, line)
		if n == 0 {
			if len(record) != 2 || fold(record[0]) != "date" || fold(record[1]) != "received" {
				return nil, refuse(faulty(lang, at, "receptions.header"))
			}
			continue
		}
		day, wrong := receptionDay(lang, at, record, mustDate(Today(now)))
		if first := seen[day.GetReceiveDate()]; len(wrong) == 0 && first > 0 {
			wrong = append(wrong, faulty(lang, at, "receptions.twice", "line", first))
		}
		seen[day.GetReceiveDate()] = line
		faults, days = append(faults, wrong...), append(days, day)
	}
	if len(faults) == 0 && len(days) == 0 {
		faults = append(faults, faulty(lang, atLine(lang, 2), "receptions.no_days"))
	}
	if len(days) > maxReceptionDays {
		faults = append(faults, faulty(lang, atLine(lang, 1), "receptions.many", "limit", maxReceptionDays))
	}
	if err := refuse(faults...); err != nil {
		return nil, err
	}
	slices.SortFunc(days, func(a, b *posternv1.ReceptionDay) int { return strings.Compare(a.GetReceiveDate(), b.GetReceiveDate()) })
	return days, nil
}

// receptionDay reads one line.
func receptionDay(lang words.Language, at string, record []string, today time.Time) (*posternv1.ReceptionDay, []fault.Field) {
	if len(record) != 2 {
		return nil, []fault.Field{faulty(lang, at, "receptions.columns")}
	}
	var wrong []fault.Field
	date, id := typedDate(record[0], false, today)
	switch t, _ := parseDate(date); {
	case id != "":
		wrong = append(wrong, faulty(lang, at+", date", id))
	case t.After(today):
		wrong = append(wrong, faulty(lang, at+", date", "form.date_future"))
	}
	received, err := strconv.ParseUint(strings.TrimSpace(record[1]), 10, 32)
	switch {
	case err != nil:
		wrong = append(wrong, faulty(lang, at+", received", "receptions.number"))
	case received > maxReceived:
		wrong = append(wrong, faulty(lang, at+", received", "receptions.too_many", "limit", maxReceived))
	}
	return &posternv1.ReceptionDay{ReceiveDate: date, Received: uint32(received)}, wrong
}
