//go:build e2e

package e2e

import (
	"path/filepath"
	"testing"

	"postern/internal/accesslog"
	"postern/internal/testkit"
	"postern/internal/web"
)

// journal lets a site keep who saw which page, and the auditors of an exchange look at it.
func journal(t *testing.T, x *testkit.Exchange, shell web.Config, service string) web.Config {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "access")
	log, err := accesslog.Open(accesslog.Config{Dir: dir, Service: service, Keep: 24, Clock: x.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	x.AccessLogs, shell.Journal = append(x.AccessLogs, dir), log
	return shell
}

// auditMoreStops are the pages of the auditor beside decisions. checkpoint is one that a desk has seen.
func auditMoreStops(checkpoint string) []stop {
	return []stop{
		{name: "access", who: "ALL", path: "/access", wrong: map[string]string{"reference": "PN-0", "since-day": "31", "since-month": "2", "since-year": "2026"},
			right: map[string]string{"who": "ALL"}, lands: "/access"},
		{name: "access-found-cy", who: "ALL", path: "/access?lang=cy"},
		{name: "export", who: "ALL", path: "/export?kind=decided&outcome=SHARE"},
		{name: "searches-none", who: "AUDITOR", path: "/searches"},
		{name: "search-new", who: "ALL", path: "/searches/new?kind=decided", wrong: map[string]string{}, right: map[string]string{"name": "Shared in Bristol"}, lands: "/searches"},
		{name: "searches", who: "ALL", path: "/searches"},
		{name: "logs-first", who: "AUDITOR", path: "/logs"},
		{name: "logs", who: "ALL", path: "/logs", wrong: map[string]string{"with": "the desk at BLI", "checkpoint": "not one"},
			right: map[string]string{"with": "the desk at BLI", "checkpoint": checkpoint}, lands: "/logs"},
		{name: "logs-compared-cy", who: "ALL", path: "/logs?lang=cy"},
	}
}
