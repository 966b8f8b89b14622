package form

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// maxArrivals is the most lines that a file of arrivals may hold.
const maxArrivals = 2000

// Arrival is somebody who came to the prison, as a file says.
type Arrival struct {
	PrisonNumber, GivenName, FamilyName string
	Reception                           *posternv1.Reception
}

// The columns of a file of arrivals; all others are passed over unread.
const (
	columnNumber = "prison_number"
	columnGiven  = "given_name"
	columnFamily = "family_name"
	columnDate   = "date"
	columnReason = "reason"
)

// Arrivals reads who came to a prison: a first line with the names of the columns, in any order, then a line a person.
// prison_number, family_name and date are needed, given_name and reason are read, and every other column of an export is
// passed over. A faulty line is named with its column and the fix, and takes nobody else off the list: somebody who is
// not on it would not be asked. Each line is read by itself, so that a stray quote does not swallow the next.
func Arrivals(file []byte, now time.Time, lang words.Language) (people []Arrival, faults []fault.Field) {
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	if !utf8.Valid(file) {
		return nil, []fault.Field{faulty(lang, atLine(lang, 1), "arrivals.utf8")}
	}
	var columns map[string]int
	seen := map[string]int{}
	number := 0
	for text := range strings.Lines(string(file)) {
		number++
		at := atLine(lang, number)
		text = strings.TrimRight(text, "\r\n")
		if strings.Trim(text, ",; \t") == "" {
			continue // an empty row of a sheet
		}
		record, ok := arrivalLine(text)
		switch {
		case columns == nil && (!ok || !slices.ContainsFunc(record, func(c string) bool { return column(c) == columnNumber })):
			return nil, []fault.Field{faulty(lang, at, "arrivals.header")}
		case columns == nil:
			columns = map[string]int{}
			for i, c := range record {
				columns[column(c)] = i
			}
			for _, needed := range []string{columnFamily, columnDate} {
				if _, there := columns[needed]; !there {
					faults = append(faults, faulty(lang, at, "arrivals.column", "column", needed))
				}
			}
			if len(faults) > 0 {
				return nil, faults
			}
		case number > maxArrivals:
			return people, append(faults, faulty(lang, at, "arrivals.many", "limit", maxArrivals))
		case !ok:
			faults = append(faults, faulty(lang, at, "arrivals.quotes"))
		default:
			a, wrong := arrival(lang, at, func(name string) string {
				if i, there := columns[name]; there && i < len(record) {
					return strings.TrimSpace(record[i])
				}
				return ""
			}, mustDate(Today(now)))
			key := a.PrisonNumber + a.Reception.GetReceiveDate()
			if first := seen[key]; len(wrong) == 0 && first > 0 {
				wrong = append(wrong, faulty(lang, at, "arrivals.twice", "line", first))
			}
			if len(wrong) > 0 {
				faults = append(faults, wrong...)
				continue
			}
			seen[key] = number
			people = append(people, a)
		}
	}
	if columns == nil {
		faults = append(faults, faulty(lang, atLine(lang, 1), "arrivals.header"))
	}
	return people, faults
}

// column is the name of a column as it is compared: Prison Number is prison_number.
func column(name string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(strings.ToLower(name)), "_"), "-", "_")
}

// arrivalLine takes a line apart. A sheet in some languages of Windows separates by semicolons.
func arrivalLine(text string) (record []string, ok bool) {
	r := csv.NewReader(strings.NewReader(text))
	if !strings.Contains(text, ",") && strings.Contains(text, ";") {
		r.Comma = ';'
	}
	record, err := r.Read()
	return record, err == nil
}

// arrival reads one line. Nothing of a value is in a fault: it may be a name in the wrong column.
func arrival(lang words.Language, at string, value func(string) string, today time.Time) (a Arrival, wrong []fault.Field) {
	say := func(is bool, column, id string, args ...any) {
		if is {
			wrong = append(wrong, faulty(lang, at+", "+column, id, args...))
		}
	}
	a = Arrival{PrisonNumber: strings.ToUpper(value(columnNumber)), GivenName: value(columnGiven), FamilyName: value(columnFamily)}
	say(a.PrisonNumber == "", columnNumber, "form.prison_number_missing")
	say(a.PrisonNumber != "" && !prisonNumberShape.MatchString(a.PrisonNumber), columnNumber, "form.prison_number")
	say(a.FamilyName == "", columnFamily, "arrivals.name")
	say(utf8.RuneCountInString(a.FamilyName) > maxName, columnFamily, "arrivals.long", "limit", maxName)
	say(utf8.RuneCountInString(a.GivenName) > maxName, columnGiven, "arrivals.long", "limit", maxName)
	date, id := typedDate(value(columnDate), false, today)
	received, _ := parseDate(date)
	say(id != "", columnDate, id)
	say(id == "" && date == "", columnDate, "form.reception_date")
	say(id == "" && received.After(today), columnDate, "form.date_future")
	reason := posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION
	if said := value(columnReason); said != "" {
		n, ok := plain.Value(reason, strings.ToUpper(column(said)))
		say(!ok || n == 0, columnReason, "form.reception_reason", "answers", answers(reason.Descriptor()))
		reason = posternv1.ReceptionReason(n)
	}
	a.Reception = &posternv1.Reception{Reason: reason, ReceiveDate: date}
	return a, wrong
}

// maxName bounds a name in a list of arrivals.
const maxName = 100
