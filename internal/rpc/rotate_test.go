package rpc_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/rpc"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// authorities are trial authorities that follow one another, and the anchors that a party trusts now.
type authorities struct {
	t       *testing.T
	now     func() time.Time
	current string   // the folder that issues
	trusted []string // the folders whose anchors are trusted
	anchors *identity.Anchors
}

func newAuthorities(t *testing.T, now func() time.Time) *authorities {
	a := &authorities{t: t, now: now}
	a.begin()
	var err error
	if a.anchors, err = identity.NewAnchors(a.config()); err != nil {
		t.Fatal(err)
	}
	return a
}

// begin makes the next authorities and issues from them; they are not trusted before a replace.
func (a *authorities) begin() {
	a.current = a.t.TempDir()
	if err := ca.Init(a.current, ca.Config{Domain: "postern.example", Now: a.now()}); err != nil {
		a.t.Fatal(err)
	}
	a.trusted = append(a.trusted, a.current)
}

func (a *authorities) config() identity.AnchorConfig {
	all := func(anchor, file string) []byte {
		var texts [][]byte
		for _, dir := range a.trusted {
			text, err := os.ReadFile(filepath.Join(dir, anchor, file))
			if err != nil {
				a.t.Fatal(err)
			}
			texts = append(texts, text)
		}
		return bytes.Join(texts, nil)
	}
	return identity.AnchorConfig{Domain: "postern.example",
		Prison: all("prison", "ca.pem"), Authority: all("authority", "ca.pem"), Hub: all("hub", "ca.pem"), Auditor: all("auditor", "ca.pem"),
		Revoked: identity.Revoked{Prison: all("prison", "crl.pem"), Authority: all("authority", "crl.pem"), Hub: all("hub", "crl.pem"), Auditor: all("auditor", "crl.pem")}}
}

func (a *authorities) replace() {
	if err := a.anchors.Replace(a.config()); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authorities) issue(uri string) *identity.Identity {
	out := filepath.Join(a.t.TempDir(), "x")
	if err := ca.Issue(a.current, uri, ca.IssueConfig{OutCert: out + ".pem", OutKey: out + "-key.pem", Now: a.now(), Days: 1}); err != nil {
		a.t.Fatal(err)
	}
	i, err := identity.Load(out+".pem", out+"-key.pem")
	if err != nil {
		a.t.Fatal(err)
	}
	return i
}

func (a *authorities) renew(i *identity.Identity) {
	if err := i.Replace(a.issue(i.Party().URI())); err != nil {
		a.t.Fatal(err)
	}
}

// revoke revokes a certificate at its authority. Parties do not hear of it before a replace.
func (a *authorities) revoke(i *identity.Identity) {
	if _, err := ca.Revoke(a.current, i.Leaf().SerialNumber.Text(16), a.now()); err != nil {
		a.t.Fatal(err)
	}
}

// Certificates and authorities change under load, and no call fails.
func TestRotationFailsNoCall(t *testing.T) {
	w := newWorld(t)
	a := newAuthorities(t, w.clock)
	hub, desk := a.issue(hubURI), a.issue(deskURI)
	w.anchors, w.limits = a.anchors, rpc.Limits{CallsPerSecond: 1e9} // its calls wait for nothing
	server := w.serveWith(t, hub, listen(t, "127.0.0.1:0"), submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		return &posternv1.SubmitResponse{}, nil
	}))
	conn, err := rpc.Dial(rpc.ClientConfig{Address: server.addr, Identity: desk, Anchors: a.anchors, Want: hub.Party(), Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var calls, failures, change atomic.Int64
	type call struct{ worker, change int64 }
	done, failed := make(chan call), make(chan struct{})
	const workers = 4
	var load sync.WaitGroup
	for worker := range int64(workers) {
		load.Go(func() {
			for ctx.Err() == nil {
				began := change.Load()
				if err := submit(context.Background(), conn); err != nil {
					t.Error(err)
					if failures.Add(1) == 1 {
						close(failed)
					}
					return
				}
				calls.Add(1)
				select {
				case done <- call{worker, began}:
				default:
				}
			}
		})
	}
	called := func() { // every worker has finished a call that began after what was just changed
		now, seen := change.Add(1), map[int64]bool{}
		for len(seen) < workers {
			select {
			case c := <-done:
				if c.change == now {
					seen[c.worker] = true
				}
			case <-failed:
				return
			}
		}
	}
	rotations := testkit.N(100, 5000)
	for n := range rotations {
		if failures.Load() > 0 {
			break
		}
		if n%10 == 9 { // the authorities: trust both, renew, then trust the new one only
			a.begin()
			a.replace()
			a.renew(hub)
			a.renew(desk)
			called()
			a.trusted = a.trusted[1:]
			a.replace()
		} else if n%2 == 0 {
			a.renew(hub)
		} else {
			a.renew(desk)
		}
		called()
	}
	cancel()
	load.Wait()
	t.Logf("%d rotations, %d calls, %d failed", rotations, calls.Load(), failures.Load())
}

// Who is revoked is refused at the next call and the next message, on connections that are open.
func TestARevokedCertificateIsRefusedOnAnOpenConnection(t *testing.T) {
	for who, reason := range map[string]string{deskURI: "IDENTITY", hubURI: "PEER_IDENTITY"} {
		w := newWorld(t)
		a := newAuthorities(t, w.clock)
		w.anchors = a.anchors
		of := map[string]*identity.Identity{deskURI: a.issue(deskURI), hubURI: a.issue(hubURI), inboxURI: a.issue(inboxURI)}
		next := make(chan bool)
		server := w.serveWith(t, of[hubURI], listen(t, "127.0.0.1:0"), func(s grpc.ServiceRegistrar) {
			submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
				return &posternv1.SubmitResponse{}, nil
			})(s)
			posternv1.RegisterMailboxServiceServer(s, mailbox{collect: func(s grpc.ServerStreamingServer[posternv1.CollectResponse]) error {
				for range next {
					if err := s.Send(&posternv1.CollectResponse{}); err != nil {
						return err
					}
				}
				return nil
			}})
		})
		dial := func(uri string) *rpc.Conn {
			conn, err := rpc.Dial(rpc.ClientConfig{Address: server.addr, Identity: of[uri], Anchors: a.anchors, Want: of[hubURI].Party(), Clock: w.clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		conn := dial(deskURI)
		if err := submit(soon(t), conn); err != nil {
			t.Fatal(err)
		}
		stream, err := posternv1.NewMailboxServiceClient(dial(inboxURI)).Collect(soon(t), &posternv1.CollectRequest{})
		if err != nil {
			t.Fatal(err)
		}
		next <- true
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}

		a.revoke(of[who])
		if err := submit(soon(t), conn); err != nil {
			t.Fatalf("before the list was read: %v", err)
		}
		a.replace()
		err = submit(soon(t), conn)
		if f := fault.From(err); err == nil || f.Reason != reason {
			t.Errorf("%s revoked: %v; want %s", who, err, reason)
		}
		next <- true
		if _, err = stream.Recv(); (err != nil) != (who == hubURI) {
			t.Errorf("%s revoked: the inbox's stream says %v", who, err)
		}
		close(next)
	}
}

// An inbox that is revoked gets nothing more over a stream that it has open.
func TestARevokedInboxGetsNothingMore(t *testing.T) {
	w := newWorld(t)
	a := newAuthorities(t, w.clock)
	w.anchors = a.anchors
	hub, inbox := a.issue(hubURI), a.issue(inboxURI)
	next, sent := make(chan bool), make(chan error, 2)
	server := w.serveWith(t, hub, listen(t, "127.0.0.1:0"), func(s grpc.ServiceRegistrar) {
		posternv1.RegisterMailboxServiceServer(s, mailbox{collect: func(s grpc.ServerStreamingServer[posternv1.CollectResponse]) error {
			for range next {
				err := s.Send(&posternv1.CollectResponse{})
				if sent <- err; err != nil {
					return err
				}
			}
			return nil
		}})
	})
	conn, err := rpc.Dial(rpc.ClientConfig{Address: server.addr, Identity: inbox, Anchors: a.anchors, Want: hub.Party(), Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := posternv1.NewMailboxServiceClient(conn).Collect(soon(t), &posternv1.CollectRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next <- true
	if _, err := stream.Recv(); err != nil || <-sent != nil {
		t.Fatal(err)
	}
	a.revoke(inbox)
	a.replace()
	next <- true
	if err := <-sent; fault.From(err).Reason != "IDENTITY" {
		t.Errorf("the hub sends on, with %v", err)
	}
	if _, err := stream.Recv(); fault.From(err).Reason != "IDENTITY" {
		t.Errorf("the inbox reads %v", err)
	}
	close(next)
}

// A list that runs out while a connection is open closes it to everybody, too.
func TestAListRunsOutUnderAnOpenConnection(t *testing.T) {
	w := newWorld(t)
	a := newAuthorities(t, w.clock)
	w.anchors = a.anchors
	w.pass(30*24*time.Hour - time.Hour)
	hub, desk := a.issue(hubURI), a.issue(deskURI)
	server := w.serveWith(t, hub, listen(t, "127.0.0.1:0"), submitting(func(context.Context, *posternv1.SubmitRequest) (*posternv1.SubmitResponse, error) {
		return &posternv1.SubmitResponse{}, nil
	}))
	// A client with anchors of its own, without lists: only the hub knows that its list has run out.
	cfg := a.config()
	cfg.Revoked = identity.Revoked{}
	trusting, err := identity.NewAnchors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dial(rpc.ClientConfig{Address: server.addr, Identity: desk, Anchors: trusting, Want: hub.Party(), Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := submit(soon(t), conn); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Hour)
	if err := submit(soon(t), conn); fault.From(err).Reason != "IDENTITY" {
		t.Errorf("with a list out of date: %v", err)
	}
	if err := ca.Renew(a.current, w.clock()); err != nil {
		t.Fatal(err)
	}
	a.replace()
	if err := submit(soon(t), conn); err != nil {
		t.Errorf("with the next list: %v", err)
	}
}

// When nobody renews the list, everybody is refused: nobody can say any more who was revoked.
func TestAStaleListFailsClosed(t *testing.T) {
	w := newWorld(t)
	a := newAuthorities(t, w.clock)
	desk := a.issue(deskURI)
	at := w.clock().AddDate(0, 0, 30).Add(time.Minute)
	w.now.Store(at.Unix())
	a.renew(desk)
	_, err := a.anchors.Verify([]*x509.Certificate{desk.Leaf()}, at)
	wantFault(t, err, fault.Unverified, "CERTIFICATE_LIST")
	if err := ca.Renew(a.current, at); err != nil {
		t.Fatal(err)
	}
	a.replace()
	if _, err := a.anchors.Verify([]*x509.Certificate{desk.Leaf()}, at); err != nil {
		t.Error(err)
	}
}
