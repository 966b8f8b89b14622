package site_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/auditor"
	"postern/internal/auditor/site"
	"postern/internal/follow"
	"postern/internal/form/formtest"
	"postern/internal/ledger/verify"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
	posternv1 "postern/proto/postern/v1"
)

// looked is an auditor's browser at an exchange in which one notification was shared and one person declined.
func looked(t *testing.T) (*testkit.Exchange, *webtest.Browser) {
	t.Helper()
	x := testkit.NewExchange(t)
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Desk(testkit.HMPBristol).Take(formtest.Declined())
	x.Settle()
	return x, at(t, x, x.ToHub(testkit.AuditorPath))
}

// at is an auditor's browser whose auditor asks the hub over a link.
func at(t *testing.T, x *testkit.Exchange, hub *testkit.Link) *webtest.Browser {
	t.Helper()
	a, err := auditor.Open(t.Context(), auditor.Config{Hub: posternv1.NewAuditServiceClient(hub), Coverage: posternv1.NewCoverageServiceClient(hub),
		LogKeys: x.LogKeys(), Clock: x.Clock.Now, Memory: follow.InFile(filepath.Join(t.TempDir(), "auditor.json")), Log: x.Log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.New(a, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	return signintest.As(t, s, site.Roles()[0])
}

func TestADecisionIsFoundAndOpened(t *testing.T) {
	x, b := looked(t)
	page := b.Get("/?outcome=SHARE&prison=bli&kind=decided")
	rows := page.Elements(webtest.Element("tr"))
	if page.Status != http.StatusOK || len(rows) != 2 { // the head and the one
		t.Fatalf("answered %d with %d rows: %s", page.Status, len(rows), page.Main())
	}
	event := page.Click(page.Texts(webtest.Element("td"))[0])
	for _, want := range []string{
		"consent_given",                              // why
		"The facts as the policy saw them",           // on what
		"child 1: home",                              // what went
		"delivered",                                  // what became of it
		"Verified: this is event",                    // and that the log holds it
		"The way from this event to the signed root", // for anybody to compute again
	} {
		if !strings.Contains(event.Main(), want) {
			t.Errorf("the page of a decision does not say %q", want)
		}
	}
	form := formtest.New(testkit.Bristol)
	for _, name := range []string{form.GetParent().GetName().GetFamilyName(), form.GetChildren()[0].GetIdentity().GetFamilyName(), form.GetChildren()[0].GetHome().GetPostcode()} {
		if name == "" || strings.Contains(event.Body, name) {
			t.Error("the page of a decision names a person")
		}
	}
	receipt := event.Click("Download the receipt, for anybody to verify")
	r, err := verify.UnmarshalFile([]byte(receipt.Body))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.Receipt(r, x.LogKeys()); err != nil {
		t.Error(err)
	}
}

// What the log does not hold is shown, with what is wrong with it, and never as verified.
func TestWhatDoesNotHoldIsSaidSo(t *testing.T) {
	x := testkit.NewExchange(t)
	id := x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	hub := x.ToHub(testkit.AuditorPath)
	b := at(t, x, hub)
	hub.Answers(func(method string, raw []byte) []byte {
		if !strings.HasSuffix(method, "/GetEvent") {
			return raw
		}
		out := &posternv1.GetEventResponse{}
		if err := proto.Unmarshal(raw, out); err != nil {
			t.Error(err)
		}
		out.Event.PrisonId = "LPI"
		again, err := proto.Marshal(out)
		if err != nil {
			t.Error(err)
		}
		return again
	})
	page := b.Get("/events/" + id)
	if !strings.Contains(page.Main(), "Not verified.") || strings.Contains(page.Main(), "Verified: this is event") {
		t.Errorf("an event that was changed on its way is shown as %s", page.Main())
	}
}

func TestAQuestionThatCanMatchNothingIsAFault(t *testing.T) {
	_, b := looked(t)
	for name, asked := range map[string]url.Values{
		"prison":       {"prison": {"Bristol"}},
		"authority":    {"authority": {"Bristol"}},
		"rule":         {"rule": {"Consent given"}},
		"notification": {"notification": {"PN-0"}},
		"outcome":      {"outcome": {"PERHAPS"}},
		"since":        {"since-day": {"31"}, "since-month": {"2"}, "since-year": {"2026"}},
		"order": {"since-day": {"9"}, "since-month": {"2"}, "since-year": {"2026"},
			"until-day": {"7"}, "until-month": {"2"}, "until-year": {"2026"}},
	} {
		if page := b.Get("/?" + asked.Encode()); page.Status != http.StatusUnprocessableEntity || len(page.Errors()) != 1 {
			t.Errorf("%s: answered %d with %v", name, page.Status, page.Errors())
		}
	}
	// The last day is one of those that are listed.
	day := b.Get("/?" + url.Values{"since-day": {"22"}, "since-month": {"11"}, "since-year": {"2026"},
		"until-day": {"22"}, "until-month": {"11"}, "until-year": {"2026"}, "kind": {""}}.Encode())
	if rows := day.Elements(webtest.Element("tr")); len(rows) < 3 {
		t.Errorf("%d rows of one day", len(rows))
	}
}

// Pages go on where the one before ended, with the same question, to the end, and repeat nothing.
func TestPagesGoOn(t *testing.T) {
	x, b := looked(t)
	for range 30 {
		x.Desk(testkit.HMPBristol).Take(formtest.Declined())
	}
	x.Settle()
	var seen []string
	page := b.Get("/?kind=decided")
	for {
		for i, cell := range page.Elements(webtest.Element("td")) {
			if i%6 == 0 {
				for _, a := range cell.FirstChild.Attr {
					if a.Key == "href" {
						seen = append(seen, a.Val)
					}
				}
			}
		}
		if !strings.Contains(page.Main(), "Older events") {
			break
		}
		page = page.Click("Older events")
	}
	all := slices.Clone(seen)
	slices.Sort(all)
	if len(seen) < 30 || len(slices.Compact(all)) != len(seen) {
		t.Errorf("%d events on the pages, %d of them different", len(seen), len(slices.Compact(all)))
	}
}

func TestCoverageAndLogsAreShown(t *testing.T) {
	_, b := looked(t)
	if page := b.Get("/coverage"); page.Status != http.StatusOK || !strings.Contains(page.Main(), "BLI") {
		t.Errorf("coverage answered %d: %s", page.Status, page.Main())
	}
	b.Get("/") // looks at the logs
	if page := b.Get("/logs"); page.Status != http.StatusOK || !strings.Contains(page.Main(), "/sent") {
		t.Errorf("the logs answered %d: %s", page.Status, page.Main())
	}
}
