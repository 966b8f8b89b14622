package site_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/inbox/site"
	"postern/internal/outlet"
	"postern/internal/outlet/outlettest"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
)

// A team manager tries from the page of the team whether what comes gets to what they use; nobody else is offered it.
func TestATestIsSentFromThePageOfTheTeam(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	dir := t.TempDir()
	in.Restart(func(c *inbox.Config) { c.Outlets.Folder = &outlet.Folder{Dir: dir} })
	pages, err := site.New(in.Inbox, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	if page := signintest.As(t, pages, "DUTY_WORKER").Get("/team"); strings.Contains(page.Body, "/team/test") {
		t.Error("a duty worker is offered the test")
	}
	done := signintest.As(t, pages, "TEAM_MANAGER").Get("/team").Submit(nil).Follow()
	if done.Status != 200 || !strings.Contains(done.Main(), "test") {
		t.Errorf("after the test: %d, %s", done.Status, done.Main())
	}
	if worked, err := in.StepOutlet(t.Context(), "folder"); !worked || err != nil {
		t.Fatalf("%v, %v", worked, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 || !strings.HasPrefix(files[1].Name(), "TEST_test_") {
		t.Errorf("%v, %v", files, err)
	}
}

// The table and the notification say that a deputy was told, once they were; and after somebody acted only the history does.
func TestThePagesSayThatTheDeputyWasTold(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	mail := outlettest.Serve(t, true).Sender()
	in.Restart(func(c *inbox.Config) { c.Outlets.Mail = &mail })
	pages, err := site.New(in.Inbox, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	manager := signintest.As(t, pages, "TEAM_MANAGER")
	manager.Get("/team/settings").Submit(map[string][]string{"colleagues": {"LEE Lee Example, lee@council.example"}, "deputies": {"LEE"}})
	if team := manager.Get("/team").Main(); strings.Contains(team, "sends none") || !strings.Contains(team, "Lee Example (LEE), lee@council.example") {
		t.Errorf("the page of the team says %s", team)
	}
	id := x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	for range 7 * 24 {
		if worked, err := in.StepDeputies(t.Context()); worked || err != nil {
			break
		}
		x.Clock.Advance(time.Hour)
	}
	lee, max := signintest.As(t, pages, "DUTY_WORKER"), signintest.As(t, pages, "TEAM_MANAGER") // sessions ended meanwhile
	at := x.Clock.Now().In(time.FixedZone("GMT", 0)).Format("3:04pm")
	if list := lee.Get("/").Main(); !strings.Contains(list, "The deputy is not told yet") {
		t.Errorf("before the mail went the table says %s", list)
	}
	if worked, err := in.StepOutlet(t.Context(), "mail"); !worked || err != nil {
		t.Fatalf("%v, %v", worked, err)
	}
	for _, page := range []string{"/", path(id)} {
		if got := lee.Get(page).Main(); !strings.Contains(got, "Told the deputy at "+at) {
			t.Errorf("at %s, %s says %s", at, page, got)
		}
	}
	if cy := max.Get("/?lang=cy").Follow().Main(); !strings.Contains(cy, "Dywedwyd wrth y dirprwy am "+at) {
		t.Errorf("in Welsh: %s", cy)
	}
	// Who had the page open before answers all the same.
	answered := lee.Get(path(id, "reply")).Submit(map[string][]string{"reply": {"ALREADY_KNOWN"}}).Follow().Main()
	if strings.Contains(answered, "Told the deputy at") || !strings.Contains(answered, "told Lee Example as deputy that nobody had answered") {
		t.Errorf("answered, the page says %s", answered)
	}
	if alerts := in.Items()[0].GetWork().GetDeputyAlerts(); len(alerts) != 1 || alerts[0].GetTellTime().AsTime() != x.Clock.Now().Truncate(time.Second) {
		t.Errorf("noted as %v", alerts)
	}
}

// An answer that the hub refuses for days is to be telephoned, and both pages say so until somebody has.
func TestThePagesSayThatThePrisonDoesNotHear(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	pages := at(t, x)
	id := families(t, x, 1)[0]
	signintest.As(t, pages, "DUTY_WORKER").Get(path(id, "reply")).Submit(map[string][]string{"reply": {"ALREADY_KNOWN"}})
	x.LoseHub()
	for len(in.Items()) > 0 && in.Items()[0].GetDueTime() == nil && x.Clock.Now().Before(testkit.Now.AddDate(0, 0, 20)) {
		if _, err := in.StepReports(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.Clock.Advance(time.Hour)
	}
	lee := signintest.As(t, pages, "DUTY_WORKER")
	if list := lee.Get("/"); len(references(list)) != 1 || !strings.Contains(list.Main(), "Did not arrive: telephone") {
		t.Errorf("the table says %s", list.Main())
	}
	const telephone = "Your answer did not reach the prison"
	if page := lee.Get(path(id)).Main(); !strings.Contains(page, telephone) {
		t.Errorf("the page says %s", page)
	}
	after := lee.Get(path(id, "outcome")).Submit(map[string][]string{"outcome": {"OFFER_MADE"}}).Follow().Main()
	if strings.Contains(after, telephone) || len(references(lee.Get("/"))) != 0 {
		t.Errorf("telephoned, the page says %s", after)
	}
}
