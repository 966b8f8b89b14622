// Package webtest reads a site in tests as a browser without scripts reads it: it keeps cookies, follows redirects when
// it is told to, fills in the forms that are on the page, and looks at what a page says.
//
// It sends a form as the page has it, so that a test which fills in a field that is not there fails. What needs scripts,
// styles or a screen is for internal/e2e and its real browser.
package webtest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser is somebody at a site.
type Browser struct {
	t       testing.TB
	site    http.Handler
	host    string
	cookies map[string]*http.Cookie

	Header http.Header // what goes with every request
}

// Open opens a browser at a site.
func Open(t testing.TB, site http.Handler) *Browser {
	return &Browser{t: t, site: site, host: "localhost", cookies: map[string]*http.Cookie{}, Header: http.Header{}}
}

// Cookies are the cookies that the browser has, by name.
func (b *Browser) Cookies() map[string]*http.Cookie { return b.cookies }

// Do sends a request. A form goes as a browser would send it; nil is none.
func (b *Browser) Do(method, target string, form url.Values) *Page {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Host = b.host
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://"+b.host)
	}
	for k, v := range b.Header {
		r.Header[k] = v
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.site.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return &Page{b: b, target: target, Status: w.Code, Header: w.Header(), Body: w.Body.String()}
}

// Get asks for a page.
func (b *Browser) Get(target string) *Page {
	b.t.Helper()
	return b.Do(http.MethodGet, target, nil)
}

// Page is what a site answered.
type Page struct {
	Status int
	Header http.Header
	Body   string

	b      *Browser
	target string
}

// Follow goes where a redirect leads, up to five times.
func (p *Page) Follow() *Page {
	p.b.t.Helper()
	for range 5 {
		if p.Status < 300 || p.Status > 399 {
			break
		}
		at, err := url.Parse(p.target)
		if err != nil {
			p.b.t.Fatal(err)
		}
		to, err := at.Parse(p.Header.Get("Location"))
		if err != nil {
			p.b.t.Fatal(err)
		}
		p = p.b.Get(to.RequestURI())
	}
	return p
}

// Elements are the elements of a page that want accepts.
func (p *Page) Elements(want func(*html.Node) bool) []*html.Node {
	p.b.t.Helper()
	root, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		p.b.t.Fatal(err)
	}
	var found []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && want(n) {
			found = append(found, n)
		}
	}
	return found
}

// Texts are the texts of the elements that want accepts, with single spaces.
func (p *Page) Texts(want func(*html.Node) bool) []string {
	p.b.t.Helper()
	var texts []string
	for _, n := range p.Elements(want) {
		texts = append(texts, Text(n))
	}
	return texts
}

// Title is the title of the page.
func (p *Page) Title() string { return strings.Join(p.Texts(Element("title")), "|") }

// Heading is the first heading of the page.
func (p *Page) Heading() string { return strings.Join(p.Texts(Element("h1")), "|") }

// Main is the text of the page without what is on every page.
func (p *Page) Main() string { return strings.Join(p.Texts(Element("main")), "|") }

// Errors are the lines of the error summary.
func (p *Page) Errors() []string {
	return p.Texts(func(n *html.Node) bool {
		return n.Data == "li" && n.Parent != nil && strings.Contains(Attribute(n.Parent, "class"), "govuk-error-summary__list")
	})
}

// Click follows the first link with a text.
func (p *Page) Click(text string) *Page {
	p.b.t.Helper()
	for _, n := range p.Elements(Element("a")) {
		if Text(n) == text {
			at, err := url.Parse(p.target)
			if err != nil {
				p.b.t.Fatal(err)
			}
			to, err := at.Parse(Attribute(n, "href"))
			if err != nil {
				p.b.t.Fatal(err)
			}
			return p.b.Get(to.RequestURI())
		}
	}
	p.b.t.Fatalf("%s has no link %q", p.target, text)
	return nil
}

// Submit sends the form of the page, with the answers it has and then those given. A name that is no field of it fails
// the test.
func (p *Page) Submit(answers url.Values) *Page {
	p.b.t.Helper()
	forms := p.Elements(func(n *html.Node) bool { return n.Data == "form" && within(n, "main") })
	if len(forms) != 1 {
		p.b.t.Fatalf("%s has %d forms", p.target, len(forms))
	}
	known, sent := answersOf(forms[0])
	for name, values := range answers {
		if !slices.Contains(known, name) {
			p.b.t.Fatalf("the form of %s has no field %q, but %q", p.target, name, known)
		}
		sent[name] = values
	}
	to := Attribute(forms[0], "action")
	if to == "" {
		to = p.target
	}
	return p.b.Do(http.MethodPost, to, sent)
}

// answersOf are the names of the fields of a form, and what it would send as it is.
func answersOf(form *html.Node) (known []string, sent url.Values) {
	sent = url.Values{}
	for n := range form.Descendants() {
		name := Attribute(n, "name")
		if n.Type != html.ElementNode || name == "" {
			continue
		}
		known = append(known, name)
		switch kind := Attribute(n, "type"); {
		case n.Data == "button":
		case n.Data == "textarea":
			sent.Add(name, Text(n))
		case n.Data == "select":
			sent.Add(name, chosen(n))
		case kind == "radio" || kind == "checkbox":
			if Has(n, "checked") {
				sent.Add(name, Attribute(n, "value"))
			}
		case kind != "file":
			sent.Add(name, Attribute(n, "value"))
		}
	}
	return known, sent
}

// chosen is the answer of a list: what is selected, or the first.
func chosen(list *html.Node) string {
	first, value := true, ""
	for n := range list.Descendants() {
		if n.Data == "option" && (first || Has(n, "selected")) {
			value, first = Attribute(n, "value"), false
		}
	}
	return value
}

// Element accepts the elements of a name.
func Element(name string) func(*html.Node) bool {
	return func(n *html.Node) bool { return n.Data == name }
}

// Attribute is the value of an attribute of an element.
func Attribute(n *html.Node, key string) string {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
	if i < 0 {
		return ""
	}
	return n.Attr[i].Val
}

// Has reports whether an element has an attribute.
func Has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

// Text is the text in an element, with single spaces.
func Text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func within(n *html.Node, name string) bool {
	for n = n.Parent; n != nil; n = n.Parent {
		if n.Data == name {
			return true
		}
	}
	return false
}
