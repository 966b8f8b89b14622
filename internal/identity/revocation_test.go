package identity_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

// listOf makes a revocation list as an authority would.
func (tr trust) listOf(t testing.TB, anchor string, change func(*x509.RevocationList)) []byte {
	t.Helper()
	parent, err := tls.LoadX509KeyPair(filepath.Join(tr.dir, anchor, "ca.pem"), filepath.Join(tr.dir, anchor, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	l := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 7)}
	change(l)
	der, err := x509.CreateRevocationList(rand.Reader, l, parent.Leaf, parent.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// A certificate holds at a moment exactly when the moment is before its revocation, and the list still current; what is
// remembered says so too, in whatever order the moments come.
func TestARevokedCertificateHoldsUntilItsRevocation(t *testing.T) {
	tr := newTrust(t)
	leaf := tr.issue(t, deskID, ca.IssueConfig{}).Leaf()
	other := tr.issue(t, deskID, ca.IssueConfig{}).Leaf()
	second := func(t *rapid.T, what string) time.Time {
		return now.Add(time.Duration(rapid.IntRange(-200, 200).Draw(t, what)) * time.Second)
	}
	rapid.Check(t, func(rt *rapid.T) {
		revoked, until := second(rt, "revoked"), second(rt, "until")
		of := rapid.SampledFrom([]*x509.Certificate{leaf, other}).Draw(rt, "whose")
		cfg := anchorConfig(t, tr.dir)
		cfg.Revoked.Prison = tr.listOf(t, "prison", func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = now.Add(-time.Hour), until
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: of.SerialNumber, RevocationTime: revoked}}
		})
		a, err := identity.NewAnchors(cfg)
		if err != nil {
			rt.Fatal(err)
		}
		for range 10 {
			at := second(rt, "at")
			_, err := a.Verify(chain(leaf), at)
			want := ""
			switch {
			case of == leaf && !at.Before(revoked):
				want = "CERTIFICATE_REVOKED"
			case at.After(until):
				want = "CERTIFICATE_LIST"
			}
			if got := reasonOf(err); got != want {
				rt.Fatalf("at %v, revoked %v, list until %v: %q, want %q", at, revoked, until, got, want)
			}
		}
	})
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Reason
}

func TestListsThatCannotBeBelievedAreRefused(t *testing.T) {
	tr, stranger := newTrust(t), newTrust(t)
	good := tr.listOf(t, "prison", func(*x509.RevocationList) {})
	for name, list := range map[string][]byte{
		"noise":              []byte("noise"),
		"a certificate":      read(t, tr.dir, "prison", "ca.pem"),
		"another anchor's":   tr.listOf(t, "hub", func(*x509.RevocationList) {}),
		"a stranger's":       stranger.listOf(t, "prison", func(*x509.RevocationList) {}),
		"cut short":          good[:len(good)/2],
		"two of one":         join(good, good),
		"noise behind it":    join(good, []byte("noise")),
		"a changed byte":     bytes.Replace(good, good[60:61], []byte{good[60] ^ 1}, 1),
		"a good one and one": join(good, stranger.listOf(t, "prison", func(*x509.RevocationList) {})),
	} {
		cfg := anchorConfig(t, tr.dir)
		cfg.Revoked.Prison = list
		_, err := identity.NewAnchors(cfg)
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		wantFault(t, err, fault.Invalid, "ANCHORS")
	}
}

// An anchor with two authorities needs the list of both: who is not known not to be revoked is refused.
func TestEveryAuthorityNeedsItsList(t *testing.T) {
	one, two := newTrust(t), newTrust(t)
	cfg := anchorConfig(t, one.dir)
	cfg.Prison = join(cfg.Prison, read(t, two.dir, "prison", "ca.pem"))
	cfg.Revoked.Prison = one.listOf(t, "prison", func(*x509.RevocationList) {})
	a, err := identity.NewAnchors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(chain(one.issue(t, deskID, ca.IssueConfig{}).Leaf()), now); err != nil {
		t.Error(err)
	}
	_, err = a.Verify(chain(two.issue(t, deskID, ca.IssueConfig{}).Leaf()), now)
	wantFault(t, err, fault.Unverified, "CERTIFICATE_LIST")
	if ends := a.Lists(); len(ends) != 1 || !ends["prison"].Equal(now.AddDate(0, 0, 7)) {
		t.Errorf("lists until %v", ends)
	}
}

// Nobody who was revoked comes back because a file was lost, emptied or put back from a copy.
func TestListsOnlyGoForward(t *testing.T) {
	tr, next := newTrust(t), newTrust(t)
	leaf := tr.issue(t, deskID, ca.IssueConfig{}).Leaf()
	number := func(n int64) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.Number = big.NewInt(n)
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: leaf.SerialNumber, RevocationTime: now}}
		}
	}
	cfg := anchorConfig(t, tr.dir)
	cfg.Revoked.Prison = tr.listOf(t, "prison", number(8))
	a, err := identity.NewAnchors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]byte{
		"none": nil, "older": tr.listOf(t, "prison", func(l *x509.RevocationList) { l.Number = big.NewInt(7) }), "noise": []byte("noise"),
	} {
		cfg.Revoked.Prison = list
		wantFault(t, a.Replace(cfg), fault.Invalid, "ANCHORS")
		_, err := a.Verify(chain(leaf), now)
		if reasonOf(err) != "CERTIFICATE_REVOKED" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int64{8, 9} {
		cfg.Revoked.Prison = tr.listOf(t, "prison", number(n))
		if err := a.Replace(cfg); err != nil {
			t.Errorf("number %d: %v", n, err)
		}
	}
	cfg.Domain = "other.example"
	wantFault(t, a.Replace(cfg), fault.Invalid, "ANCHORS")
	// An authority that is no longer trusted takes its list along.
	cfg = anchorConfig(t, next.dir)
	if err := a.Replace(cfg); err != nil {
		t.Error(err)
	}
}

func TestAnIdentityIsReplacedByItsOwnRenewalOnly(t *testing.T) {
	tr := newTrust(t)
	i, renewed := tr.issue(t, deskID, ca.IssueConfig{}), tr.issue(t, deskID, ca.IssueConfig{P256: true})
	before := i.Certificate()
	wantFault(t, i.Replace(tr.issue(t, hubID, ca.IssueConfig{})), fault.Invalid, "IDENTITY")
	if i.Certificate() != before {
		t.Fatal("another party's certificate was taken")
	}
	if err := i.Replace(renewed); err != nil {
		t.Fatal(err)
	}
	if i.Certificate() != renewed.Certificate() || i.Party() != renewed.Party() {
		t.Fatal("the renewal was not taken whole")
	}
}
