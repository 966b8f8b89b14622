package stranger

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Kinds of party.
const (
	KindDesk     = "desk"
	KindInbox    = "inbox"
	KindHub      = "hub"
	KindOperator = "operator"
	KindAuditor  = "auditor"
)

// Party is who a certificate names.
type Party struct{ URI, Kind, ID string }

var partyPaths = []struct {
	kind, anchor string
	path         *regexp.Regexp
}{
	{KindDesk, "prison", regexp.MustCompile(`^/prison/([A-Z]{3})/desk$`)},
	{KindInbox, "authority", regexp.MustCompile(`^/authority/((?:E06|E08|E09|E10|W06)[0-9]{6})/inbox$`)},
	{KindHub, "hub", regexp.MustCompile(`^/hub/([a-z0-9-]{1,40})$`)},
	{KindOperator, "hub", regexp.MustCompile(`^/operator/([a-z0-9-]{1,40})$`)},
	{KindAuditor, "auditor", regexp.MustCompile(`^/auditor/([a-z0-9-]{1,40})$`)},
}

// Trust is the trust domain with its four anchors and what is known to be revoked.
type Trust struct {
	Domain  string
	Anchors map[string][]*x509.Certificate // by prison, authority, hub, auditor
	Revoked []*x509.RevocationList
}

// NewTrust is the trust in four anchors, in PEM by their names.
func NewTrust(domain string, anchors map[string][]byte) (*Trust, error) {
	t := &Trust{Domain: domain, Anchors: map[string][]*x509.Certificate{}}
	for name, text := range anchors {
		certs, err := readPEM(text)
		if err != nil {
			return nil, err
		}
		for _, der := range certs {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			t.Anchors[name] = append(t.Anchors[name], c)
		}
	}
	return t, nil
}

func readPEM(text []byte) ([][]byte, error) {
	var out [][]byte
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type == "CERTIFICATE" {
			out = append(out, b.Bytes)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return out, nil
}

// uriOf is the one URI of a certificate, byte for byte as it stands there; a parser of URLs might spell it anew.
func uriOf(c *x509.Certificate) (string, error) {
	var uris []string
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return "", errors.New("names do not parse")
		}
		for _, n := range names {
			if n.Class == asn1.ClassContextSpecific && n.Tag == 6 {
				uris = append(uris, string(n.Bytes))
			}
		}
	}
	if len(uris) != 1 {
		return "", fmt.Errorf("%d URIs in the certificate", len(uris))
	}
	return uris[0], nil
}

// Judge says whom a chain of certificates in DER, leaf first, names at a time.
func (t *Trust) Judge(chain [][]byte, at time.Time) (Party, crypto.PublicKey, error) {
	fail := func(format string, args ...any) (Party, crypto.PublicKey, error) {
		return Party{}, nil, refuse("BAD_CERTIFICATE", format, args...)
	}
	if len(chain) == 0 || len(chain) > 4 {
		return fail("%d certificates", len(chain))
	}
	certs := make([]*x509.Certificate, len(chain))
	between := x509.NewCertPool()
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fail("%v", err)
		}
		if certs[i] = c; i > 0 {
			between.AddCert(c)
		}
	}
	leaf := certs[0]
	uri, err := uriOf(leaf)
	if err != nil {
		return fail("%v", err)
	}
	p, anchor := Party{URI: uri}, ""
	for _, k := range partyPaths {
		prefix := "spiffe://" + t.Domain
		if len(uri) > len(prefix) && uri[:len(prefix)] == prefix {
			if m := k.path.FindStringSubmatch(uri[len(prefix):]); m != nil {
				p.Kind, p.ID, anchor = k.kind, m[1], k.anchor
			}
		}
	}
	if p.Kind == "" {
		return fail("%q is no party of %s", uri, t.Domain)
	}
	var client, server bool
	for _, u := range leaf.ExtKeyUsage {
		client, server = client || u == x509.ExtKeyUsageClientAuth, server || u == x509.ExtKeyUsageServerAuth
	}
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || !client || !server {
		return fail("wrong usage")
	}
	switch k := leaf.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return fail("curve is not P-256")
		}
	default:
		return fail("key is neither Ed25519 nor P-256")
	}
	roots := x509.NewCertPool()
	for _, a := range t.Anchors[anchor] {
		roots.AddCert(a)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return Party{}, nil, refuse("CERTIFICATE_NOT_TRUSTED", "%v", err)
	}
	for _, c := range chains {
		if len(c) <= 5 && !t.revoked(c, at) {
			return p, leaf.PublicKey, nil
		}
	}
	return Party{}, nil, refuse("CERTIFICATE_REVOKED", "%s", uri)
}

// revoked says whether one of a chain of certificates was revoked by a time.
func (t *Trust) revoked(chain []*x509.Certificate, at time.Time) bool {
	for i, c := range chain[:len(chain)-1] {
		for _, l := range t.Revoked {
			if !bytes.Equal(l.RawIssuer, c.RawIssuer) || l.CheckSignatureFrom(chain[i+1]) != nil {
				continue
			}
			for _, e := range l.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(c.SerialNumber) == 0 && !e.RevocationTime.After(at) {
					return true
				}
			}
		}
	}
	return false
}

// Self is a party's own certificates and key.
type Self struct {
	Party
	Chain [][]byte
	Key   crypto.Signer
}

// NewSelf reads a party's certificates, leaf first, and its PKCS #8 key from PEM.
func (t *Trust) NewSelf(certificates, key []byte) (*Self, error) {
	chain, err := readPEM(certificates)
	if err != nil {
		return nil, err
	}
	b, _ := pem.Decode(key)
	if b == nil {
		return nil, errors.New("no key in PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key does not sign")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, err
	}
	p, _, err := t.Judge(chain, leaf.NotBefore)
	return &Self{p, chain, s}, err
}

// tlsConfig is TLS 1.3 with certificates on both sides; want says which parties may be at the other end.
func (t *Trust) tlsConfig(me *Self, now func() time.Time, want func(Party) bool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{{Certificate: me.Chain, PrivateKey: me.Key}},
		ClientAuth:   tls.RequireAnyClientCert,
		// Host names are not used: the check of the page's section 1 is below.
		InsecureSkipVerify:     true,
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			p, err := t.judgePeer(s, now())
			if err != nil {
				return err
			}
			if !want(p) {
				return fmt.Errorf("%s is not whom we want", p.URI)
			}
			return nil
		},
	}
}

func (t *Trust) judgePeer(s tls.ConnectionState, at time.Time) (Party, error) {
	chain := [][]byte{}
	for _, c := range s.PeerCertificates {
		chain = append(chain, c.Raw)
	}
	p, _, err := t.Judge(chain, at)
	return p, err
}

// callDeadline is the longest that a call may take.
const callDeadline = 30 * time.Second

// Dial makes a connection to exactly one party.
func Dial(address string, server string, me *Self, t *Trust, now func() time.Time) (*grpc.ClientConn, error) {
	cfg := t.tlsConfig(me, now, func(p Party) bool { return p.URI == server })
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<20)),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			ctx, cancel := context.WithTimeout(ctx, callDeadline)
			defer cancel()
			var from peer.Peer
			if err := invoke(ctx, method, req, reply, cc, append(opts, grpc.Peer(&from))...); err != nil {
				return err
			}
			// A certificate may have ended since the handshake: nothing that came with it counts.
			info, ok := from.AuthInfo.(credentials.TLSInfo)
			if !ok {
				return errors.New("no TLS")
			}
			_, err := t.judgePeer(info.State, now())
			return err
		}))
}

// callerOf is the party at the other end of a call that a server answers.
func (t *Trust) callerOf(ctx context.Context, now time.Time) (Party, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Party{}, errors.New("no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Party{}, errors.New("no TLS")
	}
	return t.judgePeer(info.State, now)
}
