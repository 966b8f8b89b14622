package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

const (
	domain = "postern.example"
	deskID = "spiffe://postern.example/prison/BLI/desk"
	hubID  = "spiffe://postern.example/hub/one"
)

var now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// trust is a trial certificate authority and the anchors that trust it.
type trust struct {
	dir     string
	anchors *identity.Anchors
}

func newTrust(t *testing.T) trust {
	t.Helper()
	dir := t.TempDir()
	if err := ca.Init(dir, ca.Config{Domain: domain, Now: now}); err != nil {
		t.Fatal(err)
	}
	a, err := identity.NewAnchors(anchorConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return trust{dir, a}
}

func anchorConfig(t *testing.T, dir string) identity.AnchorConfig {
	t.Helper()
	return identity.AnchorConfig{
		Domain:    domain,
		Prison:    read(t, dir, "prison", "ca.pem"),
		Authority: read(t, dir, "authority", "ca.pem"),
		Hub:       read(t, dir, "hub", "ca.pem"),
		Auditor:   read(t, dir, "auditor", "ca.pem"),
	}
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// issue makes an identity as an operator would, through files.
func (tr trust) issue(t *testing.T, uri string, cfg ca.IssueConfig) *identity.Identity {
	t.Helper()
	out := t.TempDir()
	cfg.OutCert, cfg.OutKey = filepath.Join(out, "cert.pem"), filepath.Join(out, "key.pem")
	if cfg.Now.IsZero() {
		cfg.Now = now
	}
	if err := ca.Issue(tr.dir, uri, cfg); err != nil {
		t.Fatal(err)
	}
	i, err := identity.Load(cfg.OutCert, cfg.OutKey)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// mint makes what the trial authority never would: any certificate, from any of its anchors. The template starts as
// that of a good desk.
func (tr trust) mint(t *testing.T, anchor string, key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	parent, err := tls.LoadX509KeyPair(filepath.Join(tr.dir, anchor, "ca.pem"), filepath.Join(tr.dir, anchor, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, parent, key, change)
}

func sign(t *testing.T, parent tls.Certificate, key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(7),
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		URIs:                  uris(t, deskID),
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Leaf, key.Public(), parent.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func uris(t *testing.T, texts ...string) []*url.URL {
	t.Helper()
	var us []*url.URL
	for _, s := range texts {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		us = append(us, u)
	}
	return us
}

func edKey(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func chain(certs ...*x509.Certificate) []*x509.Certificate { return certs }

// wantFault fails unless err is a fault of that kind and reason.
func wantFault(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %v %s", kind, reason)
	}
	if f := fault.From(err); f.Kind != kind || f.Reason != reason {
		t.Fatalf("%v %s: %v; want %v %s", f.Kind, f.Reason, err, kind, reason)
	}
}

func join(texts ...[]byte) []byte { return bytes.Join(texts, nil) }

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// selfParent is the template of a self-signed certificate as its own parent.
func selfParent(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), BasicConstraintsValid: true}
	change(template)
	return tls.Certificate{PrivateKey: key, Leaf: template}
}
