package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"postern/internal/config"
	"postern/internal/fault"
)

// FuzzLoad: any text as a configuration is refused in words with the place of each fault, or loads, and says what it reads.
func FuzzLoad(f *testing.F) {
	const common = "trust_domain: a.test\ndata: d\nidentity: {certificate: c, key: k}\nanchors: {prison: a, authority: b, hub: c, auditor: d}\n"
	const peer = "hub: {name: main, address: 127.0.0.1:1, log_keys: [k]}\n"
	f.Add([]byte(common + "listen: 127.0.0.1:0\nlog_key: {sent: a, received: b}\ncheckpoint_file: n\nretry: {base_seconds: 0.5, max_seconds: 2}\n"))
	f.Add([]byte(common + peer + "unit: Reception\nreply_to: {role: R, phone: 01632 960100}\nlawful_basis: {article6: PUBLIC_TASK}\nreference_key: r\nstaff: [{uid: 1000, staff_id: T1, role: RECEPTION_OFFICER}]\n"))
	f.Add([]byte(common + peer + "listen: 127.0.0.1:0\nrecipient_keys: r\n"))
	f.Add([]byte(common + peer))
	f.Add([]byte("limits: {calls_per_second: .nan, calls_burst: -1}"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "party.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := config.Load(path, text)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if p.Kind() == "" || len(p.Files()) == 0 || p.Socket() == "" {
			t.Fatalf("%q is a configuration of nothing", text)
		}
		_, _ = p.Upstream()
	})
}
