package identity_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

// Anchors that remember decide at every time as anchors that were made a moment ago. The chain has two ways up, through
// one middle that was signed by two roots at different times, so that more than one span counts.
func TestWhatIsRememberedIsWhatWouldBeDecidedAfresh(t *testing.T) {
	dir := t.TempDir()
	if err := ca.Init(dir, ca.Config{Domain: domain, Now: now}); err != nil {
		t.Fatal(err)
	}
	between := func(from, to int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.Add(time.Duration(from)*time.Second), now.Add(time.Duration(to)*time.Second)
		}
	}
	authority := func(name string, from, to int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			between(from, to)(c)
			c.IsCA, c.URIs, c.ExtKeyUsage, c.KeyUsage = true, nil, nil, x509.KeyUsageCertSign
			c.Subject = pkix.Name{CommonName: name}
		}
	}
	oneKey, twoKey, midKey := edKey(t), edKey(t), edKey(t)
	one := sign(t, selfParent(t, oneKey, authority("one", -90, 40)), oneKey, authority("one", -90, 40))
	two := sign(t, selfParent(t, twoKey, authority("two", -20, 95)), twoKey, authority("two", -20, 95))
	midOne := sign(t, one, midKey, authority("middle", -60, 10))
	midTwo := sign(t, two, midKey, authority("middle", 25, 70))
	leaf := sign(t, midOne, edKey(t), between(-50, 60))
	cfg := anchorConfig(t, dir)
	cfg.Prison = join(pemOf(one.Leaf), pemOf(two.Leaf))
	made := func() *identity.Anchors {
		a, err := identity.NewAnchors(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	whole := chain(leaf.Leaf, midOne.Leaf, midTwo.Leaf)
	raw := [][]byte{leaf.Leaf.Raw, midOne.Leaf.Raw, midTwo.Leaf.Raw}
	rapid.Check(t, func(t *rapid.T) {
		warm, good := made(), 0
		for range 30 {
			at := now.Add(time.Duration(rapid.Int64Range(-100_000, 100_000).Draw(t, "milliseconds")) * time.Millisecond)
			fresh, wrong := made().Verify(whole, at)
			if p, c, ok := warm.Known(raw, at); ok && (wrong != nil || p != fresh || !c.Equal(leaf.Leaf)) {
				t.Fatalf("known at %v, where afresh it is %v", at, wrong)
			}
			got, err := warm.Verify(whole, at)
			if got != fresh || (err == nil) != (wrong == nil) || err != nil && err.Error() != wrong.Error() {
				t.Fatalf("at %v: %v, %v; afresh %v, %v", at, got, err, fresh, wrong)
			}
			if err == nil {
				good++
			}
		}
		if _, _, ok := warm.Known(raw, now); ok && good == 0 {
			t.Fatal("known though nothing ever held")
		}
	})
}

func TestOnlyTheVeryBytesAreRemembered(t *testing.T) {
	tr := newTrust(t)
	leaf := tr.issue(t, deskID, ca.IssueConfig{}).Leaf()
	if _, _, ok := tr.anchors.Known([][]byte{leaf.Raw}, now); ok {
		t.Fatal("known before it was ever verified")
	}
	if _, err := tr.anchors.Verify(chain(leaf), now); err != nil {
		t.Fatal(err)
	}
	if p, _, ok := tr.anchors.Known([][]byte{leaf.Raw}, now); !ok || p.URI() != deskID {
		t.Fatal("not known after it was verified")
	}
	for name, other := range map[string][][]byte{
		"nothing": nil, "twice": {leaf.Raw, leaf.Raw}, "in two pieces": {leaf.Raw[:9], leaf.Raw[9:]}, "one byte more": {append(leaf.Raw[:len(leaf.Raw):len(leaf.Raw)], 0)},
	} {
		if _, _, ok := tr.anchors.Known(other, now); ok {
			t.Errorf("%s: known", name)
		}
	}
	if _, err := newTrust(t).anchors.Verify(chain(leaf), now); fault.KindOf(err) != fault.Unverified {
		t.Errorf("other anchors: %v", err)
	}
}
