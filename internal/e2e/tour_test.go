//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"postern/internal/demo"
)

// sitesOfDemo runs the demo as `postern demo` does, and returns the addresses it prints: the tour, and the sites of the
// prison, the council and the auditor.
func sitesOfDemo(t *testing.T) []string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { // ends with ctx
		err := demo.Run(ctx, demo.Options{Out: w, Log: slog.New(slog.DiscardHandler)})
		_ = w.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)
	var found []string
	lines := bufio.NewScanner(r)
	for lines.Scan() && len(found) < 4 {
		found = append(found, address.FindAllString(lines.Text(), -1)...)
	}
	if len(found) != 4 {
		t.Fatalf("the demo names %q", found)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the demo: nobody must wait to print
	return found
}

// answers of the journey at reception, by page: what somebody says who tells enough to get in touch about one child.
var reception = map[string]map[string]string{
	"tonight":    {"answer": "NO"},
	"person":     {"number": "A0417ZZ", "given": "Perpetua", "family": "Quillmarsh"},
	"children":   {"answer": "CHILDREN"},
	"permission": {"answer": "contact", "understood": "YES"},
	"1": {"given_name": "Peregrine", "family_name": "Quillmarsh", "born": "AGE", "age_years": "7", "relationship": "MOTHER",
		"parental_responsibility": "YES", "agrees_to_early_help": "YES", "lived_with_before": "YES", "primary_carer_before": "YES"},
	"home": {"where": "ADDRESS", "address": "1 Sixpenny Steps", "postcode": "ZZ99 7QX"},
	"carer": {"known": "YES", "name": "Rosamund Quillmarsh", "relationship": "GRANDPARENT", "is_adult": "YES",
		"has_parental_responsibility": "NO"},
	"safety": {"carer_knows": "YES", "mention": "YES", "interpreter_needed": "NO"},
}

// fill answers what of a form there is an answer for.
func (v *visit) fill(answers map[string]string) {
	v.t.Helper()
	v.run(chromedp.Evaluate(`(() => {
		const answers = `+quoted(answers)+` || {};
		for (const f of document.querySelectorAll('main [name]')) {
			const answer = answers[f.name];
			if (answer === undefined) { continue; }
			if (f.type === 'radio' || f.type === 'checkbox') { f.checked = f.value === answer; } else { f.value = answer; }
		}
	})()`, nil))
}

// reaches is how the steps of the tour stand, as it shows them.
func (v *visit) reaches(done int) {
	v.t.Helper()
	v.open("/")
	want := append(slices.Repeat([]string{"green"}, done), "blue")
	want = append(want, slices.Repeat([]string{"grey"}, 6)...)[:6]
	got := eval[[]string](v, `[...document.querySelectorAll('main li .govuk-tag')].map((e) => e.className.replace(/.*--/, ''))`)
	if !slices.Equal(got, want) {
		v.t.Fatalf("the steps are %q, want %q", got, want)
	}
}

// TestTour goes the guided tour of the demo from end to end, without scripts, as somebody who follows its words.
func TestTour(t *testing.T) {
	b, at := start(t), sitesOfDemo(t)
	enter := func(i int, who string) *visit {
		v := b.at(t, &site{name: "tour", base: at[i]})
		v.scripts(false)
		if who != "" {
			v.open("/sign-in")
			v.answer(map[string]string{"who": who})
			v.submit()
			if to := eval[string](v, `document.querySelector('.govuk-phase-banner a').href`); to != at[0]+"/" {
				t.Fatalf("%s leads to %s and not to the tour", at[i], to)
			}
		}
		return v
	}
	tour := enter(0, "")
	tour.reaches(0)
	tour.scripts(true)
	tour.picture("begin")
	tour.must("a screen reader", tour.accessible())
	tour.must("the keyboard", tour.keyboard())
	tour.must("a narrow screen", tour.narrow())
	tour.must("paper", tour.paper())
	tour.scripts(false)

	desk := enter(1, "DEMO11")
	desk.submit()
	var way []string
	for !strings.HasSuffix(desk.path(), "/check") {
		parts := strings.Split(desk.path(), "/")
		page := parts[len(parts)-1]
		if way = append(way, page); len(way) > 15 {
			t.Fatalf("reception does not come to the end: %q, %s", way, desk.words())
		}
		if len(parts) == 3 { // the list of what is to do
			desk.open(desk.path() + "/check")
			continue
		}
		desk.fill(reception[page])
		if status := desk.submit(); status != http.StatusOK {
			t.Fatalf("%s is answered by %d: %s", page, status, eval[string](desk, `document.querySelector('main').innerText`))
		}
	}
	t.Logf("reception: %d screens, %q", len(way)+2, way)
	tour.reaches(1)
	desk.submit()
	if !strings.HasSuffix(desk.path(), "/sent") {
		t.Fatalf("sending leads to %s: %s", desk.path(), desk.words())
	}
	reference := regexp.MustCompile(`PN-[0-9A-Z]{4}-[0-9A-Z]{4}`).FindString(eval[string](desk, `document.querySelector('main').innerText`))
	tour.reaches(1) // it waits for the public-protection check
	checked := enter(1, "DEMO13")
	checked.open("/protection/" + reference)
	checked.fill(map[string]string{"gate": "NO_HOLD"})
	checked.submit()

	team := enter(2, "DEMO21")
	for team.open("/notifications/"+reference) == http.StatusNotFound { // it is on its way
	}
	tour.reaches(3)
	team.open("/notifications/" + reference + "/reply")
	team.fill(map[string]string{"reply": "ACCEPTED_FOR_CONTACT"})
	team.submit()
	tour.reaches(4)

	auditor := enter(3, "DEMO31")
	auditor.open("/?notification=" + reference)
	auditor.await(chromedp.Click(`main tbody a`, chromedp.ByQuery))
	if said := eval[string](auditor, `document.querySelector('main').innerText`); !strings.Contains(said, "Verified: this is event") || strings.Contains(said, "Quillmarsh") {
		t.Fatalf("the auditor sees %s", said)
	}
	tour.reaches(5)
	desk.open("/notifications/" + reference + "/withdraw")
	desk.fill(map[string]string{"method": "FACE_TO_FACE", "what": "ALL"})
	desk.submit()
	tour.reaches(6)
	tour.scripts(true)
	tour.picture("end")
	for who, v := range map[string]*visit{"the tour": tour, "reception": desk, "public protection": checked, "the team": team, "the auditor": auditor} {
		v.site.seeded = []string{"Quillmarsh", "Peregrine", "ZZ99 7QX", "A0417ZZ"}
		v.must("titles and addresses of "+who, v.named())
		for _, trouble := range v.troubles() {
			if !strings.Contains(trouble, "404") { // asked for before it had come
				t.Errorf("%s: %s", who, trouble)
			}
		}
	}
}
