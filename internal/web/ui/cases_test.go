package ui

import (
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// ported is a value of each component that has cases.
var ported = map[string]Component{
	"back-link": BackLink{}, "button": Button{}, "character-count": CharacterCount{}, "checkboxes": Checkboxes{},
	"date-input": DateInput{}, "error-message": ErrorMessage{}, "error-summary": ErrorSummary{}, "fieldset": Fieldset{},
	"generic-header": GenericHeader{}, "hint": Hint{}, "input": Input{}, "label": Label{},
	"language-navigation": LanguageNavigation{}, "notification-banner": NotificationBanner{}, "pagination": Pagination{}, "panel": Panel{},
	"phase-banner": PhaseBanner{}, "radios": Radios{}, "select": Select{}, "service-navigation": ServiceNavigation{}, "skip-link": SkipLink{},
	"summary-list": SummaryList{}, "table": Table{}, "tabs": Tabs{}, "tag": Tag{}, "task-list": TaskList{}, "textarea": Textarea{},
	"warning-text": WarningText{},
}

// fixture is one case of a component as govuk-frontend ships it.
type fixture struct {
	Name    string         `json:"name"`
	Options map[string]any `json:"options"`
	HTML    string         `json:"html"`
}

// fixtures reads the cases of every component; make assets writes them.
func fixtures(t *testing.T) map[string][]fixture {
	t.Helper()
	all := map[string][]fixture{}
	entries, err := os.ReadDir("testdata/fixtures")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile("testdata/fixtures/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		var cases []fixture
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		if err := d.Decode(&cases); err != nil {
			t.Fatal(e.Name(), err)
		}
		all[strings.TrimSuffix(e.Name(), ".json")] = cases
	}
	return all
}

// TestEveryCaseOfGOVUKFrontend renders each case with the port, and compares what a browser makes of it.
func TestEveryCaseOfGOVUKFrontend(t *testing.T) {
	n, used := 0, map[string]bool{}
	all := fixtures(t)
	for name, component := range ported {
		if len(all[name]) == 0 {
			t.Errorf("%s has no cases", name)
		}
		for _, c := range all[name] {
			n++
			key := name + ": " + c.Name
			v := reflect.New(reflect.TypeOf(component)).Elem()
			err := fill(v, c.Options)
			var got []string
			if err == nil {
				got = canonical(t, string(v.Interface().(Component).HTML()))
			}
			same := err == nil && slices.Equal(got, canonical(t, c.HTML))
			reason, differs := differences[key]
			switch {
			case differs:
				used[key] = true
				if same {
					t.Errorf("%s is the same and listed as different because %s", key, reason)
				}
			case err != nil:
				t.Errorf("%s: %v", key, err)
			case !same:
				t.Errorf("%s:\n got %s\nwant %s", key, strings.Join(got, " "), strings.Join(canonical(t, c.HTML), " "))
			}
		}
		delete(all, name)
	}
	for name := range all {
		t.Errorf("%s has cases and no port", name)
	}
	for key := range differences {
		if !used[key] {
			t.Errorf("there is no case %s; strike it out of differences", key)
		}
	}
	if n < 550 {
		t.Errorf("only %d cases; make assets writes them", n)
	}
	t.Logf("%d cases, %d of them different on purpose", n, len(differences))
}

// canonical is markup as a list of tokens in which nothing counts that a browser does not see: the order of attributes
// and classes, and space between elements.
func canonical(t *testing.T, markup string) []string {
	t.Helper()
	nodes, err := html.ParseFragment(strings.NewReader(markup), &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body})
	if err != nil {
		t.Fatal(err)
	}
	var tokens []string
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.TextNode:
			text := n.Data
			if n.Parent == nil || n.Parent.Data != "textarea" {
				text = strings.Join(strings.Fields(text), " ")
			}
			if text != "" {
				tokens = append(tokens, text)
			}
		case html.ElementNode:
			var attributes []string
			for _, a := range n.Attr {
				if a.Key == "class" {
					classes := strings.Fields(a.Val)
					slices.Sort(classes)
					a.Val = strings.Join(classes, " ")
				}
				attributes = append(attributes, fmt.Sprintf(" %s=%q", a.Key, a.Val))
			}
			slices.Sort(attributes)
			tokens = append(tokens, "<"+n.Data+strings.Join(attributes, "")+">")
			for c := range n.ChildNodes() {
				walk(c)
			}
			tokens = append(tokens, "</"+n.Data+">")
		}
	}
	for _, n := range nodes {
		walk(n)
	}
	return tokens
}

// fill gives a struct the options of a macro: text or html becomes the Content that a port has for both.
func fill(v reflect.Value, option any) error {
	switch v.Kind() {
	case reflect.Pointer:
		if empty(option) {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), option)
	case reflect.Struct:
		options, ok := option.(map[string]any)
		if text, isText := option.(string); isText && v.FieldByName("Text").IsValid() {
			options, ok = map[string]any{"html": text}, true
		}
		if !ok {
			return fmt.Errorf("%v for %s", option, v.Type())
		}
		for name, o := range options {
			if err := fillField(v, name, o); err != nil {
				return err
			}
		}
	case reflect.Slice:
		for _, o := range option.([]any) {
			m, isMap := o.(map[string]any)
			if v.Type().Elem().Kind() != reflect.String && (empty(o) || isMap && len(m) == 0) {
				continue // what a macro skips
			}
			item := reflect.New(v.Type().Elem()).Elem()
			if err := fill(item, o); err != nil {
				return err
			}
			v.Set(reflect.Append(v, item))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for key, o := range option.(map[string]any) {
			v.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(fmt.Sprint(o)).Convert(v.Type().Elem()))
		}
	case reflect.Int:
		n, err := option.(json.Number).Int64()
		v.SetInt(n)
		return err
	case reflect.Bool:
		v.SetBool(option == true)
	case reflect.String:
		if option != nil && (option != false || v.Type() == reflect.TypeFor[Toggle]()) {
			v.SetString(fmt.Sprint(option))
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(fmt.Sprint(option)))
	default:
		return fmt.Errorf("%s cannot be filled", v.Type())
	}
	return nil
}

func fillField(v reflect.Value, name string, o any) error {
	field := func(name string) reflect.Value {
		return v.FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, name) })
	}
	base, isHTML := strings.CutSuffix(name, "Html")
	if name == "html" {
		base, isHTML = "text", true
	}
	if f := field(base); isHTML && f.IsValid() {
		if empty(o) {
			return nil
		}
		markup := reflect.ValueOf(template.HTML(fmt.Sprint(o)))
		f.Set(markup)
		return nil
	}
	f := field(name)
	if !f.IsValid() {
		f = field(strings.TrimSuffix(name, "Text"))
	}
	if !f.IsValid() {
		return fmt.Errorf("%s has no %s", v.Type(), name)
	}
	if f.Kind() == reflect.Interface && f.Elem().IsValid() {
		return nil // html was there, and goes before text
	}
	if f.Type() == reflect.TypeFor[template.HTML]() { // conditional and slots
		if inner, ok := o.(map[string]any); ok {
			o = inner["html"]
		}
		if empty(o) {
			return nil
		}
	}
	if f.Kind() == reflect.Struct && empty(o) {
		return nil
	}
	return fill(f, o)
}

func empty(o any) bool { return o == nil || o == false || o == "" }
