package form_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/form/formtest"
	posternv1 "postern/proto/postern/v1"
)

func TestAFormIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Valid(t)
		for _, o := range []protojson.MarshalOptions{
			{UseProtoNames: true}, {UseProtoNames: true, EmitUnpopulated: true, Indent: "  "}, {UseEnumNumbers: true},
		} {
			data, err := o.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			got, err := form.Decode(append([]byte("\ufeff"), append(data, "\r\n"...)...))
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if !proto.Equal(got, f) {
				t.Fatalf("read %v\nwant %v", got, f)
			}
		}
	})
}

func TestWhatIsNoFormIsRefusedWithTheReason(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want []string // paths, or words of the message when there is no field to name
	}{
		"nothing":                {"", []string{"empty"}},
		"no JSON":                {"{\n \"form_id\": \"x\",\n oops}", []string{"line 3"}},
		"half a form":            {`{"children": [`, []string{"end is missing"}},
		"two forms":              {"{}\n{}", []string{"line 2"}},
		"a form and more":        {"{}\n\n]", []string{"line 3"}},
		"another coding":         {"{\"prison_number\": \"\xff\"}", []string{"UTF-8"}},
		"a list":                 {`[]`, []string{"form"}},
		"null":                   {`null`, []string{"form"}},
		"a sender":               {`{"sender": {"prison_id": "BLI"}}`, []string{"sender"}},
		"a sender of a child":    {`{"children": [{"sender": 1}]}`, []string{"children[0].sender"}},
		"fields nobody knows":    {`{"offence": "x", "children": [{}, {"nhs_number": 1, "home": {"photo": 2}}]}`, []string{"offence", "children[1].nhs_number", "children[1].home.photo"}},
		"a value as a key":       {`{"children": [{"Zebedee Quill": 1}]}`, []string{"children[0]"}},
		"a field twice":          {`{"form_id": "a", "formId": "b"}`, []string{"form_id"}},
		"two births":             {`{"children": [{"identity": {"age_years": 3, "date_of_birth": "2020-01-01"}}]}`, []string{"children[0].identity.date_of_birth"}},
		"a birth and null":       {`{"children": [{"identity": {"age_years": null, "date_of_birth": "2020-01-01"}}]}`, nil},
		"an answer nobody knows": {`{"gate": "OPEN", "children": [{"carer": {"is_adult": "PERHAPS"}}]}`, []string{"gate", "children[0].carer.is_adult"}},
		"a need nobody knows":    {`{"children": [{"needs": {"codes": ["NEED_MONEY", "NEED_LOVE"]}}]}`, []string{"children[0].needs.codes[1]"}},
		"numbers for words":      {`{"prison_number": 7, "consent": {"children": [1, -2, 1.5, "x"]}}`, []string{"prison_number", "consent.children[1]", "consent.children[2]", "consent.children[3]"}},
		"words for lists":        {`{"children": {}, "consent": {"sections": "all"}}`, []string{"children", "consent.sections"}},
		"words for an object":    {`{"children": ["Zebedee", null]}`, []string{"children[0]", "children[1]"}},
		"a time in words":        {`{"consent": {"give_time": "yesterday"}}`, []string{"consent.give_time"}},
		"a yes for a truth":      {`{"consent": {"slip_given": "yes"}}`, []string{"consent.slip_given"}},
		"a digest in words":      {`{"consent": {"evidence_sha256": "signed!"}}`, []string{"consent.evidence_sha256"}},
		"half a letter":          {`{"children": [{"carer": {"name": "\ud800"}}]}`, []string{"children[0].carer.name"}},
		"too much":               {`{"prison_number": "` + strings.Repeat(" ", form.MaxSize) + `"}`, []string{"larger"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := form.Decode([]byte(tc.data))
			if tc.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("the error is %v, want fault.Invalid", err)
			}
			e := fault.From(err)
			if len(e.Fields) == 0 {
				if !strings.Contains(e.Message, tc.want[0]) {
					t.Errorf("the message is %q, want one with %q", e.Message, tc.want[0])
				}
				return
			}
			var got []string
			for _, field := range e.Fields {
				got = append(got, field.Path)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("faults at %q, want %q", got, tc.want)
			}
			for _, value := range []string{"Zebedee", "OPEN", "PERHAPS", "NEED_LOVE", "yesterday", "BLI", "2020-01-01"} {
				if strings.Contains(err.Error(), value) {
					t.Errorf("the fault repeats the value %q: %v", value, err)
				}
			}
		})
	}
}

func TestASenderIsRefusedWithTheFix(t *testing.T) {
	_, err := form.Decode([]byte(`{"sender": {}}`))
	if want := "The sender comes from the certificate and sign-in; remove it."; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the fault is %v, want the fix %q", err, want)
	}
}

func TestAFileThatIsNoFormGetsAShortAnswer(t *testing.T) {
	_, err := form.Decode([]byte(`{"children": [` + strings.Repeat(`{"x": 1},`, 5_000) + `{}]}`))
	if n := len(fault.From(err).Fields); n != 100 {
		t.Errorf("%d faults, want 100", n)
	}
}

// FuzzDecode: whatever Decode accepts, protojson accepts with the same result; whatever it refuses, it refuses with a
// reason of our own.
func FuzzDecode(f *testing.F) {
	seed, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(formtest.New(formtest.Bristol))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(seed), `{}`, `{"form_id": "a", "form_id": null}`, `{"children": [{"identity": {"age_years": 1e0}}]}`,
		`{"consent": {"give_time": "2026-11-22T10:00:00.5Z"}}`, `{"gate": 3}`, `{"gate": 99}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := form.Decode(data)
		if err != nil {
			e := fault.From(err)
			if e.Kind != fault.Invalid || e.Message == "" || e.Unwrap() != nil {
				t.Fatalf("refused without a reason of our own: %#v", e)
			}
			return
		}
		want := &posternv1.Form{}
		if err := protojson.Unmarshal([]byte(strings.TrimPrefix(string(data), "\ufeff")), want); err != nil || !proto.Equal(got, want) {
			t.Fatalf("protojson reads it as %v, %v; Decode as %v", want, err, got)
		}
	})
}
