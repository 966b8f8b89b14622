//go:build e2e

package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"postern/internal/desk"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// tab opens another tab beside a window, with its cookies: the same session.
func (v *visit) tab() *visit {
	v.t.Helper()
	whole := cdp.WithExecutor(v.b.ctx, chromedp.FromContext(v.b.ctx).Browser)
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(v.cookies).Do(whole)
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(v.b.ctx, chromedp.WithTargetID(id))
	v.t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil {
		v.t.Fatal(err)
	}
	other := &visit{t: v.t, b: v.b, site: v.site, ctx: ctx, cookies: v.cookies}
	chromedp.ListenTarget(ctx, other.event)
	other.run(log.Enable(), network.Enable(), emulation.SetDeviceMetricsOverride(1280, 900, 1, false))
	return other
}

// described is a draft about one child of whom everything may be told and enough is known to send it.
func (r *receptionDesk) described() string {
	return r.begun(func(d *localv1.Draft) {
		f := describedFamily()
		f.FormId, f.PrisonNumber, f.Reception, f.Children = d.GetForm().GetFormId(), d.GetForm().GetPrisonNumber(), d.GetForm().GetReception(), f.Children[:1]
		f.Enquiry = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN
		f.Consent.Children = nil // all
		f.Tonight = &posternv1.Tonight{Answer: posternv1.TonightAnswer_TONIGHT_ANSWER_NO}
		d.Form = f
		for _, step := range []string{"tonight", "person", "children", "permission", "children/1", "children/1/home", "children/1/carer", "children/1/safety", "children/1/more", "parent"} {
			desk.Answered(d, step)
		}
	})
}

// now is a draft as it is kept.
func (r *receptionDesk) now(path string) *localv1.Draft {
	draft, err := r.desk.Draft(rpc.WithPerson(r.t.Context(), rpc.Person{ID: "REC1", Roles: []string{"RECEPTION_OFFICER"}}), strings.TrimPrefix(path, "/drafts/"))
	if err != nil {
		r.t.Fatal(err)
	}
	return draft
}

// told holds an answer to a page that had changed: it is refused, says why, and is still there to be sent again.
func (v *visit) told(name, still string) {
	v.t.Helper()
	if status := v.submit(); status != http.StatusUnprocessableEntity {
		v.t.Errorf("an answer to an older page is answered by %d", status)
	}
	if said := eval[string](v, `document.querySelector('.govuk-error-summary').innerText`); !strings.Contains(said, "changed meanwhile") || !strings.Contains(said, "still here") {
		v.t.Errorf("of what happened the page says %q", said)
	}
	if got := eval[string](v, `document.querySelector('main [name="`+name+`"]').value`); got != still {
		v.t.Errorf("what was written is now %q", got)
	}
}

// One draft in two tabs of one session, and at two officers' screens: what one has saved, the other neither loses nor
// mixes without being told, and what the other has written is still on the page. A form that was sent in one tab is sent
// once, and what is answered in the other is said to be in no form.
func TestOneDraftInTwoTabs(t *testing.T) {
	b := start(t)
	type pair struct{ first, second *visit }
	both := func(t *testing.T, r *receptionDesk, colleague bool) pair {
		first := b.at(t, r.site)
		r.site.signIn(first, "RECEPTION_OFFICER")
		if !colleague {
			return pair{first, first.tab()}
		}
		second := b.at(t, r.site)
		r.site.signIn(second, "RESETTLEMENT")
		return pair{first, second}
	}
	for _, colleague := range []bool{false, true} {
		t.Run("an older page is saved, colleague "+strconv.FormatBool(colleague), func(t *testing.T) {
			r := newReception(t)
			draft := r.described()
			p := both(t, r, colleague)
			p.first.open(draft + "/children/1/carer?to=tasks")
			p.second.open(draft + "/children/1/carer?to=tasks")
			home := p.second.tab() // a third, at another page of the same draft
			home.open(draft + "/children/1/safety?to=tasks")

			p.first.answer(map[string]string{"name": "Ottoline Marchbanks"})
			if p.first.submit(); p.first.path() != draft {
				t.Fatalf("the first leads to %s: %s", p.first.path(), p.first.words())
			}
			p.second.answer(map[string]string{"name": "Lancelot Pettifer"})
			p.second.told("name", "Lancelot Pettifer")
			home.answer(map[string]string{"safe_times": "after six"})
			home.told("safe_times", "after six")
			if carer := r.now(draft).GetForm().GetChildren()[0].GetCarer().GetName(); carer != "Ottoline Marchbanks" {
				t.Errorf("meanwhile the draft says %q", carer)
			}

			// The way on: the other page's answer joins, and the same page's replaces it, as it was told.
			if home.submit(); home.path() != draft {
				t.Errorf("the way on leads to %s: %s", home.path(), home.words())
			}
			is := r.now(draft).GetForm().GetChildren()[0]
			if is.GetCarer().GetName() != "Ottoline Marchbanks" || is.GetSafety().GetSafeTimes() != "after six" {
				t.Errorf("of two pages the draft has %q and %q", is.GetCarer().GetName(), is.GetSafety().GetSafeTimes())
			}
			p.second.told("name", "Lancelot Pettifer") // the draft is another once more
			if p.second.submit(); p.second.path() != draft || r.now(draft).GetForm().GetChildren()[0].GetCarer().GetName() != "Lancelot Pettifer" {
				t.Errorf("the way on leads to %s: %s", p.second.path(), p.second.words())
			}
			for _, v := range []*visit{p.first, p.second, home} {
				v.must("the browser", v.troubles())
			}
		})

		t.Run("sent while the other is at the check, colleague "+strconv.FormatBool(colleague), func(t *testing.T) {
			r := newReception(t)
			draft := r.described()
			p := both(t, r, colleague)
			p.first.open(draft + "/check")
			p.second.open(draft + "/check")
			answering := p.second.tab()
			answering.open(draft + "/children/1/carer?to=check")

			// An answer is changed in a third tab: nothing is sent of what was read before, and that is said.
			change := p.first.tab()
			change.open(draft + "/children/1/safety?to=check")
			change.answer(map[string]string{"safe_times": "after six"})
			change.submit()
			if p.first.submit(); p.first.path() != draft+"/check" {
				t.Fatalf("an older check leads to %s", p.first.path())
			}
			if said := eval[string](p.first, `document.querySelector('.govuk-notification-banner').innerText`); !strings.Contains(said, "Nothing was sent") || strings.Contains(said, "Done") {
				t.Errorf("of what happened the page says %q", said)
			}

			if p.first.submit(); p.first.path() != draft+"/sent" {
				t.Fatalf("the check leads to %s: %s", p.first.path(), p.first.words())
			}
			reference := eval[string](p.first, `document.querySelector('main').innerText.match(/PN-\w{4}-\w{4}/)[0]`)
			if p.second.submit(); p.second.path() != draft+"/sent" || !strings.Contains(eval[string](p.second, `document.querySelector('main').innerText`), reference) {
				t.Errorf("sent again it leads to %s: %s", p.second.path(), p.second.words())
			}
			out, err := r.desk.ListNotifications(rpc.WithPerson(t.Context(), rpc.Person{ID: "REC1", Roles: []string{"RECEPTION_OFFICER"}}), &localv1.ListNotificationsRequest{})
			if err != nil || len(out.GetNotifications()) != 1 {
				t.Errorf("%v: %d were sent", err, len(out.GetNotifications()))
			}

			answering.answer(map[string]string{"name": "Lancelot Pettifer"})
			if status := answering.submit(); status != http.StatusConflict || !strings.Contains(answering.words(), "This form was sent before you answered") {
				t.Errorf("an answer to a form that was sent is answered by %d: %s", status, answering.words())
			}
			answering.must("a screen reader", answering.accessible())
			answering.run(page.BringToFront()) // a tab behind another is not drawn
			answering.picture("sent-meanwhile")
			answering.await(chromedp.Click(`main p a`, chromedp.ByQuery))
			if answering.path() != draft+"/sent" {
				t.Errorf("the way on leads to %s", answering.path())
			}
		})
	}

	t.Run("dropped in the other", func(t *testing.T) {
		r := newReception(t)
		draft := r.described()
		p := both(t, r, false)
		p.first.open(draft + "/children/1/carer?to=check")
		p.second.open(draft + "/drop")
		p.second.submit()
		p.first.answer(map[string]string{"name": "Lancelot Pettifer"})
		if status := p.first.submit(); status != http.StatusNotFound || !strings.Contains(eval[string](p.first, `document.querySelector('main').innerText`), "Begin again from the arrivals") {
			t.Errorf("an answer to a draft that is gone is answered by %d: %s", status, p.first.words())
		}
		p.first.must("titles and addresses", p.first.named())
	})
}
