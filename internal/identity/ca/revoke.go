package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
)

const (
	listFile     = "crl.pem"
	issuedFolder = "issued"
	// defaultListDays is how long a revocation list holds. After it every certificate of the anchor is refused until there
	// is a new one, so an operator renews it well before.
	defaultListDays = 30
)

// Issued is a certificate that an anchor made.
type Issued struct {
	Anchor  string
	Serial  string // in lower-case hex, as Revoke takes it
	URI     string
	Starts  time.Time
	Ends    time.Time
	Revoked time.Time // zero when it is not
}

// keep files a certificate before anybody gets it: what is not on file cannot be revoked.
func keep(folder string, serial *big.Int, der []byte) error {
	return writeFile(filepath.Join(folder, issuedFolder, serialText(serial)+".pem"), certPEM(der), 0o644)
}

func serialText(n *big.Int) string { return strings.ToLower(n.Text(16)) }

// List returns every certificate that the anchors in dir made, by party and then by time.
func List(dir string) ([]Issued, error) {
	var all []Issued
	for _, name := range anchors {
		folder := filepath.Join(dir, name)
		old, err := readList(folder)
		if err != nil {
			return nil, err
		}
		certs, err := issued(folder)
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			one := issuedAs(name, c)
			if i := entry(old, c.SerialNumber); i >= 0 {
				one.Revoked = old.RevokedCertificateEntries[i].RevocationTime
			}
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b Issued) int { return strings.Compare(a.URI, b.URI) })
	return all, nil
}

// Read returns the certificate in a file that Issue wrote.
func Read(path string) (Issued, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Issued{}, errFile(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return Issued{}, errFile(errors.New("no PEM"))
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Issued{}, errFile(err)
	}
	one := issuedAs("", c)
	p, err := identity.ParseURI(one.URI)
	one.Anchor = p.Anchor()
	return one, err
}

func issuedAs(anchor string, c *x509.Certificate) Issued {
	one := Issued{Anchor: anchor, Serial: serialText(c.SerialNumber), Starts: c.NotBefore, Ends: c.NotAfter}
	if len(c.URIs) == 1 {
		one.URI = c.URIs[0].String()
	}
	return one
}

func issued(folder string) ([]*x509.Certificate, error) {
	files, err := os.ReadDir(filepath.Join(folder, issuedFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errFile(err)
	}
	var certs []*x509.Certificate
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(folder, issuedFolder, f.Name()))
		if err != nil {
			return nil, errFile(err)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			continue // not a certificate: somebody else's file
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Newf(fault.Precondition, "CA_RECORD", "The record %s cannot be read.", f.Name()).Because(err)
		}
		certs = append(certs, c)
	}
	slices.SortFunc(certs, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
	return certs, nil
}

func entry(l *x509.RevocationList, serial *big.Int) int {
	return slices.IndexFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 })
}

// Revoke puts the certificate with this serial number on its anchor's revocation list, from now on. Revoking it again
// changes nothing. The new list takes effect where it is copied to; parties read theirs again by themselves.
func Revoke(dir, serial string, now time.Time) (Issued, error) {
	now = orNow(now)
	all, err := List(dir)
	if err != nil {
		return Issued{}, err
	}
	i := slices.IndexFunc(all, func(c Issued) bool { return c.Serial == strings.ToLower(serial) })
	if i < 0 {
		return Issued{}, fault.New(fault.NotFound, "CA_SERIAL", "No certificate with this serial number was issued here. `postern ca list` shows them.")
	}
	one := all[i]
	if !one.Revoked.IsZero() {
		return one, nil
	}
	number, _ := new(big.Int).SetString(one.Serial, 16)
	one.Revoked = now
	return one, nextList(filepath.Join(dir, one.Anchor), []x509.RevocationListEntry{{SerialNumber: number, RevocationTime: now.UTC()}}, now)
}

// Revocations is the revocation list of an anchor.
type Revocations struct {
	Anchor  string
	Ends    time.Time // from then on everybody of the anchor is refused
	Revoked int       // how many certificates are on it
}

// Lists returns the revocation lists of all four anchors in dir.
func Lists(dir string) ([]Revocations, error) {
	var all []Revocations
	for _, name := range anchors {
		l, err := readList(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		all = append(all, Revocations{name, l.NextUpdate, len(l.RevokedCertificateEntries)})
	}
	return all, nil
}

// Renew makes each anchor's revocation list anew, with the same certificates, for as long again.
func Renew(dir string, now time.Time) error {
	for _, name := range anchors {
		if err := nextList(filepath.Join(dir, name), nil, orNow(now)); err != nil {
			return err
		}
	}
	return nil
}

func readList(folder string) (*x509.RevocationList, error) {
	bad := fault.Newf(fault.Precondition, "CA_LIST", "The revocation list of the %s anchor cannot be read. To begin a new one would bring back whom it revoked: put back a copy.", filepath.Base(folder))
	text, err := os.ReadFile(filepath.Join(folder, listFile))
	if err != nil {
		return nil, bad.Because(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, bad
	}
	l, err := x509.ParseRevocationList(block.Bytes)
	if err != nil || l.Number == nil {
		return nil, bad.Because(err)
	}
	return l, nil
}

func nextList(folder string, more []x509.RevocationListEntry, now time.Time) error {
	old, err := readList(folder)
	if err != nil {
		return err
	}
	return writeList(folder, old, more, now)
}

// writeList makes the list of an anchor that comes after old: it holds for as long, and revokes more.
func writeList(folder string, old *x509.RevocationList, more []x509.RevocationListEntry, now time.Time) error {
	parent, err := authority(folder)
	if err != nil {
		return err
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number:                    new(big.Int).Add(old.Number, big.NewInt(1)),
		ThisUpdate:                now,
		NextUpdate:                now.Add(old.NextUpdate.Sub(old.ThisUpdate)),
		RevokedCertificateEntries: append(old.RevokedCertificateEntries, more...),
	}, parent.Leaf, parent.PrivateKey.(crypto.Signer))
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, listFile), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o644)
}
