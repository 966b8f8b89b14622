package signin

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"postern/internal/fault"
	"postern/internal/web"
)

// What is wrong with tokens. None of them says what was in one.
var (
	errNoToken  = fault.New(fault.Unverified, "NO_ID_TOKEN", "The provider did not say who signed in.")
	errToken    = fault.New(fault.Unverified, "ID_TOKEN", "What the provider says of who signed in does not hold.")
	errExpired  = fault.New(fault.Unverified, "EXPIRED", "What the provider says of who signed in is over.")
	errNonce    = fault.New(fault.Unverified, "NONCE", "What the provider says belongs to another attempt to sign in.")
	errNobody   = fault.New(fault.Unverified, "NO_STAFF_ID", "The provider does not say which member of staff this is.")
	errNoRole   = fault.New(fault.Denied, "NO_ROLE", "Whoever signed in has no role here.")
	errUserInfo = fault.New(fault.Unavailable, "USERINFO", "The provider does not say who signed in.")
)

// person is who the tokens say signed in. An empty nonce is none to compare with, when tokens are renewed.
func (o *OpenID) person(ctx context.Context, tokens *oauth2.Token, nonce string) (web.Person, error) {
	p, err := o.known(ctx)
	if err != nil {
		return web.Person{}, err
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return web.Person{}, errNoToken
	}
	id, err := o.verify(ctx, p, raw, o.cfg.ClientID)
	if err != nil {
		return web.Person{}, err
	}
	if nonce != "" && subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return web.Person{}, errNonce
	}
	if id.AccessTokenHash != "" && id.VerifyAccessToken(tokens.AccessToken) != nil {
		return web.Person{}, errToken
	}
	claims := map[string]any{}
	if err := o.claims(ctx, p, id, tokens, &claims); err != nil {
		return web.Person{}, err
	}
	return o.made(claims)
}

// verify checks a token of the provider's: signature by an algorithm that is believed, issuer, audience and time.
func (o *OpenID) verify(ctx context.Context, p *oidc.Provider, raw, audience string) (*oidc.IDToken, error) {
	cfg := &oidc.Config{ClientID: audience, SkipClientIDCheck: audience == "", SupportedSigningAlgs: o.cfg.Algorithms, Now: o.cfg.Clock}
	t, err := p.VerifierContext(o.context(ctx), cfg).Verify(o.context(ctx), raw)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return nil, errExpired
	case err != nil:
		return nil, errToken
	case audience != "" && len(t.Audience) > 1:
		// For several clients, of which the one it was made for is named (OpenID Connect Core 3.1.3.7).
		var also struct {
			Party string `json:"azp"`
		}
		if t.Claims(&also) != nil || also.Party != audience {
			return nil, errToken
		}
	}
	if t.Subject == "" {
		return nil, errToken
	}
	return t, nil
}

// claims reads what is said of the person from where the configuration looks.
func (o *OpenID) claims(ctx context.Context, p *oidc.Provider, id *oidc.IDToken, tokens *oauth2.Token, into *map[string]any) error {
	switch o.cfg.Claims {
	case AccessToken:
		t, err := o.verify(ctx, p, tokens.AccessToken, "")
		if err != nil {
			return err
		}
		if err := t.Claims(into); err != nil {
			return errToken
		}
		// It has no audience of ours, so its client must be us; and it must be of the same person as the id token.
		if (*into)["client_id"] != o.cfg.ClientID || t.Subject != id.Subject {
			return errToken
		}
	case UserInfo:
		info, err := p.UserInfo(o.context(ctx), oauth2.StaticTokenSource(tokens))
		if err != nil {
			return errUserInfo
		}
		if info.Subject != id.Subject || info.Claims(into) != nil {
			return errToken
		}
	default:
		if err := id.Claims(into); err != nil {
			return errToken
		}
	}
	return nil
}

// made is the person that claims make.
func (o *OpenID) made(claims map[string]any) (web.Person, error) {
	id, _ := claims[o.cfg.IDClaim].(string)
	name, _ := claims[o.cfg.NameClaim].(string)
	if id == "" || len(id) > 64 || len(name) > 200 {
		return web.Person{}, errNobody
	}
	var has []string
	switch words := claims[o.cfg.RolesClaim].(type) {
	case string:
		has = append(has, o.cfg.Roles[words])
	case []any:
		for _, w := range words {
			if s, ok := w.(string); ok {
				has = append(has, o.cfg.Roles[s])
			}
		}
	}
	roles := slices.DeleteFunc(slices.Clone(o.cfg.Order), func(r string) bool { return !slices.Contains(has, r) })
	if len(roles) == 0 {
		return web.Person{}, errNoRole
	}
	return web.Person{ID: id, Name: name, Roles: roles}, nil
}
