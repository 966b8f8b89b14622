package site_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// That the person has moved is recorded from the list of whom to ask, said on the page, and undone when they are back.
func TestSomebodyWhoHasMovedIsNotAsked(t *testing.T) {
	p := bristol(t)
	f := formtest.New(testkit.Bristol)
	f.Gate, f.Consent.State = posternv1.Gate_GATE_NO_HOLD, posternv1.ConsentState_CONSENT_STATE_NOT_ASKED
	reference := p.take(f)
	b := p.as("RECEPTION_OFFICER")
	says(t, b.Get(at(reference)), "Somebody asks the person again", "Ask the person again")
	page := b.Get(at(reference)).Click("The person has moved to another prison")
	if wrong := page.Submit(url.Values{}); wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 1 {
		t.Errorf("no prison is answered by %d, %q", wrong.Status, wrong.Errors())
	}
	moved := page.Submit(url.Values{"prison": {testkit.HMPParc}}).Follow()
	says(t, moved, "It is recorded where the person is.", "nobody here asks them any more", "Moved to", "Parc")
	if strings.Contains(moved.Main(), "Ask the person again") {
		t.Errorf("the page says to ask: %s", moved.Main())
	}
	says(t, b.Get(at(reference, "moved")).Submit(url.Values{"prison": {testkit.HMPBristol}}).Follow(), "Ask the person again")
	if seen := p.as("PUBLIC_PROTECTION").Get(at(reference, "moved")); seen.Status != http.StatusForbidden {
		t.Errorf("whoever fills in no forms gets %d", seen.Status)
	}
}

// The list of whom to ask leads to where it is recorded that they have moved, and they are on it no more.
func TestTheListOfWhomToAskLeadsToTheMove(t *testing.T) {
	r := atReception(t)
	b := r.as("RECEPTION_OFFICER")
	b.Do(http.MethodPost, "/drafts", url.Values{})
	draft := r.draft()
	draft.Form = formtest.Enquiry(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED)
	draft.Form.Gate, draft.Form.AskAgainDate = 0, ""
	draft, err := r.desk.SaveDraft(r.ctx(), draft)
	if err == nil {
		_, _, err = r.desk.SendDraft(r.ctx(), draft.GetId(), draft.GetVersion(), "en")
	}
	if err != nil {
		t.Fatal(err)
	}
	r.x.Settle()
	r.x.Clock.Advance(50 * time.Hour)
	b = r.as("RECEPTION_OFFICER")
	where := linkTo(t, b.Get("/"), "/moved")
	if other := linkTo(t, b.Get("/arrivals?ago=3"), "/moved"); other != where {
		t.Errorf("home leads to %q, the arrivals to %q", where, other)
	}
	b.Get(where).Submit(url.Values{"prison": {"OTHER"}})
	says(t, b.Get("/arrivals?ago=3"), "Moved")
	if home := b.Get("/"); strings.Contains(home.Body, "/moved") {
		t.Errorf("they are to be asked still: %s", home.Main())
	}
}

// What a person objects to is on the safeguarding lead's list until they have read it. Reception sees that it is to be read.
func TestAnObjectionIsReadOnItsPage(t *testing.T) {
	p := bristol(t)
	reference := p.take(formtest.Duty(testkit.Bristol, 1))
	b, lead := p.as("RECEPTION_OFFICER"), p.as("SAFEGUARDING_LEAD")
	if strings.Contains(lead.Get("/decisions").Main(), reference) {
		t.Fatal("there is something to decide before anybody objects")
	}
	says(t, b.Get(at(reference, "withdraw")).Submit(url.Values{"what": {"ALL"}, "method": {"PAPER"}}).Follow(), "on their list until they have read it")
	says(t, lead.Get("/decisions"), reference)
	page := b.Get(at(reference))
	says(t, page, "The person objects to what was shared", "The person objected to all of it")
	if strings.Contains(page.Main(), "took back") {
		t.Errorf("an objection is called a withdrawal: %s", page.Main())
	}
	if strings.Contains(b.Get(at(reference)).Body, "/objections") {
		t.Error("reception may close an objection")
	}
	if tried := b.Do(http.MethodPost, at(reference, "objections"), url.Values{}); tried.Status != http.StatusForbidden {
		t.Errorf("reception closes an objection: %d", tried.Status)
	}
	for range 2 {
		says(t, lead.Do(http.MethodPost, at(reference, "objections"), url.Values{}).Follow(), "The safeguarding lead read the objection")
	}
	if strings.Contains(lead.Get("/decisions").Main(), reference) || strings.Contains(b.Get(at(reference)).Main(), "The person objects to what was shared") {
		t.Error("it is still to be read")
	}
}

// A second click, and a colleague, go on with the correction that was begun.
func TestAFormIsPutRightInOneDraft(t *testing.T) {
	p := bristol(t)
	b := p.as("RECEPTION_OFFICER")
	reference := p.take(formtest.New(testkit.Bristol))
	draft := b.Get(at(reference)).Submit(url.Values{}).Header.Get("Location")
	for _, role := range []string{"RECEPTION_OFFICER", "RESETTLEMENT"} {
		if again := p.as(role).Do(http.MethodPost, at(reference, "correct"), url.Values{}); again.Header.Get("Location") != draft {
			t.Errorf("%s goes on with %q, not with %q", role, again.Header.Get("Location"), draft)
		}
	}
}
