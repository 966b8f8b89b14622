package identity_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

var everyRole = []struct{ anchor, uri string }{
	{"prison", deskID},
	{"authority", "spiffe://postern.example/authority/E06000023/inbox"},
	{"hub", hubID},
	{"hub", "spiffe://postern.example/operator/one"},
	{"auditor", "spiffe://postern.example/auditor/one"},
}

// The heart of the package: every anchor against every path. Each chain verifies as far as X.509 goes.
func TestAnAnchorVouchesForItsOwnPathsOnly(t *testing.T) {
	tr := newTrust(t)
	for _, anchor := range []string{"prison", "authority", "hub", "auditor"} {
		for _, role := range everyRole {
			cert := tr.mint(t, anchor, edKey(t), func(c *x509.Certificate) { c.URIs = uris(t, role.uri) })
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(read(t, tr.dir, anchor, "ca.pem"))
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now}); err != nil {
				t.Fatalf("the test is broken: %v", err)
			}
			p, err := tr.anchors.Verify(chain(cert.Leaf), now)
			if anchor != role.anchor {
				wantFault(t, err, fault.Unverified, "CERTIFICATE_ANCHOR")
			} else if err != nil || p.URI() != role.uri {
				t.Errorf("%s signed %s: %v, %v", anchor, role.uri, p, err)
			}
		}
	}
}

func TestACertificateMustHoldInEveryRespect(t *testing.T) {
	tr := newTrust(t)
	keep := func(*x509.Certificate) {}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*x509.Certificate)
		reason string
	}{
		"no URI":               {func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{domain} }, "CERTIFICATE_URI"},
		"two URIs":             {func(c *x509.Certificate) { c.URIs = uris(t, deskID, hubID) }, "CERTIFICATE_URI"},
		"the same URI twice":   {func(c *x509.Certificate) { c.URIs = uris(t, deskID, deskID) }, "CERTIFICATE_URI"},
		"a query":              {func(c *x509.Certificate) { c.URIs = uris(t, deskID+"?x") }, "CERTIFICATE_URI"},
		"an escape":            {func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://postern.example/prison/%42LI/desk") }, "CERTIFICATE_URI"},
		"an empty fragment":    {func(c *x509.Certificate) { rawSAN(t, c, deskID+"#") }, "CERTIFICATE_URI"},
		"an upper-case scheme": {func(c *x509.Certificate) { rawSAN(t, c, strings.Replace(deskID, "spiffe", "SPIFFE", 1)) }, "CERTIFICATE_URI"},
		"a shire district": {func(c *x509.Certificate) {
			c.URIs = uris(t, "spiffe://postern.example/authority/E07000041/inbox")
		}, "CERTIFICATE_URI"},
		"another domain": {func(c *x509.Certificate) { c.URIs = uris(t, "spiffe://other.example/prison/BLI/desk") }, "CERTIFICATE_DOMAIN"},
		"not yet valid":  {func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, "CERTIFICATE_TIME"},
		"expired":        {func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, "CERTIFICATE_TIME"},
		"client only": {func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, "CERTIFICATE_USE"},
		"server only": {func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, "CERTIFICATE_USE"},
		"a name of another kind": {func(c *x509.Certificate) { rawName(t, c, asn1.ClassUniversal, deskID) }, "CERTIFICATE_URI"},
		"any use":                {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, "CERTIFICATE_USE"},
		"no use":                 {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, "CERTIFICATE_USE"},
		"no signing":             {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, "CERTIFICATE_USE"},
		"an authority":           {func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign }, "CERTIFICATE_USE"},
		"an unknown critical extension": {func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "CERTIFICATE_ANCHOR"},
	} {
		t.Run(name, func(t *testing.T) {
			cert := tr.mint(t, "prison", edKey(t), tc.change)
			_, err := tr.anchors.Verify(chain(cert.Leaf), now)
			wantFault(t, err, fault.Unverified, tc.reason)
		})
	}
	for name, cert := range map[string]*x509.Certificate{
		"RSA":   tr.mint(t, "prison", rsaKey, keep).Leaf,
		"P-384": tr.mint(t, "prison", ecKey(t, elliptic.P384()), keep).Leaf,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tr.anchors.Verify(chain(cert), now)
			wantFault(t, err, fault.Unverified, "CERTIFICATE_KEY")
		})
	}
	for name, cert := range map[string]*x509.Certificate{
		"Ed25519":     tr.mint(t, "prison", edKey(t), keep).Leaf,
		"P-256":       tr.mint(t, "prison", ecKey(t, elliptic.P256()), keep).Leaf,
		"a host name": tr.mint(t, "prison", edKey(t), func(c *x509.Certificate) { c.DNSNames = []string{"desk.example"} }).Leaf,
	} {
		if p, err := tr.anchors.Verify(chain(cert), now); err != nil || p.URI() != deskID {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// rawSAN names a URI as it stands, which url.URL would tidy up.
func rawSAN(t *testing.T, c *x509.Certificate, uri string) {
	t.Helper()
	rawName(t, c, asn1.ClassContextSpecific, uri)
}

func rawName(t *testing.T, c *x509.Certificate, class int, text string) {
	t.Helper()
	value, err := asn1.Marshal([]asn1.RawValue{{Class: class, Tag: 6, Bytes: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	c.URIs = nil
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
}

func TestACertificateHoldsExactlyBetweenItsTimes(t *testing.T) {
	tr := newTrust(t)
	leaf := tr.issue(t, deskID, ca.IssueConfig{Days: 1}).Leaf()
	rapid.Check(t, func(t *rapid.T) {
		at := now.Add(time.Duration(rapid.Int64Range(-48*3600, 48*3600).Draw(t, "seconds")) * time.Second)
		_, err := tr.anchors.Verify(chain(leaf), at)
		inside := !at.Before(leaf.NotBefore) && !at.After(leaf.NotAfter)
		if inside != (err == nil) {
			t.Fatalf("at %v: %v", at, err)
		}
	})
	_, err := tr.anchors.Verify(chain(leaf), time.Time{})
	wantFault(t, err, fault.Unverified, "CERTIFICATE_TIME")
}

func TestAStrangersAuthorityIsRefused(t *testing.T) {
	tr, other := newTrust(t), newTrust(t)
	cert := other.mint(t, "prison", edKey(t), func(*x509.Certificate) {})
	_, err := tr.anchors.Verify(chain(cert.Leaf), now)
	wantFault(t, err, fault.Unverified, "CERTIFICATE_ANCHOR")
}

// An authority below an anchor is bound like the anchor: it comes with the chain, never into a pool.
func TestAnIntermediateIsBoundLikeItsAnchor(t *testing.T) {
	dir := t.TempDir()
	key := edKey(t)
	self := func(c *x509.Certificate) {
		c.IsCA, c.URIs, c.ExtKeyUsage, c.KeyUsage = true, nil, nil, x509.KeyUsageCertSign
		c.Subject = pkix.Name{CommonName: "root"}
	}
	root := sign(t, selfParent(t, key, self), key, self)
	midKey := edKey(t)
	mid := sign(t, root, midKey, func(c *x509.Certificate) { self(c); c.Subject.CommonName = "middle" })
	desk := sign(t, mid, edKey(t), func(*x509.Certificate) {})
	hub := sign(t, mid, edKey(t), func(c *x509.Certificate) { c.URIs = uris(t, hubID) })

	if err := ca.Init(dir, ca.Config{Domain: domain, Now: now}); err != nil {
		t.Fatal(err)
	}
	cfg := anchorConfig(t, dir)
	cfg.Prison = pemOf(root.Leaf)
	a, err := identity.NewAnchors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := a.Verify(chain(desk.Leaf, mid.Leaf), now); err != nil || p.URI() != deskID {
		t.Fatalf("%v, %v", p, err)
	}
	for name, c := range map[string][]*x509.Certificate{
		"a hub":                   chain(hub.Leaf, mid.Leaf),
		"a hub, with the root":    chain(hub.Leaf, mid.Leaf, root.Leaf),
		"without the middle":      chain(desk.Leaf),
		"the leaf not first":      chain(mid.Leaf, desk.Leaf),
		"nothing":                 nil,
		"more than a chain needs": slices.Repeat(chain(desk.Leaf), 5),
	} {
		if _, err := a.Verify(c, now); fault.KindOf(err) != fault.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnchorsThatWouldBlurAreRefused(t *testing.T) {
	tr := newTrust(t)
	for name, change := range map[string]func(*identity.AnchorConfig){
		"one key in two anchors": func(c *identity.AnchorConfig) { c.Hub = join(c.Hub, c.Prison) },
		"a party as an anchor":   func(c *identity.AnchorConfig) { c.Prison = pemOf(tr.issue(t, deskID, ca.IssueConfig{}).Leaf()) },
		"a private key":          func(c *identity.AnchorConfig) { c.Hub = read(t, tr.dir, "hub", "ca-key.pem") },
		"no PEM":                 func(c *identity.AnchorConfig) { c.Hub = []byte("trust me") },
		"no domain":              func(c *identity.AnchorConfig) { c.Domain = "" },
		"no anchor":              func(c *identity.AnchorConfig) { *c = identity.AnchorConfig{Domain: domain} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := anchorConfig(t, tr.dir)
			change(&cfg)
			_, err := identity.NewAnchors(cfg)
			wantFault(t, err, fault.Invalid, "ANCHORS")
		})
	}
}

func TestAnEmptyAnchorKnowsNobody(t *testing.T) {
	tr := newTrust(t)
	cfg := anchorConfig(t, tr.dir)
	cfg.Prison = nil
	a, err := identity.NewAnchors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Verify(chain(tr.issue(t, deskID, ca.IssueConfig{}).Leaf()), now)
	wantFault(t, err, fault.Unverified, "CERTIFICATE_ANCHOR")
}
