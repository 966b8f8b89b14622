package site

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
)

// request is what the printed request for support says.
type request struct {
	At, Reference, Prison, To, Phone, For string
	ReplyTo                               []string
	Parts                                 ui.Table
	Until                                 string
	Basis                                 string // the id
}

// request is the page to print for the manual route: what the person agreed to tell, and nothing else.
func (s *site) request(r *web.Request) (web.Response, error) {
	out, err := s.desk.GetRequestForSupport(r.Context(), &localv1.GetRequestForSupportRequest{Id: r.PathValue("reference")})
	if fault.From(err).Reason == "NO_MANUAL_ROUTE" {
		return web.SeeOther(caseAt(r.PathValue("reference"))), nil // sent by hand already, or never to be: its page says which
	}
	if err != nil {
		return nil, err
	}
	n, reply := out.GetNotification(), out.GetReplyTo()
	d := request{At: here(r), Reference: n.GetReference(), Basis: desk.RequestBasis(out.GetRoute()), Prison: out.GetPrison(), Phone: out.GetPhoneNumber(),
		To: together(n.GetAuthorityName(), out.GetFrontDoor()), For: together(n.GetChampion().GetRole(), n.GetChampion().GetPhone(), n.GetChampion().GetMailbox()),
		ReplyTo: slices.DeleteFunc([]string{reply.GetRole(), reply.GetPhone(), reply.GetMailbox(), reply.GetHours()}, func(s string) bool { return s == "" })}
	if d.To == "" {
		d.To = r.T("case.front_door_there")
	}
	d.Parts = ui.Table{Stack: true, FirstCellIsHeader: true}
	for _, id := range []string{"case.section", "case.what_it_says"} {
		d.Parts.Head = append(d.Parts.Head, ui.Cell{Text: r.T(id), Classes: "govuk-!-font-size-16"})
	}
	if end := out.GetConsentExpireTime(); end != nil {
		d.Until = r.Date(end.AsTime())
	}
	for _, opened := range out.GetSections() {
		sec, ok := section.Lookup(opened.GetPath())
		if !ok {
			return nil, fault.New(fault.Internal, "UNKNOWN_SECTION", "This version does not know a section it holds.")
		}
		m := sec.New()
		if err := proto.Unmarshal(opened.GetContent(), m); err != nil {
			return nil, fault.From(err)
		}
		var said []string
		for _, l := range plain.LinesIn(r.Language, m) {
			said = append(said, l.Label+": "+plain.Visible(l.Value))
		}
		row := []ui.Cell{{Text: capital(plain.PathWordsIn(r.Language, opened.GetPath()))}, {Text: strings.Join(said, "; ") + " (" + plain.ProvenanceIn(r.Language, m) + ")"}}
		for i := range row { // small, so that a family of two goes on one page
			row[i].Classes = "govuk-!-font-size-16 govuk-!-padding-top-1 govuk-!-padding-bottom-1"
		}
		row[1].Classes += " app-answer"
		d.Parts.Rows = append(d.Parts.Rows, row)
	}
	return web.View{Template: "request", Data: d, Back: here(r), About: n.GetReference(), Wide: true}, nil
}

// together puts together what is there, with commas.
func together(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// closureForm asks how a request was sent by hand, to whom and when.
func closureForm(r *web.Request, n *localv1.Notification) *web.Form {
	how := web.Field{Name: "how", Kind: web.One, Label: r.T("case.how")}
	for route := localv1.ManualRoute(1); manualWords[route] != ""; route++ {
		how.Options = append(how.Options, web.Option{Value: plain.Enum(route), Text: capital(r.T(manualWords[route]))})
	}
	fields := []web.Field{how, {Name: "to", Label: r.T("case.to_whom"), Hint: r.T("case.to_whom_hint"), Value: n.GetAuthorityName()}}
	f := web.NewForm(append(fields, momentFields(r, "send_time")...)...)
	f.Submit = "case.close_button"
	return f
}

func closureView(r *web.Request, n *localv1.Notification, f *web.Form) web.View {
	return web.View{Form: f, Back: here(r), About: n.GetReference()}
}

func (s *site) closeManual(r *web.Request) (web.Response, error) {
	n, _, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	if !desk.ActionsOf(n).Close {
		return web.SeeOther(here(r)), nil
	}
	return closureView(r, n, closureForm(r, n)), nil
}

// doCloseManual closes the manual route. The same again changes nothing.
func (s *site) doCloseManual(r *web.Request) (web.Response, error) {
	n, _, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	f := closureForm(r, n)
	f.Read(r)
	f.Require("case.say_how", "how")
	f.Require("case.say_to", "to")
	how, _ := plain.Value(localv1.ManualRoute(0), f.Text("how"))
	req := &localv1.CloseManualRequest{Id: n.GetId(), How: localv1.ManualRoute(how), To: f.Text("to"), SendTime: momentOf(r, f)}
	if err = f.Err(); err == nil {
		_, err = s.desk.CloseManual(r.Context(), req)
	}
	if fault.From(err).Reason == "NO_MANUAL_ROUTE" {
		return web.SeeOther(here(r)), nil
	}
	if err != nil {
		return r.Again(closureView(r, n, f), inWords(r, err, map[string]string{"how": "case.say_how", "to": "case.say_to", "send_time": "case.later_than_now"}))
	}
	if err := r.Tell("case.closed_by_hand"); err != nil {
		return nil, err
	}
	return web.SeeOther(here(r)), nil
}
