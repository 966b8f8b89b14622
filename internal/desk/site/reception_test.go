package site_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/desk/site"
	"postern/internal/rpc"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web"
	"postern/internal/web/webtest"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// reception is a desk with its site, and what stands behind it.
type reception struct {
	*testing.T
	x    *testkit.Exchange
	desk *testkit.Desk
	site *web.Site
	dir  string // the folder of arrivals
}

func atReception(t *testing.T) *reception {
	t.Helper()
	x := testkit.NewExchange(t)
	r := &reception{T: t, x: x, desk: x.Desk(testkit.HMPBristol), dir: t.TempDir()}
	r.desk.Restart(func(c *desk.Config) { c.Arrivals = r.dir })
	var err error
	if r.site, err = site.New(r.desk.Desk, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles())); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reception) as(role string) *webtest.Browser { return signintest.As(r.T, r.site, role) }

func (r *reception) file(name, content string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
}

func (r *reception) ctx() context.Context {
	return rpc.WithPerson(r.Context(), rpc.Person{ID: "TEST", Roles: []string{"RESETTLEMENT"}})
}

func (r *reception) drafts() []*localv1.Draft {
	r.Helper()
	all, err := r.desk.Drafts(r.ctx())
	if err != nil {
		r.Fatal(err)
	}
	return all
}

// draft is the one draft there is.
func (r *reception) draft() *localv1.Draft {
	r.Helper()
	all := r.drafts()
	if len(all) != 1 {
		r.Fatalf("there are %d drafts", len(all))
	}
	return all[0]
}

// goes sends a page's form and follows to where it leads, which must be the page at the end of a path.
func (r *reception) goes(p *webtest.Page, answers url.Values, to string) *webtest.Page {
	r.Helper()
	sent := p.Submit(answers)
	at := sent.Header.Get("Location")
	if sent.Status != http.StatusSeeOther || !strings.HasSuffix(at, to) {
		r.Fatalf("the form is answered by %d and leads to %q, not to %q: %v", sent.Status, at, to, sent.Errors())
	}
	return sent.Follow()
}

var today = testkit.Now.Format(time.DateOnly)

// arrivalsList is a list of arrivals with two people of today, and rows with faults.
func arrivalsList(day string) string {
	return "Prison Number,family_name,Given Name,date,reason,cell\n" +
		"A1111ZZ,Fennimore-Pike,Odile," + day + ",NEW_ADMISSION,B2-14\n" +
		"A2222ZZ,Ådahl," + `"Bo"` + "," + day + ",,\n" +
		"not a number,Nobody,At All," + day + ",,\n" +
		"A3333ZZ,,Nameless," + day + ",,\n" +
		`A4444ZZ,"Broken,Quote,` + day + ",,\n" +
		"A1111ZZ,Fennimore-Pike,Odile," + day + ",NEW_ADMISSION,\n" +
		"A5555ZZ,Late,Comer,31/02/2026,,\n"
}

func TestArrivalsToSent(t *testing.T) {
	r := atReception(t)
	r.file("list.csv", arrivalsList(today))
	b := r.as("RECEPTION_OFFICER")
	page := b.Get("/arrivals")
	for _, want := range []string{"Fennimore-Pike, Odile", "Ådahl, Bo", "line 4, prison_number", "line 5, family_name", "line 6", "line 7", "line 8, date"} {
		if !strings.Contains(page.Main(), want) {
			t.Errorf("the list lacks %q: %s", want, page.Main())
		}
	}
	if strings.Contains(page.Body, "B2-14") || strings.Contains(page.Body, "not a number") {
		t.Error("the list shows what stands in another column, or a faulty value")
	}
	tonight := b.Do(http.MethodPost, "/drafts", url.Values{"arrival": {arrivalOf(page, 0)}}).Follow()
	children := r.goes(tonight, url.Values{"answer": {"NO"}}, "/children")
	permission := r.goes(children, url.Values{"answer": {"CHILDREN"}}, "/permission")
	if !strings.Contains(permission.Main(), "You can say no. It will not affect how you are treated.") || !strings.Contains(permission.Main(), "HMP Bristol") {
		t.Errorf("what is read aloud is %q", permission.Main())
	}
	r.goes(permission, url.Values{"answer": {"contact"}, "understood": {"YES"}}, "/children/1")
	d := r.draft().GetForm()
	c := d.GetConsent()
	if d.GetPrisonNumber() != "A1111ZZ" || d.GetParent().GetName().GetFamilyName() != "Fennimore-Pike" || c.GetJurisdiction() != "GB-ENG" || c.GetWitness().GetStaffId() != "RECEPTION_OFFICER" ||
		c.GetNotice().GetLanguage() != "en" || !c.GetNotice().GetReadAloud() || len(c.GetNotice().GetSha256()) != 32 || !c.GetFollowsChild() || c.GetGiveTime() == nil || len(c.GetSections()) != 6 {
		t.Errorf("the draft says %v", d)
	}
	if page := b.Get("/arrivals"); !strings.Contains(page.Main(), "Draft") {
		t.Errorf("the list says %q", page.Main())
	}
	// Whoever begins it again goes on with it.
	if again := r.as("RESETTLEMENT").Do(http.MethodPost, "/drafts", url.Values{"arrival": {arrivalOf(page, 0)}}); !strings.HasSuffix(again.Header.Get("Location"), "/children/1") {
		t.Errorf("beginning again leads to %s", again.Header.Get("Location"))
	}
}

var arrivalValue = regexp.MustCompile(`name="arrival" value="([0-9a-f]+)"`)

// arrivalOf is the button of the somebody on the list.
func arrivalOf(page *webtest.Page, n int) string {
	return arrivalValue.FindAllStringSubmatch(page.Body, -1)[n][1]
}

// The first question needs nothing: no list, no name, no hub, no permission. Its numbers are of this hour.
func TestTonightNeedsNothing(t *testing.T) {
	r := atReception(t)
	r.desk.Link.Down(true)
	b := r.as("RECEPTION_OFFICER")
	tonight := b.Do(http.MethodPost, "/drafts", url.Values{}).Follow()
	if nothing := tonight.Submit(url.Values{}); nothing.Status != http.StatusUnprocessableEntity || len(nothing.Errors()) != 1 {
		t.Errorf("no answer is answered by %d: %v", nothing.Status, nothing.Errors())
	}
	numbers := r.goes(tonight, url.Values{"answer": {"NOT_SURE"}}, "/numbers")
	out, err := r.desk.Tonight(r.ctx(), &localv1.TonightRequest{})
	if err != nil || len(out.GetNumbers()) == 0 {
		t.Fatal(err)
	}
	for _, n := range out.GetNumbers() {
		if !strings.Contains(numbers.Main(), n.GetName()) || !strings.Contains(numbers.Main(), n.GetPhone()) {
			t.Errorf("the numbers lack %s", n.GetName())
		}
	}
	if person := numbers.Click("Go on with the form"); person.Heading() != "Who is it?" {
		t.Errorf("then comes %q", person.Heading())
	}
}

// A refusal, not asking, and no children are recorded by two clicks, counted, and lead on.
func TestWhatIsRecordedWithoutChildren(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []url.Values
		outcome posternv1.EnquiryOutcome
		stage   string
		says    string
	}{
		{"no children", []url.Values{{"answer": {"NO_CHILDREN"}}}, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN, "Asked", "That is all"},
		{"would rather not say", []url.Values{{"answer": {"DECLINED"}}}, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED, "Asked", "safeguarding lead must still think"},
		{"not asked", []url.Values{{"answer": {"NOT_ASKED"}, "why": {"UNWELL"}}}, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED, "Ask again", "Ask again on the day after they came"},
		{"says no to telling", []url.Values{{"answer": {"CHILDREN"}}, {"answer": {"no"}}}, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED, "Asked", "safeguarding lead must still think"},
		{"cannot decide now", []url.Values{{"answer": {"CHILDREN"}}, {"answer": {"later"}}}, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN, "Ask again", "Ask again on the day after they came"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := atReception(t)
			r.file("list.csv", arrivalsList(today))
			b := r.as("RECEPTION_OFFICER")
			at := r.goes(b.Do(http.MethodPost, "/drafts", url.Values{"arrival": {arrivalOf(b.Get("/arrivals"), 0)}}).Follow(), url.Values{"answer": {"NO"}}, "/children")
			for i, answers := range c.answers {
				at = r.goes(at, answers, map[bool]string{true: "/outcome", false: "/permission"}[i == len(c.answers)-1])
			}
			if !strings.Contains(at.Main(), c.says) {
				t.Errorf("it says %q", at.Main())
			}
			done := r.goes(at, nil, "/recorded")
			if again := at.Submit(nil); !strings.HasSuffix(again.Header.Get("Location"), "/recorded") {
				t.Errorf("a second click leads to %q", again.Header.Get("Location"))
			}
			draft := r.draft()
			if got := desk.OutcomeOf(draft); got != c.outcome || len(draft.GetNotificationIds()) != 1 {
				t.Errorf("recorded is %v in %d notifications", got, len(draft.GetNotificationIds()))
			}
			if !strings.Contains(done.Main(), c.says) || !strings.Contains(done.Body, "/slip") {
				t.Errorf("in the end it says %q", done.Main())
			}
			if page := b.Get("/arrivals"); !strings.Contains(page.Main(), c.stage) {
				t.Errorf("the list says %q", page.Main())
			}
			if back := b.Get("/drafts/" + draft.GetId() + "/children"); !strings.HasSuffix(back.Header.Get("Location"), "/recorded") {
				t.Errorf("going back leads to %d %q", back.Status, back.Header.Get("Location"))
			}
		})
	}
}

// Whoever could not be asked stands on the home page on the first day after they came and on the third, and is asked in
// a form that puts the earlier one right.
func TestAskedAgainOnDaysOneAndThree(t *testing.T) {
	r := atReception(t)
	r.file("list.csv", arrivalsList(today))
	b := r.as("RECEPTION_OFFICER")
	ask := func(begin url.Values) {
		at := r.goes(b.Do(http.MethodPost, "/drafts", begin).Follow(), url.Values{"answer": {"NO"}}, "/children")
		r.goes(r.goes(at, url.Values{"answer": {"NOT_ASKED"}, "why": {"LATE"}}, "/outcome"), nil, "/recorded")
	}
	due := func() bool {
		b = r.as("RECEPTION_OFFICER")
		return strings.Contains(b.Get("/").Main(), "Ask again today")
	}
	ask(url.Values{"arrival": {arrivalOf(b.Get("/arrivals"), 0)}})
	first := r.draft()
	if due() {
		t.Error("to be asked again on the same day")
	}
	r.x.Clock.Advance(24 * time.Hour)
	if !due() {
		t.Fatal("nobody is to be asked on the first day after")
	}
	ask(url.Values{"again": {first.GetId()}})
	if all := r.drafts(); len(all) != 2 || all[0].GetForm().GetSupersedes() != first.GetForm().GetFormId() {
		t.Fatalf("there are %d drafts", len(all))
	}
	if due() {
		t.Error("to be asked twice on one day")
	}
	r.x.Clock.Advance(24 * time.Hour)
	if due() {
		t.Error("to be asked on the second day")
	}
	r.x.Clock.Advance(24 * time.Hour)
	if !due() {
		t.Error("nobody is to be asked on the third day")
	}
}

// Who came on another day and was not asked is still to be asked: the home page counts them too and leads to their day, and
// whoever was asked stays off its count for as long as they are listed.
func TestMidnightTakesNobodyOffTheHomePage(t *testing.T) {
	r := atReception(t)
	r.file("list.csv", arrivalsList(today))
	b := r.as("RECEPTION_OFFICER")
	at := r.goes(b.Do(http.MethodPost, "/drafts", url.Values{"arrival": {arrivalOf(b.Get("/arrivals"), 0)}}).Follow(), url.Values{"answer": {"NO"}}, "/children")
	r.goes(r.goes(at, url.Values{"answer": {"NO_CHILDREN"}}, "/outcome"), nil, "/recorded")
	for ago := range desk.ArrivalDays {
		home := r.as("RECEPTION_OFFICER").Get("/")
		if said := "Arrivals: 1 not begun 22 November 2026: 1 not begun"; !strings.Contains(home.Main(), said) {
			t.Errorf("%d days later the page does not say %q: %s", ago, said, home.Main())
		} else if there := home.Click("22 November 2026: 1 not begun"); !strings.Contains(there.Main(), "Fennimore-Pike, Odile") || strings.Count(there.Main(), "Not begun") != 1 {
			t.Errorf("%d days later the link leads to %s", ago, there.Main())
		}
		r.x.Clock.Advance(24 * time.Hour)
		r.x.Settle()
	}
	if home := r.as("RECEPTION_OFFICER").Get("/").Main(); !strings.Contains(home, "Arrivals: 0 not begun Drafts") {
		t.Errorf("after the last day that is listed the page says %s", home)
	}
}

// A page shown before a colleague changed the draft shows what was written once more, and mixes nothing.
func TestTwoTabsOfADraft(t *testing.T) {
	r := atReception(t)
	b := r.as("RECEPTION_OFFICER")
	tonight := b.Do(http.MethodPost, "/drafts", url.Values{}).Follow()
	person := r.goes(tonight, url.Values{"answer": {"NO"}}, "/person")
	other := b.Get("/drafts/" + r.draft().GetId() + "/children")
	r.goes(other, url.Values{"answer": {"CHILDREN"}}, "/permission")
	answers := url.Values{"number": {"a1234bc"}, "given": {"Odile"}, "family": {"Fennimore-Pike"}}
	again := person.Submit(answers)
	if again.Status != http.StatusUnprocessableEntity || !strings.Contains(again.Body, `value="Fennimore-Pike"`) || len(again.Errors()) != 1 {
		t.Fatalf("answered by %d: %v", again.Status, again.Errors())
	}
	r.goes(again, nil, "/permission")
	if f := r.draft().GetForm(); f.GetPrisonNumber() != "A1234BC" || f.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN {
		t.Errorf("kept is %v", f)
	}
	// A second click on the same button is one answer.
	r.goes(again, nil, "/permission")
	// Going back and answering otherwise from a page that was shown before is asked once more, and then holds.
	r.goes(tonight.Submit(url.Values{"answer": {"YES"}}), url.Values{"answer": {"YES"}}, "/numbers")
}

// A session that ends in the middle of a form takes nothing with it but the page that was not sent.
func TestADraftOutlivesTheSession(t *testing.T) {
	r := atReception(t)
	b := r.as("RECEPTION_OFFICER")
	children := r.goes(b.Do(http.MethodPost, "/drafts", url.Values{}).Follow(), url.Values{"answer": {"NO"}}, "/person")
	r.x.Clock.Advance(time.Hour)
	if late := children.Submit(url.Values{"number": {"A1234BC"}, "family": {"Fennimore-Pike"}}); late.Status != http.StatusUnauthorized {
		t.Fatalf("after the session has ended the form is answered by %d", late.Status)
	}
	path := "/drafts/" + r.draft().GetId() + "/person"
	signIn := b.Get(path)
	if !strings.Contains(signIn.Header.Get("Location"), url.QueryEscape(path)) {
		t.Fatalf("the way back is %q", signIn.Header.Get("Location"))
	}
	back := signIn.Follow().Submit(url.Values{"who": {"RESETTLEMENT"}}).Follow()
	if back.Heading() != "Who is it?" {
		t.Errorf("after signing in comes %q", back.Heading())
	}
}

// What somebody writes is text wherever it is shown, and a fault where it cannot be meant.
func TestHostileValues(t *testing.T) {
	r := atReception(t)
	evil := `"><script>alert(1)</script>{{.}}` + "\u202e" + `=cmd|' /C calc'!A0`
	r.file(`"><b>x.csv`, "prison_number,family_name,date\nA1111ZZ,"+`"""><script>alert(1)</script>"`+","+today+"\n"+evil+","+evil+","+evil+"\n")
	b := r.as("RECEPTION_OFFICER")
	page := b.Get("/arrivals")
	if strings.Contains(page.Body, "<script>alert") || strings.Contains(page.Body, "<b>x") || !strings.Contains(page.Main(), "<script>alert(1)") {
		t.Error("a name in a file acts on the list")
	}
	person := r.goes(b.Do(http.MethodPost, "/drafts", url.Values{}).Follow(), url.Values{"answer": {"NO"}}, "/person")
	got := person.Submit(url.Values{"number": {evil}, "given": {evil}, "family": {evil}, "date-day": {evil}, "date-month": {"13"}, "date-year": {"-1"}, "reason": {evil}})
	if got.Status != http.StatusUnprocessableEntity || strings.Contains(got.Body, "<script>alert") {
		t.Errorf("answered by %d", got.Status)
	}
	for _, c := range []struct {
		page    string
		answers url.Values
	}{{"tonight", url.Values{"answer": {evil}}}, {"children", url.Values{"answer": {evil}}}, {"children", url.Values{"answer": {"NOT_ASKED"}, "why": {evil}}},
		{"permission", url.Values{"answer": {"contact"}, "understood": {evil}}}, {"permission", url.Values{"answer": {"contact"}, "understood": {"YES"}, "method": {evil}}},
		{"permission", url.Values{"answer": {evil}}}, {"permission", url.Values{"answer": {"contact"}, "understood": {"YES"}, "language": {evil}}}} {
		before := r.draft()
		form := b.Get("/drafts/" + before.GetId() + "/" + c.page)
		if got := form.Submit(c.answers); got.Status != http.StatusUnprocessableEntity || strings.Contains(got.Body, "<script>alert") {
			t.Errorf("%s with %v is answered by %d", c.page, c.answers, got.Status)
		}
		if r.draft().GetVersion() != before.GetVersion() {
			t.Errorf("%s with %v was kept", c.page, c.answers)
		}
	}
}

// Part by part the person takes out what they do not want told; safety follows the home, and nothing is no permission.
func TestPermissionIsAdjusted(t *testing.T) {
	r := atReception(t)
	b := r.as("RECEPTION_OFFICER")
	r.goes(b.Do(http.MethodPost, "/drafts", url.Values{}).Follow(), url.Values{"answer": {"NO"}}, "/person")
	path := "/drafts/" + r.draft().GetId()
	r.goes(b.Get(path+"/children"), url.Values{"answer": {"CHILDREN"}}, "/permission")
	adjust := r.goes(b.Get(path+"/permission"), url.Values{"answer": {"adjust"}, "understood": {"YES"}, "language": {"other"}, "other": {"pl"}, "how": {"interpreter"}}, "/permission/adjust")
	if got := adjust.Submit(url.Values{"contact": nil, "more": nil}); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("no part is answered by %d", got.Status)
	}
	r.goes(adjust, url.Values{"contact": {"parent/name", "child/{n}/home"}, "more": {"child/{n}/school", "urgency", "../x"}}, "/children/1")
	c := r.draft().GetForm().GetConsent()
	if got := strings.Join(c.GetSections(), " "); got != "parent/name child/{n}/home child/{n}/safety child/{n}/school" {
		t.Errorf("agreed is %s", got)
	}
	if n := c.GetNotice(); n.GetLanguage() != "pl" || n.GetReadAloud() || !n.GetInterpreter() {
		t.Errorf("heard was %v", n)
	}
}

// Practice is marked on every page, goes to the end, and nothing of it leaves the desk.
func TestPracticeIsMarkedAndSendsNothing(t *testing.T) {
	r := atReception(t)
	b := r.as("RECEPTION_OFFICER")
	if none := b.Do(http.MethodPost, "/drafts", url.Values{"practice": {"A9999ZZ"}}); none.Status != http.StatusNotFound {
		t.Errorf("a family that is not there is answered by %d", none.Status)
	}
	tonight := b.Do(http.MethodPost, "/drafts", url.Values{"practice": {"A0003ZZ"}}).Follow()
	at := r.goes(r.goes(tonight, url.Values{"answer": {"NO"}}, "/children"), url.Values{"answer": {"DECLINED"}}, "/outcome")
	done := r.goes(at, nil, "/recorded")
	for _, page := range []*webtest.Page{tonight, at, done} {
		if !strings.Contains(page.Body, "practice with an invented family") {
			t.Errorf("%s is not marked", page.Heading())
		}
	}
	out, err := r.desk.ListNotifications(r.ctx(), &localv1.ListNotificationsRequest{})
	if err != nil || len(out.GetNotifications()) != 0 || !strings.Contains(done.Main(), "nothing was recorded or sent") {
		t.Errorf("%d notifications, %v", len(out.GetNotifications()), err)
	}
}

// A draft is erased after one more question, and is then nowhere.
func TestADraftIsErased(t *testing.T) {
	r := atReception(t)
	b := r.as("RECEPTION_OFFICER")
	b.Do(http.MethodPost, "/drafts", url.Values{})
	path := "/drafts/" + r.draft().GetId()
	r.goes(b.Get(path+"/drop"), nil, "/")
	if got := b.Get(path); got.Status != http.StatusNotFound || len(r.drafts()) != 0 {
		t.Errorf("it is answered by %d, and there are %d drafts", got.Status, len(r.drafts()))
	}
}

// In Welsh every page of the journey says nothing in English.
func TestReceptionInWelsh(t *testing.T) {
	r := atReception(t)
	r.file("list.csv", arrivalsList(today))
	b := r.as("RECEPTION_OFFICER")
	b.Get("/?lang=cy")
	tonight := b.Do(http.MethodPost, "/drafts", url.Values{"arrival": {arrivalOf(b.Get("/arrivals"), 0)}}).Follow()
	if tonight.Heading() != "A allai unrhyw blentyn fod ar ei ben ei hun heno, neu gyda rhywun dan 18?" {
		t.Errorf("the first question is %q", tonight.Heading())
	}
	permission := r.goes(r.goes(tonight, url.Values{"answer": {"NO"}}, "/children"), url.Values{"answer": {"CHILDREN"}}, "/permission")
	r.goes(permission, url.Values{"answer": {"everything"}, "understood": {"YES"}}, "/children/1")
	if got := r.draft().GetForm().GetConsent().GetNotice().GetLanguage(); got != "cy" {
		t.Errorf("the notice was heard in %q", got)
	}
}
