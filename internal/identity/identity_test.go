package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

func TestAnIdentitySignsWithTheKeyOfItsCertificate(t *testing.T) {
	tr := newTrust(t)
	message := []byte("a statement")
	digest := sha256.Sum256(message)

	ed := tr.issue(t, deskID, ca.IssueConfig{})
	sig, err := ed.Signer().Sign(rand.Reader, message, crypto.Hash(0))
	if err != nil || !ed25519.Verify(ed.Leaf().PublicKey.(ed25519.PublicKey), message, sig) {
		t.Fatalf("Ed25519: %v", err)
	}
	ec := tr.issue(t, deskID, ca.IssueConfig{P256: true})
	sig, err = ec.Signer().Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(ec.Leaf().PublicKey.(*ecdsa.PublicKey), digest[:], sig) {
		t.Fatalf("P-256: %v", err)
	}
	for _, i := range []*identity.Identity{ed, ec} {
		if i.Party().URI() != deskID || !bytes.Equal(i.Chain()[0], i.Leaf().Raw) {
			t.Fatalf("the identity is %v", i.Party())
		}
	}
	ed.Chain()[0][0] ^= 1
	if ed.Chain()[0][0] != ed.Leaf().Raw[0] {
		t.Fatal("a caller can change the chain")
	}
}

func TestAnIdentityThatIsNoneIsRefused(t *testing.T) {
	tr := newTrust(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, n := range []string{"a", "b"} {
		if err := ca.Issue(tr.dir, deskID, ca.IssueConfig{OutCert: file(n + ".pem"), OutKey: file(n + "-key.pem"), Now: now}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file("noise"), []byte("noise"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := tr.mint(t, "prison", ecKey(t, elliptic.P521()), func(*x509.Certificate) {})
	key, err := x509.MarshalPKCS8PrivateKey(large.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"large.pem": {Type: "CERTIFICATE", Bytes: large.Leaf.Raw}, "large-key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(file(name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, pair := range map[string][2]string{
		"no certificate":    {file("none"), file("a-key.pem")},
		"no key":            {file("a.pem"), file("none")},
		"the key of b":      {file("a.pem"), file("b-key.pem")},
		"noise":             {file("noise"), file("noise")},
		"the other way":     {file("a-key.pem"), file("a.pem")},
		"P-521":             {file("large.pem"), file("large-key.pem")},
		"not a party's own": {filepath.Join(tr.dir, "hub", "ca.pem"), filepath.Join(tr.dir, "hub", "ca-key.pem")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := identity.Load(pair[0], pair[1])
			wantFault(t, err, fault.Invalid, "IDENTITY")
		})
	}
}
