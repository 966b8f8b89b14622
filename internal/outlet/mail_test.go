package outlet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"postern/internal/fault"
	"postern/internal/outlet"
)

// server is a mail server: real SMTP over a real socket, with a certificate of its own.
type server struct {
	address string
	roots   *x509.CertPool

	mu    sync.Mutex
	mails []received
	error error // what it answers to DATA
}

type received struct {
	from, to, text string
	signedIn       bool
}

type session struct {
	s *server
	received
}

func (s *server) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{s: s}, nil }

func (c *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "postern" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		c.signedIn = true
		return nil
	}), nil
}
func (c *session) Mail(from string, _ *smtp.MailOptions) error { c.from = from; return nil }
func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.to = to
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
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.error != nil {
		return c.s.error
	}
	c.text = string(b)
	c.s.mails = append(c.s.mails, c.received)
	return nil
}
func (c *session) Reset()        {}
func (c *session) Logout() error { return nil }

// serve starts a server on a free port; without a certificate it speaks no TLS.
func serve(t *testing.T, withTLS bool) *server {
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
	s := &server{roots: x509.NewCertPool()}
	s.roots.AddCert(leaf)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
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

func (s *server) sender() outlet.Mail {
	return outlet.Mail{Server: s.address, Roots: s.roots, From: "postern@council.example", Link: "https://inbox.council.example/", Timeout: time.Minute}
}

// An alert carries a reference and a link, in both languages, and nothing else.
func TestAnAlert(t *testing.T) {
	s := serve(t, true)
	m := s.sender()
	m.Username, m.Password = "postern", "secret"
	for range 2 { // as when the line broke before the server's answer
		if err := m.Send(t.Context(), "duty@council.example", parcel(7)); err != nil {
			t.Fatal(err, errors.Unwrap(err))
		}
	}
	if len(s.mails) != 2 || !s.mails[0].signedIn || s.mails[0].from != "postern@council.example" || s.mails[0].to != "duty@council.example" {
		t.Fatalf("%+v", s.mails)
	}
	read := func(text string) (mail.Header, string) {
		t.Helper()
		got, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return got.Header, strings.ReplaceAll(strings.TrimSpace(string(b)), "\r\n", "\n")
	}
	head, body := read(s.mails[0].text)
	if head.Get("Subject") != "Postern: PN-7K3F-9Q2M" || head.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("%v", head)
	}
	const link = "https://inbox.council.example/notifications/PN-7K3F-9Q2M"
	if want := "There is something to read: PN-7K3F-9Q2M\n" + link + "\n\nMae rhywbeth i'w ddarllen: PN-7K3F-9Q2M\n" + link; body != want {
		t.Errorf("the mail says\n%s", body)
	}
	if again, _ := read(s.mails[1].text); again.Get("Message-ID") == "" || again.Get("Message-ID") != head.Get("Message-ID") {
		t.Errorf("%q and then %q", head.Get("Message-ID"), again.Get("Message-ID"))
	}
	test := parcel(8)
	test.Kind, test.Reference = outlet.Test, "TEST"
	if err := m.Send(t.Context(), "duty@council.example", test); err != nil {
		t.Fatal(err)
	}
	if _, body := read(s.mails[2].text); !strings.HasPrefix(body, "This is a test.") || strings.Contains(body, "/notifications/") {
		t.Errorf("the test says\n%s", body)
	}
}

// What cannot be sent is a fault that quotes nobody, and nothing goes unencrypted or to a server that is another's.
func TestWhatIsNotSent(t *testing.T) {
	s, bare := serve(t, true), serve(t, false)
	wrongPassword, otherRoots, closed, unreadable := s.sender(), s.sender(), s.sender(), s.sender()
	wrongPassword.Username, wrongPassword.Password = "postern", "guess"
	otherRoots.Roots = x509.NewCertPool()
	closed.Server, unreadable.Server = "127.0.0.1:1", "nowhere"
	for name, try := range map[string]struct {
		m  outlet.Mail
		to string
	}{
		"wrong password": {wrongPassword, "duty@council.example"}, "another's certificate": {otherRoots, "duty@council.example"},
		"nobody listens": {closed, "duty@council.example"}, "no address of a server": {unreadable, "duty@council.example"},
		"no TLS": {bare.sender(), "duty@council.example"}, "no such mailbox": {s.sender(), "nobody@council.example"},
		"no mailbox": {s.sender(), "a@b.example\r\nBcc: c@d.example"},
	} {
		err := try.m.Send(t.Context(), try.to, parcel(9))
		if fault.KindOf(err) != fault.Unavailable || fault.From(err).Reason != "MAIL" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "council.example") || strings.Contains(e.Error(), "guess") {
				t.Errorf("%s: the fault quotes %v", name, e)
			}
		}
	}
	s.error = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later, duty@council.example"}
	err := s.sender().Send(t.Context(), "duty@council.example", parcel(10))
	if cause := errors.Unwrap(err); cause == nil || cause.Error() != "SMTP code 451, for now only: true" {
		t.Errorf("%v, %v", err, errors.Unwrap(err))
	}
	if len(s.mails)+len(bare.mails) != 0 {
		t.Errorf("%d and %d mails arrived", len(s.mails), len(bare.mails))
	}
}
