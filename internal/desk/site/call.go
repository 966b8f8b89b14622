package site

import (
	"html/template"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// momentFields ask when something was done, today at this minute until somebody says otherwise. The time is asked and not
// taken from when the form is sent: the same form twice is then the same call.
func momentFields(r *web.Request, path string) []web.Field {
	now := r.Now()
	return []web.Field{
		{Name: "day", Path: path, Kind: web.One, Label: r.T("case.day"), Value: "TODAY", Options: []web.Option{
			{Value: "TODAY", Text: r.T("case.today")}, {Value: "YESTERDAY", Text: r.T("case.yesterday")},
			{Value: "EARLIER", Text: r.T("case.earlier"), Fields: []web.Field{{Name: "date", Kind: web.Date, Label: r.T("case.which_day")}}}}},
		{Name: "clock", Path: path + ".clock", Label: r.T("case.clock"), Hint: r.T("case.clock_hint"), Width: 5, Value: r.Clock24(now)},
	}
}

// momentOf is the moment that the fields say; a fault of the form when they say none.
func momentOf(r *web.Request, f *web.Form) *timestamppb.Timestamp {
	day, ok := r.Now(), true
	switch f.Text("day") {
	case "YESTERDAY":
		day = day.AddDate(0, 0, -1)
	case "EARLIER":
		f.Require("case.say_day", "date")
		if day, ok = f.Day("date"); !ok {
			return nil
		}
	}
	at, ok := r.Local(day, f.Text("clock"))
	if !ok {
		reason, fix := r.Language.Fault("case.bad_clock", nil)
		f.Fail(fault.Field{Path: "clock", Reason: reason, Fix: fix})
		return nil
	}
	if at.After(r.Now().Add(time.Minute)) {
		reason, fix := r.Language.Fault("case.later_than_now", nil)
		f.Fail(fault.Field{Path: "clock", Reason: reason, Fix: fix})
	}
	return timestamppb.New(at)
}

// resultField asks how a call ended, and whoever answered who they are.
func resultField(r *web.Request) web.Field {
	return web.Field{Name: "result", Kind: web.One, Label: r.T("case.call_result"), Options: []web.Option{
		{Value: "ANSWERED", Text: r.T("case.result_answered"), Fields: []web.Field{
			{Name: "who", Label: r.T("case.call_who"), Hint: r.T("case.call_who_hint"), Width: 30},
			{Name: "reference", Label: r.T("case.call_reference"), Hint: r.T("case.call_reference_hint"), Width: 20}}},
		{Value: "NO_ANSWER", Text: r.T("case.result_no_answer")},
		{Value: "EMERGENCY_999", Text: r.T("case.result_999")},
	}}
}

func callForm(r *web.Request, about *desk.About) *web.Form {
	fields := []web.Field{resultField(r), {Name: "number", Label: r.T("case.call_number"), Hint: r.T("case.call_number_hint"), Width: 20, InputMode: "tel"}}
	fields = append(fields, momentFields(r, "call_time")...)
	if len(about.Children) > 1 {
		child := web.Field{Name: "child", Path: "child_number", Kind: web.One, Label: r.T("case.call_child"), Value: "0", Options: []web.Option{{Value: "0", Text: r.T("case.all_children")}}}
		for i := range about.Children {
			child.Options = append(child.Options, web.Option{Value: strconv.Itoa(i + 1), Text: numberedChild(r, about.Children, i+1)})
		}
		fields = append(fields, child)
	}
	f := web.NewForm(fields...)
	f.Submit = "case.call_button"
	return f
}

// calling is what stands above the questions about a call: whom to telephone at this hour.
type calling struct {
	N       *localv1.Notification
	Numbers template.HTML
}

func (s *site) call(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	return s.callView(r, n, callForm(r, about))
}

func (s *site) callView(r *web.Request, n *localv1.Notification, f *web.Form) (web.View, error) {
	req := &localv1.TonightRequest{}
	if n.GetAuthority() != "" {
		req.Authorities = []string{n.GetAuthority()}
	}
	numbers, err := s.desk.Tonight(r.Context(), req)
	if err != nil {
		return web.View{}, err
	}
	return web.View{Template: "call", Form: f, Data: calling{N: n, Numbers: s.phones(r, numbers.GetNumbers())}, Back: here(r), About: n.GetReference()}, nil
}

// callFaults are the words for what is wrong with a call.
var callFaults = map[string]string{"result": "case.say_result", "number": "case.say_number", "call_time": "case.bad_call_time",
	"who": "case.too_long", "reference": "case.too_long", "child_number": "case.say_child"}

// doCall records a call. The same again changes nothing.
func (s *site) doCall(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	f := callForm(r, about)
	f.Read(r)
	f.Require("case.say_result", "result")
	req := &localv1.RecordCallRequest{Id: n.GetId(), Result: resultOf(f), CallTime: momentOf(r, f), Number: f.Text("number")}
	if req.Result == posternv1.CallResult_CALL_RESULT_ANSWERED {
		req.Who, req.Reference = f.Text("who"), f.Text("reference")
	}
	if child, err := strconv.Atoi(f.Text("child")); err == nil && child > 0 {
		req.ChildNumber = uint32(child)
	}
	err = f.Err()
	if err == nil {
		_, err = s.desk.RecordCall(r.Context(), req)
	}
	if err != nil {
		view, failed := s.callView(r, n, f)
		if failed != nil {
			return nil, failed
		}
		return r.Again(view, inWords(r, err, callFaults))
	}
	if err := r.Tell("case.call_recorded"); err != nil {
		return nil, err
	}
	return web.SeeOther(here(r)), nil
}

func resultOf(f *web.Form) posternv1.CallResult {
	n, _ := plain.Value(posternv1.CallResult(0), f.Text("result"))
	return posternv1.CallResult(n)
}
