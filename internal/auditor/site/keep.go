package site

import (
	"net/url"
	"slices"
	"strings"

	"postern/internal/auditor"
	"postern/internal/fault"
	"postern/internal/web"
)

// questions are those of the page of decisions as they stand in an address, and nothing else that does.
func questions(r *web.Request) url.Values {
	kept := url.Values{}
	for name, values := range r.URL.Query() {
		base, _, _ := strings.Cut(name, "-") // since-day
		if slices.Contains([]string{auditor.Notification, auditor.Prison, auditor.Authority, auditor.Outcome, auditor.Rule, auditor.Kind, auditor.Since, auditor.Until}, base) {
			kept[name] = values[:1]
		}
	}
	return kept
}

// slip is a fault with the words of an id.
func (s *site) slip(r *web.Request, path, id string) fault.Field {
	reason, fix := r.Language.Fault(id, nil)
	return fault.Field{Path: path, Reason: reason, Fix: fix}
}

// searches lists what the auditor has saved.
func (s *site) searches(r *web.Request) (web.Response, error) {
	mine, err := s.audit.Searches(r.Context())
	if err != nil {
		return nil, err
	}
	return web.View{Template: "searches", Data: mine, Back: "/"}, nil
}

func saveForm(r *web.Request) *web.Form {
	f := web.NewForm(web.Field{Name: "name", Label: r.T("audit.search_name"), Hint: r.T("audit.search_name_hint"), Width: 30})
	f.Submit = "audit.search_save"
	return f
}

// nameSearch asks under which name to save the search that stands in the address.
func (s *site) nameSearch(r *web.Request) (web.Response, error) {
	return web.View{Form: saveForm(r), Back: "/?" + questions(r).Encode()}, nil
}

func (s *site) saveSearch(r *web.Request) (web.Response, error) {
	f := saveForm(r)
	f.Read(r)
	if name := f.Text("name"); name == "" || len([]rune(name)) > 60 {
		f.Fail(s.slip(r, "name", "audit.search_no_name"))
		return r.Again(web.View{Form: f, Back: "/?" + questions(r).Encode()}, f.Err())
	}
	if err := s.audit.SaveSearch(r.Context(), f.Text("name"), questions(r).Encode()); err != nil {
		return nil, err
	}
	if err := r.Tell("audit.search_saved"); err != nil {
		return nil, err
	}
	return web.SeeOther("/searches"), nil
}

func (s *site) deleteSearch(r *web.Request) (web.Response, error) {
	if err := s.audit.DeleteSearch(r.Context(), r.PathValue("id")); err != nil {
		return nil, err
	}
	return web.SeeOther("/searches"), r.Tell("audit.search_deleted")
}

// exporting says what an export of the current question has in it.
func (s *site) exporting(r *web.Request) (web.Response, error) {
	f := search(r)
	f.Read(r)
	if _, wrong := s.filter(r, f); len(wrong) > 0 {
		return web.SeeOther("/?" + questions(r).Encode()), nil // which says what is wrong
	}
	return web.View{Template: "export", Data: exported{Asked: questions(r), Most: auditor.MaxExtract}, Back: "/?" + questions(r).Encode()}, nil
}

// exported is what the page of an export shows.
type exported struct {
	Asked url.Values
	Most  int
}

// export gives the events that fit as a file. It is a form's answer, since to look at events is an event of the log.
func (s *site) export(r *web.Request) (web.Response, error) {
	f := search(r)
	f.Read(r)
	filter, wrong := s.filter(r, f)
	if len(wrong) > 0 {
		return nil, fault.New(fault.Invalid, "BAD_QUESTION", "Nothing can fit this question. Go back to the decisions and ask again.")
	}
	file, err := s.audit.Extract(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	return web.File{Name: "decisions.zip", Kind: "application/zip", Body: file, About: f.Text(auditor.Notification)}, nil
}
