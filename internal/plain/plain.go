// Package plain turns protocol messages into plain words and plain JSON: short enum names (GIVEN, not
// CONSENT_STATE_GIVEN), RFC 3339 times, the field names of the .proto files.
//
// It is the one way from a message to a policy input, to the output of `-o json` and to a page. It guarantees that the
// result is a pure function of the message with keys in one order. It does not go the other way, and it hides nothing:
// what must not be shown must not be in the message.
package plain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Enum returns the short name of an enum value: the name without its type's prefix, "" for the unspecified value and
// the number for a value this version does not know.
func Enum(e protoreflect.Enum) string {
	return enumName(e.Descriptor(), e.Number())
}

func enumName(d protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := d.Values().ByNumber(n)
	if v == nil {
		return "UNKNOWN_" + strconv.FormatInt(int64(n), 10)
	}
	// The zero value is the prefix and UNSPECIFIED, in every enum of ours; to make the prefix from the name costs more.
	if zero := d.Values().ByNumber(0); zero != nil {
		if of, ok := strings.CutSuffix(string(zero.Name()), "UNSPECIFIED"); ok {
			if n == 0 {
				return ""
			}
			return strings.TrimPrefix(string(v.Name()), of)
		}
	}
	return strings.TrimPrefix(string(v.Name()), prefix(d.Name()))
}

// Value is the inverse of Enum for the enum type of like: the number of a short name, and whether there is one.
func Value(like protoreflect.Enum, short string) (protoreflect.EnumNumber, bool) {
	d := like.Descriptor()
	v := d.Values().ByName(protoreflect.Name(prefix(d.Name()) + short))
	if v == nil {
		return 0, false
	}
	return v.Number(), true
}

// prefix is the prefix that buf's ENUM_VALUE_PREFIX rule demands: ConsentState gives CONSENT_STATE_.
func prefix(name protoreflect.Name) string {
	var b strings.Builder
	runes := []rune(string(name))
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	b.WriteByte('_')
	return b.String()
}

// Map returns the message as plain values: map[string]any, []any, string, bool, int64, uint64, float64. Scalars, enums
// and lists are always present; messages and members of a oneof only when set.
func Map(m proto.Message) map[string]any {
	return message(m.ProtoReflect())
}

// JSON returns Map as JSON, indented by two spaces and without HTML escapes.
func JSON(m proto.Message) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(Map(m)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func message(m protoreflect.Message) map[string]any {
	out := map[string]any{}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if (f.HasPresence() || f.ContainingOneof() != nil) && !m.Has(f) {
			continue
		}
		out[string(f.Name())] = field(f, m.Get(f))
	}
	return out
}

func field(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	if !f.IsList() {
		return single(f, v)
	}
	list := make([]any, v.List().Len())
	for i := range list {
		list[i] = single(f, v.List().Get(i))
	}
	return list
}

func single(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch f.Kind() {
	case protoreflect.EnumKind:
		return enumName(f.Enum(), v.Enum())
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
			return t.AsTime().UTC().Format(time.RFC3339Nano)
		}
		return message(v.Message())
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind,
		protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind:
		return v.Int()
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return v.Uint()
	default:
		return v.Interface()
	}
}
