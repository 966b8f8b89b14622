//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	inboxsite "postern/internal/inbox/site"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// inboxStops are the pages of a team to which one notification has come.
func inboxStops(id string) []stop {
	at := "/notifications/" + envelope.Reference(id)
	return []stop{
		{name: "home", who: "ALL", path: "/", wrong: map[string]string{}},
		{name: "home-none", who: "ALL", path: "/?show=over"},
		{name: "notification", who: "ALL", path: at},
		{name: "notification-cy", who: "ALL", path: at + "?lang=cy"},
		{name: "unknown", who: "ALL", path: "/notifications/" + envelope.Reference("00000000-0000-4000-8000-000000000000"), status: http.StatusNotFound},
		{name: "assign", who: "ALL", path: at + "/assign"},
		{name: "redirect", who: "ALL", path: at + "/redirect", wrong: map[string]string{"postcode": "ZZ99 9"}},
		{name: "redirect-confirm", who: "ALL", path: at + "/redirect?to=" + testkit.Lancashire},
		{name: "team", who: "DUTY_WORKER", path: "/team"},
		{name: "settings", who: "ALL", path: "/team/settings", wrong: map[string]string{"day1": "17:00-08:00", "alert_addresses": "nobody"}},
		{name: "told", who: "ALL", path: at + "/told", wrong: map[string]string{"day-day": ""}},
		{name: "outcome", who: "ALL", path: at + "/outcome", wrong: map[string]string{}},
		{name: "reply-cy", who: "ALL", path: at + "/reply?lang=cy"},
		{name: "reply", who: "ALL", path: at + "/reply", wrong: map[string]string{}, right: map[string]string{"reply": "ALREADY_KNOWN"}, lands: at},
		{name: "answered", who: "ALL", path: at},
	}
}

// busy is a team at 08:30 with forty waiting: one urgent, one withdrawn, two about one address.
func busy(t *testing.T) *site {
	x := testkit.NewExchange(t)
	desk := x.Desk(testkit.HMPBristol)
	var seeded, ids []string
	for i := range 38 {
		f := formtest.New(testkit.Bristol)
		f.PrisonNumber = fmt.Sprintf("A%04dZZ", i)
		f.GetParent().GetName().FamilyName = fmt.Sprintf("Sampleton-%c%c", 'a'+i%26, 'a'+i/26)
		f.GetChildren()[0].GetHome().AddressLines = []string{fmt.Sprintf("%d Invented Road", max(i, 1))} // the first two at one
		seeded = append(seeded, f.GetParent().GetName().GetFamilyName())
		ids = append(ids, desk.Take(f)[0])
	}
	x.Settle()
	if _, err := desk.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: ids[20], Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	urgent := desk.Take(formtest.Urgent(testkit.Bristol, 2))[0]
	x.Settle()
	in := x.Inbox(testkit.Bristol)
	shell := signintest.Shell(x.Clock.Now, x.Log.Logger(), inboxsite.Roles())
	handler, err := inboxsite.New(in.Inbox, shell)
	if err != nil {
		t.Fatal(err)
	}
	at := "/notifications/"
	return party(t, "inbox-busy", handler, seeded, []stop{
		{name: "forty", who: "ALL", path: "/"},
		{name: "urgent", who: "ALL", path: at + envelope.Reference(urgent)},
		{name: "withdrawn", who: "ALL", path: at + envelope.Reference(ids[20]), wrong: map[string]string{}},
	})
}

// TestTheDutyWorkersMorning: at 08:30 with forty waiting a duty worker turns to the first row, takes it, answers it, and
// types nothing. Then the same without a mouse.
func TestTheDutyWorkersMorning(t *testing.T) {
	b, s := start(t), busy(t)

	t.Run("with a mouse", func(t *testing.T) {
		v := b.at(t, s)
		s.signIn(v, "DUTY_WORKER")
		v.open("/")
		first := eval[string](v, `document.querySelector('tbody a').innerText`)
		v.run(chromedp.Click(`tbody input[type=checkbox]`, chromedp.ByQuery))
		v.submit()
		if got := eval[string](v, `document.querySelector('tbody tr').innerText`); !strings.Contains(got, "you") || !strings.Contains(got, first) {
			t.Errorf("taken, the first row is %q", got)
		}
		v.await(chromedp.Click(`tbody a`, chromedp.ByQuery))
		if page := v.page(); !strings.Contains(page, "There is nobody at the house") || strings.Index(page, "Before you make contact") > strings.Index(page, "There is nobody") {
			t.Error("what is urgent is not told, or how to make contact not before it")
		}
		v.follow("Acknowledge and answer")
		v.answer(map[string]string{"reply": "ACCEPTED_FOR_CONTACT"})
		v.submit()
		if !strings.Contains(v.page(), "Your answer is recorded") {
			t.Errorf("answered, the page says %s", v.page())
		}
		v.back()
		v.answer(map[string]string{"reply": "ACCEPTED_FOR_CONTACT"})
		if status := v.submit(); status != http.StatusOK || strings.Count(v.page(), "you: answered") != 1 {
			t.Errorf("gone back and sent again is answered by %d: %s", status, v.page())
		}
		v.open("/")
		if next := eval[string](v, `document.querySelector('tbody a').innerText`); next == first {
			t.Error("what is answered is still the first row")
		}
		v.must("the browser", v.troubles())
	})

	t.Run("without a mouse", func(t *testing.T) {
		v := b.at(t, s)
		s.signIn(v, "TEAM_MANAGER")
		v.open("/")
		tabs := v.tabTo(`document.activeElement.closest('tbody') && document.activeElement.href`)
		v.await(chromedp.KeyEvent(kb.Enter))
		v.tabTo(`document.activeElement.type === 'radio'`) // it was withdrawn, and is asked about
		v.run(chromedp.KeyEvent(" "))
		v.tabTo(`document.activeElement.matches('main form button')`)
		if status := v.await(chromedp.KeyEvent(kb.Enter)); status != http.StatusOK || !strings.Contains(v.page(), "We stopped") {
			t.Errorf("answered by %d: %s", status, v.page())
		}
		t.Logf("%d keys to the first notification", tabs)
		v.must("the browser", v.troubles())
	})
}

// page is all that the page says.
func (v *visit) page() string { return eval[string](v, `document.querySelector('main').innerText`) }

// follow follows the link with a text.
func (v *visit) follow(text string) {
	v.t.Helper()
	links := eval[[]string](v, `[...document.querySelectorAll('main a')].map((a) => a.innerText.trim())`)
	n := slices.Index(links, text)
	if n < 0 {
		v.t.Fatalf("there is no link %q, but %q", text, links)
	}
	v.await(chromedp.Evaluate(fmt.Sprintf(`document.querySelectorAll('main a')[%d].click()`, n), nil))
}

// tabTo presses the key that goes on until the focus is where it should be, and returns how often.
func (v *visit) tabTo(there string) int {
	v.t.Helper()
	for n := 1; n < 60; n++ {
		v.run(chromedp.KeyEvent(kb.Tab))
		if eval[bool](v, `!!(`+there+`)`) {
			return n
		}
	}
	v.t.Fatalf("no key leads to %s", there)
	return 0
}
