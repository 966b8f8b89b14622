// Package ui is the components of the GOV.UK Design System as Go values: a struct with the options of the original macro,
// and HTML for what a browser gets.
//
// The templates are ports of GOV.UK Frontend 6.6 (and the timeline of MoJ Frontend 11.1) to html/template, held to the
// cases that govuk-frontend ships for its own macros; what differs on purpose is listed with its reason beside the test.
// A string is always escaped, wherever it ends up; only a value of type template.HTML is taken as markup. What the
// package does not do: choose words. The few English ones it falls back to are the macros' own, and a page in another
// language sets each of them.
package ui

import (
	"embed"
	"html/template"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Component is a part of a page.
type Component interface {
	// HTML is the component as a browser gets it.
	HTML() template.HTML
}

// Content is what a person reads: a string, which is escaped, or template.HTML, which is not.
type Content any

// Attributes are further attributes of an element. Names that carry code or style, or load something, are left out: the
// content security policy would stop them anyway, and so nobody needs to ask where a value came from.
type Attributes map[string]string

// Toggle is a setting that may be left to the browser or the script.
type Toggle string

// The values of a Toggle.
const (
	On  Toggle = "true"
	Off Toggle = "false"
)

//go:embed templates/*.html
var files embed.FS

var components = sync.OnceValue(func() *template.Template {
	funcs := template.FuncMap{"attributes": attributes, "isHTML": isHTML}
	return template.Must(template.New("ui").Funcs(funcs).ParseFS(files, "templates/*.html"))
})

// render fails only by a mistake in a template or in the struct it is given, which the cases of every component would
// have found: so it panics, and no page has to handle an error that cannot come.
func render(name string, data any) template.HTML {
	var b strings.Builder
	if err := components().ExecuteTemplate(&b, name, data); err != nil {
		panic(err)
	}
	return template.HTML(b.String())
}

var (
	attributeName = regexp.MustCompile(`^[a-z][a-z0-9.:-]*$`)
	carriesCode   = regexp.MustCompile(`^(on.*|style|src.*|href|action|formaction|data|poster|background|ping|cite|http-equiv|content)$`)
)

// attributes writes the attributes in the order of their names, each after a space.
func attributes(given Attributes) template.HTMLAttr {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !attributeName.MatchString(name) || carriesCode.MatchString(name) {
			continue
		}
		b.WriteString(" " + name + `="` + template.HTMLEscapeString(given[name]) + `"`)
	}
	return template.HTMLAttr(b.String())
}

func isHTML(c Content) bool {
	_, ok := c.(template.HTML)
	return ok
}

// join puts classes or ids together, with a space between those that are there.
func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}
