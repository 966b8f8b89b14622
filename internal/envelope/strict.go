package envelope

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"postern/internal/fault"
)

// unmarshalStrict parses b and refuses fields and enum values that this version does not know: in signed statements
// the hub must understand all it decides on, so hubs upgrade first.
func unmarshalStrict(b []byte, m proto.Message, what string) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fault.Newf(fault.Invalid, "MALFORMED", "The %s cannot be read.", what).Because(err)
	}
	if !shapes()[m.ProtoReflect().Descriptor().FullName()].holds(b) {
		return fault.Newf(fault.Invalid, "UNKNOWN_CONTENT", "The %s holds a field or value this version does not know. Update this side first.", what)
	}
	return nil
}

// shape is what this version knows of a message as it is written: its fields, by number.
type shape struct{ fields []field }

// field is how a field is written. The zero field is none.
type field struct {
	is       bool
	wire     protowire.Type
	packed   bool // its numbers may be written in one
	enum     protoreflect.EnumValueDescriptors
	contents *shape // of a message
}

// shapes are those of all messages of the wire, by their names, and of what is in them.
var shapes = sync.OnceValue(func() map[protoreflect.FullName]*shape {
	all := map[protoreflect.FullName]*shape{}
	protoregistry.GlobalTypes.RangeMessages(func(t protoreflect.MessageType) bool {
		if d := t.Descriptor(); d.ParentFile().Package() == "postern.v1" {
			addShape(all, d)
		}
		return true
	})
	return all
})

// addShape adds a message to all shapes, once, and returns its own.
func addShape(all map[protoreflect.FullName]*shape, d protoreflect.MessageDescriptor) *shape {
	if s := all[d.FullName()]; s != nil {
		return s
	}
	s := &shape{}
	all[d.FullName()] = s // before its fields: one may be of its own kind
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		for len(s.fields) <= int(f.Number()) {
			s.fields = append(s.fields, field{})
		}
		one := field{is: true, wire: wireOf(f.Kind())}
		one.packed = f.IsList() && one.wire != protowire.BytesType
		if f.Enum() != nil {
			one.enum = f.Enum().Values()
		}
		if f.Message() != nil {
			one.contents = addShape(all, f.Message())
		}
		s.fields[f.Number()] = one
	}
	return s
}

// wireOf is how a value is written; groups there are none.
func wireOf(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	}
	return protowire.VarintType
}

// holds reports whether all of b, in which a message was read, is fields and enum values of this version: also what is
// written in it twice, of which only the last was read.
func (s *shape) holds(b []byte) bool {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 || int(number) >= len(s.fields) || !s.fields[number].is {
			return false
		}
		f := &s.fields[number]
		b = b[n:]
		switch {
		case wire == protowire.VarintType && f.wire == wire:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || !f.knows(v) {
				return false
			}
			b = b[n:]
		case wire == protowire.BytesType && (f.wire == wire || f.packed):
			v, n := protowire.ConsumeBytes(b)
			if n < 0 || f.contents != nil && !f.contents.holds(v) || f.enum != nil && !f.knowsAll(v) {
				return false
			}
			b = b[n:]
		case f.wire == wire:
			n := protowire.ConsumeFieldValue(number, wire, b)
			if n < 0 {
				return false
			}
			b = b[n:]
		default:
			return false // written as another version would
		}
	}
	return true
}

// knows reports whether a number is a value of the field's enum, if it is one.
func (f *field) knows(v uint64) bool {
	return f.enum == nil || f.enum.ByNumber(protoreflect.EnumNumber(v)) != nil
}

// knowsAll is knows for numbers written in one.
func (f *field) knowsAll(b []byte) bool {
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 || !f.knows(v) {
			return false
		}
		b = b[n:]
	}
	return true
}

// known reports whether m, which was read by somebody else, and all it holds have only fields and enum values of this
// version.
func known(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return false
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.EnumKind && f.Kind() != protoreflect.MessageKind || !m.Has(f) {
			continue // nothing in it can be new
		}
		v := m.Get(f)
		if !f.IsList() {
			if !knownValue(f, v) {
				return false
			}
			continue
		}
		for j := range v.List().Len() {
			if !knownValue(f, v.List().Get(j)) {
				return false
			}
		}
	}
	return true
}

func knownValue(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	if e := f.Enum(); e != nil {
		return e.Values().ByNumber(v.Enum()) != nil
	}
	return known(v.Message())
}
