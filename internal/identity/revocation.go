package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"time"
)

// Revoked are the certificate revocation lists (RFC 5280 section 5) of the four anchors, each as PEM. An anchor without
// one revokes nobody. An anchor with one needs a list of every authority in it: one that is missing, or past its next
// update, refuses all certificates of that authority, since nobody can say any more that they were not revoked.
type Revoked struct {
	Prison    []byte
	Authority []byte
	Hub       []byte
	Auditor   []byte
}

// lists are the revocation lists of one anchor, by the public key of who signed them.
type lists struct{ by map[string]list }

type list struct {
	number  *big.Int             // CRL number (RFC 5280 section 5.2.3)
	until   time.Time            // next update
	revoked map[string]time.Time // by serial number
}

// parseLists reads the lists of an anchor; nil when there are none.
func parseLists(a anchor, text []byte, authorities []*x509.Certificate) (*lists, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	l := &lists{by: map[string]list{}}
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "X509 CRL" {
			return nil, errAnchor(a, "has a revocation list that cannot be read: give PEM blocks of the type X509 CRL only.")
		}
		text = rest
		crl, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, errAnchor(a, "has a revocation list that cannot be read.").Because(err)
		}
		signer, err := signerOf(crl, authorities)
		if err != nil {
			return nil, errAnchor(a, "has a revocation list that none of its authorities signed.").Because(err)
		}
		if crl.NextUpdate.IsZero() || crl.Number == nil {
			return nil, errAnchor(a, "has a revocation list without a number or without the time of the next one.")
		}
		key := string(signer.RawSubjectPublicKeyInfo)
		if _, twice := l.by[key]; twice {
			return nil, errAnchor(a, "has two revocation lists of one authority: give the newest only.")
		}
		entries := map[string]time.Time{}
		for _, e := range crl.RevokedCertificateEntries {
			entries[e.SerialNumber.String()] = e.RevocationTime
		}
		l.by[key] = list{crl.Number, crl.NextUpdate, entries}
	}
	return l, nil
}

func signerOf(crl *x509.RevocationList, authorities []*x509.Certificate) (*x509.Certificate, error) {
	for _, c := range authorities {
		if bytes.Equal(c.RawSubject, crl.RawIssuer) && crl.CheckSignatureFrom(c) == nil {
			return c, nil
		}
	}
	return nil, errors.New("no authority of the anchor signed it")
}

// follows reports whether l may come after old: every list of an authority that stays is there, and none is older.
func (l *lists) follows(old *lists, authorities map[string]bool) bool {
	if old == nil {
		return true
	}
	for key, before := range old.by {
		if !authorities[key] {
			continue
		}
		if l == nil {
			return false
		}
		if now, ok := l.by[key]; !ok || now.number.Cmp(before.number) < 0 {
			return false
		}
	}
	return true
}

// look adds to a way what the lists say of one of its certificates.
func (w *way) look(c, issuer *x509.Certificate, l *lists) {
	of, ok := l.by[string(issuer.RawSubjectPublicKeyInfo)]
	if !ok {
		w.unlisted = true
		return
	}
	if w.current.IsZero() || of.until.Before(w.current) {
		w.current = of.until
	}
	if at, revoked := of.revoked[c.SerialNumber.String()]; revoked && (w.revoked.IsZero() || at.Before(w.revoked)) {
		w.revoked = at
	}
}

// holds says why a way does not hold at a time, or nil. A certificate is revoked from the time that its list says: what
// it signed before stays signed.
func (w way) holds(at time.Time) error {
	switch {
	case at.Before(w.from), at.After(w.to):
		return errCertificate("CERTIFICATE_TIME", "A certificate of the chain is not valid at this time.")
	case w.unlisted:
		return errCertificate("CERTIFICATE_LIST", "There is no revocation list of the authority that signed the certificate.")
	case !w.revoked.IsZero() && !at.Before(w.revoked):
		return errCertificate("CERTIFICATE_REVOKED", "The certificate was revoked.")
	case !w.current.IsZero() && at.After(w.current):
		return errCertificate("CERTIFICATE_LIST", "The revocation list of the authority that signed the certificate is out of date: get the newest one.")
	}
	return nil
}

// Lists says until when the revocation lists of each anchor are current, the first of them to end; an anchor without any
// is not in it. The names are those of Party.Anchor.
func (a *Anchors) Lists() map[string]time.Time {
	ends := map[string]time.Time{}
	for i, l := range a.trust.Load().lists {
		if l == nil {
			continue
		}
		for _, one := range l.by {
			if end, ok := ends[anchorNames[i]]; !ok || one.until.Before(end) {
				ends[anchorNames[i]] = one.until
			}
		}
	}
	return ends
}
