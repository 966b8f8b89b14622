package engine

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/plain"
	"postern/internal/section"
	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

type schema struct {
	Enum                 []string          `json:"enum"`
	Type                 string            `json:"type"`
	Description          string            `json:"description"`
	AdditionalProperties *bool             `json:"additionalProperties"`
	Required             []string          `json:"required"`
	Properties           map[string]schema `json:"properties"`
	Items                *schema           `json:"items"`
}

func inputSchema(t *testing.T) schema {
	t.Helper()
	var s schema
	if err := json.Unmarshal([]byte(policy.InputSchema), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// full is an input with everything that may be absent.
func full() *Input {
	in := family()
	in.Consideration = &Consideration{Paths: []string{"child/1/home"}, NotMoreDetrimental: []int{1}}
	in.Calls = []Call{{Time: in.Now, Result: "ANSWERED"}}
	return in
}

// TestSchemaDescribesTheInput holds keys and schema together in both directions, so that rules compile against what
// they will see and nothing else.
func TestSchemaDescribesTheInput(t *testing.T) {
	var v any
	if err := json.Unmarshal(marshal(full().value()), &v); err != nil {
		t.Fatal(err)
	}
	absent := map[string]bool{"consideration": true, "age_years": true}
	var compare func(path string, s schema, v any)
	compare = func(path string, s schema, v any) {
		switch v := v.(type) {
		case map[string]any:
			if keys, want := slices.Sorted(maps.Keys(v)), slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(keys, want) {
				t.Errorf("%s has %v, its schema %v", path, keys, want)
			}
			if s.AdditionalProperties == nil || *s.AdditionalProperties {
				t.Errorf("%s allows other keys", path)
			}
			for key, child := range v {
				if required := slices.Contains(s.Required, key); required == absent[key] {
					t.Errorf("%s.%s is required: %v", path, key, required)
				}
				compare(path+"."+key, s.Properties[key], child)
			}
		case []any:
			if s.Items == nil && s.Type == "" && strings.Contains(s.Description, "set") {
				return // names of sections: a set to rules, which JSON schema has no word for
			}
			if s.Type != "array" || s.Items == nil {
				t.Errorf("%s is a list", path)
				return
			}
			for _, item := range v {
				compare(path+"[]", *s.Items, item)
			}
		case string:
			if s.Type != "string" || s.Enum != nil && !slices.Contains(s.Enum, v) {
				t.Errorf("%s: %q does not fit", path, v)
			}
		case bool:
			if s.Type != "boolean" {
				t.Errorf("%s is a yes or no", path)
			}
		case float64:
			if s.Type != "integer" {
				t.Errorf("%s is a number", path)
			}
		}
	}
	compare("input", inputSchema(t), v)
}

// TestSchemaKnowsEverySection: a new section must be a word that rules can use.
func TestSchemaKnowsEverySection(t *testing.T) {
	s := inputSchema(t)
	known := map[bool]map[string]schema{
		false: s.Properties["parent"].Properties["known"].Properties,
		true:  s.Properties["children"].Items.Properties["known"].Properties,
	}
	n := 0
	for _, row := range section.All() {
		if _, ok := known[row.PerChild][row.Name]; !ok {
			t.Errorf("%s is not in the schema", row.Pattern)
		}
		n++
	}
	if n != len(known[false])+len(known[true]) {
		t.Error("the schema has sections that the form has not")
	}
}

// TestSchemaKnowsEveryWord: a new enum value must be a word that rules can use.
func TestSchemaKnowsEveryWord(t *testing.T) {
	s := inputSchema(t)
	at := func(path ...string) []string {
		here := s
		for _, p := range path {
			if here.Items != nil {
				here = *here.Items
			}
			here = here.Properties[p]
		}
		return here.Enum
	}
	for _, c := range []struct {
		like protoreflect.Enum
		enum []string
	}{
		{posternv1.Route(0), at("route")}, {posternv1.Gate(0), at("gate")}, {posternv1.DestinationSource(0), at("destination_source")},
		{posternv1.ChangeReason(0), at("change_reason")}, {posternv1.ReceptionReason(0), at("reception", "reason")},
		{posternv1.EnquiryOutcome(0), at("enquiry", "outcome")}, {posternv1.NotAskedReason(0), at("enquiry", "not_asked_reason")},
		{posternv1.ConsentState(0), at("consent", "state")}, {posternv1.ConsentUnderstood(0), at("consent", "understood")},
		{posternv1.Answer(0), at("children", "carer_is_adult")}, {posternv1.Known(0), at("children", "known", "home")},
		{posternv1.CallResult(0), at("calls", "result")}, {posternv1.UrgencyReason(0), at("urgency", "reason")},
		{posternv1.StaffRole(0), at("urgency", "authorised_role")}, {posternv1.ConsiderationLaw(0), at("consideration", "law")},
	} {
		values := c.like.Descriptor().Values()
		var words []string
		for i := range values.Len() {
			words = append(words, plain.Enum(c.like.Type().New(values.Get(i).Number())))
		}
		if !slices.Equal(words, c.enum) {
			t.Errorf("%s has %v, the schema %v", c.like.Descriptor().Name(), words, c.enum)
		}
	}
}

func TestParseInputIsStrict(t *testing.T) {
	good := string(marshal(full().value()))
	if in, err := ParseInput([]byte(good)); err != nil || in.value().Compare(full().value()) != 0 {
		t.Errorf("%v", err)
	}
	for name, bad := range map[string]string{
		"nothing": "", "a list": "[]", "cut short": good[:len(good)-1], "something after it": good + "{}",
		"an unknown key":  strings.Replace(good, `"gate"`, `"gaet"`, 1),
		"an unknown fact": strings.Replace(good, `"carer_known"`, `"carer_knwon"`, 1),
		"another kind":    strings.Replace(good, `"unborn":false`, `"unborn":"no"`, 1),
	} {
		if _, err := ParseInput([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
