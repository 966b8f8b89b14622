package site_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/accesslog"
	"postern/internal/auditor"
	"postern/internal/auditor/site"
	"postern/internal/follow"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
	posternv1 "postern/proto/postern/v1"
)

// watched is an auditor's browser at a site that keeps and shows who looked, with the access log of a desk beside its own.
func watched(t *testing.T) (*testkit.Exchange, *webtest.Browser) {
	t.Helper()
	x := testkit.NewExchange(t)
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Settle()
	own, desk := filepath.Join(t.TempDir(), "access"), t.TempDir()
	journal, err := accesslog.Open(accesslog.Config{Dir: own, Service: "auditor-demo", Keep: 24, Clock: x.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { journal.Close() })
	line := `{"what":"PAGE_VIEW","when":"2026-11-20T09:30:00Z","who":"<b>T1</b>","page":"desk.home","status":200,"subjectId":"PN-<script>","correlationId":"r","service":"desk-BLI"}` + "\n"
	if err := os.WriteFile(filepath.Join(desk, "2026-11.jsonl"), []byte(strings.Repeat(line, 60)), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := auditor.Open(t.Context(), auditor.Config{Hub: x.Audit(testkit.AuditorPath), Coverage: posternv1.NewCoverageServiceClient(x.ToHub(testkit.AuditorPath)),
		LogKeys: x.LogKeys(), Clock: x.Clock.Now, Memory: follow.InFile(x.Path("known.json")), Notes: x.Path("notes.json"),
		Identity: x.Identity(testkit.AuditorPath), Anchors: x.Anchors(), AccessLogs: []string{own, desk}, Log: x.Log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	shell := signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles())
	shell.Journal = journal
	s, err := site.New(a, shell)
	if err != nil {
		t.Fatal(err)
	}
	return x, signintest.As(t, s, site.Roles()[0])
}

// cells are the rows of the table of a page, their head left out.
func cells(p *webtest.Page) int { return max(0, len(p.Elements(webtest.Element("tr")))-1) }

func TestWhoLookedIsShown(t *testing.T) {
	_, b := watched(t)
	b.Get("/coverage")
	page := b.Get("/access")
	if page.Status != http.StatusOK || cells(page) != 25 || !strings.Contains(page.Main(), "Who was asked") || strings.Contains(page.Body, "<script>") || strings.Contains(page.Body, "<b>T1") {
		t.Fatalf("answered %d with %d rows: %s", page.Status, cells(page), page.Main())
	}
	older := page.Click("Older events").Click("Older events")
	if cells(older) == 0 || strings.Contains(older.Main(), "Older events") {
		t.Errorf("the last page has %d rows", cells(older))
	}
	// Questions are kept in the session: an address would have a person's id in it.
	asked := page.Submit(url.Values{"who": {"<b>t1</b>"}, "service": {"desk-bli"}})
	if to := asked.Header.Get("Location"); asked.Status != http.StatusSeeOther || to != "/access" {
		t.Fatalf("answered %d and leads to %q", asked.Status, to)
	}
	found := asked.Follow()
	if cells(found) != 25 || strings.Contains(found.Main(), "auditor-demo") || !strings.Contains(found.Main(), "Home") {
		t.Errorf("found %s", found.Main())
	}
	none := found.Submit(url.Values{"who": {"nobody"}}).Follow()
	if cells(none) != 0 || !strings.Contains(none.Main(), "Nobody saw anything") {
		t.Errorf("of nobody: %s", none.Main())
	}
	for name, wrong := range map[string]url.Values{
		"reference": {"reference": {"PN-0"}},
		"day":       {"since-day": {"31"}, "since-month": {"2"}, "since-year": {"2026"}},
		"order":     {"since-day": {"9"}, "since-month": {"2"}, "since-year": {"2026"}, "until-day": {"7"}, "until-month": {"2"}, "until-year": {"2026"}},
	} {
		if p := b.Get("/access").Submit(wrong); p.Status != http.StatusUnprocessableEntity || len(p.Errors()) != 1 {
			t.Errorf("%s: answered %d with %v", name, p.Status, p.Errors())
		}
	}
	if p := b.Get("/access?page=-1"); p.Status != http.StatusOK {
		t.Errorf("no page answers %d", p.Status)
	}
}

func TestASearchIsSavedAndTakenOut(t *testing.T) {
	x, b := watched(t)
	found := b.Get("/?kind=delivered&prison=bli")
	saved := found.Click("Save this search").Submit(url.Values{"name": {"<i>Shared</i>"}}).Follow()
	if !strings.Contains(saved.Main(), "The search is saved.") || strings.Contains(saved.Body, "<i>Shared") {
		t.Fatalf("saved: %s", saved.Main())
	}
	again := saved.Click("<i>Shared</i>")
	if again.Status != http.StatusOK || cells(again) != 1 || strings.Join(again.Texts(webtest.Element("td")), " ") != strings.Join(found.Texts(webtest.Element("td")), " ") {
		t.Errorf("the saved search lists %d: %s", cells(again), again.Main())
	}
	if p := found.Click("Save this search").Submit(url.Values{"name": {""}}); p.Status != http.StatusUnprocessableEntity {
		t.Errorf("without a name: %d", p.Status)
	}
	file := again.Click("Take these out as a file").Submit(nil)
	if file.Status != http.StatusOK || file.Header.Get("Content-Type") != "application/zip" {
		t.Fatalf("the export answers %d: %s", file.Status, file.Main())
	}
	report, err := archive.VerifyExtract([]byte(file.Body), archive.Config{Keys: x.LogKeys(), Anchors: x.Anchors()})
	if err != nil || report.Events != 1 {
		t.Errorf("the export has %+v, %v", report, err)
	}
	if gone := b.Get("/searches").Submit(nil).Follow(); !strings.Contains(gone.Main(), "You have saved none") {
		t.Errorf("deleted: %s", gone.Main())
	}
	if p := b.Do(http.MethodPost, "/export", url.Values{"prison": {"nowhere"}}); p.Status < 400 || p.Status >= 500 {
		t.Errorf("a question that fits nothing is taken out: %d", p.Status)
	}
}

func TestTheLogIsVerifiedInFrontOfTheAuditor(t *testing.T) {
	x, b := watched(t)
	b.Get("/")
	if page := b.Get("/logs"); strings.Count(page.Main(), "for the first time") != 2 {
		t.Errorf("the first visit says %s", page.Main())
	}
	x.Clock.Advance(time.Hour / 4)
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Settle()
	page := b.Get("/logs")
	if strings.Count(page.Main(), "Verified: since your last visit") != 2 || !strings.Contains(page.Main(), "The proof of it") {
		t.Errorf("the second visit says %s", page.Main())
	}
	checkpoint := x.Desk(testkit.HMPBristol).Logs().GetLogs()[0].GetCheckpoint()
	_, _, received := x.Ledger.Head(ledger.Received)
	printed := received + "\n" + checkpoint // as known-log prints two
	compared := page.Submit(url.Values{"with": {"the desk <b>at</b> BLI"}, "checkpoint": {printed}})
	if compared = compared.Follow(); strings.Count(compared.Main(), "the same log") < 2 || strings.Contains(compared.Body, "<b>at") {
		t.Errorf("compared: %s", compared.Main())
	}
	for name, wrong := range map[string]url.Values{
		"nothing":       {},
		"nobody":        {"checkpoint": {checkpoint}},
		"no checkpoint": {"with": {"BLI"}, "checkpoint": {"<script>"}},
	} {
		if p := b.Get("/logs").Submit(wrong); p.Status != http.StatusUnprocessableEntity || len(p.Errors()) == 0 || strings.Contains(p.Main(), "<script>alert") {
			t.Errorf("%s: answered %d with %v", name, p.Status, p.Errors())
		}
	}
}
