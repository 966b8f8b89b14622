//go:build e2e

package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"postern/internal/signin"
	"postern/internal/testkit"
)

// The officer's session ends while a page of a form is filled in and not yet saved. Saving it leads to signing in, and
// that it has to be written again is said; what was saved before is as it was, and the form is there to go on with.
func TestASessionThatEndsInTheMiddleOfAForm(t *testing.T) {
	b := start(t)
	for name, ends := range map[string]func(*receptionDesk, *visit){
		"for nothing was done": func(r *receptionDesk, _ *visit) { r.x.Clock.Advance(time.Hour) },
		"for signing out in another tab": func(_ *receptionDesk, v *visit) {
			other := v.tab()
			other.open("/")
			other.await(chromedp.Click(`.app-account button`, chromedp.ByQuery))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReception(t)
			draft := r.described()
			v := b.at(t, r.site)
			r.site.signIn(v, "RECEPTION_OFFICER")
			v.open(draft + "/children/1/safety")
			v.answer(map[string]string{"safe_times": "after six"})
			if v.submit(); r.now(draft).GetForm().GetChildren()[0].GetSafety().GetSafeTimes() != "after six" {
				t.Fatalf("the page before is not saved: %s", v.words())
			}
			saved := r.now(draft)
			v.open(draft + "/children/1/carer")
			v.answer(map[string]string{"name": "Lancelot Pettifer"})
			ends(r, v)

			if status := v.submit(); status != http.StatusUnauthorized {
				t.Errorf("saving is answered by %d", status)
			}
			for _, say := range []string{"You have been signed out", "What you had saved is kept", "not yet saved has to be written again"} {
				if !strings.Contains(v.page(), say) {
					t.Errorf("the page does not say %q: %s", say, v.page())
				}
			}
			v.must("a screen reader", v.accessible())
			if now := r.now(draft); now.GetVersion() != saved.GetVersion() || strings.Contains(now.String(), "Pettifer") {
				t.Error("somebody who is signed out has changed the form")
			}
			v.follow("Sign in again")
			if at := v.path(); !strings.HasPrefix(at, signin.Path) {
				t.Fatalf("signing in again leads to %s", at)
			}
			v.answer(map[string]string{"who": "RECEPTION_OFFICER"})
			v.submit()
			v.await(chromedp.Click(`main a[href="`+draft+`"]`, chromedp.ByQuery)) // among those to go on with
			v.open(draft + "/children/1/carer")
			if got, want := eval[string](v, `document.querySelector('main [name="name"]').value`), saved.GetForm().GetChildren()[0].GetCarer().GetName(); got != want {
				t.Errorf("the page has %q, and %q was saved", got, want)
			}
			v.answer(map[string]string{"name": "Lancelot Pettifer"})
			v.submit()
			if is := r.now(draft).GetForm().GetChildren()[0]; is.GetCarer().GetName() != "Lancelot Pettifer" || is.GetSafety().GetSafeTimes() != "after six" {
				t.Errorf("written again, the form has %q and %q: %s", is.GetCarer().GetName(), is.GetSafety().GetSafeTimes(), v.words())
			}
			v.must("titles and addresses", v.named())
			v.must("the browser", v.troubles())
		})
	}
}

// The hub cannot be reached when the officer sends: the form is kept under its reference, with its slip, and that it goes
// by itself is said. When the hub has started again it does, and the team has it, under that reference.
func TestTheHubIsDownWhenTheOfficerSends(t *testing.T) {
	b := start(t)
	r := newReception(t)
	draft := r.described()
	v := b.at(t, r.site)
	r.site.signIn(v, "RECEPTION_OFFICER")
	r.desk.Link.Down(true)
	v.open(draft + "/check")
	if v.submit(); v.path() != draft+"/sent" {
		t.Fatalf("sending leads to %s: %s", v.path(), v.page())
	}
	for _, say := range []string{"The form is queued", "Nothing is lost", "goes by itself", "Do not fill it in again"} {
		if !strings.Contains(v.page(), say) {
			t.Errorf("the page does not say %q: %s", say, v.page())
		}
	}
	reference := regexp.MustCompile(`PN-\w{4}-\w{4}`).FindString(v.page())
	v.await(chromedp.Click(`main a[href$="/slip"]`, chromedp.ByQuery))
	if at := v.path(); !regexp.MustCompile(`^/notifications/[0-9a-f-]{36}/slip$`).MatchString(at) || !strings.Contains(v.page(), reference) {
		t.Errorf("the slip is at %s: %s", at, v.page())
	}
	r.x.Settle()
	if n := len(r.x.Inbox(testkit.Bristol).Items()); n != 0 {
		t.Fatalf("the inbox has %d, and the hub is down", n)
	}

	r.x.RestartHub()
	r.desk.Link.Down(false)
	r.x.Clock.Advance(testkit.MaxWait)
	r.arrives()
	r.has(reference)
	v.open(draft + "/sent")
	if said := v.page(); strings.Contains(said, "queued") || !strings.Contains(said, "The form is sent") || !strings.Contains(said, reference) {
		t.Errorf("in the end the page says %s", said)
	}
	v.must("titles and addresses", v.named())
	v.must("the browser", v.troubles())
}
