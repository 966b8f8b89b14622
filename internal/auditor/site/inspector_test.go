package site_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
)

// An inspector asks by each question alone: what fits is listed, what does not is left out, and from an event the way back
// leads to the list that was asked for.
func TestEveryQuestionFindsWhatFitsItAndNothingElse(t *testing.T) {
	x := testkit.NewExchange(t)
	id := x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	x.Desk(testkit.HMPParc).Take(formtest.Declined())
	x.Settle()
	b := at(t, x, x.ToHub(testkit.AuditorPath))
	reference := envelope.Reference(id)
	date := func(name, day string) url.Values {
		return url.Values{name + "-day": {day}, name + "-month": {"11"}, name + "-year": {"2026"}, "kind": {""}}
	}
	for name, c := range map[string]struct {
		asked     url.Values
		has, lack string
	}{
		"notification": {url.Values{"notification": {strings.ToLower(reference)}, "kind": {""}}, reference, "PRI"},
		"prison":       {url.Values{"prison": {"bli"}}, reference, "PRI"},
		"other prison": {url.Values{"prison": {"PRI"}, "kind": {""}}, "PRI", reference},
		"authority":    {url.Values{"authority": {testkit.Bristol}}, reference, "PRI"},
		"outcome":      {url.Values{"outcome": {"SHARE"}}, reference, "PRI"},
		"rule":         {url.Values{"rule": {"consent_given"}}, reference, "PRI"},
		"kind":         {url.Values{"kind": {"delivered"}}, reference, "PRI"},
		"since":        {date("since", "22"), reference, ""},
		"since later":  {date("since", "23"), "", reference},
		"until":        {date("until", "22"), reference, ""},
		"until before": {date("until", "21"), "", reference},
	} {
		page := b.Get("/?" + c.asked.Encode())
		rows := strings.Join(page.Texts(webtest.Element("td")), " ")
		if page.Status != http.StatusOK || !strings.Contains(rows, c.has) || c.lack != "" && strings.Contains(rows, c.lack) {
			t.Errorf("%s: answered %d with %s", name, page.Status, rows)
		}
		if c.has == "" && !strings.Contains(page.Main(), "Nothing") {
			t.Errorf("%s: that there is nothing is not said: %s", name, page.Main())
		}
	}
	list := b.Get("/?outcome=SHARE&prison=bli")
	event := list.Click(list.Texts(webtest.Element("td"))[0])
	if back := event.Click("Back"); strings.Join(back.Texts(webtest.Element("td")), " ") != strings.Join(list.Texts(webtest.Element("td")), " ") {
		t.Errorf("back from the event there is %s", back.Main())
	}
}

// Of each section an inspector reads whether it went, and by which rule and for what reason it went or stayed.
func TestEverySectionHasItsRuleAndReason(t *testing.T) {
	x := testkit.NewExchange(t)
	id := x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	grown := formtest.New(testkit.Bristol, testkit.Bristol)
	grown.GetChildren()[1].GetCarer().IsAdult = 2 // nobody grown up is with the second
	other := x.Desk(testkit.HMPBristol).Take(grown)[0]
	x.Settle()
	b := at(t, x, x.ToHub(testkit.AuditorPath))
	went, stayed := 0, 0
	for _, event := range []string{id, other} {
		page := b.Get("/events/" + event)
		for _, row := range page.Elements(webtest.Element("tr")) {
			var cells []string
			for c := row.FirstChild; c != nil; c = c.NextSibling {
				if c.Data == "td" || c.Data == "th" {
					cells = append(cells, webtest.Text(c))
				}
			}
			if len(cells) != 4 || cells[1] != "Yes" && cells[1] != "No" {
				continue
			}
			if cells[1] == "Yes" {
				went++
			} else {
				stayed++
			}
			if strings.TrimSpace(cells[2]) == "" || len(strings.Fields(cells[3])) < 3 {
				t.Errorf("%q has no rule and no reason", cells)
			}
		}
	}
	if went == 0 || stayed == 0 {
		t.Errorf("%d went and %d stayed: the test shows not both", went, stayed)
	}
}

// While the hub is down a page says so and what to do, and what is kept here is still shown.
func TestTheHubIsDown(t *testing.T) {
	x, b := watched(t)
	b.Get("/logs")
	x.ToHub(testkit.AuditorPath).Down(true)
	for _, path := range []string{"/", "/?outcome=SHARE", "/events/" + strings.Repeat("0", 32), "/coverage"} {
		page := b.Get(path)
		if page.Status != http.StatusServiceUnavailable || !strings.Contains(page.Main(), "Try again in a few minutes") {
			t.Errorf("%s answers %d: %s", path, page.Status, page.Main())
		}
	}
	if page := b.Get("/logs"); strings.Contains(page.Main(), "Verified") {
		t.Errorf("the logs cannot be looked at, and the page says %s", page.Main())
	}
	for _, path := range []string{"/access", "/searches"} {
		if page := b.Get(path); page.Status != http.StatusOK {
			t.Errorf("%s answers %d: %s", path, page.Status, page.Main())
		}
	}
	x.ToHub(testkit.AuditorPath).Down(false)
	if page := b.Get("/"); page.Status != http.StatusOK {
		t.Errorf("back again it answers %d", page.Status)
	}
}
