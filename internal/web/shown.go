package web

import (
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postern/internal/web/ui"
	"postern/internal/words"
)

// What the layout is made of: each is empty where the page has no such thing.

// SkipLink leads past the header.
func (s *Shown) SkipLink() template.HTML {
	return ui.SkipLink{Text: s.T("web.skip"), Href: "#main-content"}.HTML()
}

// Header is the organisation's name or logo.
func (s *Shown) Header() template.HTML {
	var logo ui.Content = s.site.cfg.Brand.Organisation
	for _, name := range []string{"logo.svg", "logo.png"} {
		if address := s.Asset(name); address != "" {
			logo = template.HTML(`<img class="app-logo" src="` + address + `" alt="` + template.HTMLEscapeString(s.site.cfg.Brand.Organisation) + `">`)
		}
	}
	return ui.GenericHeader{Logo: logo, URL: s.site.cfg.Home}.HTML()
}

// has reports whether the reader has a link.
func (s *Shown) has(l Link) bool {
	return len(l.Roles) == 0 || s.Person != nil && slices.ContainsFunc(l.Roles, s.Person.Has)
}

// ServiceNavigation is the name of the service and the parts of it that the reader has.
func (s *Shown) ServiceNavigation() template.HTML {
	n := ui.ServiceNavigation{ServiceName: s.T(s.site.cfg.Service), ServiceURL: s.site.cfg.Home,
		AriaLabel: s.T("web.service"), MenuButtonText: s.T("web.menu")}
	at := s.r.URL.Path
	for _, l := range s.site.cfg.Navigation {
		if s.has(l) {
			n.Navigation = append(n.Navigation, ui.NavigationItem{Text: s.T(l.Text), Href: l.Href, Current: at == l.Href,
				Active: l.Href != "/" && strings.HasPrefix(at, strings.TrimSuffix(l.Href, "/")+"/")})
		}
	}
	return n.HTML()
}

// FooterLinks are the links of the footer that the reader has.
func (s *Shown) FooterLinks() []Link {
	return slices.DeleteFunc(slices.Clone(s.site.cfg.Footer), func(l Link) bool { return !s.has(l) })
}

// Banners are what is said over every page, and over this one.
func (s *Shown) Banners() (said template.HTML) {
	for _, id := range []string{s.site.cfg.Banner, s.Banner} {
		if id != "" {
			said += ui.PhaseBanner{Tag: ui.Tag{Text: s.T("web.practice")}, Text: s.bannerText(id)}.HTML()
		}
	}
	return said
}

// bannerText is what a banner says; that of the site may lead somewhere.
func (s *Shown) bannerText(id string) ui.Content {
	l := s.site.cfg.BannerLink
	if l == nil || id != s.site.cfg.Banner {
		return s.T(id)
	}
	return template.HTML(template.HTMLEscapeString(s.T(id))+" ") + ui.Link{Href: l.Href, Text: s.T(l.Text)}.HTML()
}

// Account is who is signed in, with the way out. Signing out is a form: a link to it could be followed by a picture.
func (s *Shown) Account() template.HTML {
	if s.Person == nil {
		return ""
	}
	return template.HTML(`<form class="app-account" method="post" action="/sign-out"><span class="app-account__name">` +
		template.HTMLEscapeString(s.Person.Name) + `</span> <button type="submit" class="app-link-button">` +
		template.HTMLEscapeString(s.T("web.sign_out")) + `</button></form>`)
}

// Languages lead to this page in the other language.
func (s *Shown) Languages() template.HTML {
	query := url.Values{}
	if s.r.safe() {
		query = s.r.URL.Query()
	}
	n := ui.LanguageNavigation{AriaLabel: s.T("web.language")}
	for _, l := range []words.Language{words.English, words.Welsh} {
		query.Set("lang", string(l))
		item := ui.LanguageItem{Text: l.Text("web.own_language", nil), Lang: string(l), Current: l == s.Language}
		if !item.Current {
			item.Href = "?" + query.Encode()
			item.LanguageDescriptionText = l.Text("web.change_language", nil)
		}
		n.Items = append(n.Items, item)
	}
	return n.HTML()
}

// BackLink leads to the page before.
func (s *Shown) BackLink() template.HTML {
	if s.Back == "" {
		return ""
	}
	return ui.BackLink{Text: s.T("web.back"), Href: s.Back}.HTML()
}

// Notice is what the page before has to say, once.
func (s *Shown) Notice() template.HTML {
	if id, ok := s.r.Take(warning); ok {
		return ui.NotificationBanner{Title: s.T("web.important"), Text: s.T(id), Role: "alert"}.HTML()
	}
	id, ok := s.r.Take(notice)
	if !ok {
		return ""
	}
	return ui.NotificationBanner{Type: "success", Title: s.T("web.done"), Text: s.T(id)}.HTML()
}

// SessionWarning says until when the reader is signed in. It is a sentence on the page, true without scripts; where they
// run, it comes to the front in the last minutes.
func (s *Shown) SessionWarning() template.HTML {
	if s.Person == nil {
		return ""
	}
	until := s.site.sessions.until(s.r.session)
	left := int(until.Sub(s.site.cfg.Now()).Seconds())
	e := template.HTMLEscapeString
	link := `<a class="govuk-link" href="/session/extend" target="_blank" rel="noopener" data-session-extend>` + e(s.T("web.stay")) + `</a>`
	return template.HTML(`<div class="app-session" data-session-ends-in="` + strconv.Itoa(left) + `" data-session-ended="` + endedPath + `">` +
		`<p class="govuk-body-s">` + e(s.T("web.until", "time", s.Clock(until))) + " " + link + `</p>` +
		`<div class="app-session__warning" data-session-warning hidden><p class="govuk-body">` + e(s.T("web.ends_soon")) + " " + link + `</p></div></div>`)
}

// ForgetPath is what a page for somebody who is not signed in loads, so that the browser forgets the pages it holds.
func (s *Shown) ForgetPath() string { return forgetPath }

// Printed says at the foot of a printed page when it was printed, for paper lives longer than what it says.
func (s *Shown) Printed() string {
	return s.T("web.printed", "when", s.When(s.site.cfg.Now()))
}

// HasHeading reports whether a question of the form is the heading of the page.
func (f *Form) HasHeading() bool {
	return slices.ContainsFunc(f.Fields, func(x Field) bool { return x.IsPageHeading })
}
