package signin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"postern/internal/fault"
	"postern/internal/web"
)

// backPath is where the provider sends people back to; it must know the whole address.
const backPath = "/sign-in/back"

// OpenIDConfig says who signs people in, and what is made of what it says of them.
type OpenIDConfig struct {
	Issuer     string
	ClientID   string
	Secret     string            // empty for a client without one
	Site       string            // where browsers find the site, without a path
	Scopes     []string          // beside openid
	Algorithms []string          // of signatures that are believed; RS256, PS256 and ES256 when empty
	Claims     Source            // where the claims below are
	IDClaim    string            // the id as staff
	NameClaim  string            // the name for the header
	RolesClaim string            // a word, or a list of words
	Roles      map[string]string // what each word of it means here; others mean nothing
	Order      []string          // the roles here: of several that somebody has, the first is the one they act in
	SignOut    string            // where signing out leads; the provider's own address when empty
	Recheck    time.Duration     // how often the provider is asked whether somebody is still signed in
	Client     *http.Client
	Clock      func() time.Time
	Log        *slog.Logger
	Count      func(result string) // counts attempts by what became of them; nil counts for nobody
}

// Source is where a provider says who somebody is.
type Source string

// The sources.
const (
	IDToken     Source = "id_token"
	AccessToken Source = "access_token" // one that is a JWT of the same issuer for the same client, as HMPPS Auth makes
	UserInfo    Source = "userinfo"
)

// OpenID is the way to sign in with a provider of OpenID Connect: authorization code with PKCE, state and nonce. Tokens
// stay in this process and get into no cookie, page or log line.
type OpenID struct {
	cfg OpenIDConfig

	mu       sync.Mutex // owns all below
	provider *oidc.Provider
	logout   string // the provider's address for signing out
	sessions map[string]*session
}

// NewOpenID makes the way to sign in. The provider is asked nothing before somebody wants to sign in: whether it answers
// must not decide whether the party starts.
func NewOpenID(cfg OpenIDConfig) *OpenID {
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = []string{oidc.RS256, oidc.PS256, oidc.ES256}
	}
	if cfg.Count == nil {
		cfg.Count = func(string) {}
	}
	return &OpenID{cfg: cfg, sessions: map[string]*session{}}
}

// Pages are the way to the provider, the way back, and signing out.
func (o *OpenID) Pages() []web.Page {
	return append([]web.Page{
		{Path: Path, Name: "signin.in", Open: true, Get: o.leave},
		{Path: backPath, Name: "signin.back", Open: true, Get: o.back},
	}, out(o.signOut)...)
}

// Actions are the addresses that signing out may lead to.
func (o *OpenID) Actions() []string {
	all := []string{origin(o.cfg.Issuer)}
	if o.cfg.SignOut != "" && origin(o.cfg.SignOut) != all[0] {
		all = append(all, origin(o.cfg.SignOut))
	}
	return all
}

// origin is the scheme and host of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// attempt is a sign-in under way, kept in the browser's session here under its state.
type attempt struct {
	Nonce, Verifier, To string
}

func kept(state string) string { return "openid " + state }

// leave sends the browser to the provider.
func (o *OpenID) leave(r *web.Request) (web.Response, error) {
	client, err := o.discover(r.Context())
	if err != nil {
		return o.refuse(r, "down")
	}
	state, a := rand.Text(), attempt{Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), To: r.To()}
	b, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	if err := r.Keep(kept(state), string(b)); err != nil {
		return nil, err
	}
	return web.SeeOther(client.AuthCodeURL(state, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier))), nil
}

// back takes what the provider sends with the browser: check the state, fetch the tokens, check them, and see who it is.
func (o *OpenID) back(r *web.Request) (web.Response, error) {
	said := r.URL.Query()
	value, ok := r.Take(kept(said.Get("state")))
	var a attempt
	switch {
	case said.Get("state") == "" || !ok || json.Unmarshal([]byte(value), &a) != nil:
		return o.refuse(r, "lost")
	case said.Has("iss") && said.Get("iss") != o.cfg.Issuer: // RFC 9207: an answer of another provider, passed off as this one's
		return o.refuse(r, "issuer")
	case said.Get("error") == "access_denied":
		return o.refuse(r, "refused")
	case said.Get("error") != "" || said.Get("code") == "":
		return o.refuse(r, "provider_error")
	}
	client, err := o.discover(r.Context())
	if err != nil {
		return o.refuse(r, "down")
	}
	tokens, err := client.Exchange(o.context(r.Context()), said.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		if answered(err) {
			return o.refuse(r, "code")
		}
		return o.refuse(r, "down")
	}
	who, err := o.person(r.Context(), tokens, a.Nonce)
	switch reason := fault.From(err).Reason; {
	case err == nil:
	case reason == errNoRole.Reason:
		return o.refuse(r, "no_role")
	case fault.KindOf(err) == fault.Unavailable:
		return o.refuse(r, "down")
	default:
		return o.refuse(r, strings.ToLower(reason))
	}
	who.Session = rand.Text()
	if err := r.SignIn(who); err != nil {
		return nil, err
	}
	o.follow(who, tokens.RefreshToken)
	o.cfg.Count("in")
	return web.SeeOther(a.To), nil
}

// refusal is the page about a sign-in that came to nothing.
type refusal struct {
	title, text string
	status      int
}

// failed is the page where nothing can be said that would help.
var failed = refusal{"signin.failed", "signin.failed_text", http.StatusForbidden}

var refusals = map[string]refusal{
	"down":    {"signin.down", "signin.down_text", http.StatusServiceUnavailable},
	"lost":    {"signin.lost", "signin.lost_text", http.StatusBadRequest},
	"refused": {"signin.refused", "signin.refused_text", http.StatusForbidden},
	"no_role": {"signin.no_role", "signin.no_role_text", http.StatusForbidden},
}

// refuse shows why nobody was signed in, and how to go on. What the provider or a browser sent is not logged: it may hold
// a token, or words of somebody's.
func (o *OpenID) refuse(r *web.Request, result string) (web.Response, error) {
	o.cfg.Count(result)
	o.cfg.Log.WarnContext(r.Context(), "sign-in refused", "why", result, "request", r.ID)
	page, ok := refusals[result]
	if !ok {
		page = failed
	}
	return web.Message{Text: page.text, Link: "signin.try", Href: Path}.View(page.title, page.status), nil
}

// answered reports whether the provider answered, and did not like what it was asked.
func answered(err error) bool {
	var e *oauth2.RetrieveError
	return errors.As(err, &e) && e.Response != nil && e.Response.StatusCode < http.StatusInternalServerError && e.Response.StatusCode != http.StatusTooManyRequests
}

// signOut forgets the tokens and leads on to the provider, so that nobody else at this machine is signed in there either.
func (o *OpenID) signOut(r *web.Request) string {
	if who, in := r.Person(); in {
		o.forget(who.Session)
	}
	o.mu.Lock()
	to := o.logout
	o.mu.Unlock()
	if o.cfg.SignOut != "" {
		to = o.cfg.SignOut
	}
	u, err := url.Parse(to)
	if to == "" || err != nil || !slices.Contains(o.Actions(), origin(to)) { // where browsers may not be sent by a form
		return outPage
	}
	q := u.Query()
	q.Set("client_id", o.cfg.ClientID)
	q.Set("post_logout_redirect_uri", o.cfg.Site+outPage)
	if o.cfg.SignOut != "" {
		q.Set("redirect_uri", o.cfg.Site+outPage) // as HMPPS Auth calls it
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// context gives the libraries our client, which has limits.
func (o *OpenID) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, o.cfg.Client)
}

// discover asks the provider where everything is, once.
func (o *OpenID) discover(ctx context.Context) (*oauth2.Config, error) {
	p, err := o.known(ctx)
	if err != nil {
		return nil, err
	}
	end := p.Endpoint()
	end.AuthStyle = oauth2.AuthStyleInHeader // said, so that a secret is not tried in two ways
	if o.cfg.Secret == "" {
		end.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: o.cfg.ClientID, ClientSecret: o.cfg.Secret, Endpoint: end, RedirectURL: o.cfg.Site + backPath,
		Scopes: append([]string{oidc.ScopeOpenID}, o.cfg.Scopes...)}, nil
}

func (o *OpenID) known(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	p := o.provider
	o.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := oidc.NewProvider(o.context(ctx), o.cfg.Issuer)
	if err != nil {
		return nil, errDown.Because(err)
	}
	var also struct {
		Logout string `json:"end_session_endpoint"`
	}
	if err := p.Claims(&also); err != nil {
		return nil, errDown.Because(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.provider, o.logout = p, also.Logout
	return p, nil
}

var errDown = fault.New(fault.Unavailable, "PROVIDER_DOWN", "Whoever signs people in does not answer.")
