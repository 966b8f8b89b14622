package identity

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"

	"postern/internal/fault"
)

// Identity is a party's own certificate with its private key. It is immutable and safe for concurrent use.
type Identity struct {
	party  Party
	cert   tls.Certificate
	signer crypto.Signer
}

// Load reads an Identity from two PEM files: the certificates (leaf first) and the private key (PKCS #8, Ed25519 or
// ECDSA P-256). Whether anybody trusts the certificate is not asked here. Errors are fault.Invalid and name the fix.
func Load(certFile, keyFile string) (*Identity, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, errIdentity("The certificate file cannot be read: check its path and who may read it.").Because(err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, errIdentity("The key file cannot be read: check its path and who may read it.").Because(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, errIdentity("Certificate and key do not make a pair: both must be PEM, and the certificate made for this key.").Because(err)
	}
	return newIdentity(pair)
}

// New makes an Identity from a chain of DER certificates (leaf first) and the leaf's key, as Load does from files.
func New(chain [][]byte, key crypto.Signer) (*Identity, error) {
	if len(chain) == 0 || key == nil {
		return nil, errIdentity("An identity needs a certificate and its key.")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, errIdentity("The certificate cannot be read.").Because(err)
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return nil, errIdentity("Certificate and key do not make a pair.")
	}
	return newIdentity(tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf})
}

func newIdentity(pair tls.Certificate) (*Identity, error) {
	party, err := partyOf(pair.Leaf)
	if err == nil {
		err = checkLeaf(pair.Leaf)
	}
	if err != nil {
		return nil, errIdentity("The certificate is not one of a party. " + fault.From(err).Message).Because(err)
	}
	return &Identity{party: party, cert: pair, signer: pair.PrivateKey.(crypto.Signer)}, nil
}

func errIdentity(message string) *fault.Error {
	return fault.New(fault.Invalid, "IDENTITY", message)
}

// Party returns the party that the certificate names.
func (i *Identity) Party() Party { return i.party }

// Certificate returns the certificate with its key, for TLS.
func (i *Identity) Certificate() tls.Certificate { return i.cert }

// Chain returns the certificates in DER, leaf first, to send beside a signature.
func (i *Identity) Chain() [][]byte {
	chain := make([][]byte, len(i.cert.Certificate))
	for n, der := range i.cert.Certificate {
		chain[n] = slices.Clone(der)
	}
	return chain
}

// Leaf returns the party's own certificate; it must not be changed.
func (i *Identity) Leaf() *x509.Certificate { return i.cert.Leaf }

// Signer returns the private key: Ed25519 (give Sign the message and crypto.Hash(0)) or ECDSA P-256 (give it the
// SHA-256 digest and crypto.SHA256).
func (i *Identity) Signer() crypto.Signer { return i.signer }
