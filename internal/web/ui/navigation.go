package ui

import (
	"cmp"
	"html/template"
)

// GenericHeader is the header of a service that is not on GOV.UK.
type GenericHeader struct {
	Logo             Content
	URL              string // / by default
	ContainerClasses string
	Classes          string
	Attributes       Attributes
}

// HTML is the component as a browser gets it.
func (h GenericHeader) HTML() template.HTML { return render("generic-header", h) }

// LanguageItem is a language a page is in; without an Href it is the one shown.
type LanguageItem struct {
	Text                    Content
	Href                    string
	Lang, HrefLang, Dir     string
	LanguageDescriptionText string // what the link does, in its language, for a screen reader
	Current                 bool
	Classes                 string
	Attributes              Attributes
}

// LanguageNavigation leads to the same page in another language.
type LanguageNavigation struct {
	Items      []LanguageItem
	AriaLabel  string // "Language" by default
	Classes    string
	Attributes Attributes
}

// HTML is the component as a browser gets it.
func (l LanguageNavigation) HTML() template.HTML { return render("language-navigation", l) }

// NavigationItem is a part of the service.
type NavigationItem struct {
	Text       Content
	Href       string
	Active     bool // this page is in that part
	Current    bool // this page is its first
	Attributes Attributes
}

// EndSlot is what stands after the navigation.
type EndSlot struct {
	Text  template.HTML
	Align string // inline puts it on the line of the navigation
}

// Slots are places around the navigation for a page's own markup.
type Slots struct {
	Start, NavigationStart, NavigationEnd template.HTML
	End                                   EndSlot
}

// ServiceNavigation is the name of the service and its parts.
type ServiceNavigation struct {
	ServiceName, ServiceURL    string
	Navigation                 []NavigationItem
	NavigationID               string // navigation by default
	NavigationLabel            string
	NavigationClasses          string
	MenuButtonText             string // "Menu" by default
	MenuButtonLabel            string
	CollapseNavigationOnMobile Toggle // by default when there is more than one part
	AriaLabel                  string // "Service information" by default
	Slots                      Slots
	Classes                    string
	Attributes                 Attributes
}

// Collapses reports whether the navigation goes behind a button on a narrow screen.
func (n ServiceNavigation) Collapses() bool {
	return n.CollapseNavigationOnMobile == On || n.CollapseNavigationOnMobile == "" && len(n.Navigation) > 1
}

// HTML is the component as a browser gets it.
func (n ServiceNavigation) HTML() template.HTML {
	n.MenuButtonText, n.NavigationID = cmp.Or(n.MenuButtonText, "Menu"), cmp.Or(n.NavigationID, "navigation")
	return render("service-navigation", n)
}
