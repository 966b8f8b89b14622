package site_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func (p *prison) get(reference string) *localv1.Notification {
	p.t.Helper()
	return p.desk.Get(reference).GetNotification()
}

// A page that refuses an empty form says what is missing, in both languages, and changes nothing.
func TestAnEmptyFormIsRefusedField(t *testing.T) {
	p := bristol(t)
	waits, byHand := p.take(unchecked(testkit.Bristol)), p.take(formtest.New(testkit.Lancashire))
	for path, faults := range map[string]int{at(waits, "withdraw"): 2, at(waits, "call"): 1, at(byHand, "close-manual"): 1, at(byHand, "consider"): 4, "/protection/" + waits: 1, "/withdraw": 3} {
		for _, lang := range []string{"en", "cy"} {
			b := p.as("ALL")
			b.Get("/tonight?lang=" + lang)
			page := b.Get(path).Submit(url.Values{})
			if got := page.Errors(); page.Status != http.StatusUnprocessableEntity || len(got) != faults {
				t.Errorf("%s in %s answers %d with %q", path, lang, page.Status, got)
			}
			if lang == "cy" && strings.Contains(strings.Join(page.Errors(), " "), "It is") {
				t.Errorf("%s speaks English: %q", path, page.Errors())
			}
		}
	}
	if n := p.get(waits); len(n.GetWithdrawals()) != 0 || len(n.GetCalls()) != 0 || n.GetGate() != nil {
		t.Errorf("something was done: %v", n)
	}
}

func TestAPersonTakesBackAPartAndThenAll(t *testing.T) {
	p := bristol(t)
	reference := p.take(unchecked(testkit.Bristol, testkit.Bristol))
	b := p.as("RECEPTION_OFFICER")
	page := b.Get(at(reference)).Click("Withdraw")
	says(t, page, "Nothing was sent yet", "Everything about child 2: Peregrine-2")
	if wrong := page.Submit(url.Values{"what": {"PART"}, "method": {"PHONE"}}); len(wrong.Errors()) != 1 {
		t.Errorf("no part is answered by %q", wrong.Errors())
	}
	if wrong := page.Submit(url.Values{"what": {"PART"}, "method": {"PHONE"}, "paths": {"offence/1"}}); wrong.Status != http.StatusUnprocessableEntity {
		t.Errorf("a part that is not there is answered by %d", wrong.Status)
	}
	part := page.Submit(url.Values{"what": {"PART"}, "method": {"PHONE"}, "paths": {"child/2", "child/1/phone"}}).Follow()
	says(t, part, "Withdrawal taken", "child 2: Peregrine-2", "child 1: phone", "Nothing of what was taken back had begun to be sent")
	says(t, b.Get(at(reference)), "The person took this back.")
	for range 2 { // the second press, or back and again
		all := b.Do(http.MethodPost, at(reference, "withdraw"), url.Values{"what": {"ALL"}, "method": {"FACE_TO_FACE"}})
		says(t, all.Follow(), "Withdrawal taken", "all of it")
	}
	if n := p.get(reference); n.GetState() != localv1.State_STATE_WITHDRAWN || len(n.GetWithdrawals()) != 2 {
		t.Errorf("it is %v", n)
	}
	if taken := b.Get(at(reference)).Main(); strings.Contains(taken, "A colleague checks every form") || !strings.Contains(taken, "The person took this back.") {
		t.Errorf("what was withdrawn is explained by what it once waited for:\n%s", taken)
	}
	if again := b.Get(at(reference, "withdraw")); again.Header.Get("Location") != at(reference, "withdrawn") {
		t.Errorf("to withdraw again leads to %d %q", again.Status, again.Header.Get("Location"))
	}
}

func TestWhatTheTeamHasIsAskedToStop(t *testing.T) {
	p := bristol(t)
	reference := p.take(p.x.Example("shared_in_part"))
	b := p.as("RECEPTION_OFFICER")
	page := b.Get(at(reference, "withdraw"))
	says(t, page, "The team is asked to stop", "cannot be undone from here")
	says(t, page.Submit(url.Values{"what": {"ALL"}, "method": {"PAPER"}}).Follow(), "the team was asked to stop", "already read or written down cannot be undone")
	says(t, b.Get(at(reference)), "Asked to stop", "what the team answers does not come back")
}

// What is to be done for a child who may be alone stays on the page after a withdrawal, which says why.
func TestAChildWhoMayBeAloneStaysOnThePage(t *testing.T) {
	p := bristol(t)
	f := formtest.New(testkit.Bristol)
	f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NO
	reference := p.take(f)
	b := p.as("RECEPTION_OFFICER")
	b.Get(at(reference, "withdraw")).Submit(url.Values{"what": {"ALL"}, "method": {"PAPER"}})
	page := b.Get(at(reference))
	says(t, page, "Nothing will be sent", "telephone the front door: Emergency Duty Team", "does not rest on permission", "Record a call")
	b.Get(at(reference, "call")).Submit(url.Values{"result": {"ANSWERED"}})
	if page = b.Get(at(reference)); strings.Contains(page.Main(), "does not rest on permission") {
		t.Errorf("after the call the page says %s", page.Main())
	}
}

// Who comes with the slip of a form that was put right since takes back what goes in its place too, and is told. Of a child
// whom the two name differently nothing is guessed, and the page leads to where it may still be.
func TestAnOldSlipTakesBackWhatGoesInItsPlace(t *testing.T) {
	p := bristol(t)
	correct := func(name string) (old, newer string) {
		old = p.take(unchecked(testkit.Bristol))
		right := formtest.New(testkit.Bristol)
		right.Supersedes, right.GetChildren()[0].GetIdentity().GivenName = old, name
		return old, p.take(right)
	}
	b := p.as("RECEPTION_OFFICER")
	old, newer := correct("Peregrine-1")
	says(t, b.Get(at(old, "withdraw")).Submit(url.Values{"what": {"ALL"}, "method": {"PAPER"}}).Follow(), newer, "taken back of it too")
	p.x.Settle()
	if s := p.get(newer).GetState(); s != localv1.State_STATE_WITHDRAWN && s != localv1.State_STATE_STOP_ASKED {
		t.Errorf("what goes in its place is %s", s)
	}
	old, newer = correct("Perry")
	page := b.Get(at(old, "withdraw")).Submit(url.Values{"what": {"PART"}, "paths": {"child/1/school"}, "method": {"PAPER"}}).Follow()
	says(t, page, newer, "may still hold")
	if there := page.Click("Withdraw"); !strings.Contains(there.Main(), newer) {
		t.Errorf("it leads to %s", there.Main())
	}
	says(t, b.Get(at(old)), "May still hold what was taken back", newer)
}

// Any prison takes a withdrawal by the slip; a wrong code, and one that nobody knows yet, are told honestly.
func TestAnotherPrisonTakesAWithdrawalByTheSlip(t *testing.T) {
	p := bristol(t)
	reference := p.take(p.x.Example("shared_in_part"))
	code := p.get(reference).GetSlipCode()
	other := prisonOf(t, p.x, "PRI")
	b := other.as("RESETTLEMENT")
	form := func(reference, code string) *webtest.Page {
		return b.Get("/withdraw").Submit(url.Values{"reference": {reference}, "code": {code}, "method": {"FACE_TO_FACE"}})
	}
	if wrong := form("PN-0", "7"); wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 2 {
		t.Errorf("a wrong slip is answered by %d and %q", wrong.Status, wrong.Errors())
	}
	for range 2 {
		says(t, form(strings.ToLower(reference), strings.ToLower(code)).Follow(), "Withdrawal taken", "the team was asked to stop")
	}
	p.x.Settle()
	if s := p.get(reference).GetState(); s != localv1.State_STATE_STOP_ASKED {
		t.Errorf("at its own prison it is %s", s)
	}
	wrongCode, err := envelope.NewSlipCode(strings.NewReader("another code that nobody has been given"))
	if err != nil {
		t.Fatal(err)
	}
	second := p.take(formtest.New(testkit.Bristol))
	says(t, form(second, wrongCode).Follow(), "Not withdrawn", "Check the reference and the code")
	says(t, b.Get("/notifications"), "Sent by another prison", "Not withdrawn")
	// At the prison that sent it, nobody needs the code.
	if here := p.as("RECEPTION_OFFICER").Get("/withdraw").Submit(url.Values{"reference": {second}}); here.Header.Get("Location") != at(second, "withdraw") {
		t.Errorf("one that is here leads to %d %q", here.Status, here.Header.Get("Location"))
	}
}

func TestACallIsRecordedOnceHoweverOftenItIsSent(t *testing.T) {
	p := bristol(t)
	reference := p.take(unchecked(testkit.Bristol))
	b := p.as("RECEPTION_OFFICER")
	page := b.Get(at(reference, "call"))
	says(t, page, "999", "01632")
	answers := url.Values{"result": {"ANSWERED"}, "who": {"Duty worker"}, "reference": {"R-77"}}
	for range 2 {
		says(t, page.Submit(answers).Follow(), "The call is recorded.", "Spoke to Duty worker.", "Their reference: R-77.")
	}
	if calls := p.get(reference).GetCalls(); len(calls) != 1 || calls[0].GetWho() != "Duty worker" {
		t.Errorf("recorded %v", calls)
	}
	for what, edit := range map[string]url.Values{"a time to come": {"clock": {"23:59"}}, "no time": {"clock": {"late"}}, "no day": {"day": {"EARLIER"}},
		"a day long ago": {"day": {"EARLIER"}, "date-day": {"1"}, "date-month": {"1"}, "date-year": {"2020"}}, "a long name": {"who": {strings.Repeat("x", 300)}}} {
		for name, values := range answers {
			if edit[name] == nil {
				edit[name] = values
			}
		}
		if wrong := page.Submit(edit); wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 1 {
			t.Errorf("%s is answered by %d and %q", what, wrong.Status, wrong.Errors())
		}
	}
}

func TestPublicProtectionLetsAFormGo(t *testing.T) {
	p := bristol(t)
	reference := p.take(unchecked(testkit.Bristol, testkit.Lancashire))
	p.take(formtest.Urgent(testkit.Bristol, 1)) // goes without the check
	b := p.as("PUBLIC_PROTECTION")
	list := b.Get("/protection")
	says(t, list, "To check", "Tattersby-Quill, Morwenna")
	if rows := list.Elements(func(n *html.Node) bool { return n.Data == "tr" }); len(rows) != 2 {
		t.Errorf("%d rows for one form and its head", len(rows))
	}
	shown := regexp.MustCompile(`PN-[0-9A-Z]{4}-[0-9A-Z]{4}`).FindString(list.Main()) // of either of its notifications
	page := list.Click(shown)
	held := page.Submit(url.Values{"gate": {"HOLD"}}).Follow()
	says(t, held, "The check is recorded.", "Held", shown)
	for range 2 {
		again := b.Do(http.MethodPost, "/protection/"+reference, url.Values{"gate": {"NO_HOLD"}})
		if again.Status != http.StatusSeeOther {
			t.Errorf("to let it go is answered by %d", again.Status)
		}
	}
	p.x.Settle()
	if s := p.get(reference).GetState(); s != localv1.State_STATE_DELIVERED {
		t.Errorf("it is %s", s)
	}
	if left := b.Get("/protection").Main(); strings.Contains(left, shown) {
		t.Errorf("it is still there: %s", left)
	}
}

func TestTheLeadDecides(t *testing.T) {
	p := bristol(t)
	share, not := p.take(formtest.New(testkit.Lancashire)), p.take(unchecked(testkit.Bristol))
	p.x.Clock.Advance(72 * time.Hour) // past what either was due
	p.x.Settle()
	b := p.as("SAFEGUARDING_LEAD")
	queue := b.Get("/decisions")
	says(t, queue, share, not, "Overdue")
	page := queue.Click(share).Click("Decide whether to share")
	says(t, page, "Why it needs a decision", "Peregrine-1", "Overdue since")
	base := url.Values{"relevant": {"YES"}, "decision": {"SHARE"}, "parent_told": {"NO"}, "not_told": {"It could put the child at risk"}, "reasons": {"A baby whom nobody has seen"},
		"children": {"1"}, "how_much": {"MINIMUM"}, "helps_function": {"ca1989.s17"}}
	for name := range base {
		wrong := url.Values{}
		for other, values := range base {
			if other != name {
				wrong[other] = values
			}
		}
		if got := page.Submit(wrong); got.Status != http.StatusUnprocessableEntity || len(got.Errors()) == 0 {
			t.Errorf("without %s it is answered by %d and %q", name, got.Status, got.Errors())
		}
	}
	for range 2 {
		says(t, page.Submit(base).Follow(), "Your decision is recorded.", "decided to share", "A baby whom nobody has seen", "Why the person was not told: It could put the child at risk")
	}
	last := p.get(share)
	if c := last.GetConsiderations(); len(c) != 1 || len(c[0].GetCodes().GetPaths()) < 5 {
		t.Errorf("recorded %v", c)
	}
	kept := b.Get(at(not, "consider")).Submit(url.Values{"relevant": {"NO"}, "decision": {"NOT_SHARE"}, "parent_told": {"YES"}, "reasons": {"The family has help already"}}).Follow()
	says(t, kept, "decided not to share", "The family has help already")
	if reads := p.as("RECEPTION_OFFICER").Get(at(not)).Main(); strings.Contains(reads, "help already") {
		t.Error("reception reads why the lead decided")
	}
	if n := p.get(not); n.GetState() != localv1.State_STATE_WITHHELD {
		t.Errorf("it is %v", n.GetState())
	}
}

// The lead is led from their list to what was shared urgently, and from there to the one question about it.
func TestTheLeadReviewsWhatWasSharedUrgently(t *testing.T) {
	p := bristol(t)
	f := formtest.Urgent(testkit.Bristol, 1)
	f.Urgency.Calls[0].Result, f.Urgency.Calls[0].Who = posternv1.CallResult_CALL_RESULT_ANSWERED, "Duty worker"
	reference := p.take(f)
	reception := p.as("RECEPTION_OFFICER")
	if page := reception.Get(at(reference)); strings.Contains(page.Body, "/review") || reception.Get(at(reference, "review")).Status != http.StatusForbidden {
		t.Error("reception is asked to review")
	}
	b := p.as("SAFEGUARDING_LEAD")
	page := b.Get("/decisions").Click(reference).Click("Review what was shared urgently")
	says(t, page, "Due ", "Nothing is sent by your answer")
	if wrong := page.Submit(url.Values{"findings": {" "}}); wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 1 {
		t.Errorf("nothing is answered by %d and %q", wrong.Status, wrong.Errors())
	}
	for range 2 {
		says(t, page.Submit(url.Values{"findings": {"He is with his aunt"}}).Follow(), "Your review is recorded.", "The safeguarding lead reviewed what was shared", "He is with his aunt")
	}
	says(t, b.Get("/decisions"), "Nothing needs a decision now.")
	if again := b.Get(at(reference, "review")); again.Header.Get("Location") != at(reference) {
		t.Errorf("once more it is answered by %d", again.Status)
	}
	if reads := reception.Get(at(reference)).Main(); strings.Contains(reads, "aunt") {
		t.Error("reception reads what the lead found")
	}
}

func TestAnEnquiryHasNothingToShare(t *testing.T) {
	p := bristol(t)
	reference := p.take(formtest.Declined())
	page := p.as("SAFEGUARDING_LEAD").Get(at(reference, "consider"))
	says(t, page, "tells of no child")
	for _, n := range page.Elements(webtest.Element("input")) {
		if webtest.Attribute(n, "value") == "SHARE" {
			t.Error("the page offers to share what is not there")
		}
	}
}

func TestTheManualRouteIsPrintedAndClosed(t *testing.T) {
	p := bristol(t)
	reference := p.take(formtest.New(testkit.Lancashire))
	b := p.as("RECEPTION_OFFICER")
	paper := b.Get(at(reference)).Click("Print the request for support")
	says(t, paper, "Not a risk assessment", "HMP Bristol", reference, "Peregrine-1", "Permission until")
	b.Get(at(reference, "request") + "?lang=cy")
	says(t, b.Get(at(reference, "request")), "Nid asesiad risg")
	b.Get(at(reference) + "?lang=en")
	page := paper.Click("Record that it was sent by hand")
	for range 2 {
		says(t, page.Submit(url.Values{"how": {"POST"}, "to": {"Lancashire early help"}}).Follow(), "Sent by hand: by post", "Lancashire early help", "this is closed here")
	}
	for _, gone := range []string{"request", "close-manual"} {
		if got := b.Get(at(reference, gone)); got.Header.Get("Location") != at(reference) {
			t.Errorf("%s answers %d afterwards", gone, got.Status)
		}
	}
	if n := p.get(reference); n.GetManual().GetHow() != localv1.ManualRoute_MANUAL_ROUTE_POST || n.GetState() != localv1.State_STATE_CLOSED {
		t.Errorf("it is %v", n)
	}
}

// The numbers come before everything, and what is written down goes the way of every form.
// Nobody reads on a printed request of an agreement that there is not.
func TestARequestSaysByWhatItGoes(t *testing.T) {
	p := bristol(t)
	b := p.as("SAFEGUARDING_LEAD")
	const agreed = "The parent agreed to tell you"
	says(t, b.Get(at(p.take(formtest.New(testkit.Lancashire)), "request")), agreed)
	p.x.Inbox(testkit.Bristol).Link.Down(true)
	reference := p.take(formtest.Urgent(testkit.Bristol, 1))
	for range 10 { // until it counts as undelivered, and goes by hand
		p.x.Clock.Advance(24 * time.Hour)
		p.x.Settle()
	}
	urgent := p.as("SAFEGUARDING_LEAD").Get(at(reference, "request"))
	says(t, urgent, "a child may need help now")
	if strings.Contains(urgent.Main(), agreed) {
		t.Error("the request says that the parent agreed, whom nobody asked")
	}
}

func TestAConcernIsRaised(t *testing.T) {
	p := bristol(t)
	b := p.as("ORDERLY_OFFICER")
	page := b.Get("/concern")
	main := page.Main()
	if number, button := strings.Index(main, "01632"), strings.Index(main, "Write it down"); number < 0 || button < number {
		t.Errorf("the numbers do not come first: %s", main)
	}
	urgency := page.Submit(url.Values{}).Follow()
	if wrong := urgency.Submit(url.Values{"said": {strings.Repeat("x", 501)}}); wrong.Status != http.StatusUnprocessableEntity {
		t.Errorf("too many words are answered by %d", wrong.Status)
	}
	calls := urgency.Submit(url.Values{"reason": {"CHILD_MAY_BE_ALONE"}, "said": {"He is on his own since four."}, "said_by": {"The mother"}, "basis": {"PARENT_SAID"}}).Follow()
	call := url.Values{"result": {"NO_ANSWER"}, "number": {"01632 960201"}}
	again := calls.Submit(call).Follow()
	says(t, again, "Calls so far", "01632 960201: no answer")
	if twice := calls.Submit(call); twice.Status != http.StatusSeeOther { // sent twice, it is one call
		t.Errorf("the same call twice is answered by %d and %q", twice.Status, twice.Errors())
	}
	calls = again.Submit(url.Values{"result": {"EMERGENCY_999"}}).Follow()
	says(t, calls, "Called 999")
	authorised := calls.Submit(url.Values{"result": {"NONE"}}).Follow()
	says(t, authorised, "Who authorised it?")
	sought := authorised.Submit(url.Values{"how": {"HERE"}}).Follow() // the orderly officer finds themselves there
	if wrong := sought.Submit(url.Values{"asked": {"NO"}, "told": {"NO"}}); len(wrong.Errors()) != 2 {
		t.Errorf("no reasons are answered by %q", wrong.Errors())
	}
	if next := sought.Submit(url.Values{"asked": {"YES"}, "told": {"YES"}}); next.Status != http.StatusSeeOther || !strings.HasSuffix(next.Header.Get("Location"), "/person") {
		t.Errorf("then comes %d %q", next.Status, next.Header.Get("Location"))
	}
	drafts, err := p.desk.Drafts(p.acting("ORDERLY_OFFICER"))
	if err != nil || len(drafts) != 1 {
		t.Fatal(drafts, err)
	}
	// What the pages about person and child ask is theirs; here it is written as they would.
	draft, family := drafts[0], formtest.Urgent(testkit.Bristol, 1)
	if u := draft.GetForm().GetUrgency(); len(u.GetCalls()) != 2 || u.GetAuthorisedBy().GetStaffId() != "ORDERLY_OFFICER" || u.GetAuthorisedBy().GetRole() != posternv1.StaffRole_STAFF_ROLE_ORDERLY_OFFICER {
		t.Fatalf("the draft says %v", u)
	}
	draft.Form.Reception, draft.Form.PrisonNumber, draft.Form.Parent, draft.Form.Children, draft.Form.NoticeVersion = family.Reception, family.PrisonNumber, family.Parent, family.Children, family.NoticeVersion
	if _, err := p.desk.SaveDraft(p.acting("ORDERLY_OFFICER"), draft); err != nil {
		t.Fatal(err)
	}
	sent := b.Get("/drafts/" + draft.GetId() + "/check").Submit(url.Values{}).Follow()
	p.x.Settle()
	says(t, sent, "PN-", "does not wait for a colleague’s check")
	reference := marks.FindString(sent.Main())
	if n := p.get(reference); n.GetState() != localv1.State_STATE_DELIVERED {
		t.Errorf("it is %v", n)
	}
	says(t, b.Get(at(reference)), "Urgently, without permission", "The team has it")
	says(t, b.Get(at(reference, "withdraw")), "The person can object")
}

// A form is put right by another one, which says what the earlier one said until somebody changes it.
func TestAFormIsPutRight(t *testing.T) {
	p := bristol(t)
	reference := p.take(unchecked(testkit.Bristol))
	b := p.as("RECEPTION_OFFICER")
	page := b.Get(at(reference)).Submit(url.Values{})
	if page.Status != http.StatusSeeOther || page.Follow().Status != http.StatusOK {
		t.Fatalf("to put it right is answered by %d", page.Status)
	}
	drafts, err := p.desk.Drafts(p.acting("RECEPTION_OFFICER"))
	if err != nil || len(drafts) != 1 {
		t.Fatal(drafts, err)
	}
	draft := drafts[0]
	if f, n := draft.GetForm(), p.get(reference); f.GetSupersedes() != n.GetFormId() || f.GetFormId() == n.GetFormId() || f.GetFormId() == "" || f.GetParent().GetName().GetGivenName() != "Morwenna" || len(draft.GetAnswered()) != 0 {
		t.Errorf("the draft says %v", f)
	}
	draft.Form.Children[0].Identity.KnownAs = "Perry"
	if _, err := p.desk.SaveDraft(p.acting("RECEPTION_OFFICER"), draft); err != nil {
		t.Fatal(err)
	}
	sent := b.Get("/drafts/" + draft.GetId() + "/check").Submit(url.Values{}).Follow()
	if sent.Status != http.StatusOK {
		t.Fatalf("sent, it answers %d", sent.Status)
	}
	says(t, b.Get(at(reference)), "A later form put this one right", "Put right by")
	if again := b.Do(http.MethodPost, at(reference, "correct"), url.Values{}); again.Status != http.StatusConflict {
		t.Errorf("to put it right twice is answered by %d", again.Status)
	}
}

// corrected begins the correction of a form, and returns the path of its draft.
func (p *prison) corrected(b *webtest.Browser, f *posternv1.Form) string {
	p.t.Helper()
	began := b.Get(at(p.take(f))).Submit(url.Values{})
	if began.Status != http.StatusSeeOther {
		p.t.Fatalf("to put it right is answered by %d", began.Status)
	}
	return began.Header.Get("Location")
}

// Permission for one child is none for another: when that child goes from the form, the person is asked anew, also where
// another child comes in its place, and until then nothing can be sent.
func TestPermissionGoesWithItsChild(t *testing.T) {
	for name, try := range map[string]struct {
		children, permitted, gone int
		another                   bool
	}{"another child is left": {2, 2, 2, false}, "another child comes in its place": {1, 1, 1, true}} {
		p := bristol(t)
		f := formtest.New(slices.Repeat([]string{testkit.Bristol}, try.children)...)
		f.Consent.Children = []uint32{uint32(try.permitted)}
		b := p.as("RECEPTION_OFFICER")
		draft := p.corrected(b, f)
		b.Get(fmt.Sprintf("%s/children/%d/remove", draft, try.gone)).Submit(nil)
		if try.another {
			b.Get(draft + "/children/1").Submit(answers(peregrine()...))
			b.Get(draft + "/children/1/home").Submit(answers(append(inBristol(), "council", testkit.Bristol)...))
		}
		check := b.Get(draft + "/check")
		linkTo(t, check, "/permission?to=check")
		if ready(check) {
			t.Errorf("%s: it can be sent: %s", name, check.Main())
		}
		b.Get(draft + "/permission?to=check").Submit(url.Values{"answer": {"contact"}, "understood": {"YES"}})
		if again := b.Get(draft + "/check"); !ready(again) {
			t.Errorf("%s: agreed to again, it cannot be sent: %s", name, again.Main())
		}
	}
}

// ready reports whether a form can be sent from the page before that.
func ready(check *webtest.Page) bool {
	return len(check.Elements(func(n *html.Node) bool { return webtest.Attribute(n, "name") == "version" })) > 0
}

// Of several children who were permitted the others stay so, under their new numbers, and what was taken back stays so too.
func TestPermissionCountsOnWithoutAChild(t *testing.T) {
	p := bristol(t)
	f := formtest.New(testkit.Bristol, testkit.Bristol, testkit.Bristol)
	f.Consent.Children = []uint32{1, 3}
	f.Consent.Withdrawal = &posternv1.ConsentWithdrawal{WithdrawTime: f.GetConsent().GetGiveTime(), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE, Paths: []string{"child/1", "child/3/phone"}}
	b := p.as("RECEPTION_OFFICER")
	draft := p.corrected(b, f)
	left := func(children, taken string) {
		t.Helper()
		d, err := p.desk.Draft(p.acting("RECEPTION_OFFICER"), strings.TrimPrefix(draft, "/drafts/"))
		if c := d.GetForm().GetConsent(); err != nil || fmt.Sprint(c.GetChildren()) != children || fmt.Sprint(c.GetWithdrawal().GetPaths()) != taken {
			t.Errorf("left is permission for %v, without %v: %v", c.GetChildren(), c.GetWithdrawal().GetPaths(), err)
		}
	}
	b.Get(draft + "/children/2/remove").Submit(nil)
	left("[1 2]", "[child/1 child/2/phone]")
	b.Get(draft + "/children/1/remove").Submit(nil)
	left("[1]", "[child/1/phone]")
}
