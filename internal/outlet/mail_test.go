package outlet_test

import (
	"crypto/x509"
	"errors"
	"io"
	"net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postern/internal/fault"
	"postern/internal/outlet"
	"postern/internal/outlet/outlettest"
)

// An alert carries a reference and a link, in both languages, and nothing else.
func TestAnAlert(t *testing.T) {
	s := outlettest.Serve(t, true)
	m := s.Sender()
	m.Username, m.Password = "postern", "secret"
	for range 2 { // as when the line broke before the server's answer
		if err := m.Send(t.Context(), "duty@council.example", parcel(7)); err != nil {
			t.Fatal(err, errors.Unwrap(err))
		}
	}
	if len(s.Mails()) != 2 || !s.Mails()[0].SignedIn || s.Mails()[0].From != "postern@council.example" || s.Mails()[0].To != "duty@council.example" {
		t.Fatalf("%+v", s.Mails())
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
	head, body := read(s.Mails()[0].Text)
	if head.Get("Subject") != "Postern: PN-7K3F-9Q2M" || head.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("%v", head)
	}
	const link = "https://inbox.council.example/notifications/PN-7K3F-9Q2M"
	if want := "There is something to read: PN-7K3F-9Q2M\n" + link + "\n\nMae rhywbeth i'w ddarllen: PN-7K3F-9Q2M\n" + link; body != want {
		t.Errorf("the mail says\n%s", body)
	}
	if again, _ := read(s.Mails()[1].Text); again.Get("Message-ID") == "" || again.Get("Message-ID") != head.Get("Message-ID") {
		t.Errorf("%q and then %q", head.Get("Message-ID"), again.Get("Message-ID"))
	}
	deputy := parcel(8)
	deputy.Kind = outlet.Deputy
	if err := m.Send(t.Context(), "lee@council.example", deputy); err != nil {
		t.Fatal(err)
	}
	if _, body := read(s.Mails()[2].Text); body != "This still waits, and you stand in: PN-7K3F-9Q2M\n"+link+"\n\nMae hwn yn dal i aros, a chi sy'n dirprwyo: PN-7K3F-9Q2M\n"+link {
		t.Errorf("the mail to a deputy says\n%s", body)
	}
	test := parcel(8)
	test.Kind, test.Reference = outlet.Test, "TEST"
	if err := m.Send(t.Context(), "duty@council.example", test); err != nil {
		t.Fatal(err)
	}
	if _, body := read(s.Mails()[3].Text); !strings.HasPrefix(body, "This is a test.") || strings.Contains(body, "/notifications/") {
		t.Errorf("the test says\n%s", body)
	}
}

// What cannot be sent is a fault that quotes nobody, and nothing goes unencrypted or to a server that is another's.
func TestWhatIsNotSent(t *testing.T) {
	s, bare := outlettest.Serve(t, true), outlettest.Serve(t, false)
	wrongPassword, otherRoots, closed, unreadable := s.Sender(), s.Sender(), s.Sender(), s.Sender()
	wrongPassword.Username, wrongPassword.Password = "postern", "guess"
	otherRoots.Roots = x509.NewCertPool()
	closed.Server, unreadable.Server = "127.0.0.1:1", "nowhere"
	for name, try := range map[string]struct {
		m  outlet.Mail
		to string
	}{
		"wrong password": {wrongPassword, "duty@council.example"}, "another's certificate": {otherRoots, "duty@council.example"},
		"nobody listens": {closed, "duty@council.example"}, "no address of a server": {unreadable, "duty@council.example"},
		"no TLS": {bare.Sender(), "duty@council.example"}, "no such mailbox": {s.Sender(), "nobody@council.example"},
		"no mailbox": {s.Sender(), "a@b.example\r\nBcc: c@d.example"},
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
	s.Fail(&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later, duty@council.example"})
	err := s.Sender().Send(t.Context(), "duty@council.example", parcel(10))
	if cause := errors.Unwrap(err); cause == nil || cause.Error() != "SMTP code 451, for now only: true" {
		t.Errorf("%v, %v", err, errors.Unwrap(err))
	}
	if len(s.Mails())+len(bare.Mails()) != 0 {
		t.Errorf("%d and %d mails arrived", len(s.Mails()), len(bare.Mails()))
	}
}
