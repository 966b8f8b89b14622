package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/web"
	"postern/internal/web/webtest"
	"postern/internal/words"
)

// The page about a fault is in the reader's language and says the reason's own words where it has any. The fault's
// message is never on it: it is English, and this one names somebody.
func TestAFaultIsSaidInTheReadersLanguage(t *testing.T) {
	const message = "Ada Quorndon of ZZ99 1AB sent this."
	faults := []struct {
		kind   fault.Kind
		reason string
		said   bool // the reason's own words
		code   bool // the reason itself
	}{
		{fault.Precondition, "DRAFT_SENT", true, true},
		{fault.Exists, "ID_TAKEN", true, true},
		{fault.NotFound, "NO_DRAFT", true, false},
		{fault.Unavailable, "NO_DIRECTORY", true, false},
		{fault.Denied, "NOT_MANAGER", true, false},
		{fault.Unverified, "LOG_FORKED", false, true},
		{fault.Invalid, "OF_NO_CATALOGUE", false, false},
		{fault.Precondition, "Ada Quorndon", false, false}, // as another party might send it
		{fault.Exhausted, "OF_NO_CATALOGUE", false, false},
		{fault.Internal, "OF_NO_CATALOGUE", false, false},
	}
	for _, language := range []words.Language{words.English, words.Welsh} {
		for _, f := range faults {
			site, err := web.New(web.Config{Name: "faults", Service: "web.service", Home: "/", Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
				Pages: []web.Page{{Path: "/", Name: "web.menu", Open: true, Get: func(*web.Request) (web.Response, error) {
					return nil, fault.New(f.kind, f.reason, message)
				}}}})
			if err != nil {
				t.Fatal(err)
			}
			b := webtest.Open(t, site)
			b.Get("/?lang=" + string(language))
			p := b.Get("/")
			id := "fault." + strings.ToLower(f.reason)
			if got := strings.Contains(p.Body, language.Text(id, nil)); got != f.said {
				t.Errorf("%s: the page about %s says its reason: %v", language, f.reason, got)
			}
			if got := strings.Contains(p.Body, f.reason+"."); got != f.code {
				t.Errorf("%s: the page about %s has its code: %v", language, f.reason, got)
			}
			if strings.Contains(p.Body, "Quorndon") || !strings.Contains(p.Body, `<html lang="`+string(language)+`"`) {
				t.Errorf("%s: the page about %s is %s", language, f.reason, p.Body)
			}
			if p.Status == http.StatusOK {
				t.Errorf("%s is answered by %d", f.reason, p.Status)
			}
		}
	}
}
