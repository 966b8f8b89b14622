package ui

import (
	"cmp"
	"html/template"
	"strings"
)

// Button sends a form, or is a link that looks like one.
type Button struct {
	Text               Content
	ID, Name, Value    string
	Type               string // submit by default
	Href               string // makes it a link
	Disabled           bool
	IsStartButton      bool
	PreventDoubleClick Toggle
	Classes            string
	Attributes         Attributes
}

// HTML is the component as a browser gets it.
func (b Button) HTML() template.HTML { return render("button", b) }

// BackLink leads to the page before.
type BackLink struct {
	Text       Content // "Back" by default
	Href       string
	Classes    string
	Attributes Attributes
}

// HTML is the component as a browser gets it.
func (l BackLink) HTML() template.HTML { return render("back-link", l) }

// SkipLink leads past what is the same on every page.
type SkipLink struct {
	Text       Content
	Href       string // #content by default
	Classes    string
	Attributes Attributes
}

// HTML is the component as a browser gets it.
func (l SkipLink) HTML() template.HTML { return render("skip-link", l) }

// Tag is the state of something, in a word.
type Tag struct {
	Text       Content
	Classes    string
	Attributes Attributes
}

// HTML is the component as a browser gets it.
func (t Tag) HTML() template.HTML { return render("tag", t) }

// WarningText is what must not be missed.
type WarningText struct {
	Text             Content
	IconFallbackText string // what the sign means: "Warning" by default
	Classes          string
	Attributes       Attributes
}

// HTML is the component as a browser gets it.
func (t WarningText) HTML() template.HTML { return render("warning-text", t) }

// ErrorItem is one fault of a page, and where to mend it.
type ErrorItem struct {
	Text       Content
	Href       string
	Attributes Attributes
}

// ErrorSummary lists the faults of a page, at its top.
type ErrorSummary struct {
	Title, Description Content
	ErrorList          []ErrorItem
	DisableAutoFocus   Toggle
	Classes            string
	Attributes         Attributes
}

// HTML is the component as a browser gets it.
func (s ErrorSummary) HTML() template.HTML { return render("error-summary", s) }

// PanelAction is a way on from an interruption.
type PanelAction struct {
	Text       Content
	Href       string
	Type       string // button makes a link look like one
	Classes    string
	Attributes Attributes
}

// Button is the action as a button.
func (a PanelAction) Button() Button {
	return Button{Text: a.Text, Href: a.Href, Type: cmp.Or(a.Type, "button"), Classes: join("govuk-button--inverse", a.Classes), Attributes: a.Attributes}
}

// PanelActions are the ways on from an interruption.
type PanelActions struct {
	Items      []PanelAction
	Classes    string
	Attributes Attributes
}

// Panel says in large letters that something is done; with the class govuk-panel--interruption, that something matters
// before going on.
type Panel struct {
	Title, Text  Content
	HeadingLevel int // 1 by default
	Actions      *PanelActions
	Classes      string
	Attributes   Attributes
}

// Interruption reports whether the panel is one that interrupts.
func (p Panel) Interruption() bool { return strings.Contains(p.Classes, "govuk-panel--interruption") }

// HTML is the component as a browser gets it.
func (p Panel) HTML() template.HTML { return render("panel", p) }

// NotificationBanner tells what is not about this page alone, or, with the type success, that something worked.
type NotificationBanner struct {
	Title, Text       Content
	Type              string
	Role              string // alert for success, otherwise region, by default
	TitleID           string
	TitleHeadingLevel int // 2 by default
	DisableAutoFocus  Toggle
	Classes           string
	Attributes        Attributes
}

// Success reports whether the banner says that something worked.
func (n NotificationBanner) Success() bool { return n.Type == "success" }

// HTML is the component as a browser gets it.
func (n NotificationBanner) HTML() template.HTML {
	title, role := "Important", "region"
	if n.Success() {
		title, role = "Success", "alert"
	}
	if n.Title == nil {
		n.Title = title
	}
	n.Role, n.TitleID = cmp.Or(n.Role, role), cmp.Or(n.TitleID, "govuk-notification-banner-title")
	return render("notification-banner", n)
}

// PhaseBanner says how far a service has come, or where it is only tried.
type PhaseBanner struct {
	Tag        Tag
	Text       Content
	Classes    string
	Attributes Attributes
}

// HTML is the component as a browser gets it.
func (p PhaseBanner) HTML() template.HTML {
	p.Tag.Classes = join("govuk-phase-banner__content__tag", p.Tag.Classes)
	return render("phase-banner", p)
}

// Link is a way to a page, in the midst of something else.
type Link struct{ Href, Text string }

// HTML is the link as a browser gets it.
func (l Link) HTML() template.HTML {
	return template.HTML(`<a class="govuk-link" href="` + template.HTMLEscapeString(l.Href) + `">` + template.HTMLEscapeString(l.Text) + `</a>`)
}
