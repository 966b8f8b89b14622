package site

import (
	"cmp"
	"crypto/sha256"
	"html/template"
	"slices"
	"strings"

	"postern/internal/web"
	"postern/internal/web/ui"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// noticeID is the name of the notice that is read aloud, and noticeVersion the version of its text. A test holds that a
// changed text has another version.
const (
	noticeID      = "telling-the-council"
	noticeVersion = "2026-11"
)

// languages are the languages that the notice is heard in beside English and Welsh, by interpreter.
var languages = [...][2]string{{"sq", "desk.lang_sq"}, {"ar", "desk.lang_ar"}, {"bn", "desk.lang_bn"}, {"zh", "desk.lang_zh"}, {"fa", "desk.lang_fa"}, {"fr", "desk.lang_fr"},
	{"ku", "desk.lang_ku"}, {"lt", "desk.lang_lt"}, {"pl", "desk.lang_pl"}, {"pt", "desk.lang_pt"}, {"pa", "desk.lang_pa"}, {"ro", "desk.lang_ro"}, {"so", "desk.lang_so"},
	{"es", "desk.lang_es"}, {"bfi", "desk.lang_bfi"}, {"ti", "desk.lang_ti"}, {"tr", "desk.lang_tr"}, {"ur", "desk.lang_ur"}, {"vi", "desk.lang_vi"}}

// notice is the text that is read aloud: what the person is told before anybody asks for permission.
func notice(l words.Language, prison *posternv1.Prison) string {
	name, may := prison.GetName(), l.Text("desk.script_must", nil)
	if l == words.Welsh && prison.GetNameCy() != "" {
		name = prison.GetNameCy()
	}
	if prison.GetJurisdiction() == "GB-WLS" {
		may = l.Text("desk.script_may", nil)
	}
	return l.Text("desk.script", words.Args{"prison": name, "consider": may})
}

// heardFields ask how the person heard the script: read aloud in the language of the page unless somebody says otherwise.
func heardFields(r *web.Request, n *posternv1.Notice) []web.Field {
	other := web.Field{Name: "other", Path: "consent.notice.language", Kind: web.List, Label: r.T("desk.other_language"), Options: []web.Option{{Text: r.T("desk.choose")}}}
	for _, l := range languages {
		other.Options = append(other.Options, web.Option{Value: l[0], Text: r.T(l[1])})
	}
	heard, how := string(cmp.Or(r.Language, words.English)), []string{"aloud"}
	if n != nil {
		heard, how = n.GetLanguage(), nil
		if heard != "en" && heard != "cy" {
			heard, other.Value = "other", n.GetLanguage()
		}
		if n.GetReadAloud() {
			how = append(how, "aloud")
		}
		if n.GetInterpreter() {
			how = append(how, "interpreter")
		}
	}
	return []web.Field{
		{Name: "language", Kind: web.One, Label: r.T("desk.heard_in"), Value: heard, Options: []web.Option{{Value: "en", Text: words.English.Text("web.own_language", nil)},
			{Value: "cy", Text: words.Welsh.Text("web.own_language", nil)}, {Value: "other", Text: r.T("desk.heard_other"), Fields: []web.Field{other}}}},
		{Name: "how", Kind: web.Many, Label: r.T("desk.heard_how"), Values: how, Options: []web.Option{{Value: "aloud", Text: r.T("desk.heard_aloud")}, {Value: "interpreter", Text: r.T("desk.heard_interpreter")}}},
	}
}

// heard is the notice as the answers say that the person heard it.
func (s *site) heard(f *web.Form) *posternv1.Notice {
	f.Require("desk.heard_say", "language")
	text := words.English
	n := &posternv1.Notice{Id: noticeID, Language: f.Text("language"), ReadAloud: slices.Contains(f.Choices("how"), "aloud"), Interpreter: slices.Contains(f.Choices("how"), "interpreter")}
	switch n.GetLanguage() {
	case "other":
		f.Require("desk.other_say", "other")
		n.Language = f.Text("other")
	case "cy":
		text = words.Welsh
	}
	sum := sha256.Sum256([]byte(notice(text, s.desk.Prison())))
	n.Sha256 = sum[:]
	return n
}

// script is what is read aloud: in both languages, the reader's first, and in easy words.
func (s *site) script(r *web.Request) ui.Tabs {
	tabs := ui.Tabs{Title: r.T("desk.script_title")}
	for _, t := range []struct {
		id, label string
		lang      words.Language
		text      string
	}{{"english", words.English.Text("web.own_language", nil), words.English, notice(words.English, s.desk.Prison())},
		{"welsh", words.Welsh.Text("web.own_language", nil), words.Welsh, notice(words.Welsh, s.desk.Prison())},
		{"easy", r.T("desk.script_easy_title"), cmp.Or(r.Language, words.English), r.T("desk.script_easy")}} {
		tabs.Items = append(tabs.Items, ui.Tab{ID: t.id, Label: t.label, Panel: ui.TabPanel{Text: spoken(t.lang, t.label, t.text)}})
	}
	if r.Language == words.Welsh {
		tabs.Items[0], tabs.Items[1] = tabs.Items[1], tabs.Items[0]
	}
	return tabs
}

// explain shows the script alone, to turn the screen to the person or to print it.
func (s *site) explain(r *web.Request) (web.Response, error) {
	return web.View{Template: "explain", Back: "/arrivals", Data: s.script(r)}, nil
}

// spoken is a text to read aloud, a paragraph a line, marked as the language that it is in. Its title says which of them it
// is where there are no tabs: on paper, on a narrow screen and without scripts.
func spoken(l words.Language, title, text string) template.HTML {
	var b strings.Builder
	b.WriteString(`<div lang="` + string(l) + `"><h2 class="govuk-heading-m">` + template.HTMLEscapeString(title) + "</h2>")
	for line := range strings.Lines(text) {
		b.WriteString(`<p class="govuk-body-l">` + template.HTMLEscapeString(strings.TrimSpace(line)) + "</p>")
	}
	return template.HTML(b.String() + "</div>")
}
