package site_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
)

// alike are random bytes that begin alike each time, so that all ids drawn from it have one reference.
type alike struct{}

func (alike) Read(b []byte) (int, error) {
	n, err := rand.Read(b)
	copy(b, "alike"[:min(5, n)])
	return n, err
}

func TestTwoWithOneReferenceAreOpenedFromTheList(t *testing.T) {
	x := testkit.NewExchange(t)
	x.Desk(testkit.HMPBristol).Restart(func(c *desk.Config) { c.Rand = alike{} })
	p := prisonOf(t, x, testkit.HMPBristol)
	ids := p.desk.Take(formtest.New(testkit.Bristol, testkit.Lancashire))
	x.Settle()
	if len(ids) != 2 || envelope.Reference(ids[0]) != envelope.Reference(ids[1]) {
		t.Fatalf("the form became %q", ids)
	}
	reference := envelope.Reference(ids[0])
	b := p.as("RESETTLEMENT")
	list, which := b.Get("/notifications"), b.Get(at(reference))
	if which.Status != http.StatusOK || strings.Contains(which.Title(), "PN-") || strings.Contains(which.Body, formtest.New().GetParent().GetName().GetFamilyName()) {
		t.Errorf("the reference is answered by %d, %q", which.Status, which.Title())
	}
	for _, id := range ids {
		if way := `href="` + at(id) + `"`; !strings.Contains(list.Body, way) || !strings.Contains(which.Body, way) {
			t.Errorf("no way leads to %s", id)
		}
		if page := b.Get(at(id)); page.Status != http.StatusOK || !strings.Contains(page.Body, `href="`+at(id, "slip")+`"`) || b.Get(at(id, "slip")).Status != http.StatusOK {
			t.Errorf("%s is answered by %d", id, page.Status)
		}
		if !strings.Contains(b.Get(at(reference, "withdraw")).Body, `href="`+at(id, "withdraw")+`"`) {
			t.Errorf("whoever withdraws cannot choose %s", id)
		}
	}
	if to := b.Get("/notifications").Submit(url.Values{"find": {reference}}).Header.Get("Location"); to != at(reference) {
		t.Errorf("to look for it leads to %q", to)
	}
	if to := b.Get("/withdraw").Submit(url.Values{"reference": {reference}}).Header.Get("Location"); to != at(reference, "withdraw") {
		t.Errorf("the slip leads to %q", to)
	}
	late := b.Do(http.MethodPost, at(reference, "withdraw"), url.Values{"what": {"ALL"}, "method": {"PHONE"}})
	if late.Status != http.StatusConflict || !strings.Contains(late.Main(), "Nothing was done") {
		t.Errorf("a withdrawal by the reference is answered by %d, %s", late.Status, late.Main())
	}
	page := b.Get(at(ids[0], "withdraw")).Submit(url.Values{"what": {"ALL"}, "method": {"PHONE"}}).Follow()
	if page.Status != http.StatusOK || len(p.desk.Get(ids[0]).GetNotification().GetWithdrawals()) != 1 || len(p.desk.Get(ids[1]).GetNotification().GetWithdrawals()) != 0 {
		t.Errorf("of one it is taken with %d", page.Status)
	}
}
