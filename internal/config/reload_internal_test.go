package config

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/rpc"
)

const (
	watchedHub  = "spiffe://watch.test/hub/main"
	watchedDesk = "spiffe://watch.test/prison/BLI/desk"
)

// watched is a hub's files, and what it has read of them.
type watched struct {
	*reload
	t    *testing.T
	dir  string
	desk *identity.Identity // somebody whom its anchors judge
	logs bytes.Buffer
}

// newWatched makes them at the time of the bubble it is called in.
func newWatched(t *testing.T) *watched {
	w := &watched{t: t, dir: t.TempDir()}
	w.check(ca.Init(w.file("ca"), ca.Config{Domain: "watch.test", Now: time.Now()}))
	w.issue("ca", watchedHub, "own")
	w.issue("ca", watchedDesk, "desk")
	for _, name := range []string{"prison", "authority", "hub", "auditor"} {
		w.copy(filepath.Join("ca", name, "ca.pem"), name+".pem")
		w.copy(filepath.Join("ca", name, "crl.pem"), name+"-crl.pem")
	}
	c := &Common{folder: w.dir, TrustDomain: "watch.test"}
	c.Identity.Certificate, c.Identity.Key = "own.pem", "own-key.pem"
	c.Anchors.Prison, c.Anchors.Authority, c.Anchors.Hub, c.Anchors.Auditor = "prison.pem", "authority.pem", "hub.pem", "auditor.pem"
	c.Revocation.Prison, c.Revocation.Authority, c.Revocation.Hub, c.Revocation.Auditor = "prison-crl.pem", "authority-crl.pem", "hub-crl.pem", "auditor-crl.pem"
	var b base
	var err error
	b.identity, err = c.LoadIdentity()
	w.check(err)
	b.anchors, err = c.LoadAnchors()
	w.check(err)
	w.desk, err = identity.Load(w.file("desk.pem"), w.file("desk-key.pem"))
	w.check(err)
	w.reload = newReload(c, &b, Runtime{Clock: time.Now, Log: slog.New(slog.NewTextHandler(&w.logs, nil))})
	return w
}

func (w *watched) file(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w *watched) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) read(name string) []byte {
	w.t.Helper()
	text, err := os.ReadFile(w.file(name))
	w.check(err)
	return text
}

func (w *watched) write(name string, text []byte) {
	w.t.Helper()
	w.check(os.WriteFile(w.file(name), text, 0o600))
}

func (w *watched) copy(from, to string) { w.t.Helper(); w.write(to, w.read(from)) }

func (w *watched) issue(authority, uri, name string) {
	w.t.Helper()
	w.check(ca.Issue(w.file(authority), uri, ca.IssueConfig{OutCert: w.file(name + ".pem"), OutKey: w.file(name + "-key.pem"), Now: time.Now()}))
}

// revoke has the prison anchor revoke the desk, and copies the list to the hub.
func (w *watched) revoke() {
	w.t.Helper()
	_, err := ca.Revoke(w.file("ca"), w.desk.Leaf().SerialNumber.Text(16), time.Now())
	w.check(err)
	w.copy(filepath.Join("ca", "prison", "crl.pem"), "prison-crl.pem")
}

// refused is the reason for which the hub refuses the desk now; empty when it does not.
func (w *watched) refused() string {
	if _, err := w.anchors.Verify([]*x509.Certificate{w.desk.Leaf()}, time.Now()); err != nil {
		return fault.From(err).Reason
	}
	return ""
}

func (w *watched) step() {
	w.t.Helper()
	if worked, err := w.Step(w.t.Context()); !worked || err != nil {
		w.t.Fatal(worked, err)
	}
}

// measures are the gauges, each with its label.
func (w *watched) measures() map[string]float64 {
	m := map[string]float64{}
	w.check(w.measure(w.t.Context(), func(gauge string, value float64, labels ...string) {
		m[strings.Join(append([]string{gauge}, labels...), " ")] = value
	}))
	return m
}

// Whoever is on a list that was copied to a party is refused by it within a minute, whenever that happens; every call and
// every message on an open connection asks these anchors again (package rpc).
func TestWhoIsRevokedIsRefusedWithinAMinute(t *testing.T) {
	var longest time.Duration
	for after := range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- w.Run(ctx) }()
			time.Sleep(time.Duration(after) * time.Second)
			if why := w.refused(); why != "" {
				t.Fatalf("refused before it was revoked: %s", why)
			}
			w.revoke()
			copied := time.Now()
			for w.refused() == "" && time.Since(copied) <= time.Minute {
				time.Sleep(time.Second)
				synctest.Wait()
			}
			took := time.Since(copied)
			if w.refused() != "CERTIFICATE_REVOKED" || took > time.Minute {
				t.Errorf("%s after %s", w.refused(), took)
			}
			longest = max(longest, took)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Logf("refused %s after the list was copied, at the latest", longest)
}

// A certificate that cannot be used, or is itself revoked, does not hold back a revocation that comes with it.
func TestABrokenCertificateHoldsBackNoRevocation(t *testing.T) {
	for name, spoil := range map[string]func(*watched){
		"half a file":   func(w *watched) { w.write("own.pem", w.read("own.pem")[:100]) },
		"no key":        func(w *watched) { w.check(os.Remove(w.file("own-key.pem"))) },
		"another party": func(w *watched) { w.copy("desk.pem", "own.pem"); w.copy("desk-key.pem", "own-key.pem") },
		"revoked": func(w *watched) {
			_, err := ca.Revoke(w.file("ca"), w.identity.Leaf().SerialNumber.Text(16), time.Now())
			w.check(err)
			w.copy(filepath.Join("ca", "hub", "crl.pem"), "hub-crl.pem")
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t)
			before := w.identity.Leaf()
			spoil(w)
			w.revoke()
			time.Sleep(time.Second)
			w.step()
			if why := w.refused(); why != "CERTIFICATE_REVOKED" {
				t.Errorf("%s: the revoked desk is refused for %q", name, why)
			}
			if m := w.measures(); m["postern_reload_failed"] != 1 || !w.identity.Leaf().Equal(before) {
				t.Errorf("%s: failed is %v", name, m["postern_reload_failed"])
			}
			if !strings.Contains(w.logs.String(), "changed certificate or key cannot be used") || strings.Contains(w.logs.String(), "anchors or revocation lists cannot be used") {
				t.Errorf("%s: the log says %s", name, w.logs.String())
			}
		})
	}
}

// Anchors and lists that cannot be believed leave those before in force, and it shows until they are put right.
func TestTrustThatCannotBeBelievedIsNotTaken(t *testing.T) {
	for name, spoil := range map[string]func(*watched){
		"no list any more":        func(w *watched) { w.write("prison-crl.pem", nil) },
		"the list is gone":        func(w *watched) { w.check(os.Remove(w.file("prison-crl.pem"))) },
		"half a list":             func(w *watched) { w.write("prison-crl.pem", w.read("prison-crl.pem")[:200]) },
		"another anchor's list":   func(w *watched) { w.copy("hub-crl.pem", "prison-crl.pem") },
		"the list before":         func(w *watched) { w.write("prison-crl.pem", w.read("before.pem")) },
		"one key in two anchors":  func(w *watched) { w.copy("hub.pem", "prison.pem") },
		"a leaf as an anchor":     func(w *watched) { w.copy("desk.pem", "prison.pem") },
		"an anchor without a key": func(w *watched) { w.write("prison.pem", []byte("not PEM")) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t)
			w.copy("prison-crl.pem", "before.pem")
			good := w.read("prison.pem")
			w.revoke()
			w.step()
			list := w.read("prison-crl.pem")
			spoil(w)
			w.step()
			if why := w.refused(); why != "CERTIFICATE_REVOKED" {
				t.Errorf("%s: the revoked desk is refused for %q", name, why)
			}
			if m := w.measures(); m["postern_reload_failed"] != 1 || m["postern_reloads"] != 1 {
				t.Errorf("%s: %v", name, m)
			}
			w.write("prison.pem", good)
			w.write("prison-crl.pem", list)
			w.step()
			if m := w.measures(); m["postern_reload_failed"] != 0 || m["postern_reloads"] != 2 {
				t.Errorf("%s, put right: %v", name, m)
			}
		})
	}
}

// A certificate authority is followed by another through the files alone: both, then certificates, then the new one only.
func TestAnAnchorIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		if m := w.measures(); m["postern_anchor_days prison"] != 5*365+2 || m["postern_revocation_list_hours prison"] != 30*24 {
			t.Errorf("%v", m)
		}
		time.Sleep(24 * time.Hour)
		w.check(ca.Init(w.file("next"), ca.Config{Domain: "watch.test", Now: time.Now()}))
		for _, anchor := range []string{"hub", "prison"} {
			file, list := anchor+".pem", anchor+"-crl.pem"
			w.write(file, append(w.read(file), w.read(filepath.Join("next", anchor, "ca.pem"))...))
			w.write(list, append(w.read(list), w.read(filepath.Join("next", anchor, "crl.pem"))...))
		}
		w.step()
		old := w.identity.Leaf()
		w.issue("next", watchedHub, "own")
		w.step()
		if w.identity.Leaf().Equal(old) || w.refused() != "" {
			t.Errorf("renewed %v, the desk of the old authority is refused for %q", !w.identity.Leaf().Equal(old), w.refused())
		}
		for _, anchor := range []string{"hub", "prison"} {
			w.copy(filepath.Join("next", anchor, "ca.pem"), anchor+".pem")
			w.copy(filepath.Join("next", anchor, "crl.pem"), anchor+"-crl.pem")
		}
		w.step()
		if w.refused() != "CERTIFICATE_ANCHOR" {
			t.Errorf("the desk of the authority that was taken out is refused for %q", w.refused())
		}
		if m := w.measures(); m["postern_reloads"] != 3 || m["postern_reload_failed"] != 0 {
			t.Errorf("%v", m)
		}
	})
}

// What everybody rests on warns before it ends, and every hour from then on.
func TestAnchorsAndListsAreWatched(t *testing.T) {
	for _, c := range []struct {
		word  string
		skip  time.Duration
		lines int
	}{
		{"revocation list must be renewed", 0, 4 * (2 + 3)},                           // 7 and 1 days ahead, at the end and twice after it
		{"trust anchor must be followed", (5*365 - 40) * 24 * time.Hour, 4 * (4 + 3)}, // 30, 14, 7 and 1
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t)
			time.Sleep(c.skip)
			end := w.anchors.Lists()["prison"]
			if c.skip > 0 {
				end = w.anchors.Ends()["prison"]
			}
			s := &Service{rt: Runtime{Clock: time.Now, Log: slog.New(slog.NewTextHandler(&w.logs, nil))}, server: rpc.ServerConfig{Anchors: w.anchors}}
			ctx, cancel := context.WithDeadline(t.Context(), end.Add(150*time.Minute))
			defer cancel()
			w.check(s.watchTrust(ctx))
			if n := strings.Count(w.logs.String(), c.word); n != c.lines {
				t.Errorf("%d lines with %q, want %d", n, c.word, c.lines)
			}
			if !strings.Contains(w.logs.String(), "level=ERROR") {
				t.Error("it is not loud")
			}
		})
	}
}
