package identity

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"sync/atomic"

	"postern/internal/fault"
)

// Identity is a party's own certificate with its private key. The party never changes; its certificate does, with
// Replace. It is safe for concurrent use.
type Identity struct {
	party Party
	cert  atomic.Pointer[tls.Certificate]
}

// Load reads an Identity from two PEM files: the certificates (leaf first) and the private key (PKCS #8, Ed25519 or
// ECDSA P-256). Whether anybody trusts the certificate is not asked here. Errors are fault.Invalid and name the fix.
func Load(certFile, keyFile string) (*Identity, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, errIdentity("The certificate file cannot be read: check that " + certFile + " is there, and who may read it.").Because(err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, errIdentity("The key file cannot be read: check that " + keyFile + " is there, and who may read it.").Because(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, errIdentity("Certificate and key do not make a pair: both must be PEM, and " + certFile + " made for the key in " + keyFile + ".").Because(err)
	}
	party, err := partyOf(pair.Leaf)
	if err == nil {
		err = checkLeaf(pair.Leaf)
	}
	if err != nil {
		return nil, errIdentity("The certificate is not one of a party. " + fault.From(err).Message).Because(err)
	}
	i := &Identity{party: party}
	i.cert.Store(&pair)
	return i, nil
}

// Replace puts the certificate and key of next, a renewal for the same party, in the place of these. Connections that
// are open keep the one they were made with; new ones, and statements signed from now on, take the new one.
func (i *Identity) Replace(next *Identity) error {
	if next.party != i.party {
		return errIdentity("The new certificate is that of " + next.party.URI() + ", not of " + i.party.URI() + ".")
	}
	i.cert.Store(next.cert.Load())
	return nil
}

func errIdentity(message string) *fault.Error {
	return fault.New(fault.Invalid, "IDENTITY", message)
}

// Party returns the party that the certificate names.
func (i *Identity) Party() Party { return i.party }

// Certificate returns the chain (leaf first), the leaf and the key of this moment. The next call may return others, so
// what must fit together, such as a signature and the chain beside it, comes from one call. It must not be changed.
func (i *Identity) Certificate() *tls.Certificate { return i.cert.Load() }

// Chain returns a copy of the certificates of this moment in DER, leaf first.
func (i *Identity) Chain() [][]byte {
	var chain [][]byte
	for _, der := range i.Certificate().Certificate {
		chain = append(chain, slices.Clone(der))
	}
	return chain
}

// Leaf returns the party's own certificate of this moment; it must not be changed.
func (i *Identity) Leaf() *x509.Certificate { return i.Certificate().Leaf }

// Signer returns the private key of this moment: Ed25519 (give Sign the message and crypto.Hash(0)) or ECDSA P-256 (give
// it the SHA-256 digest and crypto.SHA256).
func (i *Identity) Signer() crypto.Signer { return i.Certificate().PrivateKey.(crypto.Signer) }
