package site

import (
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// tonight is the first question of all: it needs no name, no permission and no hub, and whoever may know of a child that
// is alone sees the numbers of this hour at once.
func (s *site) tonight() question {
	return question{path: "tonight", name: "desk.tonight",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			f := web.NewForm(web.Field{Name: "answer", Path: "tonight.answer", Kind: web.One, Label: r.T("desk.tonight"), Hint: r.T("desk.tonight_hint"), IsPageHeading: true,
				Options: []web.Option{{Value: "NO", Text: r.T("desk.tonight_no")}, {Value: "YES", Text: r.T("desk.tonight_yes")}, r.Or(), {Value: "NOT_SURE", Text: r.T("desk.tonight_not_sure")}}})
			f.Set("answer", plain.Enum(draft.GetForm().GetTonight().GetAnswer()))
			return f, nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("desk.tonight_say", "answer")
			n, _ := plain.Value(posternv1.TonightAnswer(0), f.Text("answer"))
			answer := posternv1.TonightAnswer(n)
			if was := draft.GetForm().GetTonight(); was.GetAnswer() != answer {
				draft.Form.Tonight = &posternv1.Tonight{Answer: answer, AskTime: timestamppb.New(s.now())}
			}
			return nil
		},
		next: func(r *web.Request, draft *localv1.Draft) string {
			if alarming(draft) {
				return draftPath(draft, "numbers")
			}
			return ""
		},
	}
}

// alarming reports whether a child may be alone tonight, or with someone under 18.
func alarming(draft *localv1.Draft) bool {
	return slices.Contains([]posternv1.TonightAnswer{posternv1.TonightAnswer_TONIGHT_ANSWER_YES, posternv1.TonightAnswer_TONIGHT_ANSWER_NOT_SURE}, draft.GetForm().GetTonight().GetAnswer())
}

// numbers shows whom to telephone at this hour: first the authorities where children of this draft live, and all of them
// while nobody knows. It asks nobody: the numbers are on this machine.
func (s *site) numbers(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	form, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(draft.GetForm())
	if err != nil {
		return nil, err
	}
	ask := &localv1.TonightRequest{FormJson: form}
	if !alarming(draft) { // whoever comes here all the same needs the numbers: it turned out later that nobody has a child
		ask = &localv1.TonightRequest{Authorities: s.councilsOf(r, draft)}
	}
	found, err := s.desk.Tonight(r.Context(), ask)
	if err != nil {
		return nil, err
	}
	data := map[string]any{"Numbers": s.phones(r, found.GetNumbers()),
		"Danger": ui.WarningText{Text: r.T("desk.danger"), IconFallbackText: r.T("desk.warning")}, "Next": ui.Button{Text: r.T("desk.numbers_done"), Href: after(r, draft, "tonight")}}
	return about(draft, web.View{Template: "numbers", Back: draftPath(draft, "tonight"), Data: data}), nil
}
