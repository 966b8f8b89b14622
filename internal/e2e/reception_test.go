//go:build e2e

package e2e

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"postern/internal/desk"
	desksite "postern/internal/desk/site"
	"postern/internal/postcode"
	"postern/internal/rpc"
	"postern/internal/signin"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// receptionDesk is the desk of a prison in the evening, with a list of who came today.
type receptionDesk struct {
	t    *testing.T
	x    *testkit.Exchange
	desk *testkit.Desk
	site *site
}

func newReception(t *testing.T) *receptionDesk {
	x := testkit.NewExchange(t)
	r := &receptionDesk{t: t, x: x, desk: x.Desk(testkit.HMPBristol)}
	x.Inbox(testkit.Bristol)
	dir := t.TempDir()
	day := testkit.Now.Format(time.DateOnly)
	list := "prison_number,given_name,family_name,date,reason\nA4171ZZ,Odile,Fennimore-Pike," + day + ",NEW_ADMISSION\nA4172ZZ,Bartholomew,Quince-Okafor," + day + ",LICENCE_RECALL\n" +
		"A4173ZZ,Marguerite,Hollowby," + day + ",TRANSFER\n41x,Row,With Fault," + day + ",\n"
	if err := os.WriteFile(filepath.Join(dir, "today.csv"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	r.desk.Restart(func(c *desk.Config) { c.Arrivals, c.Postcodes = dir, table })
	handler, err := desksite.New(r.desk.Desk, signintest.Shell(x.Clock.Now, slog.New(slog.DiscardHandler), desksite.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	r.site = &site{name: "reception", handler: handler, base: serve(t, handler.Server()), seeded: []string{"Fennimore-Pike", "Odile", "Quince-Okafor", "A4171ZZ", "A4172ZZ", "Peregrine", "Sixpenny"},
		signIn: func(v *visit, who string) {
			v.open(signin.Path)
			v.answer(map[string]string{"who": who})
			v.submit()
		}}
	return r
}

// receptionPages is such a desk with the stops of its pages.
func receptionPages(t *testing.T) *site {
	r := newReception(t)
	r.site.stops = r.stops()
	return r.site
}

// begun is the path of a draft about the person of an invented prison number, as far as edit fills it in.
func (r *receptionDesk) begun(edit func(*localv1.Draft)) string {
	ctx := rpc.WithPerson(r.t.Context(), rpc.Person{ID: "REC1", Roles: []string{"RECEPTION_OFFICER"}})
	draft, err := r.desk.BeginDraft(ctx, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	draft.Form.Reception = &posternv1.Reception{Reason: posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION, ReceiveDate: testkit.Now.Format(time.DateOnly)}
	draft.Form.PrisonNumber = "A4179ZZ"
	desk.Answered(draft, "person")
	edit(draft)
	if draft, err = r.desk.SaveDraft(ctx, draft); err != nil {
		r.t.Fatal(err)
	}
	return "/drafts/" + draft.GetId()
}

// stops are the pages of the first half of the journey, in the states that matter.
func (r *receptionDesk) stops() []stop {
	const who = "RECEPTION_OFFICER"
	outcome := func(e posternv1.EnquiryOutcome) func(*localv1.Draft) {
		return func(d *localv1.Draft) { d.Form.Enquiry = e }
	}
	children := outcome(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN)
	first, asked := r.begun(func(*localv1.Draft) {}), r.begun(children)
	alarming := r.begun(func(d *localv1.Draft) {
		d.Form.Tonight = &posternv1.Tonight{Answer: posternv1.TonightAnswer_TONIGHT_ANSWER_YES}
		outcome(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED)(d)
	})
	agreed := r.begun(func(d *localv1.Draft) {
		children(d)
		d.Form.Consent = &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_GIVEN, Sections: []string{"parent/name", "child/{n}/home"}}
	})
	no := map[string]string{}
	return []stop{
		{name: "home", who: "ALL", path: "/"},
		{name: "home-cy", who: who, path: "/?lang=cy"},
		{name: "home-protection", who: "PUBLIC_PROTECTION", path: "/"},
		{name: "arrivals", who: who, path: "/arrivals"},
		{name: "arrivals-empty-cy", who: who, path: "/arrivals?ago=3&lang=cy"},
		{name: "arrivals-no-day", who: who, path: "/arrivals?ago=77", status: http.StatusNotFound},
		{name: "tonight", who: who, path: first + "/tonight", wrong: no, right: map[string]string{"answer": "YES"}, lands: first + "/numbers"},
		{name: "numbers", who: who, path: alarming + "/numbers"},
		{name: "person", who: who, path: first + "/person", wrong: map[string]string{"number": "12", "reason": "TRANSFER"}},
		{name: "children", who: who, path: first + "/children", wrong: map[string]string{"answer": "NOT_ASKED"}},
		{name: "permission", who: who, path: asked + "/permission", wrong: map[string]string{"answer": "contact"}},
		{name: "permission-cy", who: who, path: asked + "/permission?lang=cy"},
		{name: "adjust", who: who, path: agreed + "/permission/adjust"},
		{name: "explain", who: who, path: "/explain"},
		{name: "tasks", who: who, path: agreed},
		{name: "tasks-cy", who: who, path: agreed + "?lang=cy"},
		{name: "outcome-declined", who: who, path: alarming + "/outcome", lands: alarming + "/recorded"},
		{name: "outcome-none-cy", who: who, path: r.begun(outcome(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN)) + "/outcome?lang=cy"},
		{name: "recorded", who: who, path: alarming + "/recorded"},
		{name: "drop", who: who, path: first + "/drop"},
		{name: "practice", who: who, path: "/practice"},
		{name: "nobodys-draft", who: who, path: "/drafts/00000000-0000-4000-8000-000000000000", status: http.StatusNotFound},
	}
}

// counted is somebody whose screens, keys and clicks are counted.
type counted struct {
	*visit
	screens       []string
	keys, presses int
}

// sees notes a screen.
func (c *counted) sees() {
	c.screens = append(c.screens, eval[string](c.visit, `document.querySelector('h1').innerText`))
}

// writes types into a field, key by key.
func (c *counted) writes(name, text string) {
	c.t.Helper()
	c.run(chromedp.SendKeys(fmt.Sprintf(`main [name=%q]`, name), text, chromedp.ByQuery))
	c.keys += len([]rune(text))
	c.presses++ // to get into the field
}

// picks chooses an answer.
func (c *counted) picks(name, value string) {
	c.t.Helper()
	c.answer(map[string]string{name: value})
	c.presses++
}

// goesOn presses the button of a page, and must come to a page of the draft.
func (c *counted) goesOn(to string) {
	c.t.Helper()
	c.presses++
	if status := c.submit(); status != http.StatusOK || !strings.HasSuffix(c.path(), to) {
		c.t.Fatalf("the button leads to %s (%d) and not to %s: %s", c.path(), status, to, c.words())
	}
	c.sees()
}

// The officer's evening: from the list of arrivals to the reference, for one child of whom everything may be told, in a
// real browser against a real hub and a real inbox. Screens, keys and presses are counted, and there is a bound on screens.
func TestReceptionJourney(t *testing.T) {
	b := start(t)
	for _, bundle := range []string{"contact", "everything"} {
		t.Run(bundle, func(t *testing.T) {
			r := newReception(t)
			c := &counted{visit: b.at(t, r.site)}
			r.site.signIn(c.visit, "RECEPTION_OFFICER")
			c.open("/arrivals")
			c.sees()
			c.presses++
			if status := c.await(chromedp.Click(`main td form button`, chromedp.ByQuery)); status != http.StatusOK {
				t.Fatalf("the list leads to %d", status)
			}
			c.sees()
			c.picks("answer", "NO")
			c.goesOn("/children")
			c.picks("answer", "CHILDREN")
			c.goesOn("/permission")
			c.picks("answer", bundle)
			c.picks("understood", "YES")
			c.goesOn("/children/1")
			t.Logf("tonight and permission: %d screens, %d keys, %d presses", len(c.screens)-1, c.keys, c.presses)
			c.writes("given_name", "Peregrine")
			c.picks("born", "AGE")
			c.writes("age_years", "7")
			c.picks("relationship", "MOTHER")
			c.picks("parental_responsibility", "YES")
			c.picks("agrees_to_early_help", "YES")
			c.picks("lived_with_before", "YES")
			c.picks("primary_carer_before", "YES")
			c.goesOn("/children/1/home")
			c.picks("where", "ADDRESS")
			c.writes("address", "1 Sixpenny Steps")
			c.writes("postcode", "ZZ99 1AA")
			c.goesOn("/children/1/carer")
			c.picks("known", "YES")
			c.writes("name", "Gwladys Tattersby")
			c.picks("relationship", "GRANDPARENT")
			c.picks("is_adult", "YES")
			c.picks("has_parental_responsibility", "NO")
			if bundle == "everything" {
				c.writes("carer_phone", "07700 900123")
			}
			c.goesOn("/children/1/safety")
			c.picks("carer_knows", "YES")
			c.picks("mention", "YES")
			next := "/check"
			if bundle == "everything" {
				next = "/children/1/more"
			}
			c.goesOn(next)
			if bundle == "everything" {
				c.goesOn("/parent")
				c.goesOn("/check")
			}
			c.goesOn("/sent")
			if !strings.Contains(c.words(), "PN-") {
				t.Errorf("in the end it says %s", c.words())
			}
			c.picture("journey-" + bundle)
			t.Logf("%s, from the arrivals to the reference: %d screens, %d keys, %d presses: %s", bundle, len(c.screens), c.keys, c.presses, strings.Join(c.screens, " · "))
			if len(c.screens) > 12 {
				t.Errorf("%d screens", len(c.screens))
			}
			c.must("titles and addresses", c.named())
			c.must("the browser", c.troubles())
			r.x.Settle()
			out, err := r.desk.ListNotifications(rpc.WithPerson(t.Context(), rpc.Person{ID: "PP1", Roles: []string{"PUBLIC_PROTECTION"}}), &localv1.ListNotificationsRequest{})
			if err != nil || len(out.GetNotifications()) != 1 {
				t.Fatalf("%v: %d notifications", err, len(out.GetNotifications()))
			}
			// A colleague's check lets it go, and the team has it.
			sent := out.GetNotifications()[0]
			if _, err := r.desk.SetGate(rpc.WithPerson(t.Context(), rpc.Person{ID: "PP1", Roles: []string{"PUBLIC_PROTECTION"}}), &localv1.SetGateRequest{Id: sent.GetId(), Gate: posternv1.Gate_GATE_NO_HOLD}); err != nil {
				t.Fatal(err)
			}
			r.x.Settle()
			if state := r.desk.State(sent.GetId()); state != localv1.State_STATE_DELIVERED {
				t.Errorf("in the end it is %s", state)
			}
		})
	}
}

// Two presses of the button that begins, back and again, with scripts and without: one draft, and its answers stay.
func TestReceptionBackAndAgain(t *testing.T) {
	b := start(t)
	r := newReception(t)
	v := b.at(t, r.site)
	r.site.signIn(v, "RECEPTION_OFFICER")
	v.open("/arrivals")
	v.await(chromedp.DoubleClick(`main td form button`, chromedp.ByQuery))
	draft := strings.TrimSuffix(v.path(), "/tonight")
	v.answer(map[string]string{"answer": "NO"})
	v.submit()
	v.answer(map[string]string{"answer": "CHILDREN"})
	v.await(chromedp.DoubleClick(`main form button[type="submit"]`, chromedp.ByQuery))
	if at := v.path(); at != draft+"/permission" {
		t.Fatalf("two presses lead to %s", at)
	}
	v.back()
	if checked := eval[string](v, `document.querySelector('main input:checked').value`); checked != "CHILDREN" {
		t.Errorf("back shows %s", checked)
	}
	v.answer(map[string]string{"answer": "NO_CHILDREN"})
	if v.submit(); v.path() != draft+"/outcome" {
		t.Errorf("another answer after going back leads to %s: %s", v.path(), v.words())
	}
	v.open("/arrivals")
	if n := eval[int](v, `[...document.querySelectorAll('main tbody a')].length`); n != 1 {
		t.Errorf("%d drafts on the list", n)
	}
	if strings.Contains(v.path(), url.QueryEscape("Fennimore")) {
		t.Error("a name in an address")
	}
}
