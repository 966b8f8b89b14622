package subject

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// said are the messages whose fields a page shows, with those of their fields that it never shows.
var said = map[proto.Message][]string{
	&posternv1.Form{}: {"consent", "parent", "children", "urgency"}, &posternv1.Reception{}: nil, &posternv1.Tonight{}: nil, &posternv1.Consent{}: nil,
	&posternv1.Notice{}: nil, &posternv1.Witness{}: nil, &posternv1.ConsentWithdrawal{}: nil, &posternv1.LawfulBasis{}: nil, &posternv1.Call{}: nil,
	&posternv1.Consideration{}: nil, &localv1.GateSetting{}: nil, &localv1.RecordedCall{}: nil, &localv1.RecordedReview{}: nil, &localv1.RecordedMove{}: {"prison_id"},
	&localv1.RecordedConsideration{}: {"id", "codes", "answer"}, &localv1.ManualClosure{}: nil, &localv1.Task{}: nil, &posternv1.Reply{}: nil,
	&localv1.TakenWithdrawal{}: {"id", "answer", "objection", "carried"}, &localv1.Followup{}: nil, &localv1.Erasure{}: {"same_children"},
}

// further are fields of messages of which a page shows a few.
var further = []string{"state", "reference", "authority_name", "create_time", "slip_code", "obligations", "decision", "decide_time", "policy_revision", "erase_time", "expire_time",
	"begin_staff_id", "change_staff_id", "authority", "in_care", "address_confidential", "authority_checked", "reply", "tasks", "followups", "follows", "superseded_by", "reseals",
	"resealed_by", "same_as", "sections"}

// Whoever reads a copy reads it in their language: every field and every answer that may stand in it has words in both.
func TestEveryFieldAndAnswerOfACopyIsInBothLanguages(t *testing.T) {
	fields := slices.Clone(further)
	answers := map[string]bool{}
	for m, never := range said {
		all := m.ProtoReflect().Descriptor().Fields()
		for i := range all.Len() {
			f := all.Get(i)
			if slices.Contains(never, string(f.Name())) || f.Kind() == protoreflect.BytesKind {
				continue
			}
			fields = append(fields, string(f.Name()))
			for n := 1; f.Enum() != nil && n < f.Enum().Values().Len(); n++ {
				kind, short := string(f.Enum().Name()), string(f.Enum().Values().Get(n).Name())
				prefix := snake(kind)
				answers["value."+prefix+"."+strings.ToLower(strings.TrimPrefix(short, strings.ToUpper(prefix)+"_"))] = true
			}
		}
	}
	slices.Sort(fields)
	fields = slices.Compact(fields)
	for _, lang := range []words.Language{words.English, words.Welsh} {
		for _, f := range fields {
			if !lang.Has("field." + f) {
				t.Errorf("field.%s has no words in %s, and reads %q", f, lang, plain.FieldIn(lang, f))
			}
		}
		for id := range answers {
			if !lang.Has(id) {
				t.Errorf("%s has no words in %s", id, lang)
			}
		}
	}
}

// snake is the name of an enum as its values begin.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
