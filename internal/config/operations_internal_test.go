package config

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/rpc"
)

// The log warns 30, 14, 7 and 1 days ahead and once more at the end, each time once, and louder in the last week.
func TestTheCertificateIsWatched(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		file := func(name string) string { return filepath.Join(dir, name) }
		if err := ca.Init(file("ca"), ca.Config{Domain: "watch.test", Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if err := ca.Issue(file("ca"), "spiffe://watch.test/hub/main", ca.IssueConfig{OutCert: file("cert.pem"), OutKey: file("key.pem"), Now: time.Now(), Days: 40}); err != nil {
			t.Fatal(err)
		}
		i, err := identity.Load(file("cert.pem"), file("key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := &Service{Name: "hub main", rt: Runtime{Clock: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))}, server: rpc.ServerConfig{Identity: i}}
		ctx, cancel := context.WithDeadline(t.Context(), i.Leaf().NotAfter.Add(48*time.Hour))
		defer cancel()
		if err := s.watchCertificate(ctx); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 5 {
			t.Fatalf("%d lines: %s", len(lines), log.String())
		}
		for n, want := range []string{"level=WARN", "level=WARN", "level=ERROR", "level=ERROR", "level=ERROR"} {
			if !strings.Contains(lines[n], want) || !strings.Contains(lines[n], "the certificate must be renewed") {
				t.Errorf("line %d: %s", n, lines[n])
			}
		}
	})
}
