package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
)

// What is missing is named by load; these name values that are there and cannot be used.

// check names what cannot be used of what every party has.
func (c *Common) check() []fault.Field {
	wrong := negative("disk.", map[string]float64{"max_mib": float64(c.Disk.MaxMiB), "reserve_mib": float64(c.Disk.ReserveMiB)})
	if !domain(c.TrustDomain) {
		wrong = append(wrong, fault.Field{Path: "trust_domain", Reason: "Not the name of a trust domain.", Fix: "Write it as in the certificates, such as postern.example: lower case letters, digits, hyphens and dots."})
	}
	return slices.Concat(wrong, c.checkOperations(), c.Limits.check())
}

// domain reports whether certificates can be of a trust domain; also of none, which is missing and not wrong.
func domain(name string) bool {
	_, err := identity.ParseURI("spiffe://" + name + "/hub/x")
	return name == "" || err == nil
}

// check names what cannot be used of a hub as its clients know it.
func (p Peer) check() []fault.Field {
	wrong := address("hub.address", p.Address, "Write one such as hub.example:8443.")
	if host, _, err := net.SplitHostPort(p.Address); err == nil && host == "" {
		wrong = append(wrong, fault.Field{Path: "hub.address", Reason: "It names no host.", Fix: "Write one such as hub.example:8443."})
	}
	if _, err := p.party("x"); p.Name != "" && err != nil {
		wrong = append(wrong, fault.Field{Path: "hub.name", Reason: "Not the name of a hub.", Fix: "Write it as in the hub's certificate, /hub/NAME: lower case letters, digits and hyphens."})
	}
	return slices.Concat(wrong, logKeys("hub.log_keys", p.LogKeys), logKeys("hub.received_keys", p.Received))
}

// logKeys names the verifier keys of a list that are none, or are there twice.
func logKeys(path string, keys []string) (wrong []fault.Field) {
	for i, key := range keys {
		if _, err := verify.NewKeys(key); err != nil {
			wrong = append(wrong, fault.Field{Path: fmt.Sprintf("%s[%d]", path, i), Reason: "Not a verifier key of a log.", Fix: "Copy the whole line from the hub's operator: name+hash+key."})
		} else if slices.Contains(keys[:i], key) {
			wrong = append(wrong, fault.Field{Path: fmt.Sprintf("%s[%d]", path, i), Reason: "It is there twice.", Fix: "Take one of them out."})
		}
	}
	return wrong
}

// address names an address that is not a host with a port.
func address(path, value, fix string) []fault.Field {
	_, port, err := net.SplitHostPort(value)
	if _, bad := strconv.ParseUint(port, 10, 16); value == "" || err == nil && bad == nil {
		return nil
	}
	return []fault.Field{{Path: path, Reason: "Not a host with a port.", Fix: fix}}
}

// listenFix says how an address to listen on is written.
const listenFix = "Write one such as 10.20.0.5:8443, or 0.0.0.0:8443 for every address of the machine."

// check names waits that are less than nothing.
func (r Retry) check() []fault.Field {
	return negative("retry.", map[string]float64{"base_seconds": r.BaseSeconds, "max_seconds": r.MaxSeconds})
}

// negative names numbers that are less than nothing.
func negative(before string, values map[string]float64) (wrong []fault.Field) {
	for _, field := range slices.Sorted(maps.Keys(values)) {
		if values[field] < 0 {
			wrong = append(wrong, fault.Field{Path: before + field, Reason: "It is less than nothing.", Fix: "Give it a value above 0, or leave it out."})
		}
	}
	return wrong
}
