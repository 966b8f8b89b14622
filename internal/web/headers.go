package web

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// reportPath is where browsers report what the content security policy stopped.
const reportPath = "/csp-report"

// forgetPath is a picture of nothing that makes the browser forget the pages it holds.
const forgetPath = "/session/forget.svg"

// forget answers with it. Though pages are not to be stored, a browser keeps the page before in memory, whole, and shows
// it to the next person at the machine who goes back. To forget it must be asked after it has put that page away: by what
// the page after it loads, and not by that page itself. So every page for somebody who is not signed in loads it, whichever
// way the session before it ended.
func forget(w http.ResponseWriter) {
	w.Header().Set("Clear-Site-Data", `"cache"`)
	w.Header().Set("Content-Type", "image/svg+xml")
	_, _ = io.WriteString(w, `<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`)
}

// secure sets the headers of every answer. Nothing runs, loads or frames but our own files; scripts cannot turn text
// into markup; nothing is kept by the browser; nobody learns from where somebody came.
func (s *Site) secure(h http.Header) {
	actions := strings.Join(append([]string{"'self'"}, s.cfg.Actions...), " ")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; "+
		"form-action "+actions+"; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'; "+
		"report-uri "+reportPath)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), fullscreen=(), geolocation=(), microphone=(), payment=(), usb=()")
	if s.cfg.TLS {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// reports counts what the content security policy stopped. A report can say anything, for anybody can send one: only
// the directives we know are counted, and nothing of it is logged.
type reports struct {
	mu sync.Mutex // owns n
	n  map[string]int64
}

var directives = []string{"default-src", "style-src", "style-src-elem", "style-src-attr", "script-src", "script-src-elem", "script-src-attr",
	"img-src", "font-src", "connect-src", "form-action", "frame-ancestors", "frame-src", "base-uri", "object-src", "media-src",
	"manifest-src", "worker-src", "require-trusted-types-for", "trusted-types"}

func newReports() *reports { return &reports{n: map[string]int64{}} }

func (c *reports) take(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	var report struct {
		Body struct {
			Effective string `json:"effective-directive"`
			Violated  string `json:"violated-directive"`
		} `json:"csp-report"`
	}
	directive := "other"
	if json.NewDecoder(io.LimitReader(r.Body, 16<<10)).Decode(&report) == nil {
		said, _, _ := strings.Cut(strings.TrimSpace(report.Body.Effective+" "+report.Body.Violated), " ")
		if slices.Contains(directives, said) {
			directive = said
		}
	}
	c.mu.Lock()
	c.n[directive]++
	c.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (c *reports) counts() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
