//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// browser is one Chromium for all tests: to start it takes longer than to read a page.
type browser struct {
	ctx context.Context
	axe string
}

// start starts the browser. It is told to talk to nobody but us: on a closed network each attempt costs its time.
func start(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium; scripts/check.sh install installs it")
	}
	axe, err := os.ReadFile("../web/assets/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v; make assets fetches it", err)
	}
	profile, err := os.MkdirTemp("", "postern-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	options := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.UserDataDir(profile), chromedp.WindowSize(1280, 900),
	}, flags("disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps",
		"disable-extensions", "disable-domain-reliability", "disable-client-side-phishing-detection", "metrics-recording-only", "hide-scrollbars",
		"disable-dev-shm-usage", "force-color-profile=srgb")...)
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // closes the browser and waits for its process; an error is that it has gone already
		closeBrowser()
		cancel()
		chromedp.FromContext(ctx).Allocator.Wait()
		// Its helpers may write for a moment longer. What cannot be removed is a temporary folder and no fault of a page.
		for range 1000 {
			if os.RemoveAll(profile) == nil {
				return
			}
		}
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return &browser{ctx, string(axe)}
}

func flags(names ...string) []chromedp.ExecAllocatorOption {
	var made []chromedp.ExecAllocatorOption
	for _, f := range names {
		name, value, given := strings.Cut(f, "=")
		if given {
			made = append(made, chromedp.Flag(name, value))
		} else {
			made = append(made, chromedp.Flag(name, true))
		}
	}
	return made
}

// visit is somebody at a site, in a window with cookies of its own.
type visit struct {
	t    testing.TB
	b    *browser
	site *site
	ctx  context.Context

	cookies    cdp.BrowserContextID
	unscripted bool // whether scripts are off

	mu      sync.Mutex // owns all below: events come on another goroutine
	trouble []string   // what the browser had to complain of
	titles  []string   // every title and address that was seen
}

// at opens a window at a site, on a screen of a desk.
func (b *browser) at(t testing.TB, s *site) *visit {
	t.Helper()
	ctx, cookies := b.window(t)
	v := &visit{t: t, b: b, site: s, ctx: ctx, cookies: cookies}
	chromedp.ListenTarget(ctx, v.event)
	v.run(log.Enable(), network.Enable(), emulation.SetDeviceMetricsOverride(1280, 900, 1, false))
	return v
}

// window opens a window without the cookies of any other. chromedp would open a tab, and Chromium opens none where a set
// of cookies has no window yet.
func (b *browser) window(t testing.TB) (context.Context, cdp.BrowserContextID) {
	t.Helper()
	whole := cdp.WithExecutor(b.ctx, chromedp.FromContext(b.ctx).Browser)
	cookies, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(whole)
	if err != nil {
		t.Fatal(err)
	}
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(cookies).WithNewWindow(true).Do(whole)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
	t.Cleanup(func() {
		cancel()
		_ = target.DisposeBrowserContext(cookies).Do(whole) // gone already when the browser is
	})
	if err := chromedp.Run(ctx); err != nil { // the first context that runs owns the window: not one that ends with a deadline
		t.Fatal(err)
	}
	return ctx, cookies
}

// event notes what a browser tells of beside the page: what failed, what was stopped, who else was asked.
func (v *visit) event(event any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		v.trouble = append(v.trouble, "exception: "+e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			v.trouble = append(v.trouble, fmt.Sprintf("console %s: %s", e.Type, e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		// That an answer is an error is judged below, since a page about an error is one.
		if e.Entry.Source != log.SourceNetwork && (e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning) {
			v.trouble = append(v.trouble, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, v.site.base) && !strings.HasPrefix(e.Request.URL, "about:") && !strings.HasPrefix(e.Request.URL, "data:") {
			v.trouble = append(v.trouble, "a request to somebody else: "+e.Request.URL)
		}
	case *network.EventResponseReceived:
		if e.Type != network.ResourceTypeDocument && e.Response.Status >= 400 {
			v.trouble = append(v.trouble, fmt.Sprintf("%s is answered by %d", e.Response.URL, e.Response.Status))
		}
	case *page.EventJavascriptDialogOpening:
		v.trouble = append(v.trouble, "a script said: "+e.Message)
	case *page.EventFrameNavigated:
		v.titles = append(v.titles, e.Frame.URL)
	}
}

// troubles returns what the browser had to complain of, and forgets it.
func (v *visit) troubles() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.trouble
	v.trouble = nil
	return all
}

// hang is after how long nothing more is to be expected of the browser. Nothing waits for it to pass.
const hang = time.Minute

func (v *visit) run(actions ...chromedp.Action) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, hang)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		v.t.Fatal(err)
	}
}

// open goes to a page and returns its status.
func (v *visit) open(path string) int64 {
	v.t.Helper()
	return v.await(chromedp.Navigate(v.site.base + path))
}

// await does what leads to another page, and returns when that is there.
func (v *visit) await(action chromedp.Action) int64 {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, hang)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, action)
	if err != nil {
		v.t.Fatal(err)
	}
	var title string
	v.run(chromedp.Title(&title))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.titles = append(v.titles, title)
	return response.Status
}

// eval returns what an expression gives on the page. It is not bound by the page's policy, as a person's eyes are not.
func eval[T any](v *visit, expression string) T {
	v.t.Helper()
	var result T
	v.run(chromedp.Evaluate(expression, &result, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return result
}

// answer fills in fields of the form by name, or chooses the answer with a value.
func (v *visit) answer(answers map[string]string) {
	v.t.Helper()
	for name, value := range answers {
		done := eval[bool](v, fmt.Sprintf(`(() => {
			const [name, value] = %s;
			const fields = [...document.querySelectorAll('main [name="' + CSS.escape(name) + '"]')];
			for (const f of fields) {
				if (f.type === 'radio' || f.type === 'checkbox') { if (f.value === value) { f.click(); f.checked = true; return true; } }
				else { f.value = value; f.dispatchEvent(new Event('input', {bubbles: true})); return true; }
			}
			return false;
		})()`, quoted([]string{name, value})))
		if !done {
			v.t.Fatalf("the form has no field %s that can have the answer %s", name, value)
		}
	}
}

// submit sends the form of the page with its first button.
func (v *visit) submit() int64 {
	v.t.Helper()
	const first = `main form button[type="submit"]:not([name])`
	v.run(chromedp.Evaluate("for (const box of document.querySelectorAll('main details')) { box.open ||= box.querySelector('form') !== null; }", nil)) // as somebody opens it who wants to answer
	return v.await(chromedp.Click(first, chromedp.ByQuery))
}

// path is where the browser is.
func (v *visit) path() string { return eval[string](v, `location.pathname + location.search`) }

// scripts switches scripts on or off.
func (v *visit) scripts(on bool) {
	v.t.Helper()
	v.unscripted = !on
	v.run(emulation.SetScriptExecutionDisabled(!on))
}

// screen sets the width and height of the window.
func (v *visit) screen(width, height int64) {
	v.run(emulation.SetDeviceMetricsOverride(width, height, 1, false))
}
