package config

import (
	"crypto/x509"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/outlet"
)

// Outlets are where what comes to an inbox goes on to. Each is left out where it is not used.
type Outlets struct {
	Mail   *Mail  `yaml:"mail"`   // tells the alert addresses of the team's settings that something came
	Folder string `yaml:"folder"` // folder that a case system imports JSON and CSV from; on a local disk
	Hook   *Hook  `yaml:"hook"`   // a command that is given each as JSON
}

// Mail is how alerts are sent.
type Mail struct {
	Server   string `yaml:"server"`        // host:port of an SMTP server, such as smtp.council.example:587
	Implicit bool   `yaml:"implicit_tls"`  // TLS from the first byte, as on port 465; STARTTLS otherwise, and never without
	CA       string `yaml:"ca"`            // PEM file of the authority that vouches for the server; the machine's own when empty
	Username string `yaml:"username"`      // none signs in nowhere
	Password string `yaml:"password_file"` // file with the password, mode 0600
	From     string `yaml:"from"`          // the address that alerts come from
}

// Hook is a command of the team's own.
type Hook struct {
	Command []string `yaml:"command"`         // an absolute path and arguments
	Seconds float64  `yaml:"timeout_seconds"` // after how long it is ended; 60 when empty
}

// check names what is wrong. Alerts link to the pages, so they need those.
func (o *Outlets) check(web *Web) (wrong []fault.Field) {
	say := func(path, reason, fix string) {
		wrong = append(wrong, fault.Field{Path: "outlets." + path, Reason: reason, Fix: fix})
	}
	if m := o.Mail; m != nil {
		if _, port, err := net.SplitHostPort(m.Server); err != nil || port == "" {
			say("mail.server", "Not a host with a port.", "Write one such as smtp.council.example:587.")
		}
		if a, err := mail.ParseAddress(m.From); err != nil || a.Name != "" {
			say("mail.from", "Not the address of a mailbox.", "Write one such as postern@council.example.")
		}
		if (m.Username == "") != (m.Password == "") {
			say("mail.password_file", "A username and a password belong together.", "Give both, or neither.")
		}
		if web == nil {
			say("mail", "An alert links to the team's pages, and this inbox has none.", "Add web, or leave mail out.")
		}
	}
	if h := o.Hook; h != nil {
		if len(h.Command) == 0 || !filepath.IsAbs(h.Command[0]) {
			say("hook.command", "Not a command with an absolute path.", "Write a list such as [/usr/local/bin/import-notification].")
		}
		if h.Seconds < 0 {
			say("hook.timeout_seconds", "It is less than nothing.", "Give it a value above 0, or leave it out.")
		}
	}
	return wrong
}

// mailTime is how long an alert may take before it is tried again.
const mailTime = 30 * time.Second

// outlets makes them.
func (c *Inbox) outlets() (out inbox.Outlets, err error) {
	if m := c.Outlets.Mail; m != nil {
		out.Mail = &outlet.Mail{Server: m.Server, Implicit: m.Implicit, Username: m.Username, From: m.From, Link: c.Web.address(), Timeout: mailTime}
		if m.Password != "" {
			if out.Mail.Password, err = c.readKey(m.Password); err != nil {
				return out, err
			}
		}
		if m.CA != "" {
			pem, err := os.ReadFile(c.resolve(m.CA))
			out.Mail.Roots = x509.NewCertPool()
			if err != nil || !out.Mail.Roots.AppendCertsFromPEM(pem) {
				return out, fault.Newf(fault.Precondition, "NO_MAIL_CA", "The certificate %s under outlets.mail.ca cannot be read.", m.CA).Because(err)
			}
		}
	}
	if c.Outlets.Folder != "" {
		out.Folder = &outlet.Folder{Dir: c.resolve(c.Outlets.Folder)}
		if err := out.Folder.Check(); err != nil {
			return out, err
		}
	}
	if h := c.Outlets.Hook; h != nil {
		out.Hook = &outlet.Hook{Command: h.Command, Timeout: time.Minute}
		if h.Seconds > 0 {
			out.Hook.Timeout = time.Duration(h.Seconds * float64(time.Second))
		}
	}
	return out, nil
}

// address is where browsers find the site.
func (w *Web) address() string {
	if w.URL != "" {
		return w.URL
	}
	return (&url.URL{Scheme: "http", Host: w.Listen}).String() // check allows it on a loopback address only
}
