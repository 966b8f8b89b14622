package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern/internal/accesslog"
	"postern/internal/fault"
	"postern/internal/ops"
	"postern/internal/signin"
	"postern/internal/web"
)

// Web is the site of a party: its pages for people with a browser. A party without it has no pages.
type Web struct {
	Listen       string  `yaml:"listen"`            // host:port, such as 127.0.0.1:8443
	URL          string  `yaml:"url"`               // where browsers find it, such as https://desk.prison.example; not needed on a loopback address
	Certificate  string  `yaml:"certificate"`       // PEM file for browsers, leaf first; read again when it changes
	Key          string  `yaml:"key"`               // PEM file, mode 0600
	BehindProxy  bool    `yaml:"behind_proxy"`      // TLS ends at a proxy in front; nobody else may reach the address
	Organisation string  `yaml:"organisation"`      // in the header, such as HMP Bristol
	Logo         string  `yaml:"logo"`              // SVG or PNG file, in place of the organisation's name
	Colour       string  `yaml:"colour"`            // of the header, such as "#0b3c49"
	Telephone    string  `yaml:"telephone"`         // whom to telephone when the site does not work
	IdleMinutes  float64 `yaml:"idle_minutes"`      // after how long without a page a session ends; 30 when empty
	LongestHours float64 `yaml:"longest_hours"`     // after how long it ends whatever happens; 12 when empty
	KeepMonths   int     `yaml:"access_log_months"` // how long it is kept who saw which page; 24 when empty
	SignIn       SignIn  `yaml:"sign_in"`

	Controller Controller `yaml:"controller"` // who answers for what is on the site, for its privacy notice; required but in a trial
}

// Controller is the controller of data protection law.
type Controller struct {
	Name    string `yaml:"name"`    // such as HMP Bristol, or Bristol City Council
	Contact string `yaml:"contact"` // where people ask what is kept of them: an address, a mailbox or a telephone number
	Kept    string `yaml:"kept"`    // how long what is on the site is kept, a sentence; the notice says that it is not set when empty
}

// SignIn is how people sign in: one of its fields.
type SignIn struct {
	Trial  []Persona `yaml:"trial"`  // personas that anybody may be; on a loopback address only
	OpenID *OpenID   `yaml:"openid"` // a provider of OpenID Connect, such as HMPPS Auth or Entra ID; see docs/sign-in.md
}

// OpenID is a provider of OpenID Connect, and what is made of what it says of people.
type OpenID struct {
	Issuer     string            `yaml:"issuer"`          // as the provider calls itself, https
	ClientID   string            `yaml:"client_id"`       // of this site at the provider
	Secret     string            `yaml:"client_secret"`   // file with the site's secret, mode 0600; none for a client without one
	Scopes     []string          `yaml:"scopes"`          // beside openid, such as profile
	Algorithms []string          `yaml:"algorithms"`      // of signatures that are believed; RS256, PS256 and ES256 when empty
	Claims     string            `yaml:"claims"`          // where the claims are: id_token, access_token or userinfo; id_token when empty
	ID         string            `yaml:"id_claim"`        // the id as staff; sub when empty
	Name       string            `yaml:"name_claim"`      // the name for the header; name when empty
	RolesClaim string            `yaml:"roles_claim"`     // a word or a list of words
	Roles      map[string]string `yaml:"roles"`           // what each word of it means here, such as ROLE_POSTERN_RECEPTION: RECEPTION_OFFICER
	SignOut    string            `yaml:"sign_out"`        // where signing out leads, where the provider does not say
	Recheck    float64           `yaml:"recheck_minutes"` // how often it is asked who is still signed in; 10 when empty
}

// Persona is an invented person for a trial.
type Persona struct {
	ID    string   `yaml:"staff_id"`
	Name  string   `yaml:"name"`
	About string   `yaml:"about"` // what they do, for whoever chooses
	Roles []string `yaml:"roles"` // such as RECEPTION_OFFICER, the one they mostly act in first
}

// check names what is wrong, in a file of a party that has these roles.
func (w *Web) check(roles []string) (wrong []fault.Field) {
	if w == nil {
		return nil
	}
	say := func(field, reason, fix string) {
		wrong = append(wrong, fault.Field{Path: "web." + field, Reason: reason, Fix: fix})
	}
	local := ops.CheckAddress(w.Listen) == nil
	if _, err := netip.ParseAddrPort(w.Listen); err != nil {
		say("listen", "Not an IP address with a port.", "Write one such as 127.0.0.1:8443, or 0.0.0.0:8443 for every address of the machine.")
	}
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "" && (!local || w.BehindProxy):
		say("url", "Missing.", "Say where browsers find the site, such as https://desk.prison.example.")
	case w.URL != "" && (err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil):
		say("url", "Not the address of a site.", "Write one without a path, such as https://desk.prison.example.")
	case w.URL != "" && u.Scheme != "https" && (u.Scheme != "http" || !loopbackName(u.Hostname())):
		say("url", "What people write would cross the network unencrypted.", "Use https.")
	}
	switch {
	case (w.Certificate == "") != (w.Key == ""):
		say("certificate", "A certificate and its key belong together.", "Give both, or neither.")
	case w.Certificate != "" && w.BehindProxy:
		say("behind_proxy", "TLS ends either here or at the proxy.", "Leave out behind_proxy, or certificate and key.")
	case w.Certificate == "" && !w.BehindProxy && !local:
		say("certificate", "What people write would cross the network unencrypted.", "Give certificate and key, or say behind_proxy where TLS ends at a proxy.")
	}
	for field, n := range map[string]float64{"idle_minutes": w.IdleMinutes, "longest_hours": w.LongestHours, "access_log_months": float64(w.KeepMonths)} {
		if n < 0 {
			say(field, "It is less than nothing.", "Give it a value above 0, or leave it out.")
		}
	}
	if w.SignIn.OpenID != nil && (w.Controller.Name == "" || w.Controller.Contact == "") {
		say("controller", "The privacy notice must say who answers for what is kept of people, and where they ask.", "Give it name and contact.")
	}
	return append(wrong, w.checkSignIn(roles, local && !w.BehindProxy)...)
}

func (w *Web) checkSignIn(roles []string, local bool) (wrong []fault.Field) {
	say := func(field, reason, fix string) {
		wrong = append(wrong, fault.Field{Path: "web." + field, Reason: reason, Fix: fix})
	}
	switch {
	case (len(w.SignIn.Trial) == 0) == (w.SignIn.OpenID == nil):
		say("sign_in", "There must be one way to sign in.", "Give it openid, or trial to try things out on this machine.")
	case w.SignIn.OpenID != nil:
		if w.URL == "" && local {
			say("url", "Missing.", "Say where browsers find the site: the provider sends people back there.")
		}
		return append(wrong, w.SignIn.OpenID.check(roles)...)
	case !local:
		say("sign_in.trial", "In a trial anybody may be anybody, so the site must be on a loopback address and behind no proxy.", "Listen on 127.0.0.1, or use another way to sign in.")
	}
	seen := map[string]bool{}
	for i, p := range w.SignIn.Trial {
		at := fmt.Sprintf("sign_in.trial[%d]", i)
		if p.ID == "" || p.Name == "" || seen[p.ID] {
			say(at, "Every persona needs a name, and a staff_id of its own.", "Give it both.")
		}
		seen[p.ID] = true
		if len(p.Roles) == 0 {
			say(at+".roles", "Missing.", "Use some of: "+strings.Join(roles, ", ")+".")
		}
		for j, role := range p.Roles {
			if !slices.Contains(roles, role) {
				say(fmt.Sprintf("%s.roles[%d]", at, j), "Not a known role.", "Use one of: "+strings.Join(roles, ", ")+".")
			}
		}
	}
	return wrong
}

// keepMonths is how long it is kept who saw which page.
func (w *Web) keepMonths() int { return cmp.Or(w.KeepMonths, 24) }

// loopbackName reports whether a browser stays on its own machine with a host name.
func loopbackName(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// checked adds what is wrong with a part of a file to the faults of the whole.
func checked(path string, err error, wrong []fault.Field) error {
	if len(wrong) == 0 || err != nil && len(fault.From(err).Fields) == 0 {
		return err
	}
	return fault.InvalidFields("BAD_CONFIG", "The configuration "+filepath.Base(path)+" cannot be used.", append(fault.From(err).Fields, wrong...))
}

// shell is what all sites have, as the file says it.
func (c *Common) shell(w *Web, name string, way signin.Way, journal *accesslog.Log, rt Runtime) (web.Config, error) {
	cfg := web.Config{
		Name: name, Telephone: w.Telephone, SignIn: signin.Path, TLS: w.Certificate != "" || strings.HasPrefix(w.URL, "https:"), Pages: way.Pages(), Actions: way.Actions(),
		Controller: web.Controller{Name: w.Controller.Name, Contact: w.Controller.Contact, Kept: w.Controller.Kept, Journals: w.keepMonths()},
		Brand:      web.Brand{Organisation: w.Organisation, Colour: w.Colour}, Journal: journal, Now: rt.Clock, Log: rt.Log,
		Idle: time.Duration(w.IdleMinutes * float64(time.Minute)), Longest: time.Duration(w.LongestHours * float64(time.Hour)),
	}
	if len(w.SignIn.Trial) > 0 {
		cfg.Banner = signin.TrialBanner
	}
	if u, err := url.Parse(w.URL); err == nil && u.Host != "" {
		cfg.Hosts = []string{u.Host}
	}
	if w.Logo == "" {
		return cfg, nil
	}
	logo, err := os.ReadFile(c.resolve(w.Logo))
	if err != nil {
		return cfg, fault.Newf(fault.Precondition, "NO_LOGO", "The logo %s cannot be read. Check the path under web.logo.", w.Logo).Because(err)
	}
	cfg.Brand.Logo = logo
	return cfg, nil
}
