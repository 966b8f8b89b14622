//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"postern/internal/web"
)

// clocked is a site with a clock to move, one form, and a count of what was sent with it.
type clocked struct {
	*site
	late time.Duration
	sent atomic.Int32
	shut atomic.Bool // nobody is signed in any more
}

func newClocked(t *testing.T) *clocked {
	c := &clocked{site: &site{name: "clocked", signIn: func(v *visit, _ string) { v.open("/sign-in") }}}
	form := func() *web.Form { return web.NewForm(web.Field{Name: "line", Label: "A line", IsPageHeading: true}) }
	handler, err := web.New(web.Config{Name: "clocked", Service: "web.service", SignIn: "/sign-in", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(c.late) },
		Pages: []web.Page{
			{Path: "/sign-in", Name: "web.sign_in_again", Open: true, Get: func(r *web.Request) (web.Response, error) {
				if c.shut.Load() {
					return web.SeeOther("/session/ended"), nil
				}
				return web.SeeOther(r.To()), r.SignIn(web.Person{ID: "staff-7", Name: "A. Officer"})
			}},
			{Path: "/", Name: "web.home", Get: ask(form), Post: func(*web.Request) (web.Response, error) {
				c.sent.Add(1)
				return web.SeeOther("/done"), nil
			}},
			{Path: "/sign-out", Name: "web.sign_out", Open: true, Post: func(r *web.Request) (web.Response, error) { r.SignOut(); return web.SeeOther("/session/ended"), nil }},
			{Path: "/done", Name: "web.done", Get: ask(form)},
		}})
	if err != nil {
		t.Fatal(err)
	}
	c.handler, c.base = handler, serve(t, handler.Server())
	return c
}

func TestJourneys(t *testing.T) {
	b := start(t)

	t.Run("a session that ends in the middle of a form", func(t *testing.T) {
		c := newClocked(t)
		v := b.at(t, c.site)
		v.open("/")
		v.answer(map[string]string{"line": "x"})
		c.late = time.Hour
		if status := v.submit(); status != http.StatusUnauthorized || c.sent.Load() != 0 || !strings.Contains(v.words(), "You have been signed out") {
			t.Errorf("answered by %d, %d sent: %s", status, c.sent.Load(), v.words())
		}
		v.await(chromedp.Click(`main a`, chromedp.ByQuery))
		if at := v.path(); at != "/" {
			t.Errorf("signed in again, somebody comes to %s", at)
		}
	})

	t.Run("the warning before a session ends", func(t *testing.T) {
		c := newClocked(t)
		v := b.at(t, c.site)
		v.ownTime()
		v.open("/")
		hidden := `document.querySelector('[data-session-warning]').hidden`
		if eval[any](v, `passTime(24), 0`); !eval[bool](v, hidden) {
			t.Error("the warning shows six minutes before the end")
		}
		if eval[any](v, `passTime(2), 0`); eval[bool](v, hidden) || !strings.Contains(eval[string](v, `document.querySelector('[role=alert]').innerText`), "signed out soon") {
			t.Error("the warning does not show four minutes before the end")
		}
		eval[any](v, `window.setTimeout = timeouts[0], 0`) // axe waits
		v.must("a screen reader", v.accessible())
		eval[any](v, `window.setTimeout = timeouts[1], 0`)
		eval[any](v, `document.querySelector('[data-session-extend]').addEventListener('click', (e) => e.preventDefault()); document.querySelector('[data-session-extend]').click(); passTime(5), 0`)
		if !eval[bool](v, hidden) {
			t.Error("the time does not start again for somebody who stays")
		}
		v.await(chromedp.Evaluate(`passTime(26)`, nil))
		if at := v.path(); at != "/session/ended" {
			t.Errorf("at the end the page is %s", at)
		}
	})

	t.Run("without a mouse", func(t *testing.T) {
		c := newClocked(t)
		v := b.at(t, c.site)
		v.open("/")
		v.run(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
		for range 10 {
			v.run(chromedp.KeyEvent(kb.Tab))
			if eval[string](v, `document.activeElement.name || ''`) == "line" {
				break
			}
		}
		v.run(chromedp.KeyEvent("Ada"))
		v.await(chromedp.KeyEvent(kb.Enter))
		if at := v.path(); at != "/done" || c.sent.Load() != 1 {
			t.Errorf("the keys lead to %s, %d sent", at, c.sent.Load())
		}
	})

	t.Run("two presses of the button, back and again", func(t *testing.T) {
		c := newClocked(t)
		v := b.at(t, c.site)
		v.open("/")
		v.await(chromedp.DoubleClick(`main button`, chromedp.ByQuery))
		if at, n := v.path(), c.sent.Load(); at != "/done" || n != 1 {
			t.Errorf("two presses lead to %s, %d sent", at, n)
		}
		v.back()
		if at, n := v.path(), c.sent.Load(); at != "/" || n != 1 {
			t.Errorf("back is %s, %d sent", at, n)
		}
		v.open("/done")
		v.await(chromedp.Evaluate(`location.reload()`, nil))
		if n := c.sent.Load(); n != 1 {
			t.Errorf("after a reload %d are sent", n)
		}
	})

	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("back after signing out, at a shared machine, scripts %v", scripts), func(t *testing.T) {
			c := newClocked(t)
			v := b.at(t, c.site)
			v.scripts(scripts)
			v.open("/")
			c.shut.Store(true)
			v.await(chromedp.Click(`.app-account button`, chromedp.ByQuery))
			v.back()
			if page := eval[string](v, `document.body.innerText`); strings.Contains(page, "A. Officer") || strings.Contains(page, "A line") {
				t.Errorf("back shows %q", page)
			}
		})
	}

	t.Run("signed out in another tab", func(t *testing.T) {
		c := newClocked(t)
		v := b.at(t, c.site)
		v.open("/")
		c.handler.EndSessions(func(web.Person) bool { return true })
		if status := v.submit(); status != http.StatusUnauthorized || c.sent.Load() != 0 {
			t.Errorf("answered by %d, %d sent", status, c.sent.Load())
		}
	})
}

// back goes back, and returns when the page before is there, loaded again or kept by the browser.
func (v *visit) back() {
	v.t.Helper()
	there := make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(v.ctx)
	defer cancel()
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *page.EventFrameNavigated:
			if e.Type == page.NavigationTypeBackForwardCacheRestore && v.unscripted { // scripts would load it again
				there <- struct{}{}
			}
		case *page.EventLoadEventFired:
			there <- struct{}{}
		}
	})
	v.run(chromedp.Evaluate(`history.back()`, nil))
	<-there
}

// ownTime gives the pages that are opened from now on a clock that stands still until it is moved with passTime.
const ownTime = `(() => {
	const timers = [];
	let now = 0;
	window.timeouts = [window.setTimeout, (act, after = 0) => timers.push({at: now + after, act})];
	window.setTimeout = window.timeouts[1];
	window.clearTimeout = (id) => { if (id) { timers[id - 1].act = null; } };
	window.passTime = (minutes) => {
		now += minutes * 60 * 1000;
		for (const t of timers) {
			if (t.act && t.at <= now) { const act = t.act; t.act = null; act(); }
		}
	};
})()`

func (v *visit) ownTime() {
	v.t.Helper()
	v.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(ownTime).Do(ctx)
		return err
	}))
}
