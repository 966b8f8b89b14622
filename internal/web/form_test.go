package web_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/web"
	"postern/internal/web/webtest"
)

// everyKind is a form with a field of every kind, one under an answer.
func everyKind() *web.Form {
	yes := web.Option{Value: "YES", Text: "Yes", Hint: "A hint", Fields: []web.Field{{Name: "more", Path: "child.more", Label: "More"}}}
	return web.NewForm(
		web.Field{Name: "line", Path: "child.line", Label: "Line", Hint: "Hint", Width: 10},
		web.Field{Name: "lines", Path: "child.lines", Kind: web.Lines, Label: "Lines", Most: 100},
		web.Field{Name: "plain", Path: "child.plain", Kind: web.Lines, Label: "Plain"},
		web.Field{Name: "born", Path: "child.born", Kind: web.Date, Label: "Born"},
		web.Field{Name: "one", Path: "child.one", Kind: web.One, Label: "One", Options: []web.Option{yes, {Text: "or", Divider: true}, {Value: "NO", Text: "No"}}},
		web.Field{Name: "many", Path: "child.many", Kind: web.Many, Label: "Many", Options: []web.Option{{Value: "A", Text: "A"}, {Value: "B", Text: "B"}, {Value: "NONE", Text: "None"}}},
		web.Field{Name: "list", Path: "child.list", Kind: web.List, Label: "List", Options: []web.Option{{Value: "", Text: "Choose"}, {Value: "X", Text: "X"}}},
		web.Field{Name: "hidden", Kind: web.Hidden},
	)
}

// formSite is a site with that form, which fails with faults.
func formSite(t *testing.T, faults *[]fault.Field, got *[]string) *browser {
	b := newBench(t, func(c *web.Config) {
		c.MaxBody = 1 << 20
		c.Pages = append(c.Pages, web.Page{Path: "/form", Name: "web.day",
			Get: func(*web.Request) (web.Response, error) { return web.View{Form: everyKind()}, nil },
			Post: func(r *web.Request) (web.Response, error) {
				form := everyKind()
				form.Read(r)
				for _, name := range []string{"line", "lines", "plain", "born", "one", "list", "hidden", "more"} {
					*got = append(*got, form.Text(name))
				}
				*got = append(*got, form.Choices("many")...)
				return r.Again(web.View{Form: form}, fault.InvalidFields("X", "Faults.", *faults))
			}})
	})
	return b.browser(t).signIn()
}

// TestEveryFaultIsSaid holds that whatever a fault is about, its words stand in the summary once, and that a link of the
// summary leads to a control of the page that is marked as wrong.
func TestEveryFaultIsSaid(t *testing.T) {
	var faults []fault.Field
	var got []string
	in := formSite(t, &faults, &got)
	paths := []string{"child.line", "child.lines", "child.born", "child.born.year", "child.one", "child.more", "child.many[2]", "child.list",
		"child.linear", "child", "hidden", "other.thing", "", "line", "many"}
	rapid.Check(t, func(rt *rapid.T) {
		faults = nil
		for i, path := range rapid.SliceOfN(rapid.SampledFrom(paths), 1, 8).Draw(rt, "paths") {
			faults = append(faults, fault.Field{Path: path, Reason: fmt.Sprintf("Reason %d.", i), Fix: fmt.Sprintf("Fix <%d>.", i)})
		}
		w := in.Do("POST", "/form", url.Values{"line": {"x"}})
		if w.Status != 422 || !strings.HasPrefix(w.Title(), "Error: ") {
			rt.Fatalf("answered by %d %q", w.Status, w.Title())
		}
		items, ids := w.Errors(), map[string]bool{}
		for _, n := range w.Elements(func(n *html.Node) bool { return webtest.Has(n, "id") }) {
			ids[webtest.Attribute(n, "id")] = true
		}
		for _, f := range faults {
			want := f.Reason + " " + f.Fix
			if n := len(slices.DeleteFunc(slices.Clone(items), func(s string) bool { return s != want })); n != 1 {
				rt.Fatalf("%q stands %d times in %q", want, n, items)
			}
		}
		for _, n := range w.Elements(func(n *html.Node) bool { return n.Data == "a" && n.Parent.Data == "li" }) {
			if link, ok := strings.CutPrefix(webtest.Attribute(n, "href"), "#"); ok && !ids[link] {
				rt.Fatalf("the summary leads to %q, which is not there", link)
			}
		}
	})
}

// What somebody wrote is read as they wrote it, shown as text whatever it is, and there again when the page is shown again.
func TestAnswersAreKept(t *testing.T) {
	faults := []fault.Field{{Path: "child.line", Reason: "Wrong.", Fix: "Mend."}}
	var got []string
	in := formSite(t, &faults, &got)
	hostile := rapid.SampledFrom([]string{`"><script>alert(1)</script>`, `'onfocus='x`, "a\n\nb", `</textarea><script>x</script>`, "{{.}}", "é ŵ 中", "&amp;", `\`, "a\tb"})
	rapid.Check(t, func(rt *rapid.T) {
		got = nil
		lines, line := hostile.Draw(rt, "lines"), strings.ReplaceAll(hostile.Draw(rt, "line"), "\n", " ")
		page := in.Do("POST", "/form", url.Values{"line": {line}, "lines": {strings.ReplaceAll(lines, "\n", "\r\n")}, "one": {"YES"}, "more": {line},
			"many": {"A", "NONE"}, "list": {"X"}, "hidden": {line}, "born-day": {"1"}, "born-month": {"Feb"}, "born-year": {"2019"}})
		if want := []string{line, lines, "", "2019-02-01", "YES", "X", line, line, "A", "NONE"}; !slices.Equal(got, want) {
			rt.Fatalf("read %q, want %q", got, want)
		}
		shown := map[string]string{}
		page.Elements(func(n *html.Node) bool {
			switch name := webtest.Attribute(n, "name"); {
			case n.Data == "textarea" && n.FirstChild != nil:
				shown[name] = n.FirstChild.Data
			case n.Data == "input" && (webtest.Attribute(n, "type") == "radio" || webtest.Attribute(n, "type") == "checkbox"):
				if webtest.Has(n, "checked") {
					shown[name] += webtest.Attribute(n, "value")
				}
			case n.Data == "input":
				shown[name] = webtest.Attribute(n, "value")
			}
			return false
		})
		for name, want := range map[string]string{"line": line, "lines": lines, "more": line, "hidden": line, "one": "YES", "many": "ANONE",
			"born-day": "1", "born-month": "2", "born-year": "2019"} {
			if shown[name] != want {
				rt.Fatalf("%s shows %q, want %q", name, shown[name], want)
			}
		}
		if n := len(page.Elements(webtest.Element("script"))); n != 2 {
			rt.Fatalf("%d scripts are on the page", n)
		}
	})
}

func TestDays(t *testing.T) {
	for _, c := range []struct{ day, month, year, want string }{
		{"27", "3", "2019", "2019-03-27"}, {" 27 ", "03", "2019", "2019-03-27"}, {"1", "Mar", "2019", "2019-03-01"}, {"1", "mawrth", "2019", "2019-03-01"},
		{"1", "Sept", "2019", "2019-09-01"}, {"27/3/2019", "", "", "2019-03-27"}, {"27 March 2019", "", "", "2019-03-27"},
		{"31", "2", "2019", "fault"}, {"1", "13", "2019", "fault"}, {"1", "3", "19", "fault"}, {"", "3", "2019", "fault"}, {"x", "y", "z", "fault"},
		{"0", "1", "2019", "fault"}, {"1", "Ma", "2019", "fault"}, {"", "", "", ""},
	} {
		var got string
		b := newBench(t, func(cfg *web.Config) {
			cfg.Pages = append(cfg.Pages, web.Page{Path: "/day", Name: "web.day", Open: true, Post: func(r *web.Request) (web.Response, error) {
				form := web.NewForm(web.Field{Name: "d", Kind: web.Date, Label: "Day"})
				form.Read(r)
				if day, ok := form.Day("d"); ok {
					got = day.Format(time.DateOnly)
				}
				return r.Again(web.View{Form: form}, form.Err())
			}})
		})
		w := b.browser(t).Do("POST", "/day", url.Values{"d-day": {c.day}, "d-month": {c.month}, "d-year": {c.year}})
		switch {
		case c.want == "fault":
			if w.Status != 422 || !strings.Contains(w.Body, "This is not a date.") || !strings.Contains(w.Body, `value="`+strings.TrimSpace(c.year)+`"`) && c.year != "" {
				t.Errorf("%v is answered by %d", c, w.Status)
			}
		case got != c.want:
			t.Errorf("%v is %q", c, got)
		}
	}
}

func TestRequire(t *testing.T) {
	form := everyKind()
	form.Set("line", "x")
	form.Set("many", "A", "B")
	form.Require("web.no_day", "line", "many", "born", "one")
	f := fault.From(form.Err())
	if len(f.Fields) != 2 || f.Fields[0].Path != "born" || f.Fields[1].Path != "one" || f.Fields[0].Fix == "" {
		t.Errorf("faults %v", f.Fields)
	}
	if form.Err() != nil {
		t.Error("faults are there twice")
	}
}
