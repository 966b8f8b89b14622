package site_test

import (
	"strings"
	"testing"

	"postern/internal/form/formtest"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// The first of two children waits for a call, so the second goes alone, under her own number.
func TestASecondChildWhoComesAloneHasHerBox(t *testing.T) {
	x := testkit.NewExchange(t)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.GetChildren()[0].GetCarer().IsAdult = posternv1.Answer_ANSWER_NO
	f.GetChildren()[1].GetSafety().DoNotMentionPrison = true
	id := x.Desk(testkit.HMPBristol).Take(f)[0]
	x.Settle()
	items := x.Inbox(testkit.Bristol).Items()
	if len(items) != 1 {
		t.Fatalf("%d came", len(items))
	}
	b := signintest.As(t, at(t, x), "DUTY_WORKER")
	if list := b.Get("/").Main(); !strings.Contains(list, "PT") || !strings.Contains(list, "ZZ99") {
		t.Errorf("the table does not show who she is or where: %s", list)
	}
	main := b.Get(path(id)).Main()
	for _, want := range []string{"Before you make contact: child 2", "Do not mention", "Ring before you come", "after half past three"} {
		if !strings.Contains(main, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(main, "Before you make contact: child 1") {
		t.Error("the page has a box of a child who did not come")
	}
	for _, page := range []string{"told", "reply"} {
		if got := b.Get(path(id, page)).Body; !strings.Contains(strings.ToLower(got), "child 2") || strings.Contains(strings.ToLower(got), "child 1") {
			t.Errorf("%s offers the other child", page)
		}
	}
}
