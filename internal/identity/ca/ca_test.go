package ca_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

const domain = "postern.example"

var now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func initialised(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if err := ca.Init(dir, ca.Config{Domain: domain, Now: now}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func anchorsOf(t *testing.T, dir string) *identity.Anchors {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, err := identity.NewAnchors(identity.AnchorConfig{
		Domain: domain, Prison: read("prison"), Authority: read("authority"), Hub: read("hub"), Auditor: read("auditor"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wantFault(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Kind != kind || f.Reason != reason {
		t.Fatalf("%v; want %v %s", err, kind, reason)
	}
}

// A key that another party has nowhere else is not written over.
func TestNoOtherPartysKeyIsWrittenOver(t *testing.T) {
	dir, out := initialised(t), t.TempDir()
	cfg := ca.IssueConfig{OutCert: filepath.Join(out, "cert.pem"), OutKey: filepath.Join(out, "key.pem"), Now: now, Days: 2}
	if err := ca.Issue(dir, "spiffe://postern.example/prison/BLI/desk", cfg); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(cfg.OutKey)
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, ca.Issue(dir, "spiffe://postern.example/hub/one", cfg), fault.Precondition, "CA_OTHER")
	if err := os.Remove(cfg.OutCert); err != nil {
		t.Fatal(err)
	}
	wantFault(t, ca.Issue(dir, "spiffe://postern.example/prison/BLI/desk", cfg), fault.Precondition, "CA_KEY")
	if after, err := os.ReadFile(cfg.OutKey); err != nil || string(after) != string(before) {
		t.Errorf("the key is another one now: %v", err)
	}
}

func TestEveryPartyIsIssuedFromItsOwnAnchor(t *testing.T) {
	dir := initialised(t)
	anchors := anchorsOf(t, dir)
	for _, uri := range []string{
		"spiffe://postern.example/prison/BLI/desk",
		"spiffe://postern.example/authority/E06000023/inbox",
		"spiffe://postern.example/authority/E10000017/inbox",
		"spiffe://postern.example/hub/one",
		"spiffe://postern.example/operator/one",
		"spiffe://postern.example/auditor/one",
	} {
		out := t.TempDir()
		for _, p256 := range []bool{false, true} {
			cfg := ca.IssueConfig{OutCert: filepath.Join(out, "new", "cert.pem"), OutKey: filepath.Join(out, "new", "key.pem"), Now: now, Days: 2, P256: p256}
			if err := ca.Issue(dir, uri, cfg); err != nil {
				t.Fatal(uri, err)
			}
			i, err := identity.Load(cfg.OutCert, cfg.OutKey)
			if err != nil {
				t.Fatal(uri, err)
			}
			if p, err := anchors.Verify([]*x509.Certificate{i.Leaf()}, now); err != nil || p.URI() != uri {
				t.Fatalf("%s: %v, %v", uri, p, err)
			}
			switch i.Leaf().PublicKey.(type) {
			case ed25519.PublicKey:
				if p256 {
					t.Error("Ed25519 where P-256 was asked for")
				}
			case *ecdsa.PublicKey:
				if !p256 {
					t.Error("P-256 where Ed25519 is the default")
				}
			}
			if want := now.AddDate(0, 0, 2); !i.Leaf().NotAfter.Equal(want) {
				t.Errorf("holds until %v, want %v", i.Leaf().NotAfter, want)
			}
		}
	}
}

func TestKeysAreTheirOwnersOnly(t *testing.T) {
	dir := initialised(t)
	cfg := ca.IssueConfig{OutCert: filepath.Join(dir, "hub.pem"), OutKey: filepath.Join(dir, "hub-key.pem"), Now: now}
	if err := ca.Issue(dir, "spiffe://postern.example/hub/one", cfg); err != nil {
		t.Fatal(err)
	}
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			if info.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %o", d.Name(), info.Mode().Perm())
			}
		case d.Name() == "ca.pem" || d.Name() == "crl.pem" || d.Name() == "hub.pem" || filepath.Base(filepath.Dir(path)) == "issued":
			if info.Mode().Perm() != 0o644 {
				t.Errorf("%s has mode %o", d.Name(), info.Mode().Perm())
			}
		default: // keys, and anything we forgot
			keys++
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %o", d.Name(), info.Mode().Perm())
			}
		}
		return nil
	})
	if err != nil || keys != 5 {
		t.Fatalf("%d keys, %v", keys, err)
	}
}

func TestInitOverwritesNothing(t *testing.T) {
	dir := initialised(t)
	file := filepath.Join(dir, "hub", "ca-key.pem")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, ca.Init(dir, ca.Config{Domain: domain, Now: now}), fault.Exists, "CA_EXISTS")
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Fatal("the key of the hub anchor changed", err)
	}
}

func TestAnAuthorityThatCannotIsAFault(t *testing.T) {
	dir := initialised(t)
	out := filepath.Join(t.TempDir(), "out")
	good := ca.IssueConfig{OutCert: out + ".pem", OutKey: out + "-key.pem", Now: now}
	hub := "spiffe://postern.example/hub/one"

	wantFault(t, ca.Init(t.TempDir(), ca.Config{Domain: "Not A Domain"}), fault.Invalid, "CA_DOMAIN")
	wantFault(t, ca.Init(filepath.Join(dir, "hub", "ca.pem"), ca.Config{Domain: domain}), fault.Unavailable, "CA_FILE")
	wantFault(t, ca.Issue(dir, "spiffe://postern.example/hub/", good), fault.Invalid, "PARTY_URI")
	wantFault(t, ca.Issue(dir, "spiffe://other.example/hub/one", good), fault.Invalid, "CA_DOMAIN")
	wantFault(t, ca.Issue(t.TempDir(), hub, good), fault.Precondition, "CA_MISSING")
	wantFault(t, ca.Issue(dir, hub, ca.IssueConfig{}), fault.Invalid, "CA_ISSUE")
	wantFault(t, ca.Issue(dir, hub, ca.IssueConfig{OutCert: good.OutCert, OutKey: good.OutKey, Days: -1}), fault.Invalid, "CA_ISSUE")
	if _, err := os.Stat(good.OutKey); !os.IsNotExist(err) {
		t.Fatal("a refused certificate left a key")
	}
}

func TestNoCertificateOutlivesItsAnchor(t *testing.T) {
	dir := initialised(t)
	out := filepath.Join(t.TempDir(), "out")
	cfg := ca.IssueConfig{OutCert: out + ".pem", OutKey: out + "-key.pem", Now: now, Days: 365 * 50}
	if err := ca.Issue(dir, "spiffe://postern.example/hub/one", cfg); err != nil {
		t.Fatal(err)
	}
	i, err := identity.Load(cfg.OutCert, cfg.OutKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anchorsOf(t, dir).Verify([]*x509.Certificate{i.Leaf()}, i.Leaf().NotAfter); err != nil {
		t.Fatalf("at its last second: %v", err)
	}
}

// A certificate for a request is for the request's key, by the right anchor, and no key is written by whoever issues.
func TestARequestKeepsItsKey(t *testing.T) {
	dir := initialised(t)
	anchors := anchorsOf(t, dir)
	const desk = "spiffe://postern.example/prison/BLI/desk"
	for _, p256 := range []bool{false, true} {
		there := t.TempDir()
		file := func(name string) string { return filepath.Join(there, name) }
		if err := ca.Request(desk, ca.RequestConfig{OutRequest: file("request.pem"), OutKey: file("key.pem"), P256: p256}); err != nil {
			t.Fatal(err)
		}
		request, err := os.ReadFile(file("request.pem"))
		if err != nil {
			t.Fatal(err)
		}
		if err := ca.Issue(dir, desk, ca.IssueConfig{OutCert: file("cert.pem"), Request: request, Now: now}); err != nil {
			t.Fatal(err)
		}
		i, err := identity.Load(file("cert.pem"), file("key.pem")) // they make a pair
		if err != nil {
			t.Fatal(err)
		}
		if p, err := anchors.Verify([]*x509.Certificate{i.Leaf()}, now); err != nil || p.URI() != desk {
			t.Errorf("%v, %v", p, err)
		}
		wantFault(t, ca.Request(desk, ca.RequestConfig{OutRequest: file("request.pem"), OutKey: file("key.pem")}), fault.Exists, "CA_KEY_EXISTS")
		wantFault(t, ca.Issue(dir, "spiffe://postern.example/prison/PRI/desk", ca.IssueConfig{OutCert: file("x.pem"), Request: request, Now: now}), fault.Invalid, "CA_REQUEST")
		wantFault(t, ca.Issue(dir, desk, ca.IssueConfig{OutCert: file("x.pem"), OutKey: file("x-key.pem"), Request: request, Now: now}), fault.Invalid, "CA_ISSUE")
	}
}

// What is no request, or whose signature is not that of its key, is refused, and nothing is issued.
func TestWhatIsNoRequestIsRefused(t *testing.T) {
	dir := initialised(t)
	const desk = "spiffe://postern.example/prison/BLI/desk"
	request := func(template x509.CertificateRequest, key any) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := request(x509.CertificateRequest{}, ed)
	forged, _ := pem.Decode(good)
	forged.Bytes[len(forged.Bytes)-1] ^= 1
	for name, text := range map[string][]byte{
		"nothing": {}, "no PEM": []byte("x"), "two": append(good, good...), "another block": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: forged.Bytes}),
		"a forged signature": pem.EncodeToMemory(forged), "P-384": request(x509.CertificateRequest{}, p384),
		"another party's": request(x509.CertificateRequest{URIs: []*url.URL{{Scheme: "spiffe", Host: domain, Path: "/hub/one"}}}, ed),
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "cert.pem")
			wantFault(t, ca.Issue(dir, desk, ca.IssueConfig{OutCert: out, Request: text, Now: now}), fault.Invalid, "CA_REQUEST")
			if _, err := os.Stat(out); !os.IsNotExist(err) {
				t.Error("a certificate was written")
			}
		})
	}
	if all, err := ca.List(dir); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}
