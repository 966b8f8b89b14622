//go:build e2e

package e2e

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"postern/internal/web"
)

// site is one of our sites, running.
type site struct {
	name    string
	base    string // its address
	handler *web.Site
	seeded  []string // names of invented people, which must be in no title and no address
	signIn  func(v *visit, who string)
	stops   []stop

	reported chan struct{} // hears of each report of the content security policy, where a test waits for one
}

// stop is a page in a state that matters.
type stop struct {
	name   string
	who    string // who looks at it, empty for nobody in particular
	path   string
	status int64             // 200 by default
	reach  func(*visit)      // what leads to the state, when to open the page does not
	wrong  map[string]string // answers that the page must refuse: faults in a summary
	right  map[string]string // answers with which the form goes through
	lands  string            // where it then leads
	sheet  bool              // it must fit on one sheet of A4
}

// sites are all sites that are read.
func sites(t *testing.T) []*site {
	return append(parties(t), busy(t), gallery(t), receptionPages(t))
}

// serve serves a site on a free port of this machine until the test ends.
func serve(t *testing.T, server *http.Server) string {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- server.Serve(lis) }() // ends when the server is closed below
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return "http://" + lis.Addr().String()
}

// come opens a stop.
func (v *visit) come(s stop) int64 {
	v.t.Helper()
	if s.who != "" {
		v.site.signIn(v, s.who)
	}
	status := v.open(s.path)
	if s.reach != nil {
		s.reach(v)
	}
	return status
}

// TestPages reads every stop of every site.
func TestPages(t *testing.T) {
	b := start(t)
	for _, s := range sites(t) {
		for _, stop := range s.stops {
			t.Run(s.name+"/"+stop.name, func(t *testing.T) {
				v := b.at(t, s)
				v.read(stop)
				if stop.wrong != nil {
					v.readFaulty(stop)
				}
				v.readWithoutScripts(stop)
				v.must("titles and addresses", v.named())
				v.must("the browser", v.troubles())
			})
		}
		if reports := s.handler.Reports(); len(reports) > 0 {
			t.Errorf("browsers reported to %s: %v", s.name, reports)
		}
	}
}

func (v *visit) must(what string, found []string) {
	v.t.Helper()
	for _, f := range found {
		v.t.Errorf("%s: %s", what, f)
	}
}

// read holds a page to what every page is held to.
func (v *visit) read(s stop) {
	v.t.Helper()
	want := s.status
	if want == 0 {
		want = http.StatusOK
	}
	if got := v.come(s); got != want {
		v.t.Fatalf("%s is answered by %d", s.path, got)
	}
	if sheets := v.picture(s.name); s.sheet && sheets != 1 {
		v.t.Errorf("on paper it is %d sheets", sheets)
	}
	v.must("a screen reader", v.accessible())
	v.must("the keyboard", v.keyboard())
	v.must("a narrow screen", v.narrow())
	v.must("paper", v.paper())
}

// readFaulty sends what must be refused.
func (v *visit) readFaulty(s stop) {
	v.t.Helper()
	v.come(s)
	v.answer(s.wrong)
	if status := v.submit(); status != http.StatusUnprocessableEntity {
		v.t.Errorf("wrong answers are answered by %d", status)
	}
	v.must("faults", v.faulty())
	v.picture(s.name + "-faults")
	v.must("a screen reader, with faults", v.accessible())
	v.must("a narrow screen, with faults", v.narrow())
	v.come(s)
	v.hostile()
}

// readWithoutScripts compares the page with itself, and sends its form.
func (v *visit) readWithoutScripts(s stop) {
	v.t.Helper()
	v.come(s)
	with := v.words()
	v.scripts(false)
	defer v.scripts(true)
	v.come(s)
	v.must("without scripts", v.unseen())
	if without := v.words(); without != with {
		v.t.Errorf("without scripts the page says\n%s\nand with them\n%s", without, with)
	}
	if s.lands == "" {
		return
	}
	v.answer(s.right)
	v.submit()
	if at := v.path(); at != s.lands {
		v.t.Errorf("without scripts the form leads to %s and not to %s: %q", at, s.lands, v.words())
	}
}

// after is what the browser complains of after an action, which may fail.
func after(action chromedp.Action) func(*visit) []string {
	return func(v *visit) []string {
		_ = chromedp.Run(v.ctx, action)
		return v.troubles()
	}
}

// TestBrokenPagesAreFound is the control: each check finds what is broken on a page made for it.
func TestBrokenPagesAreFound(t *testing.T) {
	b, s := start(t), broken(t)
	for _, c := range []struct {
		path, want string
		check      func(*visit) []string
	}{
		{"/axe", "axe image-alt", (*visit).accessible},
		{"/contrast", "axe color-contrast", (*visit).accessible},
		{"/small", "axe target-size", (*visit).accessible},
		{"/wide", "wider than 320 pixels", (*visit).narrow},
		{"/box", "wider than 320 pixels", (*visit).narrow},
		{"/screen", "printed, though only a screen", (*visit).paper},
		{"/dark", "printed on a dark ground", (*visit).paper},
		{"/focus", "cannot have the focus", (*visit).keyboard},
		{"/faults", "a fault leads to no field", (*visit).faulty},
		{"/scripts", "not there without scripts", func(v *visit) []string { v.scripts(false); v.open("/scripts"); return v.unseen() }},
		{"/inline", "violates the following Content Security Policy", (*visit).troubles},
		{"/style", "violates the following Content Security Policy", (*visit).troubles},
		{"/trusted", "TrustedHTML", after(chromedp.Evaluate(`try { document.body.innerHTML = '<b>x</b>'; } catch (e) { console.error(String(e)); }`, nil))},
		{"/console", `console error: "oh"`, after(chromedp.Evaluate(`console.error('oh')`, nil))},
		{"/missing", "is answered by 404", (*visit).troubles},
		{"/else", "a request to somebody else", after(chromedp.Navigate("http://127.0.0.2:9/"))},
		{"/title", "is in", (*visit).named},
		{"/address?of=Quorndon", "is in", (*visit).named},
	} {
		t.Run(strings.Trim(c.path, "/"), func(t *testing.T) {
			v := b.at(t, s)
			v.open(c.path)
			found := c.check(v)
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("found %q, and nothing with %q", found, c.want)
			}
		})
	}
	t.Run("reports", func(t *testing.T) {
		v := b.at(t, s)
		v.open("/inline")
		<-s.reported
		if n := s.handler.Reports()["script-src-elem"]; n == 0 {
			t.Errorf("counted %v", s.handler.Reports())
		}
	})
}
