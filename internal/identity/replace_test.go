package identity_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

func made(t testing.TB, cfg identity.AnchorConfig) *identity.Anchors {
	t.Helper()
	a, err := identity.NewAnchors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What replaces anchors is in force at once, for whom they knew before too, and what it replaces is not any more.
func TestReplacedAnchorsAreInForce(t *testing.T) {
	one, two := newTrust(t), newTrust(t)
	first, second := one.issue(t, deskID, ca.IssueConfig{}).Leaf(), two.issue(t, deskID, ca.IssueConfig{}).Leaf()
	a := made(t, anchorConfig(t, one.dir))
	says := func(of *x509.Certificate, want string) {
		t.Helper()
		if _, err := a.Verify(chain(of), now); reasonOf(err) != want {
			t.Errorf("%q, want %q", reasonOf(err), want)
		}
	}
	says(first, "")
	cfg := anchorConfig(t, one.dir)
	cfg.Revoked.Prison = one.listOf(t, "prison", func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: first.SerialNumber, RevocationTime: now}}
	})
	if err := a.Replace(cfg); err != nil {
		t.Fatal(err)
	}
	says(first, "CERTIFICATE_REVOKED")
	if err := a.Replace(anchorConfig(t, two.dir)); err != nil {
		t.Fatal(err)
	}
	says(first, "CERTIFICATE_ANCHOR")
	says(second, "")
}

// Of an anchor with several authorities, the list of each that stays is there and is not older, whoever else goes.
func TestTheListOfEachAuthorityGoesForward(t *testing.T) {
	all := []trust{newTrust(t), newTrust(t), newTrust(t)}
	config := func(numbers map[int]int64, trusted ...int) identity.AnchorConfig {
		cfg := anchorConfig(t, all[0].dir)
		cfg.Prison = nil
		for _, i := range trusted {
			cfg.Prison = join(cfg.Prison, read(t, all[i].dir, "prison", "ca.pem"))
			if n := numbers[i]; n > 0 {
				cfg.Revoked.Prison = join(cfg.Revoked.Prison, all[i].listOf(t, "prison", func(l *x509.RevocationList) { l.Number = big.NewInt(n) }))
			}
		}
		return cfg
	}
	rapid.Check(t, func(rt *rapid.T) {
		number := rapid.Int64Range(0, 3) // 0 for no list
		before, after := map[int]int64{}, map[int]int64{}
		stays := []int{0}
		good := true
		for i := range all {
			before[i], after[i] = number.Draw(rt, "before"), number.Draw(rt, "after")
			if i > 0 && rapid.Bool().Draw(rt, "stays") {
				stays = append(stays, i)
			}
		}
		for _, i := range stays {
			good = good && after[i] >= before[i]
		}
		a := made(t, config(before, 0, 1, 2))
		if err := a.Replace(config(after, stays...)); (err == nil) != good {
			rt.Fatalf("lists %v, then %v of %v: %v", before, after, stays, err)
		}
	})
}

// Until when anchors and lists hold is told of the first to end, of each anchor that has any.
func TestWhenAnchorsAndListsEnd(t *testing.T) {
	one, two := newTrust(t), newTrust(t)
	root := func(name string, end time.Time) []byte {
		key := edKey(t)
		self := func(c *x509.Certificate) {
			c.IsCA, c.URIs, c.ExtKeyUsage, c.KeyUsage, c.NotAfter = true, nil, nil, x509.KeyUsageCertSign, end
			c.Subject = pkix.Name{CommonName: name}
		}
		return pemOf(sign(t, selfParent(t, key, self), key, self).Leaf)
	}
	soon, late := now.AddDate(0, 1, 0), now.AddDate(0, 2, 0)
	until := func(end time.Time) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.NextUpdate = end }
	}
	for _, order := range [][2]time.Time{{soon, late}, {late, soon}} {
		cfg := anchorConfig(t, one.dir)
		cfg.Prison, cfg.Hub = nil, join(root("one", order[0]), root("two", order[1]))
		cfg.Auditor = join(cfg.Auditor, read(t, two.dir, "auditor", "ca.pem"))
		cfg.Revoked.Auditor = join(one.listOf(t, "auditor", until(order[0])), two.listOf(t, "auditor", until(order[1])))
		a := made(t, cfg)
		ends := a.Ends()
		if _, there := ends["prison"]; there || len(ends) != 3 || !ends["hub"].Equal(soon) {
			t.Errorf("anchors end %v", ends)
		}
		if lists := a.Lists(); len(lists) != 1 || !lists["auditor"].Equal(soon) {
			t.Errorf("lists end %v", lists)
		}
	}
}

// An authority that renews its certificate with its key is one authority, and its anchor has both.
func TestAnAuthorityMayStandTwiceInItsAnchor(t *testing.T) {
	tr := newTrust(t)
	cfg := anchorConfig(t, tr.dir)
	cfg.Prison = join(cfg.Prison, cfg.Prison)
	if _, err := made(t, cfg).Verify(chain(tr.issue(t, deskID, ca.IssueConfig{}).Leaf()), now); err != nil {
		t.Error(err)
	}
}

// Whatever else stands in a file of authorities or lists, it is refused, and never passed over.
func TestNothingElseStandsInTheFiles(t *testing.T) {
	tr := newTrust(t)
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	list := tr.listOf(t, "prison", func(*x509.RevocationList) {})
	der, _ := pem.Decode(list)
	for name, change := range map[string]func(*identity.AnchorConfig){
		"one character":                func(c *identity.AnchorConfig) { c.Prison = join(c.Prison, []byte("x")) },
		"a certificate of noise":       func(c *identity.AnchorConfig) { c.Prison = join(c.Prison, block("CERTIFICATE", []byte("noise"))) },
		"one character in the list":    func(c *identity.AnchorConfig) { c.Revoked.Prison = []byte("x") },
		"one character after the list": func(c *identity.AnchorConfig) { c.Revoked.Prison = join(list, []byte("x")) },
		"a list of noise":              func(c *identity.AnchorConfig) { c.Revoked.Prison = block("X509 CRL", []byte("noise")) },
		"a list under another name":    func(c *identity.AnchorConfig) { c.Revoked.Prison = block("CRL", der.Bytes) },
		"a list without a next one":    func(c *identity.AnchorConfig) { c.Revoked.Prison = tr.crafted(t, time.Time{}, true, "") },
		"a list without a number":      func(c *identity.AnchorConfig) { c.Revoked.Prison = tr.crafted(t, now.AddDate(0, 0, 7), false, "") },
		"a list in another's name": func(c *identity.AnchorConfig) {
			c.Revoked.Prison = tr.crafted(t, now.AddDate(0, 0, 7), true, "somebody else")
		},
	} {
		cfg := anchorConfig(t, tr.dir)
		change(&cfg)
		if _, err := identity.NewAnchors(cfg); err == nil {
			t.Errorf("%s: taken", name)
		} else {
			wantFault(t, err, fault.Invalid, "ANCHORS")
		}
	}
	cfg := anchorConfig(t, tr.dir)
	cfg.Revoked.Prison = tr.crafted(t, now.AddDate(0, 0, 7), true, "")
	made(t, cfg) // as good as it can be, or the test says nothing
}

// crafted is a list as crypto/x509 would not make it, with a good signature of the prisons' authority.
func (tr trust) crafted(t *testing.T, next time.Time, number bool, issuer string) []byte {
	t.Helper()
	parent, err := tls.LoadX509KeyPair(filepath.Join(tr.dir, "prison", "ca.pem"), filepath.Join(tr.dir, "prison", "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	good, _ := pem.Decode(tr.listOf(t, "prison", func(*x509.RevocationList) {}))
	var l pkix.CertificateList
	if _, err := asn1.Unmarshal(good.Bytes, &l); err != nil {
		t.Fatal(err)
	}
	tbs := &l.TBSCertList
	tbs.Raw, tbs.NextUpdate = nil, next
	if issuer != "" {
		tbs.Issuer = pkix.Name{CommonName: issuer}.ToRDNSequence()
	}
	if !number {
		var kept []pkix.Extension
		for _, e := range tbs.Extensions {
			if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 20}) {
				kept = append(kept, e)
			}
		}
		tbs.Extensions = kept
	}
	b, err := asn1.Marshal(*tbs)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := parent.PrivateKey.(crypto.Signer).Sign(rand.Reader, b, crypto.Hash(0)) // the trial authorities' keys are Ed25519
	if err != nil {
		t.Fatal(err)
	}
	out, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: b}, l.SignatureAlgorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: out})
}

// Of a chain is told on what is on a way to an anchor, whatever else its signer put into it; and that alone holds as the
// whole does.
func TestWhatOfAChainIsNeeded(t *testing.T) {
	tr := newTrust(t)
	leaf := tr.issue(t, deskID, ca.IssueConfig{}).Leaf()
	root, _ := pem.Decode(read(t, tr.dir, "prison", "ca.pem"))
	stranger := newTrust(t).mint(t, "hub", edKey(t), func(c *x509.Certificate) { c.Subject.CommonName = "anything at all" }).Leaf
	other := tr.issue(t, deskID, ca.IssueConfig{}).Leaf()
	rapid.Check(t, func(t *rapid.T) {
		whole := [][]byte{leaf.Raw}
		for range rapid.IntRange(0, 3).Draw(t, "further") {
			whole = append(whole, rapid.SampledFrom([][]byte{root.Bytes, stranger.Raw, other.Raw, leaf.Raw}).Draw(t, "certificate"))
		}
		needed, err := tr.anchors.Needed(whole, now)
		if err != nil || len(needed) == 0 || !bytes.Equal(needed[0], leaf.Raw) {
			t.Fatalf("%d of %d are needed, %v", len(needed), len(whole), err)
		}
		for _, der := range needed {
			if bytes.Equal(der, stranger.Raw) || bytes.Equal(der, other.Raw) {
				t.Fatal("one that is on no way is told on")
			}
		}
		if again, err := tr.anchors.Needed(needed, now); err != nil || len(again) != len(needed) {
			t.Fatalf("what is needed does not hold: %v", err)
		}
	})
	for reason, c := range map[string][][]byte{
		"CERTIFICATE_CHAIN":  {leaf.Raw, []byte("noise")},
		"CERTIFICATE_ANCHOR": {newTrust(t).issue(t, deskID, ca.IssueConfig{}).Leaf().Raw},
	} {
		if needed, err := tr.anchors.Needed(c, now); needed != nil || reasonOf(err) != reason {
			t.Errorf("%d are needed, %q, want %q", len(needed), reasonOf(err), reason)
		}
	}
	if needed, err := tr.anchors.Needed([][]byte{leaf.Raw}, now.AddDate(100, 0, 0)); needed != nil || reasonOf(err) != "CERTIFICATE_TIME" {
		t.Errorf("%d are needed, %v", len(needed), err)
	}
}

// As long as a chain may be it holds, and no longer.
func TestTheLongestChain(t *testing.T) {
	tr := newTrust(t)
	leaf := tr.issue(t, deskID, ca.IssueConfig{}).Leaf()
	if _, err := tr.anchors.Verify(chain(leaf, leaf, leaf, leaf), now); err != nil {
		t.Error(err)
	}
	for _, c := range [][]*x509.Certificate{nil, chain(leaf, leaf, leaf, leaf, leaf)} {
		_, err := tr.anchors.Verify(c, now)
		wantFault(t, err, fault.Unverified, "CERTIFICATE_CHAIN")
	}
}

func TestTheLongestDomain(t *testing.T) {
	label := strings.Repeat("a", 62) + "."
	if longest := strings.Repeat(label, 4) + "a"; len(longest) != 253 || !identity.ValidDomain(longest) || identity.ValidDomain("a"+longest) {
		t.Errorf("a domain of %d characters: %v, of one more %v", len(longest), identity.ValidDomain(longest), identity.ValidDomain("a"+longest))
	}
}
