package site_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"google.golang.org/protobuf/proto"
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
	c.draft, err = d.BeginDraft(ctx, &localv1.Draft{Form: f, Answered: []string{"tonight", "person", "children", "permission"}})
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
	check := c.leads(c.fill("children/1/safety", safely()...), "/check")
	for _, said := range []string{"Peregrine", "4 May 2019", "Sixpenny", "What the council will see", "What stays here", "A colleague checks every form before it goes", "Gwladys"} {
		if !strings.Contains(check.Main(), said) && !strings.Contains(check.Main(), strings.ReplaceAll(said, "4 May 2019", "2019-05-04")) {
			t.Errorf("the page before sending does not say %q: %s", said, check.Main())
		}
	}
	if strings.Contains(check.Main(), "A0417ZZ") {
		t.Error("the prison number is on the page of what the council sees")
	}
	sent := c.leads(check.Submit(nil), "/sent")
	if !strings.Contains(sent.Main(), "PN-") || !strings.Contains(sent.Main(), "The form is handed in") {
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

// Whatever is missing or wrong on a page is said in its summary, and nothing is lost or saved.
func TestWhatAPageRefuses(t *testing.T) {
	c := atCounter(t, formtest.Sections())
	c.described()
	with := func(base []string, pairs ...string) []string {
		out := append([]string{}, base...)
		for i := 0; i+1 < len(pairs); i += 2 {
			for j := 0; j+1 < len(out); j += 2 {
				if out[j] == pairs[i] {
					out[j+1] = pairs[i+1]
				}
			}
		}
		return out
	}
	before := c.form()
	for name, try := range map[string]struct {
		page    string
		answers []string
		faults  int
		says    string
	}{
		"no name":                      {"children/1", with(peregrine(), "given_name", "", "family_name", ""), 1, "no name"},
		"nothing at all":               {"children/2", nil, 6, "when the child was born"},
		"a date that is none":          {"children/1", with(peregrine(), "date_of_birth-month", "13"), 1, ""},
		"a grown-up":                   {"children/1", with(peregrine(), "date_of_birth-year", "1980"), 1, ""},
		"born tomorrow":                {"children/1", with(peregrine(), "date_of_birth-year", "2027"), 1, ""},
		"an age in words":              {"children/1", with(peregrine(), "born", "AGE"), 1, "age is missing"},
		"no postcode":                  {"children/1/home", []string{"where", "ADDRESS", "postcode", ""}, 1, "postcode is missing"},
		"half a postcode of several":   {"children/1/home", with(inBristol(), "postcode", "ZZ99"), 1, "several councils"},
		"no postcode at all":           {"children/1/home", with(inBristol(), "postcode", "next to the church"), 1, "not a postcode"},
		"a postcode that is not there": {"children/1/home", with(inBristol(), "postcode", "ZZ94 9ZZ"), 1, "not in the table"},
		"a postcode in Scotland":       {"children/1/home", with(inBristol(), "postcode", "EH1 1AA"), 1, "Scotland"},
		"another council":              {"children/1/home", append(inBristol(), "council", testkit.Lancashire), 1, "is chosen"},
		"nowhere and no council":       {"children/1/home", []string{"where", "NOT_KNOWN", "council", ""}, 1, "which council"},
		"in care of nobody":            {"children/1/home", []string{"where", "IN_CARE", "council", ""}, 1, "which council"},
		"no telephone number":          {"children/1/carer", append(withGran(), "carer_phone", "ask Bronwen"), 1, ""},
		"no word of who it is":         {"children/1/carer", []string{"known", "YES", "name", "", "relationship", "", "is_adult", "YES"}, 1, "who has the child"},
		"a foster carer, not in care":  {"children/1/carer", with(withGran(), "relationship", "FOSTER_CARER"), 1, ""},
		"safety left out":              {"children/1/safety", []string{"carer_knows", "", "mention", ""}, 2, "whether"},
		"far too many words":           {"children/1/safety", with(safely(), "safe_manner", strings.Repeat("knock ", 80)), 1, ""},
		"no parent":                    {"parent", []string{"given_name", "", "family_name", ""}, 1, "name is missing"},
		"a parent of nine":             {"parent", []string{"date_of_birth-day", "1", "date_of_birth-month", "1", "date_of_birth-year", "2018"}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.b.Get(c.at + "/" + try.page).Submit(answers(try.answers...))
			if p.Status != http.StatusUnprocessableEntity || len(p.Errors()) != try.faults || !strings.Contains(strings.Join(p.Errors(), "\n"), try.says) {
				t.Errorf("answered by %d: %q", p.Status, p.Errors())
			}
			for _, n := range p.Elements(webtest.Element("a")) { // every fault leads to a field that is there
				if href := webtest.Attribute(n, "href"); strings.HasPrefix(href, "#") && href != "#main-content" {
					if len(p.Elements(func(m *html.Node) bool { return webtest.Attribute(m, "id") == href[1:] })) != 1 {
						t.Errorf("%s leads nowhere", href)
					}
				}
			}
		})
	}
	if got := c.form(); !proto.Equal(got, before) {
		t.Errorf("something of it was saved:\n%v\n%v", got, before)
	}
}

// A council that is not the postcode's needs somebody to have checked, and then it stands.
func TestNearABoundaryAPersonDecides(t *testing.T) {
	c := atCounter(t, minimum)
	c.leads(c.fill("children/1", peregrine()...), "/children/1/home")
	p := c.fill("children/1/home", append(inBristol(), "council", testkit.Lancashire)...)
	next := c.leads(p.Submit(answers("checked", "YES")), "/children/1/carer")
	if !strings.Contains(next.Main(), "you have checked this one") {
		t.Errorf("the next page says %q", next.Main())
	}
	if child := c.form().GetChildren()[0]; child.GetAuthority() != testkit.Lancashire || !child.GetAuthorityChecked() {
		t.Errorf("kept %v", child)
	}
}

// An address that nobody may know is not kept, wherever it was typed before, and neither is that of a child in care.
func TestSomeAddressesAreNeverWrittenDown(t *testing.T) {
	for answer, known := range map[string]posternv1.Known{"CONFIDENTIAL": posternv1.Known_KNOWN_DECLINED, "IN_CARE": posternv1.Known_KNOWN_NOT_ASKED, "NOT_KNOWN": posternv1.Known_KNOWN_NOT_KNOWN} {
		t.Run(answer, func(t *testing.T) {
			c := atCounter(t, minimum)
			c.leads(c.fill("children/1", peregrine()...), "/children/1/home")
			c.leads(c.fill("children/1/home", inBristol()...), "/children/1/carer")
			c.leads(c.fill("children/1/home", "where", answer, "council", testkit.Bristol), "/children/1/carer")
			child := c.form().GetChildren()[0]
			if h := child.GetHome(); len(h.GetAddressLines()) > 0 || h.GetPostcode() != "" || h.GetProvenance().GetKnown() != known {
				t.Errorf("kept %v", h)
			}
			if child.GetInCare() != (answer == "IN_CARE") || child.GetAddressConfidential() != (answer == "CONFIDENTIAL") || child.GetAuthority() != testkit.Bristol {
				t.Errorf("kept %v", child)
			}
		})
	}
}

// A council that cannot receive yet, here one in Wales, is said to be so before anything is sent, and the form goes to a person.
func TestACouncilThatCannotReceive(t *testing.T) {
	c := atCounter(t, minimum)
	c.leads(c.fill("children/1", peregrine()...), "/children/1/home")
	carer := c.leads(c.fill("children/1/home", "where", "NOT_KNOWN", "council", testkit.Wrexham), "/children/1/carer")
	if !strings.Contains(carer.Main(), "cannot receive forms yet") {
		t.Errorf("the page says %s", carer.Main())
	}
	c.leads(c.fill("children/1/carer", withGran()...), "/children/1/safety")
	c.fill("children/1/safety", safely()...)
	check := c.leads(c.fill("parent"), "/check")
	if !strings.Contains(check.Main(), "a person here decides") || !strings.Contains(check.Main(), "the council will see nothing") {
		t.Errorf("the page says %s", check.Main())
	}
	if sent := c.leads(check.Submit(nil), "/sent"); !strings.Contains(sent.Main(), "The form is handed in") || strings.Contains(sent.Main(), "is sent") {
		t.Errorf("after sending: %s", sent.Main())
	}
}

// Nobody grown up is known to have the child: the numbers of this hour come at once, of the council where the child is.
func TestWithoutACarerTheNumbersComeAtOnce(t *testing.T) {
	for name, said := range map[string][]string{
		"nobody knows":     {"known", "NO"},
		"somebody of 16":   {"known", "YES", "relationship", "OTHER", "is_adult", "NO"},
		"nobody knows age": {"known", "YES", "name", "Uncle Bob", "is_adult", "NOT_KNOWN"},
	} {
		t.Run(name, func(t *testing.T) {
			c := atCounter(t, minimum)
			c.leads(c.fill("children/1", peregrine()...), "/children/1/home")
			c.leads(c.fill("children/1/home", inBristol()...), "/children/1/carer")
			numbers := c.leads(c.fill("children/1/carer", said...), "/numbers")
			if !strings.Contains(numbers.Main(), "Bristol") || strings.Contains(numbers.Main(), "Lancashire") || !strings.Contains(numbers.Main(), "999") {
				t.Errorf("the numbers are %s", numbers.Main())
			}
		})
	}
}

// A second child at the same address needs no address, carer and safety typed again: they are filled in, to be seen.
func TestASisterAtTheSameAddress(t *testing.T) {
	c := atCounter(t, minimum)
	c.leads(c.fill("children/1", append(peregrine(), "then", "another")...), "/children/2")
	c.leads(c.fill("children/2", "given_name", "Petronella", "born", "AGE", "age_years", "0", "relationship", "MOTHER", "parental_responsibility", "NOT_KNOWN",
		"lived_with_before", "SHARED", "primary_carer_before", "NO"), "/children/2/home")
	c.leads(c.fill("children/1/home", inBristol()...), "/children/1/carer")
	c.leads(c.fill("children/1/carer", withGran()...), "/children/1/safety")
	c.leads(c.fill("children/1/safety", safely()...), "/children/2/home")
	carer := c.leads(c.fill("children/2/home", "where", "SAME_1"), "/children/2/carer")
	if !strings.Contains(carer.Main(), "those about the other child") || c.form().GetChildren()[1].GetCarer() != nil {
		t.Error("the answers of the other child are not offered, or are kept before anybody saw them")
	}
	c.leads(carer.Submit(nil), "/children/2/safety").Submit(nil)
	all := c.form().GetChildren()
	if len(all) != 2 || all[1].GetHome().GetSameAsChild() != 1 || all[1].GetCarer().GetName() != "Gwladys Tattersby" || all[1].GetSafety().GetLanguage() != "cy" || all[1].GetIdentity().GetAgeYears() != 0 {
		t.Errorf("kept %v", all)
	}
	c.fill("parent")
	if check := c.b.Get(c.at + "/check"); !strings.Contains(check.Main(), "Petronella") || !strings.Contains(check.Main(), "When you send this, it goes to") {
		t.Errorf("the page before sending says %s", check.Main())
	}
	// Taken out again: once, whoever presses twice; whoever lived with the child keeps the address.
	gone := c.b.Get(c.at + "/children/1/remove")
	gone.Submit(nil)
	gone.Submit(nil)
	all = c.form().GetChildren()
	if len(all) != 1 || all[0].GetHome().GetPostcode() != "zz991aa" || all[0].GetHome().GetSameAsChild() != 0 || all[0].GetIdentity().GetGivenName() != "Petronella" {
		t.Errorf("left is %v", all)
	}
}

// There is room for sixteen children and no more.
func TestSixteenChildren(t *testing.T) {
	c := atCounter(t, minimum)
	for n := 1; n <= 16; n++ {
		c.leads(c.fill(fmt.Sprintf("children/%d", n), peregrine()...), fmt.Sprintf("/children/%d/home", n))
	}
	for path, status := range map[string]int{"children/16": 200, "children/17": 404, "children/0": 404, "children/01": 404, "children/x": 404, "children/17/home": 404, "children/17/remove": 404} {
		if p := c.b.Get(c.at + "/" + path); p.Status != status {
			t.Errorf("%s is answered by %d", path, p.Status)
		}
	}
	if strings.Contains(c.b.Get(c.at+"/check").Main(), "Add another child") {
		t.Error("a seventeenth is offered")
	}
}

// A form that is not whole says what is missing and leads to each, and cannot be sent.
func TestWhatIsMissingIsSaidBeforeSending(t *testing.T) {
	c := atCounter(t, minimum, func(f *posternv1.Form) { f.Parent = nil })
	c.leads(c.fill("children/1", peregrine()...), "/children/1/home")
	check := c.b.Get(c.at + "/check")
	if !strings.Contains(check.Main(), "Still to be answered") || !strings.Contains(check.Main(), "Not asked yet") {
		t.Errorf("the page says %s", check.Main())
	}
	linkTo(t, check, "/children/1/home?to=check")
	linkTo(t, check, "/parent?to=check")
	if len(check.Elements(func(n *html.Node) bool { return webtest.Attribute(n, "name") == "version" })) > 0 {
		t.Error("it can be sent")
	}
	if p := c.b.Do(http.MethodPost, c.at+"/check", url.Values{"version": {"2"}}); p.Header.Get("Location") != c.at+"/check" {
		t.Errorf("sent all the same: %d", p.Status)
	}
	back := c.leads(c.b.Get(c.at+"/children/1/home?to=check").Submit(answers(inBristol()...)), "/check")
	if strings.Contains(back.Main(), "which authority") {
		t.Error("what was answered is still missing")
	}
}

// The hub is down: the form is queued, and goes by itself when the hub is back.
func TestWithoutTheHubTheFormIsQueued(t *testing.T) {
	c := atCounter(t, minimum)
	c.described()
	c.desk.Link.Down(true)
	check := c.b.Get(c.at + "/check")
	sent := c.leads(check.Submit(nil), "/sent")
	if !strings.Contains(sent.Main(), "The form is queued") || !strings.Contains(sent.Main(), "Nothing is lost") {
		t.Errorf("the page says %s", sent.Main())
	}
	c.desk.Link.Down(false)
	c.x.Clock.Advance(time.Hour)
	c.x.Settle()
	if again := c.b.Get(c.at + "/sent"); strings.Contains(again.Main(), "queued") {
		t.Errorf("after the hub is back the page says %s", again.Main())
	}
}

// What somebody writes is text, in every field, on every page: it comes back as it was written and is never a part of a page.
func TestHostileValuesAreText(t *testing.T) {
	c := atCounter(t, formtest.Sections())
	evil := `"><script>x()</script>{{.}}'--<img src=x onerror=x()>` + "\u202e"
	c.leads(c.fill("children/1", "given_name", evil, "family_name", evil, "known_as", evil, "born", "AGE", "age_years", "7", "relationship", "MOTHER", "parental_responsibility", "YES",
		"lived_with_before", "YES", "primary_carer_before", "YES"), "/children/1/home")
	c.leads(c.fill("children/1/home", "where", "ADDRESS", "address", evil+"\n"+evil, "postcode", "ZZ99 1AA"), "/children/1/carer")
	c.leads(c.fill("children/1/carer", "known", "YES", "name", evil, "is_adult", "YES"), "/children/1/safety")
	c.leads(c.fill("children/1/safety", "carer_knows", "YES", "mention", "NO", "safe_manner", evil, "safe_times", evil), "/children/1/more")
	c.leads(c.fill("children/1/more", "setting_name", evil, "communication_needs", evil, "has_worker", "YES", "team_name", evil, "needs", "HEALTH"), "/parent")
	c.leads(c.fill("parent", "given_name", evil, "family_name", evil), "/check")
	child, parent := c.form().GetChildren()[0], c.form().GetParent()
	for where, got := range map[string]string{"given": child.GetIdentity().GetGivenName(), "family": child.GetIdentity().GetFamilyName(), "known as": child.GetIdentity().GetKnownAs(),
		"line": child.GetHome().GetAddressLines()[1], "carer": child.GetCarer().GetName(), "manner": child.GetSafety().GetSafeManner(), "times": child.GetSafety().GetSafeTimes(),
		"school": child.GetSchool().GetSettingName(), "communication": child.GetNeeds().GetCommunicationNeeds(), "team": child.GetWorker().GetTeamName(), "parent": parent.GetName().GetFamilyName()} {
		if got != evil {
			t.Errorf("%s is kept as %q", where, got)
		}
	}
	for _, page := range []string{"", "/children/1", "/children/1/home", "/children/1/carer", "/children/1/safety", "/children/1/more", "/children/1/remove", "/children/2", "/parent", "/check"} {
		p := c.b.Get(c.at + page)
		if p.Status != http.StatusOK || strings.Contains(p.Body, "<script>x()") || strings.Contains(p.Body, "<img src=x") {
			t.Errorf("%s is answered by %d, and what was written is a part of the page", page, p.Status)
		}
	}
	sent := c.leads(c.b.Get(c.at+"/check").Submit(nil), "/sent")
	slip := c.b.Get(linkTo(t, sent, "/slip"))
	if slip.Status != http.StatusOK || strings.Contains(slip.Body, "<script>x()") || strings.Contains(slip.Body, "\u202e") {
		t.Error("what was written acts on the slip")
	}
}

// In Welsh every page is Welsh.
func TestThePagesInWelsh(t *testing.T) {
	c := atCounter(t, formtest.Sections())
	c.described()
	c.b.Header.Set("Accept-Language", "cy")
	for page, heading := range map[string]string{"/children/1": "Am y plentyn", "/children/1/home": "Ble mae’r plentyn yn byw?", "/children/1/carer": "Pwy sydd â’r plentyn heno?",
		"/children/1/safety": "Sut gall y tîm gysylltu’n ddiogel?", "/children/1/more": "Mwy am y plentyn", "/parent": "Am y person yn y carchar", "/check": "Gwirio ac anfon"} {
		if p := c.b.Get(c.at + page); p.Heading() != heading || strings.Contains(p.Body, "[fill.") {
			t.Errorf("%s is headed %q", page, p.Heading())
		}
	}
}

// What stays as it was known keeps its source and its day; what is changed was said by the parent today.
func TestHowAnAnswerIsKnown(t *testing.T) {
	c := atCounter(t, minimum)
	c.fill("parent")
	if p := c.form().GetParent().GetName().GetProvenance(); p.GetBasis() != posternv1.Basis_BASIS_RECORD {
		t.Errorf("the name of the record is now known by %v", p)
	}
	c.fill("parent", "given_name", "Morwen")
	if p := c.form().GetParent().GetName().GetProvenance(); p.GetBasis() != posternv1.Basis_BASIS_PARENT_SAID || p.GetAsOfDate() != c.x.Clock.Now().Format(time.DateOnly) {
		t.Errorf("a name that was put right is known by %v", p)
	}
}
