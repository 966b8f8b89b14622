package config_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
	"postern/internal/fault"
)

// roleOf is a role at each kind of party with a site.
var roleOf = map[string]string{"desk": "RECEPTION_OFFICER", "inbox": "DUTY_WORKER", "audit": "AUDITOR"}

func trial(role string) string {
	return "  sign_in: {trial: [{staff_id: T1, name: Robin Example, roles: [" + role + "]}]}\n"
}

// withSite adds a site to the configuration of a party, and loads it.
func withSite(t *testing.T, kind, yaml string) (party, error) {
	t.Helper()
	path := filepath.Join(folder(t), kind+".yaml")
	b, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(path, append(b, "web:\n"+yaml...), 0o600))
	return loaders[kind](path)
}

// served serves a party until it is stopped, or returns the error with which it ended at once.
func served(t *testing.T, p party, rt config.Runtime) (stop func() error, err error) {
	t.Helper()
	serving := make(chan struct{}, 1)
	rt.Log = slog.New(told{rt.Log.Handler(), serving})
	s, err := p.Build(t.Context(), rt)
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	select {
	case err := <-ended:
		cancel()
		return nil, err
	case <-serving:
		return func() error { cancel(); return <-ended }, nil
	}
}

// told tells when a party says that it serves.
type told struct {
	slog.Handler
	serving chan struct{}
}

func (told) Enabled(context.Context, slog.Level) bool { return true }

func (h told) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "serving" {
		h.serving <- struct{}{}
	}
	return nil
}

func TestASiteIsServedWithItsParty(t *testing.T) {
	for kind, role := range roleOf {
		t.Run(kind, func(t *testing.T) {
			p, err := withSite(t, kind, "  listen: 127.0.0.1:0\n"+trial(role))
			check(t, err)
			rt := runtime()
			rt.Web, err = net.Listen("tcp", "127.0.0.1:0")
			check(t, err)
			stop, err := served(t, p, rt)
			check(t, err)
			address := "http://" + rt.Web.Addr().String()
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			answer, err := client.Get(address + "/")
			check(t, err)
			answer.Body.Close()
			if to := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in") {
				t.Errorf("the first page answers %d and leads to %q", answer.StatusCode, to)
			}
			check(t, stop())
			if _, err := client.Get(address + "/"); err == nil {
				t.Error("the site goes on after its party")
			}
		})
	}
}

func TestATrialIsOnThisMachineOnly(t *testing.T) {
	for _, yaml := range []string{
		"  listen: 0.0.0.0:8443\n  url: https://desk.prison.example\n  behind_proxy: true\n",
		"  listen: 127.0.0.1:8443\n  url: https://desk.prison.example\n  behind_proxy: true\n",
		"  listen: 192.0.2.1:8443\n  url: https://desk.prison.example\n  certificate: c.pem\n  key: k.pem\n",
		"  listen: \"[::]:8443\"\n  url: https://desk.prison.example\n  certificate: c.pem\n  key: k.pem\n",
	} {
		for kind, role := range roleOf {
			if _, err := withSite(t, kind, yaml+trial(role)); !slices.Contains(paths(err), "web.sign_in.trial") {
				t.Errorf("%s: a trial is served with\n%s%v", kind, yaml, err)
			}
		}
	}
	// What the file says is right, and somebody opened another port: still nobody is served.
	p, err := withSite(t, "desk", "  listen: 127.0.0.1:0\n"+trial("RECEPTION_OFFICER"))
	check(t, err)
	rt := runtime()
	rt.Web, err = net.Listen("tcp", "0.0.0.0:0")
	check(t, err)
	if _, err = served(t, p, rt); fault.From(err).Reason != "TRIAL_ABROAD" {
		t.Errorf("served a trial to the network: %v", err)
	}
	if _, err := net.Dial("tcp", rt.Web.Addr().String()); err == nil {
		t.Error("the port stayed open")
	}
}

func TestFaultsOfASiteAreNamed(t *testing.T) {
	for yaml, want := range map[string][]string{
		"  listen: 127.0.0.1:0\n":                                                                                                {"web.sign_in"},
		"  listen: 0.0.0.0:1\n  sign_in: {}\n":                                                                                   {"web.certificate", "web.sign_in", "web.url"},
		"  listen: desk.example\n" + trial("RECEPTION_OFFICER"):                                                                  {"web.certificate", "web.listen", "web.sign_in.trial", "web.url"},
		"  listen: 127.0.0.1:0\n  url: http://desk.prison.example\n" + trial("RECEPTION_OFFICER"):                                {"web.url"},
		"  listen: 127.0.0.1:0\n  url: https://desk.prison.example/here\n" + trial("RECEPTION_OFFICER"):                          {"web.url"},
		"  listen: 127.0.0.1:0\n  certificate: c.pem\n" + trial("RECEPTION_OFFICER"):                                             {"web.certificate"},
		"  listen: 127.0.0.1:0\n  idle_minutes: -1\n" + trial("RECEPTION_OFFICER"):                                               {"web.idle_minutes"},
		"  listen: 127.0.0.1:0\n" + trial("DUTY_WORKER"):                                                                         {"web.sign_in.trial[0].roles[0]"},
		"  listen: 127.0.0.1:0\n  sign_in: {trial: [{staff_id: T1, name: A}, {staff_id: T1, name: B, roles: [RESETTLEMENT]}]}\n": {"web.sign_in.trial[0].roles", "web.sign_in.trial[1]"},
		"  listen: 127.0.0.1:0\n  colour: \"#000000\"\n  port: 1\n" + trial("RECEPTION_OFFICER"):                                 {"web.port"},
	} {
		_, err := withSite(t, "desk", yaml)
		if got := paths(err); !slices.Equal(got, want) {
			t.Errorf("%snamed %v, want %v", yaml, got, want)
		}
		for _, f := range fault.From(err).Fields {
			if f.Reason == "" || f.Fix == "" {
				t.Errorf("%s has no reason or no fix", f.Path)
			}
		}
	}
}

const openID = `  listen: 127.0.0.1:0
  url: https://desk.prison.example
  sign_in:
    openid:
      issuer: https://sign-in.example/auth/issuer
      client_id: postern-desk
      roles_claim: authorities
      roles: {ROLE_POSTERN_RECEPTION: RECEPTION_OFFICER}
  controller: {name: HMP Example, contact: privacy@prison.example}
`

func TestFaultsOfAProviderAreNamed(t *testing.T) {
	if _, err := withSite(t, "desk", openID); err != nil {
		t.Fatal(err)
	}
	for change, want := range map[[2]string]string{
		{"issuer: https:", "issuer: http:"}:                                                         "web.sign_in.openid.issuer",
		{"client_id: postern-desk", "client_id: ''"}:                                                "web.sign_in.openid.client_id",
		{"roles_claim: authorities", "roles_claim: ''"}:                                             "web.sign_in.openid.roles_claim",
		{"{ROLE_POSTERN_RECEPTION: RECEPTION_OFFICER}", "{}"}:                                       "web.sign_in.openid.roles",
		{": RECEPTION_OFFICER}", ": DUTY_WORKER}"}:                                                  "web.sign_in.openid.roles.ROLE_POSTERN_RECEPTION",
		{"client_id:", "algorithms: [RS256, none]\n      client_id:"}:                               "web.sign_in.openid.algorithms[1]",
		{"client_id:", "algorithms: [HS256]\n      client_id:"}:                                     "web.sign_in.openid.algorithms[0]",
		{"client_id:", "claims: cookie\n      client_id:"}:                                          "web.sign_in.openid.claims",
		{"client_id:", "sign_out: 'http://sign-in.example/'\n      client_id:"}:                     "web.sign_in.openid.sign_out",
		{"client_id:", "recheck_minutes: -1\n      client_id:"}:                                     "web.sign_in.openid.recheck_minutes",
		{"client_id:", "secret: x\n      client_id:"}:                                               "web.sign_in.openid.secret",
		{"  url: https://desk.prison.example\n", ""}:                                                "web.url",
		{", contact: privacy@prison.example", ""}:                                                   "web.controller",
		{"name: HMP Example, ", ""}:                                                                 "web.controller",
		{"    openid:", "    trial: [{staff_id: T1, name: A, roles: [RESETTLEMENT]}]\n    openid:"}: "web.sign_in",
	} {
		yaml := strings.Replace(openID, change[0], change[1], 1)
		if _, err := withSite(t, "desk", yaml); !slices.Equal(paths(err), []string{want}) {
			t.Errorf("%s\nnamed %v, want %s", yaml, paths(err), want)
		}
	}
}

// Whether the provider answers must not decide whether a prison can work.
func TestAPartyStartsWhileItsProviderIsDown(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, nobody.Close())
	p, err := withSite(t, "desk", strings.Replace(openID, "https://sign-in.example", "http://"+nobody.Addr().String(), 1))
	check(t, err)
	rt := runtime()
	rt.Web, err = net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	stop, err := served(t, p, rt)
	check(t, err)
	r, err := http.NewRequest("GET", "http://"+rt.Web.Addr().String()+"/sign-in", nil)
	check(t, err)
	r.Host = "desk.prison.example"
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("signing in answers %d", answer.StatusCode)
	}
	check(t, stop())
}

// A colour on which nothing can be read is found when the site is made, and said.
func TestALookThatCannotBeUsedIsSaid(t *testing.T) {
	for _, yaml := range []string{"  colour: \"#ffff00\"\n", "  logo: absent.svg\n"} {
		p, err := withSite(t, "desk", "  listen: 127.0.0.1:0\n"+yaml+trial("RECEPTION_OFFICER"))
		check(t, err)
		if _, err := served(t, p, runtime()); fault.KindOf(err) != fault.Precondition || !strings.Contains(err.Error(), "web") {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

// certificate writes a certificate for browsers and its key, and returns its serial number.
func certificate(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"desk.prison.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "web.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "web.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	later := time.Now().Add(time.Duration(serial) * time.Minute) // two writes within one tick of the file system's clock
	check(t, os.Chtimes(filepath.Join(dir, "web.pem"), later, later))
}

func TestBrowsersComeOverTLSAndSeeARenewedCertificate(t *testing.T) {
	p, err := withSite(t, "desk", "  listen: 127.0.0.1:0\n  url: https://desk.prison.example\n  certificate: web.pem\n  key: web.key\n"+trial("RECEPTION_OFFICER"))
	check(t, err)
	dir := filepath.Dir(filepath.Dir(filepath.Dir(p.Socket())))
	certificate(t, dir, 1)
	rt := runtime()
	rt.Web, err = net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	stop, err := served(t, p, rt)
	check(t, err)
	get := func(versions ...uint16) (*http.Response, error) {
		shown := &tls.Config{InsecureSkipVerify: true, ServerName: "desk.prison.example"} // whose it is, the test compares
		if len(versions) > 0 {
			shown.MaxVersion = versions[0]
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: shown, DisableKeepAlives: true}}
		r, err := http.NewRequest("GET", "https://"+rt.Web.Addr().String()+"/sign-in", nil)
		check(t, err)
		r.Host = "desk.prison.example"
		return client.Do(r)
	}
	for serial := int64(1); serial <= 2; serial++ {
		answer, err := get()
		check(t, err)
		answer.Body.Close()
		if answer.StatusCode != 200 || answer.Header.Get("Strict-Transport-Security") == "" || answer.TLS.PeerCertificates[0].SerialNumber.Int64() != serial {
			t.Errorf("answered %d with the certificate %d, want %d", answer.StatusCode, answer.TLS.PeerCertificates[0].SerialNumber, serial)
		}
		certificate(t, dir, 2)
	}
	check(t, os.WriteFile(filepath.Join(dir, "web.pem"), []byte("half a file"), 0o600))
	if answer, err := get(); err != nil || answer.TLS.PeerCertificates[0].SerialNumber.Int64() != 2 {
		t.Errorf("half a file took the good certificate away: %v", err)
	}
	if _, err := get(tls.VersionTLS12); err == nil {
		t.Error("an old version of TLS is answered")
	}
	if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
