package signin_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"postern/internal/signin"
	"postern/internal/web/webtest"
)

func TestSigningInWithAProvider(t *testing.T) {
	p := start(t)
	p.next(t, robin)
	for what, edit := range map[string]func(*signin.OpenIDConfig){
		"by the id token":                      func(*signin.OpenIDConfig) {},
		"by what the provider says when asked": func(c *signin.OpenIDConfig) { c.Claims = signin.UserInfo },
	} {
		t.Run(what, func(t *testing.T) {
			s := with(t, p, edit)
			robins := s.person()
			page := robins.signIn()
			if to := page.Header.Get("Location"); page.Status != http.StatusSeeOther || to != "/kitchen" {
				t.Fatalf("signed in, the browser is told %d and goes to %q: %s", page.Status, to, page.Main())
			}
			page = page.Follow()
			if page.Status != http.StatusOK || !strings.Contains(page.Body, "Robin Example") {
				t.Errorf("the page answers %d", page.Status)
			}
			if who := s.seen[0]; who.ID != "AB12C" || who.Name != "Robin Example" || !slices.Equal(who.Roles, []string{"COOK", "GARDENER"}) {
				t.Errorf("it is %+v", who)
			}
			for name, c := range robins.at.Cookies() {
				if strings.Contains(c.Value, "eyJ") || strings.Contains(c.Value, "AB12C") || len(c.Value) > 32 {
					t.Errorf("the cookie %s is %q", name, c.Value)
				}
			}
			if s.counts["in"] != 1 || len(s.counts) != 1 {
				t.Errorf("counted %v", s.counts)
			}
		})
	}
}

func TestTheWayToTheProviderIsBound(t *testing.T) {
	p := start(t)
	p.next(t, robin)
	s := with(t, p)
	w := s.person()
	first, err := url.Parse(w.at.Get(signin.Path).Header.Get("Location"))
	must(t, err)
	second, err := url.Parse(w.at.Get(signin.Path).Header.Get("Location"))
	must(t, err)
	if q := first.Query(); q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("client_id") != "postern" ||
		q.Get("redirect_uri") != "http://localhost/sign-in/back" {
		t.Errorf("the browser is sent with %v", q)
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if a, b := first.Query().Get(name), second.Query().Get(name); len(a) < 26 || a == b {
			t.Errorf("%s is %q and then %q", name, a, b)
		}
	}
	// Two tabs: the one that comes back first is signed in, and whichever it is.
	if page := w.at.Get(w.goes(first.String()).RequestURI()); page.Status != http.StatusSeeOther {
		t.Errorf("the first of two tabs answered %d: %s", page.Status, page.Main())
	}
}

func TestWhatComesBackMustBeWhatWasAskedFor(t *testing.T) {
	p := start(t)
	p.next(t, robin)
	s := with(t, p)
	for what, c := range map[string]struct {
		change func(w *person, back url.Values)
		title  string
		status int
	}{
		"in another browser":       {func(w *person, _ url.Values) { w.at = webtest.Open(t, s.site) }, "Start signing in again", 400},
		"without a state":          {func(_ *person, q url.Values) { q.Del("state") }, "Start signing in again", 400},
		"with another state":       {func(_ *person, q url.Values) { q.Set("state", "AAAAAAAAAAAAAAAAAAAAAAAAAA") }, "Start signing in again", 400},
		"from another provider":    {func(_ *person, q url.Values) { q.Set("iss", "https://elsewhere.example") }, "You could not be signed in", 403},
		"with a code that is none": {func(_ *person, q url.Values) { q.Set("code", "guessed") }, "You could not be signed in", 403},
		"without a code":           {func(_ *person, q url.Values) { q.Del("code") }, "You could not be signed in", 403},
		"with another's code": {func(_ *person, q url.Values) {
			other := s.person()
			back := other.goes(other.at.Get(signin.Path).Header.Get("Location"))
			q.Set("code", back.Query().Get("code")) // bound to the other's verifier
		}, "You could not be signed in", 403},
	} {
		t.Run(what, func(t *testing.T) {
			w := s.person()
			back := w.goes(w.at.Get(signin.Path).Header.Get("Location"))
			q := back.Query()
			c.change(w, q)
			page := w.at.Get(back.Path + "?" + q.Encode())
			if page.Status != c.status || page.Heading() != c.title || w.in() {
				t.Errorf("answered %d %q, signed in %v", page.Status, page.Heading(), w.in())
			}
		})
	}
	w := s.person()
	back := w.goes(w.at.Get(signin.Path).Header.Get("Location")).RequestURI()
	w.at.Get(back)
	if page := w.at.Get(back); page.Status != http.StatusBadRequest {
		t.Errorf("the same answer a second time is %d", page.Status)
	}
}

func TestRefusedAtTheProvider(t *testing.T) {
	p := start(t)
	s := with(t, p)
	p.next(t, next{Account: "AB12C", Refuse: true})
	w := s.person()
	if page := w.signIn(); page.Status != http.StatusForbidden || page.Heading() != "You were not signed in" || w.in() || s.counts["refused"] != 1 {
		t.Errorf("answered %d %q", page.Status, page.Heading())
	}
	for what, roles := range map[string]any{"no roles": nil, "roles of others": []string{"ROLE_PRISON", "COOK"}, "no words": []any{1, nil, []string{"ROLE_COOK"}}} {
		p.next(t, next{Account: "AB12C", Claims: map[string]any{"name": "Robin Example", "roles": roles}})
		w := s.person()
		page := w.signIn()
		if page.Status != http.StatusForbidden || page.Heading() != "You have no access here yet" || w.in() {
			t.Errorf("%s: answered %d %q", what, page.Status, page.Heading())
		}
		if page = page.Click("Try to sign in again"); page.Status != http.StatusSeeOther {
			t.Errorf("trying again answered %d", page.Status)
		}
	}
	p.next(t, next{Account: "AB12C", Claims: map[string]any{"roles": "ROLE_GARDEN"}}) // one word, and another role than the page's
	w = s.person()
	if page := w.signIn().Follow(); page.Status != http.StatusForbidden || page.Heading() != "You cannot see this page" {
		t.Errorf("a gardener in the kitchen is answered %d %q", page.Status, page.Heading())
	}
}

func TestAProviderThatIsDown(t *testing.T) {
	p := start(t)
	p.next(t, robin)
	s := with(t, p)
	under := s.person()
	back := under.goes(under.at.Get(signin.Path).Header.Get("Location"))
	p.stop()
	unknown := with(t, p) // has never heard of it
	for what, page := range map[string]*webtest.Page{
		"when it was never reached": unknown.person().at.Get(signin.Path),
		"in the middle":             under.at.Get(back.RequestURI()),
	} {
		if page.Status != http.StatusServiceUnavailable || page.Heading() != "Signing in does not work now" || !strings.Contains(page.Main(), "What you had saved is kept") {
			t.Errorf("%s: answered %d %q", what, page.Status, page.Heading())
		}
	}
}
