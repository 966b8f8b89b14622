package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// MaxSize is the largest form in bytes of JSON.
const MaxSize = 1 << 20

// Decode reads a form from protojson and says everything that keeps it from being one: text that is not JSON, with its
// line; fields that do not exist, come twice or hold the wrong kind of value, with their paths. A fault repeats no value
// of the form. Nothing may follow the form; a byte-order mark may come before it.
func Decode(data []byte) (*posternv1.Form, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > MaxSize {
		return nil, fault.Newf(fault.Invalid, "FORM_TOO_LARGE", "The form is larger than %d bytes. Shorten it.", MaxSize)
	}
	if !utf8.Valid(data) {
		return nil, fault.New(fault.Invalid, "FORM_NOT_JSON", "The form is not valid UTF-8. Save it as UTF-8 and try again.")
	}
	if err := wellFormed(data); err != nil {
		return nil, err
	}
	d := &decoder{}
	d.message("", data, (*posternv1.Form)(nil).ProtoReflect().Type())
	if err := fault.InvalidFields("FORM_UNREADABLE", "The form cannot be read.", d.fields); err != nil {
		return nil, err
	}
	f := &posternv1.Form{}
	if err := protojson.Unmarshal(data, f); err != nil {
		// Ours to mend: the walk above finds whatever protojson refuses. Its words may repeat a value, so they stay here.
		return nil, fault.New(fault.Invalid, "FORM_UNREADABLE", "The form cannot be read. Check it against the examples.").Because(err)
	}
	return f, nil
}

// wellFormed checks that data is one JSON value and no more.
func wellFormed(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	var whole json.RawMessage
	err := dec.Decode(&whole)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "FORM_NOT_JSON", "The form is empty.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "FORM_NOT_JSON", "The form is not whole JSON: its end is missing.")
	case errors.As(err, &syntax):
		return notJSON(data, syntax.Offset)
	case err != nil:
		return fault.New(fault.Invalid, "FORM_NOT_JSON", "The form is not JSON.").Because(err)
	}
	end := dec.InputOffset()
	if rest := bytes.TrimLeft(data[end:], " \t\r\n"); len(rest) > 0 {
		line := lineOf(data, int64(len(data)-len(rest)))
		return fault.Newf(fault.Invalid, "FORM_NOT_JSON", "Something follows the form, on line %d. Remove it: one file holds one form.", line)
	}
	return nil
}

func notJSON(data []byte, offset int64) error {
	return fault.Newf(fault.Invalid, "FORM_NOT_JSON",
		"The form is not JSON: something is wrong on line %d. Look for a missing comma, quote or bracket.", lineOf(data, offset))
}

func lineOf(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// decoder walks JSON beside the message it should become. protojson stops at its first fault, without a path and with
// the value in its words; the walk finds them all.
type decoder struct {
	fields []fault.Field
}

func (d *decoder) add(path, reason, fix string) {
	if len(d.fields) < maxDecodeFaults {
		d.fields = append(d.fields, fault.Field{Path: orForm(path), Reason: reason, Fix: fix})
	}
}

// maxDecodeFaults keeps a file that is no form at all from an answer larger than itself.
const maxDecodeFaults = 100

// keyShape is what a key must look like to be named in a fault: a value that slipped into a key's place does not.
var keyShape = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

var null = []byte("null")

func (d *decoder) message(path string, raw json.RawMessage, t protoreflect.MessageType) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		d.add(path, "This must be an object.", "Write it in curly brackets: {…}.")
		return
	}
	seen := map[protoreflect.FieldNumber]bool{}
	chosen := map[protoreflect.Name]bool{}
	for dec.More() {
		token, _ := dec.Token()
		key, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			d.add(path, "This cannot be read.", "Check it against the examples.")
			return
		}
		f := t.Descriptor().Fields().ByName(protoreflect.Name(key))
		if f == nil {
			f = t.Descriptor().Fields().ByJSONName(key)
		}
		if f == nil {
			d.unknown(path, key)
			continue
		}
		at := join(path, string(f.Name()))
		if seen[f.Number()] {
			d.add(at, "This field comes twice.", "Keep one of them.")
			continue
		}
		seen[f.Number()] = true
		if bytes.Equal(value, null) {
			continue // protojson reads null as left out
		}
		if one := f.ContainingOneof(); one != nil {
			if chosen[one.Name()] {
				d.add(at, "This comes beside another way of saying the same.", "Give only one of "+members(one)+".")
			}
			chosen[one.Name()] = true
		}
		d.field(at, value, t, f)
	}
}

func (d *decoder) unknown(path, key string) {
	switch {
	case path == "" && key == "sender":
		d.add(key, "A form does not say who sends it.", "The sender comes from the certificate and sign-in; remove it.")
	case keyShape.MatchString(key):
		d.add(join(path, key), "There is no such field.", "Correct its name, or remove it: Postern takes nothing that it has no field for.")
	default:
		d.add(path, "It has a field that does not exist.", "Field names are small letters, digits and underscores, such as receive_date.")
	}
}

func (d *decoder) field(path string, raw json.RawMessage, t protoreflect.MessageType, f protoreflect.FieldDescriptor) {
	if !f.IsList() {
		d.value(path, raw, t, f)
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		d.add(path, "This must be a list.", "Write it in square brackets: […].")
		return
	}
	for i, element := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if bytes.Equal(element, null) {
			d.add(at, "This entry is empty.", "Fill it in or remove it.")
			continue
		}
		d.value(at, element, t, f)
	}
}

// value checks one value: a message field by field, anything else by asking protojson about it alone.
func (d *decoder) value(path string, raw json.RawMessage, t protoreflect.MessageType, f protoreflect.FieldDescriptor) {
	if f.Kind() == protoreflect.MessageKind && f.Message().FullName() != "google.protobuf.Timestamp" {
		// A list's element and a plain field are made by different calls; both know their Go type.
		if m := t.New(); f.IsList() {
			d.message(path, raw, m.NewField(f).List().NewElement().Message().Type())
		} else {
			d.message(path, raw, m.NewField(f).Message().Type())
		}
		return
	}
	wrapped := fmt.Appendf(nil, `{%q:%s}`, f.Name(), raw)
	if f.IsList() {
		wrapped = fmt.Appendf(nil, `{%q:[%s]}`, f.Name(), raw)
	}
	if protojson.Unmarshal(wrapped, t.New().Interface()) != nil {
		reason, fix := expected(f)
		d.add(path, reason, fix)
	}
}

// expected says what a value that protojson refuses should have been.
func expected(f protoreflect.FieldDescriptor) (reason, fix string) {
	switch f.Kind() {
	case protoreflect.EnumKind:
		return "This is not one of the answers.", "Use one of " + answers(f.Enum()) + "."
	case protoreflect.StringKind:
		return "This must be text.", "Write it in double quotes."
	case protoreflect.BoolKind:
		return "This must be true or false.", "Write true or false without quotes."
	case protoreflect.BytesKind:
		return "This must be base64.", "Encode the bytes in base64, in double quotes."
	case protoreflect.MessageKind:
		return "This is not a time.", "Write the time as in \"2026-11-22T18:05:00Z\"."
	default:
		return "This must be a whole number, not below 0.", "Write the number without quotes."
	}
}

// members lists the fields of a oneof.
func members(one protoreflect.OneofDescriptor) string {
	var names string
	for i := range one.Fields().Len() {
		if i > 0 {
			names += ", "
		}
		names += string(one.Fields().Get(i).Name())
	}
	return names
}
