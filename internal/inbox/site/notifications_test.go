package site_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/inbox/site"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web/webtest"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// arrived is a duty worker's browser at a team to which something has come.
func arrived(t *testing.T) (*testkit.Exchange, *webtest.Browser, string) {
	t.Helper()
	x := testkit.NewExchange(t)
	form := x.Example("shared_in_part")
	id := x.Desk(testkit.HMPBristol).Take(form)[0]
	x.Settle()
	s, err := site.New(x.Inbox(testkit.Bristol).Inbox, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	return x, signintest.As(t, s, site.Roles()[0]), id
}

func TestADutyWorkerReadsWhatWasShared(t *testing.T) {
	x, b, id := arrived(t)
	list := b.Get("/")
	form := x.Example("shared_in_part")
	child := form.GetChildren()[0]
	if name := child.GetIdentity().GetFamilyName(); name == "" || strings.Contains(list.Body, name) {
		t.Error("the list names a person")
	}
	page := list.Click(envelope.Reference(id))
	main := page.Main()
	for _, want := range []string{child.GetIdentity().GetFamilyName(), child.GetHome().GetPostcode(), "Not a risk assessment", "Permission", "Permission until", "Who may agree to help", "As said", "parent said so"} {
		if want == "" || !strings.Contains(main, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	safety, home := strings.Index(main, "Before you make contact: child 1"), strings.Index(main, "Child 1: home")
	if safety < 0 || home < 0 || safety > home {
		t.Error("how to make contact safely does not stand first")
	}
	// What was not shared says so, and says nothing else.
	shared, not, _ := strings.Cut(main, "Not shared")
	if !strings.Contains(not, "child 1: phone") || strings.Contains(shared, "child 1: phone") {
		t.Errorf("what was not shared is told as %s", not)
	}
	if strings.Contains(page.Title(), child.GetIdentity().GetFamilyName()) {
		t.Error("the title names a person")
	}
}

// Nobody acts on what was put right since: the page of the older one says so first of all, and each leads to the other.
func TestACorrectionWarnsOnWhatItPutsRight(t *testing.T) {
	x, b, old := arrived(t)
	right := x.Example("shared_in_part")
	right.Supersedes, right.GetChildren()[0].GetSafety().SafeManner = old, "Write before you come"
	id := x.Desk(testkit.HMPBristol).Take(right)[0]
	x.Settle()
	newer, older := envelope.Reference(id), envelope.Reference(old)
	if list := b.Get("/").Main(); !strings.Contains(list, "Put right by "+newer) || strings.Contains(list, "Put right by "+older) {
		t.Errorf("the list says %s", list)
	}
	page := b.Get("/notifications/" + older)
	warning, safety := strings.Index(page.Main(), "A newer notification puts this one right"), strings.Index(page.Main(), "Before you make contact")
	if warning < 0 || safety < warning {
		t.Errorf("the older one says %s", page.Main())
	}
	page = page.Click(newer)
	if !strings.Contains(page.Main(), "This puts right an earlier notification") || strings.Contains(page.Main(), "A newer notification") {
		t.Errorf("the newer one says %s", page.Main())
	}
	if page = page.Click(older); !strings.Contains(page.Main(), "A newer notification") {
		t.Errorf("it leads to %s", page.Main())
	}
}

func TestWhatWasWithdrawnIsGoneAndAnswered(t *testing.T) {
	x, b, id := arrived(t)
	if _, err := x.Desk(testkit.HMPBristol).Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	name := x.Example("shared_in_part").GetChildren()[0].GetIdentity().GetFamilyName()
	page := b.Get("/").Click(envelope.Reference(id))
	if !strings.Contains(page.Main(), "withdrew their permission") || strings.Contains(page.Body, name) {
		t.Errorf("what was withdrawn shows as %s", page.Main())
	}
	if wrong := page.Submit(url.Values{}); wrong.Status != http.StatusUnprocessableEntity || len(wrong.Errors()) != 1 {
		t.Errorf("no answer is answered by %d and %v", wrong.Status, wrong.Errors())
	}
	answered := page.Submit(url.Values{"answer": {"STOPPED"}}).Follow()
	if !strings.Contains(answered.Main(), "Answered: We stopped") {
		t.Errorf("an answer shows as %s", answered.Main())
	}
	again := b.Do(http.MethodPost, "/notifications/"+envelope.Reference(id), url.Values{"answer": {"STOPPED"}})
	if again.Status != http.StatusSeeOther {
		t.Errorf("the same answer twice is answered by %d", again.Status)
	}
	if other := b.Do(http.MethodPost, "/notifications/"+envelope.Reference(id), url.Values{"answer": {"PERHAPS"}}); other.Status != http.StatusUnprocessableEntity {
		t.Errorf("no answer of ours is answered by %d", other.Status)
	}
}

// What a stranger wrote into a form is text on every page, whatever it looks like.
func TestHostileValuesAreText(t *testing.T) {
	x := testkit.NewExchange(t)
	form := formtest.New(testkit.Bristol)
	form.GetChildren()[0].GetIdentity().FamilyName = `<script>alert(1)</script>`
	form.GetChildren()[0].GetIdentity().GivenName = `"><img src=x onerror=alert(1)>`
	id := x.Desk(testkit.HMPBristol).Take(form)[0]
	x.Settle()
	s, err := site.New(x.Inbox(testkit.Bristol).Inbox, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	page := signintest.As(t, s, site.Roles()[0]).Get("/notifications/" + envelope.Reference(id))
	if !strings.Contains(page.Main(), "<script>alert(1)</script>") {
		t.Error("the name is not shown as it was written")
	}
	for _, n := range page.Elements(webtest.Element("img")) {
		t.Errorf("a name became %v", n.Attr)
	}
}
