package site_test

import (
	"strings"
	"testing"
	"time"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
)

// What was erased still has its page, its place in the lists and its withdrawal, and no page names the family.
func TestAnErasedFormHasItsPageAndNamesNobody(t *testing.T) {
	p := bristol(t)
	ref := p.take(formtest.New(testkit.Bristol))
	b := p.as("RECEPTION_OFFICER")
	if !strings.Contains(b.Get("/notifications").Main(), "Tattersby") {
		t.Fatal("the control: the list does not name the person")
	}
	for range 181 {
		p.x.Clock.Advance(24 * time.Hour)
		if _, err := p.desk.StepErase(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b = p.as("RECEPTION_OFFICER")
	page := b.Get(at(ref))
	says(t, page, "The form was erased on ", "The team has it", "Withdraw")
	for _, gone := range []string{"slip\"", "Put it right", "/call\"", "not filled in"} {
		if strings.Contains(page.Body, gone) {
			t.Errorf("the page has %q", gone)
		}
	}
	list := b.Get("/notifications")
	says(t, list, ref, "Erased")
	csv := b.Get("/notifications.csv").Body
	if !strings.Contains(csv, ref) || !strings.Contains(csv, "erased\n") && !strings.Contains(csv, "erased\r\n") || !strings.Contains(csv, "2027-") {
		t.Errorf("for a spreadsheet: %s", csv)
	}
	says(t, b.Get(at(ref, "slip")), "was erased, as the period of this desk says")
	says(t, b.Get(at(ref, "withdraw")), "the team")
	for _, body := range []string{page.Body, list.Body, csv, b.Get(at(ref, "withdraw")).Body} {
		for _, name := range []string{"Tattersby", "Morwenna", "Peregrine", "Sixpenny"} {
			if strings.Contains(body, name) {
				t.Errorf("a page names %s", name)
			}
		}
	}
}
