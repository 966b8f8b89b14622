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
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// MaxSize is the largest form in bytes of JSON.
const MaxSize = 1 << 20

// Decode reads a form from protojson and says everything that keeps it from being one: text that is not JSON, with its
// line; fields that do not exist, come twice or hold the wrong kind of value, with their paths. A fault repeats no value
// of the form. Nothing may follow the form; a byte-order mark may come before it.
func Decode(data []byte) (*posternv1.Form, error) { return DecodeIn(words.English, data) }

// DecodeIn is Decode with its faults in a language.
func DecodeIn(lang words.Language, data []byte) (*posternv1.Form, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > MaxSize {
		return nil, fault.New(fault.Invalid, "FORM_TOO_LARGE", lang.Text("form.large", words.Args{"limit": MaxSize}))
	}
	if !utf8.Valid(data) {
		return nil, fault.New(fault.Invalid, "FORM_NOT_JSON", lang.Text("form.file_utf8", nil))
	}
	if err := wellFormed(lang, data); err != nil {
		return nil, err
	}
	d := &decoder{lang: lang}
	d.message("", data, (*posternv1.Form)(nil).ProtoReflect().Type())
	if err := fault.InvalidFields("FORM_UNREADABLE", lang.Text("form.unread", nil), d.fields); err != nil {
		return nil, err
	}
	f := &posternv1.Form{}
	if err := protojson.Unmarshal(data, f); err != nil {
		// Ours to mend: the walk above finds whatever protojson refuses. Its words may repeat a value, so they stay here.
		return nil, fault.New(fault.Invalid, "FORM_UNREADABLE", lang.Text("form.unread_why", nil)).Because(err)
	}
	return f, nil
}

// wellFormed checks that data is one JSON value and no more.
func wellFormed(lang words.Language, data []byte) error {
	notJSON := func(id string, args words.Args) *fault.Error {
		return fault.New(fault.Invalid, "FORM_NOT_JSON", lang.Text(id, args))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	var whole json.RawMessage
	err := dec.Decode(&whole)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return notJSON("form.empty", nil)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return notJSON("form.cut", nil)
	case errors.As(err, &syntax):
		return notJSON("form.not_json_line", words.Args{"line": lineOf(data, syntax.Offset)})
	case err != nil:
		return notJSON("form.not_json", nil).Because(err)
	}
	end := dec.InputOffset()
	if rest := bytes.TrimLeft(data[end:], " \t\r\n"); len(rest) > 0 {
		line := lineOf(data, int64(len(data)-len(rest)))
		return notJSON("form.follows", words.Args{"line": line})
	}
	return nil
}

func lineOf(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// decoder walks JSON beside the message it should become. protojson stops at its first fault, without a path and with
// the value in its words; the walk finds them all.
type decoder struct {
	lang   words.Language
	fields []fault.Field
}

func (d *decoder) add(path, id string, args ...any) {
	if len(d.fields) < maxDecodeFaults {
		d.fields = append(d.fields, faulty(d.lang, orForm(path), id, args...))
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
		d.add(path, "form.json_object")
		return
	}
	seen := map[protoreflect.FieldNumber]bool{}
	chosen := map[protoreflect.Name]bool{}
	for dec.More() {
		token, _ := dec.Token()
		key, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			d.add(path, "form.json_unread")
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
			d.add(at, "form.json_twice")
			continue
		}
		seen[f.Number()] = true
		if bytes.Equal(value, null) {
			continue // protojson reads null as left out
		}
		if one := f.ContainingOneof(); one != nil {
			if chosen[one.Name()] {
				d.add(at, "form.json_oneof", "members", members(one))
			}
			chosen[one.Name()] = true
		}
		d.field(at, value, t, f)
	}
}

func (d *decoder) unknown(path, key string) {
	switch {
	case path == "" && key == "sender":
		d.add(key, "form.json_sender")
	case keyShape.MatchString(key):
		d.add(join(path, key), "form.json_unknown")
	default:
		d.add(path, "form.json_key")
	}
}

func (d *decoder) field(path string, raw json.RawMessage, t protoreflect.MessageType, f protoreflect.FieldDescriptor) {
	if !f.IsList() {
		d.value(path, raw, t, f)
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		d.add(path, "form.json_list")
		return
	}
	for i, element := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if bytes.Equal(element, null) {
			d.add(at, "form.json_empty")
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
		d.add(path, expected(f), "answers", answers(f.Enum()))
	}
}

// expected says what a value that protojson refuses should have been.
func expected(f protoreflect.FieldDescriptor) (id string) {
	switch f.Kind() {
	case protoreflect.EnumKind:
		return "form.json_answer"
	case protoreflect.StringKind:
		return "form.json_text"
	case protoreflect.BoolKind:
		return "form.json_bool"
	case protoreflect.BytesKind:
		return "form.json_base64"
	case protoreflect.MessageKind:
		return "form.not_time"
	default:
		return "form.json_number"
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
