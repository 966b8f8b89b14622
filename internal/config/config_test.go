package config_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/inbox"
	"postern/internal/ledger"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
)

const domain = "config.postern.test"

// party is a configuration of any kind.
type party interface {
	Socket() string
	Build(context.Context, config.Runtime) (*config.Service, error)
}

// loaders load each kind of configuration from its file in the folder.
var loaders = map[string]func(path string) (party, error){
	"hub":   func(p string) (party, error) { return config.LoadHub(p) },
	"desk":  func(p string) (party, error) { return config.LoadDesk(p) },
	"inbox": func(p string) (party, error) { return config.LoadInbox(p) },
	"audit": func(p string) (party, error) { return config.LoadAuditor(p) },
}

// folder is a folder with everything the four configurations name, and the configurations.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	check(t, ca.Init(file("ca"), ca.Config{Domain: domain}))
	for party, path := range map[string]string{"hub": "/hub/main", "desk": "/prison/BLI/desk", "inbox": "/authority/E06000023/inbox",
		"audit": "/auditor/ig", "operator": "/operator/main"} {
		check(t, os.Mkdir(file(party), 0o700))
		check(t, ca.Issue(file("ca"), "spiffe://"+domain+path, ca.IssueConfig{OutCert: file(party, "cert.pem"), OutKey: file(party, "key.pem")}))
	}
	verifiers := map[string]string{}
	for _, log := range []string{"sent", "received"} {
		secret, public, err := ledger.GenerateKey(rand.Reader, domain+"/"+log)
		check(t, err)
		check(t, os.WriteFile(file("hub", log+".key"), []byte(secret+"\n"), 0o600))
		verifiers[log] = public
	}
	i, err := identity.Load(file("inbox", "cert.pem"), file("inbox", "key.pem"))
	check(t, err)
	_, err = inbox.NewKey(file("inbox", "recipient"), i, 1, time.Now())
	check(t, err)
	check(t, os.WriteFile(file("desk", "reference.key"), []byte(strings.Repeat("ab", 32)), 0o600))
	common := func(p string) string {
		return fmt.Sprintf("trust_domain: %[2]s\ndata: %[1]s/data\nidentity: {certificate: %[1]s/cert.pem, key: %[1]s/key.pem}\n", p, domain) +
			"anchors: {prison: ca/prison/ca.pem, authority: ca/authority/ca.pem, hub: ca/hub/ca.pem, auditor: ca/auditor/ca.pem}\n"
	}
	hub := fmt.Sprintf("hub:\n  name: main\n  address: 127.0.0.1:1\n  log_keys: [%q, %q]\n", verifiers["sent"], verifiers["received"])
	for name, text := range map[string]string{
		"hub": common("hub") + "listen: 127.0.0.1:0\nlog_key: {sent: hub/sent.key, received: hub/received.key}\ncheckpoint_file: newest\n" +
			"operator: {certificate: operator/cert.pem, key: operator/key.pem}\nretry: {base_seconds: 0.5, max_seconds: 2}\n",
		"desk": common("desk") + hub + "unit: Reception\nreply_to: {role: Resettlement team, phone: 01632 960100}\n" +
			"lawful_basis: {article6: PUBLIC_TASK, gateway: ca2004.s11, confidentiality: CONSENT}\nreference_key: desk/reference.key\n" +
			"staff:\n  - {uid: 1000, staff_id: T1, role: RECEPTION_OFFICER}\n",
		"inbox": common("inbox") + hub + "listen: 127.0.0.1:0\nrecipient_keys: inbox/recipient\n",
		"audit": common("audit") + hub,
	} {
		check(t, os.WriteFile(file(name+".yaml"), []byte(text), 0o600))
	}
	return dir
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// edit replaces a piece of a file, which must be there.
func edit(t *testing.T, path, old, replacement string) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	if !strings.Contains(string(b), old) {
		t.Fatalf("%q is not in %s", old, path)
	}
	check(t, os.WriteFile(path, []byte(strings.Replace(string(b), old, replacement, 1)), 0o600))
}

func runtime() config.Runtime { return config.NewRuntime(slog.New(slog.DiscardHandler)) }

func paths(err error) (all []string) {
	for _, f := range fault.From(err).Fields {
		all = append(all, f.Path)
	}
	slices.Sort(all)
	return all
}

// A party with the certificate of another kind does not start, and leaves nothing behind: a hub would begin its logs in
// somebody else's name.
func TestNobodyStartsWithTheCertificateOfAnotherKind(t *testing.T) {
	dir := folder(t)
	others := map[string]string{"hub": "audit", "desk": "audit", "inbox": "desk", "audit": "operator"}
	for kind, other := range others {
		path := filepath.Join(dir, kind+".yaml")
		edit(t, path, fmt.Sprintf("certificate: %[1]s/cert.pem, key: %[1]s/key.pem}\nanchors", kind), fmt.Sprintf("certificate: %[1]s/cert.pem, key: %[1]s/key.pem}\nanchors", other))
		p, err := loaders[kind](path)
		check(t, err)
		if _, err = p.Build(t.Context(), runtime()); fault.From(err).Reason != "WRONG_CERTIFICATE" {
			t.Errorf("%s with the certificate of %s: %v", kind, other, err)
		}
		if _, err := os.Stat(filepath.Join(dir, kind, "data")); err == nil {
			t.Errorf("%s began a data folder", kind)
		}
	}
}

func TestEveryKindLoadsAndBuilds(t *testing.T) {
	dir := folder(t)
	for kind, load := range loaders {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(dir, kind+".yaml")
			p, err := load(path)
			check(t, err)
			s, err := p.Build(t.Context(), runtime())
			check(t, err)
			if !strings.HasPrefix(s.Name, kind) || s.Local == nil {
				t.Errorf("built %q", s.Name)
			}
			if (s.Remote != nil) != (kind == "hub" || kind == "inbox") {
				t.Error("the wrong parties have a port")
			}
			if p.Socket() != filepath.Join(dir, kind, "data", "control.sock") {
				t.Errorf("its socket is %s", p.Socket())
			}
			if kind != "audit" {
				if _, err := p.Build(t.Context(), runtime()); fault.KindOf(err) != fault.Unavailable {
					t.Errorf("built twice on one database: %v", err)
				}
			}
			check(t, s.Close())
			b, err := os.ReadFile(path)
			check(t, err)
			if got := config.KindOf(b); got != kind {
				t.Errorf("taken for %s's", got)
			}
		})
	}
}

func TestAllThatIsMissingIsNamedAtOnce(t *testing.T) {
	common := []string{"anchors.auditor", "anchors.authority", "anchors.hub", "anchors.prison", "data", "identity.certificate", "identity.key"}
	hub := []string{"hub.address", "hub.log_keys", "hub.name"}
	for kind, own := range map[string][]string{
		"hub":   {"listen", "log_key.received", "log_key.sent"},
		"desk":  append(hub, "lawful_basis.article6", "lawful_basis.gateway", "reference_key", "reply_to.phone", "reply_to.role"),
		"inbox": append(hub, "listen", "recipient_keys"),
		"audit": hub,
	} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.yaml")
			check(t, os.WriteFile(path, []byte("trust_domain: x.test\n"), 0o600))
			_, err := loaders[kind](path)
			want := slices.Sorted(slices.Values(append(slices.Clone(common), own...)))
			if got := paths(err); fault.KindOf(err) != fault.Invalid || !slices.Equal(got, want) {
				t.Errorf("named %v, want %v", got, want)
			}
			for _, f := range fault.From(err).Fields {
				if f.Reason == "" || f.Fix == "" {
					t.Errorf("%s has no reason or no fix", f.Path)
				}
			}
		})
	}
}

func TestAnUnknownKeyIsNamed(t *testing.T) {
	dir := folder(t)
	for kind, load := range loaders {
		path := filepath.Join(dir, kind+".yaml")
		edit(t, path, "identity: {", "colour: blue\nidentity: {serial: 1, ")
		_, err := load(path)
		if got := paths(err); fault.KindOf(err) != fault.Invalid || !slices.Equal(got, []string{"colour", "identity.serial"}) {
			t.Errorf("%s: named %v: %v", kind, got, err)
		}
	}
}

func TestAFileThatIsNotThereOrNotYAMLIsNamed(t *testing.T) {
	dir := folder(t)
	for kind, load := range loaders {
		if _, err := load(filepath.Join(dir, "absent.yaml")); err == nil || !strings.Contains(err.Error(), "absent.yaml") {
			t.Errorf("%s: %v", kind, err)
		}
		path := filepath.Join(dir, kind+".yaml")
		check(t, os.WriteFile(path, []byte("data: [\n"), 0o600))
		if _, err := load(path); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// What a file names may be wrong too. The fault says which, and quotes nothing of a key.
func TestAFaultyFileIsNamedWhenBuilding(t *testing.T) {
	for name, c := range map[string]struct {
		kind, file, text string
		want             fault.Kind
		reason           string
	}{
		"corrupt log key":       {"hub", "hub/sent.key", "PRIVATE+KEY+garbled", fault.Invalid, "LEDGER_KEY_MALFORMED"},
		"two logs, one key":     {"hub", "hub/received.key", "", fault.Invalid, "LEDGER_ORIGIN"}, // text is copied from sent.key
		"corrupt identity key":  {"hub", "hub/key.pem", "garbled", fault.Invalid, "IDENTITY"},
		"another's key":         {"hub", "hub/key.pem", "desk/key.pem", fault.Invalid, "IDENTITY"},
		"corrupt anchor":        {"hub", "ca/prison/ca.pem", "garbled", fault.Invalid, "ANCHORS"},
		"corrupt reference key": {"desk", "desk/reference.key", "abcd", fault.Invalid, "BAD_CONFIG"},
		"corrupt recipient key": {"inbox", "inbox/recipient/x.key", "garbled", fault.Invalid, "BAD_RECIPIENT_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			text := []byte(c.text)
			if source := map[string]string{"": "hub/sent.key", "desk/key.pem": "desk/key.pem"}[c.text]; source != "" {
				var err error
				text, err = os.ReadFile(filepath.Join(dir, source))
				check(t, err)
			}
			check(t, os.WriteFile(filepath.Join(dir, c.file), text, 0o600))
			p, err := loaders[c.kind](filepath.Join(dir, c.kind+".yaml"))
			check(t, err)
			_, err = p.Build(t.Context(), runtime())
			if f := fault.From(err); f.Kind != c.want || f.Reason != c.reason || strings.Contains(f.Error(), "garbled") {
				t.Errorf("%v %s: %v", f.Kind, f.Reason, err)
			}
			// Nothing stays open: with the file mended it builds.
			if name == "corrupt log key" {
				secret, _, err := ledger.GenerateKey(rand.Reader, domain+"/sent")
				check(t, err)
				check(t, os.WriteFile(filepath.Join(dir, c.file), []byte(secret), 0o600))
				s, err := p.Build(t.Context(), runtime())
				check(t, err)
				check(t, s.Close())
			}
		})
	}
}

func TestAMissingFileIsNamedWhenBuilding(t *testing.T) {
	for file, kind := range map[string]string{"hub/sent.key": "hub", "hub/cert.pem": "hub", "ca/auditor/ca.pem": "audit", "desk/reference.key": "desk"} {
		dir := folder(t)
		check(t, os.Remove(filepath.Join(dir, file)))
		p, err := loaders[kind](filepath.Join(dir, kind+".yaml"))
		check(t, err)
		if _, err := p.Build(t.Context(), runtime()); err == nil || fault.KindOf(err) == fault.Internal {
			t.Errorf("without %s: %v", file, err)
		}
	}
}

// Whose vault is not mounted, or not yet put back, does not start, and is told what is missing. Nothing is made that
// would be in the way of the right keys.
func TestNoFirstKeyBesideADatabaseThatIsThere(t *testing.T) {
	dir := folder(t)
	for _, kind := range []string{"hub", "desk", "inbox"} {
		p, err := loaders[kind](filepath.Join(dir, kind+".yaml"))
		check(t, err)
		s, err := p.Build(t.Context(), runtime())
		check(t, err)
		check(t, s.Close())
		keys, away := filepath.Join(dir, kind, "data", "vault"), filepath.Join(dir, kind, "away")
		check(t, os.Rename(keys, away))
		refused := func(what string) {
			t.Helper()
			if _, err := p.Build(t.Context(), runtime()); fault.From(err).Reason != "NO_VAULT" || !strings.Contains(err.Error(), keys) {
				t.Errorf("%s %s: %v", kind, what, err)
			}
		}
		refused("without the folder")
		check(t, os.Mkdir(keys, 0o700))
		refused("with an empty folder")
		if c, ok := p.(*config.Hub); ok {
			_, err := c.NewGeneration(t.Context(), runtime(), filepath.Join(dir, "next"), nil, nil)
			if fault.From(err).Reason != "NO_VAULT" {
				t.Errorf("a new generation: %v", err)
			}
		}
		check(t, os.Remove(keys)) // empty still
		check(t, os.Rename(away, keys))
		s, err = p.Build(t.Context(), runtime())
		check(t, err)
		check(t, s.Close())
	}
}

func TestUnknownCodesOfADeskAreNamedAtOnce(t *testing.T) {
	path := filepath.Join(folder(t), "desk.yaml")
	edit(t, path, "RECEPTION_OFFICER", "WIZARD")
	edit(t, path, "PUBLIC_TASK", "WHIM")
	_, err := config.LoadDesk(path)
	if got := paths(err); !slices.Equal(got, []string{"lawful_basis.article6", "staff[0].role"}) {
		t.Errorf("named %v: %v", got, err)
	}
}

func TestTheOperatorIsNeededToSignOnly(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "hub.yaml")
	c, err := config.LoadHub(path)
	check(t, err)
	i, err := c.LoadOperator()
	check(t, err)
	if i.Party().URI() != "spiffe://"+domain+"/operator/main" {
		t.Error(i.Party().URI())
	}
	edit(t, path, "operator: {certificate: operator/cert.pem, key: operator/key.pem}", "operator: {certificate: inbox/cert.pem, key: inbox/key.pem}")
	c, err = config.LoadHub(path)
	check(t, err)
	if _, err := c.LoadOperator(); fault.From(err).Reason != "WRONG_CERTIFICATE" ||
		!strings.Contains(err.Error(), "This is the certificate of /authority/E06000023/inbox; an operator needs /operator/…. Correct operator.") {
		t.Errorf("with the certificate of an inbox: %v", err)
	}
	edit(t, path, "operator: {certificate: inbox/cert.pem, key: inbox/key.pem}\n", "")
	c, err = config.LoadHub(path)
	check(t, err)
	if _, err := c.LoadOperator(); fault.From(err).Reason != "NO_OPERATOR" {
		t.Error(err)
	}
}

// Serve answers on the control socket until its context ends, and closes everything: the same can be built again.
func TestServeUntilTheContextEnds(t *testing.T) {
	dir := folder(t)
	c, err := config.LoadHub(filepath.Join(dir, "hub.yaml"))
	check(t, err)
	for range 2 {
		rt := runtime()
		rt.Listener, err = net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		s, err := c.Build(t.Context(), rt)
		check(t, err)
		answered := make(chan struct{})
		run := s.Run
		s.Run = func(ctx context.Context) error { close(answered); return run(ctx) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx) }()
		<-answered // the sockets are open before the loops begin
		conn, err := rpc.DialLocal(c.Socket())
		check(t, err)
		status, err := localv1.NewHubServiceClient(conn).GetStatus(ctx, &localv1.GetStatusRequest{})
		check(t, err)
		if len(status.GetLogs()) != 2 || status.GetLogs()[0].GetOrigin() != domain+"/sent" {
			t.Errorf("status %v", status)
		}
		check(t, conn.Close())
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ended with %v", err)
		}
		if _, err := rpc.DialLocal(c.Socket()); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("it answers still: %v", err)
		}
	}
}

// A party that cannot do all of its work is seen to be down.
func TestAFailedPartEndsTheWhole(t *testing.T) {
	dir := folder(t)
	c, err := config.LoadHub(filepath.Join(dir, "hub.yaml"))
	check(t, err)
	s, err := c.Build(t.Context(), runtime())
	check(t, err)
	broken := fault.New(fault.Unavailable, "LEDGER_STOPPED", "It has stopped.")
	s.Run = func(context.Context) error { return broken }
	if err := s.Serve(t.Context()); fault.From(err).Reason != "LEDGER_STOPPED" {
		t.Errorf("it ended with %v", err)
	}
}
