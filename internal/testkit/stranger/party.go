package stranger

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Party is what a certificate says of its holder.
type Party struct {
	URI  string
	Kind string // desk, inbox, hub, operator or auditor
	ID   string
}

// spelling is how the URIs of one kind of party are spelt, and whose anchor vouches for them.
type spelling struct {
	kind, anchor string
	path         *regexp.Regexp
}

func spellings() []spelling {
	return []spelling{
		{"desk", "prison", regexp.MustCompile(`^/prison/([A-Z]{3})/desk$`)},
		{"inbox", "authority", regexp.MustCompile(`^/authority/((?:E06|E08|E09|E10|W06)[0-9]{6})/inbox$`)},
		{"hub", "hub", regexp.MustCompile(`^/hub/([a-z0-9-]{1,40})$`)},
		{"operator", "hub", regexp.MustCompile(`^/operator/([a-z0-9-]{1,40})$`)},
		{"auditor", "auditor", regexp.MustCompile(`^/auditor/([a-z0-9-]{1,40})$`)},
	}
}

// Trust is a trust domain with its four anchors, by name.
type Trust struct {
	Domain  string
	anchors map[string]*x509.CertPool
}

// NewTrust takes the PEM of the anchors prison, authority, hub and auditor.
func NewTrust(domain string, anchors map[string][]byte) (*Trust, error) {
	t := &Trust{domain, map[string]*x509.CertPool{}}
	for _, name := range []string{"prison", "authority", "hub", "auditor"} {
		t.anchors[name] = x509.NewCertPool()
		if !t.anchors[name].AppendCertsFromPEM(anchors[name]) {
			return nil, fmt.Errorf("no certificate in the anchor %s", name)
		}
	}
	return t, nil
}

// parse reads a URI of this trust domain.
func (t *Trust) parse(uri string) (p Party, anchor string, err error) {
	path, ours := strings.CutPrefix(uri, "spiffe://"+t.Domain)
	for _, s := range spellings() {
		if m := s.path.FindStringSubmatch(path); ours && m != nil {
			return Party{uri, s.kind, m[1]}, s.anchor, nil
		}
	}
	return p, "", errors.New("no URI of a party")
}

// Who says whom a chain of certificates, leaf first, names at a time.
func (t *Trust) Who(chain [][]byte, at time.Time) (Party, crypto.PublicKey, error) {
	var certificates []*x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return Party{}, nil, err
		}
		certificates = append(certificates, c)
	}
	if len(certificates) == 0 || len(certificates) > 4 {
		return Party{}, nil, errors.New("no chain of one to four certificates")
	}
	leaf := certificates[0]
	if len(leaf.URIs) != 1 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 {
		return Party{}, nil, errors.New("not exactly one name")
	}
	p, anchor, err := t.parse(leaf.URIs[0].String())
	if err != nil {
		return Party{}, nil, err
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		return Party{}, nil, errors.New("not the certificate of a party")
	}
	switch key := leaf.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return Party{}, nil, errors.New("a key of another curve")
		}
	default:
		return Party{}, nil, errors.New("a key of another kind")
	}
	between := x509.NewCertPool()
	for _, c := range certificates[1:] {
		between.AddCert(c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		options := x509.VerifyOptions{Roots: t.anchors[anchor], Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := leaf.Verify(options); err != nil {
			return Party{}, nil, err
		}
	}
	return p, leaf.PublicKey, nil
}

// Self is who we are: our certificates and our key.
type Self struct {
	Party
	chain [][]byte
	key   crypto.Signer
}

// NewSelf takes our certificates, leaf first, and our key, in PEM.
func (t *Trust) NewSelf(certificates, key []byte) (*Self, error) {
	s := &Self{}
	for {
		block, rest := pem.Decode(certificates)
		if block == nil {
			break
		}
		s.chain, certificates = append(s.chain, block.Bytes), rest
	}
	block, _ := pem.Decode(key)
	if len(s.chain) == 0 || block == nil {
		return nil, errors.New("no certificate or no key")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	var ok bool
	if s.key, ok = private.(crypto.Signer); !ok {
		return nil, errors.New("the key cannot sign")
	}
	leaf, err := x509.ParseCertificate(s.chain[0])
	if err != nil || len(leaf.URIs) != 1 {
		return nil, errors.Join(err, errors.New("our certificate does not name a party"))
	}
	s.Party, _, err = t.parse(leaf.URIs[0].String())
	return s, err
}

// tls is for both ends of a connection: the other end must be a party that accept takes.
func (t *Trust) tls(self *Self, clock func() time.Time, accept func(Party) bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, Time: clock,
		Certificates:           []tls.Certificate{{Certificate: self.chain, PrivateKey: self.key}},
		SessionTicketsDisabled: true, ClientAuth: tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // names of hosts mean nothing here: the check below is the whole check
		VerifyConnection: func(s tls.ConnectionState) error {
			var chain [][]byte
			for _, c := range s.PeerCertificates {
				chain = append(chain, c.Raw)
			}
			p, _, err := t.Who(chain, clock())
			if err == nil && !accept(p) {
				err = fmt.Errorf("%s is not whom we want", p.URI)
			}
			return err
		},
	}
}
