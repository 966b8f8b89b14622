package ui

import (
	"cmp"
	"html/template"
	"slices"
	"strconv"
	"strings"
)

// Choice is one of several answers of radios or checkboxes; with a Divider it is a word between them and no answer.
type Choice struct {
	ID, Name, Value string // the id is made of the name by default; a name of its own is for checkboxes
	Text            Content
	Label           Label // classes and attributes of its label
	Hint            *Hint
	Checked         Toggle // by default the value decides
	Disabled        bool
	Conditional     template.HTML // what shows when this is chosen; without scripts it always shows
	Behaviour       string        // exclusive: unticks the others, for checkboxes
	Divider         string
	Attributes      Attributes
}

// choice is what the template needs of one answer.
type choice struct {
	Choice
	Checked     bool
	DescribedBy string
}

// choices makes the answers ready. base is the class of the component, and already the ids that describe each of them.
func choices(items []Choice, prefix, name, base, already string, chosen func(value string) bool) []choice {
	var made []choice
	for i, item := range items {
		c := choice{Choice: item}
		if item.ID == "" {
			c.ID = prefix
			if i > 0 {
				c.ID += "-" + strconv.Itoa(i+1)
			}
		}
		c.Name = cmp.Or(item.Name, name)
		c.Checked = item.Checked == On || item.Checked == "" && chosen(item.Value)
		c.Label = Label{Text: item.Text, For: c.ID, Classes: join(base+"__label", item.Label.Classes), Attributes: item.Label.Attributes}
		c.DescribedBy = already
		if item.Hint != nil && item.Hint.Text != nil {
			h := *item.Hint
			h.ID, h.Classes = c.ID+"-item-hint", join(base+"__hint", h.Classes)
			c.Hint, c.DescribedBy = &h, join(already, h.ID)
		}
		made = append(made, c)
	}
	return made
}

// Checkboxes are answers of which several may be true.
type Checkboxes struct {
	Name, IDPrefix string
	Values         []string // what is chosen
	Items          []Choice
	Fieldset       *Fieldset
	Hint           *Hint
	ErrorMessage   *ErrorMessage
	FormGroup      FormGroup
	DescribedBy    string
	Classes        string
	Attributes     Attributes
}

// HTML is the component as a browser gets it.
func (c Checkboxes) HTML() template.HTML {
	prefix, already := cmp.Or(c.IDPrefix, c.Name), c.DescribedBy
	if c.Fieldset != nil && c.Fieldset.DescribedBy != "" {
		already = c.Fieldset.DescribedBy
	}
	d := describe(prefix, already, c.Hint, c.ErrorMessage)
	each := d.DescribedBy
	if c.Fieldset != nil {
		each = "" // the fieldset has said it
	}
	inner := render("checkboxes", struct {
		described
		Classes    string
		Attributes Attributes
		Items      []choice
	}{d, c.Classes, c.Attributes, choices(c.Items, prefix, c.Name, "govuk-checkboxes", each, func(value string) bool {
		return slices.Contains(c.Values, value)
	})})
	return group(c.FormGroup, c.ErrorMessage, within(c.Fieldset, d, "", inner))
}

// Radios are answers of which one is true.
type Radios struct {
	Name, IDPrefix string
	Value          string // what is chosen
	Items          []Choice
	Fieldset       *Fieldset
	Hint           *Hint
	ErrorMessage   *ErrorMessage
	FormGroup      FormGroup
	Classes        string
	Attributes     Attributes
}

// HTML is the component as a browser gets it.
func (r Radios) HTML() template.HTML {
	prefix, already := cmp.Or(r.IDPrefix, r.Name), ""
	if r.Fieldset != nil {
		already = r.Fieldset.DescribedBy
	}
	d := describe(prefix, already, r.Hint, r.ErrorMessage)
	inner := render("radios", struct {
		described
		Classes    string
		Attributes Attributes
		Items      []choice
	}{d, r.Classes, r.Attributes, choices(r.Items, prefix, r.Name, "govuk-radios", "", func(value string) bool {
		return r.Value != "" && r.Value == value
	})})
	return group(r.FormGroup, r.ErrorMessage, within(r.Fieldset, d, "", inner))
}

// Option is an answer of a Select.
type Option struct {
	Value, Text string
	Selected    Toggle // by default the value decides
	Disabled    bool
	Attributes  Attributes
}

// Select is a list to choose from.
type Select struct {
	ID, Name, Value string
	Items           []Option
	Label           Label
	Hint            *Hint
	ErrorMessage    *ErrorMessage
	FormGroup       FormGroup
	DescribedBy     string
	Disabled        bool
	Classes         string
	Attributes      Attributes
}

// HTML is the component as a browser gets it.
func (s Select) HTML() template.HTML {
	s.ID = cmp.Or(s.ID, s.Name)
	s.Label.For = s.ID
	d := describe(s.ID, s.DescribedBy, s.Hint, s.ErrorMessage)
	s.Hint, s.ErrorMessage, s.DescribedBy = d.Hint, d.ErrorMessage, d.DescribedBy
	type option struct {
		Option
		Selected bool
	}
	var items []option
	for _, o := range s.Items {
		items = append(items, option{o, o.Selected == On || o.Selected == "" && s.Value != "" && o.Value == s.Value})
	}
	return group(s.FormGroup, s.ErrorMessage, render("select", struct {
		Select
		Items []option
	}{s, items}))
}

// DatePart is one of the inputs of a date.
type DatePart struct {
	Name, Label, Value string // the label is the name with a capital by default
	ID                 string
	Error              Toggle // whether this part is wrong; by default all are when there is an error message
	Autocomplete       string
	Pattern            string
	InputMode          string // numeric by default
	Classes            string
	Attributes         Attributes
}

// DateInput asks for a date in parts: day, month and year unless Items says otherwise.
type DateInput struct {
	ID, NamePrefix   string
	Items            []DatePart
	Day, Month, Year DatePart          // in place of parts of the default
	Values           map[string]string // by the whole name of a part
	Fieldset         *Fieldset
	Hint             *Hint
	ErrorMessage     *ErrorMessage
	FormGroup        FormGroup
	Classes          string
	Attributes       Attributes
}

const (
	wrongClass = "govuk-input--error"
	widthClass = "govuk-input--width-"
)

func (p DatePart) wrong() bool { return p.Error == On || strings.Contains(p.Classes, wrongClass) }

// HTML is the component as a browser gets it.
func (d DateInput) HTML() template.HTML {
	items := d.Items
	if len(items) == 0 {
		for _, p := range []struct {
			given       DatePart
			name, width string
		}{{d.Day, "day", "2"}, {d.Month, "month", "2"}, {d.Year, "year", "4"}} {
			part := p.given
			part.Name = cmp.Or(part.Name, p.name)
			if !strings.Contains(part.Classes, widthClass) {
				part.Classes = join(widthClass+p.width, part.Classes)
			}
			items = append(items, part)
		}
	}
	already := ""
	if d.Fieldset != nil {
		already = d.Fieldset.DescribedBy
	}
	said := describe(d.ID, already, d.Hint, d.ErrorMessage)
	all := d.ErrorMessage != nil && !slices.ContainsFunc(items, DatePart.wrong)
	var inputs []template.HTML
	for _, part := range items {
		inputs = append(inputs, d.part(part, all))
	}
	inner := render("date-input", struct {
		described
		ID, Classes string
		Attributes  Attributes
		Items       []template.HTML
	}{said, d.ID, d.Classes, d.Attributes, inputs})
	return group(d.FormGroup, d.ErrorMessage, within(d.Fieldset, said, "group", inner))
}

// part is one input of the date; all says that every part is wrong unless it says it is not.
func (d DateInput) part(p DatePart, all bool) template.HTML {
	classes := "govuk-date-input__input"
	if !strings.Contains(p.Classes, wrongClass) && (p.wrong() || all && p.Error != Off) {
		classes = join(classes, wrongClass)
	}
	if !strings.Contains(p.Classes, widthClass) {
		width := "2"
		if p.Name == "year" || p.Name != "" && p.Name == d.Year.Name {
			width = "4"
		}
		classes = join(classes, widthClass+width)
	}
	name := p.Name
	if d.NamePrefix != "" {
		name = d.NamePrefix + "-" + name
	}
	label := p.Label
	if label == "" && p.Name != "" {
		label = strings.ToUpper(p.Name[:1]) + p.Name[1:]
	}
	return Input{
		ID: cmp.Or(p.ID, d.ID+"-"+p.Name), Name: name, Value: cmp.Or(p.Value, d.Values[name]),
		Label: Label{Text: label, Classes: "govuk-date-input__label"}, Classes: join(classes, p.Classes),
		InputMode: cmp.Or(p.InputMode, "numeric"), Autocomplete: p.Autocomplete, Pattern: p.Pattern, Attributes: p.Attributes,
	}.HTML()
}
