package site_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/inbox/site"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web"
	"postern/internal/web/webtest"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// at is the site of the team at Bristol.
func at(t *testing.T, x *testkit.Exchange) *web.Site {
	t.Helper()
	s, err := site.New(x.Inbox(testkit.Bristol).Inbox, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// families are so many invented families that the team has received, each another one.
func families(t *testing.T, x *testkit.Exchange, n int) (ids []string) {
	t.Helper()
	for i := range n {
		f := formtest.New(testkit.Bristol)
		f.PrisonNumber = fmt.Sprintf("A%04dZZ", i)
		f.GetParent().GetName().FamilyName = fmt.Sprintf("Sampleton-%c%c", 'a'+i%26, 'a'+i/26)
		f.GetChildren()[0].GetIdentity().FamilyName = f.GetParent().GetName().GetFamilyName()
		f.GetChildren()[0].GetHome().AddressLines = []string{fmt.Sprintf("%d Invented Road", i+1)}
		ids = append(ids, x.Desk(testkit.HMPBristol).Take(f)[0])
	}
	x.Settle()
	return ids
}

// references are the rows of the table in their order.
func references(p *webtest.Page) (all []string) {
	for _, text := range p.Texts(webtest.Element("a")) {
		if strings.HasPrefix(text, "PN-") {
			all = append(all, text)
		}
	}
	return all
}

func path(id string, more ...string) string {
	return strings.Join(append([]string{"/notifications", envelope.Reference(id)}, more...), "/")
}

func TestADutyWorkerTakesReadsAndAnswers(t *testing.T) {
	x, b, id := arrived(t)
	assign := b.Get(path(id)).Click("Take it, or give it to a colleague")
	page := assign.Submit(nil).Follow()
	if !strings.Contains(page.Main(), "It is with you.") {
		t.Errorf("taken, it shows as %s", page.Main())
	}
	reply := page.Click("Acknowledge and answer")
	if wrong := reply.Submit(nil); wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 1 {
		t.Errorf("no answer is answered by %d, %v", wrong.Status, wrong.Errors())
	}
	if wrong := reply.Submit(url.Values{"reply": {"NEEDS_DETAIL"}}); wrong.Status != http.StatusUnprocessableEntity {
		t.Errorf("detail of nothing is answered by %d", wrong.Status)
	}
	sent := reply.Submit(url.Values{"reply": {"ALREADY_KNOWN"}})
	again := reply.Submit(url.Values{"reply": {"ALREADY_KNOWN"}}) // gone back to and pressed once more
	if sent.Status != http.StatusSeeOther || again.Status != http.StatusSeeOther {
		t.Errorf("answered by %d, again by %d", sent.Status, again.Status)
	}
	page = again.Follow()
	if n := strings.Count(page.Main(), "answered: The family is known to us already"); n != 1 {
		t.Errorf("it is recorded %d times: %s", n, page.Main())
	}
	page.Click("Record what came of it").Submit(url.Values{"outcome": {"OFFER_ACCEPTED"}}).Follow()
	page = b.Get(path(id)).Click("Record that the carer or a child was told").Submit(url.Values{"whom": {"0"}, "how": {"PHONE"}}).Follow()
	for _, want := range []string{"Help was accepted", "The carer was told on", "by telephone"} {
		if !strings.Contains(page.Main(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if list := b.Get("/?show=over"); len(references(list)) != 1 || len(references(b.Get("/"))) != 0 {
		t.Errorf("what is done shows as %s", list.Main())
	}
	x.Settle()
}

func TestTheSecondWorkerSeesWhatTheFirstDid(t *testing.T) {
	x, _, id := arrived(t)
	s := at(t, x)
	lee, max := signintest.As(t, s, "DUTY_WORKER"), signintest.As(t, s, "TEAM_MANAGER")
	hers, his := lee.Get(path(id, "reply")), max.Get(path(id, "reply"))
	list := max.Get("/")
	hers.Submit(url.Values{"reply": {"ACCEPTED_FOR_CONTACT"}})
	late := his.Submit(url.Values{"reply": {"CANNOT_TRACE"}})
	if late.Status != http.StatusConflict || !strings.Contains(late.Main(), "A colleague was quicker") || !strings.Contains(late.Main(), "DUTY_WORKER") ||
		strings.Contains(late.Main(), "cannot trace") {
		t.Errorf("the second is told with %d: %s", late.Status, late.Main())
	}
	picked := list.Submit(url.Values{"pick": {envelope.Reference(id) + ".0"}})
	if picked.Status != http.StatusConflict || !strings.Contains(picked.Main(), "A colleague did something about these") {
		t.Errorf("assigning what was answered is answered by %d", picked.Status)
	}
}

func TestManyAreAssignedAtOnceAndFiltered(t *testing.T) {
	x := testkit.NewExchange(t)
	ids := families(t, x, 5)
	b := signintest.As(t, at(t, x), "ALL")
	list := b.Get("/")
	if wrong := list.Submit(nil); wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 1 {
		t.Errorf("none chosen is answered by %d, %v", wrong.Status, wrong.Errors())
	}
	var picked []string
	for _, id := range ids[:3] {
		picked = append(picked, envelope.Reference(id)+".0")
	}
	for range 2 {
		if done := list.Submit(url.Values{"pick": picked}); done.Status != http.StatusSeeOther {
			t.Fatalf("answered by %d: %s", done.Status, done.Main())
		}
	}
	for query, want := range map[string]int{"/": 5, "/?who=mine": 3, "/?who=nobody": 2, "/?due=overdue": 0, "/?show=answered": 0, "/?show=all": 5, "/?show=nothing-of-ours": 5} {
		if got := references(b.Get(query)); len(got) != want {
			t.Errorf("%s has %d rows, want %d", query, len(got), want)
		}
	}
	b.Get("/?who=mine").Submit(url.Values{"pick": {envelope.Reference(ids[0]) + ".1"}, "to": {"-"}})
	if got := references(b.Get("/?who=nobody")); len(got) != 3 {
		t.Errorf("given back, %d are with nobody", len(got))
	}
	for _, wrong := range []string{"PN-0000-0000", envelope.Reference(ids[0]) + ".x"} {
		if got := b.Do(http.MethodPost, "/", url.Values{"pick": {wrong}, "to": {"ALL"}}); got.Status != http.StatusBadRequest {
			t.Errorf("the row %q is answered by %d", wrong, got.Status)
		}
	}
}

// At 08:30 with forty waiting, the first row is what to do first; with four hundred there is still a page.
func TestFortyAndFourHundredWait(t *testing.T) {
	x := testkit.NewExchange(t)
	first := families(t, x, 40)
	if _, err := x.Desk(testkit.HMPBristol).Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: first[30], Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	urgent := x.Desk(testkit.HMPBristol).Take(formtest.Urgent(testkit.Bristol, 1))
	x.Settle()
	b := signintest.As(t, at(t, x), "DUTY_WORKER")
	rows := references(b.Get("/"))
	if len(rows) != 41 || rows[0] != envelope.Reference(urgent[0]) || rows[1] != envelope.Reference(first[30]) {
		t.Errorf("%d rows begin with %v, want the urgent %s and the withdrawn %s", len(rows), rows[:3], envelope.Reference(urgent[0]), envelope.Reference(first[30]))
	}
	if main := b.Get("/").Main(); strings.Contains(main, "Sampleton") || !strings.Contains(main, "ZZ99") {
		t.Error("the table names people, or no areas")
	}
	for len(rows) < testkit.N(60, 400) {
		x.Clock.Advance(testkit.MaxWait)
		for i := range 20 {
			f := formtest.New(testkit.Bristol)
			f.PrisonNumber = fmt.Sprintf("B%04dZZ", len(rows)+i)
			f.GetParent().GetName().GivenName = fmt.Sprintf("Sample-%c%c", 'a'+(len(rows)+i)%26, 'a'+(len(rows)+i)/26)
			x.Desk(testkit.HMPBristol).Take(f)
		}
		x.Settle()
		before := len(rows)
		if rows = references(b.Get("/")); len(rows) != before+20 {
			t.Fatalf("%d rows became %d", before, len(rows))
		}
	}
}

func TestPassingOnByACorrectedPostcode(t *testing.T) {
	x := testkit.NewExchange(t)
	form := formtest.New(testkit.Bristol)
	id := x.Desk(testkit.HMPParc).Take(form)[0] // which may share with both teams
	x.Settle()
	x.Inbox(testkit.Lancashire)
	b := signintest.As(t, at(t, x), "DUTY_WORKER")
	where := b.Get(path(id)).Click("Not our area: pass it on")
	for _, wrong := range []url.Values{nil, {"postcode": {"nonsense"}}, {"postcode": {"ZZ99 9ZZ"}}, {"authority": {"E99999999"}}, {"postcode": {form.GetChildren()[0].GetHome().GetPostcode()}}} {
		if got := where.Submit(wrong); got.Status != http.StatusUnprocessableEntity || len(got.Errors()) != 1 {
			t.Errorf("%v is answered by %d, %v", wrong, got.Status, got.Errors())
		}
	}
	sent := where.Submit(url.Values{"authority": {testkit.Lancashire}})
	if to := sent.Header.Get("Location"); sent.Status != http.StatusSeeOther || !strings.HasSuffix(to, "/redirect?to="+testkit.Lancashire) {
		t.Fatalf("answered by %d to %s", sent.Status, to)
	}
	confirm := sent.Follow()
	if !strings.Contains(confirm.Main(), "This will go to:") || !strings.Contains(confirm.Main(), "Lancashire") {
		t.Errorf("it is not said where it goes: %s", confirm.Main())
	}
	first, second := confirm.Submit(nil), confirm.Submit(nil)
	if first.Status != http.StatusSeeOther || second.Status != http.StatusSeeOther {
		t.Errorf("answered by %d, again by %d: %s", first.Status, second.Status, second.Main())
	}
	x.Settle()
	page := b.Get(path(id))
	if n := strings.Count(page.Main(), "passed it on to Lancashire"); n != 1 {
		t.Errorf("passing on is recorded %d times: %s", n, page.Main())
	}
	if items := x.Inbox(testkit.Lancashire).Items(); len(items) != 1 {
		t.Errorf("Lancashire has %d", len(items))
	}
}

func TestDownloadsAreInertAndNameNobody(t *testing.T) {
	x := testkit.NewExchange(t)
	form := formtest.New(testkit.Bristol)
	form.GetChildren()[0].GetIdentity().FamilyName = `=HYPERLINK("http://evil.example","x")`
	form.GetChildren()[0].GetSafety().SafeManner = "@SUM(1+1)*cmd|' /C calc'!A0"
	id := x.Desk(testkit.HMPBristol).Take(form)[0]
	x.Settle()
	b := signintest.As(t, at(t, x), "DUTY_WORKER")
	got := b.Get(path(id, "file", "csv"))
	if want := `attachment; filename="` + envelope.Reference(id) + `.csv"`; got.Header.Get("Content-Disposition") != want {
		t.Errorf("named %s", got.Header.Get("Content-Disposition"))
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(got.Body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) < 10 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	found := 0
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "@") || strings.HasPrefix(cell, "+") {
				t.Errorf("a spreadsheet would run %q", cell)
			}
			if strings.Contains(cell, "HYPERLINK") || strings.Contains(cell, "SUM(") {
				found++
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of what was written is there", found)
	}
	if rows[0][1] != "Prison" || rows[1][1] != "HMP Bristol" {
		t.Errorf("the sheet begins with %q, %q", rows[0], rows[1])
	}
	var file struct {
		Item struct {
			Reference  string
			PrisonID   string `json:"prison_id"`
			PrisonName string `json:"prison_name"`
		}
		Sections  map[string]map[string]any
		NotShared []string `json:"not_shared"`
	}
	if err := json.Unmarshal([]byte(b.Get(path(id, "file", "json")).Body), &file); err != nil || file.Item.Reference != envelope.Reference(id) ||
		file.Item.PrisonID != testkit.HMPBristol || file.Item.PrisonName != "HMP Bristol" || file.Sections["child/1/identity"]["family_name"] != form.GetChildren()[0].GetIdentity().GetFamilyName() {
		t.Errorf("%v: %v", err, file)
	}
	if other := b.Get(path(id, "file", "xlsx")); other.Status != http.StatusNotFound {
		t.Errorf("another kind is answered by %d", other.Status)
	}
}

// What a person opens is in the language of the page it came from; what a machine reads is the same in both.
func TestDownloadsInWelsh(t *testing.T) {
	_, b, id := arrived(t)
	json := b.Get(path(id, "file", "json")).Body
	b.Get("/?lang=cy").Follow()
	if cy := b.Get(path(id, "file", "json")).Body; cy != json {
		t.Errorf("the JSON differs in Welsh: %s", cy)
	}
	body := b.Get(path(id, "file", "csv")).Body
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) < 10 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if got := strings.Join(rows[0], " "); got != "Cyfeirnod Carchar Plentyn Rhan Gofynnwyd Ateb Yn hysbys Sut y mae’n hysbys Ar" {
		t.Errorf("the sheet begins with %s", got)
	}
	for _, want := range []string{"Heb ei rannu", "Cyfenw", "Cod post"} {
		if !strings.Contains(body, want) {
			t.Errorf("the sheet does not say %q", want)
		}
	}
	for _, not := range []string{"NOT_SHARED", "KNOWN", "PARENT_SAID", "Family name", "Not shared", "identity", "Yes"} {
		if strings.Contains(body, not) {
			t.Errorf("the Welsh sheet says %q", not)
		}
	}
}

// The page names the prison, also while the hub is down and after a start; without a directory it says the code.
func TestThePrisonHasAName(t *testing.T) {
	x, b, id := arrived(t)
	if got := b.Get(path(id)).Main(); !strings.Contains(got, "From HMP Bristol, received") || strings.Contains(got, "BLI") {
		t.Errorf("the page says %s", got)
	}
	x.Inbox(testkit.Bristol).Restart(func(c *inbox.Config) { c.Directory = nil })
	if got := signintest.As(t, at(t, x), "ALL").Get(path(id)).Main(); !strings.Contains(got, "From HMP Bristol, received") {
		t.Errorf("after a start, without a way to the directory, the page says %s", got)
	}
	cut := testkit.NewExchange(t)
	in := cut.Inbox(testkit.Bristol)
	in.Restart(func(c *inbox.Config) { c.Directory = nil })
	other := cut.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	cut.Settle()
	if got := signintest.As(t, at(t, cut), "ALL").Get(path(other)).Main(); !strings.Contains(got, "From the prison with the code BLI, received") {
		t.Errorf("without a directory the page says %s", got)
	}
}

func TestTheTeamsPage(t *testing.T) {
	x, b, _ := arrived(t)
	page := b.Get("/team")
	for _, want := range []string{"A team manager can change these", "What the directory says of you", "It is not changed here", testkit.HubPhone, "No test alert can be sent"} {
		if !strings.Contains(page.Main(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	max := signintest.As(t, at(t, x), "TEAM_MANAGER")
	form := max.Get("/team").Click("Change these settings")
	wrong := form.Submit(url.Values{"day1": {"17:00-08:00"}, "answer_days": {"soon"}})
	if wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 2 {
		t.Errorf("answered by %d, %v", wrong.Status, wrong.Errors())
	}
	wrong = form.Submit(url.Values{"holidays": {"Christmas"}, "colleagues": {"LEE"}, "deputies": {"NOBODY"}, "leave": {"LEE next week"}, "alert_addresses": {"nobody"}})
	if wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 5 {
		t.Errorf("answered by %d, %v", wrong.Status, wrong.Errors())
	}
	right := url.Values{"day6": {"9-12, 13.30-16"}, "holidays": {"2026-12-25 Christmas Day"}, "colleagues": {"DUTY_WORKER Robin Example\nLEE Lee <script>alert(1)</script> lee@earlyhelp.example"}, "deputies": {"LEE"}, "leave": {"LEE 2026-12-24\nLEE 2026-01-01 2027-12-31"}, "alert_addresses": {"duty@earlyhelp.example"}}
	for range 2 {
		if saved := form.Submit(right); saved.Status != http.StatusSeeOther {
			t.Fatalf("answered by %d, %v", saved.Status, saved.Errors())
		}
	}
	page = max.Get("/team")
	for _, want := range []string{"Saturday 09:00–12:00", "Saturday 13:30–16:00", "Monday to Friday 08:30–17:00", "25 December 2026 Christmas Day", "Lee <script>alert(1)</script> (LEE), lee@earlyhelp.example", "Lee <script>alert(1)</script>: 24 December 2026 to 24 December 2026", "Deputies are told by mail, and this inbox sends none", "you: changed the settings"} {
		if !strings.Contains(page.Main(), want) {
			t.Errorf("the page does not say %q: %s", want, page.Main())
		}
	}
	if late := form.Submit(url.Values{"answer_days": {"3"}}); late.Status != http.StatusConflict {
		t.Errorf("settings that somebody changed meanwhile are answered by %d", late.Status)
	}
	if !strings.Contains(b.Get("/").Body, "Lee &lt;script&gt;alert(1)&lt;/script&gt; (away)") {
		t.Error("a colleague cannot be chosen")
	}
}

// A page in Welsh has no English label left of a section.
func TestANotificationInWelsh(t *testing.T) {
	_, b, id := arrived(t)
	main := b.Get(path(id) + "?lang=cy").Follow().Main()
	for _, want := range []string{"Cyn cysylltu: plentyn 1", "Heb ei rannu", "Caniatâd tan", "Cyfenw", "Cod post", "dywedodd y rhiant"} {
		if !strings.Contains(main, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, english := range []string{"Family name", "Postcode", "parent said", "Not shared", "not known"} {
		if strings.Contains(main, english) {
			t.Errorf("the Welsh page says %q", english)
		}
	}
}

// Whatever stands in a field is text: no element and no attribute is made of it.
func TestHostileValuesInEveryField(t *testing.T) {
	x := testkit.NewExchange(t)
	const evil = `"><img src=x onerror=alert(1)>`
	form := formtest.New(testkit.Bristol)
	c := form.GetChildren()[0]
	form.GetParent().GetName().GivenName, form.GetParent().GetName().FamilyName = evil, evil
	c.GetIdentity().GivenName, c.GetIdentity().FamilyName, c.GetIdentity().KnownAs = evil, evil, evil
	c.GetCarer().Name, c.GetSafety().SafeManner, c.GetSafety().SafeTimes = evil, evil, evil
	c.GetHome().AddressLines = []string{evil}
	ids := x.Desk(testkit.HMPBristol).Take(form)
	x.Settle()
	b := signintest.As(t, at(t, x), "ALL")
	for _, p := range []string{"/", path(ids[0]), path(ids[0], "reply"), path(ids[0], "assign"), path(ids[0], "told"), path(ids[0], "outcome"), path(ids[0], "redirect")} {
		page := b.Get(p)
		if page.Status != http.StatusOK || len(page.Elements(webtest.Element("img"))) > 0 {
			t.Errorf("%s: %d, with a picture", p, page.Status)
		}
	}
	if n := strings.Count(b.Get(path(ids[0])).Main(), evil); n < 8 {
		t.Errorf("what was written shows %d times", n)
	}
	if strings.Contains(b.Get("/").Main(), "img") {
		t.Error("the table shows more than initials")
	}
}
