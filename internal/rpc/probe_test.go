package rpc_test

import (
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/rpc"
)

func TestProbe(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, failing(nil))
	probe := func(ahead time.Duration) (rpc.Probed, error) {
		return rpc.Probe(soon(t), rpc.ClientConfig{Address: server.addr, Identity: w.issue(t, deskURI), Anchors: w.anchors, Want: party(t, hubURI),
			Clock: func() time.Time { return w.clock().Add(-ahead) }})
	}
	for _, ahead := range []time.Duration{0, time.Minute, -10 * time.Minute} {
		p, err := probe(ahead)
		if err != nil || !p.Serving || p.Ahead != ahead || p.Within != 0 { // the clock of a test stands still
			t.Errorf("a hub %s ahead: %+v, %v", ahead, p, err)
		}
	}
	other := w.serveAs(t, inboxURI, listen(t, "127.0.0.1:0"), failing(nil))
	_, err := rpc.Probe(soon(t), rpc.ClientConfig{Address: other.addr, Identity: w.issue(t, deskURI), Anchors: w.anchors, Want: party(t, hubURI), Clock: w.clock})
	wantFault(t, err, fault.Unverified, "PEER_IDENTITY")
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	_, err = probe(0)
	wantFault(t, err, fault.Unavailable, "UNREACHABLE")
}
