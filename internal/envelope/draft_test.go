package envelope_test

import (
	cryptorand "crypto/rand"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// random is crypto/rand as a Reader, which needs no global.
type random struct{}

func (random) Read(b []byte) (int, error) { return cryptorand.Read(b) }

// drawDraft draws a notification of 1 to most children with any of the sections that a form can have, in any order,
// with any contents, and with whatever else a manifest can say.
func drawDraft(t *rapid.T, most int) envelope.Draft {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	children := rapid.SampledFrom([]int{1, 1, 2, 2, 3, 4, most}).Draw(t, "children")
	share := rapid.IntRange(0, 4).Draw(t, "quarters of the sections")
	d := envelope.Draft{Manifest: &posternv1.Manifest{}, Hub: &posternv1.HubFacts{}}
	fill(d.Manifest.ProtoReflect(), r)
	fill(d.Hub.ProtoReflect(), r)
	m, offer := d.Manifest, &posternv1.Offer{}
	fill(offer.ProtoReflect(), r)
	offer.Route, offer.Authority, offer.Suite = posternv1.Route_ROUTE_STANDARD, bristol, 0
	offer.RecipientKeyId, offer.EncapsulatedKey, offer.SectionsSha256 = "", nil, nil
	if offer.Consent == nil {
		offer.Consent = &posternv1.Consent{}
	}
	m.NotificationId, m.Supersedes, m.Audience, m.FactsSha256 = newID(t), "", domain, nil
	m.Sender = &posternv1.Sender{PrisonId: "BLI"}
	m.CreateTime, m.ExpireTime = timestamppb.New(now), timestamppb.New(now.AddDate(0, 0, 30))
	m.Statement = &posternv1.Manifest_Offer{Offer: offer}
	for n := 1; n <= children; n++ {
		f := &posternv1.ChildFacts{}
		fill(f.ProtoReflect(), r)
		f.Number = uint32(n)
		d.Children = append(d.Children, f)
	}
	for _, s := range section.All() {
		for n := 1; n <= children && (s.PerChild || n == 1); n++ {
			if r.IntN(4) < share {
				d.Sections = append(d.Sections, envelope.Plain{Path: s.Path(n), Message: drawSection(s, r)})
			}
		}
	}
	r.Shuffle(len(d.Sections), func(i, j int) { d.Sections[i], d.Sections[j] = d.Sections[j], d.Sections[i] })
	return d
}

func drawSection(s section.Section, r *rand.Rand) proto.Message {
	m := s.New()
	fill(m.ProtoReflect(), r)
	return m
}

// fill gives about half of the fields of a message a value that this version knows; texts are short enough for every
// section.
func fill(m protoreflect.Message, r *rand.Rand) {
	if t, ok := m.Interface().(*timestamppb.Timestamp); ok {
		t.Seconds = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix() + r.Int64N(1e8)
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if r.IntN(2) == 0 {
			continue
		}
		if !f.IsList() {
			m.Set(f, single(m.NewField(f), f, r))
			continue
		}
		list := m.NewField(f).List()
		for range r.IntN(4) {
			var element protoreflect.Value
			if f.Message() != nil {
				element = list.NewElement()
			}
			list.Append(single(element, f, r))
		}
		m.Set(f, protoreflect.ValueOfList(list))
	}
}

// single draws one value; empty is an empty message of the field's type, for a field of messages.
func single(empty protoreflect.Value, f protoreflect.FieldDescriptor, r *rand.Rand) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		fill(empty.Message(), r)
		return empty
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text(r))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(text(r)))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	default:
		panic("a kind of field that no test fills yet: " + f.Kind().String())
	}
}

// text is up to twelve characters of one to four bytes each.
func text(r *rand.Rand) string {
	out := make([]rune, r.IntN(13))
	for i := range out {
		out[i] = []rune("aZ09 '-/ŵéłÿ漢字𝒳👪")[r.IntN(16)]
	}
	return string(out)
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
