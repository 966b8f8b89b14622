package site_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// A reference has 35 bits, so that now and then two notifications share one: each can still be opened, assigned and answered
// from the table, and whoever comes by the reference chooses.
func TestTwoWithOneReferenceAreOpenedFromTheTable(t *testing.T) {
	const one, other = "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b", "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6c"
	x := testkit.NewExchange(t)
	for n, id := range []string{one, other} {
		f := formtest.New(testkit.Bristol)
		f.PrisonNumber = []string{"A0001ZZ", "A0002ZZ"}[n]
		f.GetChildren()[0].GetHome().AddressLines = []string{[]string{"1 Invented Road", "2 Invented Road"}[n]}
		sealed := x.Seal(testkit.HMPBristol, f, func(d *envelope.Draft) { d.Manifest.NotificationId = id })[0]
		if _, err := x.Submission(testkit.HMPBristol).Submit(t.Context(), &posternv1.SubmitRequest{Notification: sealed}); err != nil {
			t.Fatal(err)
		}
		x.Settle()
	}
	b := signintest.As(t, at(t, x), "DUTY_WORKER")
	table := b.Get("/")
	if rows := references(table); len(rows) != 2 || rows[0] != rows[1] {
		t.Fatalf("the table has %q", rows)
	}
	for n, id := range []string{one, other} {
		page := b.Get("/notifications/" + id)
		if page.Status != http.StatusOK || !strings.Contains(table.Body, `href="/notifications/`+id+`"`) || !strings.Contains(page.Main(), []string{"1", "2"}[n]+" Invented Road") {
			t.Fatalf("%s is answered by %d and %s", id, page.Status, page.Main())
		}
		reply := page.Click("Acknowledge and answer").Submit(url.Values{"reply": {"ALREADY_KNOWN"}}).Follow()
		if !strings.Contains(reply.Main(), "Already known") && reply.Status != http.StatusOK {
			t.Errorf("the answer is answered by %d", reply.Status)
		}
	}
	for _, i := range x.Inbox(testkit.Bristol).Items() {
		if i.GetWork().GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN {
			t.Errorf("%s is answered with %v", i.GetId(), i.GetWork().GetReply())
		}
	}
	if done := b.Get("/?show=all").Submit(url.Values{"pick": {one + ".1"}, "to": {"-"}}).Follow(); done.Status != http.StatusOK {
		t.Errorf("to give one to nobody is answered by %d", done.Status)
	}
	which := b.Get(path(one))
	if which.Status != http.StatusOK || strings.Contains(which.Title(), "PN-") || strings.Contains(which.Body, "Invented Road") {
		t.Errorf("the reference is answered by %d, %q", which.Status, which.Title())
	}
	for _, id := range []string{one, other} {
		if want := `href="/notifications/` + id + `/told"`; !strings.Contains(b.Get(path(one, "told")).Body, want) || !strings.Contains(which.Body, `href="/notifications/`+id+`"`) {
			t.Errorf("no way leads on to %s", id)
		}
	}
	late := b.Do(http.MethodPost, path(one, "outcome"), url.Values{"outcome": {"OFFER_MADE"}})
	if late.Status != http.StatusConflict || !strings.Contains(late.Main(), "Nothing was done") {
		t.Errorf("an outcome by the reference is answered by %d, %s", late.Status, late.Main())
	}
}
