// Package ops is what the people who keep a party running look at: whether the process lives, whether the party can do
// its work and what is missing if not, and its measures in the text format of Prometheus.
//
// It guarantees: the listener opens on a loopback address and answers only who asks for one, so nothing of it leaves
// the machine by itself; every party has a registry of its own, with no global one; and the value of a label is one
// short word of letters, digits and underscores, or "other": an id of a notification, a date or a sentence cannot stand
// in one. Whoever puts a person's name there breaks the house rule all the same, and the canary test finds it.
//
// It knows no domain: parties define checks and measures, and config starts the listener.
package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postern/internal/fault"
)

// Check is one thing that must hold for a party to do its work.
type Check struct {
	Name  string                      // one word, such as ledger
	Holds func(context.Context) error // nil, or what does not hold, in public words with the fix
}

// Failing runs the checks and returns those that do not hold, as "name: words".
func Failing(ctx context.Context, checks []Check) []string {
	var failing []string
	for _, c := range checks {
		if err := c.Holds(ctx); err != nil {
			failing = append(failing, c.Name+": "+fault.From(err).Message)
		}
	}
	return failing
}

// CheckAddress says whether an address is one that Listen takes: a loopback IP address with a port, such as
// 127.0.0.1:9464. A name is refused, because what it means is decided elsewhere.
func CheckAddress(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return fault.New(fault.Invalid, "NOT_LOOPBACK", "The operations listener must have a loopback address, such as 127.0.0.1:9464: what it says is for this machine only.")
	}
	return nil
}

// Listen opens the listener of an address that CheckAddress lets through.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "LISTEN", "The operations listener cannot open %s. Is another process using the port?", address).Because(err)
	}
	return lis, nil
}

// Config is what a Server answers from.
type Config struct {
	Checks  []Check      // what /readyz runs
	Metrics *Metrics     // what /metrics prints
	Log     *slog.Logger // says when measuring fails
}

// The limits of the listener. Its callers are on this machine, so they only bound accidents.
const (
	askTime   = 5 * time.Second // for reading a request, and for all checks or all measures together
	maxHeader = 16 << 10
)

// Server answers /healthz, /readyz and /metrics. Serve it once.
type Server struct {
	cfg      Config
	http     *http.Server
	stopping atomic.Bool
}

// NewServer makes a Server.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", http.TimeoutHandler(promhttp.HandlerFor(cfg.Metrics.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, // what can be measured still is
		ErrorLog:      scrapeLog{cfg.Log},
		// A compressed answer on loopback saves nothing.
		DisableCompression: true,
	}), askTime, "The measures took too long.\n"))
	s.http = &http.Server{
		Handler: local(mux), ReadTimeout: askTime, WriteTimeout: 2 * askTime, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers on lis until Close. It returns nil after Close.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.http.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Stopping makes /readyz say so from now on, while the party finishes its work.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Close ends Serve and cuts what still runs.
func (s *Server) Close() error { return s.http.Close() }

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	failing := []string{"process: The server is stopping."}
	if !s.stopping.Load() {
		failing = Failing(ctx, s.cfg.Checks)
	}
	if len(failing) == 0 {
		answer(w, http.StatusOK, "ready")
		return
	}
	answer(w, http.StatusServiceUnavailable, "not ready\n"+strings.Join(failing, "\n"))
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	fmt.Fprintln(w, text)
}

// local refuses who asked for another host: a page in a browser on this machine can make its own name point here.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			answer(w, http.StatusForbidden, "Ask for a loopback address.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// scrapeLog takes the errors of measuring.
type scrapeLog struct{ log *slog.Logger }

// Println logs an error of measuring.
func (l scrapeLog) Println(v ...any) {
	for _, part := range v {
		if err, ok := part.(error); ok {
			l.log.Warn("measuring failed", "error", err)
		}
	}
}
