package form

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// monthNames are the months as people begin to write them, in English and in Welsh, longest beginnings first where one
// begins another.
var monthNames = []struct {
	start string
	month time.Month
}{
	{"jan", 1}, {"ion", 1}, {"feb", 2}, {"chw", 2}, {"mar", 3}, {"maw", 3}, {"apr", 4}, {"ebr", 4}, {"may", 5}, {"mai", 5},
	{"jun", 6}, {"meh", 6}, {"jul", 7}, {"gor", 7}, {"aug", 8}, {"aws", 8}, {"sep", 9}, {"med", 9}, {"oct", 10}, {"hyd", 10},
	{"nov", 11}, {"tac", 11}, {"dec", 12}, {"rha", 12},
}

var (
	dateMarks = regexp.MustCompile(`[\s/.,\-\x{2010}-\x{2015}\x{00a0}]+`)
	ordinal   = regexp.MustCompile(`^([0-9]{1,2})(st|nd|rd|th|af|il|ydd|ed|fed|eg|ain)$`)
	figures   = regexp.MustCompile(`^[0-9]{1,4}$`)
	letters   = regexp.MustCompile(`^\p{L}{3,12}$`)
)

// isDate reports whether a field holds a civil date.
func isDate(f protoreflect.FieldDescriptor) bool {
	return f.Kind() == protoreflect.StringKind && !f.IsList() && (f.Name() == "date_of_birth" || strings.HasSuffix(string(f.Name()), "_date"))
}

// dates rewrites every date of the form as year, month and day, and notes those that are none. Checks of a date come
// after it and need not say again that it cannot be read.
func (c *checker) dates(path string, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		at := join(path, string(f.Name()))
		switch {
		case !m.Has(f):
		case isDate(f) && blank(m.Get(f).String()):
			m.Set(f, protoreflect.ValueOfString("")) // whoever needs the date says so
		case isDate(f):
			day, wrong := typedDate(m.Get(f).String(), f.FullName() == "postern.v1.ParentBirth.date_of_birth", c.today)
			if wrong != "" {
				c.add(at, wrong)
				continue
			}
			m.Set(f, protoreflect.ValueOfString(day))
		case f.Kind() == protoreflect.MessageKind && !f.IsList():
			c.dates(at, m.Get(f).Message())
		case f.Kind() == protoreflect.MessageKind:
			for i := range m.Get(f).List().Len() {
				c.dates(fmt.Sprintf("%s[%d]", at, i), m.Get(f).List().Get(i).Message())
			}
		}
	}
}

// typedDate reads a date as people in Britain write it, the day first: 3/2/2019, 03.02.19, 3 Feb 2019, 3ydd Chwefror
// 2019; or as machines do, 2019-02-03. It returns the date as machines do, or the id of what is wrong. A year of two
// figures is of this century, but for an adult's birth, where it is the last such year before today.
func typedDate(typed string, adult bool, today time.Time) (date, fault string) {
	parts := strings.Fields(dateMarks.ReplaceAllString(strings.ToLower(typed), " "))
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "of" || p == "o" })
	for i, p := range parts {
		parts[i] = ordinal.ReplaceAllString(p, "$1")
		if !figures.MatchString(parts[i]) && month(parts[i]) == 0 {
			return "", "form.not_date"
		}
	}
	if len(parts) == 1 || len(parts) == 2 {
		return "", "form.date_part"
	}
	if len(parts) != 3 {
		return "", "form.not_date"
	}
	d, m, y := parts[0], parts[1], parts[2]
	switch {
	case len(d) == 4: // year first
		d, y = y, d
	case month(d) != 0: // Feb 3 2019: the name says which is which
		d, m = m, d
	}
	return civil(d, m, y, adult, today)
}

// civil makes a date of a day, a month in figures or by name, and a year of two or four figures.
func civil(d, m, y string, adult bool, today time.Time) (date, fault string) {
	named := month(m)
	day, month := number(d), number(m)
	if named != 0 {
		month = int(named)
	}
	year := number(y)
	switch {
	case day < 0 || month < 0 || year < 0 || len(d) > 2 || len(y) != 2 && len(y) != 4:
		return "", "form.not_date"
	case len(y) == 2:
		year += 2000
		if adult && time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).After(today) {
			year -= 100
		}
	}
	switch {
	case named == 0 && month > 12 && month <= 31 && day >= 1 && day <= 12:
		return "", "form.date_month_first"
	case month < 1 || month > 12 || day < 1 || day > 31 || year < 1:
		return "", "form.not_date"
	}
	date = fmt.Sprintf("%04d-%02d-%02d", year, month, day)
	if _, ok := parseDate(date); !ok {
		return "", "form.date_no_day"
	}
	return date, ""
}

// month is the month that a word begins to name, or 0.
func month(word string) time.Month {
	if !letters.MatchString(word) {
		return 0
	}
	for _, m := range monthNames {
		if strings.HasPrefix(word, m.start) {
			return m.month
		}
	}
	return 0
}

// number is the value of a few figures, or -1.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || !figures.MatchString(s) {
		return -1
	}
	return n
}
