package signin

import (
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"postern/internal/fault"
	"postern/internal/web"
)

// session is what is kept of somebody who signed in, to ask the provider about again.
type session struct {
	who     web.Person
	refresh string // empty when the provider gave none
	asked   time.Time
}

// patience is how many times Recheck a session goes on while the provider does not answer, or where it cannot be asked.
// An outage must not sign out a whole prison at once; and a session must not outlive by hours whoever it belongs to.
const patience = 4

func (o *OpenID) follow(who web.Person, refresh string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sessions[who.Session] = &session{who, refresh, o.cfg.Clock()}
}

func (o *OpenID) forget(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.sessions, id)
}

// Watch asks the provider again and again about everybody who is signed in, until ctx ends.
func (o *OpenID) Watch(ctx context.Context, site Sessions) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(o.cfg.Recheck, time.Minute)):
		}
		o.Step(ctx, site)
	}
}

// Step asks about everybody who is due. Who is signed out there, no longer known, or has other roles now, is signed out
// here; what was saved is kept.
func (o *OpenID) Step(ctx context.Context, site Sessions) {
	now := o.cfg.Clock()
	// Ours before the site's: who signs in between the two is at the site by then, and must not be taken for gone.
	var due []string
	o.mu.Lock()
	followed := slices.Collect(maps.Keys(o.sessions))
	for id, s := range o.sessions {
		if !now.Before(s.asked.Add(o.cfg.Recheck)) {
			due = append(due, id)
		}
	}
	o.mu.Unlock()
	live := map[string]bool{}
	site.EndSessions(func(p web.Person) bool { live[p.Session] = true; return false })
	for _, id := range followed {
		if !live[id] {
			o.forget(id)
		}
	}
	for _, id := range due {
		if result := o.ask(ctx, id, now); result != "" {
			o.forget(id)
			site.EndSessions(func(p web.Person) bool { return p.Session == id })
			o.cfg.Count(result)
			o.cfg.Log.InfoContext(ctx, "session ended", "why", result)
		}
	}
}

// ask asks about one session, and says why it must end: nothing when it goes on.
func (o *OpenID) ask(ctx context.Context, id string, now time.Time) string {
	o.mu.Lock()
	s, ok := o.sessions[id]
	if !ok {
		o.mu.Unlock()
		return "" // signed out meanwhile
	}
	before := *s
	o.mu.Unlock()
	tired := !now.Before(before.asked.Add(patience * o.cfg.Recheck))
	if before.refresh == "" {
		if tired {
			return "unasked"
		}
		return ""
	}
	tokens, who, err := o.renew(ctx, before.refresh)
	switch {
	case err != nil && (answered(err) || fault.KindOf(err) == fault.Unverified || fault.KindOf(err) == fault.Denied):
		return "ended_there"
	case err != nil && tired:
		return "down"
	case err != nil:
		return ""
	case who.ID != before.who.ID || !slices.Equal(who.Roles, before.who.Roles):
		return "changed"
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if s, ok := o.sessions[id]; ok {
		s.asked = now
		if tokens.RefreshToken != "" { // each may be good for one use only
			s.refresh = tokens.RefreshToken
		}
	}
	return ""
}

// renew trades a refresh token for new tokens, and sees whose they are.
func (o *OpenID) renew(ctx context.Context, refresh string) (*oauth2.Token, web.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := o.discover(ctx)
	if err != nil {
		return nil, web.Person{}, err
	}
	tokens, err := client.TokenSource(o.context(ctx), &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		return nil, web.Person{}, err
	}
	who, err := o.person(ctx, tokens, "")
	return tokens, who, err
}
