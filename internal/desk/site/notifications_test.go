package site_test

import (
	"context"
	sheets "encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"google.golang.org/protobuf/proto"

	"postern/internal/desk/site"
	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/rpc"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web"
	"postern/internal/web/webtest"
	posternv1 "postern/proto/postern/v1"
)

// prison is HMP Bristol with its site.
type prison struct {
	t    *testing.T
	x    *testkit.Exchange
	desk *testkit.Desk
	site *web.Site
}

func bristol(t *testing.T, edits ...func(*testkit.Config)) *prison {
	t.Helper()
	return prisonOf(t, testkit.NewExchange(t, edits...), testkit.HMPBristol)
}

func prisonOf(t *testing.T, x *testkit.Exchange, name string) *prison {
	t.Helper()
	p := &prison{t: t, x: x, desk: x.Desk(name)}
	var err error
	if p.site, err = site.New(p.desk.Desk, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles())); err != nil {
		t.Fatal(err)
	}
	return p
}

// as is the browser of somebody with a role.
func (p *prison) as(role string) *webtest.Browser { return signintest.As(p.t, p.site, role) }

// acting is the context of somebody with a role, as their browser gives it to the desk.
func (p *prison) acting(role string) context.Context {
	return rpc.WithPerson(p.t.Context(), rpc.Person{ID: role, Roles: []string{role}})
}

// take takes a form, and lets everybody do what there is to do.
func (p *prison) take(f *posternv1.Form) (reference string) {
	p.t.Helper()
	id := p.desk.Take(f)[0]
	p.x.Settle()
	return envelope.Reference(id)
}

func unchecked(authorities ...string) *posternv1.Form {
	f := formtest.New(authorities...)
	f.Gate = posternv1.Gate_GATE_NOT_DONE
	return f
}

func at(reference string, then ...string) string {
	return strings.Join(append([]string{"/notifications/" + reference}, then...), "/")
}

func says(t *testing.T, p *webtest.Page, wants ...string) {
	t.Helper()
	main := p.Main()
	for _, want := range wants {
		if !strings.Contains(main, want) {
			t.Errorf("answered %d, the page does not say %q but\n%s", p.Status, want, main)
		}
	}
}

func TestAListHasWhatBelongsToIt(t *testing.T) {
	p := bristol(t)
	sent, waits, decide := p.take(formtest.New(testkit.Bristol)), p.take(unchecked(testkit.Bristol)), p.take(formtest.New(testkit.Lancashire))
	b := p.as("RECEPTION_OFFICER")
	for list, want := range map[string][]string{"": {sent, waits, decide}, "waiting": {waits}, "decision": {decide}, "manual": {decide}, "sent": {sent}} {
		page := b.Get("/notifications?show=" + list)
		for _, reference := range []string{sent, waits, decide} {
			in := strings.Contains(page.Main(), reference)
			if should := strings.Contains(strings.Join(want, " "), reference); in != should {
				t.Errorf("the list %q has %s: %v, and should: %v", list, reference, in, should)
			}
		}
	}
	if page := b.Get("/notifications?show=nonsense"); page.Status != http.StatusNotFound {
		t.Errorf("a list that is not there answers %d", page.Status)
	}
	says(t, b.Get("/notifications"), "Tattersby-Quill, Morwenna", "Waiting", "The team has it")
}

func TestALongListHasPages(t *testing.T) {
	p := bristol(t)
	for range 27 {
		p.desk.Take(unchecked(testkit.Bristol))
	}
	b := p.as("RECEPTION_OFFICER")
	rows := func(page *webtest.Page) int {
		return len(page.Elements(func(n *html.Node) bool { return n.Data == "tr" })) - 1
	}
	first := b.Get("/notifications?show=waiting")
	if n := rows(first); n != 25 {
		t.Errorf("the first page has %d rows", n)
	}
	if n := rows(first.Click("Next page")); n != 2 {
		t.Errorf("the second page has %d rows", n)
	}
	if n := rows(b.Get("/notifications?page=99")); n != 25 {
		t.Errorf("a page that is not there has %d rows", n)
	}
}

func TestAReferenceIsFoundAsPeopleTypeIt(t *testing.T) {
	p := bristol(t)
	reference := p.take(unchecked(testkit.Bristol))
	b := p.as("RECEPTION_OFFICER")
	for _, typed := range []string{reference, " " + strings.ToLower(reference), strings.ReplaceAll(reference, "-", "")} {
		if page := b.Get("/notifications").Submit(url.Values{"find": {typed}}); page.Header.Get("Location") != at(reference) {
			t.Errorf("%q leads to %d %s", typed, page.Status, page.Header.Get("Location"))
		}
	}
	for _, typed := range []string{"", "Tattersby-Quill", "PN-2222-2222", `"><script>alert(1)</script>`} {
		page := b.Get("/notifications").Submit(url.Values{"find": {typed}})
		if page.Status != http.StatusUnprocessableEntity || len(page.Errors()) != 1 {
			t.Errorf("%q is answered by %d and %v", typed, page.Status, page.Errors())
		}
	}
}

func TestAListForASpreadsheetNamesNobodyAndIsNoFormula(t *testing.T) {
	p := bristol(t)
	reference := p.take(unchecked(testkit.Bristol))
	got := p.as("RECEPTION_OFFICER").Get("/notifications.csv?show=waiting")
	rows, err := sheets.NewReader(strings.NewReader(strings.TrimPrefix(got.Body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != reference || rows[1][4] != "WAITING" {
		t.Fatalf("the list is %v, %v", rows, err)
	}
	if strings.Contains(got.Body, "Tattersby") || strings.Contains(got.Header.Get("Content-Disposition"), "Tattersby") {
		t.Error("the list names a person")
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("%q is a formula", cell)
			}
		}
	}
}

func TestANotificationSaysWhatWentAndWhatDidNot(t *testing.T) {
	p := bristol(t)
	reference := p.take(p.x.Example("shared_in_part"))
	page := p.as("RECEPTION_OFFICER").Get(at(reference))
	says(t, page, "The team has it", "What goes to the team", "Child 1: home", "What is not sent, and why", "child 1: phone", "in the hour from", "The form was taken here", "Permission until")
	goes, stays, _ := strings.Cut(page.Main(), "What is not sent, and why")
	if strings.Contains(goes, "hild 1: phone") || !strings.Contains(stays, "child 1: phone") {
		t.Error("what stays here is among what goes")
	}
	if title := page.Title(); strings.Contains(title, "PN-") || title == "" {
		t.Errorf("the title is %q", title)
	}
	welsh := p.as("RECEPTION_OFFICER")
	welsh.Get(at(reference) + "?lang=cy").Follow()
	says(t, welsh.Get(at(reference)), "Mae gan y tîm", "Beth nad yw’n cael ei anfon, a pham", "Plentyn 1: cartref")
}

// All of it works when the hub does not answer, and what is then older says so.
func TestPagesSayAsOfWhenTheHubIsSilent(t *testing.T) {
	p := bristol(t)
	reference := p.take(unchecked(testkit.Bristol))
	b := p.as("ALL")
	if strings.Contains(b.Get(at(reference)).Main(), "does not answer") {
		t.Error("the hub that has just answered is called silent")
	}
	p.desk.Link.Down(true)
	p.x.Clock.Advance(20 * time.Minute)
	for _, path := range []string{"/notifications", at(reference), "/protection", "/decisions"} {
		says(t, signintest.As(t, p.site, "ALL").Get(path), "does not answer at the moment", "as of 22 November 2026 at 10:00am")
	}
	b = p.as("ALL")
	if page := b.Get(at(reference, "withdraw")).Submit(url.Values{"what": {"ALL"}, "method": {"PHONE"}}).Follow(); page.Status != http.StatusOK {
		t.Errorf("a withdrawal without the hub answers %d", page.Status)
	} else {
		says(t, page, "Withdrawal taken", "not yet at the central service")
	}
	p.desk.Restart()
	p = prisonOf(t, p.x, testkit.HMPBristol)
	says(t, p.as("ALL").Get("/notifications"), "has not answered since this desk was started")
}

// marks are what tells one notification from another on a page and is about neither.
var marks = regexp.MustCompile(`PN-[0-9A-Z]{4}-[0-9A-Z]{4}|[0-9A-Z]{5}-[0-9A-Z]{5}|[A-Z]\d{4}[A-Z]{2}`)

// seen is everything that a role sees of a notification, page by page, without the marks of the one.
func (p *prison) seen(role, reference string) string {
	p.t.Helper()
	b := p.as(role)
	var all strings.Builder
	for _, path := range []string{at(reference), at(reference, "withdraw"), at(reference, "withdrawn"), at(reference, "call"), at(reference, "request"),
		at(reference, "close-manual"), at(reference, "consider"), "/protection/" + reference, at(reference) + "?lang=cy", at(reference)} {
		page := b.Get(path)
		if page.Status == http.StatusForbidden {
			fmt.Fprintf(&all, "%s 403\n", strings.Replace(path, reference, "REF", 1)) // such a page has a number of its own
			continue
		}
		fmt.Fprintf(&all, "%s %d %s\n%s\n", strings.Replace(path, reference, "REF", 1), page.Status, strings.ReplaceAll(page.Header.Get("Location"), reference, "REF"), page.Main())
	}
	for _, list := range []string{"", "waiting", "decision", "manual", "sent"} {
		for _, row := range b.Get("/notifications?show=" + list).Texts(func(n *html.Node) bool { return n.Data == "tr" }) {
			if strings.Contains(row, reference) {
				fmt.Fprintf(&all, "list %s: %s\n", list, row)
			}
		}
		for line := range strings.Lines(b.Get("/notifications.csv?show=" + list).Body) {
			if strings.Contains(line, reference) {
				fmt.Fprintf(&all, "csv %s: %s", list, line)
			}
		}
	}
	return marks.ReplaceAllString(all.String(), "MARK")
}

// difference is the first line in which two texts differ.
func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("\n%s\nand\n%s", x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines and %d", len(x), len(y))
}

// Two families who differ in nothing but what public protection found, side by side: whoever is not of that team or the
// safeguarding lead sees the same pages, in the same lists, from the form to the day after the check was due.
func TestReceptionCannotTellAHoldFromAWaitOnAnyPage(t *testing.T) {
	p := bristol(t)
	for name, f := range map[string]*posternv1.Form{"two children": unchecked(testkit.Bristol, testkit.Bristol), "no agreement": unchecked(testkit.Lancashire)} {
		twin := proto.CloneOf(f)
		twin.PrisonNumber = formtest.New(testkit.Bristol).GetPrisonNumber()
		wait, hold := p.take(f), p.take(twin)
		if done := p.as("PUBLIC_PROTECTION").Get("/protection/" + hold).Submit(url.Values{"gate": {"HOLD"}}); done.Status != http.StatusSeeOther {
			t.Fatalf("%s: to hold it is answered by %d", name, done.Status)
		}
		p.x.Settle()
		for _, when := range []time.Duration{0, 72 * time.Hour} {
			p.x.Clock.Advance(when)
			p.x.Settle()
			for _, role := range []string{"RECEPTION_OFFICER", "DUTY_GOVERNOR"} {
				if a, b := p.seen(role, wait), p.seen(role, hold); a != b {
					t.Errorf("%s, %s later, %s sees a difference: %s", name, when, role, difference(a, b))
				}
			}
		}
		if a, b := p.seen("SAFEGUARDING_LEAD", wait), p.seen("SAFEGUARDING_LEAD", hold); a == b {
			t.Errorf("%s: the safeguarding lead cannot tell them apart either, so this test sees nothing", name)
		}
	}
}

func TestHostileTextIsText(t *testing.T) {
	const evil = `<script>alert(1)</script>"><img src=x onerror=alert(2)>`
	p := bristol(t)
	f := formtest.New(testkit.Lancashire)
	f.Parent.Name.FamilyName, f.Children[0].Identity.GivenName = evil, evil
	reference := p.take(f)
	b := p.as("ALL")
	check := func(page *webtest.Page) {
		t.Helper()
		if page.Status != http.StatusOK {
			t.Errorf("answered %d", page.Status)
		}
		for _, n := range page.Elements(func(n *html.Node) bool {
			return n.Data == "img" && webtest.Attribute(n, "src") == "x" || n.Data == "script" && webtest.Text(n) != ""
		}) {
			t.Errorf("a name became %v", n.Attr)
		}
		if strings.Contains(page.Title(), "alert") {
			t.Errorf("the title is %q", page.Title())
		}
	}
	for _, path := range []string{"/notifications", at(reference), at(reference, "withdraw"), at(reference, "call"), at(reference, "request"), at(reference, "consider"), "/decisions"} {
		check(b.Get(path))
	}
	check(b.Get(at(reference, "call")).Submit(url.Values{"result": {"ANSWERED"}, "who": {evil}, "reference": {evil}, "number": {evil}}).Follow())
	check(b.Get(at(reference, "close-manual")).Submit(url.Values{"how": {"POST"}, "to": {evil}}).Follow())
	says(t, b.Get(at(reference)), evil)
}
