package plain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestEnumSaysTheShortName(t *testing.T) {
	for _, c := range []struct {
		value protoreflect.Enum
		want  string
	}{
		{posternv1.ConsentState_CONSENT_STATE_GIVEN, "GIVEN"},
		{posternv1.ConsentState_CONSENT_STATE_UNSPECIFIED, ""},
		{posternv1.Article6Basis_ARTICLE6_BASIS_PUBLIC_TASK, "PUBLIC_TASK"},
		{posternv1.CallResult_CALL_RESULT_EMERGENCY_999, "EMERGENCY_999"},
		{posternv1.TimeAway_TIME_AWAY_1_TO_6, "1_TO_6"},
		{localv1.State_STATE_STOP_ASKED, "STOP_ASKED"},
		{posternv1.Route(77), "UNKNOWN_77"},
		{posternv1.Route(-1), "UNKNOWN_-1"},
	} {
		if got := plain.Enum(c.value); got != c.want {
			t.Errorf("Enum(%v) = %q, want %q", c.value, got, c.want)
		}
	}
}

func TestValueTakesShortNamesOnly(t *testing.T) {
	for short, want := range map[string]protoreflect.EnumNumber{"URGENT": 2, "UNSPECIFIED": 0} {
		if got, ok := plain.Value(posternv1.Route(0), short); !ok || got != want {
			t.Errorf("Value(%q) = %d, %t", short, got, ok)
		}
	}
	for _, short := range []string{"", "urgent", "ROUTE_URGENT", "UNKNOWN_77", "2"} {
		if got, ok := plain.Value(posternv1.Route(0), short); ok {
			t.Errorf("Value(%q) = %d, want none", short, got)
		}
	}
}

// TestEveryEnumHasShortNames: in every enum of the contract a short name means one value, keeps nothing of its type's
// prefix, and leads back.
func TestEveryEnumHasShortNames(t *testing.T) {
	enums := 0
	for _, d := range contract(t) {
		for i := range d.Enums().Len() {
			enums++
			e := d.Enums().Get(i)
			seen := map[string]protoreflect.Name{}
			for j := range e.Values().Len() {
				v := e.Values().Get(j)
				one := dynamicpb.NewEnumType(e).New(v.Number())
				short := plain.Enum(one)
				if (short == "") != (v.Number() == 0) {
					t.Errorf("%s is shown as %q; only the unspecified value is empty", v.FullName(), short)
				}
				if short != "" && !strings.HasSuffix(string(v.Name()), "_"+short) || short == string(v.Name()) {
					t.Errorf("%s is shown as %q, which is not its name without the prefix", v.FullName(), short)
				}
				if other, twice := seen[short]; twice {
					t.Errorf("%s and %s are both shown as %q", other, v.Name(), short)
				}
				seen[short] = v.Name()
				if back, ok := plain.Value(one, short); short != "" && (!ok || back != v.Number()) {
					t.Errorf("%q leads back to %d, want %s", short, back, v.Name())
				}
			}
		}
	}
	if enums < 30 {
		t.Errorf("%d enums seen; is the registry complete?", enums)
	}
}

func TestMapPresence(t *testing.T) {
	home := plain.Map(&posternv1.ChildHome{})
	if want := []string{"address_lines", "postcode", "same_as_child"}; !slices.Equal(keys(home), want) {
		t.Errorf("an empty home has %q, want %q: scalars and lists always, messages when set", keys(home), want)
	}
	if lines, ok := home["address_lines"].([]any); !ok || len(lines) != 0 {
		t.Errorf("an empty list is %#v, want an empty list and not null", home["address_lines"])
	}
	identity := plain.Map(&posternv1.ChildIdentity{Born: &posternv1.ChildIdentity_AgeYears{}})
	if age, ok := identity["age_years"]; !ok || age != uint64(0) {
		t.Errorf("a set member of a oneof is %#v, want 0: its presence says which was chosen", age)
	}
	if _, ok := identity["date_of_birth"]; ok {
		t.Error("a member of a oneof that is not set is shown")
	}
	if got := plain.Map((*posternv1.ChildHome)(nil)); !slices.Equal(keys(got), keys(home)) {
		t.Errorf("nil has %q, want as the empty message", keys(got))
	}
}

func TestJSONIsGolden(t *testing.T) {
	got, err := plain.JSON(&posternv1.Consent{
		Id:             "5f0c1f0e-2b2a-4c55-9a55-000000000001",
		Version:        2,
		State:          posternv1.ConsentState_CONSENT_STATE_GIVEN,
		Children:       []uint32{1, 2},
		Sections:       []string{"child/1/home"},
		FollowsChild:   true,
		Notice:         &posternv1.Notice{Id: "<notice>", Sha256: []byte{0xff, 0xfe, 0xfd}},
		GiveTime:       timestamppb.New(time.Date(2026, 11, 22, 9, 30, 0, 0, time.FixedZone("BST", 3600))),
		EvidenceSha256: nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "ask_again_date": "",
  "authorities": [],
  "capacity_concern": false,
  "children": [
    1,
    2
  ],
  "evidence_sha256": "",
  "follows_child": true,
  "give_time": "2026-11-22T08:30:00Z",
  "grantor_under_18": false,
  "id": "5f0c1f0e-2b2a-4c55-9a55-000000000001",
  "jurisdiction": "",
  "method": "",
  "notice": {
    "id": "<notice>",
    "interpreter": false,
    "language": "",
    "read_aloud": false,
    "sha256": "//79"
  },
  "sections": [
    "child/1/home"
  ],
  "slip_given": false,
  "state": "GIVEN",
  "understood": "",
  "version": 2
}
`
	if string(got) != want {
		t.Errorf("JSON is\n%s\nwant\n%s", got, want)
	}
}

// TestMapAgainstProtojson holds Map against the other way to JSON, for every message of the contract and any content:
// the same fields are there and say the same.
func TestMapAgainstProtojson(t *testing.T) {
	var messages []protoreflect.MessageType
	for _, d := range contract(t) {
		for i := range d.Messages().Len() {
			mt, err := protoregistry.GlobalTypes.FindMessageByName(d.Messages().Get(i).FullName())
			if err != nil {
				t.Fatal(err)
			}
			messages = append(messages, mt)
		}
	}
	const stride = 16 // a run takes one message in so many: all in every run would be slow, one in each would leave some out
	rapid.Check(t, func(t *rapid.T) {
		for i := rapid.IntRange(0, stride-1).Draw(t, "first"); i < len(messages); i += stride {
			m := messages[i].New()
			fill(t, m, 3)
			before := proto.Clone(m.Interface())
			data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m.Interface())
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			same(t, string(m.Descriptor().Name()), m.Descriptor(), plain.Map(m.Interface()), want)
			a, errA := plain.JSON(m.Interface())
			b, errB := plain.JSON(before)
			if errA != nil || errB != nil || !bytes.Equal(a, b) || !json.Valid(a) {
				t.Fatalf("JSON of equal messages differs: %v %v\n%s\n%s", errA, errB, a, b)
			}
			if !proto.Equal(before, m.Interface()) {
				t.Fatal("Map changed the message")
			}
		}
	})
}

// contract is every file of the three protocol packages.
func contract(t *testing.T) []protoreflect.FileDescriptor {
	t.Helper()
	var files []protoreflect.FileDescriptor
	for _, p := range []protoreflect.FullName{posternv1.File_postern_v1_form_proto.Package(),
		logv1.File_postern_log_v1_log_proto.Package(), localv1.File_postern_local_v1_local_proto.Package()} {
		protoregistry.GlobalFiles.RangeFilesByPackage(p, func(f protoreflect.FileDescriptor) bool {
			files = append(files, f)
			return true
		})
	}
	return files
}

// fill sets some fields of m to anything.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	if ts, ok := m.Interface().(*timestamppb.Timestamp); ok {
		ts.Seconds = rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds") // the years 1 to 9999
		ts.Nanos = rapid.Int32Range(0, 999999999).Draw(t, "nanos")
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() != nil && depth == 0 || !rapid.Bool().Draw(t, "set") {
			continue
		}
		if !f.IsList() {
			m.Set(f, value(t, f, m.NewField(f), depth))
			continue
		}
		l := m.Mutable(f).List()
		for range rapid.IntRange(0, 2).Draw(t, "length") {
			l.Append(value(t, f, l.NewElement(), depth))
		}
	}
}

// value draws a value for a field; empty is the empty one.
func value(t *rapid.T, f protoreflect.FieldDescriptor, empty protoreflect.Value, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		fill(t, empty.Message(), depth-1)
		return empty
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(rapid.IntRange(0, values.Len()-1).Draw(t, "enum")).Number())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "bytes"))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.StringN(0, 8, -1).Draw(t, "string"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "int32"))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "uint32"))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "int64"))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "uint64"))
	}
	t.Fatalf("%s is of kind %v, which the contract did not use before; teach this test", f.FullName(), f.Kind())
	return protoreflect.Value{}
}

// same compares Map's value of a message with what protojson says.
func same(t *rapid.T, at string, d protoreflect.MessageDescriptor, got, want map[string]any) {
	if !slices.Equal(keys(got), keys(want)) {
		t.Fatalf("%s has fields %q, want %q", at, keys(got), keys(want))
	}
	for name := range want {
		f := d.Fields().ByName(protoreflect.Name(name))
		if !f.IsList() {
			sameValue(t, at+"."+name, f, got[name], want[name])
			continue
		}
		g, w := got[name].([]any), want[name].([]any)
		if len(g) != len(w) {
			t.Fatalf("%s.%s has %d elements, want %d", at, name, len(g), len(w))
		}
		for i := range w {
			sameValue(t, fmt.Sprintf("%s.%s[%d]", at, name, i), f, g[i], w[i])
		}
	}
}

func sameValue(t *rapid.T, at string, f protoreflect.FieldDescriptor, got, want any) {
	var equal bool
	switch f.Kind() {
	case protoreflect.MessageKind:
		if w, ok := want.(map[string]any); ok {
			same(t, at, f.Message(), got.(map[string]any), w)
			return
		}
		g, errG := time.Parse(time.RFC3339Nano, got.(string))
		w, errW := time.Parse(time.RFC3339Nano, want.(string))
		equal = errG == nil && errW == nil && g.Equal(w) && strings.HasSuffix(got.(string), "Z")
	case protoreflect.EnumKind:
		long := want.(string)
		equal = got == "" && strings.HasSuffix(long, "_UNSPECIFIED") || got != "" && strings.HasSuffix(long, "_"+got.(string))
	case protoreflect.Int32Kind:
		equal = float64(got.(int64)) == want
	case protoreflect.Uint32Kind:
		equal = float64(got.(uint64)) == want
	case protoreflect.Int64Kind:
		equal = strconv.FormatInt(got.(int64), 10) == want
	case protoreflect.Uint64Kind:
		equal = strconv.FormatUint(got.(uint64), 10) == want
	default: // strings, booleans, and bytes as base64 in both
		equal = got == want
	}
	if !equal {
		t.Fatalf("%s is %#v, want %#v", at, got, want)
	}
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func TestEveryWordOfADecisionIsInBothLanguages(t *testing.T) {
	for kind, values := range map[string]protoreflect.EnumValueDescriptors{
		"outcome.":    posternv1.Outcome(0).Descriptor().Values(),
		"kind.":       logv1.Kind(0).Descriptor().Values(),
		"obligation.": posternv1.ObligationKind(0).Descriptor().Values(),
	} {
		for i := range values.Len() {
			var short string
			switch n := values.Get(i).Number(); kind {
			case "outcome.":
				short = plain.Enum(posternv1.Outcome(n))
			case "kind.":
				short = plain.Enum(logv1.Kind(n))
			default:
				short = plain.Enum(posternv1.ObligationKind(n))
			}
			for _, lang := range []words.Language{words.English, words.Welsh} {
				if id := kind + strings.ToLower(short); short != "" && !lang.Has(id) {
					t.Errorf("%s has no words in %s", id, lang)
				}
			}
		}
	}
	for _, s := range section.All() {
		for _, lang := range []words.Language{words.English, words.Welsh} {
			if !lang.Has("section." + s.Name) {
				t.Errorf("the section %s has no name in %s", s.Pattern, lang)
			}
		}
	}
}

func TestADecisionInWelsh(t *testing.T) {
	d := &posternv1.Decision{
		Outcome: posternv1.Outcome_OUTCOME_REFER_TO_PERSON,
		Children: []*posternv1.ChildDecision{{Number: 2, Outcome: posternv1.Outcome_OUTCOME_REFER_TO_PERSON, Reasons: []*posternv1.Reason{
			{RuleId: "too_old", Text: "English", Paths: []string{"child/2/home", "parent/name"}}, {RuleId: "not_a_rule", Text: "Only English"}}}},
		Obligations: []*posternv1.Obligation{{Kind: posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE, PhoneNumber: "101", ChildNumber: 2,
			DueTime: timestamppb.New(time.Date(2026, 7, 3, 16, 0, 0, 0, time.UTC))}},
	}
	got := strings.Join(plain.DecisionIn(words.Welsh, d), "\n")
	for _, want := range []string{"Angen penderfyniad gan berson.", "Plentyn 2: angen penderfyniad gan berson.", "plentyn 2: cartref, rhiant: enw", "[too_old]",
		"Only English [not_a_rule]", "I'w wneud: plentyn 2: ffoniwch yr heddlu, 101, erbyn 3 Gorffennaf 2026 am 5:00pm."} {
		if !strings.Contains(got, want) {
			t.Errorf("the decision reads\n%s\nwithout %q", got, want)
		}
	}
}

func TestNothingHiddenIsShown(t *testing.T) {
	for s, want := range map[string]string{"Siân Ŵyn-ŷ": "Siân Ŵyn-ŷ", "a\u202eb": `a\u202eb`, "a\u200bb\ufeff": `a\u200bb\ufeff`, "a\nb": `a\u000ab`,
		"\x1b[31m": `\u001b[31m`, "שלום": "שלום"} {
		if got := plain.Visible(s); got != want {
			t.Errorf("%q shows as %q, want %q", s, got, want)
		}
	}
}

// TestEveryFieldAndAnswerOfASectionIsInBothLanguages: what a team reads and what a person is shown before it is sent.
func TestEveryFieldAndAnswerOfASectionIsInBothLanguages(t *testing.T) {
	has := func(id string, at protoreflect.FullName) {
		for _, lang := range []words.Language{words.English, words.Welsh} {
			if !lang.Has(id) {
				t.Errorf("%s has no words in %s: %s", at, lang, id)
			}
		}
	}
	seen := 0
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.Name() != "provenance" && m.Name() != "Provenance" {
				has("field."+string(f.Name()), f.FullName())
			}
			switch {
			case f.Message() != nil && f.Message().FullName() != "google.protobuf.Timestamp":
				walk(f.Message())
			case f.Enum() != nil:
				for j := 1; j < f.Enum().Values().Len(); j++ {
					one := dynamicpb.NewEnumType(f.Enum()).New(f.Enum().Values().Get(j).Number())
					id := "value." + snake(string(f.Enum().Name())) + "." + strings.ToLower(plain.Enum(one))
					has(id, f.Enum().FullName())
					if got := plain.EnumIn(words.Welsh, one); got != words.Welsh.Text(id, nil) {
						t.Errorf("%s reads %q in Welsh", id, got)
					}
					seen++
				}
			}
		}
	}
	for _, s := range section.All() {
		walk(s.New().ProtoReflect().Descriptor())
	}
	if seen < 60 {
		t.Errorf("only %d answers", seen)
	}
}

// snake is SomeWords as some_words.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

func TestASectionInWords(t *testing.T) {
	urgency := &posternv1.Urgency{Provenance: &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_PARENT_SAID, AsOfDate: "2026-07-03"},
		Reason: posternv1.UrgencyReason_URGENCY_REASON_CARER_UNDER_18, WhatWasSaid: "As said.",
		Calls:         []*posternv1.UrgencyCall{{Number: "01632 960001", CallTime: timestamppb.New(time.Date(2026, 7, 3, 20, 5, 0, 0, time.UTC)), Result: posternv1.CallResult_CALL_RESULT_NO_ANSWER}},
		ConsentSought: posternv1.Answer_ANSWER_NO}
	birth := &posternv1.ParentBirth{DateOfBirth: "1990-02-01"}
	for _, c := range []struct {
		got, want string
	}{
		{fmt.Sprint(plain.Lines(urgency)), "[{Why it is urgent the carer is under 18} {What was said As said.} {Calls number: 01632 960001; when: 3 July 2026 at 9:05pm; result: no answer} {The person was asked for permission no}]"},
		{fmt.Sprint(plain.LinesIn(words.Welsh, birth)), "[{Dyddiad geni 1 Chwefror 1990}]"},
		{plain.Provenance(urgency), "the parent said so, 3 July 2026"},
		{plain.ProvenanceIn(words.Welsh, urgency), "dywedodd y rhiant, 3 Gorffennaf 2026"},
		{plain.ProvenanceIn(words.Welsh, birth), "ni roddwyd ffynhonnell"},
	} {
		if c.got != c.want {
			t.Errorf("reads %s, want %s", c.got, c.want)
		}
	}
}

// A language is said by its name, and one without a name by its tag.
func TestALanguageIsSaidByItsName(t *testing.T) {
	for tag, want := range map[string]string{"cy": "Welsh", "bfi": "British Sign Language", "xx-YY": "xx-YY"} {
		if lines := plain.Lines(&posternv1.ParentLanguage{Language: tag}); len(lines) != 1 || lines[0].Value != want {
			t.Errorf("%s is said as %v", tag, lines)
		}
	}
}
