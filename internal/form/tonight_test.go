package form_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"pgregory.net/rapid"

	"postern/internal/form"
	"postern/internal/form/formtest"
	posternv1 "postern/proto/postern/v1"
)

func TestTheFirstQuestionIsReadWhateverIsWrong(t *testing.T) {
	const yes, unsure, no, none = posternv1.TonightAnswer_TONIGHT_ANSWER_YES, posternv1.TonightAnswer_TONIGHT_ANSWER_NOT_SURE,
		posternv1.TonightAnswer_TONIGHT_ANSWER_NO, posternv1.TonightAnswer_TONIGHT_ANSWER_UNSPECIFIED
	for text, want := range map[string]struct {
		answer posternv1.TonightAnswer
		codes  []string
	}{
		`{"tonight":{"answer":"TONIGHT_ANSWER_YES"},"children":[{"authority":"E06000023"}]}`:              {yes, []string{"E06000023"}},
		`{"tonight":{"answer":3},"children":[{"authority":"E06000023"},{"authority":"E06000023"}]}`:       {unsure, []string{"E06000023"}},
		`{"tonight":{"answer":"TONIGHT_ANSWER_NO"},"children":[]}`:                                        {no, nil},
		`{"tonight":{"answer":"TONIGHT_ANSWER_YES","nonsense":1},"children":[7,{"authority":9}]}`:         {yes, nil},
		`{"tonight":{"answer":"TONIGHT_ANSWER_NOT_SURE"},"children":[{"home":{"postcode":"zz99 1aa"}}]}`:  {unsure, []string{"E06000023"}},
		`{"tonight":{"answer":"TONIGHT_ANSWER_YES"},"children":[{"authority":"E0600","home":"nowhere"}]}`: {yes, nil},
		`{"tonight":{"answer":"TONIGHT_ANSWER_YES"},"children":"two"}`:                                    {yes, nil},
		`{"tonight":{"answer":"TONIGHT_ANSWER_YES"}, and then the file was cut`:                           {yes, nil},
		`nothing of the kind`: {none, nil},
		``:                    {none, nil},
	} {
		answer, codes := form.Tonight([]byte(text), sample(t))
		if answer != want.answer || !slices.Equal(codes, want.codes) {
			t.Errorf("%s: %v %q", text, answer, codes)
		}
	}
}

// What any form says first is heard, and so are the authorities it chose.
func TestTheFirstQuestionOfEveryForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Any(t)
		text, err := protojson.MarshalOptions{UseProtoNames: rapid.Bool().Draw(t, "proto names")}.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		answer, codes := form.Tonight(text, nil)
		if answer != f.GetTonight().GetAnswer() {
			t.Fatalf("heard %v, the form says %v", answer, f.GetTonight().GetAnswer())
		}
		for _, c := range f.GetChildren() {
			if !slices.Contains(codes, c.GetAuthority()) {
				t.Fatalf("%s is not among %q", c.GetAuthority(), codes)
			}
		}
	})
}
