// Package web is the shell of the sites of desk, inbox and auditor: layout, forms, sessions, errors and headers, so that
// a page says only what it is about. It knows no domain, and which words and which people there are it is told.
//
// # How to add a page
//
// A site is New(Config). Each page is a Page: a path, a name, who may see it, what GET shows and what POST does. A
// question needs no template:
//
//	{Path: "/orders/{n}/name", Name: "shop.name", Roles: staff, Get: s.askName, Post: s.takeName}
//
//	func (s *site) nameForm(r *web.Request) *web.Form {
//		return web.NewForm(web.Field{Name: "name", Path: "order.name", Label: r.T("shop.name"), IsPageHeading: true})
//	}
//	func (s *site) askName(r *web.Request) (web.Response, error) {
//		return web.View{Back: "/orders", Form: s.nameForm(r)}, nil
//	}
//	func (s *site) takeName(r *web.Request) (web.Response, error) {
//		form := s.nameForm(r)
//		form.Read(r)
//		if err := s.shop.Name(r.Context(), r.PathValue("n"), form.Text("name")); err != nil {
//			return r.Again(web.View{Back: "/orders", Form: form}, err)
//		}
//		return web.SeeOther("/orders"), nil
//	}
//
// The name of a page is also the id of the words of its title.
// Again shows the same page with every field fault as an error summary, each with a link to its field; any other error
// becomes a page that says what to do. A page that is more than a question names a Template, a file of Config.Templates
// that defines "content" and is given a Shown.
//
// # What holds
//
//   - A page goes out whole or not at all, after Config.Journal has it: nothing is seen that is not recorded.
//   - Titles are ids of words without anything filled in, so no name gets into a title.
//   - Pages are never stored by a browser or a proxy; what they load is ours, by the hash of its bytes.
//   - A cookie holds an opaque number and nothing else; what is known of a person stays in this process.
//   - A form from another site is refused; no script runs that is not a file of ours.
//   - No error, panic or log line shows what a person wrote.
//
// What it does not do: decide who somebody is (Request.SignIn is for the page that knows), keep drafts, or listen.
package web

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // times are shown as in the United Kingdom, on machines without a time zone database too

	"postern/internal/fault"
	"postern/internal/words"
)

// Link is a way to a page.
type Link struct {
	Text  string   // an id of words
	Href  string   // a path of this site, or a whole address
	Roles []string // who has it; everybody when empty
}

// Brand is how an organisation wants the site to look.
type Brand struct {
	Organisation string // in the header; "Postern" by default
	Logo         []byte // an SVG or PNG, in place of the organisation's name
	Colour       string // as in #0b3c49, which is ours; white text must be readable on it
}

// Controller is who decides why and how what is on the site is used, and answers for it, as data protection law has it.
type Controller struct {
	Name     string // of the body
	Contact  string // where people ask about what is kept of them
	Kept     string // how long what is on the site is kept, by the controller's own rules, a sentence
	Journals int    // for how many months Config.Journal keeps who saw what; 0 where that is not known
}

// Config is what a site needs.
type Config struct {
	Name       string   // of the site, such as desk-BLI: cookies are named after it, since they do not know ports
	Hosts      []string // the names browsers know the site by, with the port where it is not the usual; loopback only when empty
	Service    string   // an id of words: the name of the service
	Pages      []Page
	Templates  fs.FS // the templates that pages name, NAME.html, and what several share, _NAME.html; nil for none
	Brand      Brand
	Navigation []Link
	Footer     []Link
	Controller Controller    // for the privacy notice
	Telephone  string        // whom to telephone when the site does not work; on every page
	Banner     string        // an id of words over every page, such as that nobody here is real; empty for none
	BannerLink *Link         // in the banner, such as to what explains a trial; nil for none
	SignIn     string        // the path of the page that signs people in; empty only where every page is open
	Home       string        // where the header leads; / by default
	TLS        bool          // whether browsers come over TLS: cookies and headers then insist on it
	Actions    []string      // addresses beside our own that a form may lead to, such as a provider's sign-out
	Idle       time.Duration // after how long without a page a session ends; 30 minutes by default
	Longest    time.Duration // after how long it ends whatever happens; 12 hours by default
	MaxBody    int64         // the most bytes of a form; 64 KiB by default
	Journal    Journal       // hears of every page before it is shown; nil for none
	Now        func() time.Time
	Log        *slog.Logger
}

// Site is a site: an http.Handler.
type Site struct {
	cfg       Config
	london    *time.Location
	mux       *http.ServeMux
	origins   *http.CrossOriginProtection
	assets    assets
	templates map[string]*template.Template
	sessions  *sessions
	reports   *reports
}

// New makes a site. It fails on a mistake in a page or template, so that none waits for the first reader.
func New(cfg Config) (*Site, error) {
	cfg.Home, cfg.MaxBody = cmp.Or(cfg.Home, "/"), cmp.Or(cfg.MaxBody, 64<<10)
	cfg.Idle, cfg.Longest = cmp.Or(cfg.Idle, 30*time.Minute), cmp.Or(cfg.Longest, 12*time.Hour)
	cfg.Brand.Organisation, cfg.Brand.Colour = cmp.Or(cfg.Brand.Organisation, "Postern"), cmp.Or(cfg.Brand.Colour, "#0b3c49")
	if cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("web: Config lacks Now or Log")
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s := &Site{cfg: cfg, london: london, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(), reports: newReports()}
	s.sessions = newSessions(cfg.Now, cfg.Idle, cfg.Longest)
	if s.assets, err = newAssets(cfg.Brand); err != nil {
		return nil, err
	}
	if s.templates, err = parse(cfg); err != nil {
		return nil, err
	}
	if err := s.route(); err != nil {
		return nil, err
	}
	return s, nil
}

// route registers the pages. ServeMux panics on two patterns that compete; that is a mistake in a page as well.
func (s *Site) route() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("web: %v", p)
		}
	}()
	names := map[string]bool{}
	for _, p := range append(s.own(), s.cfg.Pages...) {
		switch {
		case p.Name == "" || names[p.Name]:
			return fmt.Errorf("web: the page %s has no name of its own, but %q", p.Path, p.Name)
		case p.Get == nil && p.Post == nil:
			return fmt.Errorf("web: the page %s does nothing", p.Path)
		case !p.Open && s.cfg.SignIn == "":
			return fmt.Errorf("web: the page %s is for people who are signed in, and nothing signs them in", p.Path)
		}
		names[p.Name] = true
		s.mux.HandleFunc(p.pattern(), func(w http.ResponseWriter, r *http.Request) { s.page(p, w, r) })
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.page(Page{Name: "web.not_found", Open: true, Get: missing, Post: missing}, w, r)
	})
	return nil
}

func missing(*Request) (Response, error) {
	return nil, fault.New(fault.NotFound, "NO_PAGE", "There is no such page.")
}

// Pages are the pages of the site, ours among them, for what walks them all.
func (s *Site) Pages() []Page { return append(s.own(), s.cfg.Pages...) }

// Reports counts what browsers reported to break the content security policy, by directive.
func (s *Site) Reports() map[string]int64 { return s.reports.counts() }

// EndSessions signs out everybody whom end picks, and counts them.
func (s *Site) EndSessions(end func(Person) bool) int { return s.sessions.end(end) }

// ServeHTTP answers a request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.secure(w.Header())
	switch {
	case !s.known(r.Host):
		http.Error(w, "This site has another name.", http.StatusMisdirectedRequest)
	case strings.HasPrefix(r.URL.Path, assetPath):
		s.assets.serve(w, r)
	case r.URL.Path == reportPath:
		s.reports.take(w, r)
	case r.URL.Path == forgetPath:
		forget(w)
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// known reports whether a browser may know us by this name. Another name that leads to us is how a stranger's page would
// become, for the browser, one of ours.
func (s *Site) known(host string) bool {
	if len(s.cfg.Hosts) > 0 {
		return slices.Contains(s.cfg.Hosts, host)
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.IsLoopback()
}

// Server is an HTTP server of the site with limits; its caller listens, and gives it TLS. What net/http has to say of
// broken connections is not logged, since it has addresses in it.
func (s *Site) Server() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
}

// page answers a request for a page: check, do, record, show.
func (s *Site) page(p Page, w http.ResponseWriter, httpRequest *http.Request) {
	r := s.request(p, w, httpRequest)
	defer s.recovered(r, w)
	response, err := s.answer(p, r)
	if err != nil {
		response = s.problem(r, err)
	}
	if err := s.respond(r, w, response); err != nil {
		s.cfg.Log.ErrorContext(r.Context(), "page not shown", "page", p.Name, "request", r.ID, "error", fault.From(err).Reason)
		s.mustRespond(r, w, s.problem(r, err))
	}
}

// answer refuses, or lets the page answer.
func (s *Site) answer(p Page, r *Request) (Response, error) {
	if tag, asked := r.URL.Query()["lang"]; asked && r.safe() {
		return s.speak(r, tag[0]), nil
	}
	if err := s.origins.Check(r.Request); err != nil {
		return nil, fault.New(fault.Denied, "OTHER_ORIGIN", "This form comes from another site.").Because(err)
	}
	handler := p.Get
	if !r.safe() {
		handler = p.Post
	}
	if handler == nil || r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		return notAllowed(p), nil
	}
	if !p.Open {
		person, in := r.Person()
		if !in {
			return s.askIn(r), nil
		}
		if !p.Allows(person) {
			return nil, fault.New(fault.Denied, "ROLE", "This page is for people with another role.")
		}
	}
	if err := r.readBody(s.cfg.MaxBody); err != nil {
		return nil, err
	}
	return handler(r)
}

// askIn sends somebody who is not signed in to the page that signs people in, and from there back to this page. What
// they have just sent is lost, and they are told so.
func (s *Site) askIn(r *Request) Response {
	if !r.safe() {
		return View{Title: "web.ended", Template: "ended", Status: http.StatusUnauthorized}
	}
	return SeeOther(s.cfg.SignIn + "?" + queryTo + "=" + escape(r.URL.RequestURI()))
}

// recovered turns a panic into a page. What was panicked with may hold a personal value, so only its type is logged; a
// crash here would take down what else this process does, such as the desk's spool.
func (s *Site) recovered(r *Request, w http.ResponseWriter) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.cfg.Log.ErrorContext(r.Context(), "page panicked", "page", r.page.Name, "request", r.ID, "type", fmt.Sprintf("%T", p), "at", origin())
	s.mustRespond(r, w, s.problem(r, fault.New(fault.Internal, "PANIC", "Something went wrong on our side.")))
}

// newID makes the number by which people can tell us which request they mean.
func newID() string { return strings.ToLower(rand.Text()[:12]) }

// language is the reader's: what they chose, or else the first of ours that their browser asks for.
func (s *Site) language(r *http.Request) words.Language {
	if c, err := r.Cookie(s.languageCookie()); err == nil {
		if l, ok := words.Parse(c.Value); ok {
			return l
		}
	}
	for tag := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		if l, ok := words.Parse(tag); ok {
			return l
		}
	}
	return words.English
}

// speak keeps the language that somebody chose, and shows them the page they are on.
func (s *Site) speak(r *Request, tag string) Response {
	l, _ := words.Parse(tag)
	r.cookies = append(r.cookies, &http.Cookie{
		Name: s.languageCookie(), Value: string(l), Path: "/", MaxAge: 365 * 24 * 60 * 60,
		HttpOnly: true, Secure: s.cfg.TLS, SameSite: http.SameSiteLaxMode,
	})
	to := *r.URL
	query := to.Query()
	query.Del("lang")
	to.RawQuery = query.Encode()
	return SeeOther(to.RequestURI())
}

func (s *Site) languageCookie() string { return s.cookie("language") }

// cookie is the name of a cookie. The prefix makes a browser refuse one that another host or plain HTTP has set.
func (s *Site) cookie(what string) string {
	name := s.cfg.Name + "-" + what
	if s.cfg.TLS {
		return "__Host-" + name
	}
	return name
}
