// Package notices has the pages that every site shows to everybody, signed in or not: the accessibility statement, the
// privacy notice, help, and the leaflets for the person in prison and for the family, in full and in easy read.
//
// It guarantees that they are the same on every site but for what differs between the sites, that they name whom the
// configuration names and nobody else, and that all of it stands in both languages. A page here shows nothing of
// anybody, so it needs no session and is in no access log. What it promises is for the rest of the program to keep:
// docs/agreements says of each clause what does, and what is left to people.
package notices

import (
	"embed"
	"html/template"

	"postern/internal/web"
)

// Site is whose site the pages stand on.
type Site int

// The sites.
const (
	Desk Site = iota
	Inbox
	Audit
)

// texts are what differs between the sites.
type texts struct{ purpose, kept, unsaid, help string }

func (s Site) texts() texts {
	switch s {
	case Desk:
		return texts{"notices.privacy_desk", "notices.privacy_desk_kept", "notices.privacy_desk_unsaid", "notices.help_desk"}
	case Inbox:
		return texts{"notices.privacy_inbox", "notices.privacy_inbox_kept", "notices.privacy_kept_unsaid", "notices.help_inbox"}
	default:
		return texts{"notices.privacy_audit", "notices.privacy_audit_kept", "notices.privacy_kept_unsaid", "notices.help_audit"}
	}
}

// Add gives a site these pages, and the links to them in its footer. What they say of the controller and of the
// telephone is what the shell has.
func Add(shell *web.Config, s Site) {
	page := func(path, name string, get func() web.Prose) web.Page {
		return web.Page{Path: path, Name: name, Open: true, Get: func(*web.Request) (web.Response, error) { return get().View(), nil }}
	}
	who, telephone := shell.Controller, shell.Telephone
	shell.Pages = append(shell.Pages,
		page("/help", "notices.help", func() web.Prose { return help(s, telephone) }),
		page("/privacy", "notices.privacy", func() web.Prose { return privacy(s, who, telephone) }),
		page("/accessibility", "notices.accessibility", func() web.Prose { return accessibility(who, telephone) }),
		page("/leaflet", "notices.leaflet", leaflet),
		page("/leaflet/easy-read", "notices.leaflet_easy", leafletEasy),
		page("/leaflet/family", "notices.family", func() web.Prose { return family(who) }),
		page("/leaflet/family/easy-read", "notices.family_easy", familyEasy),
	)
	shell.Footer = append(shell.Footer,
		web.Link{Text: "notices.help", Href: "/help"}, web.Link{Text: "notices.privacy", Href: "/privacy"},
		web.Link{Text: "notices.accessibility", Href: "/accessibility"}, web.Link{Text: "notices.to_person", Href: "/leaflet"},
		web.Link{Text: "notices.to_family", Href: "/leaflet/family"})
}

// part is a part with values to fill in.
func part(id string, values ...any) web.Part { return web.Part{Text: id, Values: values} }

// ask says whom to ask: the controller's contact, else the site's telephone, else staff.
func ask(c web.Controller, telephone string) web.Part {
	switch {
	case c.Contact != "":
		return part("notices.ask_contact", "contact", c.Contact)
	case telephone != "":
		return part("notices.ask_telephone", "number", telephone)
	default:
		return part("notices.ask_staff")
	}
}

func accessibility(c web.Controller, telephone string) web.Prose {
	return web.Prose{Parts: []web.Part{part("notices.accessibility_text"), part("notices.accessibility_report"), ask(c, telephone), part("notices.accessibility_law")}}
}

func help(s Site, telephone string) web.Prose {
	p := web.Prose{Parts: []web.Part{part(s.texts().help)}}
	if telephone != "" {
		p.Parts = append(p.Parts, part("notices.help_telephone", "number", telephone))
	}
	return p
}

func privacy(s Site, c web.Controller, telephone string) web.Prose {
	t := s.texts()
	p := web.Prose{Parts: []web.Part{part(t.purpose)}}
	add := func(parts ...web.Part) { p.Parts = append(p.Parts, parts...) }
	if c.Name == "" {
		add(part("notices.privacy_nobody"))
	} else {
		add(part("notices.privacy_controller", "controller", c.Name), ask(c, telephone))
	}
	add(part(t.kept), part("notices.privacy_hub"), part("notices.privacy_law"))
	if c.Kept == "" {
		add(part(t.unsaid))
	} else {
		add(part("notices.privacy_kept", "kept", c.Kept))
	}
	add(part("notices.privacy_kept_hub"), part("notices.privacy_rights"))
	if s != Audit { // which knows no family
		add(part("notices.privacy_family"))
	}
	add(part("notices.privacy_staff"))
	if c.Journals > 0 {
		add(part("notices.privacy_staff_months", "months", c.Journals))
	}
	add(part("notices.privacy_cookies"))
	return p
}

func leaflet() web.Prose {
	return web.Prose{Print: true, Parts: []web.Part{part("notices.leaflet_text"), part("notices.leaflet_ask")}, Links: others("notices.to_easy", "/leaflet/easy-read", "notices.to_family", "/leaflet/family")}
}

func leafletEasy() web.Prose {
	return easy(others("notices.to_leaflet", "/leaflet", "notices.to_family", "/leaflet/family"), "ask", "notices.easy_ask", "choose", "notices.easy_choose", "team", "notices.easy_team", "speak", "notices.easy_what",
		"lock", "notices.easy_sealed", "telephone", "notices.easy_danger", "think", "notices.easy_still", "stop", "notices.easy_stop", "paper", "notices.easy_paper")
}

func family(c web.Controller) web.Prose {
	p := web.Prose{Print: true, Parts: []web.Part{part("notices.family_text"), part("notices.family_ask")}, Links: others("notices.to_easy", "/leaflet/family/easy-read", "notices.to_person", "/leaflet")}
	if c.Contact != "" {
		p.Parts = append(p.Parts, part("notices.ask_contact", "contact", c.Contact))
	}
	return p
}

func familyEasy() web.Prose {
	return easy(others("notices.to_leaflet", "/leaflet/family", "notices.to_person", "/leaflet"), "house", "notices.easy_parent", "team", "notices.easy_help", "choose", "notices.easy_no", "paper", "notices.easy_know",
		"lock", "notices.easy_secret", "child", "notices.easy_child", "telephone", "notices.easy_must", "stop", "notices.easy_end")
}

// others are the ways on from a leaflet: to itself in the other words, and to the one for the others.
func others(words, self, text, other string) []web.Link {
	return []web.Link{{Text: words, Href: self}, {Text: text, Href: other}}
}

//go:embed pictures/*.svg
var pictures embed.FS

// easy is a leaflet of pictures, each with its words, in turn.
func easy(on []web.Link, picturesAndWords ...string) web.Prose {
	p := web.Prose{Print: true, Easy: true, Links: on}
	for i := 0; i+1 < len(picturesAndWords); i += 2 {
		drawn, err := pictures.ReadFile("pictures/" + picturesAndWords[i] + ".svg")
		if err != nil {
			panic(err) // the names are constants, and a test opens every page
		}
		p.Parts = append(p.Parts, web.Part{Text: picturesAndWords[i+1], Picture: template.HTML(drawn)})
	}
	return p
}
