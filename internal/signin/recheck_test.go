package signin_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"postern/internal/signin"
	"postern/internal/web"
)

var xsrf = regexp.MustCompile(`name="xsrf" value="([0-9a-f]+)"`)

// signOutThere ends the person's session at the provider, as from another of its sites, and says yes to its question.
func (w *person) signOutThere(address string) *http.Response {
	w.s.t.Helper()
	answer, err := w.there.Get(address)
	must(w.s.t, err)
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	must(w.s.t, err)
	found := xsrf.FindStringSubmatch(string(body))
	if found == nil {
		w.s.t.Fatalf("the provider does not ask: %d %s", answer.StatusCode, body)
	}
	answer, err = w.there.PostForm(w.s.p.issuer+"/session/end/confirm", url.Values{"xsrf": {found[1]}, "logout": {"yes"}})
	must(w.s.t, err)
	answer.Body.Close()
	return answer
}

// twoIn are two people who are signed in at a site.
func twoIn(t *testing.T, p *provider, edits ...func(*signin.OpenIDConfig)) (s *shopWith, one, two *person) {
	t.Helper()
	p.next(t, robin)
	s = with(t, p, edits...)
	one, two = s.person(), s.person()
	one.signIn()
	two.signIn()
	s.still(one, two)
	return s, one, two
}

func (s *shopWith) still(people ...*person) {
	s.t.Helper()
	for i, w := range people {
		if !w.in() {
			s.t.Fatalf("number %d is not signed in; counted %v", i, s.counts)
		}
	}
}

// ask asks the provider about everybody, a while later than before.
func (s *shopWith) ask(while time.Duration) {
	s.later += while
	s.openid.Step(s.t.Context(), s.site)
}

func TestWhoSignsOutElsewhereIsSignedOutHere(t *testing.T) {
	p := start(t)
	s, one, two := twoIn(t, p)
	one.signOutThere(p.issuer + "/session/end")
	s.ask(9 * time.Minute)
	s.still(one, two) // not asked yet
	for range 3 {     // and asked again with what the last answer gave
		s.ask(time.Minute)
		if one.in() {
			t.Fatal("who signed out elsewhere goes on here")
		}
		s.still(two)
		s.later += 9 * time.Minute
	}
	if page := one.at.Get("/kitchen"); !strings.HasPrefix(page.Header.Get("Location"), signin.Path) {
		t.Errorf("they are answered %d and led to %q", page.Status, page.Header.Get("Location"))
	}
	if s.counts["ended_there"] != 1 {
		t.Errorf("counted %v", s.counts)
	}
}

// hasty is a site where somebody signs in right after it was asked who is signed in.
type hasty struct {
	*web.Site
	signIn func()
}

func (h *hasty) EndSessions(end func(web.Person) bool) int {
	ended := h.Site.EndSessions(end)
	if signIn := h.signIn; signIn != nil {
		h.signIn = nil
		signIn()
	}
	return ended
}

// Whoever signs in while the provider is asked about the others is asked about too, from then on.
func TestWhoSignsInMeanwhileIsAskedAboutToo(t *testing.T) {
	p := start(t)
	s, one, two := twoIn(t, p)
	late := s.person()
	s.openid.Step(t.Context(), &hasty{s.site, func() { late.signIn() }})
	s.still(one, two, late)
	late.signOutThere(p.issuer + "/session/end")
	s.ask(11 * time.Minute)
	s.still(one, two)
	if late.in() {
		t.Error("who signed out elsewhere goes on here")
	}
}

func TestWhoHasOtherRolesNowSignsInAgain(t *testing.T) {
	p := start(t)
	s, one, two := twoIn(t, p)
	p.next(t, next{Account: "AB12C", Claims: map[string]any{"name": "Robin Example", "roles": []string{"ROLE_COOK"}}})
	s.ask(10 * time.Minute)
	if one.in() || two.in() || s.counts["changed"] != 2 {
		t.Errorf("a role was taken away and they go on; counted %v", s.counts)
	}
	if page := one.signIn().Follow(); page.Status != http.StatusOK || len(s.seen[len(s.seen)-1].Roles) != 1 {
		t.Errorf("signed in again, they have %v", s.seen[len(s.seen)-1].Roles)
	}
	p.next(t, next{Account: "AB12C", Claims: map[string]any{"name": "Robin Example"}})
	s.ask(10 * time.Minute)
	if one.in() {
		t.Error("every role was taken away and they go on")
	}
}

// An outage must not sign out everybody at once, nor keep anybody in for good.
func TestWhileTheProviderIsDownPeopleStayForAWhile(t *testing.T) {
	p := start(t)
	s, one, two := twoIn(t, p)
	p.stop()
	for range 3 {
		s.ask(10 * time.Minute)
		s.still(one, two)
	}
	s.ask(10 * time.Minute)
	if one.in() || two.in() || s.counts["down"] != 2 {
		t.Errorf("they stay for ever; counted %v", s.counts)
	}
}

// rewritten gives the site other tokens than a provider's answer has.
type rewritten struct {
	http.RoundTripper
	token *regexp.Regexp
	by    func() string
}

func (w rewritten) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.RoundTripper.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/token") {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	changed := w.token.ReplaceAllString(string(body), w.by())
	answer.Body, answer.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
	answer.Header.Del("Content-Length")
	return answer, err
}

func TestWhoCannotBeAskedAboutSignsInAgain(t *testing.T) {
	p := start(t)
	none := rewritten{&http.Transport{}, regexp.MustCompile(`,"refresh_token":"[^"]*"`), func() string { return "" }}
	s, one, two := twoIn(t, p, func(c *signin.OpenIDConfig) { c.Client = &http.Client{Transport: none} })
	s.ask(39 * time.Minute)
	s.still(one, two)
	s.ask(time.Minute)
	if one.in() || two.in() || s.counts["unasked"] != 2 {
		t.Errorf("they stay for ever; counted %v", s.counts)
	}
}

func TestSigningOutLeadsThroughTheProvider(t *testing.T) {
	p := start(t)
	s, one, two := twoIn(t, p)
	page := one.at.Do("POST", signin.OutPath, url.Values{})
	to, err := url.Parse(page.Header.Get("Location"))
	must(t, err)
	if one.in() || page.Status != http.StatusSeeOther || !strings.HasPrefix(to.String(), p.issuer+"/") || strings.Contains(to.String(), "eyJ") {
		t.Fatalf("signing out answers %d and leads to %s", page.Status, to)
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' "+p.issuer+";") {
		t.Errorf("a browser may not follow: %s", policy)
	}
	back, err := one.signOutThere(to.String()).Location()
	must(t, err)
	if page := one.at.Get(back.RequestURI()); back.Host != "localhost" || page.Heading() != "You have signed out" {
		t.Errorf("the provider leads back to %s: %q", back, page.Heading())
	}
	s.still(two)
}

// Where a provider signs people out at an address that browsers may not be sent to, they are signed out here at least.
func TestSigningOutLeadsNowhereElse(t *testing.T) {
	p := start(t)
	p.next(t, robin)
	s := with(t, p, func(c *signin.OpenIDConfig) { c.SignOut = "https://out.provider.example/leave?from=postern" })
	one := s.person()
	one.signIn()
	if to := one.at.Do("POST", signin.OutPath, url.Values{}).Header.Get("Location"); !strings.HasPrefix(to, "https://out.provider.example/leave?") || !strings.Contains(to, "from=postern") {
		t.Errorf("signing out leads to %s", to)
	}
	if to := one.at.Do("POST", signin.OutPath, url.Values{}).Header.Get("Location"); one.in() || to == "" {
		t.Error("signing out twice is no sign-out")
	}
}

// The loop asks in time, and ends with its context.
func TestPeopleAreAskedAboutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := signin.NewOpenID(signin.OpenIDConfig{Recheck: 10 * time.Minute, Clock: time.Now})
		asked := make(chan time.Time)
		began := time.Now()
		go o.Watch(t.Context(), counted(asked))
		for n := 1; n <= 3; n++ {
			if at := (<-asked).Sub(began); at > time.Duration(n)*time.Minute {
				t.Errorf("asked after %v", at)
			}
		}
	})
}

type counted chan time.Time

func (c counted) EndSessions(func(web.Person) bool) int { c <- time.Now(); return 0 }

var idToken = regexp.MustCompile(`"id_token":"[^"]*"`)

// What a real provider made is not believed where it is not for us, not for this attempt, or over.
func TestARealTokenThatIsNotOursIsRefused(t *testing.T) {
	p := start(t)
	p.next(t, robin)
	// another is a site of the same provider; what it gets is what somebody there could pass on.
	token := func(client, nonce string) string {
		cfg := oauth2.Config{ClientID: client, ClientSecret: client + "-secret", RedirectURL: "http://localhost/sign-in/back", Scopes: []string{"openid", "profile"},
			Endpoint: oauth2.Endpoint{AuthURL: p.issuer + "/auth", TokenURL: p.issuer + "/token", AuthStyle: oauth2.AuthStyleInHeader}}
		verifier := oauth2.GenerateVerifier()
		back := with(t, p).person().goes(cfg.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", nonce)))
		tokens, err := cfg.Exchange(t.Context(), back.Query().Get("code"), oauth2.VerifierOption(verifier))
		must(t, err)
		raw, _ := tokens.Extra("id_token").(string)
		return raw
	}
	for what, c := range map[string]struct {
		client, nonce string // nonce is the attempt's own when empty
		later         time.Duration
		counts        string
	}{
		"for another site":             {client: "another", counts: "id_token"},
		"for another attempt":          {client: "postern", nonce: "guessed", counts: "nonce"},
		"that is over":                 {client: "postern", later: 61 * time.Minute, counts: "expired"},
		"for us, and for this attempt": {client: "postern", counts: "in"},
	} {
		t.Run(what, func(t *testing.T) {
			nonce := c.nonce
			s := with(t, p, func(cfg *signin.OpenIDConfig) {
				cfg.Client = &http.Client{Transport: rewritten{&http.Transport{}, idToken, func() string { return `"id_token":"` + token(c.client, nonce) + `"` }}}
			})
			s.later = c.later
			w := s.person()
			away := w.at.Get(signin.Path).Header.Get("Location")
			if u, err := url.Parse(away); err == nil && nonce == "" {
				nonce = u.Query().Get("nonce")
			}
			page := w.at.Get(w.goes(away).RequestURI())
			if s.counts[c.counts] != 1 || w.in() != (c.counts == "in") || c.counts != "in" && page.Heading() != "You could not be signed in" {
				t.Errorf("answered %d %q; counted %v", page.Status, page.Heading(), s.counts)
			}
		})
	}
}
