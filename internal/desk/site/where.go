package site

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/postcode"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The answers to where a child lives, beside SAME_1 for the address of child 1.
const (
	atAddress    = "ADDRESS"
	inCare       = "IN_CARE"
	confidential = "CONFIDENTIAL"
	noIdea       = "NOT_KNOWN"
	sameAs       = "SAME_"
)

// lives asks where a child lives, and so which council is told. An address that must not be known is not asked for.
func (s *site) lives() question {
	return question{path: "children/{child}/home", name: "fill.child_home", form: s.homeForm, take: s.takeHome,
		view: func(r *web.Request, draft *localv1.Draft, _ *web.Form) (web.View, error) {
			return s.aboutChild(r, draft, false)
		}}
}

// livesAt is which of the answers a draft has about a child.
func livesAt(child *posternv1.Child) string {
	switch {
	case child.GetInCare():
		return inCare
	case child.GetAddressConfidential():
		return confidential
	case child.GetHome().GetSameAsChild() > 0:
		return sameAs + strconv.Itoa(int(child.GetHome().GetSameAsChild()))
	case child.GetHome().GetProvenance().GetKnown() == isNotKnown:
		return noIdea
	case child.GetHome() != nil:
		return atAddress
	}
	return ""
}

func (s *site) homeForm(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("children[%d].", n-1)
	where := web.Field{Name: "where", Path: at + "home", Kind: web.One, Label: r.T("fill.where"), Value: livesAt(child)}
	for i, other := range draft.GetForm().GetChildren()[:n-1] {
		if livesAt(other) == atAddress {
			where.Options = append(where.Options, web.Option{Value: sameAs + strconv.Itoa(i+1), Text: r.T("fill.same_address", "name", childName(r, other, i+1))})
		}
	}
	home := child.GetHome()
	where.Options = append(where.Options,
		web.Option{Value: atAddress, Text: r.T("fill.at_address"), Fields: []web.Field{
			{Name: "address", Path: at + "home.address_lines", Kind: web.Lines, Rows: 3, Label: r.T("fill.address"), Hint: r.T("fill.address_hint"),
				Value: strings.Join(home.GetAddressLines(), "\n")},
			{Name: "postcode", Path: at + "home.postcode", Label: r.T("fill.postcode"), Hint: r.T("fill.postcode_hint"), Width: 10, Value: home.GetPostcode()}}},
		web.Option{Value: inCare, Text: r.T("fill.in_care"), Hint: r.T("fill.in_care_hint")},
		web.Option{Value: confidential, Text: r.T("fill.confidential"), Hint: r.T("fill.confidential_hint")},
		r.Or(), web.Option{Value: noIdea, Text: r.T("fill.i_do_not_know")})
	council := web.Field{Name: "council", Path: at + "authority", Kind: web.List, Label: r.T("fill.council"), Hint: r.T("fill.council_hint"),
		Options: []web.Option{{Text: r.T("fill.by_postcode")}}, Value: child.GetAuthority()}
	for _, c := range s.desk.Councils(r.Language) {
		council.Options = append(council.Options, web.Option{Value: c.Code, Text: c.Name})
	}
	f := web.NewForm(where, council)
	if child.GetAuthorityChecked() {
		askChecked(r, f, n)
		f.Set("checked", "YES")
	}
	return f, nil
}

// askChecked asks whether somebody has checked a council that is not the postcode's.
func askChecked(r *web.Request, f *web.Form, n int) {
	if !slices.ContainsFunc(f.Fields, func(x web.Field) bool { return x.Name == "checked" }) {
		f.Fields = append(f.Fields, tick("checked", fmt.Sprintf("children[%d].authority_checked", n-1), r.T("fill.council_checked")))
	}
}

func (s *site) takeHome(r *web.Request, f *web.Form, draft *localv1.Draft) error {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return err
	}
	f.Require("fill.say_where", "where")
	if err := f.Err(); err != nil {
		return err
	}
	home := &posternv1.ChildHome{}
	known := isKnown
	child.InCare, child.AddressConfidential = f.Text("where") == inCare, f.Text("where") == confidential
	child.Authority, child.AuthorityChecked = f.Text("council"), slices.Contains(r.PostForm["checked"], "YES")
	switch where := f.Text("where"); {
	case where == atAddress:
		f.Require("fill.say_postcode", "postcode")
		home.Postcode = f.Text("postcode")
		for line := range strings.Lines(f.Text("address")) {
			if line = strings.TrimSpace(line); line != "" {
				home.AddressLines = append(home.AddressLines, line)
			}
		}
	case where == inCare:
		known = isNotAsked
	case where == confidential:
		known = isDeclined
	case strings.HasPrefix(where, sameAs):
		same, _ := strconv.ParseUint(strings.TrimPrefix(where, sameAs), 10, 8)
		if same < 1 || int(same) >= n {
			return errNoChild
		}
		home.SameAsChild = uint32(same)
		other := draft.GetForm().GetChildren()[same-1]
		child.Authority, child.AuthorityChecked = other.GetAuthority(), other.GetAuthorityChecked()
	default:
		known = isNotKnown
	}
	if err := f.Err(); err != nil {
		return err
	}
	home.Provenance = s.told(child.GetHome(), home, known)
	child.Home = home
	s.mend(r, f, draft, fmt.Sprintf("children[%d].home", n-1))
	if err := f.Err(); err != nil {
		return err // of a postcode that is none, nothing more can be said
	}
	s.mendCouncil(r, f, draft, n)
	return nil
}

// mendCouncil says what is missing for the council to be known, in words for whoever chooses it.
func (s *site) mendCouncil(r *web.Request, f *web.Form, draft *localv1.Draft, n int) {
	to := s.desk.Destination(r.Language, draft.GetForm(), n)
	fail := func(id string, args ...any) {
		reason, fix, _ := strings.Cut(r.T(id, args...), "\n")
		f.Fail(fault.Field{Path: "council", Reason: reason, Fix: fix})
	}
	var names []string
	for _, c := range to.Says {
		if c.Name != c.Code { // one that the directory does not know cannot be chosen either
			names = append(names, c.Name)
		}
	}
	switch child := draft.GetForm().GetChildren()[n-1]; to.Source {
	case postcode.Differ:
		if askChecked(r, f, n); !child.GetAuthorityChecked() {
			fail("fill.council_differs", "table", cmp.Or(strings.Join(names, ", "), r.T("fill.another_council")), "chosen", to.Name)
		}
	case postcode.Nothing:
		switch {
		case len(names) > 0:
			fail("fill.council_of_several", "names", strings.Join(names, ", "))
		case child.GetHome().GetPostcode() != "":
			fail("fill.council_not_in_table")
		default:
			fail("fill.council_needed")
		}
	default:
		s.mend(r, f, draft, fmt.Sprintf("children[%d].authority", n-1))
	}
}

// aboutChild is the view of a page about a child: whom it is about and, once that is known, whom it will be told.
func (s *site) aboutChild(r *web.Request, draft *localv1.Draft, before bool) (web.View, error) {
	n, child, err := childOf(r, draft, false)
	if err != nil {
		return web.View{}, err
	}
	data := asking{Caption: childName(r, child, n), Inset: s.willGoTo(r, draft, n), Before: before}
	return web.View{Template: "asking", Data: data}, nil
}

// willGoTo says which team will be told about a child, before anything is sent; empty while nothing tells.
func (s *site) willGoTo(r *web.Request, draft *localv1.Draft, n int) template.HTML {
	if child := draft.GetForm().GetChildren()[n-1]; child.GetHome() == nil {
		return ""
	}
	to := s.desk.Destination(r.Language, draft.GetForm(), n)
	if to.Code == "" {
		return ""
	}
	lines := []string{r.T("fill.will_go_to", "team", team(to.Council))}
	if !to.Enrolled {
		lines = []string{r.T("fill.is_for", "team", team(to.Council)), r.T("fill.cannot_receive")}
	}
	if to.Source == postcode.Differ {
		lines = append(lines, r.T("fill.by_choice"))
	}
	if to.Ended {
		lines = append(lines, r.T("fill.postcode_ended"))
	}
	if to.Many {
		lines = append(lines, r.T("fill.postcode_of_many"))
	}
	return paragraphs(lines)
}

// councilsOf are the councils where the children of a draft live, as far as that is known.
func (s *site) councilsOf(r *web.Request, draft *localv1.Draft) (codes []string) {
	for n := range draft.GetForm().GetChildren() {
		if code := s.desk.Destination(r.Language, draft.GetForm(), n+1).Code; code != "" && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return codes
}

// team is what the team of a council is called: "Bristol, Early Help".
func team(c desk.Council) string {
	if c.Team == "" {
		return c.Name
	}
	return c.Name + ", " + c.Team
}

// paragraphs are lines as they stand on a page.
func paragraphs(lines []string) template.HTML {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("<br>")
		}
		b.WriteString(template.HTMLEscapeString(plain.Visible(l)))
	}
	return template.HTML(b.String())
}
