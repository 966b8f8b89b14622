package web

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/web/ui"
	"postern/internal/words"
)

// Kind is how a field is asked for.
type Kind int

// The kinds of fields.
const (
	Line   Kind = iota // a line of text
	Lines              // several lines
	Date               // day, month and year
	One                // one of several answers, all in sight
	Many               // any of several answers
	List               // one of many answers, in a list that opens
	Hidden             // nothing to see; anybody can change it, so it must be checked like the others
)

// Field is one question of a form. Its texts are in the reader's language already.
type Field struct {
	Name          string // in what the browser sends, and the anchor of its error
	Path          string // of the faults that are about it, such as children[0].home.postcode; the name by default
	Kind          Kind
	Label         string
	Hint          string
	IsPageHeading bool // the label is the heading of the page: one thing a page
	Value         string
	Values        []string // for Many
	Options       []Option
	Most          int    // the most characters, said and counted, for Lines; cut off for every kind at most
	Width         int    // of a line, in characters: 2, 3, 4, 5, 10, 20 or 30
	Rows          int    // of Lines
	InputMode     string // which keyboard: numeric, tel, email
	Inline        bool   // answers beside one another
}

// Option is an answer of a field.
type Option struct {
	Value, Text, Hint string
	Divider           bool    // the text is a word between answers, such as "or"
	Fields            []Field // asked only when this is chosen
}

// Or is the word between answers.
func (r *Request) Or() Option { return Option{Text: r.T("web.or"), Divider: true} }

// Form is the form of a page: its questions, what was answered, and what is wrong with it. Its zero value has no
// questions; NewForm makes one.
type Form struct {
	Fields  []Field
	Submit  string // an id of words for the button; "Continue" by default
	Buttons []Button

	language words.Language
	faults   []fault.Field
}

// Button is another button of a form, beside the first; its text is an id of words.
type Button struct{ Name, Value, Text string }

// NewForm makes a form of questions.
func NewForm(fields ...Field) *Form { return &Form{Fields: fields} }

// each visits every field, those under an answer too.
func (f *Form) each(visit func(*Field)) {
	var walk func([]Field)
	walk = func(fields []Field) {
		for i := range fields {
			visit(&fields[i])
			for j := range fields[i].Options {
				walk(fields[i].Options[j].Fields)
			}
		}
	}
	walk(f.Fields)
}

func (f *Form) find(name string) *Field {
	var found *Field
	f.each(func(x *Field) {
		if x.Name == name && found == nil {
			found = x
		}
	})
	return found
}

// Read takes the answers of a request, so that a page that is shown again has them. Spaces around them go, and line
// breaks become one character. The answers of a form that changes nothing, such as a search, are in the address.
func (f *Form) Read(r *Request) {
	f.language = r.Language
	answers := r.PostForm
	if r.safe() {
		answers = r.URL.Query()
	}
	sent := func(name string) string {
		return strings.TrimSpace(strings.ReplaceAll(answers.Get(name), "\r\n", "\n"))
	}
	f.each(func(x *Field) {
		switch x.Kind {
		case Many:
			x.Values = slices.DeleteFunc(slices.Clone(answers[x.Name]), func(v string) bool { return !x.offers(v) })
		case One, List:
			if x.Value = sent(x.Name); !x.offers(x.Value) {
				x.Value = ""
			}
		case Date:
			x.Value = readDate(sent(x.Name+"-day"), sent(x.Name+"-month"), sent(x.Name+"-year"))
		default:
			x.Value = sent(x.Name)
		}
	})
}

// offers reports whether an answer is one of a field's options. Another is none: the browser that sent it did not get it
// from this page.
func (x *Field) offers(value string) bool {
	return slices.ContainsFunc(x.Options, func(o Option) bool { return !o.Divider && o.Value == value })
}

// Text is the answer to a field: of a date, the day as in 2026-11-29, or what was written when that is no day.
func (f *Form) Text(name string) string {
	if x := f.find(name); x != nil {
		return x.Value
	}
	return ""
}

// Choices are the answers to a field of kind Many.
func (f *Form) Choices(name string) []string {
	if x := f.find(name); x != nil {
		return x.Values
	}
	return nil
}

// Set gives a field the answer it had.
func (f *Form) Set(name string, values ...string) {
	x := f.find(name)
	switch {
	case x == nil:
	case x.Kind == Many:
		x.Values = values
	default:
		x.Value = strings.Join(values, "")
	}
}

// Day is the answer to a date as a civil day. A date that is no day becomes a fault, an empty one none.
func (f *Form) Day(name string) (day time.Time, ok bool) {
	x := f.find(name)
	if x == nil || x.Value == "" {
		return time.Time{}, false
	}
	day, err := time.Parse(time.DateOnly, x.Value)
	if err != nil {
		reason, fix := f.language.Fault("web.no_day", nil)
		f.Fail(fault.Field{Path: x.Name, Reason: reason, Fix: fix})
	}
	return day, err == nil
}

// Require makes a fault of every field in names that has no answer, with the words of an id: a reason and a fix.
func (f *Form) Require(id string, names ...string) {
	for _, name := range names {
		if x := f.find(name); x != nil && x.Value == "" && len(x.Values) == 0 {
			reason, fix := f.language.Fault(id, nil)
			f.Fail(fault.Field{Path: x.Name, Reason: reason, Fix: fix})
		}
	}
}

// Fail adds faults to the form. One that is about none of its fields stands in the summary alone, and is never lost.
func (f *Form) Fail(faults ...fault.Field) { f.faults = append(f.faults, faults...) }

// Err is the faults so far as an error for Again, nil when there are none.
func (f *Form) Err() error {
	faults := f.faults
	f.faults = nil // Again adds them
	return fault.InvalidFields("FORM", "The form has faults.", faults)
}

// field is the field that a fault is about: the one with its path, or else the one with the longest path above it.
func (f *Form) about(path string) *Field {
	var best *Field
	length := -1
	f.each(func(x *Field) {
		for _, own := range []string{cmp.Or(x.Path, x.Name), x.Name} {
			above := path == own || strings.HasPrefix(path, own) && strings.ContainsAny(path[len(own):len(own)+1], ".[")
			if above && x.Kind != Hidden && len(own) > length {
				best, length = x, len(own)
			}
		}
	})
	return best
}

// said is a fault in one piece.
func said(x fault.Field) string { return strings.TrimSpace(x.Reason + " " + x.Fix) }

// summary lists the faults in the order of the fields, and after them those that are about none.
func (f *Form) summary(title string) ui.ErrorSummary {
	list := ui.ErrorSummary{Title: title}
	f.each(func(x *Field) {
		for _, fault := range f.faults {
			if f.about(fault.Path) == x {
				list.ErrorList = append(list.ErrorList, ui.ErrorItem{Text: said(fault), Href: "#" + x.anchor()})
			}
		}
	})
	for _, fault := range f.faults {
		if f.about(fault.Path) == nil {
			list.ErrorList = append(list.ErrorList, ui.ErrorItem{Text: said(fault)})
		}
	}
	return list
}

// wrong is what is wrong with a field, nil when nothing is.
func (f *Form) wrong(x *Field) *ui.ErrorMessage {
	var texts []string
	for _, fault := range f.faults {
		if f.about(fault.Path) == x {
			texts = append(texts, said(fault))
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return &ui.ErrorMessage{Text: strings.Join(texts, " "), VisuallyHiddenText: f.language.Text("web.error", nil)}
}

// HTML is the form as a browser gets it.
func (f *Form) HTML() (template.HTML, error) {
	var b strings.Builder
	b.WriteString(`<form method="post" novalidate autocomplete="off">` + "\n")
	for i := range f.Fields {
		b.WriteString(string(f.show(&f.Fields[i])) + "\n")
	}
	b.WriteString(string(f.buttons()) + "\n</form>")
	return template.HTML(b.String()), nil
}

func (f *Form) buttons() template.HTML {
	first := ui.Button{Text: f.language.Text(cmp.Or(f.Submit, "web.continue"), nil), PreventDoubleClick: ui.On}.HTML()
	if len(f.Buttons) == 0 {
		return first
	}
	all := `<div class="govuk-button-group">` + first
	for _, b := range f.Buttons {
		all += ui.Button{Name: b.Name, Value: b.Value, Text: f.language.Text(b.Text, nil), Classes: "govuk-button--secondary", PreventDoubleClick: ui.On}.HTML()
	}
	return all + "</div>"
}

// field is one field for a template, an error when there is none of this name.
func (f *Form) field(name string) (template.HTML, error) {
	if x := f.find(name); x != nil {
		return f.show(x), nil
	}
	return "", fmt.Errorf("web: the form has no field %q", name)
}
