package site

import (
	"html/template"
	"slices"
	"strings"

	"postern/internal/web"
	"postern/internal/web/ui"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
)

// everywhere shows whom to telephone at this hour, for every authority of the directory on this machine: it needs no hub,
// no permission and no form.
func (s *site) everywhere(r *web.Request) (web.Response, error) {
	found, err := s.desk.Tonight(r.Context(), &localv1.TonightRequest{})
	if err != nil {
		return nil, err
	}
	return web.View{Template: "everywhere", Data: s.phones(r, found.GetNumbers())}, nil
}

// phones are the numbers of an hour, the usual authorities of this prison first.
func (s *site) phones(r *web.Request, numbers []*localv1.TonightNumber) template.HTML {
	return phoneBook(r, s.desk.Usual(), numbers)
}

// atAGlance is how many numbers are one list: as many as are seen without looking for one.
const atAGlance = 12

// phoneBook lists numbers by the name of the authority. Of more than are seen at a glance the usual ones come first, and
// letters lead into the rest: a link needs no script, and nothing is typed into an address.
func phoneBook(r *web.Request, usual []string, numbers []*localv1.TonightNumber) template.HTML {
	if len(numbers) == 0 {
		return ""
	}
	if len(numbers) <= atAGlance {
		return phoneTable(r, "", numbers, false)
	}
	var first, rest []*localv1.TonightNumber
	for _, n := range numbers {
		if slices.Contains(usual, n.GetAuthority()) {
			first = append(first, n)
		} else {
			rest = append(rest, n)
		}
	}
	var b strings.Builder
	if len(first) > 0 {
		b.WriteString(string(phoneTable(r, r.T("case.phones_usual"), first, false)))
	}
	b.WriteString(`<nav class="app-no-print" aria-label="` + template.HTMLEscapeString(r.T("case.phones_letters")) + `"><ul class="govuk-list govuk-list--inline">`)
	said := ""
	for _, n := range byName(r, rest) {
		if l := letter(nameOf(r, n)); l != said {
			said = l
			b.WriteString(`<li class="govuk-!-display-inline-block govuk-!-margin-right-3">` + string(ui.Link{Href: "#letter-" + l, Text: l}.HTML()) + `</li> `)
		}
	}
	b.WriteString(`</ul></nav>`)
	caption := "case.phones_rest"
	if len(first) == 0 {
		caption = "case.phones_all"
	}
	b.WriteString(string(phoneTable(r, r.T(caption), rest, true)))
	return template.HTML(b.String())
}

// phoneTable is one list of numbers. With letters, the first of each letter can be led to.
func phoneTable(r *web.Request, caption string, numbers []*localv1.TonightNumber, letters bool) template.HTML {
	t := ui.Table{Stack: true, FirstCellIsHeader: true, Caption: caption, CaptionClasses: "govuk-table__caption--m"}
	for _, id := range []string{"desk.authority", "desk.team", "desk.telephone"} {
		t.Head = append(t.Head, ui.Cell{Text: r.T(id)})
	}
	said := ""
	for _, n := range byName(r, numbers) {
		name, phone := ui.Cell{Text: nameOf(r, n)}, n.GetPhone()
		if l := letter(nameOf(r, n)); letters && l != said {
			said, name.Attributes = l, ui.Attributes{"id": "letter-" + l}
		}
		if phone == "" {
			phone = r.T("desk.no_number")
		}
		t.Rows = append(t.Rows, []ui.Cell{name, {Text: n.GetTeam()}, {Text: phone}})
	}
	return t.HTML()
}

// byName are numbers in the order in which somebody looks for a name.
func byName(r *web.Request, numbers []*localv1.TonightNumber) []*localv1.TonightNumber {
	return slices.SortedStableFunc(slices.Values(numbers), func(a, b *localv1.TonightNumber) int { return strings.Compare(nameOf(r, a), nameOf(r, b)) })
}

func nameOf(r *web.Request, n *localv1.TonightNumber) string {
	if cy := n.GetNameCy(); cy != "" && r.Language == words.Welsh {
		return cy
	}
	return n.GetName()
}

// letter is the letter under which a name stands.
func letter(name string) string {
	for _, c := range strings.ToUpper(name) {
		return string(c)
	}
	return ""
}
