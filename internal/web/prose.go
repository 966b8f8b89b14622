package web

import (
	"html/template"
	"strings"
)

// Prose is a page of words to read: a statement, help, a leaflet. The title is its heading.
type Prose struct {
	Parts []Part
	Links []Link // below the words, to where somebody who has read them may want to go
	Print bool   // it is for paper too: it has a button for that, and is set close enough for one sheet
	Easy  bool   // large letters and a picture beside each part, for people who read with difficulty
}

// Part is a piece of a Prose: an id of words, and names and values in turn to fill in. In its text a line is a paragraph;
// one that begins with "# " is a heading, and those that begin with "- " are a list.
type Part struct {
	Text    string
	Values  []any
	Picture template.HTML // says the same as the words, so nobody has to see it; nothing that anybody wrote may be in it
}

// View is the page, with its own title.
func (p Prose) View() View { return View{Template: "prose", Data: p} }

// Prose is the text of a part, as HTML.
func (s *Shown) Prose(p Part) template.HTML {
	var b strings.Builder
	listing := false
	for line := range strings.Lines(s.T(p.Text, p.Values...)) {
		line = strings.TrimSpace(line)
		item, isItem := strings.CutPrefix(line, "- ")
		if listing != isItem {
			b.WriteString(map[bool]string{true: "<ul class=\"govuk-list govuk-list--bullet\">\n", false: "</ul>\n"}[isItem])
			listing = isItem
		}
		heading, isHeading := strings.CutPrefix(line, "# ")
		switch {
		case isItem:
			b.WriteString("<li>" + template.HTMLEscapeString(item) + "</li>\n")
		case isHeading:
			b.WriteString(`<h2 class="govuk-heading-m">` + template.HTMLEscapeString(heading) + "</h2>\n")
		case line != "":
			b.WriteString(`<p class="govuk-body">` + template.HTMLEscapeString(line) + "</p>\n")
		}
	}
	if listing {
		b.WriteString("</ul>\n")
	}
	return template.HTML(b.String())
}
