package auditor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// evidencePage is a page as its JSON has it.
type evidencePage struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Figures []struct {
		ID        string `json:"id"`
		Value     any    `json:"value"`
		List      string `json:"list"`
		Exception bool   `json:"exception"`
	} `json:"figures"`
	Tables []struct {
		ID   string              `json:"id"`
		Rows []map[string]string `json:"rows"`
	} `json:"tables"`
	NotEvidenced []string `json:"not_evidenced"`
}

func (p evidencePage) figure(id string) string {
	for _, f := range p.Figures {
		if f.ID == id {
			return fmt.Sprint(f.Value)
		}
	}
	return ""
}

// evidenced writes evidence, verifies it offline, and returns the folder with its pages.
func evidenced(t *testing.T, a *auditing, f *posternv1.EventFilter, language string) (string, map[string]evidencePage) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "evidence")
	out, err := a.WriteEvidence(t.Context(), &localv1.WriteEvidenceRequest{Directory: dir, Filter: f, Language: language})
	noError(t, err)
	r, err := archive.VerifyPack(t.Context(), rootOf(t, dir), archive.Config{Keys: a.verify(t), Anchors: a.x.Anchors()})
	noError(t, err)
	if len(r.Pages) != 2*len(out.GetPages())+2 || len(r.Logs.Logs) != 2 {
		t.Errorf("verified %v", r)
	}
	pages := map[string]evidencePage{}
	for _, p := range out.GetPages() {
		data, err := os.ReadFile(filepath.Join(dir, p.GetName()+".json"))
		noError(t, err)
		var page evidencePage
		noError(t, json.Unmarshal(data, &page))
		if page.Status != p.GetStatus() {
			t.Errorf("%s is %s and %s", p.GetName(), page.Status, p.GetStatus())
		}
		pages[p.GetName()] = page
	}
	return dir, pages
}

func rootOf(t *testing.T, dir string) fs.FS {
	t.Helper()
	root, err := os.OpenRoot(dir)
	noError(t, err)
	t.Cleanup(func() { noError(t, root.Close()) })
	return root.FS()
}

// Evidence has a page for each control with what the numbers say, in both languages, holds offline, and names nobody.
func TestEvidenceIsWhatTheLogsHold(t *testing.T) {
	x := history(t, 1, 60)
	a := audits(t, x)
	stats := statistics(t, a.Auditor, nil)
	for _, language := range []string{"en", "cy"} {
		dir, pages := evidenced(t, a, nil, language)
		for page, figures := range map[string]map[string]string{
			"decisions": {"decided": "kind decided", "share": "outcome SHARE", "redirected": "kind redirected"}, "withdrawals": {"withdrawn": "kind withdrawn", "asked": "kind stop_asked"},
			"refusals": {"refused": "kind refused"}, "retention": {"erased": "kind erased"}, "acknowledgements": {"undelivered": "kind undelivered"},
		} {
			for figure, at := range figures {
				for _, c := range stats.GetCounts() {
					if c.GetBy()+" "+c.GetName() == at && pages[page].figure(figure) != fmt.Sprint(c.GetEvents()) {
						t.Errorf("%s has %s for %s, want %d", page, pages[page].figure(figure), figure, c.GetEvents())
					}
				}
			}
		}
		for _, p := range pages {
			for _, f := range p.Figures {
				if f.Exception {
					t.Errorf("%s: %s is %v", p.ID, f.ID, f.Value)
				}
			}
		}
		if p := pages["replay"]; p.figure("again") == "0" || p.figure("differs") != "0" || p.Status != "EVIDENCED" {
			t.Errorf("made again: %+v", p)
		}
		if p := pages["policy"]; p.figure("tests") == "" || p.figure("failed") != "0" {
			t.Errorf("the policy: %+v", p)
		}
		if p := pages["people"]; p.Status != "NOT_EVIDENCED" || len(p.NotEvidenced) != 4 {
			t.Errorf("what no log shows: %+v", p)
		}
		form := formtest.New(testkit.Bristol)
		noError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(name, "/log/") {
				return err
			}
			data, err := os.ReadFile(name)
			for _, value := range []string{"[evidence.", "<no value>", form.GetParent().GetName().GetFamilyName(), testkit.Staff.ID} {
				if strings.Contains(string(data), value) {
					t.Errorf("%s has %q", filepath.Base(name), value)
				}
			}
			if strings.HasSuffix(name, ".html") && !strings.Contains(string(data), `<html lang="`+language+`">`) {
				t.Errorf("%s is in another language", filepath.Base(name))
			}
			return err
		}))
	}
}

// Whatever is changed, dropped or added in a folder with evidence is found offline.
func TestChangedEvidenceIsFound(t *testing.T) {
	x, _ := audited(t)
	a := audits(t, x)
	for name, change := range map[string]func(dir string) error{
		"a figure":     func(dir string) error { return flip(filepath.Join(dir, "replay.json")) },
		"a page":       func(dir string) error { return flip(filepath.Join(dir, "index.html")) },
		"the manifest": func(dir string) error { return flip(filepath.Join(dir, archive.PackName)) },
		"no page":      func(dir string) error { return os.Remove(filepath.Join(dir, "access.html")) },
		"one more":     func(dir string) error { return os.WriteFile(filepath.Join(dir, "more.html"), nil, 0o600) },
		"the log":      func(dir string) error { return flip(filepath.Join(dir, "log", "sent", "checkpoint")) },
		"other logs": func(dir string) error {
			x.Desk(testkit.HMPBristol).Take(formtest.Declined())
			x.Settle()
			return a.Export(&localv1.ExportRequest{Directory: filepath.Join(dir, "log")}, told{ctx: t.Context()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := evidenced(t, a, nil, "")
			noError(t, change(dir))
			if _, err := archive.VerifyPack(t.Context(), rootOf(t, dir), archive.Config{Keys: a.verify(t), Anchors: x.Anchors()}); fault.KindOf(err) != fault.Unverified {
				t.Errorf("got %v", err)
			}
		})
	}
}

func flip(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(name, data, 0o600)
}

// What a policy did not decide, a page of evidence says; and evidence is of the scope and of the question.
func TestEvidenceIsOfTheScope(t *testing.T) {
	x := history(t, 2, 40)
	x.ScopeAuditor(testkit.HMPParc)
	a := audits(t, x)
	dir, pages := evidenced(t, a, &posternv1.EventFilter{Authority: testkit.Lancashire}, "")
	for _, row := range pages["decisions"].Tables[0].Rows {
		if row["prison"] != testkit.HMPParc || row["authority"] != testkit.Lancashire {
			t.Errorf("sampled %v", row)
		}
	}
	for _, name := range []string{"decisions.html", "refusals.html", "withdrawals.html", "agreements.html"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		noError(t, err)
		if strings.Contains(string(data), testkit.HMPBristol) {
			t.Errorf("%s names another prison", name)
		}
	}
}

// A folder is new and whole, or is not there.
func TestEvidenceIsWholeOrNotThere(t *testing.T) {
	x, _ := audited(t)
	a := audits(t, x)
	dir := t.TempDir()
	for name, want := range map[string]string{dir: "EVIDENCE_THERE", "evidence": "BAD_FOLDER", filepath.Join(dir, "not", "there"): "EVIDENCE_WRITE"} {
		if _, err := a.WriteEvidence(t.Context(), &localv1.WriteEvidenceRequest{Directory: name}); fault.From(err).Reason != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	x.ToHub(testkit.AuditorPath).Down(true)
	if _, err := a.WriteEvidence(t.Context(), &localv1.WriteEvidenceRequest{Directory: filepath.Join(dir, "evidence")}); fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	noError(t, err)
	if slices.ContainsFunc(left, func(e fs.DirEntry) bool { return e.Name() != "" }) {
		t.Errorf("left %v", left)
	}
}

// A decision that no policy made, of something shared without an agreement or a law, is an exception on its pages.
func TestWhatShouldNotBeIsAnException(t *testing.T) {
	x := families(t, func(c *testkit.Config) { c.Forges = true })
	var was ledger.Logged
	_, err := x.Ledger.Events(t.Context(), "", 1, func(e ledger.Logged) (bool, error) {
		shared := e.Details.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && strings.Contains(string(e.Details.GetInput()), `"route":"STANDARD"`)
		if shared {
			was = e
		}
		return shared, nil
	})
	noError(t, err)
	details := proto.CloneOf(was.Details)
	details.Salt = nil // each event has its own
	details.Input = bytes.Replace(details.Input, []byte(`"in_force":true`), []byte(`"in_force":false`), 1)
	details.Decision.Reasons, details.Decision.Children[0].Reasons = nil, nil
	noError(t, x.Ledger.Append(t.Context(), func(tx *ledger.Tx) error {
		_, err := tx.Record(ledger.Sent, ledger.Event{Kind: logv1.Kind_KIND_DECIDED, Time: x.Clock.Now(), Core: was.Core, Details: details})
		return err
	}))
	x.Clock.Advance(91 * 24 * time.Hour) // in which nobody deleted anything
	x.Desk(testkit.HMPBristol).Take(formtest.Declined())
	x.Settle()
	_, pages := evidenced(t, audits(t, x), nil, "")
	for page, figure := range map[string]string{"replay": "differs", "agreements": "shared_without", "basis": "lawless", "retention": "over"} {
		if n := pages[page].figure(figure); n == "" || n == "0" {
			t.Errorf("%s: %s is %q", page, figure, pages[page].figure(figure))
		}
	}
}

// What a lost log held nobody knows: no page says that there is none of it, or that all of it is shown.
func TestEvidenceOfALostLogIsInPart(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	keys := audits(t, x).keys
	x.LoseHub()
	_, pages := evidenced(t, audits(t, x, keys...), nil, "en")
	for _, p := range pages {
		if p.Status == "EVIDENCED" || p.Status == "NONE" || p.ID != "people" && !slices.Contains(p.NotEvidenced, "no_lost") {
			t.Errorf("%s is %s, and not evidenced is %v", p.ID, p.Status, p.NotEvidenced)
		}
	}
}
