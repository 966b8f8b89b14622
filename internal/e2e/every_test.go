//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// unlooked are pages of which a site has no stop of its own, and why.
var unlooked = map[string]string{
	"/session/extend": "the shell's own; the gallery has it", "/session/ended": "the shell's own; the gallery has it",
	"/notifications.csv": "a file", "/notifications/{reference}/file/{kind}": "a file", "/events/{id}/receipt": "a file",
	"/accessibility": "one text for every site, read at the desk", "/leaflet": "one text for every site, read at the desk",
	"/leaflet/easy-read": "one text for every site, read at the desk", "/leaflet/family": "one text for every site, read at the desk",
	"/leaflet/family/easy-read": "one text for every site, read at the desk",
}

// A page that is declared is looked at: in some state, by some stop, in the browser.
func TestEveryPageIsLookedAt(t *testing.T) {
	group := func(s *site) string { return map[string]string{"reception": "desk", "inbox-busy": "inbox"}[s.name] }
	all := append(parties(t), busy(t), receptionPages(t))
	seen := map[string]map[string]bool{}
	for _, s := range all {
		name := s.name
		if g := group(s); g != "" {
			name = g
		}
		if seen[name] == nil {
			seen[name] = map[string]bool{}
		}
		mux := http.NewServeMux()
		for _, p := range s.handler.Pages() {
			mux.Handle(p.Path, http.NotFoundHandler())
		}
		for _, stop := range s.stops {
			u, err := url.Parse(stop.path)
			if err != nil {
				t.Fatal(err)
			}
			_, pattern := mux.Handler(&http.Request{Method: http.MethodGet, URL: u, Host: "x"})
			seen[name][pattern] = true
		}
	}
	for _, s := range all {
		if group(s) != "" {
			continue
		}
		for _, p := range s.handler.Pages() {
			why := unlooked[p.Path]
			if strings.HasSuffix(why, "at the desk") && !seen["desk"][p.Path] {
				why = ""
			}
			if p.Get != nil && !seen[s.name][p.Path] && why == "" {
				t.Errorf("no stop looks at %s of the %s", p.Path, s.name)
			}
		}
	}
}
