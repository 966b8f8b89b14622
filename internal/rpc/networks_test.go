package rpc_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"postern/internal/fault"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

// here is this machine: the networks of the tests.
func here() rpc.Networks { return rpc.Networks{netip.MustParsePrefix("127.0.0.0/8")} }

// nameServer is a name server whose answers are the test's: to the nth question about a name the nth list of addresses,
// and the last from then on.
type nameServer struct {
	mu      sync.Mutex // owns both
	answers map[string][][]string
	asked   map[string]int
}

func serveNames(t *testing.T, answers map[string][][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &nameServer{answers: answers, asked: map[string]int{}}
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if answer, err := s.answer(b[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *nameServer) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	lists := s.answers[q.Name.String()]
	if lists == nil {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	key := q.Name.String() + q.Type.String()
	list := lists[min(s.asked[key], len(lists)-1)]
	s.asked[key]++
	for _, text := range list {
		a, h := netip.MustParseAddr(text), dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}

// astray are addresses at which no inbox of another machine can be.
var astray = []string{
	"127.0.0.1", "127.0.0.53", "127.255.255.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "0.1.2.3", "::",
	"169.254.169.254", "169.254.0.1", "169.254.170.2", "::ffff:169.254.169.254", "fe80::1", "fe80::a9fe:a9fe", "febf::1",
	"100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.0.170", "fd00:ec2::254", "fd00:ec2::23",
	"224.0.0.1", "239.255.255.255", "ff02::1", "ff01::1", "ff05::1:3", "240.0.0.1", "255.255.255.255",
	"::127.0.0.1", "::169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1",
	"2001::1", "2001:0:7f00:1::", "fec0::1",
}

// Whatever a name server answers, and whatever is written in a directory, no socket connects outside the networks.
func TestNothingIsDialledOutsideTheNetworks(t *testing.T) {
	w := newWorld(t)
	trap := &counted{Listener: listen(t, "127.0.0.1:0")}
	w.serveAs(t, inboxURI, trap, front{}.register)
	_, port, err := net.SplitHostPort(trap.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	names, tried := map[string][][]string{}, 0
	var hosts []string
	for _, a := range astray {
		name := "inbox" + string(rune('a'+len(names)/26)) + string(rune('a'+len(names)%26)) + ".example."
		names[name] = [][]string{{a}}
		hosts = append(hosts, name, name[:len(name)-1], a)
	}
	// Several addresses at once; the name that changes between two questions; other spellings of this machine.
	names["both.example."] = [][]string{{"127.0.0.1", "169.254.169.254", "::1"}}
	names["mapped.example."] = [][]string{{"::ffff:7f00:1"}}
	hosts = append(hosts, "both.example", "mapped.example", "localhost", "LOCALHOST", "localhost.", "0", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "[::1]", "::1%lo", "fe80::1%eth0", "①②⑦.0.0.1", "127。0。0。1")
	resolver := serveNames(t, names)
	for _, within := range []rpc.Networks{nil, {netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}} {
		sender := rpc.NewInboxSender(rpc.SenderConfig{Identity: w.issue(t, hubURI), Anchors: w.anchors, Clock: w.clock, Within: within, Resolver: resolver})
		t.Cleanup(func() { _ = sender.Close() })
		for _, host := range hosts {
			tried++
			address := host + ":" + port
			if _, err := netip.ParseAddr(host); err == nil {
				address = net.JoinHostPort(host, port)
			}
			_, err := sender.Send(soon(t), party(t, inboxURI), address, &posternv1.Delivery{})
			if reason := fault.From(err).Reason; err == nil || reason != "ADDRESS_NOT_ALLOWED" && reason != "UNREACHABLE" && reason != "ADDRESS" {
				t.Errorf("%s: %v", address, err)
			}
			if a, bad := netip.ParseAddr(host); bad == nil && a.Zone() == "" && fault.From(err).Reason != "ADDRESS_NOT_ALLOWED" {
				t.Errorf("%s was not refused but %v", address, err)
			}
		}
	}
	if n := trap.n.Load(); n != 0 || tried < 100 {
		t.Errorf("of %d, %d connected", tried, n)
	}
	t.Logf("%d tries, none connected", tried)
}

// A name whose answer was good and changes is judged at each connection.
func TestAnAnswerThatChangesIsJudgedAgain(t *testing.T) {
	w := newWorld(t)
	lis := &counted{Listener: listen(t, "127.0.0.1:0")}
	server := w.serveAs(t, inboxURI, lis, front{}.register)
	_, port, err := net.SplitHostPort(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resolver := serveNames(t, map[string][][]string{"inbox.example.": {{"127.0.0.1"}, {"127.0.0.1"}, {"169.254.169.254"}}})
	sender := rpc.NewInboxSender(rpc.SenderConfig{Identity: w.issue(t, hubURI), Anchors: w.anchors, Clock: w.clock, Within: here(), Resolver: resolver})
	t.Cleanup(func() { _ = sender.Close() })
	// The control: where this machine is among the networks, it is reached by name.
	if _, err := sender.Send(soon(t), party(t, inboxURI), "inbox.example:"+port, &posternv1.Delivery{}); err != nil {
		t.Fatal(err)
	}
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 4 {
		_, err := sender.Send(soon(t), party(t, inboxURI), "inbox.example:"+port, &posternv1.Delivery{})
		if fault.From(err).Reason == "ADDRESS_NOT_ALLOWED" {
			refused++
		}
	}
	if refused == 0 || lis.n.Load() != 1 {
		t.Errorf("%d refused, %d connected", refused, lis.n.Load())
	}
}

// A proxy in the environment would connect for us, out of sight.
func TestNoProxyConnectsForUs(t *testing.T) {
	w := newWorld(t)
	proxy := &counted{Listener: listen(t, "127.0.0.1:0")}
	w.serveAs(t, inboxURI, proxy, front{}.register)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	sender := w.sender(t)
	_, err := sender.Send(soon(t), party(t, inboxURI), "192.0.2.1:8443", &posternv1.Delivery{})
	wantFault(t, err, fault.Unverified, "ADDRESS_NOT_ALLOWED")
	if n := proxy.n.Load(); n != 0 {
		t.Errorf("%d went by the proxy", n)
	}
}

func TestNetworksAreWritten(t *testing.T) {
	good := []string{"10.0.0.0/8", "192.168.7.0/24", "fd12:3456::/32", "127.0.0.0/8", "203.0.113.5/32"}
	if n, wrong := rpc.ParseNetworks(good); len(n) != len(good) || len(wrong) != 0 {
		t.Errorf("%v, wrong %v", n, wrong)
	}
	bad := []string{"", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "inbox.example/8", "::ffff:10.0.0.0/104", "10.0.0.0/8 "}
	if n, wrong := rpc.ParseNetworks(bad); len(n) != 0 || len(wrong) != len(bad) {
		t.Errorf("%v, wrong %v", n, wrong)
	}
}
