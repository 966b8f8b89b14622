package site

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/plain"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// passedOn are the words for where something stands that was passed on.
var passedOn = map[posternv1.RedirectState]string{
	posternv1.RedirectState_REDIRECT_STATE_UNSPECIFIED: "inbox.passed_on", posternv1.RedirectState_REDIRECT_STATE_SENT: "inbox.passed_on",
	posternv1.RedirectState_REDIRECT_STATE_DELIVERED: "inbox.passed_on_there", posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED: "inbox.passed_on_lost",
	posternv1.RedirectState_REDIRECT_STATE_NOT_SHARED: "inbox.passed_on_not",
}

// went is where something stands that was passed on, with who of the children went, where not all did.
func went(r *web.Request, p *localv1.PassedOn) string {
	name := p.GetName()
	var children []string
	for _, n := range p.GetChildren() {
		children = append(children, r.T("inbox.told_child", "number", n))
	}
	if len(children) > 0 {
		name += " (" + strings.Join(children, ", ") + ")"
	}
	return r.T(passedOn[p.GetState()], "name", name, "phone", p.GetPhone())
}

// whereForm asks where the child is: by a corrected postcode, or by an authority from the list.
func (s *site) whereForm(r *web.Request, known []*posternv1.Authority) *web.Form {
	list := web.Field{Name: "authority", Kind: web.List, Label: r.T("inbox.where_authority"), Options: []web.Option{{Text: r.T("inbox.where_choose")}}}
	for _, a := range known {
		list.Options = append(list.Options, web.Option{Value: a.GetCode(), Text: a.GetName()})
	}
	form := web.NewForm(web.Field{Name: "postcode", Label: r.T("inbox.where_postcode"), Hint: r.T("inbox.where_postcode_hint"), Width: 10}, list)
	return form
}

// where asks where the child is; with an authority in the address it asks whether to pass the notification on to it. What
// was typed as a postcode stays in the form: an address has codes of authorities only.
func (s *site) where(r *web.Request) (web.Response, error) {
	o, err := s.open(r)
	if err != nil {
		return nil, err
	}
	known, err := s.inbox.Authorities(r.Context())
	if err != nil {
		return nil, err
	}
	to := r.URL.Query().Get("to")
	if i := slices.IndexFunc(known, func(a *posternv1.Authority) bool { return a.GetCode() == to }); i >= 0 {
		return s.confirm(r, o, known[i]), nil
	}
	return web.View{Back: s.page(r), Form: s.whereForm(r, known), Template: "where", About: o.GetItem().GetReference()}, nil
}

// confirmation is what is shown before a notification is passed on.
type confirmation struct {
	Name, Jurisdiction string
	Phone              string
}

func (s *site) confirm(r *web.Request, o opened, a *posternv1.Authority) web.View {
	children := web.Field{Name: "children", Kind: web.Many, Label: r.T("inbox.pass_children")}
	for _, n := range o.GetItem().GetChildNumbers() {
		number := strconv.Itoa(int(n))
		children.Options = append(children.Options, web.Option{Value: number, Text: r.T("inbox.told_child", "number", number)})
		if !inbox.WithAnother(o.GetItem(), n) { // who went to another team goes along only if somebody says so
			children.Values = append(children.Values, number)
		}
	}
	f := web.NewForm(children)
	f.Submit = "inbox.pass_on"
	view := s.question(r, o, f)
	view.Back = s.page(r) + "/redirect"
	c := confirmation{Name: a.GetName()}
	for _, d := range a.GetFrontDoors() {
		if d.GetRole() == posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP {
			c.Name, c.Phone = d.GetName()+", "+a.GetName(), d.GetPhone()
		}
	}
	view.Template, view.Data, view.Title = "pass", c, "inbox.pass_page"
	return view
}

// passOn finds where the child is, and then passes the notification on. The same again changes nothing.
func (s *site) passOn(r *web.Request) (web.Response, error) {
	o, err := s.open(r)
	if err != nil {
		return nil, err
	}
	known, err := s.inbox.Authorities(r.Context())
	if err != nil {
		return nil, err
	}
	to := r.URL.Query().Get("to")
	i := slices.IndexFunc(known, func(a *posternv1.Authority) bool { return a.GetCode() == to })
	if i < 0 {
		return s.find(r, o, known)
	}
	view := s.confirm(r, o, known[i])
	f := view.Form
	f.Read(r)
	f.Require("inbox.pass_children_required", "children")
	if err := f.Err(); err != nil {
		return r.Again(view, err)
	}
	req := &localv1.RedirectItemRequest{Id: r.PathValue("reference"), Authority: to, SeenDeeds: seenIn(f)}
	for _, c := range f.Choices("children") {
		n, err := strconv.ParseUint(c, 10, 32)
		if err != nil {
			return nil, fault.New(fault.Invalid, "NO_CHILD", "That is not a child of it.")
		}
		req.Children = append(req.Children, uint32(n))
	}
	if len(req.Children) == len(o.GetItem().GetChildNumbers()) {
		req.Children = nil // all
	}
	if slices.ContainsFunc(o.GetItem().GetPassedOn(), func(p *localv1.PassedOn) bool {
		return p.GetAuthority() == to && !inbox.DidNotArrive(p) && slices.Equal(p.GetChildren(), req.GetChildren())
	}) {
		return web.SeeOther(s.page(r)), nil // a second press
	}
	out, err := s.inbox.RedirectItem(r.Context(), req)
	told := "inbox.pass_done"
	if out.GetPassedOn().GetState() == posternv1.RedirectState_REDIRECT_STATE_NOT_SHARED {
		told = "inbox.pass_not_shared"
	}
	return s.done(r, err, told)
}

// find leads from where the child is to the authority that is there.
func (s *site) find(r *web.Request, o opened, known []*posternv1.Authority) (web.Response, error) {
	f := s.whereForm(r, known)
	f.Read(r)
	view := web.View{Back: s.page(r), Form: f, Template: "where", About: o.GetItem().GetReference()}
	code := f.Text("authority")
	if code == "" {
		f.Require("inbox.where_required", "postcode")
		if err := f.Err(); err != nil {
			return r.Again(view, err)
		}
		var err error
		if code, err = s.inbox.AuthorityOf(f.Text("postcode")); err != nil {
			return r.Again(view, err)
		}
	}
	if !slices.ContainsFunc(known, func(a *posternv1.Authority) bool { return a.GetCode() == code }) {
		reason, fix := r.Language.Fault("inbox.where_unknown", nil)
		f.Fail(fault.Field{Path: "postcode", Reason: reason, Fix: fix})
		return r.Again(view, f.Err())
	}
	return web.SeeOther(s.page(r) + "/redirect?to=" + code), nil
}

// day is a civil day in words; what is no day stays as it is.
func day(r *web.Request, date string) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return plain.Visible(date)
	}
	return plain.Date(r.Language, t)
}
