package site_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/desk/site"
	"postern/internal/form/formtest"
	"postern/internal/postcode"
	"postern/internal/rpc"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// counter is an officer at a desk with a postcode table, and a draft whose person agreed to tell some sections.
type counter struct {
	t     *testing.T
	x     *testkit.Exchange
	desk  *testkit.Desk
	b     *webtest.Browser
	draft *localv1.Draft
	at    string // the path of the draft
}

// minimum is what goes with any yes.
var minimum = []string{"parent/name", "child/{n}/identity", "child/{n}/relationship", "child/{n}/home", "child/{n}/carer", "child/{n}/safety"}

func atCounter(t *testing.T, sections []string, edits ...func(*posternv1.Form)) *counter {
	t.Helper()
	table, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	x := testkit.NewExchange(t, func(c *testkit.Config) { c.Desk = func(d *desk.Config) { d.Postcodes = table } })
	d := x.Desk(testkit.HMPBristol)
	pages, err := site.New(d.Desk, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t: t, x: x, desk: d, b: signintest.As(t, pages, "RECEPTION_OFFICER")}
	today := x.Clock.Now().Format(time.DateOnly)
	f := &posternv1.Form{
		PrisonNumber: "A0417ZZ", NoticeVersion: "2026-09", Consent: formtest.Consent(0, sections...),
		Reception: &posternv1.Reception{Reason: posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION, ReceiveDate: today},
		Tonight:   &posternv1.Tonight{Answer: posternv1.TonightAnswer_TONIGHT_ANSWER_NO, AskTime: timestamppb.New(x.Clock.Now())},
		Enquiry:   posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN,
		Parent: &posternv1.Parent{Name: &posternv1.ParentName{GivenName: "Morwenna", FamilyName: "Tattersby-Quill",
			Provenance: &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_RECORD, AsOfDate: today}}},
	}
	f.Consent.GiveTime = timestamppb.New(x.Clock.Now())
	for _, edit := range edits {
		edit(f)
	}
	ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "REC01", Roles: []string{"RECEPTION_OFFICER"}})
	c.draft, err = d.BeginDraft(ctx, &localv1.Draft{Form: f, Answered: []string{"tonight", "children", "explain", "permission"}})
	if err != nil {
		t.Fatal(err)
	}
	c.at = "/drafts/" + c.draft.GetId()
	return c
}

// form is the form as the draft has it now.
func (c *counter) form() *posternv1.Form {
	c.t.Helper()
	ctx := rpc.WithPerson(c.t.Context(), rpc.Person{ID: "REC01", Roles: []string{"RECEPTION_OFFICER"}})
	d, err := c.desk.Draft(ctx, c.draft.GetId())
	if err != nil {
		c.t.Fatal(err)
	}
	return d.GetForm()
}

// answers are the answers of a page.
func answers(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// fill answers a page of the draft and returns what it leads to.
func (c *counter) fill(page string, pairs ...string) *webtest.Page {
	c.t.Helper()
	p := c.b.Get(c.at + "/" + page)
	if p.Status != http.StatusOK {
		c.t.Fatalf("%s is answered by %d: %s", page, p.Status, p.Main())
	}
	return p.Submit(answers(pairs...))
}

// leads fails unless an answered page leads on to another page of the draft.
func (c *counter) leads(p *webtest.Page, to string) *webtest.Page {
	c.t.Helper()
	if got := p.Header.Get("Location"); p.Status != http.StatusSeeOther || got != c.at+to {
		c.t.Fatalf("answered by %d, leads to %q and not to %q: %q", p.Status, strings.TrimPrefix(got, c.at), to, p.Errors())
	}
	return p.Follow()
}

func peregrine() []string {
	return []string{"given_name", "Peregrine", "family_name", "Tattersby-Quill", "born", "DATE", "date_of_birth-day", "4", "date_of_birth-month", "5", "date_of_birth-year", "2019",
		"relationship", "MOTHER", "parental_responsibility", "YES", "agrees_to_early_help", "YES", "lived_with_before", "YES", "primary_carer_before", "YES"}
}

func inBristol() []string {
	return []string{"where", "ADDRESS", "address", "1 Sixpenny Steps\nLower Fernhollow", "postcode", "zz991aa"}
}

func withGran() []string {
	return []string{"known", "YES", "name", "Gwladys Tattersby", "relationship", "GRANDPARENT", "is_adult", "YES", "has_parental_responsibility", "NO"}
}

func safely() []string {
	return []string{"carer_knows", "YES", "mention", "YES", "safe_manner", "Ring before you come", "safe_times", "after half past three", "language", "cy", "interpreter_needed", "NO"}
}

// described answers every page about one child with a carer in Bristol.
func (c *counter) described() {
	c.t.Helper()
	c.leads(c.fill("children/1", peregrine()...), "/children/1/home")
	c.leads(c.fill("children/1/home", inBristol()...), "/children/1/carer")
	c.leads(c.fill("children/1/carer", withGran()...), "/children/1/safety")
	c.fill("children/1/safety", safely()...)
	c.fill("parent")
}

// One child, from the first page about them to the reference: five pages of questions, and nothing typed twice.
func TestAChildFromPageToReference(t *testing.T) {
	c := atCounter(t, minimum)
	c.leads(c.fill("children/1", peregrine()...), "/children/1/home")
	carer := c.leads(c.fill("children/1/home", inBristol()...), "/children/1/carer")
	if !strings.Contains(carer.Main(), "This will go to: ") || !strings.Contains(carer.Main(), "Bristol") {
		t.Errorf("the page after the address does not say whom it goes to: %s", carer.Main())
	}
	c.leads(c.fill("children/1/carer", withGran()...), "/children/1/safety")
	c.leads(c.fill("children/1/safety", safely()...), "/parent")
	check := c.leads(c.fill("parent"), "/check")
	for _, said := range []string{"Peregrine", "4 May 2019", "Sixpenny", "What the council will see", "What stays here", "A colleague checks every form before it goes", "Gwladys"} {
		if !strings.Contains(check.Main(), said) && !strings.Contains(check.Main(), strings.ReplaceAll(said, "4 May 2019", "2019-05-04")) {
			t.Errorf("the page before sending does not say %q: %s", said, check.Main())
		}
	}
	if strings.Contains(check.Main(), "A0417ZZ") {
		t.Error("the prison number is on the page of what the council sees")
	}
	sent := c.leads(check.Submit(nil), "/sent")
	if !strings.Contains(sent.Main(), "PN-") || !strings.Contains(sent.Main(), "The form is sent") {
		t.Errorf("after sending: %s", sent.Main())
	}
	f := c.form()
	if again := check.Submit(nil); again.Header.Get("Location") != c.at+"/sent" || len(f.GetChildren()) != 0 {
		t.Errorf("the second press is answered by %d to %q", again.Status, again.Header.Get("Location"))
	}
	slip := c.b.Get(linkTo(t, sent, "/slip"))
	if slip.Status != http.StatusOK || !strings.Contains(slip.Main(), "Peregrine") || !strings.Contains(slip.Main(), "Bristol") {
		t.Errorf("the slip is answered by %d: %s", slip.Status, slip.Main())
	}
	if welsh := c.b.Get(linkTo(t, sent, "/slip") + "?in=cy"); welsh.Main() == slip.Main() {
		t.Error("the Welsh slip is English")
	}
}

// linkTo is where the first link leads whose address ends so.
func linkTo(t *testing.T, p *webtest.Page, end string) string {
	t.Helper()
	for _, n := range p.Elements(webtest.Element("a")) {
		if href := webtest.Attribute(n, "href"); strings.HasSuffix(href, end) {
			return href
		}
	}
	t.Fatalf("no link ends in %q: %s", end, p.Main())
	return ""
}
