// Package ca is the trial certificate authority: it makes the four trust anchors of a trust domain and issues the
// certificates of parties from them.
//
// It serves the demo, the tests and a pilot on a few machines. It guarantees that a certificate comes from the anchor
// that may vouch for its path, that key files are readable by their owner only, that nothing existing is overwritten by
// Init, and that a certificate is kept before it is handed out, so that it can be revoked. Its records are files: each
// anchor's folder has the certificates it issued and its revocation list. Its keys lie in files too, so an operator of a
// real exchange uses the prison service's, the authority's and the inspectorate's own authorities instead.
package ca

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
)

// anchors are the folders that Init makes, one for each trust anchor.
var anchors = [...]string{"prison", "authority", "hub", "auditor"}

const (
	certFile = "ca.pem"
	keyFile  = "ca-key.pem"

	anchorYears = 5
	defaultDays = 30
	// Clocks differ: a certificate is good a little before the time it was made.
	backdate = 5 * time.Minute
)

// Config is what Init needs.
type Config struct {
	Domain string    // the trust domain
	Now    time.Time // when the anchors begin to hold; zero is now
	Days   int       // how many days a revocation list holds; zero is 30
}

// Init makes dir/{prison,authority,hub,auditor}/{ca.pem,ca-key.pem,crl.pem}: four self-signed Ed25519 authorities that
// hold for five years and can sign parties only, each with a revocation list that revokes nobody. An anchor that is there already is fault.Exists and stays as it is.
func Init(dir string, cfg Config) error {
	if !identity.ValidDomain(cfg.Domain) {
		return fault.New(fault.Invalid, "CA_DOMAIN", "The trust domain must be a lower-case domain name, such as postern.example.")
	}
	now := orNow(cfg.Now)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errFile(err)
	}
	for _, name := range anchors {
		if err := initAnchor(filepath.Join(dir, name), name, cfg.Domain, now); err != nil {
			return err
		}
		first := &x509.RevocationList{Number: new(big.Int), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, cmp.Or(cfg.Days, defaultListDays))}
		if err := writeList(filepath.Join(dir, name), first, nil, now); err != nil {
			return err
		}
	}
	return nil
}

func initAnchor(dir, name, domain string, now time.Time) error {
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Exists, "CA_EXISTS", "There is a certificate authority in this folder already: choose an empty folder.").Because(err)
	} else if err != nil {
		return errFile(err)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Postern trial"}, CommonName: name + " anchor of " + domain},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(anchorYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// The host of a URI is all that X.509 can constrain; package identity constrains the path.
		PermittedURIDomains:         []string{domain},
		PermittedDNSDomainsCritical: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return err
	}
	return writePair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile), der, key)
}

// IssueConfig is what Issue needs.
type IssueConfig struct {
	OutCert string    // where the certificate goes, in PEM, mode 0644
	OutKey  string    // where its new key goes, PKCS #8 in PEM, mode 0600; empty with a Request
	Request []byte    // a certificate signing request (RFC 2986) in PEM: the key stays with whoever made it
	Now     time.Time // when it begins to hold; zero is now
	Days    int       // how many days it holds; zero is 30
	P256    bool      // an ECDSA P-256 key instead of Ed25519
}

// Issue makes a certificate for the party that uri names, signed by the anchor that may vouch for it: for a new key, or
// for that of a request. Files that are there are replaced, each at once. Errors are *fault.Error.
func Issue(dir, uri string, cfg IssueConfig) error {
	party, err := identity.ParseURI(uri)
	if err != nil {
		return err
	}
	if cfg.Days < 0 || cfg.OutCert == "" || (cfg.OutKey == "") != (cfg.Request != nil) {
		return fault.New(fault.Invalid, "CA_ISSUE", "Name a file for the certificate, one for the key unless there is a request, and a number of days above 0.")
	}
	folder := filepath.Join(dir, party.Anchor())
	parent, err := authority(folder)
	if err != nil {
		return err
	}
	if d := parent.Leaf.PermittedURIDomains; len(d) != 1 || d[0] != party.Domain {
		return fault.Newf(fault.Invalid, "CA_DOMAIN", "This certificate authority is not of the trust domain %s.", party.Domain)
	}
	var key crypto.Signer
	var public crypto.PublicKey
	if cfg.Request != nil {
		public, err = requested(cfg.Request, uri)
	} else if key, err = newKey(cfg.P256); err == nil {
		public = key.Public()
	}
	if err != nil {
		return err
	}
	if err := ofAnother(cfg, uri); err != nil {
		return err
	}
	template := leaf(party, orNow(cfg.Now), cfg.Days, parent.Leaf)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Leaf, public, parent.PrivateKey)
	if err != nil {
		return err
	}
	if err := keep(folder, template.SerialNumber, der); err != nil {
		return err
	}
	if key == nil {
		return writeFile(cfg.OutCert, certPEM(der), 0o644)
	}
	return writePair(cfg.OutCert, cfg.OutKey, der, key)
}

// ofAnother refuses to write where another party's certificate or key is: that key would be gone.
func ofAnother(cfg IssueConfig, uri string) error {
	text, err := os.ReadFile(cfg.OutCert)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(cfg.OutKey); cfg.OutKey == "" || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fault.Newf(fault.Precondition, "CA_KEY", "There is a key already, %s, and no certificate beside it that says whose it is. Name another folder.", cfg.OutKey)
	}
	if err == nil {
		if block, _ := pem.Decode(text); block != nil {
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil && len(cert.URIs) == 1 && cert.URIs[0].String() == uri {
				return nil // its next one
			}
		}
	}
	return fault.Newf(fault.Precondition, "CA_OTHER", "%s is not a certificate of %s, and would be lost. Name another folder.", cfg.OutCert, uri)
}

// RequestConfig is what Request needs.
type RequestConfig struct {
	OutRequest string // where the request goes, in PEM, mode 0644
	OutKey     string // where its new key goes, PKCS #8 in PEM, mode 0600
	P256       bool   // an ECDSA P-256 key instead of Ed25519
}

// Request makes a key for the party that uri names, and a certificate signing request for it. The key never leaves the
// machine; the request goes to whoever runs the anchor. A key that is there already is fault.Exists: it may be in use.
func Request(uri string, cfg RequestConfig) error {
	party, err := identity.ParseURI(uri)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(cfg.OutKey); !errors.Is(err, fs.ErrNotExist) {
		return fault.Newf(fault.Exists, "CA_KEY_EXISTS", "There is a %s already: choose another folder, and put the new key in place together with its certificate.", filepath.Base(cfg.OutKey)).Because(err)
	}
	key, err := newKey(cfg.P256)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: uris(party)}, key)
	if err != nil {
		return err
	}
	if err := writeKey(cfg.OutKey, key); err != nil {
		return err
	}
	return writeFile(cfg.OutRequest, pem.EncodeToMemory(&pem.Block{Type: requestType, Bytes: der}), 0o644)
}

const requestType = "CERTIFICATE REQUEST"

// authority reads the certificate and key of an anchor.
func authority(folder string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, certFile), filepath.Join(folder, keyFile))
	if err != nil {
		return pair, fault.Newf(fault.Precondition, "CA_MISSING", "The %s anchor cannot be read: run `postern ca init` on this folder first.", filepath.Base(folder)).Because(err)
	}
	return pair, nil
}

// requested reads the key of a certificate signing request. Who it is for says whoever issues, not the request; one that
// names another party was mixed up.
func requested(text []byte, uri string) (crypto.PublicKey, error) {
	bad := fault.New(fault.Invalid, "CA_REQUEST", "The request cannot be used: give one PEM block of the type CERTIFICATE REQUEST, signed by its key, Ed25519 or ECDSA P-256.")
	block, rest := pem.Decode(text)
	if block == nil || block.Type != requestType || len(bytes.TrimSpace(rest)) > 0 {
		return nil, bad
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, bad.Because(err)
	}
	for _, u := range r.URIs {
		if u.String() != uri {
			return nil, fault.New(fault.Invalid, "CA_REQUEST", "The request names another party than the certificate is to be issued for.")
		}
	}
	switch key := r.PublicKey.(type) {
	case ed25519.PublicKey:
		return key, nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	}
	return nil, bad
}

func leaf(party identity.Party, now time.Time, days int, parent *x509.Certificate) *x509.Certificate {
	if days == 0 {
		days = defaultDays
	}
	until := now.AddDate(0, 0, days)
	if until.After(parent.NotAfter) { // or it would claim to hold when nobody vouches for it
		until = parent.NotAfter
	}
	return &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Postern trial"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		URIs:                  uris(party),
	}
}

// uris are the one URI of a party, which has nothing that url.URL would write differently.
func uris(party identity.Party) []*url.URL {
	return []*url.URL{{Scheme: "spiffe", Host: party.Domain, Path: party.URI()[len("spiffe://"+party.Domain):]}}
}

func newKey(p256 bool) (crypto.Signer, error) {
	if p256 {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// serial is 128 random bits, so that no counter must be kept (CA/B baseline requirements ask for 64).
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[0] |= 1    // never zero
	return new(big.Int).SetBytes(b)
}

func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}

// writePair writes the key first: a certificate without its key would be found out, but later.
func writePair(certPath, keyPath string, der []byte, key crypto.Signer) error {
	if err := writeKey(keyPath, key); err != nil {
		return err
	}
	return writeFile(certPath, certPEM(der), 0o644)
}

func writeKey(path string, key crypto.Signer) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// writeFile puts data at path at once; the file is never seen half written or with another mode.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errFile(err)
	}
	f, err := os.CreateTemp(dir, ".new-*") // made with mode 0600
	if err != nil {
		return errFile(err)
	}
	defer os.Remove(f.Name()) // nothing is left of a failure; after the rename there is nothing to remove
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return errFile(err)
}

func errFile(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Unavailable, "CA_FILE", "A file of the certificate authority cannot be written: check the folder and who may write there.").Because(err)
}
