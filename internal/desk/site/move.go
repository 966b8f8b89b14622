package site

import (
	"slices"
	"strings"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// elsewhere is the answer for a prison that is not in the directory.
const elsewhere = "OTHER"

// moveForm asks to which prison the person has moved. Somebody who has moved may be back.
func (s *site) moveForm(r *web.Request, n *localv1.Notification) *web.Form {
	here := s.desk.Prison()
	to := web.Field{Name: "prison", Path: "prison_id", Kind: web.List, Label: r.T("case.moved_to"), Hint: r.T("case.moved_hint"), Value: n.GetMove().GetPrisonId(),
		Options: []web.Option{{Text: r.T("fill.choose")}}}
	if n.GetMove() != nil {
		to.Options = append(to.Options, web.Option{Value: here.GetId(), Text: r.T("case.moved_back")})
	}
	all := slices.DeleteFunc(s.desk.Prisons(), func(p *posternv1.Prison) bool { return p.GetId() == here.GetId() })
	slices.SortFunc(all, func(a, b *posternv1.Prison) int { return strings.Compare(a.GetName(), b.GetName()) })
	for _, p := range all {
		to.Options = append(to.Options, web.Option{Value: p.GetId(), Text: p.GetName()})
	}
	to.Options = append(to.Options, web.Option{Value: elsewhere, Text: r.T("case.moved_other")})
	f := web.NewForm(to)
	f.Submit = "case.moved_button"
	return f
}

func moveView(n *localv1.Notification, f *web.Form) web.View {
	return web.View{Form: f, Back: casePath(n), About: n.GetReference()}
}

func (s *site) move(r *web.Request) (web.Response, error) {
	n, _, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	if !desk.ActionsOf(n).Move {
		return web.SeeOther(here(r)), nil
	}
	return moveView(n, s.moveForm(r, n)), nil
}

// doMove records where the person has moved to. The same again changes nothing.
func (s *site) doMove(r *web.Request) (web.Response, error) {
	n, _, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	f := s.moveForm(r, n)
	f.Read(r)
	f.Require("case.say_moved", "prison")
	if err = f.Err(); err == nil {
		_, err = s.desk.RecordMove(r.Context(), &localv1.RecordMoveRequest{Id: n.GetId(), PrisonId: f.Text("prison")})
	}
	if fault.From(err).Reason == "ENDED" {
		return web.SeeOther(here(r)), nil
	}
	if err != nil {
		return r.Again(moveView(n, f), inWords(r, err, map[string]string{"prison_id": "case.say_moved"}))
	}
	if err := r.Tell("case.moved_recorded"); err != nil {
		return nil, err
	}
	return web.SeeOther(here(r)), nil
}

// movedTo is where the person has moved to, in words.
func movedTo(r *web.Request, m *localv1.RecordedMove) string {
	if m.GetPrisonName() == "" {
		return r.T("case.moved_somewhere")
	}
	return plain.Visible(m.GetPrisonName())
}

// readObjections records that the safeguarding lead has read what the person objected to. Again, it changes nothing.
func (s *site) readObjections(r *web.Request) (web.Response, error) {
	n, _, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	if desk.ActionsOf(n).Read {
		if _, err = s.desk.CloseObjections(r.Context(), &localv1.CloseObjectionsRequest{Id: n.GetId()}); err != nil {
			return nil, err
		}
		if err := r.Tell("case.objection_was_read"); err != nil {
			return nil, err
		}
	}
	return web.SeeOther(here(r)), nil
}
