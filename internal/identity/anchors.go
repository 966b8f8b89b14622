package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"postern/internal/fault"
)

// AnchorConfig names the trust domain and the certificate authorities of the four anchors, each as one or more PEM
// certificates. An anchor may be empty: then nobody of its kind is known.
type AnchorConfig struct {
	Domain    string
	Prison    []byte
	Authority []byte
	Hub       []byte // also for operators
	Auditor   []byte
	Revoked   Revoked
}

// Anchors decides whether a certificate is what it says. It goes by what it was made from until Replace. It is safe for
// concurrent use.
type Anchors struct {
	domain string
	trust  atomic.Pointer[trust]
}

// trust is what an Anchors goes by. It never changes.
type trust struct {
	pools [anchorCount]*x509.CertPool
	keys  [anchorCount]map[string]bool // the public keys of the authorities
	lists [anchorCount]*lists          // nil: this anchor has no revocation lists
	ends  [anchorCount]time.Time       // when the first of its authorities ends; zero without any
	known known
}

// NewAnchors reads the four anchors and their revocation lists. It refuses a certificate that may not sign others, a
// key that stands in two anchors, because then one certificate authority could speak for two kinds of party, and a list
// that no certificate of its anchor signed. Errors are fault.Invalid.
func NewAnchors(cfg AnchorConfig) (*Anchors, error) {
	if !ValidDomain(cfg.Domain) {
		return nil, fault.New(fault.Invalid, "ANCHORS", "The trust domain must be a lower-case domain name.")
	}
	t, err := newTrust(cfg)
	if err != nil {
		return nil, err
	}
	a := &Anchors{domain: cfg.Domain}
	a.trust.Store(t)
	return a, nil
}

// Replace puts other anchors and lists in the place of these, all at once: every later call of Verify goes by them, on
// connections that are open too. Errors are those of NewAnchors and leave everything as it was. So does another trust
// domain, and a revocation list that is gone or older than the one in force: whom that revoked would come back.
func (a *Anchors) Replace(cfg AnchorConfig) error {
	if cfg.Domain != a.domain {
		return fault.New(fault.Invalid, "ANCHORS", "The trust domain cannot change while a party runs.")
	}
	t, err := newTrust(cfg)
	if err != nil {
		return err
	}
	for {
		old := a.trust.Load()
		for i := range t.lists {
			if !t.lists[i].follows(old.lists[i], t.keys[i]) {
				return errAnchor(anchor(i), "has lost a revocation list, or has an older one than is in force: whom that revoked would come back.")
			}
		}
		if a.trust.CompareAndSwap(old, t) {
			return nil
		}
	}
}

func newTrust(cfg AnchorConfig) (*trust, error) {
	a := &trust{}
	seen := map[string]anchor{}
	revoked := [anchorCount][]byte{cfg.Revoked.Prison, cfg.Revoked.Authority, cfg.Revoked.Hub, cfg.Revoked.Auditor}
	for i, text := range [anchorCount][]byte{cfg.Prison, cfg.Authority, cfg.Hub, cfg.Auditor} {
		certs, err := parsePEM(text)
		if err != nil {
			return nil, errAnchor(anchor(i), "cannot be read: give PEM certificates only.").Because(err)
		}
		a.pools[i], a.keys[i] = x509.NewCertPool(), map[string]bool{}
		for _, c := range certs {
			if !c.IsCA || !c.BasicConstraintsValid {
				return nil, errAnchor(anchor(i), "holds a certificate that is not a certificate authority.")
			}
			key := string(c.RawSubjectPublicKeyInfo)
			if other, ok := seen[key]; ok && other != anchor(i) {
				return nil, errAnchor(anchor(i), "has the same key as the "+anchorNames[other]+" anchor: make separate ones.")
			}
			seen[key], a.keys[i][key] = anchor(i), true
			a.pools[i].AddCert(c)
			if a.ends[i].IsZero() || c.NotAfter.Before(a.ends[i]) {
				a.ends[i] = c.NotAfter
			}
		}
		if a.lists[i], err = parseLists(anchor(i), revoked[i], certs); err != nil {
			return nil, err
		}
	}
	if len(seen) == 0 {
		return nil, fault.New(fault.Invalid, "ANCHORS", "No trust anchor is given: name at least one.")
	}
	return a, nil
}

func errAnchor(a anchor, what string) *fault.Error {
	return fault.New(fault.Invalid, "ANCHORS", "The "+anchorNames[a]+" trust anchor "+what)
}

// Ends says when the first authority of each anchor ends, and everybody it vouches for with it; an anchor without any is
// not in it. The names are those of Party.Anchor.
func (a *Anchors) Ends() map[string]time.Time {
	ends := map[string]time.Time{}
	for i, end := range a.trust.Load().ends {
		if !end.IsZero() {
			ends[anchorNames[i]] = end
		}
	}
	return ends
}

// maxChain is a leaf with three above it: more is not a chain but an attempt to keep us busy.
const maxChain = 4

// Verify returns the party that chain (leaf first, as in a handshake) names at the given time. Everything must hold:
// exactly one URI, of our trust domain; a chain to the anchor that may vouch for that path and to no other; every
// certificate valid at the time and, where the anchor has revocation lists, none revoked by then; a leaf that is no
// authority, for client and server use, with an Ed25519 or P-256 key. Errors are fault.Unverified and say which of these
// does not hold.
func (a *Anchors) Verify(chain []*x509.Certificate, at time.Time) (Party, error) {
	return a.VerifyChain(ChainOf(chain), at)
}

// VerifyChain is Verify for a chain that is judged again and again.
func (a *Anchors) VerifyChain(c Chain, at time.Time) (Party, error) {
	chain, key := c.certs, c.key
	if len(chain) == 0 || len(chain) > maxChain {
		return Party{}, errCertificate("CERTIFICATE_CHAIN", "There must be between one and four certificates.")
	}
	if at.IsZero() { // or crypto/x509 would take the wall clock
		return Party{}, errCertificate("CERTIFICATE_TIME", "There is no time at which to judge the certificate.")
	}
	t := a.trust.Load()
	if party, _, ok := t.known.find(key, at); ok {
		return party, nil
	}
	leaf := chain[0]
	party, err := partyOf(leaf)
	if err != nil {
		return Party{}, err
	}
	if party.Domain != a.domain {
		return Party{}, errCertificate("CERTIFICATE_DOMAIN", party.URI()+" is of another trust domain than "+a.domain+".")
	}
	if err := checkLeaf(leaf); err != nil {
		return Party{}, err
	}
	if at.Before(leaf.NotBefore) {
		return Party{}, errCertificate("CERTIFICATE_TIME", "The certificate of "+party.URI()+" is not valid before "+leaf.NotBefore.UTC().Format(time.RFC3339)+": compare the clocks.")
	}
	if at.After(leaf.NotAfter) {
		return Party{}, errCertificate("CERTIFICATE_TIME", "The certificate of "+party.URI()+" expired at "+leaf.NotAfter.UTC().Format(time.RFC3339)+": it must be renewed, unless a clock is wrong.")
	}
	k, _ := kindOf(party.Role)
	ways, err := t.ways(k.anchor, chain, at)
	if err != nil {
		return Party{}, errCertificate("CERTIFICATE_ANCHOR", "The "+anchorNames[k.anchor]+" trust anchor does not vouch for "+party.URI()+".").Because(err)
	}
	v := vouched{party: party, leaf: leaf}
	var refused error
	holds := false
	for _, certs := range ways {
		w := newWay(certs, t.lists[k.anchor])
		if why := w.holds(at); why != nil {
			refused = why
		} else {
			holds = true
		}
		v.ways = append(v.ways, w)
	}
	if !holds {
		return Party{}, refused
	}
	t.known.learn(key, v)
	return party, nil
}

// ways are all ways from the leaf of a chain up to an anchor, leaf first.
func (t *trust) ways(to anchor, chain []*x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	middle := x509.NewCertPool()
	for _, c := range chain[1:] {
		middle.AddCert(c)
	}
	return chain[0].Verify(x509.VerifyOptions{
		Roots:         t.pools[to],
		Intermediates: middle,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// Needed is a chain that Verify vouches for, without the certificates that are on no way to an anchor. Whoever signs may
// put anything into those, and Verify does not look at them.
func (a *Anchors) Needed(chain [][]byte, at time.Time) ([][]byte, error) {
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errCertificate("CERTIFICATE_CHAIN", "A certificate of the chain cannot be read.").Because(err)
		}
		certs[i] = c
	}
	party, err := a.Verify(certs, at)
	if err != nil {
		return nil, err
	}
	k, _ := kindOf(party.Role)
	ways, err := a.trust.Load().ways(k.anchor, certs, at)
	if err != nil {
		return nil, errCertificate("CERTIFICATE_ANCHOR", "The "+anchorNames[k.anchor]+" trust anchor does not vouch for "+party.URI()+".").Because(err)
	}
	var needed [][]byte
	for i, c := range certs {
		if slices.ContainsFunc(ways, func(way []*x509.Certificate) bool { return slices.ContainsFunc(way, c.Equal) }) {
			needed = append(needed, chain[i])
		}
	}
	return slices.CompactFunc(needed, bytes.Equal), nil
}

// checkLeaf checks what a party's certificate must be, whoever signed it.
func checkLeaf(c *x509.Certificate) error {
	switch {
	case c.IsCA:
		return errCertificate("CERTIFICATE_USE", "A certificate authority cannot itself be a party.")
	case c.KeyUsage&x509.KeyUsageDigitalSignature == 0,
		!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth),
		!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		return errCertificate("CERTIFICATE_USE", "The certificate must be for digital signatures, as a client and as a server.")
	}
	switch key := c.PublicKey.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return nil
		}
	}
	return errCertificate("CERTIFICATE_KEY", "The key of the certificate must be Ed25519 or ECDSA P-256.")
}

// partyOf reads the one URI of a certificate, without judging who signed it.
func partyOf(c *x509.Certificate) (Party, error) {
	uris, err := rawURIs(c)
	if err != nil || len(uris) != 1 {
		return Party{}, errCertificate("CERTIFICATE_URI", "The certificate must name exactly one URI.")
	}
	p, err := ParseURI(uris[0])
	if err != nil {
		return Party{}, errCertificate("CERTIFICATE_URI", fault.From(err).Message).Because(err)
	}
	return p, nil
}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// rawURIs returns the URI names of RFC 5280 section 4.2.1.6 as they stand in the certificate. The parsed c.URIs would
// not do: url.URL lowers the scheme and drops an empty fragment, so two spellings would become one party.
func rawURIs(c *x509.Certificate) ([]string, error) {
	var uris []string
	for _, ext := range c.Extensions {
		if !ext.Id.Equal(subjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(ext.Value, &names); err != nil || len(rest) > 0 {
			return nil, errors.New("malformed subject alternative name")
		}
		for _, n := range names {
			if n.Class == asn1.ClassContextSpecific && n.Tag == 6 {
				uris = append(uris, string(n.Bytes))
			}
		}
	}
	return uris, nil
}

func errCertificate(reason, message string) *fault.Error {
	return fault.New(fault.Unverified, reason, message)
}

// parsePEM reads certificates and refuses any other block, such as a key that was pasted along.
func parsePEM(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("no PEM block where one was expected")
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("a PEM block that is not a certificate")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs, text = append(certs, c), rest
	}
	return certs, nil
}
