package site

import (
	"slices"
	"strconv"
	"strings"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// methods are how a person withdraws.
var methods = []struct{ value, text string }{
	{"FACE_TO_FACE", "case.method_face"}, {"PHONE", "case.method_phone"}, {"PAPER", "case.method_paper"}, {"OTHER", "case.method_other"},
}

func methodField(r *web.Request) web.Field {
	f := web.Field{Name: "method", Kind: web.One, Label: r.T("case.method")}
	for _, m := range methods {
		f.Options = append(f.Options, web.Option{Value: m.value, Text: r.T(m.text)})
	}
	return f
}

func methodOf(f *web.Form) posternv1.WithdrawalMethod {
	n, _ := plain.Value(posternv1.WithdrawalMethod(0), f.Text("method"))
	return posternv1.WithdrawalMethod(n)
}

// wholeChild is the number in a path that names a whole child, such as child/2.
func wholeChild(path string) (int, bool) {
	digits, ok := strings.CutPrefix(path, "child/")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// withdrawForm asks what the person takes back, and how they said so. A part is chosen by child and by section; of what
// another prison sent nobody here knows the parts.
func withdrawForm(r *web.Request, n *localv1.Notification, about *desk.About) *web.Form {
	what := web.Field{Name: "what", Kind: web.One, Label: r.T("case.withdraw_what"), Options: []web.Option{{Value: "ALL", Text: r.T("case.withdraw_all")}}}
	if !n.GetElsewhere() {
		part := web.Field{Name: "paths", Kind: web.Many, Label: r.T("case.withdraw_which")}
		if len(about.Children) > 1 {
			for i := range about.Children {
				part.Options = append(part.Options, web.Option{Value: "child/" + strconv.Itoa(i+1), Text: r.T("case.withdraw_child", "child", numberedChild(r, about.Children, i+1))})
			}
		}
		for _, x := range about.Sections {
			if x.Stand == desk.StandSent || x.Stand == desk.StandKept {
				part.Options = append(part.Options, web.Option{Value: x.Path, Text: capital(sectionWords(r, x.Path, about.Children))})
			}
		}
		if len(part.Options) > 1 {
			what.Options = append(what.Options, web.Option{Value: "PART", Text: r.T("case.withdraw_part"), Fields: []web.Field{part}})
		}
	}
	f := web.NewForm(what, methodField(r))
	f.Submit = "case.withdraw_button"
	return f
}

// sectionWords name a section with the child that it is about by name.
func sectionWords(r *web.Request, path string, children []string) string {
	name := plain.PathWordsIn(r.Language, path)
	if number, ok := section.ChildOf(path); ok && number <= len(children) && children[number-1] != "" {
		name += " (" + plain.Visible(children[number-1]) + ")"
	}
	return name
}

// withdrawing is what the page says of what a withdrawal can do and what it cannot.
type withdrawing struct {
	N    *localv1.Notification
	Can  string // the id of what it does
	Late string // the id of what cannot be undone; empty where nothing went
}

// canDo says honestly what a withdrawal of this notification does.
func canDo(n *localv1.Notification, about *desk.About) withdrawing {
	w := withdrawing{N: n, Can: "case.withdraw_stops"}
	switch {
	case about.Route == posternv1.Route_ROUTE_URGENT || about.Route == posternv1.Route_ROUTE_DUTY:
		w.Can, w.Late = "case.withdraw_objects", "case.withdraw_cannot_object"
	case n.GetElsewhere():
		w.Can, w.Late = "case.withdraw_elsewhere", "case.withdraw_cannot"
	case n.GetManual() != nil:
		w.Can, w.Late = "case.withdraw_by_hand", "case.withdraw_cannot"
	case n.GetShared() || len(n.GetMaybeSentSha256()) > 0:
		w.Can, w.Late = "case.withdraw_asks", "case.withdraw_cannot"
	}
	return w
}

func (s *site) withdraw(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	if !desk.ActionsOf(n).Withdraw && len(n.GetWithdrawals()) > 0 { // taken before: this is what came of it
		return web.SeeOther(here(r, "withdrawn")), nil
	}
	return withdrawView(r, n, about, withdrawForm(r, n, about)), nil
}

func withdrawView(r *web.Request, n *localv1.Notification, about *desk.About, f *web.Form) web.View {
	return web.View{Template: "withdraw", Form: f, Data: canDo(n, about), Back: here(r), About: n.GetReference()}
}

// doWithdraw takes a withdrawal. It needs nobody's approval, and the same again changes nothing.
func (s *site) doWithdraw(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	f := withdrawForm(r, n, about)
	f.Read(r)
	f.Require("case.say_what", "what")
	f.Require("case.say_method", "method")
	req := &localv1.WithdrawNotificationRequest{Id: n.GetId(), Method: methodOf(f)}
	if f.Text("what") == "PART" {
		f.Require("case.say_which", "paths")
		req.Paths = f.Choices("paths")
	}
	err = f.Err()
	if err == nil {
		_, err = s.desk.WithdrawNotification(r.Context(), req)
	}
	if fault.From(err).Reason == "NO_SLIP_CODE" {
		return web.SeeOther("/withdraw"), nil // another prison sent it, and the code is on the person's slip
	}
	if err != nil {
		return r.Again(withdrawView(r, n, about, f), inWords(r, err, map[string]string{"paths": "case.say_which", "method": "case.say_method"}))
	}
	return web.SeeOther(here(r, "withdrawn")), nil
}

// slipForm asks for what stands on a person's slip: with both, any prison can take a withdrawal.
func slipForm(r *web.Request) *web.Form {
	f := web.NewForm(
		web.Field{Name: "reference", Label: r.T("case.reference"), Hint: r.T("case.find_hint"), Width: 20},
		web.Field{Name: "code", Label: r.T("case.slip_code"), Hint: r.T("case.slip_code_hint"), Width: 20},
		methodField(r))
	f.Submit = "case.withdraw_button"
	return f
}

func (s *site) withdrawBySlip(r *web.Request) (web.Response, error) {
	return web.View{Template: "by_slip", Form: slipForm(r), Back: "/notifications"}, nil
}

// doWithdrawBySlip takes a withdrawal by the person's slip. Of one that is here the person is asked what they take back;
// of another prison's the hub is told, which keeps it even for a reference that it does not know yet.
func (s *site) doWithdrawBySlip(r *web.Request) (web.Response, error) {
	f := slipForm(r)
	f.Read(r)
	reference, badReference := envelope.ParseReference(f.Text("reference"))
	if badReference == nil {
		here, err := s.desk.GetNotification(r.Context(), &localv1.GetNotificationRequest{Id: reference})
		if err == nil && !here.GetNotification().GetElsewhere() || fault.From(err).Reason == "AMBIGUOUS" {
			return web.SeeOther(caseAt(reference, "withdraw")), nil
		}
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
	}
	code, badCode := envelope.ParseSlipCode(f.Text("code"))
	for path, wrong := range map[string]error{"reference": badReference, "code": badCode} {
		if wrong != nil {
			reason, fix := r.Language.Fault(slipFaults[path], nil)
			f.Fail(fault.Field{Path: path, Reason: reason, Fix: fix})
		}
	}
	f.Require("case.say_method", "method")
	err := f.Err()
	var out *localv1.WithdrawNotificationResponse
	if err == nil {
		out, err = s.desk.WithdrawNotification(r.Context(), &localv1.WithdrawNotificationRequest{Id: reference, SlipCode: code, Method: methodOf(f)})
	}
	if err != nil {
		return r.Again(web.View{Template: "by_slip", Form: f, Back: "/notifications"}, err)
	}
	return web.SeeOther(casePath(out.GetNotification(), "withdrawn")), nil
}

var slipFaults = map[string]string{"reference": "case.bad_reference", "code": "case.bad_code"}

// tookBack is what the page after a withdrawal says.
type tookBack struct {
	N       *localv1.Notification
	Title   string // the id
	What    string
	Came    string
	Pending bool
	Refused bool
	Slip    bool
}

// withdrawn confirms what was taken back, and says what came of it.
func (s *site) withdrawn(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	taken := n.GetWithdrawals()
	if len(taken) == 0 {
		return web.SeeOther(here(r)), nil
	}
	last := taken[len(taken)-1]
	who, _ := r.Person()
	d := tookBack{N: n, Title: "case.withdrawn", What: scopeWords(r, last.GetPaths(), about.Children), Came: cameOf(r, last),
		Pending: last.GetAnswer() == nil, Refused: refused(last.GetAnswer()), Slip: !n.GetElsewhere() && slices.ContainsFunc(fillsIn, who.Has)}
	if d.Refused {
		d.Title = "case.not_withdrawn"
	}
	return web.View{Template: "withdrawn", Data: d, Title: d.Title, About: n.GetReference(), Back: here(r)}, nil
}

// inWords puts the reader's words into the faults of fields, by the beginning of their paths: the desk's own name what a
// command would be given.
func inWords(r *web.Request, err error, words map[string]string) error {
	f := fault.From(err)
	if err == nil || f.Kind != fault.Invalid || len(f.Fields) == 0 {
		return err
	}
	fields := make([]fault.Field, len(f.Fields))
	for i, x := range f.Fields {
		fields[i] = x
		name, _, _ := strings.Cut(x.Path, "[")
		if id := words[name]; id != "" {
			fields[i].Reason, fields[i].Fix = r.Language.Fault(id, nil)
		}
	}
	return fault.InvalidFields(f.Reason, f.Message, fields)
}
