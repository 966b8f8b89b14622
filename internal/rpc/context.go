package rpc

import (
	"context"

	"postern/internal/identity"
)

// The values that travel in a context, and no others: who calls, and the number of the call.
type (
	partyKey     struct{}
	personKey    struct{}
	requestIDKey struct{}
)

// Party returns the party that calls, proven by its certificate; false outside a call over mTLS.
func Party(ctx context.Context) (identity.Party, bool) {
	p, ok := ctx.Value(partyKey{}).(identity.Party)
	return p, ok
}

// WithParty says who calls, for a caller in the same process that has proved it in another way: a simulator, a test.
func WithParty(ctx context.Context, p identity.Party) context.Context {
	return context.WithValue(ctx, partyKey{}, p)
}

// Person is somebody who is signed in at a site of the party in this process, as LocalUID is somebody on its machine.
type Person struct {
	ID    string   // their id as staff, never a name
	Roles []string // by their short codes; the first is the one they act in where nothing asks for another
}

// WithPerson says who calls, for a site that has proved it.
func WithPerson(ctx context.Context, p Person) context.Context {
	return context.WithValue(ctx, personKey{}, p)
}

// LocalPerson returns who is signed in and calls; false for a call that came another way.
func LocalPerson(ctx context.Context) (Person, bool) {
	p, ok := ctx.Value(personKey{}).(Person)
	return p, ok
}

// RequestID returns the id of the call that is served, "" outside a call.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

func withRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}
