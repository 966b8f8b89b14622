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
	localv1 "postern/proto/postern/local/v1"
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

// explain shows the script in both languages and in easy words, and takes down how the person heard it.
func (s *site) explain() question {
	return question{path: "explain", name: "desk.explain",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			other := web.Field{Name: "other", Path: "consent.notice.language", Kind: web.List, Label: r.T("desk.other_language"), Options: []web.Option{{Text: r.T("desk.choose")}}}
			for _, l := range languages {
				other.Options = append(other.Options, web.Option{Value: l[0], Text: r.T(l[1])})
			}
			f := web.NewForm(
				web.Field{Name: "language", Kind: web.One, Label: r.T("desk.heard_in"), Options: []web.Option{{Value: "en", Text: words.English.Text("web.own_language", nil)},
					{Value: "cy", Text: words.Welsh.Text("web.own_language", nil)}, {Value: "other", Text: r.T("desk.heard_other"), Fields: []web.Field{other}}}},
				web.Field{Name: "how", Kind: web.Many, Label: r.T("desk.heard_how"), Options: []web.Option{{Value: "aloud", Text: r.T("desk.heard_aloud")}, {Value: "interpreter", Text: r.T("desk.heard_interpreter")}}})
			f.Set("language", string(cmp.Or(r.Language, words.English)))
			f.Set("how", "aloud")
			if n := draft.GetForm().GetConsent().GetNotice(); n != nil {
				f.Set("language", n.GetLanguage())
				if n.GetLanguage() != "en" && n.GetLanguage() != "cy" {
					f.Set("language", "other")
					f.Set("other", n.GetLanguage())
				}
				var how []string
				if n.GetReadAloud() {
					how = append(how, "aloud")
				}
				if n.GetInterpreter() {
					how = append(how, "interpreter")
				}
				f.Set("how", how...)
			}
			f.Submit = "desk.explained"
			return f, nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("desk.heard_say", "language")
			heard := words.English
			n := &posternv1.Notice{Id: noticeID, Language: f.Text("language"), ReadAloud: slices.Contains(f.Choices("how"), "aloud"), Interpreter: slices.Contains(f.Choices("how"), "interpreter")}
			switch n.GetLanguage() {
			case "other":
				f.Require("desk.other_say", "other")
				n.Language = f.Text("other")
			case "cy":
				heard = words.Welsh
			}
			sum := sha256.Sum256([]byte(notice(heard, s.desk.Prison())))
			n.Sha256 = sum[:]
			draft.Form.NoticeVersion = noticeVersion
			draft.Form.Consent = cmp.Or(draft.Form.Consent, &posternv1.Consent{})
			draft.Form.Consent.Notice = n
			return nil
		},
		view: func(r *web.Request, draft *localv1.Draft, f *web.Form) (web.View, error) {
			tabs := ui.Tabs{Title: r.T("desk.script_title")}
			for _, t := range []struct {
				id, label string
				lang      words.Language
				text      string
			}{{"english", words.English.Text("web.own_language", nil), words.English, notice(words.English, s.desk.Prison())},
				{"welsh", words.Welsh.Text("web.own_language", nil), words.Welsh, notice(words.Welsh, s.desk.Prison())},
				{"easy", r.T("desk.script_easy_title"), r.Language, r.T("desk.script_easy")}} {
				tabs.Items = append(tabs.Items, ui.Tab{ID: t.id, Label: t.label, Panel: ui.TabPanel{Text: spoken(t.lang, t.text)}})
			}
			if r.Language == words.Welsh {
				tabs.Items[0], tabs.Items[1] = tabs.Items[1], tabs.Items[0]
			}
			return web.View{Template: "explain", Data: tabs}, nil
		},
		checks: func(*web.Request) []string { return []string{"consent.notice"} },
	}
}

// spoken is a text to read aloud, a paragraph a line, marked as the language that it is in.
func spoken(l words.Language, text string) template.HTML {
	var b strings.Builder
	b.WriteString(`<div lang="` + string(l) + `">`)
	for line := range strings.Lines(text) {
		b.WriteString(`<p class="govuk-body-l">` + template.HTMLEscapeString(strings.TrimSpace(line)) + "</p>")
	}
	return template.HTML(b.String() + "</div>")
}
