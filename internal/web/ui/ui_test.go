package ui

import (
	"html/template"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// hostile is what somebody may write into any field.
var hostile = []string{
	`"><script>alert(1)</script>`, `' onmouseover='alert(1)`, `javascript:alert(1)`, `</textarea><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`,
	`&quot;&gt;&lt;script&gt;`, "\x00\ufffe", `{{.}}`, `${alert(1)}`, `--><script>alert(1)</script>`, `</option></select><script>alert(1)</script>`,
}

// TestNoStringBecomesMarkup puts hostile text into every string of every component, however deep.
func TestNoStringBecomesMarkup(t *testing.T) {
	all := map[string]Component{"timeline": Timeline{}}
	for name, c := range ported {
		all[name] = c
	}
	for name, component := range all {
		for _, text := range hostile {
			v := reflect.New(reflect.TypeOf(component)).Elem()
			flood(v, text)
			markup := string(v.Interface().(Component).HTML())
			if !strings.Contains(markup, "<") {
				t.Fatalf("%s shows nothing", name)
			}
			if why := dangerous(t, markup); why != "" {
				t.Errorf("%s with %q has %s:\n%s", name, text, why, markup)
			}
		}
	}
}

// TestMarkupIsFoundDangerous is the control of the test above.
func TestMarkupIsFoundDangerous(t *testing.T) {
	for _, text := range []string{`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<a href="javascript:alert(1)">x</a>`, `<p style="color:red">`} {
		if dangerous(t, string(WarningText{Text: template.HTML(text)}.HTML())) == "" {
			t.Errorf("%s is not found", text)
		}
	}
}

// flood fills every string, content and attribute of a struct, and one element of every slice.
func flood(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		flood(v.Elem(), text)
	case reflect.Struct:
		for i := range v.NumField() {
			flood(v.Field(i), text)
		}
	case reflect.Slice:
		item := reflect.New(v.Type().Elem()).Elem()
		flood(item, text)
		v.Set(reflect.Append(v, item))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"data-x", "onclick", "style", "href", "src", text} {
			v.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(text).Convert(v.Type().Elem()))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(3)
	case reflect.Interface:
		v.Set(reflect.ValueOf(text))
	case reflect.String:
		if v.Type() != reflect.TypeFor[template.HTML]() { // markup is the caller's promise
			v.SetString(text)
		}
	}
}

// dangerous says what in the markup runs, loads or styles.
func dangerous(t *testing.T, markup string) string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(markup))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "img", "iframe", "object", "style", "link":
			return "an element " + n.Data
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" {
				return "an attribute " + a.Key
			}
			if a.Key == "href" && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				return "a script for a link"
			}
		}
	}
	return ""
}

func TestTextareaKeepsItsFirstLineEmpty(t *testing.T) {
	root, err := html.Parse(strings.NewReader(string(Textarea{Name: "a", Value: "\n\nb"}.HTML())))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Data == "textarea" && n.FirstChild.Data != "\n\nb" {
			t.Errorf("the value is read as %q", n.FirstChild.Data)
		}
	}
}

func TestTimeline(t *testing.T) {
	got := strings.Join(canonical(t, string(Timeline{Items: []Event{
		{Label: "Sent", Byline: "by A", Time: "2026-11-29T09:32:00Z", Date: "29 November 2026 at 9:32am", Text: "To <Bristol>"},
	}}.HTML())), " ")
	want := `<div class="moj-timeline"> <div class="moj-timeline__item"> <div class="moj-timeline__header"> <h2 class="moj-timeline__title"> Sent </h2> ` +
		`<p class="moj-timeline__byline"> by A </p> </div> <p class="moj-timeline__date"> <time datetime="2026-11-29T09:32:00Z"> 29 November 2026 at 9:32am </time> </p> ` +
		`<div class="moj-timeline__description"> To <Bristol> </div> </div> </div>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAStackedTableSaysWhatItsCellsAre: on a narrow screen each cell stands behind the words of its column, and the roles
// say what the layout no longer does.
func TestAStackedTableSaysWhatItsCellsAre(t *testing.T) {
	table := Table{Stack: true, FirstCellIsHeader: true, Head: []Cell{{Text: "Council"}, {Text: "Telephone <now>"}, {Text: template.HTML("<b>x</b>")}, {Text: "Went?"}},
		Rows: [][]Cell{{{Text: "Bristol"}, {Text: "01632"}, {Text: "y"}, {Text: "yes"}, {Text: "beyond"}}, {{Text: "All", Colspan: 3, Attributes: Attributes{"id": "all"}}}}}
	got := string(table.HTML())
	for _, want := range []string{
		`class="govuk-table app-table-stacks" role="table"`, `<tr class="govuk-table__row" role="row">`, `role="columnheader">Council`,
		`role="rowheader">Bristol</th>`, `<td class="govuk-table__cell" data-label="Telephone &lt;now&gt;:" role="cell">01632</td>`,
		`<td class="govuk-table__cell" role="cell">y</td>`, `data-label="Went?" role="cell">yes`, `<td class="govuk-table__cell" role="cell">beyond</td>`, `colspan="3" id="all" role="rowheader">All`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if table.Rows[0][1].Attributes != nil || len(table.Rows[1][0].Attributes) != 1 {
		t.Error("showing a table changes it")
	}
	if strings.Contains(string(Table{Head: table.Head, Rows: table.Rows}.HTML()), "role=") {
		t.Error("a table that does not stack has roles")
	}
}
