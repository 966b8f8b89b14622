//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// The keystroke-level model (Card, Moran and Newell, The Psychology of Human-Computer Interaction, 1983), in seconds. It
// is a sum over what is counted, so it is the same on every machine. docs/reception.md says what it leaves out.
const (
	keystroke = 0.28 // K: a key, by somebody who types moderately well
	pointing  = 1.10 // P: moving the mouse to something
	button    = 0.10 // B: pressing the mouse's button, or letting it go
	homing    = 0.40 // H: a hand from the mouse to the keys, or back
	mental    = 1.35 // M: before every press, and so before every field that is written in; none is left out
	readRate  = 238  // words a minute, read silently
	aloudRate = 150  // words a minute, read aloud
	listed    = 12   // people on the list of an evening, each of whom is read
)

// screen is what somebody does at one screen.
type screen struct {
	title         string
	presses, keys int
	hands         int // how often a hand goes from the mouse to the keys or back
	fresh         int // words that somebody who uses it daily has not read before
	aloud         int // words of the script
	asked         int // words of the questions that were answered; what they take is talk, and in no sum

	text    []string // all words of the screen
	machine time.Duration
}

// seconds is what the model says of a screen.
func (s screen) seconds() float64 {
	return float64(s.presses)*(mental+pointing+2*button) + float64(s.keys)*keystroke + float64(s.hands)*homing +
		60*float64(s.fresh)/readRate + 60*float64(s.aloud)/aloudRate
}

// row is a screen as docs/reception.md has it.
func (s screen) row() string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %.1f |", s.title, s.presses, s.keys, s.hands, s.fresh, s.aloud, s.seconds())
}

// total is the screens together.
func total(all []screen) screen {
	sum := screen{title: "together"}
	for _, s := range all {
		sum.presses, sum.keys, sum.hands = sum.presses+s.presses, sum.keys+s.keys, sum.hands+s.hands
		sum.fresh, sum.aloud, sum.asked, sum.machine = sum.fresh+s.fresh, sum.aloud+s.aloud, sum.asked+s.asked, sum.machine+s.machine
	}
	return sum
}

// counted is somebody whose screens, keys and presses are counted. The mouse is in the hand at the beginning.
type counted struct {
	*visit
	screens []screen
	onKeys  bool
}

func (c *counted) here() *screen { return &c.screens[len(c.screens)-1] }

// sees notes a screen, with the words that stand on it and how long the machine took to show it.
func (c *counted) sees() {
	took := eval[float64](c.visit, `performance.getEntriesByType('navigation')[0].duration`)
	c.screens = append(c.screens, screen{title: eval[string](c.visit, `document.querySelector('h1').innerText`),
		text:    strings.Fields(eval[string](c.visit, `document.querySelector('main').innerText`)),
		machine: time.Duration(took * float64(time.Millisecond))})
	if script := eval[string](c.visit, `[...document.querySelectorAll('.govuk-tabs__panel')].filter((e) => e.checkVisibility()).map((e) => e.innerText).join(' ')`); script != "" {
		c.here().aloud = len(strings.Fields(script))
	}
}

// presses is a press of the mouse's button on something.
func (c *counted) press() {
	c.here().presses++
	if c.onKeys {
		c.here().hands++
	}
	c.onKeys = false
}

// writes types into a field, key by key, after a press to get into it.
func (c *counted) writes(name, text string) {
	c.t.Helper()
	c.asks(name)
	c.run(chromedp.SendKeys(fmt.Sprintf(`main [name=%q]`, name), text, chromedp.ByQuery))
	c.press()
	c.here().keys += len([]rune(text))
	c.here().hands++
	c.onKeys = true
}

// picks chooses an answer. One of a list that opens takes two presses.
func (c *counted) picks(name, value string) {
	c.t.Helper()
	c.asks(name)
	c.answer(map[string]string{name: value})
	c.press()
	if eval[bool](c.visit, fmt.Sprintf(`document.querySelector('main [name=%q]').matches('select')`, name)) {
		c.press()
	}
}

// asks counts the words of a question.
func (c *counted) asks(name string) {
	question := eval[string](c.visit, fmt.Sprintf(`(() => {
		const e = document.querySelector('main [name=%q]');
		const of = e.matches('[type=radio], [type=checkbox]') ? e.closest('fieldset').querySelector('legend') : document.querySelector('label[for="' + e.id + '"]');
		return of.innerText;
	})()`, name))
	c.here().asked += len(strings.Fields(question))
}

// goesOn presses the button of a page, and must come to a page of the draft.
func (c *counted) goesOn(to string) {
	c.t.Helper()
	c.press()
	if status := c.submit(); status != 200 || !strings.HasSuffix(c.path(), to) {
		c.t.Fatalf("the button leads to %s (%d) and not to %s: %s", c.path(), status, to, c.words())
	}
	c.sees()
}

// readOnly sets how many words of each screen are new to somebody who uses it daily: those that the same screen does not
// have when it is about another family. Of the list of arrivals it is every word, as often as an evening has people.
func readOnly(mine, others []screen, rows string, people int) {
	for i := range mine {
		known := slices.Clone(others[i].text)
		for _, word := range mine[i].text {
			if at := slices.Index(known, word); at >= 0 {
				known = slices.Delete(known, at, at+1)
			} else {
				mine[i].fresh++
			}
		}
	}
	mine[0].fresh = len(strings.Fields(rows)) * listed / people
}
