package plain

import (
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// Line is one label with its value.
type Line struct {
	Label string
	Value string
}

// Lines is LinesIn in English.
func Lines(section proto.Message) []Line { return LinesIn(words.English, section) }

// LinesIn lists what a section says in a language, field by field in the order of the form, without its provenance and
// without what was not answered. What a person wrote stays as they wrote it.
func LinesIn(lang words.Language, section proto.Message) []Line {
	var out []Line
	m := section.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) || f.Name() == "provenance" {
			continue
		}
		if v := said(lang, f, m.Get(f)); v != "" {
			out = append(out, Line{FieldIn(lang, string(f.Name())), v})
		}
	}
	return out
}

// FieldIn is what a field of a section is called; one that came later keeps its name.
func FieldIn(lang words.Language, name string) string {
	if id := "field." + name; lang.Has(id) {
		return lang.Text(id, nil)
	}
	return capital(Words(name))
}

// EnumIn is an answer in a language: "not known" for NOT_KNOWN; one that came later keeps its name.
func EnumIn(lang words.Language, e protoreflect.Enum) string {
	return enumIn(lang, e.Descriptor(), e.Number())
}

func enumIn(lang words.Language, d protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	short := enumName(d, n)
	if id := "value." + strings.ToLower(prefix(d.Name())[:len(prefix(d.Name()))-1]) + "." + strings.ToLower(short); lang.Has(id) {
		return lang.Text(id, nil)
	}
	return Words(short)
}

func said(lang words.Language, f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if f.IsList() {
		parts := make([]string, v.List().Len())
		for i := range parts {
			parts[i] = word(lang, f, v.List().Get(i))
		}
		return strings.Join(parts, ", ")
	}
	return word(lang, f, v)
}

func word(lang words.Language, f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.EnumKind:
		return enumIn(lang, f.Enum(), v.Enum())
	case protoreflect.BoolKind:
		answer := posternv1.Answer_ANSWER_NO
		if v.Bool() {
			answer = posternv1.Answer_ANSWER_YES
		}
		return EnumIn(lang, answer)
	case protoreflect.MessageKind:
		if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
			return When(lang, t.AsTime())
		}
		var parts []string
		for _, l := range LinesIn(lang, v.Message().Interface()) {
			parts = append(parts, strings.ToLower(l.Label)+": "+l.Value)
		}
		return strings.Join(parts, "; ")
	case protoreflect.StringKind:
		if day, err := time.Parse(time.DateOnly, v.String()); err == nil && strings.Contains(string(f.Name()), "date") {
			return Date(lang, day)
		}
		if id := "tongue." + v.String(); f.Name() == "language" && lang.Has(id) { // another tag stays as it is
			return lang.Text(id, nil)
		}
		return v.String()
	default:
		return v.String()
	}
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// london is where the people are who read of times; without a table of zones it is UTC, an hour behind in summer.
var london = sync.OnceValue(func() *time.Location {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		return time.UTC
	}
	return zone
})

// Source is how what a section says is known; nil when the section does not say.
func Source(section proto.Message) *posternv1.Provenance {
	r := section.ProtoReflect()
	f := r.Descriptor().Fields().ByName(protoreflect.Name("provenance"))
	if f == nil || !r.Has(f) {
		return nil
	}
	p, _ := r.Get(f).Message().Interface().(*posternv1.Provenance)
	return p
}

// Provenance is ProvenanceIn in English.
func Provenance(section proto.Message) string { return ProvenanceIn(words.English, section) }

// ProvenanceIn says how what a section says is known: whether, from whom, and as of which day.
func ProvenanceIn(lang words.Language, section proto.Message) string {
	p := Source(section)
	parts := []string{}
	if p != nil && p.GetKnown() != posternv1.Known_KNOWN_KNOWN {
		parts = append(parts, EnumIn(lang, p.GetKnown()))
	}
	if p.GetBasis() != 0 {
		parts = append(parts, EnumIn(lang, p.GetBasis()))
	}
	if day, err := time.Parse(time.DateOnly, p.GetAsOfDate()); err == nil {
		parts = append(parts, Date(lang, day))
	}
	if len(parts) == 0 {
		return lang.Text("field.no_source", nil)
	}
	return strings.Join(parts, ", ")
}
