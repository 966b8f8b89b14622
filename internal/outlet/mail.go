package outlet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"postern/internal/fault"
	"postern/internal/words"
)

// Mail sends alerts over SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314), and never
// without.
type Mail struct {
	Server   string // host:port
	Implicit bool   // TLS from the first byte, as on port 465
	Roots    *x509.CertPool
	Username string // none signs in nowhere
	Password string
	From     string        // a bare address
	Link     string        // where the team's pages are, such as https://inbox.council.example
	Timeout  time.Duration // of the whole
}

// mailOf is the mail about a parcel for one mailbox: both languages, since nobody knows who reads it.
func (m Mail) mailOf(to string, p Parcel) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.From), msg.To(to)); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(m.From, "@")
	msg.SetMessageIDWithValue(p.Name() + "@" + domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: an absence note does not answer
	msg.Subject("Postern: " + p.Reference)
	id, link := "outlet.text", strings.TrimSuffix(m.Link, "/")+"/notifications/"+p.Reference
	switch p.Kind {
	case Deputy:
		id = "outlet.deputy"
	case Test:
		id, link = "outlet.test", strings.TrimSuffix(m.Link, "/")+"/"
	}
	args := words.Args{"reference": p.Reference, "link": link}
	msg.SetBodyString(mail.TypeTextPlain, words.English.Text(id, args)+"\n\n"+words.Welsh.Text(id, args)+"\n")
	return msg, nil
}

// Send sends the alert about a parcel to one mailbox. An error says that it may not have arrived.
func (m Mail) Send(ctx context.Context, to string, p Parcel) error {
	msg, err := m.mailOf(to, p)
	if err != nil {
		return mailFault("The alert cannot be sent to this address. Check it in the team's settings.", err)
	}
	host, port, err := net.SplitHostPort(m.Server)
	if err != nil {
		return mailFault("The mail server's address cannot be read.", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return mailFault("The mail server's port cannot be read.", err)
	}
	options := []mail.Option{mail.WithPort(n), mail.WithTimeout(m.Timeout), mail.WithoutNoop(),
		mail.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: m.Roots}), mail.WithTLSPolicy(mail.TLSMandatory)}
	if m.Implicit {
		options = append(options, mail.WithSSL())
	}
	if m.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.Username), mail.WithPassword(m.Password))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return mailFault("The mail server cannot be used as it is configured.", err)
	}
	within, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	if err := client.DialAndSendWithContext(within, msg); err != nil {
		return mailFault("The mail server did not take an alert. Check its address, its certificate and how we sign in there.", err)
	}
	return nil
}

// mailFault keeps what a server said out of the fault but for its code: its words may quote an address.
func mailFault(words string, err error) error {
	cause := fmt.Errorf("%T", err)
	var sent *mail.SendError
	if errors.As(err, &sent) {
		cause = fmt.Errorf("SMTP code %d, for now only: %t", sent.ErrorCode(), sent.IsTemp())
	}
	return fault.New(fault.Unavailable, "MAIL", words).Because(cause)
}
