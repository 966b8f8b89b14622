package demo

import (
	"net"
	"testing"
)

// A folder is played again on the ports of its first time. None of them is one that a system gives to connections by itself
// (RFC 6335 has those from 49152, Linux from 32768), and each is its own.
func TestPortsAreNotTheSystems(t *testing.T) {
	held := map[int]bool{}
	for range 50 {
		lis, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		port := lis.Addr().(*net.TCPAddr).Port
		if port < 1024 || port >= 32768 || held[port] {
			t.Errorf("port %d", port)
		}
		held[port] = true
	}
}
