package config

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"postern/internal/accesslog"
	"postern/internal/fault"
	"postern/internal/ops"
	"postern/internal/web"
)

// pages is the site of a party, not yet made: only who serves it reads its templates.
type pages struct {
	common *Common
	web    *Web     // nil for a party without a site
	roles  []string // that there are at the party
	make   func(web.Config) (*web.Site, error)
}

// site opens the listener for browsers and returns what serves it; nil for a party without a site.
func (s *Service) site(ctx context.Context) (func(context.Context) error, error) {
	w := s.pages.web
	if w == nil {
		return nil, nil
	}
	name := strings.ReplaceAll(s.Name, " ", "-") // such as desk-BLI
	journal, err := accesslog.Open(accesslog.Config{Dir: filepath.Join(s.data, "access"), Service: name, Keep: w.keepMonths(), Clock: s.rt.Clock})
	if err != nil {
		return nil, err
	}
	way, err := s.way(w)
	if err != nil {
		return nil, err
	}
	shell, err := s.pages.common.shell(w, name, way, journal, s.rt)
	if err != nil {
		return nil, err
	}
	if s.rt.Dress != nil {
		s.rt.Dress(&shell)
	}
	site, err := s.pages.make(shell)
	if err != nil {
		return nil, fault.New(fault.Precondition, "SITE", "The site cannot be made as the configuration has it under web: "+err.Error()).Because(err)
	}
	lis, err := s.browsers(ctx, w)
	if err != nil {
		return nil, err
	}
	s.metrics.Read(func(_ context.Context, report ops.Report) error {
		for directive, n := range site.Reports() {
			report("postern_page_policy_reports", float64(n), strings.ReplaceAll(directive, "-", "_"))
		}
		return nil
	}, ops.Gauge{Name: "postern_page_policy_reports", Help: "What browsers reported as stopped by the content security policy of the site, since the start.", Labels: []string{"directive"}})
	s.rt.Log.InfoContext(ctx, "site", "party", s.Name, "address", lis.Addr().String())
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		var watching sync.WaitGroup
		watching.Go(func() { way.Watch(ctx, site) })
		err := serveSite(ctx, site.Server(), lis)
		cancel()
		watching.Wait()
		return errors.Join(err, journal.Close())
	}, nil
}

// browsers is the listener for browsers.
func (s *Service) browsers(ctx context.Context, w *Web) (lis net.Listener, err error) {
	if lis = s.rt.Web; lis == nil {
		var lc net.ListenConfig
		if lis, err = lc.Listen(ctx, "tcp", w.Listen); err != nil {
			return nil, fault.Newf(fault.Unavailable, "LISTEN", "Cannot listen on %s for browsers. Is another process using the port?", w.Listen).Because(err)
		}
	}
	// The file was checked; this is what is really listened on, whoever opened it.
	if len(w.SignIn.Trial) > 0 && ops.CheckAddress(lis.Addr().String()) != nil {
		return nil, errors.Join(fault.New(fault.Precondition, "TRIAL_ABROAD", "In a trial anybody may be anybody, so the site must be on a loopback address."), lis.Close())
	}
	if w.Certificate == "" {
		return lis, nil
	}
	c := s.pages.common
	pair := &webPair{certificate: c.resolve(w.Certificate), key: c.resolve(w.Key)}
	if _, err := pair.get(nil); err != nil {
		return nil, errors.Join(err, lis.Close())
	}
	return tls.NewListener(lis, &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.get, NextProtos: []string{"http/1.1"}}), nil
}

// serveSite serves until ctx ends, and then finishes the pages that are being made, within 15 s.
func serveSite(ctx context.Context, server *http.Server, lis net.Listener) error {
	ended := make(chan error, 1)
	go func() { // ends with ctx
		<-ctx.Done()
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		ended <- errors.Join(server.Shutdown(finish), server.Close())
	}()
	if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fault.New(fault.Unavailable, "SITE", "The site can no longer be reached.").Because(err)
	}
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // a browser that reads no further is cut off
}

// webPair is the certificate that browsers see, read again when its file changes. A pair that cannot be used leaves the
// one before it in force.
type webPair struct {
	certificate, key string

	mu     sync.Mutex // owns all below
	seen   time.Time
	loaded *tls.Certificate
}

func (p *webPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := os.Stat(p.certificate)
	if err == nil && p.loaded != nil && info.ModTime().Equal(p.seen) {
		return p.loaded, nil
	}
	pair, loadErr := tls.LoadX509KeyPair(p.certificate, p.key)
	switch {
	case err == nil && loadErr == nil:
		p.seen, p.loaded = info.ModTime(), &pair
	case p.loaded == nil:
		return nil, fault.New(fault.Precondition, "NO_WEB_CERTIFICATE", "The certificate for browsers cannot be used. Check certificate and key under web.").Because(errors.Join(err, loadErr))
	}
	return p.loaded, nil
}
