package signin_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/signin"
	"postern/internal/web"
	"postern/internal/web/webtest"
)

// provider is the certified provider of testdata/provider, as a process of its own.
type provider struct {
	issuer string
	input  io.Closer
	ended  func() error
}

// start starts a provider. What it needs is installed by the check, as everything of npm is.
func start(t *testing.T) *provider {
	t.Helper()
	const folder = "testdata/provider"
	if _, err := os.Stat(folder + "/node_modules/oidc-provider"); err != nil {
		t.Fatal("the provider is not installed: run scripts/check.sh provider")
	}
	c := exec.Command("node", "provider.mjs")
	c.Dir = folder
	in, err := c.StdinPipe()
	must(t, err)
	out, err := c.StdoutPipe()
	must(t, err)
	var failures bytes.Buffer
	c.Stderr = &failures
	must(t, c.Start())
	p := &provider{input: in, ended: sync.OnceValue(c.Wait)}
	t.Cleanup(func() { p.stop() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var said struct{ Issuer string }
	if err != nil || json.Unmarshal(line, &said) != nil {
		t.Fatalf("the provider did not start: %v\n%s", err, &failures)
	}
	p.issuer = said.Issuer
	return p
}

// stop ends the process, as when the provider is down.
func (p *provider) stop() {
	p.input.Close()
	_ = p.ended()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next is who the provider signs in from now on, and what it says of them.
type next struct {
	Account string         `json:"account"`
	Refuse  bool           `json:"refuse"`
	Claims  map[string]any `json:"claims"`
}

func (p *provider) next(t *testing.T, n next) {
	t.Helper()
	b, err := json.Marshal(n)
	must(t, err)
	answer, err := http.Post(p.issuer+"/test/next", "application/json", bytes.NewReader(b))
	must(t, err)
	answer.Body.Close()
}

// robin is somebody with two roles here, and one that means nothing here.
var robin = next{Account: "AB12C", Claims: map[string]any{"name": "Robin Example", "roles": []string{"ROLE_GARDEN", "ROLE_PRISON", "ROLE_COOK"}}}

// shopWith is a site whose people sign in with a provider.
type shopWith struct {
	t      *testing.T
	p      *provider
	site   *web.Site
	openid *signin.OpenID
	client *http.Client
	log    *bytes.Buffer
	counts map[string]int
	later  time.Duration // how far its clock is ahead

	seen []web.Person // whom its page saw
}

func with(t *testing.T, p *provider, edits ...func(*signin.OpenIDConfig)) *shopWith {
	t.Helper()
	s := &shopWith{t: t, p: p, log: &bytes.Buffer{}, counts: map[string]int{}, client: &http.Client{Transport: &http.Transport{}}}
	cfg := signin.OpenIDConfig{
		Issuer: p.issuer, ClientID: "postern", Secret: "postern-secret", Site: "http://localhost", Scopes: []string{"profile"}, Claims: signin.IDToken,
		IDClaim: "sub", NameClaim: "name", RolesClaim: "roles", Roles: map[string]string{"ROLE_COOK": "COOK", "ROLE_GARDEN": "GARDENER"},
		Order: []string{"COOK", "GARDENER"}, Recheck: 10 * time.Minute, Client: s.client,
		Clock: func() time.Time { return time.Now().Add(s.later) }, Log: slog.New(slog.NewJSONHandler(s.log, nil)), Count: func(r string) { s.counts[r]++ },
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	s.openid = signin.NewOpenID(cfg)
	site, err := web.New(web.Config{
		Name: "test", Service: "desk.service", SignIn: signin.Path, Now: time.Now, Log: cfg.Log, Actions: s.openid.Actions(),
		Pages: append(s.openid.Pages(), web.Page{Path: "/kitchen", Name: "desk.home", Roles: []string{"COOK"}, Get: func(r *web.Request) (web.Response, error) {
			who, _ := r.Person()
			s.seen = append(s.seen, who)
			return web.Message{Text: "signin.signed_out_text"}.View("", 0), nil
		}}),
	})
	must(t, err)
	s.site = site
	t.Cleanup(func() { s.clean() })
	return s
}

// clean holds that no token, code, name or address of anybody's is in the log.
func (s *shopWith) clean() {
	for _, word := range []string{"Robin", "eyJ", "code=", "state=", "refresh", "127.0.0.1", "AB12C"} {
		if strings.Contains(s.log.String(), word) {
			s.t.Errorf("the log has %q in it:\n%s", word, s.log)
		}
	}
}

// person is somebody's browser: at the site, and at the provider, which keeps its own cookies.
type person struct {
	s  *shopWith
	at *webtest.Browser
	// there is the browser at the provider; it stops where a redirect leads back to the site.
	there *http.Client
}

func (s *shopWith) person() *person {
	jar, err := cookiejar.New(nil)
	must(s.t, err)
	return &person{s, webtest.Open(s.t, s.site), &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Hostname() == "localhost" {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// goes follows an address of the provider's until it leads back to the site, and returns where it leads.
func (w *person) goes(address string) *url.URL {
	w.s.t.Helper()
	answer, err := w.there.Get(address)
	must(w.s.t, err)
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	must(w.s.t, err)
	back, err := answer.Location()
	if err != nil {
		w.s.t.Fatalf("the provider answers %d and leads nowhere: %s", answer.StatusCode, body)
	}
	return back
}

// signIn asks for a page, goes through the provider, and returns what the site makes of what comes back.
func (w *person) signIn() *webtest.Page {
	w.s.t.Helper()
	away := w.at.Get("/kitchen").Header.Get("Location")
	return w.at.Get(w.goes(w.at.Get(away).Header.Get("Location")).RequestURI())
}

// in reports whether the person may see the page for cooks.
func (w *person) in() bool { return w.at.Get("/kitchen").Status == http.StatusOK }
