package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
)

// talk runs one TLS connection over loopback: the client sends a byte and the server sends it back. In TLS 1.3 a
// client learns of its refusal with the first read only, so a handshake alone would prove nothing.
func talk(t *testing.T, server, client *tls.Config) (cs tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := lis.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		done <- echo(tls.Server(conn, server))
	}()
	raw, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(5 * time.Second))
	conn := tls.Client(raw, client)
	clientErr = echoed(conn)
	cs = conn.ConnectionState()
	raw.Close()
	return cs, <-done, clientErr
}

func echo(conn *tls.Conn) error {
	b := make([]byte, 1)
	if _, err := io.ReadFull(conn, b); err != nil {
		return err
	}
	_, err := conn.Write(b)
	return err
}

func echoed(conn *tls.Conn) error {
	if _, err := conn.Write([]byte{7}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

// pair is a hub's server and a desk's client that trust one another.
func pair(t *testing.T, tr trust) (server, client *tls.Config) {
	t.Helper()
	hub, desk := tr.issue(t, hubID, ca.IssueConfig{}), tr.issue(t, deskID, ca.IssueConfig{P256: true})
	return identity.ServerTLS(hub, tr.anchors, clock), identity.ClientTLS(desk, tr.anchors, hub.Party(), clock)
}

func TestTwoPartiesMeet(t *testing.T) {
	server, client := pair(t, newTrust(t))
	cs, serverErr, clientErr := talk(t, server, client)
	if serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
	if cs.Version != tls.VersionTLS13 || cs.NegotiatedProtocol != "h2" || cs.DidResume {
		t.Fatalf("%x, %q, resumed %v", cs.Version, cs.NegotiatedProtocol, cs.DidResume)
	}
}

// show makes a configuration show these certificates instead of its identity's.
func show(c *tls.Config, certs ...tls.Certificate) {
	c.GetCertificate, c.GetClientCertificate, c.Certificates = nil, nil, certs
}

func TestTheServerRefuses(t *testing.T) {
	tr, other := newTrust(t), newTrust(t)
	expired := *tr.issue(t, deskID, ca.IssueConfig{Now: now.AddDate(0, 0, -10), Days: 1}).Certificate()
	early := *tr.issue(t, deskID, ca.IssueConfig{Now: now.AddDate(0, 0, 10)}).Certificate()
	forged := tr.mint(t, "prison", edKey(t), func(c *x509.Certificate) { c.URIs = uris(t, hubID) })
	double := tr.mint(t, "prison", edKey(t), func(c *x509.Certificate) { c.URIs = uris(t, deskID, hubID) })
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.2":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
		"no certificate": func(c *tls.Config) { show(c) },
		"another protocol": func(c *tls.Config) {
			c.NextProtos, c.VerifyConnection = []string{"http/1.1"}, nil // or the client itself would refuse
		},
		"a stranger": func(c *tls.Config) {
			show(c, *other.issue(t, deskID, ca.IssueConfig{}).Certificate())
		},
		"expired":                  func(c *tls.Config) { show(c, expired) },
		"not yet valid":            func(c *tls.Config) { show(c, early) },
		"a hub signed by a prison": func(c *tls.Config) { show(c, forged) },
		"two URIs":                 func(c *tls.Config) { show(c, double) },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := pair(t, tr)
			change(client)
			if _, serverErr, clientErr := talk(t, server, client); serverErr == nil || clientErr == nil {
				t.Fatalf("server %v, client %v", serverErr, clientErr)
			}
		})
	}
}

func TestTheClientRefusesAnybodyElse(t *testing.T) {
	tr, other := newTrust(t), newTrust(t)
	for name, cert := range map[string]tls.Certificate{
		"another hub":              *tr.issue(t, hubID+"-b", ca.IssueConfig{}).Certificate(),
		"a desk":                   *tr.issue(t, deskID, ca.IssueConfig{}).Certificate(),
		"a stranger's hub":         *other.issue(t, hubID, ca.IssueConfig{}).Certificate(),
		"a hub signed by a prison": tr.mint(t, "prison", edKey(t), func(c *x509.Certificate) { c.URIs = uris(t, hubID) }),
		"an expired hub":           *tr.issue(t, hubID, ca.IssueConfig{Now: now.AddDate(0, 0, -10), Days: 1}).Certificate(),
	} {
		t.Run(name, func(t *testing.T) {
			server, client := pair(t, tr)
			show(server, cert)
			_, serverErr, clientErr := talk(t, server, client)
			if serverErr == nil {
				t.Fatal("the server was believed")
			}
			wantFault(t, clientErr, fault.Unverified, "PEER_IDENTITY")
		})
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		server, client := pair(t, tr)
		server.MinVersion, server.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		if _, _, err := talk(t, server, client); err == nil {
			t.Fatal("TLS 1.2 was taken")
		}
	})
}

// countingCache is a client that would resume if it could.
type countingCache struct {
	tls.ClientSessionCache
	puts int
}

func (c *countingCache) Put(key string, cs *tls.ClientSessionState) {
	c.puts++
	c.ClientSessionCache.Put(key, cs)
}

func TestNoSessionIsEverResumed(t *testing.T) {
	server, client := pair(t, newTrust(t))
	cache := &countingCache{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	client.ClientSessionCache = cache
	client.ServerName = "hub" // the key of the cache; otherwise it would be the port
	client.SessionTicketsDisabled = false
	for range 2 {
		cs, serverErr, clientErr := talk(t, server, client)
		if serverErr != nil || clientErr != nil || cs.DidResume {
			t.Fatal(serverErr, clientErr, cs.DidResume)
		}
	}
	if cache.puts != 0 {
		t.Fatalf("the server gave %d tickets", cache.puts)
	}
	t.Run("the test would notice", func(t *testing.T) {
		server.SessionTicketsDisabled = false
		if _, serverErr, clientErr := talk(t, server, client); serverErr != nil || clientErr != nil {
			t.Fatal(serverErr, clientErr)
		}
		if cache.puts == 0 {
			t.Fatal("no ticket where there must be one")
		}
		// A server that gives tickets is still safe: its own check refuses the resumed session.
		if _, serverErr, _ := talk(t, server, client); fault.KindOf(serverErr) != fault.Unverified {
			t.Fatalf("resumed: %v", serverErr)
		}
	})
}
