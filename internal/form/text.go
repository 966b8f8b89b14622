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
}

// The most entries in a list, by message and field; every other list may have listLimit.
const listLimit = MaxChildren

var listLimits = map[protoreflect.FullName]int{
	"postern.v1.ChildHome.address_lines": 6,
	"postern.v1.ChildNeeds.codes":        8,
	"postern.v1.Consent.sections":        256,
	"postern.v1.ConsentWithdrawal.paths": 256,
	"postern.v1.Form.calls":              32,
}

// message checks what holds for every field of the form, whatever it means: no field or answer this version does not
// know, text that can be carried and is not too long, lists that are not too long, digests of the right length.
func (c *checker) message(path string, m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		c.add(orForm(path), "It has a field that this version does not know.", "Remove the field, or update this program.")
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
			c.add(at, fmt.Sprintf("There are more than %d of these.", limit), fmt.Sprintf("Give %d at most.", limit))
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
			c.add(path, "This is not one of the answers.", "Use one of "+answers(f.Enum())+".")
		}
	case protoreflect.StringKind:
		limit, ok := textLimits[f.FullName()]
		if !ok {
			limit = textLimit
		}
		c.text(path, v.String(), limit)
	case protoreflect.BytesKind:
		if n := len(v.Bytes()); n != 32 { // every bytes field of the form is a SHA-256
			c.add(path, "This is not a SHA-256 digest.", "Give 32 bytes in base64, or leave it out.")
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
		c.add(path, "This text is not valid UTF-8.", "Save the form as UTF-8 and send it again.")
		return
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }) {
		c.add(path, "This text has a control character.", "Type the text again; a copied text may hold characters that do not show.")
	}
	if utf8.RuneCountInString(s) > limit {
		c.add(path, fmt.Sprintf("This text is longer than %d characters.", limit), "Say it in fewer words.")
	}
}

// moment checks a time: a real one, not in the future. A few minutes are allowed for a clock that is not ours.
func (c *checker) moment(path string, t *timestamppb.Timestamp) {
	switch {
	case t.CheckValid() != nil:
		c.add(path, "This is not a time.", "Write the time as in 2026-11-22T18:05:00Z.")
	case path != "consent.expire_time" && t.AsTime().After(c.env.Now.Add(clockSlack)):
		c.add(path, "This time is in the future.", "Check the date and the hour.")
	}
}

// answers lists the values of an enum as a form writes them.
func answers(d protoreflect.EnumDescriptor) string {
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
