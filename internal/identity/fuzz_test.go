package identity_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// vectors is the committed statements with their anchors: their keys are fixed, so that what a fuzzer finds stays a finding.
type vectors struct {
	Trust struct{ Domain, Prison, Authority, Hub, Auditor string }
	Cases []struct {
		At     time.Time
		Signed []byte
		Party  string
	}
}

func readVectors(f *testing.F) (v vectors, cfg identity.AnchorConfig) {
	f.Helper()
	b, err := os.ReadFile("../envelope/testdata/vectors/statements.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, suffix := range []string{"_pem", "_base64"} {
		b = bytes.ReplaceAll(b, []byte(suffix+`":`), []byte(`":`))
	}
	if err := json.Unmarshal(b, &v); err != nil {
		f.Fatal(err)
	}
	return v, identity.AnchorConfig{Domain: v.Trust.Domain, Prison: []byte(v.Trust.Prison), Authority: []byte(v.Trust.Authority),
		Hub: []byte(v.Trust.Hub), Auditor: []byte(v.Trust.Auditor)}
}

// FuzzVerify: a changed certificate is refused; a chain that holds names the party whose key is in it, and nobody else.
func FuzzVerify(f *testing.F) {
	v, cfg := readVectors(f)
	anchors, err := identity.NewAnchors(cfg)
	if err != nil {
		f.Fatal(err)
	}
	holders := map[string]string{} // by certificate
	for _, c := range v.Cases {
		s := &posternv1.Signed{}
		if err := proto.Unmarshal(c.Signed, s); err != nil {
			f.Fatal(err)
		}
		if c.Party == "" || len(s.GetSignatures()) == 0 {
			continue
		}
		der := s.GetSignatures()[0].GetCertificates()[0]
		holders[string(der)] = c.Party
		f.Add(der, []byte{})
		f.Add(der, der)
	}
	at := v.Cases[0].At
	f.Fuzz(func(t *testing.T, leaf, middle []byte) {
		var chain []*x509.Certificate
		for _, der := range [][]byte{leaf, middle} {
			if len(der) == 0 {
				continue
			}
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return
			}
			chain = append(chain, c)
		}
		p, err := anchors.Verify(chain, at)
		if err != nil {
			if fault.KindOf(err) != fault.Unverified {
				t.Fatal(err)
			}
			return
		}
		if holders[string(leaf)] != p.URI() {
			t.Fatalf("a certificate that was never issued is %s", p)
		}
	})
}

// FuzzNewAnchors: any text as an anchor and as its revocation list is refused in words, or read; and one that was read
// vouches for no party that it did not issue.
func FuzzNewAnchors(f *testing.F) {
	v, cfg := readVectors(f)
	crl := "-----BEGIN X509 CRL-----\n" + base64.StdEncoding.EncodeToString([]byte("no list")) + "\n-----END X509 CRL-----\n"
	f.Add(cfg.Prison, []byte{})
	f.Add(cfg.Prison, []byte(crl))
	f.Add(cfg.Authority, []byte{})
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte{})
	f.Fuzz(func(t *testing.T, prison, list []byte) {
		edited := cfg
		edited.Prison, edited.Revoked.Prison = prison, list
		a, err := identity.NewAnchors(edited)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || fault.From(err).Reason != "ANCHORS" {
				t.Fatal(err)
			}
			return
		}
		for _, c := range v.Cases {
			s := &posternv1.Signed{}
			if strings.Contains(c.Party, "/prison/") && proto.Unmarshal(c.Signed, s) == nil && !bytes.Contains(prison, bytes.TrimSpace(cfg.Prison)) {
				leaf, err := x509.ParseCertificate(s.GetSignatures()[0].GetCertificates()[0])
				if err != nil {
					t.Fatal(err)
				}
				if _, err := a.Verify([]*x509.Certificate{leaf}, c.At); err == nil && !vouches(t, prison, leaf) {
					t.Fatal("another anchor vouches")
				}
			}
		}
	})
}

// vouches says whether one of the certificates in a text signed another.
func vouches(t *testing.T, text []byte, leaf *x509.Certificate) bool {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}
