package rpc

import (
	"context"

	"postern/internal/identity"
)

// The two values that travel in a context, and no others.
type (
	partyKey     struct{}
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

// RequestID returns the id of the call that is served, "" outside a call.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

func withRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}
