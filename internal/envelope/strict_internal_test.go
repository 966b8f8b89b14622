package envelope

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	posternv1 "postern/proto/postern/v1"
)

// fill draws a message with fields of every kind; an enum is now and then of another version.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !rapid.Bool().Draw(t, string(f.Name())) || f.Message() != nil && depth == 0 {
			continue
		}
		if f.IsList() {
			for range rapid.IntRange(1, 3).Draw(t, "length") {
				v := m.NewField(f).List().NewElement()
				if f.Message() != nil {
					fill(t, v.Message(), depth-1)
				} else {
					v = scalar(t, f)
				}
				m.Mutable(f).List().Append(v)
			}
		} else if f.Message() != nil {
			fill(t, m.Mutable(f).Message(), depth-1)
		} else {
			m.Set(f, scalar(t, f))
		}
	}
}

func scalar(t *rapid.T, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.EnumKind:
		if rapid.IntRange(0, 99).Draw(t, "another version") == 0 {
			return protoreflect.ValueOfEnum(rapid.SampledFrom([]protoreflect.EnumNumber{99, -1, 1 << 20}).Draw(t, "which"))
		}
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(rapid.IntRange(0, values.Len()-1).Draw(t, "value")).Number())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{1, 2, 3})
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("word")
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(300)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(-3)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(-3)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1 << 40)
	}
	t.Fatalf("no value of kind %s", f.Kind())
	return protoreflect.Value{}
}

// What is signed is judged by its bytes as the message in them would be, and more strictly only where they are another
// spelling than ours.
func TestTheBytesAreJudgedAsTheMessageIs(t *testing.T) {
	for _, of := range []proto.Message{&posternv1.Manifest{}, &posternv1.FactsBlock{}, &posternv1.Redirect{}, &posternv1.SealedNotification{}} {
		outcomes := map[bool]int{}
		rapid.Check(t, func(t *rapid.T) {
			m := of.ProtoReflect().New()
			fill(t, m, 3)
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(0, 2).Draw(t, "changes") {
				if len(b) > 0 {
					b[rapid.IntRange(0, len(b)-1).Draw(t, "where")] = rapid.Byte().Draw(t, "what")
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "more") == 0 {
				b = protowire.AppendTag(b, protowire.Number(rapid.IntRange(1, 40).Draw(t, "number")), protowire.VarintType)
				b = protowire.AppendVarint(b, rapid.Uint64Range(0, 4).Draw(t, "value"))
			}
			read := of.ProtoReflect().New()
			if proto.Unmarshal(b, read.Interface()) != nil {
				return
			}
			holds, same := shapes()[of.ProtoReflect().Descriptor().FullName()].holds(b), known(read)
			outcomes[holds]++
			if holds && !same {
				t.Fatalf("%x is not of this version", b)
			}
			again, err := proto.MarshalOptions{Deterministic: true}.Marshal(read.Interface())
			if err != nil {
				t.Fatal(err)
			}
			if !holds && same && bytes.Equal(again, b) {
				t.Fatalf("%x is of this version", b)
			}
		})
		if outcomes[true] < 5 || outcomes[false] < 5 {
			t.Errorf("%T: %v", of, outcomes)
		}
	}
}

// A value that another version wrote is refused also where a later one takes its place.
func TestWhatIsWrittenTwiceIsOfThisVersionTwice(t *testing.T) {
	reception := func(reason uint64) []byte {
		inside := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), reason)
		return protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), inside)
	}
	for first, want := range map[uint64]bool{1: true, 99: false} {
		b := append(reception(first), reception(1)...)
		if err := unmarshalStrict(b, &posternv1.Manifest{}, "manifest"); (err == nil) != want {
			t.Errorf("%x: %v", b, err)
		}
	}
}
