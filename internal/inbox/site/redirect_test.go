package site_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"postern/internal/form/formtest"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
)

// checked are the children that the page would pass on if nobody chose.
func checked(p *webtest.Page) (all []string) {
	for _, n := range p.Elements(func(n *html.Node) bool { return n.Data == "input" }) {
		value, on, name := "", false, ""
		for _, a := range n.Attr {
			switch a.Key {
			case "name":
				name = a.Val
			case "value":
				value = a.Val
			case "checked":
				on = true
			}
		}
		if name == "children" && on {
			all = append(all, value)
		}
	}
	return all
}

// A sister went to another team, where she is. Whoever passes her brother on does not send her along to his by not looking,
// and sees who of the two went where.
func TestWhoWentToOneTeamIsNotSentAlongToAnother(t *testing.T) {
	x := testkit.NewExchange(t)
	id := x.Desk(testkit.HMPParc).Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
	x.Settle()
	x.Inbox(testkit.Lancashire)
	b := signintest.As(t, at(t, x), "DUTY_WORKER")
	to := func(authority string) *webtest.Page { return b.Get(path(id, "redirect") + "?to=" + authority) }
	first := to(testkit.Lancashire)
	if got := checked(first); !slices.Equal(got, []string{"1", "2"}) {
		t.Fatalf("nobody went anywhere, and the page offers %q", got)
	}
	if got := first.Submit(url.Values{"children": {"1"}}); got.Status != http.StatusSeeOther {
		t.Fatalf("passing on one is answered by %d, %s", got.Status, got.Main())
	}
	x.Settle()
	if got := checked(to(testkit.Wrexham)); !slices.Equal(got, []string{"2"}) {
		t.Errorf("child 1 is with Lancashire, and the page would pass on %q", got)
	}
	if page := b.Get(path(id)).Main(); !strings.Contains(page, "Lancashire (Child 1)") {
		t.Errorf("it is not said who went there: %s", page)
	}
}
