package rpc

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

// The pool never holds more than its limit, never closes a connection that is in use, and lets the oldest go first.
func TestThePoolIsBounded(t *testing.T) {
	dir := t.TempDir()
	if err := ca.Init(dir, ca.Config{Domain: "postern.example"}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "hub")
	if err := ca.Issue(dir, "spiffe://postern.example/hub/one", ca.IssueConfig{OutCert: out + ".pem", OutKey: out + "-key.pem"}); err != nil {
		t.Fatal(err)
	}
	self, err := identity.Load(out+".pem", out+"-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	hubPEM, err := os.ReadFile(filepath.Join(dir, "hub", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := identity.NewAnchors(identity.AnchorConfig{Domain: "postern.example", Hub: hubPEM})
	if err != nil {
		t.Fatal(err)
	}
	s := NewInboxSender(SenderConfig{Identity: self, Anchors: anchors, Within: Networks{netip.MustParsePrefix("127.0.0.0/8")}})
	s.limit = 3
	defer s.Close()
	at := func(n int) destination {
		return destination{identity.Party{Domain: "postern.example", Role: posternv1.Role_ROLE_INBOX, ID: fmt.Sprintf("E0600000%d", n)}, "127.0.0.1:1"}
	}
	use := func(n int) *pooled {
		t.Helper()
		p, err := s.take(at(n))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	held := use(0)
	for n := 1; n < 6; n++ {
		s.put(at(n), use(n), false)
		if len(s.conns) > 3 {
			t.Fatalf("%d connections", len(s.conns))
		}
	}
	for n, want := range []bool{true, false, false, false, true, true} {
		if _, ok := s.conns[at(n)]; ok != want {
			t.Errorf("connection %d: %v", n, ok)
		}
	}
	p4, p5 := use(4), use(5)
	if _, err := s.take(at(6)); fault.KindOf(err) != fault.Exhausted || fault.From(err).RetryAfter == 0 {
		t.Fatalf("a fourth in use: %v", err)
	}
	// A broken connection leaves the pool at once and is closed by the last that uses it.
	again := use(5)
	s.put(at(5), p5, true)
	if _, ok := s.conns[at(5)]; ok || again.conn.closed {
		t.Fatal("a broken connection is still offered, or was closed under a send")
	}
	s.put(at(5), again, true)
	if !again.conn.closed {
		t.Fatal("a broken connection was not closed")
	}
	s.put(at(4), p4, false)
	s.put(at(0), held, false)
}
