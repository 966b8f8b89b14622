package site_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
	posternv1 "postern/proto/postern/v1"
)

// atConcern is an officer with a draft on the urgent route, as it is begun from another: with all that this one said.
func atConcern(t *testing.T, reason posternv1.UrgencyReason, edits ...func(*posternv1.Form)) *counter {
	return atCounter(t, nil, append([]func(*posternv1.Form){func(f *posternv1.Form) {
		from := formtest.Urgent(testkit.Bristol, 1)
		from.Urgency.Reason = reason
		f.Route, f.Urgency, f.Children, f.Parent, f.Tonight, f.Consent, f.Enquiry = from.Route, from.Urgency, from.Children, from.Parent, from.Tonight, nil, 0
		f.Children[0].Home.Postcode = "ZZ99 1AA"
	}}, edits...)...)
}

// fields are the names of the fields that pages of a draft ask for.
func (c *counter) fields(pages ...string) (names []string) {
	c.t.Helper()
	for _, page := range pages {
		for _, kind := range []string{"input", "select", "textarea"} {
			for _, n := range c.b.Get(c.at + "/" + page).Elements(webtest.Element(kind)) {
				names = append(names, webtest.Attribute(n, "name"))
			}
		}
	}
	return names
}

const (
	mayBeAlone = posternv1.UrgencyReason_URGENCY_REASON_CHILD_MAY_BE_ALONE
	atSchool   = posternv1.UrgencyReason_URGENCY_REASON_COLLECT_FROM_SCHOOL
)

// In an emergency everything is asked for that helps to find and reach the child tonight, and nothing else: the school
// only where somebody has to collect the child from there.
func TestAConcernAsksForWhatGoes(t *testing.T) {
	for _, reason := range []posternv1.UrgencyReason{mayBeAlone, atSchool} {
		c := atConcern(t, reason)
		asked := c.fields("children/1/carer", "children/1/more", "parent")
		for name, want := range map[string]bool{"carer_phone": true, "has_worker": true, "date_of_birth-day": true, "setting_name": reason == atSchool,
			"knows": false, "needs": false, "custody_type": false, "language": false, "contact": false} {
			if got := slices.Contains(asked, name); got != want {
				t.Errorf("%s: %s is asked for: %v", reason, name, got)
			}
		}
		for _, step := range []string{"/children/1/more", "/parent"} {
			linkTo(t, c.b.Get(c.at), step)
			linkTo(t, c.b.Get(c.at+"/check"), step+"?to=check") // nobody was asked yet
		}
	}
}

// What was said before it became urgent stays, whether a page of the urgent route asks for it or not.
func TestAConcernForgetsNothing(t *testing.T) {
	for _, reason := range []posternv1.UrgencyReason{mayBeAlone, atSchool} {
		c := atConcern(t, reason)
		before := c.form()
		for _, page := range []string{"children/1", "children/1/carer", "children/1/safety", "children/1/more", "parent"} {
			if p := c.fill(page); len(p.Errors()) > 0 {
				t.Fatalf("%s is answered by %q", page, p.Errors())
			}
		}
		if after := c.form(); !proto.Equal(before, after) {
			t.Errorf("%s: from\n%v\nis left\n%v", reason, before, after)
		}
		c.fill("children/1/carer", "carer_phone", "")
		if left := c.form().GetChildren()[0].GetPhone(); left != nil {
			t.Errorf("a number that was taken out is still %v", left)
		}
	}
}

// What stays here in an emergency stays because it helps nobody tonight, and not because somebody did not agree.
func TestAConcernSaysWhatStaysHere(t *testing.T) {
	c := atConcern(t, mayBeAlone)
	sees, stays, _ := strings.Cut(c.b.Get(c.at+"/check").Main(), "What stays here")
	const why = "In an emergency only what helps to find the child tonight is told."
	if strings.Contains(sees, why) || !strings.Contains(stays, why) || strings.Contains(sees+stays, "did not agree") {
		t.Errorf("it is to be seen:\n%s\nand it stays:\n%s", sees, stays)
	}
}

// Another reason asks for other things: the page about the child is to be answered again.
func TestAnotherReasonAsksForTheSchool(t *testing.T) {
	c := atConcern(t, mayBeAlone)
	c.fill("children/1/more")
	c.fill("urgency", "reason", "RISK_STATED", "basis", "PARENT_SAID")
	c.fill("children/1/more")
	if unasked := c.b.Get(c.at + "/check").Body; strings.Contains(unasked, "/children/1/more?to=check\">More") {
		t.Error("what was answered is to be answered again")
	}
	c.fill("urgency", "reason", "COLLECT_FROM_SCHOOL", "basis", "PARENT_SAID")
	says(t, c.b.Get(c.at+"/check"), "More about the child")
}

// What is urgent goes to one council: of a child who lives elsewhere the page before sending says so, and leads to where
// the child is taken out.
func TestAConcernIsForOneCouncil(t *testing.T) {
	c := atConcern(t, mayBeAlone, func(f *posternv1.Form) {
		f.Children = append(f.Children, formtest.New(testkit.Lancashire).GetChildren()[0])
		f.Children[1].Home.Postcode = "ZZ99 6TW"
		f.Children[1].AuthorityChecked = true
	})
	check := c.b.Get(c.at + "/check")
	says(t, check, "A form on this route goes to one authority. Fill in another form for the children who live elsewhere.")
	linkTo(t, check, "/children/2?to=check")
	c.b.Get(c.at + "/children/2/remove").Submit(nil)
	says(t, c.b.Get(c.at+"/check"), "When you send this, it goes to")
}

// A person who said no does not keep what is urgent from being put right.
func TestAnUrgentFormOfSomebodyWhoSaidNoIsPutRight(t *testing.T) {
	p := bristol(t)
	f := formtest.Urgent(testkit.Bristol, 1)
	f.Consent = formtest.Duty(testkit.Bristol, 1).GetConsent()
	f.Urgency.ConsentSought = posternv1.Answer_ANSWER_YES
	reference := p.take(f)
	b := p.as("RECEPTION_OFFICER")
	tasks := b.Get(at(reference)).Submit(url.Values{})
	says(t, b.Get(tasks.Header.Get("Location")+"/check").Submit(url.Values{}).Follow(), "PN-")
	p.x.Settle()
	says(t, b.Get(at(reference)), "A later form put this one right")
}

// What was shared under the duty is put right by whoever finds the mistake; the pages say that the safeguarding lead decides.
func TestAFormOfTheDutyRouteIsPutRight(t *testing.T) {
	p := bristol(t)
	reference := p.take(formtest.Duty(testkit.Bristol, 1))
	b := p.as("RECEPTION_OFFICER")
	draft := b.Get(at(reference)).Submit(url.Values{}).Header.Get("Location")
	tasks := b.Get(draft)
	if strings.Contains(tasks.Main(), "Permission") {
		t.Errorf("it asks for permission: %s", tasks.Main())
	}
	linkTo(t, tasks, "/children/1/home")
	check := b.Get(draft + "/check")
	says(t, check, "a person here decides")
	sent := check.Submit(url.Values{}).Follow()
	says(t, sent, "The safeguarding lead considers the duty to share anew")
	p.x.Settle()
	newer := envelope.Reference(p.get(reference).GetSupersededBy())
	for _, role := range []string{"RECEPTION_OFFICER", "SAFEGUARDING_LEAD"} {
		says(t, p.as(role).Get(at(newer)), "puts right what was shared under the duty to share", "Puts right", reference)
	}
	says(t, p.as("SAFEGUARDING_LEAD").Get("/decisions"), newer)
	says(t, p.as("SAFEGUARDING_LEAD").Get(at(newer, "consider")), reference, "Share")
}
