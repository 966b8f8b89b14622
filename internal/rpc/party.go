package rpc

import (
	"context"
	"crypto/x509"
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

func (g *partyGate) admit(ctx context.Context, m method) (context.Context, slog.Attr, error) {
	who := slog.String("party", "unknown")
	// The handshake saw the same chain, but a connection lives longer than that moment.
	party, err := g.anchors.Verify(peerChain(ctx), g.clock())
	if err != nil {
		return ctx, who, fault.New(fault.Unauthenticated, "IDENTITY", "Your certificate does not hold. "+fault.From(err).Message).Because(err)
	}
	who = slog.Any("party", party)
	if !m.callers.has(party.Role) {
		return ctx, who, fault.New(fault.Denied, "ROLE", "A party of this kind may not call this.")
	}
	if _, ok := ctx.Deadline(); !ok && !m.stream {
		return ctx, who, fault.New(fault.Invalid, "DEADLINE_REQUIRED", "The call has no deadline. Set one of at most 30 seconds.")
	}
	return WithParty(ctx, party), who, nil
}

func (g *partyGate) again(ctx context.Context) error {
	_, err := g.anchors.Verify(peerChain(ctx), g.clock())
	if err != nil {
		return fault.New(fault.Unauthenticated, "IDENTITY", "Your certificate does not hold any more.").Because(err)
	}
	return nil
}

// peerChain returns the certificates that the other side showed in the handshake, leaf first.
func peerChain(ctx context.Context) []*x509.Certificate {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			return info.State.PeerCertificates
		}
	}
	return nil
}
