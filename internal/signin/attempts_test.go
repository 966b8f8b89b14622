package signin_test

import (
	"net/http"
	"net/url"
	"testing"

	"postern/internal/signin"
)

// Whoever began to sign in many times and never came back, as at a machine that many walk up to, can sign in all the same.
func TestManyAttemptsLockNobodyOut(t *testing.T) {
	p := start(t)
	p.next(t, robin)
	w := with(t, p).person()
	for range 20 {
		w.at.Get(signin.Path)
	}
	page := w.at.Get(signin.Path)
	to, err := url.Parse(page.Header.Get("Location"))
	must(t, err)
	if page.Status != http.StatusSeeOther || to.Query().Get("state") == "" {
		t.Fatalf("after twenty attempts the way to the provider answers %d", page.Status)
	}
	if page := w.at.Get(w.goes(to.String()).RequestURI()); page.Status != http.StatusSeeOther {
		t.Errorf("the last of them answers %d", page.Status)
	}
}
