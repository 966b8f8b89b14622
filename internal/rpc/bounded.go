package rpc

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/fault"
)

// boundedCodec is the protobuf codec of gRPC that looks at the shape of a message before it makes one of it.
type boundedCodec struct{ encoding.CodecV2 }

// Unmarshal refuses a message of too many fields or too deep.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fault.New(fault.Internal, "CODEC", "Something else than a message was to be read.")
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	w := walk{left: maxFields}
	if err := w.message(b.ReadOnlyData(), m.ProtoReflect().Descriptor(), maxDepth); err != nil {
		return err
	}
	return proto.Unmarshal(b.ReadOnlyData(), m) // it keeps no part of the bytes
}

// walk goes through the bytes of a message and counts its fields; what is not a message at all it leaves to be found out
// by whoever reads it.
type walk struct{ left int }

func (w *walk) message(b []byte, d protoreflect.MessageDescriptor, depth int) error {
	if depth == 0 {
		return fault.New(fault.Invalid, "TOO_DEEP", "The message is nested too deep.")
	}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if w.left--; w.left < 0 {
			return errFields()
		}
		if kind == protowire.StartGroupType { // none of ours, and the one thing that nests without saying how long it is
			return fault.New(fault.Invalid, "GROUP", "The message holds a group.")
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return nil
		}
		value := b[:n]
		b = b[n:]
		f := d.Fields().ByNumber(number)
		if f == nil || kind != protowire.BytesType {
			continue
		}
		inner, _ := protowire.ConsumeBytes(value)
		switch {
		case f.Message() != nil:
			if err := w.message(inner, f.Message(), depth-1); err != nil {
				return err
			}
		case f.IsPacked():
			if w.left -= len(inner); w.left < 0 { // each value takes a byte at least
				return errFields()
			}
		}
	}
	return nil
}

func errFields() error {
	return fault.Newf(fault.Invalid, "TOO_MANY_FIELDS", "The message holds more than %d fields.", maxFields)
}
