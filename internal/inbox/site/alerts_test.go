package site_test

import (
	"os"
	"strings"
	"testing"

	"postern/internal/inbox"
	"postern/internal/inbox/site"
	"postern/internal/outlet"
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
