package site_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/web/webtest"
	localv1 "postern/proto/postern/local/v1"
)

// Practice goes the whole way that a form goes, every page marked, and in the end there is no reference, no slip and
// nothing to withdraw: nothing was taken, and nothing stands in any list.
func TestPracticeGoesToItsEnd(t *testing.T) {
	c := atCounter(t, minimum)
	begun := c.b.Do(http.MethodPost, "/drafts", url.Values{"practice": {"A0001ZZ"}})
	c.at = strings.TrimSuffix(begun.Header.Get("Location"), "/tonight")
	marked := func(p *webtest.Page) *webtest.Page {
		t.Helper()
		if !strings.Contains(p.Body, "practice with an invented family") {
			t.Errorf("%s is not marked", p.Heading())
		}
		return p
	}
	marked(begun.Follow())
	for _, step := range []struct {
		page, next string
		answers    []string
	}{
		{"tonight", "/children", []string{"answer", "NO"}},
		{"children", "/permission", []string{"answer", "CHILDREN"}},
		{"permission", "/children/1", []string{"answer", "contact", "understood", "YES"}},
		{"children/1", "/children/1/home", peregrine()},
		{"children/1/home", "/children/1/carer", inBristol()},
		{"children/1/carer", "/children/1/safety", withGran()},
		{"children/1/safety", "/check", safely()},
	} {
		marked(c.leads(c.fill(step.page, step.answers...), step.next))
	}
	check := c.b.Get(c.at + "/check")
	sent := marked(c.leads(check.Submit(nil), "/sent"))
	c.leads(check.Submit(nil), "/sent") // a second press
	c.leads(c.b.Get(c.at+"/check"), "/sent")
	if body := sent.Main(); !strings.Contains(body, "Practice is finished") || !strings.Contains(body, "Nothing was sent to anybody") || strings.Contains(body, "PN-") || strings.Contains(body, "slip") {
		t.Errorf("in the end it says %s", body)
	}
	c.x.Settle()
	out, err := c.desk.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{})
	if err != nil || len(out.GetNotifications()) != 0 {
		t.Errorf("%v: %d notifications", err, len(out.GetNotifications()))
	}
	if arrivals := c.b.Get("/arrivals"); strings.Contains(arrivals.Main(), "Thistlewick") {
		t.Error("an invented person stands among those who came")
	}
	c.b.Get("/?lang=cy")
	if welsh := c.b.Get(c.at + "/sent"); strings.Contains(welsh.Main(), "Practice is") || welsh.Status != http.StatusOK {
		t.Errorf("in Welsh it says %s", welsh.Main())
	}
}
