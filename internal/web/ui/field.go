package ui

import (
	"cmp"
	"html/template"
)

// Label names a control.
type Label struct {
	Text          Content
	For           string // the id of the control; the components of a form set it
	Classes       string
	IsPageHeading bool
	Attributes    Attributes
}

// HTML is the component as a browser gets it.
func (l Label) HTML() template.HTML { return render("label", l) }

// Hint is help beside a control.
type Hint struct {
	Text       Content
	ID         string
	Classes    string
	Attributes Attributes
}

// HTML is the component as a browser gets it.
func (h Hint) HTML() template.HTML { return render("hint", h) }

// ErrorMessage says what is wrong with the value of a control.
type ErrorMessage struct {
	Text               Content
	ID                 string
	Classes            string
	VisuallyHiddenText string // before the text, for a screen reader: "Error" by default
	Attributes         Attributes
}

// HTML is the component as a browser gets it.
func (m ErrorMessage) HTML() template.HTML { return render("error-message", m) }

// Legend names a group of controls.
type Legend struct {
	Text          Content
	Classes       string
	IsPageHeading bool
}

// Fieldset groups controls under one legend; Text is what it holds.
type Fieldset struct {
	Legend      Legend
	Text        Content
	DescribedBy string
	Role        string
	Classes     string
	Attributes  Attributes
}

// HTML is the component as a browser gets it.
func (f Fieldset) HTML() template.HTML { return render("fieldset", f) }

// FormGroup is the box around a control with its label, hint and error.
type FormGroup struct {
	Classes    string
	Attributes Attributes
}

// described is a control's hint and error with their ids, and the list of ids that describe the control.
type described struct {
	Hint         *Hint
	ErrorMessage *ErrorMessage
	DescribedBy  string
}

func describe(id, already string, hint *Hint, message *ErrorMessage) described {
	d := described{DescribedBy: already}
	if hint != nil {
		h := *hint
		h.ID = id + "-hint"
		d.Hint, d.DescribedBy = &h, join(d.DescribedBy, h.ID)
	}
	if message != nil {
		m := *message
		m.ID = id + "-error"
		d.ErrorMessage, d.DescribedBy = &m, join(d.DescribedBy, m.ID)
	}
	return d
}

// group puts the box around a control.
func group(g FormGroup, message *ErrorMessage, inner template.HTML) template.HTML {
	return render("form-group", struct {
		Group FormGroup
		Error bool
		Inner template.HTML
	}{g, message != nil, inner})
}

// within puts a fieldset around controls, when there is one.
func within(f *Fieldset, d described, role string, inner template.HTML) template.HTML {
	if f == nil {
		return inner
	}
	set := *f
	set.DescribedBy, set.Text = d.DescribedBy, inner
	set.Role = cmp.Or(role, set.Role)
	return set.HTML()
}

// Affix is what stands before or after the text of an input, such as a unit.
type Affix struct {
	Text       Content
	Classes    string
	Attributes Attributes
}

// Wrapper is the element around an input and its affixes.
type Wrapper struct {
	Classes    string
	Attributes Attributes
}

// Input is a line of text.
type Input struct {
	ID, Name, Type, Value string // the id is the name by default, the type text
	Label                 Label
	Hint                  *Hint
	ErrorMessage          *ErrorMessage
	FormGroup             FormGroup
	Prefix, Suffix        Affix
	InputWrapper          Wrapper
	DescribedBy           string
	Autocomplete          string
	Autocapitalize        string
	Pattern               string
	InputMode             string
	Spellcheck            Toggle
	Disabled              bool
	Classes               string
	Attributes            Attributes
}

// HTML is the component as a browser gets it.
func (i Input) HTML() template.HTML {
	i.ID = cmp.Or(i.ID, i.Name)
	i.Label.For = i.ID
	d := describe(i.ID, i.DescribedBy, i.Hint, i.ErrorMessage)
	i.Hint, i.ErrorMessage, i.DescribedBy = d.Hint, d.ErrorMessage, d.DescribedBy
	return group(i.FormGroup, i.ErrorMessage, render("input", i))
}

// Textarea is several lines of text.
type Textarea struct {
	ID, Name, Value string
	Rows            int // 5 by default
	Label           Label
	Hint            *Hint
	ErrorMessage    *ErrorMessage
	FormGroup       FormGroup
	DescribedBy     string
	Autocomplete    string
	Spellcheck      Toggle
	Disabled        bool
	Classes         string
	Attributes      Attributes
}

// HTML is the component as a browser gets it.
func (t Textarea) HTML() template.HTML { return t.with("") }

// with is the component with something after the control.
func (t Textarea) with(after template.HTML) template.HTML {
	t.ID = cmp.Or(t.ID, t.Name)
	t.Label.For = t.ID
	d := describe(t.ID, t.DescribedBy, t.Hint, t.ErrorMessage)
	t.Hint, t.ErrorMessage, t.DescribedBy = d.Hint, d.ErrorMessage, d.DescribedBy
	return group(t.FormGroup, t.ErrorMessage, render("textarea", struct {
		Textarea
		After template.HTML
	}{t, after}))
}
