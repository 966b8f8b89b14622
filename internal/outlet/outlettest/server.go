// Package outlettest is a mail server for tests: a real one, that speaks SMTP over TLS on a socket, signs in whoever knows
// its one password, and keeps what it took. Mailboxes that begin with nobody@ it does not have. It sends nothing on.
package outlettest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"postern/internal/outlet"
)

// Server is a mail server: real SMTP over a real socket, with a certificate of its own.
type Server struct {
	Address string
	Roots   *x509.CertPool

	mu    sync.Mutex // owns the two below: each connection has a goroutine
	mails []Mail
	fails error
}

// Mail is what it took.
type Mail struct {
	From, To, Text string
	SignedIn       bool
}

// Mails are the mails it took, in their order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Fail lets it answer every mail with an error from now on; with nil it takes them again.
func (s *Server) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

type session struct {
	*Server
	got Mail
}

// NewSession begins to listen to somebody, as go-smtp asks.
func (s *Server) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{Server: s}, nil }

func (c *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "postern" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		c.got.SignedIn = true
		return nil
	}), nil
}
func (c *session) Mail(from string, _ *smtp.MailOptions) error { c.got.From = from; return nil }
func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.got.To = to
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, Message: "no " + to}
	}
	return nil
}
func (c *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		return c.fails
	}
	c.got.Text = string(b)
	c.mails = append(c.mails, c.got)
	return nil
}
func (c *session) Reset()        {}
func (c *session) Logout() error { return nil }

// Serve starts a server on a free port until the test ends; without TLS it speaks none.
func Serve(t *testing.T, withTLS bool) *Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Roots: x509.NewCertPool()}
	s.Roots.AddCert(leaf)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = listener.Addr().String()
	srv := smtp.NewServer(s)
	srv.Domain = "mail.council.example"
	if withTLS {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(listener) // it ends when it is closed
	}()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return s
}

// Sender is a way to send by this server, as a team would have set it up.
func (s *Server) Sender() outlet.Mail {
	return outlet.Mail{Server: s.Address, Roots: s.Roots, From: "postern@council.example", Link: "https://inbox.council.example/", Timeout: time.Minute}
}
