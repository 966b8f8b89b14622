//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Every check returns what it finds wrong with the page that is open, so that it can be seen to find something.

// accessible are the faults that axe finds, by the success criteria of WCAG 2.2 up to AA.
func (v *visit) accessible() []string {
	v.run(chromedp.Evaluate(v.b.axe, nil))
	violations := eval[[]struct {
		ID    string
		Help  string
		Nodes []struct{ HTML string }
	}](v, `axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}, resultTypes: ['violations']})
		.then((r) => r.violations.map((x) => ({ID: x.id, Help: x.help, Nodes: x.nodes.map((n) => ({HTML: n.html}))})))`)
	var found []string
	for _, x := range violations {
		for _, n := range x.Nodes {
			if x.ID == "aria-allowed-attr" && strings.Contains(n.HTML, `class="govuk-radios__input"`) && strings.Contains(n.HTML, "aria-expanded") {
				continue // a radio that opens more questions says so; the makers of GOV.UK Frontend tried it with people and keep it
			}
			found = append(found, fmt.Sprintf("axe %s: %s: %s", x.ID, x.Help, n.HTML))
		}
	}
	return found
}

// narrow is what has to be scrolled sideways at 320 pixels, which is also 1280 at 400 per cent.
func (v *visit) narrow() []string {
	v.screen(320, 640)
	defer v.screen(1280, 900)
	wide := eval[[]string](v, `(() => {
		const boxes = [...document.querySelectorAll('.app-table-scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1);
		if (document.scrollingElement.scrollWidth <= 320 && boxes.length === 0) { return []; }
		return [...document.querySelectorAll('body *')]
			.filter((e) => Math.max(e.getBoundingClientRect().right, e.getBoundingClientRect().left + e.scrollWidth) > 321)
			.map((e) => e.outerHTML.slice(0, 120)).slice(-3);
	})()`)
	for i := range wide {
		wide[i] = "wider than 320 pixels: " + wide[i]
	}
	return wide
}

// paper is what a printed page has that only a screen can use, or lacks that the screen has.
func (v *visit) paper() []string {
	v.run(emulation.SetEmulatedMedia().WithMedia("print"))
	defer func() { v.run(emulation.SetEmulatedMedia().WithMedia("")) }()
	return eval[[]string](v, `(() => {
		const seen = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden' && e.getBoundingClientRect().width > 1;
		const found = [];
		for (const e of document.querySelectorAll('.app-no-print, button, .govuk-button, .govuk-back-link, nav, .govuk-skip-link')) {
			if (seen(e)) { found.push('printed, though only a screen can use it: ' + e.outerHTML.slice(0, 120)); }
		}
		const h1 = document.querySelector('h1');
		if (!h1 || !seen(h1)) { found.push('the heading is not printed'); }
		for (const e of document.querySelectorAll('body *')) {
			const [r, g, b, a = 1] = (getComputedStyle(e).backgroundColor.match(/[\d.]+/g) || []).map(Number);
			if (seen(e) && e.innerText && a > 0 && 0.2126 * r + 0.7152 * g + 0.0722 * b < 128) { found.push('printed on a dark ground: ' + e.outerHTML.slice(0, 120)); }
		}
		if (![...document.querySelectorAll('.app-print-only')].some(seen)) { found.push('the paper does not say when it was printed'); }
		return found;
	})()`)
}

// keyboard is what somebody without a mouse cannot reach or see: the first stop leads past the header, and every control
// can have the focus, which shows and is not under something else.
func (v *visit) keyboard() []string {
	v.run(chromedp.Evaluate(`document.activeElement.blur(); window.scrollTo(0, 0)`, nil), chromedp.KeyEvent(kb.Tab))
	first := eval[string](v, `document.activeElement.className`)
	var found []string
	if !strings.Contains(first, "govuk-skip-link") && !strings.Contains(first, "govuk-error-summary") {
		found = append(found, fmt.Sprintf("the first key leads to %q and not past the header", first))
	}
	return append(found, eval[[]string](v, `(() => {
		const found = [];
		const rest = (e) => { const s = getComputedStyle(e); return [s.outlineStyle, s.outlineWidth, s.boxShadow, s.backgroundColor].join(); };
		for (const e of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')) {
			if (e.disabled || !e.checkVisibility() || e.getClientRects().length === 0) { continue; } // one in a closed box is not seen either
			if (e.matches('.govuk-checkboxes__input, .govuk-radios__input')) { continue; } // drawn by their label
			e.blur();
			const before = rest(e);
			e.focus({focusVisible: true});
			if (document.activeElement !== e) { found.push('cannot have the focus: ' + e.outerHTML.slice(0, 120)); continue; }
			if (rest(e) === before) { found.push('the focus does not show: ' + e.outerHTML.slice(0, 120)); }
			e.blur();
		}
		return found;
	})()`)...)
}

// faulty is what a page with faults lacks.
func (v *visit) faulty() []string {
	return eval[[]string](v, `(() => {
		const found = [];
		const summary = document.querySelector('.govuk-error-summary');
		if (!summary) { return ['there is no error summary']; }
		if (document.activeElement !== summary) { found.push('the error summary has not the focus'); }
		if (!/^(Error|Gwall): /.test(document.title)) { found.push('the title does not say Error: ' + document.title); }
		for (const a of summary.querySelectorAll('a')) {
			const to = document.getElementById(a.hash.slice(1));
			if (!to || !to.matches('input, select, textarea')) { found.push('a fault leads to no field: ' + a.outerHTML); continue; }
			const group = to.closest('.govuk-form-group--error');
			if (!group || !group.innerText.includes(a.innerText.trim())) { found.push('a field does not say its fault: ' + a.innerText); }
		}
		return found;
	})()`)
}

// hostile writes what must stay text into every field that takes text, and sends it. Whatever the page answers, markup
// of it would break the content security policy or say something, and so be among the troubles.
func (v *visit) hostile() {
	v.t.Helper()
	v.run(chromedp.Evaluate(`(() => {
		for (const e of document.querySelectorAll('main input[type=text], main textarea')) {
			e.value = '"\'></textarea></title><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>';
		}
	})()`, nil))
	v.submit()
}

// words are what the page says and asks, for comparing it with itself.
func (v *visit) words() string {
	return eval[string](v, `(() => {
		const seen = (e) => e.getClientRects().length > 0;
		const main = document.querySelector('main');
		return [document.title, main.querySelector('h1').innerText,
			...[...main.querySelectorAll('input:not([type=hidden]), select, textarea, button:not([data-app-print]):not([data-app-copy]), a[href]')]
				.filter((e) => e.closest('[hidden]') === null && (seen(e) || e.closest('[class*=conditional], details, .govuk-tabs') !== null)).map((e) => e.name + '|' + e.type + '|' + (e.innerText || '').replace(/\s+/g, ' ').trim()),
		].join('\n');
	})()`)
}

// unseen are controls that cannot be used without scripts, though nothing says that they need them.
func (v *visit) unseen() []string {
	return eval[[]string](v, `[...document.querySelectorAll('main input:not([type=hidden]), main select, main textarea')]
		.filter((e) => e.getClientRects().length === 0 && !e.closest('details')).map((e) => 'not there without scripts: ' + e.outerHTML.slice(0, 120))`)
}

// named are names of invented people in titles and addresses that were seen so far.
func (v *visit) named() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var found []string
	for _, seen := range v.titles {
		for _, name := range v.site.seeded {
			if strings.Contains(strings.ToLower(seen), strings.ToLower(name)) {
				found = append(found, fmt.Sprintf("%q is in %q", name, seen))
			}
		}
	}
	return found
}

// aSheet is a page in a PDF as Chromium writes it.
var aSheet = regexp.MustCompile(`/Type /Page\b[^s]`)

// picture leaves a screenshot of the page, wide and narrow, and what a printer would make of it, and counts its sheets.
func (v *visit) picture(name string) (sheets int) {
	v.t.Helper()
	dir := filepath.Join("../../screenshots", v.site.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		v.t.Fatal(err)
	}
	save := func(suffix string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), data, 0o644); err != nil {
			v.t.Fatal(err)
		}
	}
	var wide, narrow, printed, paper []byte
	v.run(chromedp.FullScreenshot(&wide, 100))
	v.screen(320, 640)
	v.run(chromedp.FullScreenshot(&narrow, 100))
	v.screen(1280, 900)
	v.run(emulation.SetEmulatedMedia().WithMedia("print"), chromedp.FullScreenshot(&printed, 100), emulation.SetEmulatedMedia().WithMedia(""))
	v.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		paper, _, err = page.PrintToPDF().WithPrintBackground(true).WithPaperWidth(8.27).WithPaperHeight(11.69).Do(ctx)
		return err
	}))
	save(".png", wide)
	save("-320.png", narrow)
	save("-print.png", printed)
	save(".pdf", paper)
	return len(aSheet.FindAll(paper, -1))
}

// quoted is a value as JavaScript has it.
func quoted(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and maps of strings only
	}
	return string(data)
}
