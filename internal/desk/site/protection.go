package site

import (
	"postern/internal/desk"
	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// gates are the two lists of the task: what nobody has looked at, and what is held.
type gates struct {
	ToCheck, Held ui.Table
	AsOf          asOf
}

// protection lists what waits for the public-protection check, for whoever does it. No other role sees this page, and
// what they find is seen by nobody but them and the safeguarding lead.
func (s *site) protection(r *web.Request) (web.Response, error) {
	all, err := s.desk.ListAtGate(r.Context())
	if err != nil {
		return nil, err
	}
	head := func(caption string) ui.Table {
		t := ui.Table{Stack: true, Caption: r.T(caption), CaptionClasses: "govuk-table__caption--m"}
		for _, id := range []string{"case.person", "case.prison_number", "case.reference", "case.taken", "case.due"} {
			t.Head = append(t.Head, ui.Cell{Text: r.T(id)})
		}
		return t
	}
	g := gates{ToCheck: head("case.to_check"), Held: head("case.held"), AsOf: s.asOf(r)}
	for _, at := range all {
		n := at.Notifications[0]
		row := []ui.Cell{{Text: personName(at.Person)}, {Text: plain.Visible(at.Person.Number)},
			{Text: ui.Link{Href: "/protection/" + n.GetId(), Text: n.GetReference()}.HTML()},
			{Text: r.When(n.GetCreateTime().AsTime())}, {Text: dueTag(r, n)}}
		if at.Gate == posternv1.Gate_GATE_HOLD {
			g.Held.Rows = append(g.Held.Rows, row)
		} else {
			g.ToCheck.Rows = append(g.ToCheck.Rows, row)
		}
	}
	return web.View{Template: "protection", Data: g, Wide: true}, nil
}

// gateForm asks what the check found: two answers, and no words.
func gateForm(r *web.Request, at desk.AtGate) *web.Form {
	f := web.NewForm(web.Field{Name: "gate", Kind: web.One, Label: r.T("case.gate_question"), Hint: r.T("case.gate_hint"), Options: []web.Option{
		{Value: "NO_HOLD", Text: r.T("case.gate_no_hold"), Hint: r.T("case.gate_no_hold_hint")},
		{Value: "HOLD", Text: r.T("case.gate_hold"), Hint: r.T("case.gate_hold_hint")}}})
	if at.Gate == posternv1.Gate_GATE_HOLD {
		f.Set("gate", "HOLD")
	}
	f.Submit = "case.gate_button"
	return f
}

// atGate is the form at the check that the address names, by any of its notifications.
func (s *site) atGate(r *web.Request) (at desk.AtGate, n *localv1.Notification, err error) {
	out, err := s.desk.GetNotification(r.Context(), &localv1.GetNotificationRequest{Id: r.PathValue("reference")})
	if err != nil {
		return at, nil, err
	}
	all, err := s.desk.ListAtGate(r.Context())
	for _, g := range all {
		if g.Notifications[0].GetFormId() == out.GetNotification().GetFormId() {
			at = g
		}
	}
	return at, out.GetNotification(), err
}

func (s *site) gate(r *web.Request) (web.Response, error) {
	at, n, err := s.atGate(r)
	if err != nil {
		return nil, err
	}
	if len(at.Notifications) == 0 {
		return web.SeeOther("/protection"), nil // nothing of it waits for the check any more
	}
	return gateView(r, at, n, gateForm(r, at)), nil
}

func gateView(r *web.Request, at desk.AtGate, n *localv1.Notification, f *web.Form) web.View {
	var list ui.SummaryList
	for _, row := range []struct{ id, value string }{{"case.person", personName(at.Person)}, {"case.prison_number", at.Person.Number},
		{"case.reference", n.GetReference()}, {"case.taken", r.When(n.GetCreateTime().AsTime())}} {
		list.Rows = append(list.Rows, ui.SummaryRow{Key: ui.Words{Text: r.T(row.id)}, Value: ui.Words{Text: plain.Visible(row.value), Classes: "app-answer"}})
	}
	return web.View{Template: "gate", Form: f, Data: list, Back: "/protection", About: n.GetReference()}
}

// setGate sets what the check found. The same again changes nothing.
func (s *site) setGate(r *web.Request) (web.Response, error) {
	at, n, err := s.atGate(r)
	if err != nil {
		return nil, err
	}
	f := gateForm(r, at)
	f.Read(r)
	f.Require("case.say_gate", "gate")
	gate, _ := plain.Value(posternv1.Gate(0), f.Text("gate"))
	if err = f.Err(); err == nil {
		_, err = s.desk.SetGate(r.Context(), &localv1.SetGateRequest{Id: n.GetId(), Gate: posternv1.Gate(gate)})
	}
	if err != nil {
		return r.Again(gateView(r, at, n, f), inWords(r, err, map[string]string{"gate": "case.say_gate"}))
	}
	if err := r.Tell("case.gate_set"); err != nil {
		return nil, err
	}
	return web.SeeOther("/protection"), nil
}
