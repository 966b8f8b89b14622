package form

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The most characters in a text field, by message and field; every other text may have textLimit. With them the
// longest text, at four bytes a character, fits the padded size of its section.
const textLimit = 100

var textLimits = map[protoreflect.FullName]int{
	"postern.v1.ChildSafety.safe_manner":           400,
	"postern.v1.ChildSafety.safe_times":            100,
	"postern.v1.ChildNeeds.communication_needs":    300,
	"postern.v1.Urgency.what_was_said":             500,
	"postern.v1.Urgency.consent_not_sought_reason": 200,
	"postern.v1.Urgency.parent_not_told_reason":    200,
	"postern.v1.Form.consideration_reasons":        2000,
}

// The most entries in a list, by message and field; every other list may have listLimit.
const listLimit = MaxChildren

var listLimits = map[protoreflect.FullName]int{
	"postern.v1.ChildHome.address_lines": 6,
	"postern.v1.ChildNeeds.codes":        8,
	"postern.v1.Consent.sections":        256,
	"postern.v1.ConsentWithdrawal.paths": 256,
	"postern.v1.Consideration.paths":     256,
	"postern.v1.Form.calls":              32,
}

// message checks what holds for every field of the form, whatever it means: no field or answer this version does not
// know, text that can be carried and is not too long, lists that are not too long, digests of the right length.
func (c *checker) message(path string, m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		c.add(orForm(path), "form.unknown_field")
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		at := join(path, string(f.Name()))
		if !f.IsList() {
			c.value(at, f, m.Get(f))
			continue
		}
		limit, ok := listLimits[f.FullName()]
		if !ok {
			limit = listLimit
		}
		list := m.Get(f).List()
		if list.Len() > limit {
			c.add(at, "form.too_many", "limit", limit)
		}
		for i := range min(list.Len(), limit) {
			c.value(fmt.Sprintf("%s[%d]", at, i), f, list.Get(i))
		}
	}
}

func (c *checker) value(path string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.EnumKind:
		if f.Enum().Values().ByNumber(v.Enum()) == nil || f.IsList() && v.Enum() == 0 {
			c.add(path, "form.json_answer", "answers", answers(f.Enum()))
		}
	case protoreflect.StringKind:
		limit, ok := textLimits[f.FullName()]
		if !ok {
			limit = textLimit
		}
		c.text(path, v.String(), limit)
	case protoreflect.BytesKind:
		if n := len(v.Bytes()); n != 32 { // every bytes field of the form is a SHA-256
			c.add(path, "form.sha256")
		}
	case protoreflect.MessageKind:
		if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
			c.moment(path, t)
			return
		}
		c.message(path, v.Message())
	}
}

// text refuses what cannot be carried or shown: broken UTF-8 and control characters other than tab and line ends. All
// else is carried exactly as it was written: quotes, line ends, marks of direction, letters of every script.
func (c *checker) text(path, s string, limit int) {
	if !utf8.ValidString(s) {
		c.add(path, "form.utf8")
		return
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }) {
		c.add(path, "form.control")
	}
	if utf8.RuneCountInString(s) > limit {
		c.add(path, "form.text_long", "limit", limit)
	}
}

// moment checks a time: a real one, not in the future. A few minutes are allowed for a clock that is not ours.
func (c *checker) moment(path string, t *timestamppb.Timestamp) {
	switch {
	case t.CheckValid() != nil:
		c.add(path, "form.not_time")
	case path != "consent.expire_time" && t.AsTime().After(c.env.Now.Add(clockSlack)):
		c.add(path, "form.time_future")
	}
}

// answers lists the values of an enum as a form writes them; a field of another kind has none.
func answers(d protoreflect.EnumDescriptor) string {
	if d == nil {
		return ""
	}
	var names []string
	for i := range d.Values().Len() {
		if v := d.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return strings.Join(names, ", ")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orForm(path string) string {
	if path == "" {
		return "form"
	}
	return path
}

// blank reports whether a text says nothing.
func blank(s string) bool { return strings.TrimSpace(s) == "" }
