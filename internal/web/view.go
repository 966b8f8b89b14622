package web

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/web/ui"
	"postern/internal/words"
)

// Response is what a handler answers with: a View, a redirect or a File.
type Response interface {
	// write writes the answer to a buffer, and its headers to h, and returns the status.
	write(s *Site, r *Request, h http.Header, body *bytes.Buffer) (int, error)
}

// View is a page to show.
type View struct {
	Title    string // an id of words with nothing to fill in, the page's name by default
	Template string // the file in Config.Templates without .html; empty for a question, which is the form alone
	Data     any    // what the template shows
	Form     *Form
	Back     string // where the back link leads; empty for none
	About    string // the reference of what is shown, for the journal; nothing that names a person
	Status   int    // 200 by default
	Wide     bool   // for tables: the whole width
	Banner   string // an id of words said over this page, beside the site's own; such as that it is for practice
}

// Shown is what a template is given: the view, and what goes with it.
type Shown struct {
	View
	Language words.Language
	Request  string // its number
	Person   *Person

	site *Site
	r    *Request
}

// redirect sends a browser to another page after a form, so that going back or reloading sends nothing twice.
type redirect struct{ to string }

// SeeOther sends the browser to another page. No part of the address may name a person.
func SeeOther(to string) Response { return redirect{to} }

func (d redirect) write(_ *Site, _ *Request, h http.Header, _ *bytes.Buffer) (int, error) {
	h.Set("Location", d.to)
	return http.StatusSeeOther, nil
}

// File is something to keep: a slip, an export. Its name must not name a person.
type File struct {
	Name  string
	Kind  string // its media type
	Body  []byte
	About string // the reference of what it is about, for the journal
}

func (f File) write(_ *Site, _ *Request, h http.Header, body *bytes.Buffer) (int, error) {
	h.Set("Content-Type", f.Kind)
	h.Set("Content-Disposition", "attachment; filename="+strconv.Quote(f.Name))
	body.Write(f.Body)
	return http.StatusOK, nil
}

func (v View) write(s *Site, r *Request, h http.Header, body *bytes.Buffer) (int, error) {
	name := v.Template
	if name == "" {
		name = "question"
	}
	t, ok := s.templates[name]
	if !ok {
		return 0, fmt.Errorf("web: the page %s names the template %q, which is not there", r.page.Name, name)
	}
	v.Title = cmp.Or(v.Title, r.page.Name)
	shown := &Shown{View: v, Language: r.Language, Request: r.ID, site: s, r: r}
	if who, in := r.Person(); in {
		shown.Person = &who
	}
	if v.Form != nil {
		v.Form.language = r.Language
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(r.Language))
	if err := t.ExecuteTemplate(body, "layout.html", shown); err != nil {
		return 0, err
	}
	if v.Status != 0 {
		return v.Status, nil
	}
	return http.StatusOK, nil
}

// respond shows a page: whole in a buffer first, then in the journal, then to the reader.
func (s *Site) respond(r *Request, w http.ResponseWriter, response Response) error {
	var body bytes.Buffer
	head := http.Header{}
	status, err := response.write(s, r, head, &body)
	if err != nil {
		return err
	}
	if s.cfg.Journal != nil {
		seen := Viewing{At: s.cfg.Now(), Request: r.ID, Page: r.page.Name, Method: r.Method, Status: status, About: about(response)}
		who, in := r.Person()
		if !in {
			who = r.left // that they signed out is theirs too
		}
		seen.Person, seen.Roles = who.ID, who.Roles
		if err := s.cfg.Journal.Viewed(r.Context(), seen); err != nil {
			return fault.New(fault.Unavailable, "JOURNAL", "This page cannot be shown, because that it was seen cannot be recorded.").Because(err)
		}
	}
	s.send(r, w, head, status, body.Bytes())
	return nil
}

func about(response Response) string {
	switch response := response.(type) {
	case View:
		return response.About
	case File:
		return response.About
	default:
		return ""
	}
}

// mustRespond shows a page that says what is wrong, and no more: it is in no journal, since it shows nothing of anybody.
func (s *Site) mustRespond(r *Request, w http.ResponseWriter, response Response) {
	var body bytes.Buffer
	head := http.Header{}
	status, err := response.write(s, r, head, &body)
	if err != nil { // not even the page for errors can be shown: a mistake in a template of ours
		http.Error(w, "Something went wrong on our side. "+r.ID, http.StatusInternalServerError)
		return
	}
	s.send(r, w, head, status, body.Bytes())
}

func (s *Site) send(r *Request, w http.ResponseWriter, head http.Header, status int, body []byte) {
	maps.Copy(w.Header(), head)
	for _, c := range r.cookies {
		http.SetCookie(w, c)
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a browser that has gone away is nobody's fault
	}
}

//go:embed templates/*.html
var layouts embed.FS

// parse reads our templates and the site's: each page is our layout with its own content, and what several share.
func parse(cfg Config) (map[string]*template.Template, error) {
	base, err := template.New("").Option("missingkey=error").ParseFS(layouts, "templates/layout.html")
	if err != nil {
		return nil, err
	}
	if shared, err := shared(cfg.Templates); err != nil {
		return nil, err
	} else if len(shared) > 0 {
		if base, err = base.ParseFS(cfg.Templates, shared...); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	pages := map[string]*template.Template{}
	for _, from := range []fs.FS{sub(layouts, "templates"), cfg.Templates} {
		if from == nil {
			continue
		}
		names, err := fs.Glob(from, "*.html")
		if err != nil {
			return nil, err
		}
		for _, file := range names {
			name := strings.TrimSuffix(path.Base(file), ".html")
			if name == "layout" || strings.HasPrefix(name, "_") {
				continue
			}
			if pages[name] != nil {
				return nil, fmt.Errorf("web: the template %s is there twice", name)
			}
			page, err := base.Clone()
			if err == nil {
				page, err = page.ParseFS(from, file)
			}
			if err != nil {
				return nil, fmt.Errorf("web: %w", err)
			}
			if page.Lookup("content") == nil {
				return nil, fmt.Errorf("web: the template %s does not define content", name)
			}
			pages[name] = page
		}
	}
	return pages, nil
}

// shared are the templates that every page has.
func shared(from fs.FS) ([]string, error) {
	if from == nil {
		return nil, nil
	}
	return fs.Glob(from, "_*.html")
}

func sub(files embed.FS, dir string) fs.FS {
	in, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // the folder's name is a constant
	}
	return in
}

// text is the text of an id, with names and values in turn. A page with a mistake here shows the id, and a test finds it.
func text(l words.Language, id string, args []any) string {
	given := words.Args{}
	for i := 0; i+1 < len(args); i += 2 {
		given[fmt.Sprint(args[i])] = args[i+1]
	}
	return l.Text(id, given)
}

// T is the text of an id in the reader's language. Names and values follow in turn: {{.T "shop.waits" "days" 3}}.
func (s *Shown) T(id string, args ...any) string { return text(s.Language, id, args) }

// P is the text of an id as paragraphs, one a line.
func (s *Shown) P(id string, args ...any) template.HTML {
	var b strings.Builder
	for line := range strings.Lines(s.T(id, args...)) {
		b.WriteString(`<p class="govuk-body">` + template.HTMLEscapeString(strings.TrimSpace(line)) + "</p>\n")
	}
	return template.HTML(b.String())
}

// Asset is the address of an asset, empty when there is none of this name.
func (s *Shown) Asset(name string) string { return s.site.assets.address[name] }

// Config is the site's, for the layout.
func (s *Shown) Config() Config { return s.site.cfg }

// Faulty reports whether the page shows faults.
func (s *Shown) Faulty() bool { return s.Form != nil && len(s.Form.faults) > 0 }

// Errors is the summary of the faults of a page.
func (s *Shown) Errors() template.HTML {
	if !s.Faulty() {
		return ""
	}
	return s.Form.summary(s.T("web.problem")).HTML()
}

// Date is the day of a moment in the United Kingdom: 29 November 2026.
func (s *Shown) Date(t time.Time) string { return s.r.Date(t) }

// Clock is the time of day of a moment in the United Kingdom: 9:32am.
func (s *Shown) Clock(t time.Time) string { return s.r.Clock(t) }

// When is a moment as people in the United Kingdom read it: 29 November 2026 at 9:32am.
func (s *Shown) When(t time.Time) string { return s.r.When(t) }

func date(l words.Language, t time.Time) string {
	month := l.Text(fmt.Sprintf("month.m%02d", t.Month()), nil)
	return l.Text("month.date", words.Args{"day": t.Day(), "month": month, "year": t.Year()})
}

// Button is a button with a text, for a form that a template writes.
func (s *Shown) Button(id string) template.HTML {
	return ui.Button{Text: s.T(id), PreventDoubleClick: ui.On}.HTML()
}

var errNoForm = errors.New("web: the page has no form")

// Field is one field of the page's form, for a template that puts them where it wants.
func (s *Shown) Field(name string) (template.HTML, error) {
	if s.Form == nil {
		return "", errNoForm
	}
	return s.Form.field(name)
}
