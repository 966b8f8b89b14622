//go:build crash

package crash

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/identity/ca"
)

// remark is one line of testssl.sh's JSON.
type remark struct{ ID, Severity, Finding string }

// allowed is what testssl.sh says of a sound server of ours, by the name of the finding: how bad it finds it, and why we
// do not. Everything else from WARN up fails, since a finding that nobody has read may be the bad one.
var allowed = map[string]struct{ severity, why string }{
	"engine_problem":  {"WARN", "it speaks of the scanner's own openssl, and of GOST ciphers"},
	"cert_trust":      {"HIGH", "it looks for a host name: a party is the URI of its certificate, checked by package identity"},
	"cert_revocation": {"HIGH", "lists come as files with the anchors: a party asks nobody on the network whom it may believe"},
	"DNS_CAArecord":   {"LOW", "CAA speaks of public authorities: ours are private anchors, and the scan is of an address"},
}

// unread is allowed besides for a certificate with an Ed25519 key, which this scanner cannot ask for.
var unread = map[string]struct{ severity, why string }{
	"scanProblem": {"WARN", "testssl.sh 3.0 offers RSA and ECDSA only when it fetches the certificate; the P-256 scan reads it"},
}

// asked is what a scan must have found out: one that stopped early would otherwise look clean.
var asked = map[string]string{
	"SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered", "TLS1_2": "not offered", "TLS1_3": "offered with final",
	"ALPN_HTTP2": "h2", "cipherlist_NULL": "not offered", "cipherlist_EXPORT": "not offered", "cipherlist_STRONG": "offered",
	"TLS_session_ticket": "no -- no lifetime advertised", "sessionresumption_ticket": "not supported", "sessionresumption_ID": "No Session ID, no resumption",
	"heartbleed": "not vulnerable, no heartbeat extension", "secure_client_renego": "not vulnerable, TLS 1.3 only",
}

// judge says what is wrong with a scan. certificate is whether the scanner could read the certificate.
func judge(scan []remark, certificate bool) (faults []string) {
	found := map[string]bool{}
	for _, r := range scan {
		found[r.ID] = true
		if want, ok := asked[r.ID]; ok && r.Finding != want {
			faults = append(faults, fmt.Sprintf("%s is %q, want %q", r.ID, r.Finding, want))
		}
		if slices.Contains([]string{"OK", "INFO", "DEBUG"}, r.Severity) {
			continue
		}
		excuse, ok := allowed[r.ID]
		if !ok && !certificate {
			excuse = unread[r.ID]
		}
		if excuse.severity != r.Severity {
			faults = append(faults, fmt.Sprintf("%s %s: %s", r.Severity, r.ID, r.Finding))
		}
	}
	for id := range asked {
		if !found[id] {
			faults = append(faults, "the scan says nothing of "+id)
		}
	}
	for id := range allowed {
		if certificate && !found[id] {
			faults = append(faults, "the scan says nothing of "+id+" any more: strike it out")
		}
	}
	slices.Sort(faults)
	return faults
}

// manners is an openssl for testssl.sh 3.0, which has no option for a client certificate: one that shows the certificate
// and asks for HTTP/2. Without both, whether s_client ends well is a race between its own end and our refusal.
func manners(t *testing.T, dir, cert, key string) string {
	t.Helper()
	path := filepath.Join(dir, "openssl")
	script := fmt.Sprintf("#!/bin/sh\ncase $1 in s_client) shift; exec openssl s_client -cert '%s' -key '%s' -alpn h2 \"$@\";; esac\nexec openssl \"$@\"\n", cert, key)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// scan runs testssl.sh against an address.
func scan(t *testing.T, dir, address string, more ...string) []remark {
	t.Helper()
	out := filepath.Join(dir, "scan.json")
	args := append([]string{"--quiet", "--color", "0", "--warnings", "batch", "--ip", "one", "--jsonfile", out}, more...)
	cmd := exec.Command("testssl", append(args, address)...)
	cmd.Env = append(os.Environ(), "TERM=dumb")
	cmd.Dir = dir
	said, err := cmd.CombinedOutput() // its exit code counts findings, and the JSON has them
	text, readErr := os.ReadFile(out)
	if readErr != nil {
		t.Fatalf("testssl left no result (%v): install testssl.sh\n%s", err, said)
	}
	var remarks []remark
	if err := json.Unmarshal(text, &remarks); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !slices.ContainsFunc(remarks, func(r remark) bool { return r.ID == "TLS1_3" }) {
		t.Logf("the scan of %s did not get far:\n%s", address, said)
	}
	return remarks
}

// whole is a scan of protocols, ciphers, preferences, defaults and every vulnerability it knows.
var whole = []string{"-p", "-s", "-P", "-S", "-U"}

// TestTLS holds a scanner that others wrote, and crypto/tls as a client of no manners, against processes that serve.
func TestTLS(t *testing.T) {
	w := newWorld(t, 1, must(release())(t))
	file := func(parts ...string) string { return filepath.Join(append([]string{w.dir}, parts...)...) }
	if err := ca.Issue(file("ca"), "spiffe://demo.postern.example/hub/demo", ca.IssueConfig{OutCert: file("hub", "cert.pem"), OutKey: file("hub", "key.pem"), P256: true, Days: 90}); err != nil {
		t.Fatal(err)
	}
	w.start(hub, bristol)
	address := func(name string) string {
		m := regexp.MustCompile(`(?m)^listen: (.*)$`).FindSubmatch(must(os.ReadFile(w.config(name)))(t))
		if m == nil {
			t.Fatalf("%s has no port", name)
		}
		return string(m[1])
	}
	var scans sync.WaitGroup
	for _, c := range []struct {
		name, client, anchor string
		certificate          bool // P-256, which the scanner can read; the inbox has Ed25519
	}{{hub, deskBLI, "hub", true}, {bristol, hub, "authority", false}} {
		scans.Go(func() {
			dir := t.TempDir()
			openssl := manners(t, dir, file(c.client, "cert.pem"), file(c.client, "key.pem"))
			for _, fault := range judge(scan(t, dir, address(c.name), append(slices.Clone(whole), "--openssl", openssl, "--add-ca", file("ca", c.anchor, "ca.pem"))...), c.certificate) {
				t.Errorf("%s: %s", c.name, fault)
			}
		})
	}
	scans.Wait()
	for _, c := range []struct{ server, client string }{{hub, deskBLI}, {bristol, hub}} {
		own := must(tls.LoadX509KeyPair(file(c.client, "cert.pem"), file(c.client, "key.pem")))(t)
		refusals(t, c.server, address(c.server), own)
	}
	t.Logf("hub and inbox scanned: %d findings each must be made, %d are excused", len(asked), len(allowed))
	w.end(hub, bristol)
}

// refusals dials a party with a certificate that it believes and everything else wrong.
func refusals(t *testing.T, name, address string, own tls.Certificate) {
	t.Helper()
	cache := &tickets{}
	client := func(change func(*tls.Config)) (tls.ConnectionState, error) {
		cfg := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}, NextProtos: []string{"h2"}, ServerName: "postern", ClientSessionCache: cache}
		change(cfg)
		conn, err := tls.Dial("tcp", address, cfg)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		// A refused client learns of it with the first read; an HTTP/2 server speaks first when it is pleased.
		_, err = io.ReadFull(conn, make([]byte, 9))
		return conn.ConnectionState(), err
	}
	for range 3 {
		if s, err := client(func(*tls.Config) {}); err != nil || s.DidResume || s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "h2" {
			t.Errorf("%s: a good client gets %v, resumed %v, %x", name, err, s.DidResume, s.Version)
		}
	}
	if cache.puts > 0 {
		t.Errorf("%s gives %d session tickets", name, cache.puts)
	}
	for what, change := range map[string]func(*tls.Config){
		"TLS 1.2":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
		"TLS 1.0":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 },
		"HTTP/1.1":       func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} },
		"no protocol":    func(c *tls.Config) { c.NextProtos = nil },
		"no certificate": func(c *tls.Config) { c.Certificates = nil },
		"self-signed":    func(c *tls.Config) { c.Certificates = []tls.Certificate{selfSigned(t)} },
	} {
		if _, err := client(change); err == nil {
			t.Errorf("%s takes a client with %s", name, what)
		}
	}
}

// tickets is a session cache that counts what it is given.
type tickets struct{ puts int }

// Get finds nothing.
func (c *tickets) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put counts.
func (c *tickets) Put(string, *tls.ClientSessionState) { c.puts++ }

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestAWeakServerIsFoundOut is the control: a server that takes TLS 1.0 and gives tickets does not pass, and neither does
// a scan that found nothing.
func TestAWeakServerIsFoundOut(t *testing.T) {
	weak := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}))(t)
	var served sync.WaitGroup
	served.Go(func() { answer(weak) })
	said := strings.Join(judge(scan(t, t.TempDir(), weak.Addr().String(), "-p", "-s"), false), "\n")
	if err := weak.Close(); err != nil {
		t.Error(err)
	}
	served.Wait()
	for _, want := range []string{`TLS1 is "offered`, `TLS1_2 is "offered`, "LOW TLS1: ", "the scan says nothing of heartbleed"} {
		if !strings.Contains(said, want) {
			t.Errorf("not found out: %s, in\n%s", want, said)
		}
	}
	if faults := judge(nil, true); len(faults) != len(asked)+len(allowed) {
		t.Errorf("an empty scan: %s", faults)
	}
}

// answer takes connections until the listener ends.
func answer(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(io.Discard, conn) // the handshake is with the first read
		}()
	}
}
