// Package signin says who somebody is at a site: the pages that sign people in and out, for every site alike.
//
// There are two ways. OpenID asks a provider of OpenID Connect, and goes on asking. Trial lets anybody be one of some
// named personas, and is for a machine that nobody else reaches; who puts a site together sees to that. Whichever way it
// is, what a site learns is a web.Person: an id as staff, a name for the header, and roles by their short codes. Acting
// hands id and roles on to the party's own methods, so that a page can forget neither. The package guarantees that a
// session begins only here, under a new number. It does not say which roles there are, nor what they may do: pages
// declare that, and the party's methods ask again.
package signin

import (
	"context"

	"postern/internal/rpc"
	"postern/internal/web"
)

// The paths of the pages.
const (
	Path    = "/sign-in"
	OutPath = "/sign-out"
	outPage = "/signed-out"
)

// Way is a way to sign in, of which a site has one.
type Way interface {
	// Pages are the pages that sign people in and out.
	Pages() []web.Page
	// Actions are the addresses of others that signing out may lead to.
	Actions() []string
	// Watch signs out whoever must not stay signed in, until ctx ends.
	Watch(context.Context, Sessions)
}

// Sessions are the sessions of a site.
type Sessions interface {
	// EndSessions signs out everybody whom end picks, and counts them.
	EndSessions(end func(web.Person) bool) int
}

// Acting lets the handlers of pages call the party's methods as whoever is signed in.
func Acting(pages []web.Page) []web.Page {
	made := make([]web.Page, len(pages))
	for i, p := range pages {
		p.Get, p.Post = acting(p.Get), acting(p.Post)
		made[i] = p
	}
	return made
}

func acting(h web.Handler) web.Handler {
	if h == nil {
		return nil
	}
	return func(r *web.Request) (web.Response, error) {
		if who, in := r.Person(); in {
			r.Request = r.WithContext(rpc.WithPerson(r.Context(), rpc.Person{ID: who.ID, Roles: who.Roles}))
		}
		return h(r)
	}
}

// out are the pages for signing out: then leads on from there, a page of ours or the provider's.
func out(then func(*web.Request) string) []web.Page {
	return []web.Page{
		{Path: OutPath, Name: "signin.out", Open: true, Post: func(r *web.Request) (web.Response, error) {
			to := then(r)
			r.SignOut()
			return web.SeeOther(to), nil
		}},
		{Path: outPage, Name: "signin.signed_out", Open: true, Get: func(*web.Request) (web.Response, error) {
			return web.Message{Text: "signin.signed_out_text", Link: "signin.again", Href: Path}.View("", 0), nil
		}},
	}
}
