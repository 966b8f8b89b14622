//go:build e2e

package e2e

import (
	"log/slog"
	"net/http"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/web"
)

// broken is a site of pages with one thing wrong with each, on the same shell.
func broken(t *testing.T) *site {
	s := &site{name: "broken", seeded: []string{"Quorndon"}, reported: make(chan struct{}, 100)}
	templates, pages := fstest.MapFS{}, []web.Page{}
	for path, p := range map[string]struct{ title, content string }{
		"axe":      {"web.home", `<img src="/assets/none.png">`},
		"contrast": {"web.menu", `<div class="govuk-panel govuk-panel--confirmation"><span class="govuk-hint">grey on green</span></div>`},
		"small":    {"web.language", `<button>.</button><button>.</button>`},
		"wide":     {"web.done", `<pre>` + longWord() + longWord() + longWord() + `</pre>`},
		"box":      {"web.most", `<div class="app-table-scroll" tabindex="0"><pre>` + longWord() + longWord() + longWord() + `</pre></div>`},
		"screen":   {"web.day", `<div class="app-keep"><button type="button">only here</button></div>`},
		"dark":     {"web.or", `<table><tr><td bgcolor="#000000">x</td></tr></table>`},
		"focus":    {"web.month", `<a href="#x" inert>x</a>`},
		"faults":   {"web.year", `<div class="govuk-error-summary" tabindex="-1"><a href="#nowhere">x</a></div>`},
		"scripts":  {"web.back", `<input name="x" hidden>`},
		"inline":   {"web.crumbs", `<script>window.ran = true</script>`},
		"style":    {"web.error", `<p style="color: red">x</p>`},
		"trusted":  {"web.problem", ``},
		"console":  {"web.stay", ``},
		"missing":  {"web.skip", `<img alt="" src="/assets/none.png">`},
		"else":     {"web.service", ``},
		"title":    {"Quorndon", ``},
		"address":  {"web.support", ``},
	} {
		templates[path+".html"] = &fstest.MapFile{Data: []byte(`{{define "content"}}<h1>x</h1>` + p.content + `{{end}}`)}
		pages = append(pages, web.Page{Path: "/" + path, Name: p.title, Open: true, Get: func(*web.Request) (web.Response, error) {
			return web.View{Template: path}, nil
		}})
	}
	handler, err := web.New(web.Config{Name: "broken", Service: "web.service", Pages: pages, Templates: templates, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := handler.Server()
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		if r.URL.Path == "/csp-report" {
			s.reported <- struct{}{}
		}
	})
	s.handler, s.base = handler, serve(t, server)
	return s
}
