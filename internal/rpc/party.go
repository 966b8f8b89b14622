package rpc

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"postern/internal/fault"
	"postern/internal/identity"
)

// partyGate admits parties by certificate, role and deadline.
type partyGate struct {
	anchors *identity.Anchors
	clock   func() time.Time
}

func (*partyGate) callers(service string) (map[string]roles, error) { return serviceCallers(service) }

func (g *partyGate) admit(ctx context.Context, m method) (context.Context, who, error) {
	caller := who{attr: slog.String("party", "unknown")}
	// The handshake saw the same chain, but a connection lives longer than that moment.
	party, err := g.anchors.VerifyChain(peerChain(ctx), g.clock())
	if err != nil {
		return ctx, caller, fault.New(fault.Unauthenticated, "IDENTITY", "Your certificate does not hold. "+fault.From(err).Message).Because(err)
	}
	caller = who{party, slog.String("party", party.URI())}
	if !m.callers.has(party.Role) {
		return ctx, caller, fault.New(fault.Denied, "ROLE", "A party of this kind may not call this.")
	}
	switch deadline, ok := ctx.Deadline(); {
	case !ok && !m.stream:
		return ctx, caller, fault.New(fault.Invalid, "DEADLINE_REQUIRED", "The call has no deadline. Set one of at most 30 seconds.")
	case ok && time.Until(deadline) < minCall:
		return ctx, caller, errDeadline()
	}
	return WithParty(ctx, party), caller, nil
}

func (g *partyGate) again(ctx context.Context) error {
	_, err := g.anchors.VerifyChain(peerChain(ctx), g.clock())
	if err != nil {
		return fault.New(fault.Unauthenticated, "IDENTITY", "Your certificate does not hold any more.").Because(err)
	}
	return nil
}

// peerChain returns the certificates that the other side showed in the handshake, leaf first.
func peerChain(ctx context.Context) identity.Chain {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return identity.Chain{}
	}
	switch info := p.AuthInfo.(type) {
	case partyInfo:
		return info.chain
	case credentials.TLSInfo:
		return identity.ChainOf(info.State.PeerCertificates)
	}
	return identity.Chain{}
}

// connectedParty is whom the handshake named. Whether it still holds, only admit says.
func connectedParty(ctx context.Context) (identity.Party, bool) {
	if p, ok := peer.FromContext(ctx); ok {
		info, ok := p.AuthInfo.(partyInfo)
		return info.party, ok
	}
	return identity.Party{}, false
}
