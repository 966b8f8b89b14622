package signin

import (
	"context"
	"slices"

	"postern/internal/fault"
	"postern/internal/web"
)

// Persona is an invented person whom anybody may be in a trial.
type Persona struct {
	ID    string // as staff
	Name  string
	About string // what they do there
	Roles []string
}

// TrialBanner is the id of the words over every page of a trial.
const TrialBanner = "signin.trial"

// Trial is the way to sign in where nobody is real: by choosing a persona.
func Trial(personas []Persona) Way { return trial(personas) }

type trial []Persona

// Pages are the choice of a persona, and signing out.
func (t trial) Pages() []web.Page {
	return append([]web.Page{{Path: Path, Name: "signin.choose", Open: true, Get: t.ask, Post: t.take}},
		out(func(*web.Request) string { return outPage })...)
}

// Actions are none: signing out leads nowhere else.
func (trial) Actions() []string { return nil }

// Watch has nobody to sign out.
func (trial) Watch(context.Context, Sessions) {}

func (t trial) form(r *web.Request) *web.Form {
	who := web.Field{Name: "who", Kind: web.One, Label: r.T("signin.choose"), Hint: r.T("signin.choose_hint"), IsPageHeading: true}
	for _, p := range t {
		who.Options = append(who.Options, web.Option{Value: p.ID, Text: p.Name, Hint: p.About})
	}
	f := web.NewForm(who)
	f.Submit = "signin.enter"
	return f
}

func (t trial) ask(r *web.Request) (web.Response, error) { return web.View{Form: t.form(r)}, nil }

func (t trial) take(r *web.Request) (web.Response, error) {
	f := t.form(r)
	f.Read(r)
	i := slices.IndexFunc(t, func(p Persona) bool { return p.ID == f.Text("who") })
	if i < 0 {
		reason, fix := r.Language.Fault("signin.nobody", nil)
		return r.Again(web.View{Form: f}, fault.InvalidFields("NOBODY", reason, []fault.Field{{Path: "who", Reason: reason, Fix: fix}}))
	}
	if err := r.SignIn(web.Person{ID: t[i].ID, Name: t[i].Name, Roles: t[i].Roles}); err != nil {
		return nil, err
	}
	return web.SeeOther(r.To()), nil
}
