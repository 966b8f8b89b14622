package ops

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	localv1 "postern/proto/postern/local/v1"
)

// served is a Server on a loopback port.
type served struct {
	*Server
	t       *testing.T
	address string
	log     *lines
}

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex // owns b
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t *testing.T, m *Metrics, checks ...Check) *served {
	t.Helper()
	lis, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	s := &served{NewServer(Config{Checks: checks, Metrics: m, Log: slog.New(slog.NewTextHandler(log, nil))}), t, lis.Addr().String(), log}
	done := make(chan error, 1)
	go func() { done <- s.Serve(lis) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return s
}

// get asks for a path, with a host of its own choice.
func (s *served) get(path, host string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = host
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func TestReadyNamesWhatIsMissing(t *testing.T) {
	var ledger error
	s := serve(t, NewMetrics(),
		Check{"ledger", func(context.Context) error { return ledger }},
		Check{"directory", func(context.Context) error { return nil }})
	if code, body := s.get("/readyz", ""); code != 200 || body != "ready\n" {
		t.Errorf("%d %q", code, body)
	}
	ledger = errors.New("a cause with Zebedee Invented in it")
	if code, body := s.get("/readyz", ""); code != 503 || body != "not ready\nledger: Something went wrong on our side.\n" {
		t.Errorf("%d %q", code, body)
	}
	ledger = fault.New(fault.Unavailable, "LEDGER_STOPPED", "The ledger has stopped. Start the hub again.")
	if code, body := s.get("/readyz", ""); code != 503 || !strings.Contains(body, "ledger: The ledger has stopped. Start") || strings.Contains(body, "directory") {
		t.Errorf("%d %q", code, body)
	}
	ledger = nil
	s.Stopping()
	if code, body := s.get("/readyz", ""); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("%d %q", code, body)
	}
	if code, body := s.get("/healthz", ""); code != 200 || body != "alive\n" {
		t.Errorf("while it stops the process lives: %d %q", code, body)
	}
}

func TestOnlyThisMachineIsAnswered(t *testing.T) {
	s := serve(t, NewMetrics())
	for host, want := range map[string]int{"": 200, "localhost": 200, "localhost:9": 200, "127.0.0.1": 200, "[::1]:9": 200,
		"postern.example": 403, "postern.example:80": 403, "10.0.0.1": 403, "localhost.postern.example": 403} {
		for _, path := range []string{"/healthz", "/metrics"} {
			if code, _ := s.get(path, host); code != want {
				t.Errorf("%s for host %q: %d, want %d", path, host, code, want)
			}
		}
	}
	for _, address := range []string{"", "9464", ":9464", "0.0.0.0:9464", "[::]:9464", "10.1.2.3:9464", "localhost:9464", "127.0.0.1", "postern.example:9464"} {
		if err := CheckAddress(address); !errors.Is(err, fault.New(fault.Invalid, "NOT_LOOPBACK", "")) {
			t.Errorf("%q: %v", address, err)
		}
		if lis, err := Listen(t.Context(), address); err == nil {
			t.Errorf("it listens on %s", lis.Addr())
		}
	}
	for _, address := range []string{"127.0.0.1:0", "127.3.2.1:9464", "[::1]:9464"} {
		if err := CheckAddress(address); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	if code, _ := s.get("/debug/pprof/", ""); code != 404 {
		t.Errorf("pprof answers %d", code)
	}
}

func TestTwoListenersOnOnePort(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if _, err := Listen(t.Context(), lis.Addr().String()); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), lis.Addr().String()) {
		t.Errorf("%v", err)
	}
}

func TestMeasures(t *testing.T) {
	m := NewMetrics()
	count := m.Counter("postern_refusals_total", "Refused.", "reason")
	took := m.Histogram("postern_commit_seconds", "Took.", .1, 1)
	fails := false
	m.Read(func(_ context.Context, report Report) error {
		report("postern_queue_length", 3, "E06000023")
		report("postern_unknown", 1)
		if fails {
			return errors.New("the store said no")
		}
		report("postern_spool_length", 7)
		return nil
	}, Gauge{"postern_queue_length", "Waits.", []string{"authority"}}, Gauge{"postern_spool_length", "Waits.", nil})
	s := serve(t, m)
	count("ID_TAKEN")
	count("ID_TAKEN")
	took(.5)
	_, body := s.get("/metrics", "")
	for _, line := range []string{
		`postern_refusals_total{reason="ID_TAKEN"} 2`, `postern_commit_seconds_bucket{le="0.1"} 0`, `postern_commit_seconds_bucket{le="1"} 1`,
		`postern_queue_length{authority="E06000023"} 3`, `postern_spool_length 7`, `# HELP postern_spool_length Waits.`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	if strings.Contains(body, "postern_unknown") {
		t.Error("a gauge that was not defined is shown")
	}

	// What can be measured is, and the failure is in the log and not in the answer.
	fails = true
	code, body := s.get("/metrics", "")
	if code != 200 || !strings.Contains(body, "postern_refusals_total") || strings.Contains(body, "postern_spool_length 7") || strings.Contains(body, "the store said no") {
		t.Errorf("%d %s", code, body)
	}
	if !strings.Contains(s.log.String(), "the store said no") {
		t.Errorf("the log says %q", s.log.String())
	}
}

// Two parties in one process do not share a registry.
func TestRegistriesAreSeparate(t *testing.T) {
	a, b := NewMetrics(), NewMetrics()
	a.Counter("postern_refusals_total", "Refused.", "reason")("ONE")
	b.Counter("postern_refusals_total", "Refused.", "reason")
	if _, body := serve(t, b).get("/metrics", ""); strings.Contains(body, "ONE") {
		t.Error("one party's measures are in the other's")
	}
}

// What is not one short word never becomes the value of a label, and what is stays as it is.
func TestLabelsAreWords(t *testing.T) {
	for _, bad := range []string{"", "3f0c9a5e-8d7b-4c6a-9f10-2b3c4d5e6f70", "PN-7K3F-9Q2M", "Zebedee Invented", "07700 900123", "2019-04-01",
		"ZZ99 3WZ", "a\nb", `a"b`, "spiffe://postern.example/prison/BLI/desk", strings.Repeat("a", 65)} {
		if got := labels([]string{bad})[0]; got != "other" {
			t.Errorf("%q became %q", bad, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[A-Za-z][A-Za-z0-9_]{0,63}`).Draw(t, "word")
		if got := labels([]string{word, "x"}); got[0] != word || got[1] != "x" {
			t.Fatalf("%q became %q", word, got)
		}
		if got := labels([]string{rapid.String().Draw(t, "text")})[0]; !words.MatchString(got) {
			t.Fatalf("%q is a label", got)
		}
	})
}

func TestExpiry(t *testing.T) {
	end := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		before time.Duration
		band   int
		level  localv1.Level
	}{
		{31 * 24 * time.Hour, -1, localv1.Level_LEVEL_OK},
		{30*24*time.Hour + 1, -1, localv1.Level_LEVEL_OK},
		{30 * 24 * time.Hour, 30, localv1.Level_LEVEL_WARNING},
		{14 * 24 * time.Hour, 14, localv1.Level_LEVEL_WARNING},
		{7*24*time.Hour + 1, 14, localv1.Level_LEVEL_WARNING},
		{7 * 24 * time.Hour, 7, localv1.Level_LEVEL_PROBLEM},
		{24 * time.Hour, 1, localv1.Level_LEVEL_PROBLEM},
		{1, 1, localv1.Level_LEVEL_PROBLEM},
		{0, 0, localv1.Level_LEVEL_PROBLEM},
		{-time.Hour, 0, localv1.Level_LEVEL_PROBLEM},
	} {
		now := end.Add(-c.before)
		found := Expiry("certificate", "The certificate", end, now, "Renew it.")
		if Band(end, now) != c.band || found.GetLevel() != c.level {
			t.Errorf("%s before: band %d, %v", c.before, Band(end, now), found)
		}
		if (found.GetFix() == "") != (c.level == localv1.Level_LEVEL_OK) || !strings.Contains(found.GetWords(), "1 December 2026") {
			t.Errorf("%s before: %v", c.before, found)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // nearer is never better
		a := time.Duration(rapid.Int64Range(-1e15, 1e16).Draw(t, "a"))
		b := time.Duration(rapid.Int64Range(-1e15, 1e16).Draw(t, "b"))
		near, far := min(a, b), max(a, b)
		level := func(left time.Duration) localv1.Level {
			return Expiry("c", "It", end, end.Add(-left), "Fix.").GetLevel()
		}
		if level(near) < level(far) || Days(end, end.Add(-near)) > Days(end, end.Add(-far)) {
			t.Fatalf("%s before is better than %s before", near, far)
		}
	})
}

func TestExamine(t *testing.T) {
	found := Examine(t.Context(), []Check{
		{"database", func(context.Context) error { return nil }},
		{"ledger", func(context.Context) error { return fault.New(fault.Unavailable, "X", "It stopped. Start it.") }},
	})
	if len(found) != 2 || found[0].GetLevel() != localv1.Level_LEVEL_OK || found[1].GetLevel() != localv1.Level_LEVEL_PROBLEM ||
		found[1].GetWords() != "It stopped. Start it." {
		t.Errorf("%v", found)
	}
	if got := Since(time.Time{}, time.Now()); got != 0 {
		t.Errorf("since never: %v", got)
	}
	now := time.Now()
	if Since(now.Add(time.Hour), now) != 0 || Since(now.Add(-time.Minute), now) != 60 {
		t.Error("Since")
	}
}
