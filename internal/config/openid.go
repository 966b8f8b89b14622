package config

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/signin"
)

// algorithms are those of signatures that a configuration may name: with a key that only the provider has.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// check names what is wrong, in a file of a party that has these roles.
func (o *OpenID) check(roles []string) (wrong []fault.Field) {
	say := func(field, reason, fix string) {
		wrong = append(wrong, fault.Field{Path: "web.sign_in.openid." + field, Reason: reason, Fix: fix})
	}
	if !secureAddress(o.Issuer) {
		say("issuer", "Not an https address.", "Write it as the provider gives it.")
	}
	if o.SignOut != "" && !secureAddress(o.SignOut) {
		say("sign_out", "Not an https address.", "Write it as the provider gives it, or leave it out.")
	}
	for field, value := range map[string]string{"client_id": o.ClientID, "roles_claim": o.RolesClaim} {
		if value == "" {
			say(field, "Missing.", "Give it a value; docs/sign-in.md has examples.")
		}
	}
	if !slices.Contains([]string{"", string(signin.IDToken), string(signin.AccessToken), string(signin.UserInfo)}, o.Claims) {
		say("claims", "Not a place where claims are.", "Use id_token, access_token or userinfo.")
	}
	for i, a := range o.Algorithms {
		if !slices.Contains(algorithms, a) {
			say(fmt.Sprintf("algorithms[%d]", i), "Not an algorithm that can be believed.", "Use some of: "+strings.Join(algorithms, ", ")+".")
		}
	}
	if len(o.Roles) == 0 {
		say("roles", "Nobody would have a role.", "Say what each word of the claim means, as in ROLE_POSTERN_RECEPTION: "+roles[0]+".")
	}
	for word, role := range o.Roles {
		if !slices.Contains(roles, role) {
			say("roles."+word, "Not a known role.", "Use one of: "+strings.Join(roles, ", ")+".")
		}
	}
	if o.Recheck < 0 {
		say("recheck_minutes", "It is less than nothing.", "Give it a value above 0, or leave it out.")
	}
	return wrong
}

// secureAddress reports whether what is sent to an address is encrypted, or stays on this machine.
func secureAddress(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopbackName(u.Hostname()))
}

// way is the way to sign in.
func (s *Service) way(w *Web) (signin.Way, error) {
	o := w.SignIn.OpenID
	if o == nil {
		var personas []signin.Persona
		for _, p := range w.SignIn.Trial {
			personas = append(personas, signin.Persona(p))
		}
		return signin.Trial(personas), nil
	}
	secret := ""
	if o.Secret != "" {
		var err error
		if secret, err = s.pages.common.readKey(o.Secret); err != nil {
			return nil, err
		}
	}
	count := s.metrics.Counter("postern_sign_ins_total", "Attempts to sign in with the provider, and sessions that it ended, by what became of them.", "result")
	return signin.NewOpenID(signin.OpenIDConfig{
		Issuer: o.Issuer, ClientID: o.ClientID, Secret: secret, Site: strings.TrimSuffix(w.URL, "/"), Scopes: o.Scopes, Algorithms: o.Algorithms,
		Claims: signin.Source(o.Claims), IDClaim: cmp.Or(o.ID, "sub"), NameClaim: cmp.Or(o.Name, "name"), RolesClaim: o.RolesClaim, Roles: o.Roles,
		Order: s.pages.roles, SignOut: o.SignOut, Recheck: cmp.Or(time.Duration(o.Recheck*float64(time.Minute)), 10*time.Minute),
		Client: &http.Client{Timeout: 10 * time.Second}, Clock: s.rt.Clock, Log: s.rt.Log, Count: func(result string) { count(result) },
	}), nil
}
