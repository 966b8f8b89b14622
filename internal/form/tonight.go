package form

import (
	"bytes"
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	"postern/internal/plain"
	"postern/internal/postcode"
	posternv1 "postern/proto/postern/v1"
)

// Tonight reads the first question and the authorities of a form that may be anything but good: a child may be alone, so
// no fault of the form may stand before the numbers. It finds what it can: the answer, and the authorities that are
// chosen or that whole postcodes lie in, each once. Of a text that is no JSON only the answer is looked for.
func Tonight(data []byte, postcodes *postcode.Table) (answer posternv1.TonightAnswer, authorities []string) {
	answer = saidAnywhere(data)
	var f struct {
		Tonight  json.RawMessage   `json:"tonight"`
		Children []json.RawMessage `json:"children"`
	}
	if json.Unmarshal(data, &f) != nil {
		return answer, nil
	}
	var tonight posternv1.Tonight
	if protojson.Unmarshal(f.Tonight, &tonight) == nil && tonight.GetAnswer() != posternv1.TonightAnswer_TONIGHT_ANSWER_UNSPECIFIED {
		answer = tonight.GetAnswer() // also where it is written as a number
	}
	add := func(code string) {
		if authorityShape.MatchString(code) && !slices.Contains(authorities, code) {
			authorities = append(authorities, code)
		}
	}
	for _, raw := range f.Children {
		var child struct {
			Authority any `json:"authority"`
			Home      struct {
				Postcode any `json:"postcode"`
			} `json:"home"`
		}
		_ = json.Unmarshal(raw, &child) // whatever could be read is there all the same
		if code, ok := child.Authority.(string); ok {
			add(code)
		}
		if typed, ok := child.Home.Postcode.(string); ok {
			if code, err := postcode.Parse(typed); err == nil {
				add(postcodes.Lookup(code).Authority)
			}
		}
	}
	return answer, authorities
}

// saidAnywhere finds the answer by its word, which no other field uses: the one that alarms most, if there are several.
func saidAnywhere(data []byte) posternv1.TonightAnswer {
	for _, a := range []posternv1.TonightAnswer{posternv1.TonightAnswer_TONIGHT_ANSWER_YES, posternv1.TonightAnswer_TONIGHT_ANSWER_NOT_SURE,
		posternv1.TonightAnswer_TONIGHT_ANSWER_NO} {
		if bytes.Contains(data, []byte(`"TONIGHT_ANSWER_`+plain.Enum(a)+`"`)) {
			return a
		}
	}
	return posternv1.TonightAnswer_TONIGHT_ANSWER_UNSPECIFIED
}
