package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/config"
	"postern/internal/fault"
)

// What is there and cannot be used is named before anything starts, all of it at once.
func TestValuesThatCannotBeUsedAreNamedAtOnce(t *testing.T) {
	const disk = "disk: {max_mib: -1, reserve_mib: -1}\nretry: {base_seconds: -1, max_seconds: -2}\nlimits: {calls_burst: -1}\n"
	for kind, c := range map[string]struct {
		yaml string
		want []string
	}{
		"hub":   {disk + "gather_seconds: -1\n", []string{"disk.max_mib", "disk.reserve_mib", "gather_seconds", "limits.calls_burst", "listen", "retry.base_seconds", "retry.max_seconds", "trust_domain"}},
		"desk":  {disk + "poll_seconds: -3\ndraft_days: -1\nform_days: -1\n", []string{"disk.max_mib", "disk.reserve_mib", "draft_days", "form_days", "hub.address", "hub.log_keys[0]", "hub.log_keys[2]", "hub.name", "limits.calls_burst", "poll_seconds", "retry.base_seconds", "retry.max_seconds", "trust_domain"}},
		"inbox": {disk, []string{"disk.max_mib", "disk.reserve_mib", "hub.address", "hub.log_keys[0]", "hub.log_keys[2]", "hub.name", "limits.calls_burst", "listen", "retry.base_seconds", "retry.max_seconds", "trust_domain"}},
		"audit": {"", []string{"hub.address", "hub.log_keys[0]", "hub.log_keys[2]", "hub.name", "trust_domain"}},
	} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(folder(t), kind+".yaml")
			b, err := os.ReadFile(path)
			check(t, err)
			text := strings.NewReplacer("retry: {base_seconds: 0.5, max_seconds: 2}\n", "", "trust_domain: "+domain, "trust_domain: Not a domain!", "listen: 127.0.0.1:0", "listen: 127.0.0.1",
				"name: main", "name: Main Hub", "address: 127.0.0.1:1", "address: hub.example", "log_keys: [", `log_keys: ["garbled", `).Replace(string(b))
			if at := strings.Index(text, `log_keys: ["garbled", `); at >= 0 { // the first good key once more, after it
				key, _, _ := strings.Cut(text[at+len(`log_keys: ["garbled", `):], ",")
				text = strings.Replace(text, key+",", key+", "+key+",", 1)
			}
			check(t, os.WriteFile(path, []byte(text+c.yaml), 0o600))
			_, err = loaders[kind](path)
			if got := paths(err); fault.KindOf(err) != fault.Invalid || !slices.Equal(got, c.want) {
				t.Errorf("named %v, want %v", got, c.want)
			}
		})
	}
}

// For whoever looks at a configuration: all that it names, and what nobody else may read.
func TestEveryFileThatAConfigurationNamesIsAmongItsFiles(t *testing.T) {
	const site = "web:\n  listen: 127.0.0.1:0\n  url: https://x.test\n  certificate: w/cert.pem\n  key: w/key.pem\n  logo: w/logo.svg\n" +
		"  controller: {name: X, contact: Y}\n  sign_in: {openid: {issuer: https://i.test, client_id: x, client_secret: w/secret, roles_claim: r, roles: {W: "
	ofSite := []string{"web.certificate", "web.key!", "web.logo", "web.sign_in.openid.client_secret!"}
	for kind, c := range map[string]struct {
		yaml string
		want []string
	}{
		"hub":  {"witness_files: [a, b]\npostcodes: hub\npolicy: p\n", []string{"witness_files", "witness_files", "postcodes/", "policy/"}},
		"desk": {"postcodes: t\narrivals: a\n" + site + "RECEPTION_OFFICER}}}\n", append([]string{"postcodes", "arrivals/", "hub.checkpoint_files"}, ofSite...)},
		"inbox": {"postcodes: t\noutlets: {folder: f, mail: {server: m.test:587, from: p@m.test, ca: ca.pem, username: u, password_file: pw}}\n" + site + "DUTY_WORKER}}}\n",
			append([]string{"postcodes", "outlets.folder/", "outlets.mail.ca", "outlets.mail.password_file!", "hub.checkpoint_files"}, ofSite...)},
		"audit": {"access_logs: [a, b]\n" + site + "AUDITOR}}}\n", append([]string{"access_logs/", "access_logs/", "hub.checkpoint_files"}, ofSite...)},
	} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(folder(t), kind+".yaml")
			b, err := os.ReadFile(path)
			check(t, err)
			text := strings.Replace(string(b), "  name: main\n", "  name: main\n  checkpoint_files: [first]\n", 1) + c.yaml
			check(t, os.WriteFile(path, []byte(text), 0o600))
			p, err := config.Load(path, []byte(text))
			check(t, err)
			got := map[string]int{}
			for _, f := range p.Files() {
				name := f.Field
				if f.Folder {
					name += "/"
				}
				if f.Secret {
					name += "!"
				}
				if !filepath.IsAbs(f.Path) {
					t.Errorf("%s is %s", name, f.Path)
				}
				got[name]++
			}
			for _, name := range c.want {
				if got[name]--; got[name] < 0 {
					t.Errorf("%s is not among them: %v", name, got)
				}
			}
		})
	}
}
