//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"postern/internal/testkit"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// mostTabs is how often somebody has to press the key that goes on, at one screen, until its button has the focus. The
// longest screens are the one about the child, and the one with a link to change each answer.
const mostTabs = 15

// The keys, as kb has them.
const (
	tabKey = '\t'
	enter  = '\r'
	space  = ' '
	arrow  = '\u0301'
)

// typist is somebody without a mouse who reads Welsh. Every stop of the focus is held to the same: it shows, it is in
// sight, and it comes after the one before, on the page as in its source.
type typist struct {
	*visit
	catalogue
	screen  string // the heading of the screen
	tabs    int    // presses of the key that goes on, at this screen
	skipped int    // screens at which the link past the header was followed
	all     []string
}

// onlyKeys tells the browser's console of whatever a mouse, a finger or a script did in place of a key. A key that acts on
// a button makes a click too, which no position belongs to.
const onlyKeys = `(() => {
	for (const kind of ['pointerdown', 'mousedown', 'touchstart']) { addEventListener(kind, () => console.error('not a key: ' + kind), true); }
	addEventListener('click', (e) => { if (!e.isTrusted || e.detail > 0) { console.error('a click that no key made'); } }, true);
})()`

// look is what is different about a control that has the focus: its own, and of a radio what its label draws.
const look = `(e) => [[e, null], ...(e.matches('[type=radio], [type=checkbox]') ? [[e.labels[0], '::before']] : [])].map(([of, part]) => {
	const s = getComputedStyle(of, part);
	return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.backgroundColor].join();
}).join()`

// stopped is what is wrong with where the focus is now.
const stopped = `(() => {
	const e = document.activeElement, found = [], html = e.outerHTML.slice(0, 120);
	if (e === document.body) { return ['the focus has left the page']; }
	const r = e.getClientRects()[0] || new DOMRect(), within = (least, n, most) => Math.max(least, Math.min(n, most));
	if (!e.matches(':focus-visible') || (` + look + `)(e) === window.unfocused.get(e)) { found.push('the focus does not show: ' + html); }
	if (r.width === 0 || r.bottom <= 0 || r.right <= 0 || r.top >= innerHeight || r.left >= innerWidth) { found.push('the focus is out of sight: ' + html); }
	const over = document.elementFromPoint(within(0, r.left + r.width / 2, innerWidth - 1), within(0, r.top + r.height / 2, innerHeight - 1));
	if (over && !e.contains(over) && ![...(e.labels || [])].some((l) => l.contains(over))) { found.push('under something else: ' + html); }
	const at = {e, top: r.top + scrollY, left: r.left, right: r.right}, before = window.stopBefore;
	if (before && !(before.e.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)) { found.push('comes before the stop before: ' + html); }
	if (before && at.top < before.top - 10 && at.left < before.right) { found.push('stands above the stop before: ' + html); }
	window.stopBefore = at;
	return found;
})()`

func (b *browser) typist(t testing.TB, s *site) *typist {
	k := &typist{visit: b.at(t, s), catalogue: readCatalogue()}
	k.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(onlyKeys).Do(ctx)
		return err
	}))
	return k
}

// sees notes a screen, holds its words to Welsh, and goes past the header: by the link that is there for it, or because
// that link was followed at a screen before. A form that is sent keeps the place in the page, also over a redirect.
func (k *typist) sees() {
	k.t.Helper()
	k.note()
	k.must(k.screen, k.english())
	k.tab()
	if !eval[bool](k.visit, `location.hash === '#main-content'`) {
		if k.skipped++; !eval[bool](k.visit, `document.activeElement.matches('.govuk-skip-link')`) {
			k.t.Fatalf("%s: the first key leads to %s and not past the header", k.screen, eval[string](k.visit, `document.activeElement.outerHTML.slice(0, 120)`))
		}
		k.run(k.key(enter, 0))
		k.tab()
	}
	if !eval[bool](k.visit, `document.activeElement.closest('main') !== null`) {
		k.t.Errorf("%s: the link past the header does not lead past it", k.screen)
	}
}

// note begins a screen. How its controls look is noted before any of them has the focus.
func (k *typist) note() {
	k.leaves()
	k.screen, k.tabs = eval[string](k.visit, `document.querySelector('h1').innerText`), 0
	k.run(chromedp.Evaluate(`window.stopBefore = null; window.unfocused = new Map([...document.querySelectorAll('*')].filter((e) => e.tabIndex >= 0).map((e) => [e, (`+look+`)(e)]))`, nil))
}

// leaves notes what a screen took.
func (k *typist) leaves() {
	if k.screen != "" {
		k.all = append(k.all, fmt.Sprintf("%s: %d", k.screen, k.tabs))
	}
	if k.tabs > mostTabs {
		k.t.Errorf("%s takes %d presses of the key that goes on", k.screen, k.tabs)
	}
}

// key presses a key as a keyboard does: what it writes goes with it, and not to the field that it has led to.
func (k *typist) key(key rune, modifiers input.Modifier) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		events := kb.Encode(key)
		down, up := events[0], events[len(events)-1]
		if len(events) == 3 {
			down.Text, down.UnmodifiedText = events[1].Text, events[1].UnmodifiedText
		} else {
			down.Type = input.KeyRawDown
		}
		down.Modifiers, up.Modifiers = down.Modifiers|modifiers, up.Modifiers|modifiers
		if err := down.Do(ctx); err != nil {
			return err
		}
		return up.Do(ctx)
	})
}

// tab presses the key that goes on.
func (k *typist) tab() {
	k.t.Helper()
	k.tabs++
	k.run(k.key(tabKey, 0))
	k.must(k.screen, eval[[]string](k.visit, stopped))
}

// to goes on until a control has the focus, and never back.
func (k *typist) to(control string) {
	k.t.Helper()
	for !eval[bool](k.visit, `document.activeElement.matches(`+quoted(control)+`)`) {
		if k.tabs > 2*mostTabs || k.t.Failed() {
			k.t.Fatalf("%s: no key leads to %s", k.screen, control)
		}
		k.tab()
	}
}

// picks chooses an answer with the arrows, of radios or of a list that opens; the first of radios that have none yet with
// the space bar.
func (k *typist) picks(name, value string) {
	k.t.Helper()
	k.to(fmt.Sprintf(`main [name=%q]`, name))
	if eval[bool](k.visit, `document.activeElement.type === 'radio' && !document.activeElement.checked`) {
		k.run(k.key(space, 0))
	}
	for range 30 {
		if eval[string](k.visit, `document.activeElement.value`) == value {
			k.must(k.screen, eval[[]string](k.visit, stopped+`.filter((found) => !found.startsWith('comes before') && !found.startsWith('stands above'))`))
			if eval[bool](k.visit, `document.activeElement.matches('select, :checked')`) {
				return
			}
		}
		k.run(k.key(arrow, 0))
	}
	k.t.Fatalf("%s: no arrow leads to %s of %s", k.screen, value, name)
}

// writes types into a field.
func (k *typist) writes(name, text string) {
	k.t.Helper()
	k.to(fmt.Sprintf(`main [name=%q]`, name))
	for _, letter := range text {
		k.run(k.key(letter, 0))
	}
	if got := eval[string](k.visit, `document.activeElement.value`); got != text {
		k.t.Errorf("%s: typed as %q, %s has %q", k.screen, text, name, got)
	}
}

// presses goes to a button or a link, sees that the way back from it is open too, and presses it with a key.
func (k *typist) presses(control string, key rune) int64 {
	k.t.Helper()
	k.to(control)
	k.run(chromedp.Evaluate(`window.pressed = document.activeElement`, nil), k.key(tabKey, input.ModifierShift))
	if eval[bool](k.visit, `document.activeElement === window.pressed`) {
		k.t.Errorf("%s: the key that goes back stays where it is", k.screen)
	}
	k.run(k.key(tabKey, 0))
	if !eval[bool](k.visit, `document.activeElement === window.pressed`) {
		k.t.Fatalf("%s: back and on again leads elsewhere", k.screen)
	}
	return k.await(k.key(key, 0))
}

// goesOn presses the button of a page, and must come to the page that a path ends with.
func (k *typist) goesOn(key rune, to string) {
	k.t.Helper()
	if status := k.presses(`main form button[type="submit"]:not([name])`, key); status != 200 || !strings.HasSuffix(k.path(), to) {
		k.t.Fatalf("%s: the button leads to %s (%d) and not to %s: %s", k.screen, k.path(), status, to, k.words())
	}
	k.sees()
}

// catalogue tells English from Welsh: the lines of both, those with places to fill in as patterns.
type catalogue struct{ english, welsh lines }

type lines struct {
	whole    map[string]bool
	patterns []*regexp.Regexp
}

func readCatalogue() (c catalogue) {
	c.english, c.welsh = linesOf(words.English), linesOf(words.Welsh)
	return c
}

func linesOf(l words.Language) lines {
	all := lines{whole: map[string]bool{}}
	for _, id := range l.IDs() {
		text := l.Text(id, nil)
		parts := placeholder.Split(text, -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		switch {
		case len(parts) == 1:
			all.whole[text] = true
		case len(placeholder.ReplaceAllString(text, "")) > 8:
			all.patterns = append(all.patterns, regexp.MustCompile("^"+strings.Join(parts, ".+")+"$"))
		}
	}
	return all
}

func (l lines) has(text string) bool {
	return l.whole[text] || slices.ContainsFunc(l.patterns, func(p *regexp.Regexp) bool { return p.MatchString(text) })
}

// english is what a page that should be Welsh says in English: its language, its title and first heading where the Welsh
// catalogue does not have them, and of its other headings, questions and buttons those that the English one has. What is
// marked as in another language, such as the link to it, is that.
func (k *typist) english() (found []string) {
	if language := eval[string](k.visit, `document.documentElement.lang`); language != string(words.Welsh) {
		found = append(found, "the page is in "+language)
	}
	said := eval[[]string](k.visit, `[document.title.split(' – ')[0].replace(/^Gwall: /, ''), ...[...document.querySelectorAll('h1, h2, h3, h4, legend, label, th, dt, button, summary')]
		.filter((e) => e.closest('[lang]').lang === document.documentElement.lang && e.checkVisibility()).map((e) => e.textContent.replace(/\s+/g, ' ').trim())]`)
	first := eval[string](k.visit, `document.querySelector('h1').textContent.replace(/\s+/g, ' ').trim()`)
	for i, text := range said {
		if (i == 0 || text == first) && !k.catalogue.welsh.has(text) || k.catalogue.english.has(text) && !k.catalogue.welsh.has(text) {
			found = append(found, "in English: "+text)
		}
	}
	return found
}

// TestReceptionByKeyboardInWelsh: the officer's whole way, from signing in and the arrivals to the reference at the
// council's inbox, on Welsh pages and without a mouse.
func TestReceptionByKeyboardInWelsh(t *testing.T) {
	b := start(t)
	r := newReception(t)
	k := b.typist(t, r.site)
	k.open("/sign-in")
	k.note()
	if found := k.english(); len(found) < 3 {
		t.Fatalf("of an English page the search for English finds %q", found)
	}
	k.presses(`a[hreflang="cy"]`, enter)
	k.sees()
	k.picks("who", "RECEPTION_OFFICER")
	k.goesOn(enter, "/")
	k.presses(`main a[href="/arrivals"]`, enter)
	k.sees()
	if status := k.presses(`main tbody tr:nth-child(1) td form button`, enter); status != 200 || !strings.HasSuffix(k.path(), "/tonight") {
		t.Fatalf("the list leads to %s (%d)", k.path(), status)
	}
	k.sees()
	k.picks("answer", "NO")
	k.goesOn(enter, "/children")
	k.picks("answer", "CHILDREN")
	k.goesOn(space, "/permission")
	k.picks("answer", "contact")
	k.picks("understood", "YES")
	k.goesOn(enter, "/children/1")
	k.mends()
	k.picks("born", "AGE")
	k.writes("age_years", "7")
	k.picks("relationship", "MOTHER")
	k.picks("parental_responsibility", "YES")
	k.picks("agrees_to_early_help", "YES")
	k.picks("lived_with_before", "YES")
	k.picks("primary_carer_before", "YES")
	k.goesOn(enter, "/children/1/home")
	k.picks("where", "ADDRESS")
	k.writes("address", "1 Sixpenny Steps")
	k.writes("postcode", "ZZ99 1AA")
	k.goesOn(space, "/children/1/carer")
	k.picks("known", "YES")
	k.writes("name", "Gwladys Tattersby")
	k.picks("relationship", "GRANDPARENT")
	k.picks("is_adult", "YES")
	k.picks("has_parental_responsibility", "NO")
	k.goesOn(enter, "/children/1/safety")
	k.picks("carer_knows", "YES")
	k.picks("mention", "YES")
	k.goesOn(enter, "/check")
	k.goesOn(enter, "/sent")
	reference := regexp.MustCompile(`PN-\w{4}-\w{4}`).FindString(k.page())
	k.to(`main a[href$="/slip"]`)
	k.leaves()
	if k.skipped < 2 { // at signing in and at the list
		t.Errorf("the link past the header was followed at %d screens", k.skipped)
	}
	t.Logf("presses of the key that goes on, by screen: %s", strings.Join(k.all, "; "))
	k.must("titles and addresses", k.named())
	k.must("the browser", k.troubles())
	r.arrives()
	r.has(reference)
}

// mends sends the page of a child empty: keys lead to the first of the faults, and from there to its field.
func (k *typist) mends() {
	k.t.Helper()
	if status := k.presses(`main form button[type="submit"]:not([name])`, enter); status != 422 {
		k.t.Fatalf("nothing is answered by %d", status)
	}
	k.must("faults", k.faulty())
	k.note()
	k.must(k.screen, k.english())
	k.to(`.govuk-error-summary a[href="#given_name"]`)
	k.run(k.key(enter, 0))
	if at := eval[string](k.visit, `document.activeElement.name || ''`); at != "given_name" {
		k.t.Fatalf("a fault leads to %q", at)
	}
	k.writes("given_name", "Siân")
}

// A place of the page that stands in the address, as the link past the header and the tabs leave it, does not take the
// focus from the faults: whoever read the script in Welsh and sent the page would see neither.
func TestAPlaceInTheAddressLeavesTheFocusToTheFaults(t *testing.T) {
	b := start(t)
	r := newReception(t)
	draft := r.begun(func(d *localv1.Draft) { d.Form.Enquiry = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN })
	v := b.at(t, r.site)
	r.site.signIn(v, "RECEPTION_OFFICER")
	for _, leaves := range []string{`.govuk-skip-link`, `a.govuk-tabs__tab[href="#welsh"]`} {
		v.open(draft + "/permission")
		v.run(chromedp.Evaluate(`document.querySelector(`+quoted(leaves)+`).click()`, nil)) // the first is out of the way of a mouse
		if status := v.submit(); status != 422 || eval[string](v, `location.hash`) == "" {
			t.Fatalf("%s: answered by %d at %s", leaves, status, v.path())
		}
		v.must(leaves, v.faulty())
		if top := eval[float64](v, `document.querySelector('.govuk-error-summary').getBoundingClientRect().top`); top < 0 || top > 800 {
			t.Errorf("%s: the summary stands at %.0f", leaves, top)
		}
	}
}

// has holds the council's inbox to one notification, with a reference.
func (r *receptionDesk) has(reference string) {
	r.t.Helper()
	items := r.x.Inbox(testkit.Bristol).Items()
	if len(items) != 1 || reference == "" || items[0].GetReference() != reference {
		r.t.Errorf("the inbox has %v, and the desk said %q", items, reference)
	}
}

// TestWhatNoKeyDidIsFound is the control of what somebody without a mouse is held to.
func TestWhatNoKeyDidIsFound(t *testing.T) {
	b := start(t)
	k := b.typist(t, newClocked(t).site)
	k.site.signIn(k.visit, "")
	k.run(chromedp.Evaluate(`document.querySelector('.govuk-skip-link').click()`, nil), chromedp.Click(`h1`, chromedp.ByQuery))
	if found := strings.Join(k.troubles(), "\n"); !strings.Contains(found, "no key made") || !strings.Contains(found, "mousedown") {
		t.Errorf("of a mouse and a script is found %q", found)
	}
	for what, broken := range map[string]string{
		"the focus does not show":      `rule('*, *::before { outline: none !important; box-shadow: none !important; background: none !important }')`,
		"the focus is out of sight":    `rule('[name=line] { position: fixed; top: -1000px }')`,
		"under something else":         `rule('body::after { content: ""; position: fixed; inset: 0; z-index: 9 }')`,
		"stands above the stop before": `rule('[name=line] { position: absolute; top: 0; left: 0 }')`,
		"comes before the stop before": `document.querySelector('[name=line]').tabIndex = 2; document.querySelector('.govuk-skip-link').tabIndex = 3`,
	} {
		k.open("/")
		k.run(chromedp.Evaluate(`(() => { const s = document.styleSheets[0], rule = (text) => s.insertRule(text, s.cssRules.length); `+broken+`; })()`, nil))
		k.note()
		var found []string
		for range 15 {
			k.run(k.key(tabKey, 0))
			found = append(found, eval[[]string](k.visit, stopped)...)
		}
		if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, what) }) {
			t.Errorf("%q is not found, but %q", what, found)
		}
	}
}
