//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"postern/internal/signin"
	"postern/internal/words"
)

// What holds on every site and for every page of it, without a line for any: a new page gets it by being a stop.

// most is how many bytes a browser may fetch until somebody sees the first page, and signing in before it.
const most = 60_000

// TestTheFirstPageIsLight counts every byte until the first page of each site is there, in a browser that has seen none
// of it. The browser's complaints, in which a request to anybody else would be, are counted too.
func TestTheFirstPageIsLight(t *testing.T) {
	b := start(t)
	for _, s := range parties(t) {
		v := b.at(t, s)
		fetched := func() int {
			return eval[int](v, `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((n, e) => n + e.transferSize, 0)`)
		}
		v.open(signin.Path)
		total := fetched()
		s.signIn(v, "ALL")
		v.open("/")
		total += fetched()
		t.Logf("%s: %d bytes", s.name, total)
		if total < 10_000 || total > most {
			t.Errorf("%s: %d bytes until the first page is there", s.name, total)
		}
		v.must(s.name, v.troubles())
	}
}

// TestHostileValues fills every field for text on every page of every site with what must stay text, sends it, and then
// opens every page again, where it may be shown by now: no script runs, no element of it comes to be, and a page that is
// shown again has it in its fields as it was written. It is done in Welsh, so that every fault that this brings is seen to
// be said in Welsh.
func TestHostileValues(t *testing.T) {
	b, all := start(t), 0
	for _, s := range sites(t) {
		v := b.at(t, s)
		fields := 0
		pages := onePerPage(s.stops)
		v.open("/?lang=cy")
		for _, stop := range pages {
			stop.path, _, _ = strings.Cut(stop.path, "lang=")
			v.come(stop)
			n := eval[int](v, `document.querySelectorAll('main input[type=text], main textarea').length`)
			if n == 0 || !eval[bool](v, `document.querySelector('main form button[type="submit"]:not([name])') !== null`) {
				continue
			}
			fields += n
			v.hostile()
			v.must(s.name+"/"+stop.name, slices.Concat(v.injected(), v.troubles(), v.notInWelsh()))
		}
		for _, stop := range pages {
			v.come(stop)
			v.must(s.name+"/"+stop.name+" afterwards", append(v.injected(), v.troubles()...))
		}
		t.Logf("%s: %d fields", s.name, fields)
		all += fields
	}
	if all < 20 {
		t.Errorf("%d fields on all sites: something was not looked at", all)
	}
}

// notInWelsh are the faults on a Welsh page that the Welsh catalogue does not have.
func (v *visit) notInWelsh() (found []string) {
	if language := eval[string](v, `document.documentElement.lang`); language != string(words.Welsh) {
		return []string{"the page is in " + language}
	}
	for _, said := range eval[[]string](v, `[...document.querySelectorAll('.govuk-error-summary__list li')].map((e) => e.innerText)`) {
		if !inWelsh(said) {
			found = append(found, "not in the Welsh catalogue: "+said)
		}
	}
	return found
}

// inWelsh reports whether a fault is a text of the Welsh catalogue, of one line or two, with its places filled in.
func inWelsh(said string) bool {
	return slices.ContainsFunc(words.Welsh.IDs(), func(id string) bool {
		text := strings.ReplaceAll(words.Welsh.Text(id, nil), "\n", " ")
		parts := placeholder.Split(text, -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		return len(placeholder.ReplaceAllString(text, "")) > 15 && regexp.MustCompile("^"+strings.Join(parts, ".+")+"$").MatchString(strings.Join(strings.Fields(said), " "))
	})
}

var placeholder = regexp.MustCompile(`\{[a-z]{2,}\}`)

// TestEnglishIsFoundOnAWelshPage is the control of the search for it.
func TestEnglishIsFoundOnAWelshPage(t *testing.T) {
	for _, id := range []string{"fault.postcode.postcode", "form.authority_differs"} {
		args := words.Args{"table": "Bristol", "chosen": "Swydd Gaer"}
		say := func(l words.Language) string { return strings.ReplaceAll(l.Text(id, args), "\n", " ") }
		if inWelsh(say(words.English)) || !inWelsh(say(words.Welsh)) {
			t.Errorf("%s is taken for another language", id)
		}
	}
}

// onePerPage leaves one stop of each page: another language or question of it has the same fields.
func onePerPage(stops []stop) (some []stop) {
	seen := map[string]bool{}
	for _, s := range stops {
		path, _, _ := strings.Cut(s.path, "?")
		if !seen[path] {
			some = append(some, s)
		}
		seen[path] = true
	}
	return some
}

// injected are elements that only what was written into a field can have brought, and fields that have it otherwise than
// it was written.
func (v *visit) injected() []string {
	return eval[[]string](v, fmt.Sprintf(`(() => {
		const found = [...document.querySelectorAll('img[src="x"], [onload], [onerror], body script:not([src])')].map((e) => 'came to be: ' + e.outerHTML.slice(0, 120));
		for (const e of document.querySelectorAll('main input[type=text], main textarea')) {
			if (e.value.includes('alert(1)') && !e.value.includes(%s)) { found.push('is not as it was written: ' + e.value); }
		}
		return found;
	})()`, quoted(`<script>alert(1)</script>`)))
}

// TestWhatIsWrittenIntoAPageIsFound is the control of the search for it.
func TestWhatIsWrittenIntoAPageIsFound(t *testing.T) {
	v := start(t).at(t, broken(t))
	v.open("/wide")
	v.run(chromedp.Evaluate(`document.querySelector('main').append(Object.assign(document.createElement('img'), {alt: '', src: 'x'}))`, nil))
	if found := v.injected(); len(found) != 1 {
		t.Errorf("found %q", found)
	}
}
