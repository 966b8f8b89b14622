package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"postern/internal/web/ui"
	"postern/internal/words"
)

// anchor is the id of the first control of a field.
func (x *Field) anchor() string {
	if x.Kind == Date {
		return x.Name + "-day"
	}
	return x.Name
}

// show is a field as a browser gets it.
func (f *Form) show(x *Field) template.HTML {
	label := ui.Label{Text: x.Label, IsPageHeading: x.IsPageHeading}
	legend := &ui.Fieldset{Legend: ui.Legend{Text: x.Label, IsPageHeading: x.IsPageHeading}}
	if x.IsPageHeading {
		label.Classes, legend.Legend.Classes = "govuk-label--l", "govuk-fieldset__legend--l"
	} else {
		legend.Legend.Classes = "govuk-fieldset__legend--s"
	}
	var hint *ui.Hint
	if x.Hint != "" {
		hint = &ui.Hint{Text: x.Hint}
	}
	wrong := f.wrong(x)
	switch x.Kind {
	case Lines:
		return f.lines(x, label, hint, wrong)
	case Date:
		return f.date(x, legend, hint, wrong)
	case One:
		return ui.Radios{Name: x.Name, Value: x.Value, Items: f.choices(x), Fieldset: legend, Hint: hint, ErrorMessage: wrong, Classes: inline(x)}.HTML()
	case Many:
		return ui.Checkboxes{Name: x.Name, Values: x.Values, Items: f.choices(x), Fieldset: legend, Hint: hint, ErrorMessage: wrong}.HTML()
	case List:
		list := ui.Select{Name: x.Name, Value: x.Value, Label: label, Hint: hint, ErrorMessage: wrong}
		for _, o := range x.Options {
			list.Items = append(list.Items, ui.Option{Value: o.Value, Text: o.Text})
		}
		return list.HTML()
	case Hidden:
		return template.HTML(fmt.Sprintf(`<input type="hidden" name="%s" value="%s">`, template.HTMLEscapeString(x.Name), template.HTMLEscapeString(x.Value)))
	default:
		width := ""
		if x.Width > 0 {
			width = "govuk-input--width-" + strconv.Itoa(x.Width)
		}
		return ui.Input{Name: x.Name, Value: x.Value, Label: label, Hint: hint, ErrorMessage: wrong, Classes: width,
			InputMode: x.InputMode, Spellcheck: ui.Off}.HTML()
	}
}

func inline(x *Field) string {
	if x.Inline {
		return "govuk-radios--inline"
	}
	return ""
}

func (f *Form) choices(x *Field) []ui.Choice {
	var made []ui.Choice
	for _, o := range x.Options {
		if o.Divider {
			made = append(made, ui.Choice{Divider: o.Text})
			continue
		}
		c := ui.Choice{Value: o.Value, Text: o.Text}
		if o.Hint != "" {
			c.Hint = &ui.Hint{Text: o.Hint}
		}
		for i := range o.Fields {
			c.Conditional += f.show(&o.Fields[i])
		}
		made = append(made, c)
	}
	return made
}

// lines asks for several lines of text, with a limit that is counted down in the reader's language.
func (f *Form) lines(x *Field, label ui.Label, hint *ui.Hint, wrong *ui.ErrorMessage) template.HTML {
	if x.Most == 0 {
		return ui.Textarea{Name: x.Name, Value: x.Value, Rows: x.Rows, Label: label, Hint: hint, ErrorMessage: wrong}.HTML()
	}
	t := func(id string) string { return f.language.Text(id, words.Args{"count": "%{count}"}) }
	left := ui.Plural{"one": t("web.left_one"), "other": t("web.left")}
	over := ui.Plural{"one": t("web.over_one"), "other": t("web.over")}
	if f.language == words.Welsh { // which has six forms of a number; the nouns here are the same after a figure
		for _, form := range []string{"zero", "two", "few", "many"} {
			left[form], over[form] = left["other"], over["other"]
		}
	}
	return ui.CharacterCount{Name: x.Name, Value: x.Value, Rows: x.Rows, MaxLength: x.Most, Label: label, Hint: hint, ErrorMessage: wrong,
		TextareaDescriptionText: t("web.most"), CharactersUnderLimitText: left, CharactersAtLimitText: t("web.none_left"), CharactersOverLimitText: over}.HTML()
}

func (f *Form) date(x *Field, legend *ui.Fieldset, hint *ui.Hint, wrong *ui.ErrorMessage) template.HTML {
	day, month, year := dateParts(x.Value)
	part := func(name, id, value, class string) ui.DatePart {
		return ui.DatePart{Name: name, Label: f.language.Text(id, nil), Value: value, Classes: class}
	}
	return ui.DateInput{ID: x.Name, NamePrefix: x.Name, Fieldset: legend, Hint: hint, ErrorMessage: wrong,
		Items: []ui.DatePart{part("day", "web.day", day, "govuk-input--width-2"), part("month", "web.month", month, "govuk-input--width-2"),
			part("year", "web.year", year, "govuk-input--width-4")}}.HTML()
}

// dateMark parts what was written in the three parts of a date that is no day, so that it can be shown again.
const dateMark = "\x1f"

// readDate makes a civil day of the parts of a date: 2026-11-29. Months may be written as words in either language, years
// with two figures are refused, since a child of 14 and a grandparent of 114 look alike in them. Parts that make no day
// are kept as they are; three empty ones are no date. A whole date in the first part is taken apart.
func readDate(day, month, year string) string {
	if day == "" && month == "" && year == "" {
		return ""
	}
	if whole := strings.FieldsFunc(day, func(r rune) bool { return strings.ContainsRune("/.- ", r) }); month == "" && year == "" && len(whole) == 3 {
		day, month, year = whole[0], whole[1], whole[2]
	}
	asWritten := strings.Join([]string{day, month, year}, dateMark)
	d, errDay := strconv.Atoi(day)
	y, errYear := strconv.Atoi(year)
	m, ok := monthNumber(month)
	if errDay != nil || errYear != nil || !ok || y < 1000 || y > 9999 {
		return asWritten
	}
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	if t.Day() != d || t.Month() != time.Month(m) {
		return asWritten
	}
	return t.Format(time.DateOnly)
}

// monthNumber reads a month: its number, or the first three letters or more of its name.
func monthNumber(s string) (int, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, n >= 1 && n <= 12
	}
	s = strings.ToLower(s)
	if len(s) < 3 {
		return 0, false
	}
	found, n := 0, 0
	for m := 1; m <= 12; m++ {
		for _, l := range []words.Language{words.English, words.Welsh} {
			if strings.HasPrefix(strings.ToLower(l.Text(fmt.Sprintf("month.m%02d", m), nil)), s) && found != m {
				found = m
				n++
			}
		}
	}
	return found, n == 1
}

// dateParts is the inverse of readDate.
func dateParts(value string) (day, month, year string) {
	if t, err := time.Parse(time.DateOnly, value); err == nil {
		return strconv.Itoa(t.Day()), strconv.Itoa(int(t.Month())), strconv.Itoa(t.Year())
	}
	parts := strings.SplitN(value, dateMark, 3)
	for len(parts) < 3 {
		parts = append(parts, "")
	}
	return parts[0], parts[1], parts[2]
}
