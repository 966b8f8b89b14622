package rpc

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"postern/internal/fault"
)

// Networks are where a client may connect to. Whatever a directory or a name server says, the address that a socket is
// about to connect to is judged, at the last moment and each time: an answer that changes in between changes nothing.
//
// Empty, it allows every unicast address but this machine's own. Otherwise it allows what is inside one of the networks,
// and this machine only where one of them is wholly loopback. Never allowed, listed or not: link-local, multicast and
// unspecified addresses, the addresses at which clouds answer their machines (the credentials of a machine are there),
// reserved ranges, and IPv6 addresses that carry an IPv4 address inside, which somebody further on would unpack.
type Networks []netip.Prefix

// ParseNetworks reads networks such as 10.20.0.0/16, and reports each that is none.
func ParseNetworks(texts []string) (n Networks, wrong []int) {
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() || p.Addr().Is4In6() {
			wrong = append(wrong, i)
			continue
		}
		n = append(n, p)
	}
	return n, wrong
}

// never are the ranges in which no inbox can be. Link-local ones are told by netip.
func never() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "192.0.0.0/24", "240.0.0.0/4", // this network, protocol assignments (a cloud's metadata among them), reserved and broadcast
		"100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", // clouds' metadata outside link-local
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10", // an IPv4 address inside, and site-local
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// allow reports whether a socket may connect to an address.
func (n Networks) allow(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap() // a socket for ::ffff:127.0.0.1 reaches 127.0.0.1
	inside := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.IsLoopback() {
		return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(a) && p.Addr().IsLoopback() })
	}
	if a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || slices.ContainsFunc(never(), inside) {
		return false
	}
	return len(n) == 0 || slices.ContainsFunc(n, inside)
}

var errNotAllowed = fault.New(fault.Unverified, "ADDRESS_NOT_ALLOWED", "The address leads to where this hub may not deliver. See the directory, and deliver_to in the hub's configuration.")

// control refuses a socket that is about to connect elsewhere.
func (n Networks) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") || !n.allow(at.Addr()) {
		return errNotAllowed
	}
	return nil
}

// dialer connects to host:port wherever n allows; a nil resolver is the machine's. It takes no proxy from the
// environment: that would connect for us, out of sight.
func (n Networks) dialer(r *net.Resolver) func(context.Context, string) (net.Conn, error) {
	d := &net.Dialer{Resolver: r, ControlContext: n.control}
	return func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
}
