package rpc

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

func bounded(b []byte, m proto.Message) error {
	return boundedCodec{encoding.GetCodecV2(protocodec.Name)}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
}

func nested(depth int) []byte {
	v := structpb.NewNullValue()
	for range depth {
		v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
	}
	b, err := proto.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestTheShapeOfAMessageIsBounded(t *testing.T) {
	section := protowire.AppendTag(nil, 3, protowire.BytesType) // SealedNotification.sections
	inNotification := func(fields []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), fields)
	}
	for name, c := range map[string]struct {
		b      []byte
		into   proto.Message
		reason string
	}{
		"empty messages": {inNotification(bytes.Repeat(append(section, 0), maxRequest/2-8)), &posternv1.SubmitRequest{}, "TOO_MANY_FIELDS"},
		"unknown fields": {bytes.Repeat([]byte{0xf8, 0x07, 1}, maxFields+1), &posternv1.SubmitRequest{}, "TOO_MANY_FIELDS"},
		"one less":       {bytes.Repeat([]byte{0xf8, 0x07, 1}, maxFields), &posternv1.SubmitRequest{}, ""},
		"packed numbers": {protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), make([]byte, maxFields)), &posternv1.OpeningHours{}, "TOO_MANY_FIELDS"},
		"deep":           {nested(maxDepth), &structpb.Value{}, "TOO_DEEP"},
		"not too deep":   {nested(maxDepth/2 - 1), &structpb.Value{}, ""},
		"groups":         {bytes.Repeat([]byte{0x0b}, 100_000), &posternv1.SubmitRequest{}, "GROUP"},
		"a closed group": {[]byte{0xfb, 0x07, 0xfc, 0x07}, &posternv1.SubmitRequest{}, "GROUP"},
		"nothing":        {nil, &posternv1.SubmitRequest{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := bounded(c.b, c.into)
			if c.reason == "" && err != nil || c.reason != "" && (err == nil || fault.From(err).Reason != c.reason) {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

// What is within the bounds reads as the plain codec reads it, and nothing makes it panic.
func FuzzBounded(f *testing.F) {
	b, err := proto.Marshal(&posternv1.SubmitRequest{Notification: &posternv1.SealedNotification{
		Manifest: &posternv1.Signed{PayloadType: "t", Payload: []byte("p")}, Sections: []*posternv1.SealedSection{{Path: "child/1/home"}, {}}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{nil, b, nested(3), {0x0b}, {0xff}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, want := &posternv1.SubmitRequest{}, &posternv1.SubmitRequest{}
		err, plain := bounded(b, got), proto.Unmarshal(b, want)
		if shape := fault.From(err).Reason; err != nil && (shape == "TOO_MANY_FIELDS" || shape == "TOO_DEEP" || shape == "GROUP") {
			return
		}
		if (err == nil) != (plain == nil) || err == nil && !proto.Equal(got, want) {
			t.Fatalf("%v, %v", err, plain)
		}
	})
}
