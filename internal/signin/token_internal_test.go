package signin

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"postern/internal/fault"
)

const issuer = "https://provider.example"

// forger makes tokens, and is for the site the provider whose key they are made with: so that a token can have any fault.
type forger struct {
	key *rsa.PrivateKey
	now time.Time
}

func newForger(t testing.TB) *forger {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &forger{key, time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // what tests write can be written
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// good are the claims of a token with which somebody is signed in.
func (f *forger) good() map[string]any {
	return map[string]any{"iss": issuer, "aud": "postern", "sub": "AB12C", "nonce": "n", "iat": f.now.Unix(), "exp": f.now.Add(time.Hour).Unix(),
		"name": "Robin Example", "roles": []string{"ROLE_COOK"}}
}

// but are the good claims with some changed; nil leaves one out.
func (f *forger) but(changes map[string]any) map[string]any {
	claims := f.good()
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// sign makes a token as the provider does.
func (f *forger) sign(claims map[string]any) string {
	return f.signWith("RS256", crypto.SHA256, claims)
}

func (f *forger) signWith(algorithm string, hash crypto.Hash, claims map[string]any) string {
	text := encode(map[string]string{"alg": algorithm, "kid": "k"}) + "." + encode(claims)
	sum := hash.New()
	sum.Write([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, f.key, hash, sum.Sum(nil))
	if err != nil {
		panic(err) // a key that was just made signs
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// RoundTrip answers for the provider what it says of itself and its key.
func (f *forger) RoundTrip(r *http.Request) (*http.Response, error) {
	var said any
	switch r.URL.String() {
	case issuer + "/.well-known/openid-configuration":
		said = map[string]any{"issuer": issuer, "authorization_endpoint": issuer + "/auth", "token_endpoint": issuer + "/token", "jwks_uri": issuer + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "RS512", "HS256", "none"}}
	case issuer + "/keys":
		e := []byte{byte(f.key.E >> 16), byte(f.key.E >> 8), byte(f.key.E)}
		said = map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "k",
			"n": base64.RawURLEncoding.EncodeToString(f.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(e)}}}
	default:
		return nil, errors.New("nothing else is asked")
	}
	b, err := json.Marshal(said)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(b)))}, err
}

func (f *forger) site(source Source) *OpenID {
	return NewOpenID(OpenIDConfig{Issuer: issuer, ClientID: "postern", Secret: "postern-secret", Site: "https://site.example", Claims: source, IDClaim: "sub", NameClaim: "name",
		RolesClaim: "roles", Roles: map[string]string{"ROLE_COOK": "COOK"}, Order: []string{"COOK"}, Recheck: time.Minute, Client: &http.Client{Transport: f},
		Clock: func() time.Time { return f.now }, Log: slog.New(slog.DiscardHandler)})
}

func tokens(id, access string) *oauth2.Token {
	return (&oauth2.Token{AccessToken: access}).WithExtra(map[string]any{"id_token": id})
}

func TestOnlyATokenThatHoldsIsBelieved(t *testing.T) {
	f := newForger(t)
	strange := newForger(t)
	unsigned := encode(map[string]string{"alg": "none"}) + "." + encode(f.good()) + "."
	shared := encode(map[string]string{"alg": "HS256"}) + "." + encode(f.good())
	mac := hmac.New(sha256.New, []byte("postern-secret"))
	mac.Write([]byte(shared))
	good := f.sign(f.good())
	parts := strings.Split(good, ".")
	for what, c := range map[string]struct {
		token string
		want  error
	}{
		"a good one":                       {good, nil},
		"for several, made for us":         {f.sign(f.but(map[string]any{"aud": []string{"another", "postern"}, "azp": "postern"})), nil},
		"for several, made for another":    {f.sign(f.but(map[string]any{"aud": []string{"another", "postern"}, "azp": "another"})), errToken},
		"for several, made for nobody":     {f.sign(f.but(map[string]any{"aud": []string{"another", "postern"}})), errToken},
		"for another":                      {f.sign(f.but(map[string]any{"aud": "another"})), errToken},
		"for nobody":                       {f.sign(f.but(map[string]any{"aud": nil})), errToken},
		"of another issuer":                {f.sign(f.but(map[string]any{"iss": "https://elsewhere.example"})), errToken},
		"of no issuer":                     {f.sign(f.but(map[string]any{"iss": nil})), errToken},
		"that is over":                     {f.sign(f.but(map[string]any{"exp": f.now.Add(-time.Second).Unix()})), errExpired},
		"without an end":                   {f.sign(f.but(map[string]any{"exp": nil})), errExpired},
		"that does not hold yet":           {f.sign(f.but(map[string]any{"nbf": f.now.Add(time.Hour).Unix()})), errToken},
		"of another attempt":               {f.sign(f.but(map[string]any{"nonce": "m"})), errNonce},
		"of no attempt":                    {f.sign(f.but(map[string]any{"nonce": nil})), errNonce},
		"of nobody":                        {f.sign(f.but(map[string]any{"sub": nil})), errToken},
		"of somebody with a long id":       {f.sign(f.but(map[string]any{"sub": strings.Repeat("A", 65)})), errNobody},
		"with another access token's hash": {f.sign(f.but(map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"})), errToken},
		"without a role":                   {f.sign(f.but(map[string]any{"roles": nil})), errNoRole},
		"signed by nobody":                 {unsigned, errToken},
		"signed with our own secret":       {shared + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), errToken},
		"signed as is not allowed":         {f.signWith("RS512", crypto.SHA512, f.good()), errToken},
		"signed by a stranger":             {strange.sign(f.good()), errToken},
		"with another's claims":            {parts[0] + "." + encode(f.but(map[string]any{"sub": "ZZ99Z"})) + "." + parts[2], errToken},
		"without a signature":              {parts[0] + "." + parts[1] + ".", errToken},
		"that is none":                     {"", errToken},
	} {
		who, err := f.site(IDToken).person(t.Context(), tokens(c.token, "access"), "n")
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || who.ID != "AB12C") {
			t.Errorf("a token %s: %v, %v; want %v", what, who, err, c.want)
		}
	}
	if _, err := f.site(IDToken).person(t.Context(), &oauth2.Token{AccessToken: "access"}, "n"); !errors.Is(err, errNoToken) {
		t.Errorf("without a token: %v", err)
	}
}

// HMPPS Auth says what somebody may do in the access token only. It has no audience, so it must be of our client, of the
// same person and as well signed.
func TestAnAccessTokenIsCheckedLikeAnIDToken(t *testing.T) {
	f := newForger(t)
	access := func(changes map[string]any) string {
		claims := map[string]any{"aud": nil, "nonce": nil, "client_id": "postern"}
		maps.Copy(claims, changes)
		return f.sign(f.but(claims))
	}
	id := f.sign(f.but(map[string]any{"roles": nil}))
	for what, c := range map[string]struct {
		token string
		want  error
	}{
		"a good one":           {access(nil), nil},
		"of another client":    {access(map[string]any{"client_id": "another"}), errToken},
		"of no client":         {access(map[string]any{"client_id": nil}), errToken},
		"of another person":    {access(map[string]any{"sub": "ZZ99Z"}), errToken},
		"of another issuer":    {access(map[string]any{"iss": "https://elsewhere.example"}), errToken},
		"that is over":         {access(map[string]any{"exp": f.now.Unix() - 1}), errExpired},
		"signed by a stranger": {newForger(t).sign(f.good()), errToken},
		"that is no token":     {"opaque", errToken},
	} {
		if _, err := f.site(AccessToken).person(t.Context(), tokens(id, c.token), "n"); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("an access token %s: %v, want %v", what, err, c.want)
		}
	}
}

// Whatever a provider sends, nobody is signed in with what it did not sign.
func FuzzIDToken(f *testing.F) {
	forger := newForger(f)
	good := forger.sign(forger.good())
	f.Add(good)
	f.Add(encode(map[string]string{"alg": "none"}) + "." + encode(forger.good()) + ".")
	f.Add("..")
	site := forger.site(IDToken)
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := site.known(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		token, err := site.verify(t.Context(), p, raw, "postern")
		if err == nil && (token.Subject != "AB12C" || !slices.Contains(token.Audience, "postern")) {
			t.Errorf("believed %q", raw)
		}
		if err != nil && fault.KindOf(err) != fault.Unverified {
			t.Errorf("%v is no verdict", err)
		}
	})
}
